//! How far behind the sale its backends are: shared by relay, consumer and checkpointer, which write
//! it, and by the engine's status, which reads it.

use super::meaning::Meaning;
use super::shard::effects::{Effect, NotDelivered};
use crate::store::journal::{Journal, WriterFigures};
use crate::store::orders::{STORES_MAX, StorePlace};
use crate::telemetry::text::Histogram;
use domain::{ItemId, ShardId, Timestamp};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};

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
    /// How many of them each order store lacks, by its place.
    pub store_backlogs: Vec<u64>,
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
    /// `journal`, `clock`, `tasks`, `data_directory`, `checkpoint`, `broker`, `events`, `order_store` or
    /// `catalogue`; of several order stores the further ones are `order_store_1` and so on, and their replicas
    /// `order_replica`, `order_replica_1` and so on.
    pub name: &'static str,
    /// Which implementation serves: `file`, `files`, `sqlite`, `redis`, `in-process`, `rabbitmq`, `mysql`.
    pub kind: &'static str,
    /// Whether the dependency works.
    pub healthy: bool,
    /// What its state means for the sale.
    pub meaning: Meaning,
}

/// How far each backend is with each shard, and how it is. Clones share one state.
#[derive(Clone)]
pub(super) struct PipelineStatus(Arc<Inner>);

struct Inner {
    /// Each shard's last record that the order store holds, with all before it, as it said itself.
    stored: Box<[AtomicU64]>,
    /// Behind which record of each shard the relay began, [`NOT_BEGUN`] once any was stored since.
    begun: Box<[AtomicU64]>,
    /// What is known of each order store, as many as there may be.
    lanes: Box<[Lane]>,
    /// How many order stores there are.
    order_stores: AtomicU16,
    /// Each shard's last record that a checkpoint holds.
    checkpointed: Box<[AtomicU64]>,
    /// Each shard's last record that the order store's replica holds, as it said itself.
    replicated: Box<[AtomicU64]>,
    /// Whether the journal keeps records until the replicas have them.
    awaits_replicas: AtomicBool,
    /// When the checkpoints last held all that was durable.
    checkpointed_at: AtomicU64,
    refuses: AtomicBool,
    /// What was changed of the backlog's threshold since the start.
    backlog_limit: Mutex<Option<(u64, bool)>>,
    dependencies: Mutex<Vec<DependencyStatus>>,
    /// How long the order store took for each batch.
    apply_durations: Histogram,
}

/// What is known of one order store and the relay that sends to it.
struct Lane {
    /// Whether the relay is to begin again behind what is stored.
    begin_again: AtomicBool,
    /// Why the order store does not hold all that it should.
    incomplete: Mutex<Option<Meaning>>,
    /// When the oldest record was decided that may not be stored, or an earlier time.
    waiting_since: AtomicU64,
}

/// No record: the relay has not begun, or something was stored since.
const NOT_BEGUN: u64 = u64::MAX;
/// Names of what there is of each order store, by its place: that of the first is as if it were the only one.
macro_rules! of_each_store {
    ($name:literal: $($place:literal)*) => {
        [$name, $(concat!($name, "_", $place)),*]
    };
}

/// The names of the order stores among the dependencies.
const ORDER_STORES: [&str; STORES_MAX as usize] =
    of_each_store!("order_store": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
/// The names of their replicas.
const ORDER_REPLICAS: [&str; STORES_MAX as usize] =
    of_each_store!("order_replica": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

/// The name of an order store among the dependencies.
pub(super) fn order_store_name(place: StorePlace) -> &'static str {
    ORDER_STORES.get(usize::from(place.place)).copied().unwrap_or(ORDER_STORES[0])
}

/// The name of an order store's replica among the dependencies.
pub(super) fn order_replica_name(place: StorePlace) -> &'static str {
    ORDER_REPLICAS.get(usize::from(place.place)).copied().unwrap_or(ORDER_REPLICAS[0])
}

/// How the backends are at one moment.
pub(super) struct PipelineLook {
    pub(super) store_backlogs: Vec<u64>,
    pub(super) backlog_age_seconds: f64,
    pub(super) checkpoint_age_seconds: f64,
    pub(super) dependencies: Vec<DependencyStatus>,
}

