//! The load laboratory: anyone can see how fast and how right the engine is, and against
//! what.
//!
//! In reading order: a [`scenario`] says what happens; [`schedule`] and [`plan`] turn it
//! into arrivals and attempts, both pure; [`drive`] sends them over [`wire`] and records
//! each [`outcome`]; [`run`] sets the [`stage`], applies faults and settles; [`audit`]
//! compares what clients were told with the counters and the order store, purely;
//! [`report`] shows it all. [`compare`] measures the engine beside its [`peers`], [`instructions`] counts
//! what a purchase takes, [`scale`] sets several nodes beside one, and [`drills`] break something on purpose and ask whether the shop came through.
//!
//! Nothing here knows the engine's code but its invariants and what they speak of (`domain`): it
//! is a program, an HTTP API and a table of orders. [`inprocess`] and `simulate` alone call it directly,
//! behind a cargo feature.

pub mod audit;
pub mod cli;
pub mod compare;
pub mod drills;
pub mod drive;
mod error;
pub mod inprocess;
pub mod instructions;
pub mod outcome;
mod output;
pub mod peers;
pub mod plan;
pub mod random;
pub mod report;
pub mod run;
pub mod scale;
pub mod scenario;
pub mod schedule;
#[cfg(feature = "in-process")]
pub mod simulate;
pub mod spread;
pub mod stage;
pub mod wire;

pub use error::{Error, Result};
