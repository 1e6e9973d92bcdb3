//! The audit of the books: what it found, as data.

pub mod report;

pub use report::{Check, OrderCounts, Report};
