//! The API for buyers and for the public, a file per resource.

pub mod buy;
pub mod event_streams;
pub mod example;
pub mod health;
pub mod items;
pub mod order_events;
pub mod order_view;
pub mod orders;
pub mod problems;
pub mod sales;
pub mod time;
pub mod titles;
pub mod users;
