//! The journal: every fact of every shard, durable before anyone hears of it.
//!
//! This is the contract that engine, recovery, relay and checkpointer use. Each shard's records are a
//! dense sequence of their own. [`Journal::append`] takes them in without waiting, and what waits for
//! them (their *effects*) comes back in the same order once they are durable; [`Journal::durable_seqs`]
//! are the watermarks; [`Journal::follow`] and [`Journal::replay`] read what is durable, from sequence
//! numbers; [`Journal::retire`] deletes what is kept elsewhere. A journal serves all its shards from the
//! start on, or those that [`Journal::open`] lets in, until [`Journal::shut`]. What carries a journal is a
//! [`Log`]: [mod@file] or [fenced]. One test suite runs each case against every log.
//!
//! Knows sequence numbers and encoded records. What a record means is the domain's business, what an
//! effect is the caller's, and files, segments and positions are known below [mod@file] only.

pub mod fenced;
pub mod file;
mod follower;
mod id;
mod log;
pub mod record;
mod shards;
mod status;
mod writer;

pub use follower::Follower;
pub use id::{JournalId, NoJournalId};
pub use log::{
    BATCH_BYTES_MAX, Batch, BoxError, JournalError, Log, LogHandle, LogReader, NotOwner, OpenedLog,
    Part, Replayed,
};
pub use status::{LogStatus, Trouble, WriterFigures};

use domain::{Record, ShardId};
use parking_lot::Mutex;
use shards::ShardEnds;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use writer::{Shared, Writer};

/// The running journal. `E` is what waits for durability: replies, publications.
pub struct Journal<E> {
    shared: Arc<Shared<E>>,
    ends: Arc<ShardEnds>,
    handle: Arc<dyn LogHandle>,
    status: Arc<LogStatus>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl<E: Send + 'static> Journal<E> {
    /// Starts the writer behind what was replayed.
    ///
    /// `on_durable` gets the effects of each batch once it is durable, in the order of `append`;
    /// `on_failure` is called once if a commit fails: the process has to stop then.
    ///
    /// # Errors
    /// Returns the operating system's error if the log cannot be written or a thread not be started.
    pub fn start<L: Log>(
        replayed: Replayed<L>,
        on_durable: impl FnMut(Vec<E>) + Send + 'static,
        on_failure: impl FnOnce(io::Error) + Send + 'static,
    ) -> io::Result<Self> {
        let Replayed { log, seqs, last_epoch, epoch } = replayed;
        assert!(epoch > last_epoch, "I15: each owner's number is above every earlier one's");
        Self::run(log, ShardEnds::all_open(&seqs, epoch, last_epoch), on_durable, on_failure)
    }

    /// Starts the writer of a log of `shards` shards, all of which are shut.
    ///
    /// `on_durable` and `on_failure` are as for [`Journal::start`].
    ///
    /// # Errors
    /// Returns the operating system's error if a thread cannot be started, and the log's own.
    pub fn start_shut<L: Log>(
        log: L,
        shards: u16,
        on_durable: impl FnMut(Vec<E>) + Send + 'static,
        on_failure: impl FnOnce(io::Error) + Send + 'static,
    ) -> io::Result<Self> {
        Self::run(log, ShardEnds::all_shut(shards), on_durable, on_failure)
    }

