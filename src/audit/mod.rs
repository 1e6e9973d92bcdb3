//! The audit of a shop: every invariant over its log, in a data directory or in a cluster's etcd, the checkpoints, the order store,
//! the dead letters and what clients were told. What it found, as data.
//!
//! Must not know how its findings are shown.

mod checkpoints;
mod deleted;
mod error;
mod findings;
mod letters;
mod log;
mod older;
mod on_record;
mod orders;
mod payments;
mod run;
mod stored;

pub use error::AuditError;
pub use findings::{AuditedLog, Findings, Judged, OrderCounts, PaymentCounts, Source, Unasked};
pub use log::{ClusterLog, LogSource};
pub use run::{AuditOptions, run};
