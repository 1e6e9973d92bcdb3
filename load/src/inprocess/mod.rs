//! The engine in the process, without HTTP: durable decisions a second through actors and
//! journal, for many callers at once, for one item and for many.
//!
//! [`Decider`] is all this needs of an engine; [`measure`] drives any. The engine itself is
//! behind the cargo feature `in-process`, so that everything else builds without it.

mod decider;
#[cfg(feature = "in-process")]
mod engine;
mod measure;

pub use decider::Decider;
pub use measure::{CALLERS, ITEMS, InProcessRow, measure, measure_all, measure_engine};
