//! The journal in files: all shards' records in one sequence of segments, made durable by one sync.
//!
//! `disk` is what is asked of a file system and `frame` the bytes on it; `reader` reads all of them
//! back, `progress` says how far, and `tail` follows their durable end; `segments` knows which files there are, and `preparer`
//! makes them ahead of their use; `active` is the one that is being written. `log` puts these together as a [`Log`](super::Log).
//!
//! [`SegmentCopy`] copies a journal beside its process. [`begin`] begins a journal behind records that are kept elsewhere. [`scan`], [`base`] and [`check_versions`] are for readers of a directory that no process of theirs writes: the audit.

mod active;
mod begin;
mod copy;
pub mod disk;
pub mod frame;
mod log;
mod preparer;
mod progress;
mod reader;
mod segments;
mod tail;

pub use begin::begin;
pub use copy::{CopyError, SegmentCopy};
pub use log::{FileLog, OpenedFiles};
pub use progress::ReadProgress;
pub use reader::{ReadError, Scan, TornTail, base, check_versions, has_segments, scan};
pub use segments::{Options, Position, SEGMENT_BYTES_MIN, segment_name};
