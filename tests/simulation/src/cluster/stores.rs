//! What all nodes share beside the log: checkpoints and the order store, each of which can be away, and the
//! checkpoints lost.

use domain::stock::Snapshot;
use domain::{Record, ShardId};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A shard's checkpoint.
#[derive(Clone)]
pub struct Checkpoint {
    pub epoch: u64,
    pub snapshot: Snapshot,
}

/// The stores. Clones share them.
#[derive(Clone, Default)]
pub struct Stores(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    checkpoints: BTreeMap<ShardId, Checkpoint>,
    /// The records that the order store has of each shard, in their order.
    records: BTreeMap<ShardId, Vec<Record>>,
    /// Up to which record it says that it has all.
    progress: BTreeMap<ShardId, u64>,
    are_checkpoints_away: bool,
    are_orders_away: bool,
}

/// A store does not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Away;

impl Stores {
    /// Sets whether the checkpoints do not answer, and whether the order store does not.
    pub fn set_away(&self, checkpoints: bool, orders: bool) {
        let mut state = self.0.lock();
        (state.are_checkpoints_away, state.are_orders_away) = (checkpoints, orders);
    }

    /// All checkpoints are gone.
    pub fn lose_checkpoints(&self) {
        self.0.lock().checkpoints.clear();
    }

    pub fn checkpoint(&self, shard: ShardId) -> Result<Option<Checkpoint>, Away> {
        let state = self.0.lock();
        if state.are_checkpoints_away {
            return Err(Away);
        }
        Ok(state.checkpoints.get(&shard).cloned())
    }

    /// Stores a checkpoint unless a later one is there. Returns the record that the store holds then.
    pub fn write_checkpoint(&self, shard: ShardId, new: Checkpoint) -> Result<u64, Away> {
        let mut state = self.0.lock();
        if state.are_checkpoints_away {
            return Err(Away);
        }
        let mark = |checkpoint: &Checkpoint| (checkpoint.epoch, checkpoint.snapshot.seq);
        let stored = state.checkpoints.entry(shard).or_insert_with(|| new.clone());
        if mark(stored) < mark(&new) {
            *stored = new;
        }
        Ok(stored.snapshot.seq)
    }

    /// Up to which record of a shard the order store says that it has all.
    pub fn progress(&self, shard: ShardId) -> Result<u64, Away> {
        let state = self.0.lock();
        if state.are_orders_away {
            return Err(Away);
        }
        Ok(state.progress.get(&shard).copied().unwrap_or(0))
    }

    /// Stores those of these records that follow what is there.
    pub fn store(&self, shard: ShardId, records: impl IntoIterator<Item = Record>) {
        let mut state = self.0.lock();
        if state.are_orders_away {
            return;
        }
        for record in records {
            let progress = state.progress.entry(shard).or_default();
            if record.seq == *progress + 1 {
                *progress = record.seq;
                state.records.entry(shard).or_default().push(record);
            }
        }
    }

    /// Says of a shard that all up to this record is there.
    pub fn skip_to(&self, shard: ShardId, seq: u64) {
        let mut state = self.0.lock();
        let progress = state.progress.entry(shard).or_default();
        *progress = seq.max(*progress);
    }

    /// Whether the order store has all that it says it has.
    pub fn is_whole(&self) -> Result<(), String> {
        let state = self.0.lock();
        for (shard, progress) in &state.progress {
            let count = state.records.get(shard).map_or(0, |records| records.len() as u64);
            if count != *progress {
                return Err(format!("shard {shard}: up to {progress}, of which {count} are there"));
            }
        }
        Ok(())
    }

    /// All that the order store has of a shard.
    pub fn records(&self, shard: ShardId) -> Result<Vec<Record>, Away> {
        let state = self.0.lock();
        if state.are_orders_away {
            return Err(Away);
        }
        Ok(state.records.get(&shard).cloned().unwrap_or_default())
    }
}
