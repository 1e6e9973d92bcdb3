//! What all shards share, and how one of them is rebuilt while the others sell on.

use super::effects::{Effect, EffectSink};
use super::figures::{MailboxFigures, ShardFigures};
use super::idempotency::IdempotencyKeys;
use super::parked::Parked;
use super::permits::Permits;
use super::processor::ShardProcessor;
use super::recovery;
use super::replay::processors;
use super::router::Router;
use crate::clock::Clock;
use crate::store::checkpoint::CheckpointStore;
use crate::store::journal::{Journal, JournalId};
use crate::telemetry::metrics::SHARD_REBUILDS_TOTAL;
use crate::telemetry::traces::Tracer;
use domain::{ShardId, Stock, Timestamp};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// How long a request waits at most while the log is known not to answer: it may go on for long, and who is
/// told repeats it with the same request id.
pub(in crate::actors) const SILENT_WAIT_MAX: Duration = Duration::from_secs(1);

/// What all shards of an engine share.
pub(in crate::actors) struct Context {
    pub(in crate::actors) clock: Clock,
    pub(in crate::actors) journal: Arc<Journal<Effect>>,
    pub(in crate::actors) journal_id: JournalId,
    pub(in crate::actors) router: Router,
    pub(in crate::actors) effect_sink: EffectSink,
    pub(in crate::actors) idempotency_keys: IdempotencyKeys,
    pub(in crate::actors) permits: Permits,
    pub(in crate::actors) checkpoints: CheckpointStore,
    pub(in crate::actors) draining: AtomicBool,
    /// Whether orders expire: not any more once the shop stops.
    pub(in crate::actors) expiring: AtomicBool,
    /// What each shard counts, in a cell of its own.
    pub(in crate::actors) figures: Vec<Arc<ShardFigures>>,
    /// How the mailboxes are emptied.
    pub(in crate::actors) mailbox_figures: MailboxFigures,
    /// Orders that one shard expires at one tick.
    pub(in crate::actors) expiries_per_tick: usize,
    pub(in crate::actors) reply_timeout: Duration,
    /// Records the hops of purchases that are traced; nothing, until it is set.
    pub(in crate::actors) tracer: OnceLock<Tracer>,
    /// When the supervisor last kept time, in milliseconds since 1970.
    pub(in crate::actors) ticked_at: AtomicU64,
}

impl Context {
    /// A processor that goes on from `stock`.
    pub(in crate::actors) fn processor(&self, stock: Stock) -> ShardProcessor {
        let figures = Arc::clone(&self.figures[stock.shard().index()]);
        ShardProcessor::new(
            stock,
            figures,
            Arc::clone(&self.journal),
            self.effect_sink.clone(),
            self.idempotency_keys.clone(),
            Parked::new((self.permits.limit() / 4).max(1)),
        )
    }

    /// Records what is traced.
    pub(in crate::actors) fn tracer(&self) -> &Tracer {
        self.tracer.get().unwrap_or(&Tracer::OFF)
    }

    /// Whether the log does not answer, or this node cannot be sure to be the owner of anything.
    pub(in crate::actors) fn is_out_of_touch(&self) -> bool {
        self.journal.is_unreachable() || !self.effect_sink.lease.is_live()
    }

    /// What was admitted before has waited too long.
    pub(in crate::actors) fn deadline(&self) -> Timestamp {
        let patience = if self.is_out_of_touch() {
            self.reply_timeout.min(SILENT_WAIT_MAX)
        } else {
            self.reply_timeout
        };
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.clock.now().0.saturating_sub(patience))
    }

    /// Opens recovered shards and the gates of their items, on all processors.
    pub(in crate::actors) fn open_shards(&self, stocks: &[Stock]) {
        let next = AtomicUsize::new(0);
        let open = &|| {
            while let Some(stock) = stocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.open_gates(stock);
                self.router.open(stock.shard());
            }
        };
        thread::scope(|scope| {
            for _ in 1..processors() {
                // Without another thread this one does it all.
                let _ = thread::Builder::new().spawn_scoped(scope, open);
            }
            open();
        });
    }

    /// Opens the gates of a recovered shard's items.
    pub(in crate::actors) fn open_gates(&self, stock: &Stock) {
        let gates = &self.effect_sink.gates;
        for item in stock.items() {
            self.effect_sink.open_gate(item, stock.shard());
        }
        for order in stock.orders() {
            if let Some(gate) = gates.get(&order.item_id) {
                gate.add_buyer(order.user_id);
            }
            self.idempotency_keys.record_granted(order.user_id, order.request_id);
        }
    }

    /// A processor that goes on from the rebuilt state, after the death of the actor before.
    pub(in crate::actors) async fn rebuild_processor(&self, shard: ShardId) -> ShardProcessor {
        let mut processor = self.processor(self.rebuild(shard, 0).await);
        // The gates may show less than was journalled when the last actor died.
        processor.update_all_gates();
        processor
    }

    /// The shard's state from checkpoint and journal, once everything up to `last_seq` and whatever
    /// else was handed to the journal is durable: the rebuilt state must miss none of it (I9).
    ///
    /// Tries until it succeeds, with a pause: a shard without its state must not answer.
    pub(in crate::actors) async fn rebuild(&self, shard: ShardId, last_seq: u64) -> Stock {
        const PAUSE: Duration = Duration::from_millis(500);
        metrics::counter!(SHARD_REBUILDS_TOTAL).increment(1);
        loop {
            self.wait_until_durable(shard, last_seq).await;
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
    async fn wait_until_durable(&self, shard: ShardId, last_seq: u64) {
        let (sender, durable) = tokio::sync::oneshot::channel();
        let mut effects = vec![Effect::Call(Box::new(move || {
            // A receiver that is gone waits no more.
            let _ = sender.send(());
        }))];
        self.journal.append(shard, last_seq, 0, &mut Vec::new(), &mut effects);
        // A journal that fails stops the process, so there is nothing else to wait for.
        let _ = durable.await;
    }
}
