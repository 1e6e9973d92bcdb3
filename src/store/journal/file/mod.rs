//! The journal in files: all shards' records in one sequence of segments, made durable by one sync.
//!
//! `disk` is what is asked of a file system and `frame` the bytes on it; `reader` reads all of them
//! back and `tail` follows their durable end; `segments` knows which files there are, and `preparer`
//! makes them ahead of their use; `active` is the one that is being written. `log` puts these together as a [`Log`](super::Log).
//!
//! [`scan`], [`base`] and [`check_versions`] are for readers of a directory that no process of theirs writes: the audit.

mod active;
pub mod disk;
pub mod frame;
mod log;
mod preparer;
mod reader;
mod segments;
mod tail;

pub use log::{FileLog, OpenedFiles};
pub use reader::{ReadError, Scan, TornTail, base, check_versions, scan};
pub use segments::{Options, Position, SEGMENT_BYTES_MIN, segment_name};
