//! What carries a journal: the seam between the journal's one writer and the place where its batches
//! become durable.
//!
//! An implementation has four parts, in the order of its life. [`OpenedLog`] is what was found at the
//! start, and is read once. [`Log`] belongs to the writer's thread and makes batches durable.
//! [`LogHandle`] is shared by everyone else, and gives out [`LogReader`]s, which follow what is
//! durable. Must not know who appends, what an effect is, or where the bytes go.

use super::status::LogStatus;
use domain::{Record, ShardId};
use futures_util::future::BoxFuture;
use std::error::Error;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// The most record bytes that one batch may hold, without the log's headroom. The permits bound what
/// waits for a sync far below it.
pub const BATCH_BYTES_MAX: usize = 8 << 20;

/// An error of any kind: what a visitor of records may refuse with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a journal cannot be read, in its implementation's words: which place, and what was found there.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JournalError(pub BoxError);

/// Why a log stopped that works: it is another owner's now. What was not confirmed before is not in the
/// journal that goes on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the journal is not this process's any more: {0}")]
pub struct NotOwner(pub String);

impl From<NotOwner> for io::Error {
    fn from(error: NotOwner) -> Self {
        Self::other(error)
    }
}

/// What one `append` of a shard added to a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The shard that appended.
    pub shard: ShardId,
    /// Where its encoded records lie in [`Batch::bytes`]; empty if only effects were appended.
    pub bytes: Range<usize>,
    /// The sequence number of its first record; one above `last_seq` if there is none.
    pub first_seq: u64,
    /// The sequence number of its last record, or of the last one that its effects rest on.
    pub last_seq: u64,
    /// How many effects were appended with it.
    pub effects: usize,
}

impl Part {
    /// Whether the part has records.
    pub fn has_records(&self) -> bool {
        self.first_seq <= self.last_seq
    }
}

/// What is made durable together: all that was appended during the commit before.
#[derive(Debug, Default)]
pub struct Batch {
    /// The log's headroom ([`Log::HEADROOM`]), then the records of all parts.
    pub bytes: Vec<u8>,
    /// The parts in the order of `append`. A shard may have several.
    pub parts: Vec<Part>,
}

/// A journal as it was found at the start, before anything is appended. A clone is the same journal, to be read once more.
pub trait OpenedLog: Clone + Send + 'static {
    /// What the journal is written with from now on.
    type Log: Log;

    /// Each shard's last record before the first one that is left: empty or zeros unless older records
    /// were retired.
    ///
    /// # Errors
    /// Returns [`JournalError`] if the storage does not answer.
    fn base(&self) -> Result<Vec<u64>, JournalError>;

    /// Reads the journal to its end and gives `visit` each record behind `after` (a sequence number
    /// for each shard that is to be served), in the order in which they were committed. Changes nothing
    /// that is stored. Blocks.
    ///
    /// # Errors
    /// Returns [`JournalError`] if the storage does not answer, the journal is damaged or has a gap
    /// (I5), or `visit` refuses a record.
    fn replay(
        self,
        after: &[u64],
        visit: impl FnMut(&Record) -> Result<(), BoxError>,
    ) -> Result<Replayed<Self::Log>, JournalError>;
}

/// A journal that was read to its end.
pub struct Replayed<L> {
    /// What appends behind that end.
    pub log: L,
    /// Each shard's last record: as many as shards are served.
    pub seqs: Vec<u64>,
    /// The owner that wrote the last batch; 0 if there is none.
    pub last_epoch: u64,
    /// The new owner's number: above every earlier one (I15).
    pub epoch: u64,
}

/// The writing half of a log. Only the journal's own thread calls it, so it may block.
pub trait Log: Send + 'static {
    /// Bytes that every batch begins with and that belong to the log, so that it can put its header in
    /// front of the records without copying them.
    const HEADROOM: usize = 0;

    /// Makes ready for the first batch and returns the half that is shared. Removes what a crash left
    /// unfinished behind the last whole batch. Called once, before any commit.
    ///
    /// # Errors
    /// Returns the storage's error if nothing can be written there.
    fn start(&mut self) -> io::Result<Arc<dyn LogHandle>>;

    /// Makes the batch durable. Returns the shards whose parts did not become durable because a newer
    /// owner has fenced them off; all other parts are durable then. A log with one owner fences none.
    ///
    /// # Errors
    /// Returns the storage's error if it is not known what became of the batch. The log is not called
    /// again, and the process has to stop.
    fn commit(&mut self, batch: &mut Batch) -> io::Result<Vec<ShardId>>;
}

/// The half of a log that all threads share.
pub trait LogHandle: Send + Sync + 'static {
    /// Which implementation this is, in one word for operators: `file`.
    fn kind(&self) -> &'static str;

    /// The log's state and figures, which the log itself keeps up to date.
    fn status(&self) -> Arc<LogStatus>;

    /// Each shard's last record that was retired: what is left starts behind it.
    fn base(&self) -> Vec<u64>;

    /// A reader that misses no record behind `after` (a sequence number a shard). It may begin earlier.
    fn read(&self, after: &[u64]) -> Box<dyn LogReader>;

    /// Each shard's last record that would be retired if only the newest `bytes` were kept, in the storage's own units;
    /// a missing one counts as 0.
    fn beyond(&self, bytes: u64) -> Vec<u64>;

    /// Whether [`LogHandle::retire`] would delete anything.
    fn can_retire(&self, covered: &[u64]) -> bool;

    /// Deletes old records, in the storage's own units, none of which lies behind `covered` (a sequence
    /// number a shard; a missing one counts as 0). Returns how many units were deleted.
    ///
    /// # Errors
    /// Returns the storage's error. What was deleted before it stays deleted.
    fn retire(&self, covered: &[u64]) -> io::Result<usize>;

    /// Nothing more is appended: a commit that would have to wait for room fails from now on.
    fn finish(&self);
}

/// Follows a log's durable batches, oldest first.
pub trait LogReader: Send {
    /// The records of the next durable batch, encoded; none if all that is durable was read. Later
    /// calls go on from there.
    ///
    /// # Errors
    /// The future returns [`JournalError`] if the storage does not answer or holds something else than
    /// was written.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<&[u8]>, JournalError>>;

    /// Takes note that the last batch holds what is no record, which only its reader can see: the log is
    /// damaged there. Returns the error that names the place.
    fn refuse(&mut self, why: &str) -> JournalError;
}
