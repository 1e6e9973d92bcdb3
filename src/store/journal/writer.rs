//! The journal's one writer: group commit without a timer.
//!
//! A batch is what arrived while the last commit was under way. It is committed to the log, and only
//! then are its effects (replies, publications) released, so that nothing leaves before it is durable
//! (I8). A commit that fails ends the journal for good: no effect of that batch is released, and the
//! process is expected to stop. Must not know where the log keeps its bytes.

use super::log::{BATCH_BYTES_MAX, Batch, Log, Part};
use super::status::LogStatus;
use crate::crash::crash_point;
use domain::ShardId;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// State shared by appenders and the writer.
pub(super) struct Shared<E> {
    pending: Mutex<Pending<E>>,
    arrived: Condvar,
    /// Effects of the batch that is being committed, where a deadline can still reach them.
    in_flight: Mutex<Vec<E>>,
    /// The owner of the last durable batch.
    durable_epoch: AtomicU64,
    /// Each shard's last durable record.
    durable_seqs: Box<[AtomicU64]>,
    headroom: usize,
}

/// What waits for the next commit.
struct Pending<E> {
    batch: Batch,
    records: u64,
    effects: Vec<E>,
    writer_waits: bool,
    closed: bool,
}

impl<E> Pending<E> {
    fn new(headroom: usize) -> Self {
        Self {
            batch: Batch { bytes: vec![0; headroom], parts: Vec::new() },
            records: 0,
            effects: Vec::new(),
            writer_waits: false,
            closed: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.records == 0
    }
}

impl<E> Shared<E> {
    pub(super) fn new(headroom: usize, seqs: &[u64], durable_epoch: u64) -> Self {
        Self {
            pending: Mutex::new(Pending::new(headroom)),
            arrived: Condvar::new(),
            in_flight: Mutex::new(Vec::new()),
            durable_epoch: AtomicU64::new(durable_epoch),
            durable_seqs: seqs.iter().copied().map(AtomicU64::new).collect(),
            headroom,
        }
    }

    pub(super) fn append(
        &self,
        shard: ShardId,
        last_seq: u64,
        records: u64,
        bytes: &mut Vec<u8>,
        effects: &mut Vec<E>,
    ) {
        let mut pending = self.pending.lock();
        let start = pending.batch.bytes.len();
        pending.batch.bytes.extend_from_slice(bytes);
        let end = pending.batch.bytes.len();
        debug_assert!(
            end <= self.headroom + BATCH_BYTES_MAX,
            "permits bound what waits for one commit"
        );
        debug_assert_eq!(records == 0, bytes.is_empty(), "records and their bytes come together");
        pending.records += records;
        pending.batch.parts.push(Part {
            shard,
            bytes: start..end,
            first_seq: last_seq + 1 - records,
            last_seq,
            effects: effects.len(),
        });
        pending.effects.append(effects);
        let wake = pending.writer_waits;
        drop(pending);
        bytes.clear();
        if wake {
            self.arrived.notify_one();
        }
    }

    pub(super) fn visit_waiting(&self, mut visit: impl FnMut(&mut E)) {
        self.in_flight.lock().iter_mut().for_each(&mut visit);
        self.pending.lock().effects.iter_mut().for_each(&mut visit);
    }

    pub(super) fn durable_epoch(&self) -> u64 {
        self.durable_epoch.load(Ordering::Acquire)
    }

    pub(super) fn durable_seq(&self, shard: ShardId) -> u64 {
        let seq = self.durable_seqs.get(shard.index());
        seq.map_or(0, |seq| seq.load(Ordering::Acquire))
    }

    pub(super) fn durable_seqs(&self) -> Vec<u64> {
        self.durable_seqs.iter().map(|seq| seq.load(Ordering::Acquire)).collect()
    }

    /// Lets the writer end once nothing waits any more.
    pub(super) fn close(&self) {
        self.pending.lock().closed = true;
        self.arrived.notify_all();
    }
}

/// What the writer's thread owns.
pub(super) struct Writer<E, L> {
    shared: Arc<Shared<E>>,
    log: L,
    status: Arc<LogStatus>,
    epoch: u64,
    /// Each shard's last record that was handed to the log.
    appended: Vec<u64>,
    /// Shards that a newer owner has taken over: nothing of them is released any more.
    fenced: Vec<ShardId>,
    on_durable: Box<dyn FnMut(Vec<E>) + Send>,
}

impl<E: Send + 'static, L: Log> Writer<E, L> {
    pub(super) fn new(
        shared: Arc<Shared<E>>,
        log: L,
        status: Arc<LogStatus>,
        epoch: u64,
        appended: Vec<u64>,
        on_durable: Box<dyn FnMut(Vec<E>) + Send>,
    ) -> Self {
        Self { shared, log, status, epoch, appended, fenced: Vec::new(), on_durable }
    }