impl PipelineStatus {
    /// The state at the start: `base` is each shard's last record that the journal has retired, so that
    /// the order store holds it until the store itself says otherwise. What is not known to be stored or
    /// checkpointed counts as waiting since `now`.
    pub(super) fn new(base: &[u64], now: Timestamp) -> Self {
        let all = |value| base.iter().map(|_| AtomicU64::new(value)).collect();
        Self(Arc::new(Inner {
            stored: base.iter().copied().map(AtomicU64::new).collect(),
            begun: all(NOT_BEGUN),
            lanes: (0..STORES_MAX).map(|_| Lane::new(now)).collect(),
            order_stores: AtomicU16::new(1),
            checkpointed: all(0),
            replicated: all(0),
            awaits_replicas: AtomicBool::new(false),
            checkpointed_at: AtomicU64::new(now.0),
            refuses: AtomicBool::new(false),
            backlog_limit: Mutex::new(None),
            dependencies: Mutex::new(Vec::new()),
            apply_durations: Histogram::of_durations(),
        }))
    }

    /// Sets how many order stores there are, before any is written to.
    pub(super) fn set_order_stores(&self, stores: u16) {
        self.0.order_stores.store(stores, Ordering::Release);
    }

    /// Which of the order stores keeps the shard.
    fn place_of(&self, shard: ShardId) -> StorePlace {
        StorePlace::of(shard, self.0.order_stores.load(Ordering::Acquire))
    }

    fn lane(&self, place: StorePlace) -> &Lane {
        &self.0.lanes[usize::from(place.place).min(self.0.lanes.len() - 1)]
    }

    /// The lanes of the order stores that there are.
    fn lanes(&self) -> &[Lane] {
        let stores = usize::from(self.0.order_stores.load(Ordering::Acquire));
        &self.0.lanes[..stores.clamp(1, self.0.lanes.len())]
    }

    /// How long the order store took for each batch.
    pub(super) fn apply_durations(&self) -> &Histogram {
        &self.0.apply_durations
    }

    /// A shard is served from now on: the journal has retired all up to `base_seq`, and its checkpoint
    /// holds all up to `checkpointed`.
    pub(super) fn open(&self, shard: ShardId, base_seq: u64, checkpointed: u64) {
        let Some(stored) = self.0.stored.get(shard.index()) else { return };
        stored.fetch_max(base_seq, Ordering::AcqRel);
        // Not only forward: what a store held that was lost since counts no more.
        self.0.checkpointed[shard.index()].store(checkpointed, Ordering::Release);
    }

    /// Notes that the order store holds the shard's records up to `seq`, the last decided at `at`.
    pub(super) fn stored(&self, shard: ShardId, seq: u64, at: Timestamp) {
        if let Some(stored) = self.0.stored.get(shard.index()) {
            stored.fetch_max(seq, Ordering::AcqRel);
            self.0.begun[shard.index()].store(NOT_BEGUN, Ordering::Release);
        }
        self.lane(self.place_of(shard)).waiting_since.fetch_max(at.0, Ordering::AcqRel);
    }

    /// Notes what an order store says of the shards that it keeps: `progress` as it was read after
    /// [`Self::stored_seqs`] returned `before`. Returns whether it holds less than it did.
    pub(super) fn note_progress(
        &self,
        place: StorePlace,
        before: &[u64],
        progress: &[u64],
    ) -> bool {
        let mut went_back = false;
        let shards = (0..).map(ShardId).zip(&self.0.stored).zip(before).zip(progress);
        for (((_, stored), before), now) in
            shards.filter(|(((shard, _), _), _)| place.holds(*shard))
        {
            if now < before {
                went_back = true;
                // Unless more was stored meanwhile, which is the store's own word as well.
                let _ = stored.compare_exchange(*before, *now, Ordering::AcqRel, Ordering::Acquire);
            } else {
                stored.fetch_max(*now, Ordering::AcqRel);
            }
        }
        went_back
    }

    /// Notes behind which record of each shard that this order store keeps its relay begins.
    pub(super) fn note_begin(&self, place: StorePlace, progress: &[u64]) {
        for ((shard, begun), seq) in (0..).map(ShardId).zip(&self.0.begun).zip(progress) {
            if place.holds(shard) {
                begun.store(*seq, Ordering::Release);
            }
        }
    }

    /// Notes that what the relay of this order store sends next was decided at `at`, and that nothing older
    /// waits.
    pub(super) fn note_oldest(&self, place: StorePlace, at: Timestamp) {
        self.lane(place).waiting_since.store(at.0, Ordering::Release);
    }

