//! How far behind the sale its backends are: shared by relay, consumer and checkpointer, which write
//! it, and by the engine's status, which reads it.

use super::shard::effects::{Effect, NotDelivered};
use crate::store::journal::{Journal, WriterFigures};
use domain::{ItemId, ShardId, Timestamp};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The engine's state at one moment, as readiness reports it and metrics show it.
#[derive(Clone, Debug, Default)]
pub struct EngineStatus {
    /// Whether the engine takes purchases.
    pub accepting: bool,
    /// Why it takes none, if so.
    pub refusing_because: Option<NotDelivered>,
    /// Number of shards whose actor is up.
    pub shards_up: usize,
    /// Number of shards that look at each tick what is due; the others have nothing that could be.
    pub shards_ticking: usize,
    /// Number of all shards.
    pub shards: usize,
    /// Items in quarantine.
    pub quarantined_items: Vec<ItemId>,
    /// Permits in use: requests admitted and not yet answered.
    pub permits_used: usize,
    /// Number of all permits.
    pub permits: usize,
    /// Envelopes that wait in mailboxes.
    pub mailbox_depth: usize,
    /// Records durable and not yet in the order store.
    pub backlog_records: u64,
    /// Age of the oldest of them, in seconds.
    pub backlog_age_seconds: f64,
    /// Time since the checkpoints last held everything that was durable, in seconds.
    pub checkpoint_age_seconds: f64,
    /// The journal's figures since the start.
    pub journal: WriterFigures,
    /// How far the wall clock has moved away from the engine's, in seconds.
    pub wall_drift_seconds: f64,
    /// The journal and what is behind the sale, each with what its state means for the sale.
    pub dependencies: Vec<DependencyStatus>,
}

/// A dependency as an operator should see it.
#[derive(Clone, Debug)]
pub struct DependencyStatus {
    /// `journal`, `clock`, `tasks`, `checkpoint`, `broker` or `order_store`.
    pub name: &'static str,
    /// Which implementation serves: `file`, `sqlite`, `redis`, `in-process`, `rabbitmq`, `mysql`.
    pub kind: &'static str,
    /// Whether the dependency works.
    pub healthy: bool,
    /// What its state means for the sale, in words.
    pub meaning: String,
}

/// How far each backend is with each shard, and how it is. Clones share one state.
#[derive(Clone)]
pub(super) struct PipelineStatus(Arc<Inner>);

struct Inner {
    /// Each shard's last record that the order store holds, with all before it.
    stored: Box<[AtomicU64]>,
    /// Each shard's last record that a checkpoint holds.
    checkpointed: Box<[AtomicU64]>,
    /// When the newest stored record was decided.
    stored_at: AtomicU64,
    /// When the checkpoints last held all that was durable.
    checkpointed_at: AtomicU64,
    refuses: AtomicBool,
    dependencies: Mutex<Vec<DependencyStatus>>,
}

/// How the backends are at one moment.
pub(super) struct PipelineLook {
    pub(super) backlog_records: u64,
    pub(super) backlog_age_seconds: f64,
    pub(super) checkpoint_age_seconds: f64,
    pub(super) dependencies: Vec<DependencyStatus>,
}

impl PipelineStatus {
    pub(super) fn new(shards: u16) -> Self {
        let zeros = || (0..shards).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner {
            stored: zeros(),
            checkpointed: zeros(),
            stored_at: AtomicU64::new(0),
            checkpointed_at: AtomicU64::new(0),
            refuses: AtomicBool::new(false),
            dependencies: Mutex::new(Vec::new()),
        }))
    }

    /// Notes that the order store holds the shard's records up to `seq`, the last decided at `at`.
    pub(super) fn stored(&self, shard: ShardId, seq: u64, at: Timestamp) {
        if let Some(stored) = self.0.stored.get(shard.index()) {
            stored.fetch_max(seq, Ordering::AcqRel);
        }
        self.0.stored_at.fetch_max(at.0, Ordering::AcqRel);
    }

    /// Notes that a checkpoint holds the shard up to `seq`.
    pub(super) fn checkpointed(&self, shard: ShardId, seq: u64) {
        if let Some(checkpointed) = self.0.checkpointed.get(shard.index()) {
            let before = checkpointed.swap(seq, Ordering::AcqRel);
            debug_assert!(before <= seq, "I11: a checkpoint never goes back");
        }
    }

    /// Notes that the checkpoints hold all that was durable at `now`.
    pub(super) fn all_checkpointed(&self, now: Timestamp) {
        self.0.checkpointed_at.store(now.0, Ordering::Release);
    }

    /// Each shard's last record in the order store.
    pub(super) fn stored_seqs(&self) -> Vec<u64> {
        self.0.stored.iter().map(|seq| seq.load(Ordering::Acquire)).collect()
    }

    /// Each shard's last record that both a checkpoint and the order store hold (I13).
    pub(super) fn covered(&self) -> Vec<u64> {
        let checkpointed = self.0.checkpointed.iter().map(|seq| seq.load(Ordering::Acquire));
        self.stored_seqs().into_iter().zip(checkpointed).map(|(a, b)| a.min(b)).collect()
    }

    /// The number of records that are durable and not in the order store.
    pub(super) fn backlog(&self, journal: &Journal<Effect>) -> u64 {
        let durable = journal.durable_seqs();
        durable
            .iter()
            .zip(self.stored_seqs())
            .map(|(durable, stored)| durable.saturating_sub(stored))
            .sum()
    }

    /// Whether new purchases are refused because of the backlog, by the operator's choice.
    pub(super) fn refuses(&self) -> bool {
        self.0.refuses.load(Ordering::Acquire)
    }

    /// Sets whether new purchases are refused because of the backlog.
    pub(super) fn set_refuses(&self, refuses: bool) {
        self.0.refuses.store(refuses, Ordering::Release);
    }

    /// Sets a dependency's state. Logs when its health changes.
    pub(super) fn report(
        &self,
        name: &'static str,
        kind: &'static str,
        healthy: bool,
        meaning: impl Into<String>,
    ) {
        let state = DependencyStatus { name, kind, healthy, meaning: meaning.into() };
        let mut dependencies = self.0.dependencies.lock();
        let before = dependencies.iter().position(|dependency| dependency.name == name);
        let was_healthy = before.map(|index| dependencies[index].healthy);
        if !healthy && was_healthy != Some(false) {
            tracing::warn!(dependency = name, kind, meaning = state.meaning, "dependency degraded");
        } else if healthy && was_healthy == Some(false) {
            tracing::info!(dependency = name, kind, "dependency works again");
        }
        match before {
            Some(index) => dependencies[index] = state,
            None => dependencies.push(state),
        }
    }

    /// How the backends are at `now`.
    pub(super) fn look(&self, journal: &Journal<Effect>, now: Timestamp) -> PipelineLook {
        let age = |at: u64| now.0.saturating_sub(at) as f64 / 1e3;
        let backlog_records = self.backlog(journal);
        let stored_at = self.0.stored_at.load(Ordering::Acquire);
        let checkpointed_at = self.0.checkpointed_at.load(Ordering::Acquire);
        PipelineLook {
            backlog_records,
            // Bounded below by the newest stored record: what is not stored is younger.
            backlog_age_seconds: if backlog_records > 0 && stored_at > 0 {
                age(stored_at)
            } else {
                0.0
            },
            checkpoint_age_seconds: if checkpointed_at > 0 { age(checkpointed_at) } else { 0.0 },
            dependencies: self.0.dependencies.lock().clone(),
        }
    }
}
