//! The API for operators: making sales, bringing them through approval, running them, and seeing
//! their orders and the operators' log.

pub mod admission;
pub mod approval;
mod change;
pub mod cluster;
pub mod csv;
pub mod dead_letters;
pub mod draft;
pub mod guard;
pub mod list_form;
pub mod log;
pub mod media;
pub mod operations;
pub mod operators;
pub mod order_export;
pub mod order_filter;
pub mod orders;
pub mod preheat;
pub mod refund_export;
pub mod refunds;
pub mod risk;
pub mod sale_view;
pub mod sales;
pub mod settings;
pub mod webhook_view;
pub mod webhooks;
