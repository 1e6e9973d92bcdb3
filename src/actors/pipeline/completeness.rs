//! Watches that the order store keeps what it was given.
//!
//! A database may be dropped, truncated or restored from an older backup beside a running shop. The
//! store's own progress tells of the first and the last; rows that are gone below it are found by their
//! number, which is compared with what was sealed when they were stored. What the journal still has is
//! sent again from there. What it has no longer is told, and until then nothing more is deleted from
//! the journal.

use crate::actors::engine::Engine;
use crate::actors::meaning::Meaning;
use crate::actors::status::ORDER_STORE;
use crate::store::database::StoreError;
use crate::store::orders::OrderStore;
use crate::store::orders::ownership::OwnershipError;
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

/// Watches for as long as the engine runs.
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

/// Whether the order store says at this moment that it holds all records up to `covered`, and has all
/// rows that were stored.
///
/// # Errors
/// Returns [`OwnershipError`] if it does not answer or is not this journal's.
pub(super) async fn holds(
    engine: &Engine,
    orders: &OrderStore,
    covered: &[u64],
) -> Result<bool, OwnershipError> {
    let stored = engine.stored_seqs(orders).await?;
    let all = stored.iter().zip(covered).all(|(stored, covered)| stored >= covered);
    Ok(all && orders.census().await?.missing() == 0)
}

impl Watch {
    /// Tells of a store that does not answer, also where nothing is written to it, and makes tables anew
    /// that are gone.
    async fn tell_whether_it_answers(&mut self, looked: Result<(), OwnershipError>) {
        let status = self.engine.pipeline_status();
        let kind = self.orders.database().kind();
        match looked {
            Ok(()) => {
                if std::mem::take(&mut self.is_away) {
                    status.report(ORDER_STORE, kind, true, Meaning::OrdersArrive);
                }
            }
            Err(error) => {
                self.is_away = true;
                status.report(ORDER_STORE, kind, false, Meaning::OrdersWait(error.to_string()));
                if let OwnershipError::Store(StoreError::Refused(_)) = error {
                    // The next look tells whether that helped.
                    let _ = self.orders.migrate().await;
                }
            }
        }
    }

    async fn look(&mut self) -> Result<(), OwnershipError> {
        self.orders.database().tend().await?;
        let status = self.engine.pipeline_status().clone();
        let before = status.stored_seqs();
        let stored = self.engine.stored_seqs(&self.orders).await?;
        if status.note_progress(&before, &stored) {
            self.refill("its progress went back");
        }
        let journal = &self.engine.context().journal;
        let base = journal.base_seqs();
        let lost: u64 = base.iter().zip(&stored).map(|(base, seq)| base.saturating_sub(*seq)).sum();
        metrics::gauge!(ORDER_STORE_MISSING).set((lost + self.gone) as f64);
        if let Some(shard) = base.iter().zip(&stored).position(|(base, stored)| stored < base) {
            self.holds_back = true;
            let (stored, base) = (stored[shard], base[shard]);
            self.tell(Meaning::OrdersLackRecords { lost, shard, stored, base });
            return Ok(());
        }
        if std::mem::take(&mut self.holds_back) {
            self.refill("what was missing is back");
        }
        if status.is_incomplete() {
            // What is on its way is waited for.
            if status.backlog(journal) > 0 {
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
            metrics::gauge!(ORDER_STORE_MISSING).set(0.0);
            if !self.engine.pipeline_status().set_incomplete(None) {
                tracing::info!("the order store holds all that it should again");
            }
            return Ok(());
        }
        if refilled || missing <= self.gone {
            self.gone = missing;
            metrics::gauge!(ORDER_STORE_MISSING).set(missing as f64);
            self.tell(Meaning::OrdersLackRows(missing));
            return Ok(());
        }
        let journal = &self.engine.context().journal;
        // The others' rows are sent again by those that serve them.
        let own: Vec<(ShardId, u64)> = (0..)
            .map(ShardId)
            .zip(base.iter().copied())
            .filter(|(shard, _)| journal.owner(*shard).is_some())
            .collect();
        let before = self.engine.pipeline_status().stored_seqs();
        self.orders.set_back(&own).await?;
        let mut progress = before.clone();
        for (shard, base) in own {
            progress[shard.index()] = base;
        }
        self.engine.pipeline_status().note_progress(&before, &progress);
        self.refills = true;
        self.refill("rows are gone from it");
        Ok(())
    }

    /// Has the relay send again what the order store lacks.
    fn refill(&self, why: &'static str) {
        tracing::warn!(why, "the order store is filled again from the journal");
        metrics::counter!(ORDER_STORE_REFILLS_TOTAL).increment(1);
        self.engine.pipeline_status().set_incomplete(Some(Meaning::OrdersRefilled));
        self.engine.pipeline_status().ask_to_begin_again();
    }

    /// Tells what the order store lacks for good; once to the log.
    fn tell(&self, why: Meaning) {
        let status = self.engine.pipeline_status();
        if status.incomplete().as_ref() != Some(&why) {
            tracing::error!(%why, "the order store has lost orders");
            status.set_incomplete(Some(why));
        }
    }
}
