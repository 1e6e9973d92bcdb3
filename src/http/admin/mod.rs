//! What operators do: make sales, bring them through approval, run them, and look at the books.

pub mod draft;
pub mod log;
pub mod operations;
pub mod orders;
pub mod sales;
