//! The procedures, by what they break. Each opens a shop of its own, breaks something, repairs it, and has the
//! shop asked.

pub mod broker;
pub mod checkpoints;
pub mod crowds;
pub mod deaths;
pub mod disk;
pub mod hostile;
pub mod orders;
pub mod recovery;
pub mod scenario;
pub mod starts;
pub mod tokens;
