//! The load laboratory.
pub mod audit;
pub mod drive;
mod error;
pub mod outcome;
pub mod plan;
pub mod random;
pub mod scenario;
pub mod schedule;
pub mod wire;
pub use error::{Error, Result};
