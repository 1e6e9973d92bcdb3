//! Ports to what outlives the process, and their implementations.
pub mod journal;