    /// Notes that a batch was refused because the shard is stored up to `stored_seq` only. The relay is
    /// asked to begin again, once: what it sent before that is refused as well when it arrives.
    pub(super) fn note_gap(&self, shard: ShardId, stored_seq: u64) {
        let Some(begun) = self.0.begun.get(shard.index()) else { return };
        if begun.load(Ordering::Acquire) != stored_seq {
            let place = self.place_of(shard);
            self.ask_to_begin_again(place);
            self.lane(place).incomplete.lock().get_or_insert(Meaning::OrdersRefilled);
        }
    }

    /// Asks the relay of this order store to begin again behind what is stored.
    pub(super) fn ask_to_begin_again(&self, place: StorePlace) {
        self.lane(place).begin_again.store(true, Ordering::Release);
    }

    /// Asks the relay that brings this shard's records to begin again.
    pub(super) fn ask_to_bring(&self, shard: ShardId) {
        self.ask_to_begin_again(self.place_of(shard));
    }

    /// Whether the relay of this order store is to begin again; it does.
    pub(super) fn take_begin_again(&self, place: StorePlace) -> bool {
        self.lane(place).begin_again.swap(false, Ordering::AcqRel)
    }

    /// Sets why this order store does not hold all that it should, or that it does. Returns whether it
    /// did before.
    pub(super) fn set_incomplete(&self, place: StorePlace, why: Option<Meaning>) -> bool {
        std::mem::replace(&mut *self.lane(place).incomplete.lock(), why).is_none()
    }

    /// Why this order store does not hold all that it should, if that is known.
    pub(super) fn incomplete(&self, place: StorePlace) -> Option<Meaning> {
        self.lane(place).incomplete.lock().clone()
    }

    /// Whether this order store is known to lack what it should hold.
    pub(super) fn is_incomplete(&self, place: StorePlace) -> bool {
        self.lane(place).incomplete.lock().is_some()
    }

