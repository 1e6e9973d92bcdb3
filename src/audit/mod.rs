//! The audit of a data directory: every invariant over the journal, the checkpoints, the order store,
//! the dead letters and what clients were told. What it found, as data.
//!
//! Must not know how its findings are shown.

mod checkpoints;
mod deleted;
mod error;
mod findings;
mod journal;
mod older;
mod orders;
mod run;
mod stored;

pub use error::AuditError;
pub use findings::{Findings, Judged, OrderCounts, Source, Unasked};
pub use run::{AuditOptions, run};
