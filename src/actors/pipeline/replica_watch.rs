//! Watches the replica of an order store: whether it is one, how far it is, and whether lists may be read from it.
//!
//! What it has said is what the journal may delete, where records are kept until it has them.

use crate::actors::engine::Engine;
use crate::actors::meaning::Meaning;
use crate::actors::status::order_replica_name;
use crate::store::database::StoreError;
use crate::store::orders::{OrderStore, Owner, ReplicaLook, ReplicaReads};
use crate::telemetry::metrics::{
    ORDER_REPLICA_LAG_RECORDS, ORDER_REPLICA_READS_TOTAL, REPLICA_READ_OUTCOMES,
};
use domain::ShardId;
use std::time::Duration;

/// The time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// After so many looks at which it had taken nothing of what it lacks, it is said to stand.
const LOOKS_STANDING: u32 = 5;
/// After so many looks in a row at which the order store did not say how far it is, lists of a shop of several
/// nodes are not read from the replica: what other nodes have released is known from the order store alone.
const LOOKS_WITHOUT: u32 = 5;

/// What is known of a replica.
struct Watch {
    engine: Engine,
    orders: OrderStore,
    /// How far the order store was at the look before, if there was one: a list holds that.
    stored_before: Option<Vec<u64>>,
    /// How far the replica was at the look before.
    replicated_before: Vec<u64>,
    /// Looks at which it had taken nothing.
    standing: u32,
    /// Looks at which the order store did not say how far it is.
    without: u32,
}

/// Watches the replica of one order store for as long as the engine runs.
pub(super) async fn watch(engine: Engine, orders: OrderStore) {
    let none = vec![0; engine.pipeline_status().stored_seqs().len()];
    let mut watch = Watch {
        engine,
        orders,
        stored_before: None,
        replicated_before: none,
        standing: 0,
        without: 0,
    };
    loop {
        let meaning = watch.look().await;
        let healthy = meaning == Meaning::ReplicaFollows;
        let name = order_replica_name(watch.orders.place());
        let kind = watch.orders.database().kind();
        watch.show_reads();
        watch.engine.pipeline_status().report(name, kind, healthy, meaning);
        tokio::time::sleep(LOOK).await;
    }
}

impl Watch {
    /// Shows what came of the lists that the replica was asked for, in the outcomes of the metric.
    fn show_reads(&self) {
        let store = self.orders.place().place.to_string();
        let ReplicaReads { read, behind, away } = self.orders.replica_reads();
        for (outcome, count) in REPLICA_READ_OUTCOMES.into_iter().zip([read, behind, away]) {
            let labels = [("store", store.clone()), ("outcome", outcome.to_owned())];
            metrics::counter!(ORDER_REPLICA_READS_TOTAL, &labels).absolute(count);
        }
    }

    /// Looks, lets lists be read from it or not, and returns how it is.
    async fn look(&mut self) -> Meaning {
        let stored = self.stored().await;
        let found = self.orders.replica_look().await;
        let meaning = match found {
            Ok(look) => self.judge(&look, &stored),
            Err(error) => Err(error.to_string()),
        };
        // What was stored by the look before: a list is that old at most. At the first look nothing is known.
        let before = self.stored_before.replace(stored);
        let is_known = before.is_some() && self.without < LOOKS_WITHOUT;
        for (shard, seq) in (0..).map(ShardId).zip(before.unwrap_or_default()) {
            self.orders.lists_need(shard, seq);
        }
        self.orders.use_replica(meaning.is_ok() && is_known);
        meaning.unwrap_or_else(Meaning::ReplicaAway)
    }

    /// How far the order store is. In a shop of several nodes it has to be asked: others store as well.
    async fn stored(&mut self) -> Vec<u64> {
        let known = self.engine.pipeline_status().stored_seqs();
        if self.engine.directory().is_none() {
            return known;
        }
        match self.engine.stored_seqs(&self.orders).await {
            Ok(stored) => {
                self.without = 0;
                stored
            }
            Err(_) => {
                self.without += 1;
                known
            }
        }
    }

    /// How it is, by what it says; why it is not to be used, if so.
    fn judge(&mut self, look: &ReplicaLook, stored: &[u64]) -> Result<Meaning, String> {
        let expected = Owner { journal: self.engine.journal_id(), place: self.orders.place() };
        if look.owner.is_some_and(|owner| owner != expected) {
            return Err("it is of another order store".to_owned());
        }
        let mut replicated = vec![0; stored.len()];
        for (shard, seq) in &look.progress {
            if let Some(own) = replicated.get_mut(shard.index()) {
                *own = *seq;
            }
        }
        let status = self.engine.pipeline_status();
        let own = (0..).map(ShardId).zip(stored.iter().zip(&replicated));
        let mut lag = 0;
        for (shard, (stored, replicated)) in own.filter(|(shard, _)| self.orders.holds(*shard)) {
            status.replicated(shard, *replicated);
            lag += stored.saturating_sub(*replicated);
        }
        let store = self.orders.place().place.to_string();
        metrics::gauge!(ORDER_REPLICA_LAG_RECORDS, "store" => store).set(lag as f64);
        let has_taken_some = replicated != self.replicated_before;
        self.replicated_before = replicated;
        self.standing = if lag == 0 || has_taken_some { 0 } else { self.standing + 1 };
        Ok(if self.standing < LOOKS_STANDING {
            Meaning::ReplicaFollows
        } else {
            Meaning::ReplicaStands(lag)
        })
    }
}

/// Whether the replica says at this moment that it holds all records up to `covered` of the order store's shards; so
/// does one that nobody waits for.
///
/// # Errors
/// Returns [`StoreError`] if it does not answer.
pub(super) async fn holds(orders: &OrderStore, covered: &[u64]) -> Result<bool, StoreError> {
    if !orders.awaits_replica() {
        return Ok(true);
    }
    let ReplicaLook { progress, .. } = orders.replica_look().await?;
    let replicated =
        |shard: ShardId| progress.iter().find(|(own, _)| *own == shard).map_or(0, |(_, seq)| *seq);
    let mut shards = (0..).map(ShardId).zip(covered);
    Ok(shards.all(|(shard, covered)| !orders.holds(shard) || replicated(shard) >= *covered))
}
