//! Checkpoints: a shard's state as of a record, kept so that recovery need not replay the whole
//! journal.
//!
//! A checkpoint is written in increments whose cost is proportional to what changed. Each names the
//! [`Mark`] it builds on, because a store may lose what it had (a Redis that was emptied, or restored
//! from an old dump): an increment on top of the wrong state would be a wrong state, so it is refused
//! and the caller writes everything instead. Marks never go back (I11): a command that timed out may
//! still run later, and a process that no longer owns the shard may still write.
//!
//! Marks of two journals cannot be compared. A store that several shops can reach keeps the
//! journal's identity beside the mark, and neither gives a checkpoint to another journal nor accepts
//! one from it; a SQLite file belongs to the journal of its data directory.
//!
//! Owns the port, both implementations and their bytes. Must not know actors or the journal's
//! files. The journal stays the truth: a checkpoint that is missing, old or corrupt makes recovery
//! slower, never wrong.

mod error;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod mark;
mod payments;
mod redis;
mod scripts;
mod sqlite;
mod store;

pub use self::redis::{RedisCheckpoints, SCRIPT_BYTES_MAX};
pub use error::CheckpointError;
pub use mark::{Mark, Written};
pub use sqlite::SqliteCheckpoints;
pub use store::{CheckpointStore, whole};