    /// Runs until the journal is closed and nothing waits, or until it fails: then `on_failure` is
    /// called, before the log is dropped, which may take as long as its storage does.
    pub(super) fn run(mut self, on_failure: impl FnOnce(io::Error)) {
        // A panic is a bug of this module or of what it calls. Without a writer nothing would ever be
        // answered, so it ends the process as a failed commit does.
        let ended = catch_unwind(AssertUnwindSafe(|| self.commit_batches()))
            .unwrap_or_else(|_| Err(io::Error::other("the journal's writer panicked")));
        if let Err(error) = ended {
            self.status.set_failed();
            on_failure(error);
        }
    }

    fn commit_batches(&mut self) -> io::Result<()> {
        let mut taken = Pending::new(L::HEADROOM);
        while self.take(&mut taken) {
            if taken.records > 0 {
                *self.shared.in_flight.lock() = std::mem::take(&mut taken.effects);
                self.commit(&mut taken)?;
                taken.effects = std::mem::take(&mut *self.shared.in_flight.lock());
            }
            if !self.fenced.is_empty() {
                drop_fenced(&mut taken, &self.fenced);
            }
            self.assert_durable(&taken.batch.parts);
            crash_point("journal-before-release");
            (self.on_durable)(std::mem::take(&mut taken.effects));
            crash_point("journal-after-release");
            taken.batch.bytes.truncate(L::HEADROOM);
            taken.batch.parts.clear();
            taken.records = 0;
        }
        Ok(())
    }

    /// Takes what has arrived, waiting for it; false once closed and empty.
    fn take(&self, taken: &mut Pending<E>) -> bool {
        let mut pending = self.shared.pending.lock();
        while pending.is_empty() {
            if pending.closed {
                return false;
            }
            pending.writer_waits = true;
            self.shared.arrived.wait(&mut pending);
            pending.writer_waits = false;
        }
        std::mem::swap(&mut pending.batch, &mut taken.batch);
        std::mem::swap(&mut pending.effects, &mut taken.effects);
        taken.records = std::mem::take(&mut pending.records);
        true
    }

    /// Makes the batch durable and moves the watermarks.
    fn commit(&mut self, taken: &mut Pending<E>) -> io::Result<()> {
        self.assert_follows(&taken.batch);
        let fenced = self.log.commit(&mut taken.batch).inspect_err(|_| {
            // At once: what still waits must not be admitted behind it.
            self.status.set_failed();
        })?;
        for shard in fenced {
            if !self.fenced.contains(&shard) {
                self.fenced.push(shard);
            }
        }
        self.status.count_records(taken.records);
        self.shared.durable_epoch.store(self.epoch, Ordering::Release);
        for part in &taken.batch.parts {
            if part.has_records() && !self.fenced.contains(&part.shard) {
                self.shared.durable_seqs[part.shard.index()]
                    .store(part.last_seq, Ordering::Release);
            }
        }
        Ok(())
    }

    /// I5: each shard's records follow the last one that it handed over, so that a gap or a repeat is
    /// found before it is written, and the watermarks never go back.
    fn assert_follows(&mut self, batch: &Batch) {
        let mut end = L::HEADROOM;
        for part in &batch.parts {
            assert_eq!(part.bytes.start, end, "the parts of a batch lie behind each other");
            end = part.bytes.end;
            if part.has_records() {
                let last = &mut self.appended[part.shard.index()];
                assert_eq!(part.first_seq, *last + 1, "shard {} skips or repeats", part.shard);
                *last = part.last_seq;
            }
        }
        assert_eq!(batch.bytes.len(), end, "all bytes belong to a part");
    }

    /// I8: whatever is released rests on durable records only.
    fn assert_durable(&self, parts: &[Part]) {
        for part in parts {
            let durable = self.shared.durable_seq(part.shard);
            assert!(
                part.effects == 0 || part.last_seq <= durable,
                "an effect rests on record {} of shard {}, durable is {durable}",
                part.last_seq,
                part.shard
            );
        }
    }
}

/// Drops the effects of fenced shards: what they rest on is not on record. A caller whose reply is
/// dropped learns that the outcome is unknown.
fn drop_fenced<E>(taken: &mut Pending<E>, fenced: &[ShardId]) {
    let mut effects = std::mem::take(&mut taken.effects).into_iter();
    taken.batch.parts.retain(|part| {
        let own = effects.by_ref().take(part.effects);
        let is_fenced = fenced.contains(&part.shard);
        if is_fenced {
            own.for_each(drop);
        } else {
            taken.effects.extend(own);
        }
        !is_fenced
    });
}
