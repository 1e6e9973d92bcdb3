//! Watches that an order store keeps what it was given.
//!
//! A database may be dropped, truncated or restored from an older backup beside a running shop. The
//! store's own progress tells of the first and the last; rows that are gone below it are found by their
//! number, which is compared with what was sealed when they were stored. What the journal still has is
//! sent again from there. What it has no longer is told, and until then nothing more is deleted from
//! the journal.

use super::replica_watch;
use crate::actors::engine::Engine;
use crate::actors::meaning::Meaning;
use crate::actors::status::order_store_name;
use crate::store::database::StoreError;
use crate::store::orders::ownership::OwnershipError;
use crate::store::orders::{OrderStore, StorePlace};
use crate::telemetry::metrics::{ORDER_STORE_MISSING, ORDER_STORE_REFILLS_TOTAL};
use domain::ShardId;
use std::time::Duration;
use tokio::time::Instant;

/// The time between two looks at the store's progress.
const LOOK: Duration = Duration::from_secs(1);
/// The time between two counts of its rows, at least.
const COUNT: Duration = Duration::from_secs(5);
/// How many times as long as a count takes the next one is put off.
const COUNT_SHARE: u32 = 20;

/// What is known of the order store.
struct Watch {
    engine: Engine,
    orders: OrderStore,
    /// When its rows are counted next.
    count_at: Instant,
    /// Whether rows were found missing and are being sent again.
    refills: bool,
    /// Rows that the journal did not have any more.
    gone: u64,
    /// Whether shards are held back whose missing records the journal does not have.
    holds_back: bool,
    /// Whether it did not answer at the last look.
    is_away: bool,
}

