//! What the other nodes have been told of the idempotency keys that got orders here. Must not know how they are told.

use super::directory::ClusterNode;
use domain::{OrderId, ShardId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use tokio::task::AbortHandle;

/// One run of another node: its name, which run it is, and where it listens.
pub(super) type Run = (String, u64, String);

/// What one run of another node has been told of each shard.
pub(super) type ToldShards = Arc<Mutex<HashMap<ShardId, Told>>>;

/// What all of them have been told, and the task that tells them.
#[derive(Debug, Default)]
pub(super) struct ToldKeys {
    runs: Mutex<HashMap<Run, ToldShards>>,
    task: OnceLock<AbortHandle>,
}

/// Up to where a node has been told of a shard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// Who owned the shard then, by number.
    pub(super) owner: Option<u64>,
    /// The youngest order that it was told of.
    pub(super) last: OrderId,
    /// How many orders had been placed here by then; none if there are more of which it was not told.
    pub(super) placed: Option<u64>,
}

impl Told {
    /// Whether that is all, now that this is the shard's owner and so many orders were placed.
    pub(super) fn is_all(&self, owner: Option<u64>, placed: u64) -> bool {
        self.owner == owner && self.placed == Some(placed)
    }
}

impl ToldKeys {
    /// Keeps what stops the task, once.
    pub(super) fn set_task(&self, task: AbortHandle) {
        // The other nodes are reached once.
        let _ = self.task.set(task);
    }

    /// Tells nobody any more.
    pub(super) fn stop(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    /// What a run has been told: nothing, if it is new.
    pub(super) fn of(&self, run: &Run) -> ToldShards {
        Arc::clone(self.runs.lock().entry(run.clone()).or_default())
    }

    /// Forgets the runs that are not among these.
    pub(super) fn keep(&self, is_there: impl Fn(&Run) -> bool) {
        self.runs.lock().retain(|run, _| is_there(run));
    }
}

/// Which run of a node this is.
pub(super) fn run_of(node: &ClusterNode) -> Run {
    (node.name.clone(), node.record.incarnation, node.record.peer_address.clone())
}
