//! One run of a scenario, from an empty directory to its findings: start the backends and
//! the engine, make users and a sale, drive the load and the faults, read the counters,
//! stop, audit. The report is built from what comes out.

mod course;
mod faults;
mod findings;
mod observed;
mod options;
mod progress;
mod settle;

pub use course::{run, run_remote};
pub use faults::Mark;
pub use findings::Findings;
pub use observed::Observed;
pub use options::{Remote, RunOptions};
pub use settle::{EngineAudit, Settled, settle};