/// Watches one order store for as long as the engine runs.
pub(super) async fn watch(engine: Engine, orders: OrderStore) {
    let mut watch = Watch {
        engine,
        orders,
        count_at: Instant::now(),
        refills: false,
        gone: 0,
        holds_back: false,
        is_away: false,
    };
    loop {
        let looked = watch.look().await;
        watch.tell_whether_it_answers(looked).await;
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether the order store, and its replica if it is awaited, say at this moment that they hold all records up to
/// `covered`, and the order store has all rows that were stored.
///
/// # Errors
/// Returns [`OwnershipError`] if it does not answer or is not this journal's.
pub(super) async fn holds(
    engine: &Engine,
    orders: &OrderStore,
    covered: &[u64],
) -> Result<bool, OwnershipError> {
    let stored = engine.stored_seqs(orders).await?;
    let mut shards = (0..).map(ShardId).zip(stored.iter().zip(covered));
    let all = shards.all(|(shard, (stored, covered))| stored >= covered || !orders.holds(shard));
    let all = all && replica_watch::holds(orders, covered).await?;
    Ok(all && orders.census().await?.missing() == 0)
}

impl Watch {
    /// Tells of a store that does not answer, also where nothing is written to it, and makes tables anew
    /// that are gone.
    async fn tell_whether_it_answers(&mut self, looked: Result<(), OwnershipError>) {
        let status = self.engine.pipeline_status();
        let (name, kind) = (order_store_name(self.place()), self.orders.database().kind());
        match looked {
            Ok(()) => {
                if std::mem::take(&mut self.is_away) {
                    status.report(name, kind, true, Meaning::OrdersArrive);
                }
            }
            Err(error) => {
                self.is_away = true;
                status.report(name, kind, false, Meaning::OrdersWait(error.to_string()));
                if let OwnershipError::Store(StoreError::Refused(_)) = error {
                    // The next look tells whether that helped.
                    let _ = self.orders.migrate().await;
                }
            }
        }
    }

    fn place(&self) -> StorePlace {
        self.orders.place()
    }

    /// Sets how many records and rows are lost.
    fn set_missing(&self, count: u64) {
        let store = self.place().place.to_string();
        metrics::gauge!(ORDER_STORE_MISSING, "store" => store).set(count as f64);
    }

    async fn look(&mut self) -> Result<(), OwnershipError> {
        let place = self.place();
        self.orders.database().tend().await?;
        if place.place > 0 {
            // The first one is asked by those who look after the catalogue.
            self.orders.ping().await?;
        }
        let status = self.engine.pipeline_status().clone();
        let before = status.stored_seqs();
        let stored = self.engine.stored_seqs(&self.orders).await?;
        if status.note_progress(place, &before, &stored) {
            self.refill("its progress went back");
        }
        let journal = &self.engine.context().journal;
        let mut base = journal.base_seqs();
        for (shard, base) in (0..).map(ShardId).zip(&mut base) {
            *base = if place.holds(shard) { *base } else { 0 };
        }
        let lost: u64 = base.iter().zip(&stored).map(|(base, seq)| base.saturating_sub(*seq)).sum();
        self.set_missing(lost + self.gone);
        if let Some(shard) = base.iter().zip(&stored).position(|(base, stored)| stored < base) {
            self.holds_back = true;
            let (stored, base) = (stored[shard], base[shard]);
            self.tell(Meaning::OrdersLackRecords { lost, shard, stored, base });
            return Ok(());
        }
        if std::mem::take(&mut self.holds_back) {
            self.refill("what was missing is back");
        }
        if status.is_incomplete(place) {
            // What is on its way is waited for.
            if status.backlogs(journal).get(usize::from(place.place)).is_some_and(|left| *left > 0)
            {
                return Ok(());
            }
        } else if Instant::now() < self.count_at {
            return Ok(());
        }
        self.count(&base).await
    }

    /// Counts the rows, and has the journal sent again where some are missing.
    async fn count(&mut self, base: &[u64]) -> Result<(), OwnershipError> {
        let begun = Instant::now();
        self.orders.seal_what_is_stored().await?;
        let missing = self.orders.census().await?.missing();
        self.count_at = Instant::now() + COUNT.max(begun.elapsed() * COUNT_SHARE);
        let refilled = std::mem::take(&mut self.refills);
        if missing == 0 {
            self.gone = 0;
            self.set_missing(0);
            if !self.engine.pipeline_status().set_incomplete(self.place(), None) {
                tracing::info!("the order store holds all that it should again");
            }
            return Ok(());
        }
        if refilled || missing <= self.gone {
            self.gone = missing;
            self.set_missing(missing);
            self.tell(Meaning::OrdersLackRows(missing));
            return Ok(());
        }
        let journal = &self.engine.context().journal;
        // The others' rows are sent again by those that serve them.
        let own: Vec<(ShardId, u64)> = (0..)
            .map(ShardId)
            .zip(base.iter().copied())
            .filter(|(shard, _)| self.orders.holds(*shard) && journal.owner(*shard).is_some())
            .collect();
        let before = self.engine.pipeline_status().stored_seqs();
        self.orders.set_back(&own).await?;
        let mut progress = before.clone();
        for (shard, base) in own {
            progress[shard.index()] = base;
        }
        self.engine.pipeline_status().note_progress(self.place(), &before, &progress);
        self.refills = true;
        self.refill("rows are gone from it");
        Ok(())
    }

    /// Has the relay send again what the order store lacks.
    fn refill(&self, why: &'static str) {
        tracing::warn!(why, "the order store is filled again from the journal");
        metrics::counter!(ORDER_STORE_REFILLS_TOTAL).increment(1);
        let status = self.engine.pipeline_status();
        status.set_incomplete(self.place(), Some(Meaning::OrdersRefilled));
        status.ask_to_begin_again(self.place());
    }

    /// Tells what the order store lacks for good; once to the log.
    fn tell(&self, why: Meaning) {
        let status = self.engine.pipeline_status();
        if status.incomplete(self.place()).as_ref() != Some(&why) {
            tracing::error!(%why, "the order store has lost orders");
            status.set_incomplete(self.place(), Some(why));
        }
    }
}
