//! The journal's one writer: group commit without a timer.
//!
//! A batch is what arrived while the last commit was under way. It is committed to the log, and only
//! then are its effects (replies, publications) released, so that nothing leaves before it is durable
//! (I8). A commit that fails ends the journal for good: no effect of that batch is released, and the
//! process is expected to stop. A shard is let in and out in its turn among what is appended, while the
//! others go on. Must not know where the log keeps its bytes.

use super::log::{BATCH_BYTES_MAX, Batch, Log, Part};
use super::shards::ShardEnds;
use super::status::LogStatus;
use crate::crash::crash_point;
use domain::ShardId;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::oneshot;

/// State shared by appenders and the writer.
pub(super) struct Shared<E> {
    pending: Mutex<Pending<E>>,
    arrived: Condvar,
    /// Effects of the batch that is being committed, where a deadline can still reach them.
    in_flight: Mutex<Vec<E>>,
    headroom: usize,
}

/// What waits for the next commit.
struct Pending<E> {
    batch: Batch,
    records: u64,
    effects: Vec<E>,
    turns: Vec<Turn>,
    writer_waits: bool,
    closed: bool,
}

/// A shard that comes or goes while the others are written.
enum Turn {
    /// It goes on behind this record. Nothing of it is in the batch that was appended before.
    Open { shard: ShardId, seq: u64 },
    /// Nothing of it is appended behind this. The other end is told once all before it is released.
    Shut { shard: ShardId, released: oneshot::Sender<()> },
}

impl<E> Pending<E> {
    fn new(headroom: usize) -> Self {
        Self {
            batch: Batch { bytes: vec![0; headroom], parts: Vec::new() },
            records: 0,
            effects: Vec::new(),
            turns: Vec::new(),
            writer_waits: false,
            closed: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.records == 0 && self.turns.is_empty()
    }
}

impl<E> Shared<E> {
    pub(super) fn new(headroom: usize) -> Self {
        Self {
            pending: Mutex::new(Pending::new(headroom)),
            arrived: Condvar::new(),
            in_flight: Mutex::new(Vec::new()),
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

    /// Lets the writer expect the shard's records behind `seq`.
    pub(super) fn open(&self, shard: ShardId, seq: u64) {
        self.take_turn(Turn::Open { shard, seq });
    }

    /// Resolves once everything of the shard that was appended before is released or dropped; an error
    /// says that too, or that the writer has ended.
    pub(super) fn shut(&self, shard: ShardId) -> oneshot::Receiver<()> {
        let (released, receiver) = oneshot::channel();
        self.take_turn(Turn::Shut { shard, released });
        receiver
    }

    fn take_turn(&self, turn: Turn) {
        let mut pending = self.pending.lock();
        // Nobody takes turns any more.
        if pending.closed {
            return;
        }
        pending.turns.push(turn);
        let wake = pending.writer_waits;
        drop(pending);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Lets the writer end once nothing waits any more.
    pub(super) fn close(&self) {
        self.pending.lock().closed = true;
        self.arrived.notify_all();
    }

    /// The writer has failed: nobody waits for a turn any more.
    fn give_up(&self) {
        let mut pending = self.pending.lock();
        pending.closed = true;
        pending.turns.clear();
    }
}

/// What the writer's thread owns.
pub(super) struct Writer<E, L> {
    shared: Arc<Shared<E>>,
    ends: Arc<ShardEnds>,
    log: L,
    status: Arc<LogStatus>,
    /// Each shard's last record that was handed to the log; none of a shard that is shut.
    appended: Vec<Option<u64>>,
    /// Shards that a newer owner has taken over: nothing of them is released any more.
    fenced: Vec<ShardId>,
    on_durable: Box<dyn FnMut(Vec<E>) + Send>,
}

impl<E: Send + 'static, L: Log> Writer<E, L> {
    pub(super) fn new(
        shared: Arc<Shared<E>>,
        ends: Arc<ShardEnds>,
        log: L,
        status: Arc<LogStatus>,
        on_durable: Box<dyn FnMut(Vec<E>) + Send>,
    ) -> Self {
        let appended = ends.open_seqs();
        Self { shared, ends, log, status, appended, fenced: Vec::new(), on_durable }
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
            self.shared.give_up();
            on_failure(error);
        }
    }

    fn commit_batches(&mut self) -> io::Result<()> {
        let mut taken = Pending::new(L::HEADROOM);
        while self.take(&mut taken) {
            self.let_in(&taken.turns);
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
            self.let_out(&mut taken.turns);
        }
        Ok(())
    }

    /// Takes in the shards that come with this batch.
    fn let_in(&mut self, turns: &[Turn]) {
        for turn in turns {
            if let Turn::Open { shard, seq } = turn {
                let before = self.appended[shard.index()].replace(*seq);
                assert_eq!(before, None, "shard {shard} is shut before it is opened again");
                self.fenced.retain(|fenced| fenced != shard);
            }
        }
    }

    /// Lets the shards go whose last effects were released with this batch, and tells who waits for it.
    fn let_out(&mut self, turns: &mut Vec<Turn>) {
        for turn in turns.drain(..) {
            if let Turn::Shut { shard, released } = turn {
                self.appended[shard.index()] = None;
                self.ends.shut(shard);
                // Who waits no more has ended.
                let _ = released.send(());
            }
        }
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
        std::mem::swap(&mut pending.turns, &mut taken.turns);
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
                self.ends.note_fenced(shard);
            }
        }
        self.status.count_records(taken.records);
        self.ends.note_commit();
        for part in &taken.batch.parts {
            if part.has_records() && !self.fenced.contains(&part.shard) {
                self.ends.advance(part.shard, part.last_seq);
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
                let next = last.map(|last| last + 1);
                assert_eq!(next, Some(part.first_seq), "shard {} skips or repeats", part.shard);
                *last = Some(part.last_seq);
            }
        }
        assert_eq!(batch.bytes.len(), end, "all bytes belong to a part");
    }

    /// I8: whatever is released rests on durable records only.
    fn assert_durable(&self, parts: &[Part]) {
        for part in parts {
            let durable = self.ends.durable_seq(part.shard);
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
