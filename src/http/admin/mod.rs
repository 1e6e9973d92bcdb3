//! The API for operators: making sales, bringing them through approval, running them, and seeing
//! their orders and the operators' log.

pub mod approval;
mod change;
pub mod draft;
pub mod log;
pub mod operations;
pub mod orders;
pub mod preheat;
pub mod sale_view;
pub mod sales;
