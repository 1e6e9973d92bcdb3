//! Where each shard's log ends, as everyone may ask: the watermarks, who owns the shard, and which shards
//! a newer owner has fenced off.

use domain::ShardId;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// The epoch of a shard that is not open.
const SHUT: u64 = 0;

/// The ends of all shards.
#[derive(Debug)]
pub(super) struct ShardEnds {
    /// The owner's number of the shards that were open at the start.
    epoch: u64,
    /// The owner of the last durable batch of those.
    durable_epoch: AtomicU64,
    shards: Box<[ShardEnd]>,
    /// Shards that were fenced off, which nobody has asked for yet.
    fenced: Mutex<Vec<ShardId>>,
    fenced_more: Notify,
}

#[derive(Debug)]
struct ShardEnd {
    /// The owner's number, or [`SHUT`].
    epoch: AtomicU64,
    /// The last durable record; 0 while the shard is shut.
    durable_seq: AtomicU64,
}

impl ShardEnds {
    /// All shards open, behind these records, under one epoch; `last_epoch` wrote the last durable batch.
    pub(super) fn all_open(seqs: &[u64], epoch: u64, last_epoch: u64) -> Self {
        let shards = seqs.iter().map(|seq| ShardEnd::new(epoch, *seq)).collect();
        Self::new(shards, epoch, last_epoch)
    }

    /// All shards shut.
    pub(super) fn all_shut(shards: u16) -> Self {
        Self::new((0..shards).map(|_| ShardEnd::new(SHUT, 0)).collect(), SHUT, SHUT)
    }

    fn new(shards: Box<[ShardEnd]>, epoch: u64, last_epoch: u64) -> Self {
        let durable_epoch = AtomicU64::new(last_epoch);
        let (fenced, fenced_more) = (Mutex::default(), Notify::new());
        Self { epoch, durable_epoch, shards, fenced, fenced_more }
    }

    /// Opens a shard that is shut.
    pub(super) fn open(&self, shard: ShardId, epoch: u64, seq: u64) {
        assert_ne!(epoch, SHUT, "I15: owners are counted from 1");
        let end = &self.shards[shard.index()];
        end.durable_seq.store(seq, Ordering::Release);
        let before = end.epoch.swap(epoch, Ordering::AcqRel);
        assert_eq!(before, SHUT, "shard {shard} is shut before it is opened again");
    }

    /// Shuts a shard. What was fenced of it is forgotten.
    pub(super) fn shut(&self, shard: ShardId) {
        self.fenced.lock().retain(|fenced| *fenced != shard);
        let end = &self.shards[shard.index()];
        end.epoch.store(SHUT, Ordering::Release);
        end.durable_seq.store(0, Ordering::Release);
    }

    /// The number of all shards.
    pub(super) fn count(&self) -> usize {
        self.shards.len()
    }

    /// The owner's number of a shard that is open.
    pub(super) fn epoch(&self, shard: ShardId) -> Option<u64> {
        let end = self.shards.get(shard.index())?;
        Some(end.epoch.load(Ordering::Acquire)).filter(|epoch| *epoch != SHUT)
    }

    /// The owner's number of the shards that were open at the start.
    pub(super) fn common_epoch(&self) -> u64 {
        self.epoch
    }

    /// Whom a shard's last durable record can be ascribed to without being ahead of the log. A shard that
    /// was opened by itself is its owner's from the claim on; with others in one log, the owner of that
    /// log's last batch is.
    pub(super) fn durable_epoch(&self, shard: ShardId) -> u64 {
        match self.epoch(shard) {
            Some(epoch) if epoch != self.epoch => epoch,
            _ => self.durable_epoch.load(Ordering::Acquire),
        }
    }

    /// A shard's last durable record.
    pub(super) fn durable_seq(&self, shard: ShardId) -> u64 {
        let end = self.shards.get(shard.index());
        end.map_or(0, |end| end.durable_seq.load(Ordering::Acquire))
    }

    /// Each shard's last durable record.
    pub(super) fn durable_seqs(&self) -> Vec<u64> {
        self.shards.iter().map(|end| end.durable_seq.load(Ordering::Acquire)).collect()
    }

    /// The last durable record of each shard that is open.
    pub(super) fn open_seqs(&self) -> Vec<Option<u64>> {
        let open = |end: &ShardEnd| end.epoch.load(Ordering::Acquire) != SHUT;
        let seq = |end: &ShardEnd| end.durable_seq.load(Ordering::Acquire);
        self.shards.iter().map(|end| open(end).then(|| seq(end))).collect()
    }

    /// Notes that a batch is durable.
    pub(super) fn note_commit(&self) {
        self.durable_epoch.store(self.epoch, Ordering::Release);
    }

    /// Moves a shard's watermark.
    pub(super) fn advance(&self, shard: ShardId, seq: u64) {
        self.shards[shard.index()].durable_seq.store(seq, Ordering::Release);
    }

    /// Notes that a newer owner has a shard.
    pub(super) fn note_fenced(&self, shard: ShardId) {
        self.fenced.lock().push(shard);
        self.fenced_more.notify_one();
    }

    /// Waits for a shard to be fenced off. Each is given out once.
    pub(super) async fn next_fenced(&self) -> ShardId {
        loop {
            if let Some(shard) = self.fenced.lock().pop() {
                return shard;
            }
            self.fenced_more.notified().await;
        }
    }
}

impl ShardEnd {
    fn new(epoch: u64, seq: u64) -> Self {
        Self { epoch: AtomicU64::new(epoch), durable_seq: AtomicU64::new(seq) }
    }
}