    /// Notes that a checkpoint holds the shard up to `seq`.
    pub(super) fn checkpointed(&self, shard: ShardId, seq: u64) {
        if let Some(checkpointed) = self.0.checkpointed.get(shard.index()) {
            // I11: it never goes back. What was written while the shard went and came again counts no more.
            checkpointed.fetch_max(seq, Ordering::AcqRel);
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

    /// Each shard's last record that a checkpoint, the order store and, if it is awaited, its replica hold (I13).
    pub(super) fn covered(&self) -> Vec<u64> {
        let checkpointed = self.0.checkpointed.iter().map(|seq| seq.load(Ordering::Acquire));
        let held = checkpointed.zip(self.replicated_seqs()).map(|(a, b)| a.min(b));
        self.stored_seqs().into_iter().zip(held).map(|(a, b)| a.min(b)).collect()
    }

    /// The journal keeps records from now on until the replicas have them.
    pub(super) fn await_replicas(&self) {
        self.0.awaits_replicas.store(true, Ordering::Release);
    }

    /// Notes that the order store's replica says to hold the shard's records up to `seq`.
    pub(super) fn replicated(&self, shard: ShardId, seq: u64) {
        if let Some(replicated) = self.0.replicated.get(shard.index()) {
            // Not only forward: another one may have taken its place.
            replicated.store(seq, Ordering::Release);
        }
    }

    /// Each shard's last record that the journal need not keep for a replica.
    fn replicated_seqs(&self) -> Vec<u64> {
        let awaits = self.0.awaits_replicas.load(Ordering::Acquire);
        let seq = |seq: &AtomicU64| if awaits { seq.load(Ordering::Acquire) } else { u64::MAX };
        self.0.replicated.iter().map(seq).collect()
    }

    /// The number of durable records that the journal keeps for replicas.
    pub(super) fn unreplicated(&self, journal: &Journal<Effect>) -> u64 {
        let durable = journal.durable_seqs().into_iter().zip(self.replicated_seqs());
        durable.map(|(durable, replicated)| durable.saturating_sub(replicated)).sum()
    }

    /// The number of records that are durable and in no order store.
    pub(super) fn backlog(&self, journal: &Journal<Effect>) -> u64 {
        self.backlogs(journal).iter().sum()
    }

    /// The same for each order store, by its place.
    pub(super) fn backlogs(&self, journal: &Journal<Effect>) -> Vec<u64> {
        let mut backlogs = vec![0; self.lanes().len()];
        let durable = (0..).map(ShardId).zip(journal.durable_seqs());
        for ((shard, durable), stored) in durable.zip(self.stored_seqs()) {
            let place = self.place_of(shard).place;
            if let Some(backlog) = backlogs.get_mut(usize::from(place)) {
                *backlog += durable.saturating_sub(stored);
            }
        }
        backlogs
    }

    /// Notes that nothing waits for an order store at `now`.
    pub(super) fn note_empty(&self, now: Timestamp) {
        for lane in self.lanes() {
            lane.waiting_since.fetch_max(now.0, Ordering::AcqRel);
        }
    }

    /// Whether new purchases are refused because of the backlog, by the operator's choice.
    pub(super) fn refuses(&self) -> bool {
        self.0.refuses.load(Ordering::Acquire)
    }

    /// Sets whether new purchases are refused because of the backlog.
    pub(super) fn set_refuses(&self, refuses: bool) {
        self.0.refuses.store(refuses, Ordering::Release);
    }

    /// Changes the backlog's threshold, and whether purchases are refused beyond it.
    pub(super) fn set_backlog_limit(&self, records_max: u64, refuses_beyond: bool) {
        *self.0.backlog_limit.lock() = Some((records_max, refuses_beyond));
    }

    /// What was changed of the backlog's threshold since the start, if anything.
    pub(super) fn backlog_limit(&self) -> Option<(u64, bool)> {
        *self.0.backlog_limit.lock()
    }

    /// Sets a dependency's state. Logs when its health changes.
    pub(super) fn report(
        &self,
        name: &'static str,
        kind: &'static str,
        healthy: bool,
        meaning: Meaning,
    ) {
        let state = DependencyStatus { name, kind, healthy, meaning };
        let mut dependencies = self.0.dependencies.lock();
        let before = dependencies.iter().position(|dependency| dependency.name == name);
        let was_healthy = before
            .filter(|index| dependencies[*index].meaning != Meaning::NotAskedYet)
            .map(|index| dependencies[index].healthy);
        if !healthy && was_healthy != Some(false) {
            tracing::warn!(dependency = name, kind, meaning = %state.meaning, "dependency degraded");
        } else if healthy && was_healthy == Some(false) {
            tracing::info!(dependency = name, kind, "dependency works again");
        }
        match before {
            Some(index) => dependencies[index] = state,
            None => dependencies.push(state),
        }
    }

    /// Counts a dependency as not well until its state is reported for the first time: what was never asked
    /// is not known to work.
    pub(super) fn expect(&self, name: &'static str, kind: &'static str) {
        let mut dependencies = self.0.dependencies.lock();
        if dependencies.iter().all(|dependency| dependency.name != name) {
            let meaning = Meaning::NotAskedYet;
            dependencies.push(DependencyStatus { name, kind, healthy: false, meaning });
        }
    }

    /// How the backends are at `now`.
    pub(super) fn look(&self, journal: &Journal<Effect>, now: Timestamp) -> PipelineLook {
        let age = |at: u64| now.0.saturating_sub(at) as f64 / 1e3;
        let backlogs = self.backlogs(journal);
        let waiting = self.lanes().iter().zip(&backlogs).filter(|(_, backlog)| **backlog > 0);
        let waiting_since =
            waiting.map(|(lane, _)| lane.waiting_since.load(Ordering::Acquire)).min();
        let checkpointed_at = self.0.checkpointed_at.load(Ordering::Acquire);
        let mut dependencies = self.0.dependencies.lock().clone();
        for (name, lane) in ORDER_STORES.iter().zip(self.lanes()) {
            if let Some(why) = lane.incomplete.lock().clone()
                && let Some(store) =
                    dependencies.iter_mut().find(|found| found.name == *name && found.healthy)
            {
                (store.healthy, store.meaning) = (false, why);
            }
        }
        PipelineLook {
            store_backlogs: backlogs,
            backlog_age_seconds: waiting_since.map_or(0.0, age),
            checkpoint_age_seconds: age(checkpointed_at),
            dependencies,
        }
    }
}

impl Lane {
    fn new(now: Timestamp) -> Self {
        Self {
            begin_again: AtomicBool::new(false),
            incomplete: Mutex::new(None),
            waiting_since: AtomicU64::new(now.0),
        }
    }
}
