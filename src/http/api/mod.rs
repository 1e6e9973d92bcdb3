//! The API for buyers and for the public, a file per resource.

pub mod admission_view;
pub mod buy;
pub mod buy_tokens;
pub mod event_streams;
pub mod example;
pub mod exchange;
pub mod health;
pub mod items;
pub mod order_events;
pub mod order_view;
pub mod orders;
pub mod pay;
pub mod payment_callbacks;
pub mod problems;
pub mod read_rate;
pub mod sales;
pub mod session;
pub mod time;
pub mod titles;
pub mod users;
pub mod visits;