    fn run<L: Log>(
        mut log: L,
        ends: ShardEnds,
        on_durable: impl FnMut(Vec<E>) + Send + 'static,
        on_failure: impl FnOnce(io::Error) + Send + 'static,
    ) -> io::Result<Self> {
        let handle = log.start()?;
        let status = handle.status();
        let (shared, ends) = (Arc::new(Shared::new(L::HEADROOM)), Arc::new(ends));
        let writer = Writer::new(
            Arc::clone(&shared),
            Arc::clone(&ends),
            log,
            Arc::clone(&status),
            Box::new(on_durable),
        );
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(on_failure))?;
        Ok(Self { shared, ends, handle, status, writer: Mutex::new(Some(thread)) })
    }

    /// Lets a shard in that is shut, while the others go on: `epoch` owns it (I15), its last durable record
    /// is `seq`, and what is appended goes on behind that. The log knows already that the shard is this
    /// owner's.
    pub fn open(&self, shard: ShardId, epoch: u64, seq: u64) {
        self.ends.open(shard, epoch, seq);
        self.shared.open(shard, seq);
    }

    /// Lets a shard out of which nothing is appended any more, while the others go on. The future resolves
    /// once everything of it is released, or dropped because it was fenced off; or the journal has ended.
    pub fn shut(&self, shard: ShardId) -> impl Future<Output = ()> + use<E> {
        let released = self.shared.shut(shard);
        async {
            // An error is the sender's end, which tells the same.
            let _ = released.await;
        }
    }

    /// Who owns a shard, by number; none if it is shut.
    pub fn owner(&self, shard: ShardId) -> Option<u64> {
        self.ends.epoch(shard)
    }

    /// Waits until a newer owner is found to have fenced a shard off. Returns each such shard once.
    pub async fn next_fenced(&self) -> ShardId {
        self.ends.next_fenced().await
    }

    /// The number of the owner that opened all shards at the start: above every earlier one's (I15). 0 for
    /// a journal whose shards have an owner each.
    pub fn epoch(&self) -> u64 {
        self.ends.common_epoch()
    }

    /// Whom what is durable of a shard can be ascribed to: where all shards share a log, the owner of its
    /// last durable batch, which is an earlier one until this one has written. What is kept elsewhere
    /// carries this number, so that it is never ahead of the journal.
    pub fn durable_epoch(&self, shard: ShardId) -> u64 {
        self.ends.durable_epoch(shard)
    }

    /// Appends encoded records of one shard and what waits for them, in this order, without waiting
    /// for them to become durable. Both are moved out of the given buffers, which keep their room.
    ///
    /// The records are `records` in number, the last one is `last_seq`, and the first one follows the
    /// last that the shard has appended. Effects may come without records; they then rest on record
    /// `last_seq` and wait for what was appended before.
    pub fn append(
        &self,
        shard: ShardId,
        last_seq: u64,
        records: u64,
        bytes: &mut Vec<u8>,
        effects: &mut Vec<E>,
    ) {
        self.shared.append(shard, last_seq, records, bytes, effects);
    }

    /// Gives `visit` every effect that still waits, oldest first. It may take out of an effect what a
    /// deadline answers; the effect itself stays until its batch is durable.
    pub fn visit_waiting(&self, visit: impl FnMut(&mut E)) {
        self.shared.visit_waiting(visit);
    }

    /// The sequence number of a shard's last durable record; 0 while it is shut.
    pub fn durable_seq(&self, shard: ShardId) -> u64 {
        self.ends.durable_seq(shard)
    }

    /// Each shard's last durable record, 0 for those that are shut.
    pub fn durable_seqs(&self) -> Vec<u64> {
        self.ends.durable_seqs()
    }

    /// The sequence number of a shard's last record that was retired: what is left of the shard starts
    /// behind it.
    pub fn base_seq(&self, shard: ShardId) -> u64 {
        self.handle.base().get(shard.index()).copied().unwrap_or(0)
    }

    /// Each shard's last record that was retired, 0 where none was: as many as there are shards.
    pub fn base_seqs(&self) -> Vec<u64> {
        let mut base = self.handle.base();
        base.resize(self.ends.count(), 0);
        base
    }

    /// Follows the durable records behind `after`, a sequence number for each shard that is to be
    /// followed.
    pub fn follow(&self, after: &[u64]) -> Follower {
        Follower::new(self.handle.read(after), after)
    }

    /// Reads the batches that are durable from the oldest one on, to see whether they still can be read.
    pub fn read_again(&self) -> Box<dyn LogReader> {
        self.handle.read(&[])
    }

    /// Gives `visit` each record of one shard behind `after`, up to the last one that is durable now.
    ///
    /// The future may occupy its thread for as long as reading takes: poll it where that is allowed.
    ///
    /// # Errors
    /// Returns [`JournalError`] if the journal cannot be read, records behind `after` were retired, or
    /// `visit` refuses one.
    pub async fn replay(
        &self,
        shard: ShardId,
        after: u64,
        mut visit: impl FnMut(&Record) -> Result<(), BoxError> + Send,
    ) -> Result<(), JournalError> {
        let durable = self.durable_seqs();
        let end = durable.get(shard.index()).copied().unwrap_or(0);
        // Of the other shards nothing is wanted.
        let mut after_each = vec![u64::MAX; durable.len()];
        if let Some(own) = after_each.get_mut(shard.index()) {
            *own = after;
        }
        let mut follower = self.follow(&after_each);
        let mut records = Vec::new();
        let mut reached = after;
        while reached < end {
            if !follower.next(&mut records).await? {
                return Err(missing(shard, reached + 1));
            }
            for found in records.drain(..) {
                if found.seq != reached + 1 {
                    return Err(missing(shard, reached + 1));
                }
                visit(&found).map_err(JournalError)?;
                reached = found.seq;
            }
        }
        Ok(())
    }

    /// Each shard's last durable record that is not among the newest `bytes` of the journal, in the storage's own
    /// units; a missing one counts as 0.
    pub fn beyond(&self, bytes: u64) -> Vec<u64> {
        self.handle.beyond(bytes)
    }

    /// Whether [`Journal::retire`] would delete anything.
    pub fn can_retire(&self, covered: &[u64]) -> bool {
        self.handle.can_retire(covered)
    }

    /// Deletes old records, none of which lies behind `covered`: for each shard the last record that
    /// both a checkpoint and the order store hold (I13; a missing one counts as 0). Returns how many
    /// segments were deleted. Blocks.
    ///
    /// # Errors
    /// Returns the storage's error. What was deleted before it stays deleted.
    pub fn retire(&self, covered: &[u64]) -> io::Result<usize> {
        self.handle.retire(covered)
    }

    /// Which log carries the journal, in one word for operators: `file`.
    pub fn kind(&self) -> &'static str {
        self.handle.kind()
    }

    /// Whether what is admitted now will find room.
    pub fn has_room(&self) -> bool {
        self.status.has_room()
    }

    /// Whether the log has confirmed nothing for so long that nothing more should wait for it.
    pub fn is_unreachable(&self) -> bool {
        self.status.is_unreachable()
    }

    /// Whether a commit has failed. Nothing is ever confirmed after it.
    pub fn has_failed(&self) -> bool {
        self.status.has_failed()
    }

    /// Whether something that was durable could not be read back.
    pub fn is_damaged(&self) -> bool {
        self.status.is_damaged()
    }

    /// Waits until damage is found.
    pub async fn damaged(&self) {
        self.status.damaged().await;
    }

    /// What hinders the journal, if anything does.
    pub fn trouble(&self) -> Option<Trouble> {
        self.status.trouble()
    }

    /// The figures since the start.
    pub fn figures(&self) -> WriterFigures {
        self.status.figures()
    }

    /// The log's state and figures.
    pub fn status(&self) -> &LogStatus {
        &self.status
    }

    /// Commits what waits and stops. Returns once the writer has ended. What finds no room is not
    /// waited for: the journal fails then, and its effects are never released. Blocks.
    pub fn close(&self) {
        self.shared.close();
        self.handle.finish();
        if let Some(writer) = self.writer.lock().take() {
            // A writer that panicked has called `on_failure`.
            let _ = writer.join();
        }
    }
}

fn missing(shard: ShardId, seq: u64) -> JournalError {
    JournalError(format!("the journal lacks record {seq} of shard {shard}").into())
}
