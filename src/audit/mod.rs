//! The audit of the books: what it found, as data.

mod kept;
pub mod report;
mod run;
mod stored;

pub use report::{Check, OrderCounts, Report};
pub use run::{AuditError, AuditOptions, run};
