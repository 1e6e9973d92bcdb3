//! What all shards share, and how one of them is rebuilt while the others sell on.

use super::claims::Claims;
use super::desk::Desk;
use super::permits::Permits;
use super::recovery;
use super::reply::{Effect, Release};
use super::router::Router;
use crate::clock::Clock;
use crate::domain::{ShardId, Stock};
use crate::store::checkpoint::CheckpointStore;
use crate::store::journal::{Journal, JournalId};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// See the module.
pub(super) struct Context {
    pub(super) clock: Clock,
    pub(super) journal: Arc<Journal<Effect>>,
    pub(super) journal_id: JournalId,
    pub(super) router: Router,
    pub(super) release: Release,
    pub(super) claims: Claims,
    pub(super) permits: Permits,
    pub(super) checkpoints: CheckpointStore,
    pub(super) draining: AtomicBool,
    /// Orders that one shard expires at one tick.
    pub(super) expiries_per_tick: usize,
    pub(super) reply_timeout: Duration,
}

impl Context {
    /// A desk for this state.
    pub(super) fn desk(&self, stock: Stock) -> Desk {
        Desk::new(stock, Arc::clone(&self.journal), self.release.clone(), self.claims.clone())
    }

    /// A desk with the state rebuilt.
    pub(super) async fn rebuild_desk(&self, shard: ShardId, last_seq: u64) -> Desk {
        let mut desk = self.desk(self.rebuild(shard, last_seq).await);
        // The gates may show less than was journalled when the last actor died.
        desk.show_all();
        desk
    }

    /// The shard's state from checkpoint and journal, once everything up to `last_seq` and whatever
    /// else was handed to the journal is durable (rule 9).
    ///
    /// Tries for ever, with a pause: a shard without its state must not answer.
    pub(super) async fn rebuild(&self, shard: ShardId, last_seq: u64) -> Stock {
        const PAUSE: Duration = Duration::from_millis(500);
        metrics::counter!("seckill_shard_rebuilds_total").increment(1);
        loop {
            self.settled(shard, last_seq).await;
            match recovery::rebuild(&self.checkpoints, &self.journal, shard).await {
                Ok(stock) => {
                    tracing::warn!(%shard, seq = stock.seq(), "shard rebuilt");
                    return stock;
                }
                Err(error) => {
                    tracing::error!(
                        %shard, %error,
                        "shard cannot be rebuilt; its items do not sell until it can"
                    );
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Waits until what was handed to the journal before is durable.
    async fn settled(&self, shard: ShardId, last_seq: u64) {
        let (told, durable) = tokio::sync::oneshot::channel();
        let mut effects = vec![Effect::Run(Box::new(move || {
            // Nobody else waits for it.
            let _ = told.send(());
        }))];
        self.journal.append(shard, last_seq, 0, &mut Vec::new(), &mut effects);
        // A journal that fails stops the process, so there is nothing else to wait for.
        let _ = durable.await;
    }
}
