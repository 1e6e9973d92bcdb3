//! Watches that the order store keeps what it was given.
//!
//! A database may be dropped, truncated or restored from an older backup beside a running shop. The
//! store's own progress tells of the first and the last; rows that are gone below it are found by their
//! number, which is compared with what was sealed when they were stored. What the journal still has is
//! sent again from there. What it has no longer is told, and until then nothing more is deleted from
//! the journal.

use crate::actors::engine::Engine;
use crate::actors::status::REFILLED;
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
    };
    loop {
        // A store that does not answer is told of by those who write to it.
        let _ = watch.look().await;
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
    async fn look(&mut self) -> Result<(), OwnershipError> {
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
            self.tell(format!(
                "{lost} records are missing in it that the journal has no longer (shard {shard}: \
                 stored up to {}, the journal begins behind {}): bring a newer backup of it back; \
                 orders wait in the journal, which is kept",
                stored[shard], base[shard]
            ));
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
            self.tell(format!(
                "{missing} rows are gone from it that the journal has no longer: bring them back \
                 from a backup, `seckill audit` tells what is missing; the journal is kept"
            ));
            return Ok(());
        }
        let all: Vec<(ShardId, u64)> = (0..).map(ShardId).zip(base.iter().copied()).collect();
        let before = self.engine.pipeline_status().stored_seqs();
        self.orders.set_back(&all).await?;
        self.engine.pipeline_status().note_progress(&before, base);
        self.refills = true;
        self.refill("rows are gone from it");
        Ok(())
    }

    /// Has the relay send again what the order store lacks.
    fn refill(&self, why: &'static str) {
        tracing::warn!(why, "the order store is filled again from the journal");
        metrics::counter!(ORDER_STORE_REFILLS_TOTAL).increment(1);
        self.engine.pipeline_status().set_incomplete(Some(REFILLED.to_owned()));
        self.engine.pipeline_status().ask_to_begin_again();
    }

    /// Tells what the order store lacks for good; once to the log.
    fn tell(&self, why: String) {
        let status = self.engine.pipeline_status();
        if status.incomplete().as_ref() != Some(&why) {
            tracing::error!(why, "the order store has lost orders");
            status.set_incomplete(Some(why));
        }
    }
}
