//! Who still needs records of the journal that checkpoint and order store hold: the readers beside the relay.
//!
//! The checkpointer asks before it retires. A reader that is far behind keeps records up to a limit in bytes; beyond
//! it they go, because a journal that grows without end would stop the sale. Must not know what is read.

use super::shard::effects::Effect;
use crate::store::journal::Journal;
use domain::ShardId;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// The readers' holds. Clones share one list.
#[derive(Clone, Default)]
pub(super) struct Holds(Arc<Mutex<List>>);

#[derive(Default)]
struct List {
    holds: Vec<Weak<Hold>>,
    /// How much of the journal's newest records they keep at most.
    retain_bytes: u64,
}

/// What one reader has no use for any more: each shard's last record that it needs no more. Holds nothing once it is
/// dropped.
#[derive(Debug)]
pub(super) struct Hold(Box<[AtomicU64]>);

impl Hold {
    /// The shard's records up to `seq` are needed no more, those behind it are.
    pub(super) fn set(&self, shard: ShardId, seq: u64) {
        if let Some(own) = self.0.get(shard.index()) {
            own.store(seq, Ordering::Release);
        }
    }

    /// The shard's last record that is needed no more.
    pub(super) fn seq(&self, shard: ShardId) -> u64 {
        self.0.get(shard.index()).map_or(0, |own| own.load(Ordering::Acquire))
    }
}

impl Holds {
    /// Holds all records of so many shards, until the hold says otherwise.
    pub(super) fn add(&self, shards: usize) -> Arc<Hold> {
        let hold = Arc::new(Hold((0..shards).map(|_| AtomicU64::new(0)).collect()));
        let mut list = self.0.lock();
        list.holds.retain(|hold| hold.strong_count() > 0);
        list.holds.push(Arc::downgrade(&hold));
        hold
    }

    /// Sets how much of the journal's newest records may be kept for them.
    pub(super) fn set_retain_bytes(&self, bytes: u64) {
        self.0.lock().retain_bytes = bytes;
    }

    /// Each shard's last record that may go, of those that `covered` says are kept elsewhere.
    pub(super) fn retirable(&self, journal: &Journal<Effect>, covered: &[u64]) -> Vec<u64> {
        let (holds, retain_bytes) = {
            let list = self.0.lock();
            let holds: Vec<Arc<Hold>> = list.holds.iter().filter_map(Weak::upgrade).collect();
            (holds, list.retain_bytes)
        };
        if holds.is_empty() {
            return covered.to_vec();
        }
        let needed = |shard| holds.iter().map(|hold| hold.seq(shard)).min().unwrap_or(0);
        let beyond = journal.beyond(retain_bytes);
        let beyond = beyond.into_iter().chain(std::iter::repeat(0));
        let each = (0..).map(ShardId).zip(covered).zip(beyond);
        each.map(|((shard, covered), beyond)| (*covered).min(needed(shard).max(beyond))).collect()
    }
}
