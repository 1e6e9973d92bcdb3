//! Shards that come to this engine and go from it while the others sell.
//!
//! A shard comes with its state, once the log knows it as this node's. It goes in this order: no request is
//! taken in; what was taken in is decided and durable, and a checkpoint written, if there is the time; its
//! actor ends; all that waits for the journal is released. Only then may another node have it. Must not
//! know why a shard moves, nor who else there is.

use super::engine::Engine;
use super::shard::effects::{NotDelivered, Reply};
use super::shard::mailbox::{Envelope, Intake};
use crate::store::checkpoint::Mark;
use domain::{ShardId, Stock};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a shard that goes may take for each of its last requests and its checkpoint: what is left then
/// is not decided here.
const FAREWELL_MAX: Duration = Duration::from_millis(400);

/// A shard that comes.
#[derive(Debug)]
pub struct ArrivedShard {
    /// Its state, up to the end of its log.
    pub stock: Stock,
    /// The number of its new owner: this node's claim (I15).
    pub epoch: u64,
    /// What its checkpoint holds, if that was used.
    pub mark: Option<Mark>,
}

/// How a shard goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Departure {
    /// It is given away: what was admitted is decided first.
    HandedOver,
    /// Another node may have it already: nothing more is decided here.
    Lost,
}

impl Engine {
    /// The shards that are served here, in order.
    pub fn served_shards(&self) -> Vec<ShardId> {
        self.context().router.served().collect()
    }

    /// Whether the engine kept time during the last `within`: one that does not cannot answer anybody.
    pub(super) fn has_ticked(&self, within: Duration) -> bool {
        let ticked_at = self.context().ticked_at.load(Ordering::Acquire);
        let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        self.now().0.saturating_sub(ticked_at) <= within
    }

    /// The number of all shards, wherever they are served.
    pub fn shards(&self) -> u16 {
        u16::try_from(self.context().router.shards().count()).unwrap_or(u16::MAX)
    }

    /// Waits until a newer owner of a shard is found that is served here: it is to be shut as lost. Returns
    /// each once.
    pub async fn next_lost_shard(&self) -> ShardId {
        self.context().journal.next_fenced().await
    }

    /// Waits until a gate has come since the last call: an item was opened, or came with its shard.
    pub(super) async fn gate_opened(&self) {
        self.context().effect_sink.gate_opened.notified().await;
    }

    /// Serves a shard from now on. The log knows it as this node's, and it is not served yet.
    pub async fn open_shard(&self, arrived: ArrivedShard) {
        let ArrivedShard { stock, epoch, mark } = arrived;
        let (context, shard) = (self.context(), stock.shard());
        context.open_gates(&stock);
        context.effect_sink.gate_opened.notify_one();
        self.pipeline_status().open(
            shard,
            context.journal.base_seq(shard),
            mark.map_or(0, |mark| mark.seq),
        );
        self.set_mark(shard, mark);
        context.journal.open(shard, epoch, stock.seq());
        context.router.open(shard);
        self.supervisor().open(stock).await;
        // What its former owner did not bring to the order store is this one's to bring.
        self.pipeline_status().ask_to_bring(shard);
    }

    /// Serves a shard no longer. Returns once nothing of it waits for the journal any more: a log that does
    /// not answer is waited for.
    pub async fn shut_shard(&self, shard: ShardId, departure: Departure) {
        let context = self.context();
        context.router.mailbox(shard).set_intake(Intake::Upkeep);
        let gates = &context.effect_sink.gates;
        gates.iter().filter(|gate| gate.shards() == [shard]).for_each(|gate| gate.set_stale());
        match departure {
            Departure::HandedOver => self.take_leave(shard).await,
            // What is known of its buckets may be out of date; the gates stay until it has gone.
            Departure::Lost => {
                for gate in gates.iter().filter(|gate| gate.shards().contains(&shard)) {
                    let _ = gate.forget(shard);
                }
            }
        }
        for envelope in context.router.mailbox(shard).shut() {
            if let Envelope::Command(mut pending) = envelope {
                pending.reply_sender.send(Reply::NotDelivered(NotDelivered::Moved));
            }
        }
        self.supervisor().shut(shard).await;
        context.journal.shut(shard).await;
        if let Some(directory) = self.directory() {
            let given_away = gates.iter().filter(|gate| gate.shards().contains(&shard));
            directory.give_away(given_away.map(|gate| (*gate.key(), gate.shard())));
        }
        context.effect_sink.forget(shard);
        context.tracer().forget_shard(shard);
        self.set_mark(shard, None);
    }

    /// Has the shard decide what it took in, and leave a checkpoint behind. Either may be cut short: the
    /// log has all that was confirmed.
    async fn take_leave(&self, shard: ShardId) {
        let flushed = self.ask(shard, |answer| Envelope::Flush { answer });
        match tokio::time::timeout(FAREWELL_MAX, flushed).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(%shard, "the shard goes before it has decided all that waits");
                return;
            }
        }
        let written = self.checkpoint_requests().ask(shard);
        if tokio::time::timeout(FAREWELL_MAX, written).await.is_err() {
            tracing::info!(%shard, "the shard goes without a new checkpoint");
        }
    }
}
