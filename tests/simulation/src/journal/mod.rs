//! The journal in its file, on a disk that forgets what was not synced when the power goes.

pub mod book;
mod crash;

pub use crash::{Fault, run};
