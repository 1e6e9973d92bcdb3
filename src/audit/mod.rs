//! The audit of the books: what it found, as data.

pub mod report;
mod run;

pub use report::{Check, OrderCounts, Report};
pub use run::{AuditError, AuditOptions, run};
