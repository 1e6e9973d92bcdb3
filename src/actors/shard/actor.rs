//! The shard's actor: a thin shell around its [`ShardProcessor`].
//!
//! Owns when work is done, not what is done. Its own mailbox carries doorbells and ticks; envelopes wait
//! in the [`Mailbox`](super::mailbox::Mailbox) outside, and survive it.

use super::context::Context;
use super::figures::MailboxFigures;
use super::mailbox::{Envelope, ShardMessage};
use super::processor::{Damaged, ShardProcessor};
use crate::telemetry::metrics::REQUESTS_OVERDUE_TOTAL;
use domain::{ShardId, Stock, Timestamp};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Envelopes of one batch: after so many the journal gets the records, and other actors their turn.
const BATCH_ENVELOPES: usize = 512;

/// The actor of one shard.
pub(in crate::actors) struct Shard;

/// What a shard's actor starts with.
pub(in crate::actors) struct ShardArguments {
    pub(in crate::actors) shard: ShardId,
    pub(in crate::actors) context: Arc<Context>,
    /// The recovered state; without one the actor rebuilds it before it works on an envelope.
    pub(in crate::actors) stock: Option<Stock>,
}

/// What a shard's actor keeps between two messages.
pub(in crate::actors) struct ShardState {
    shard: ShardId,
    context: Arc<Context>,
    processor: Option<ShardProcessor>,
    /// The envelope that is tried again after a rebuild, before anything else.
    retry: Option<Box<Envelope>>,
}

impl Actor for Shard {
    type Msg = ShardMessage;
    type State = ShardState;
    type Arguments = ShardArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<ShardMessage>,
        arguments: ShardArguments,
    ) -> Result<ShardState, ActorProcessingErr> {
        let ShardArguments { shard, context, stock } = arguments;
        let processor = stock.map(|stock| context.processor(stock));
        // Envelopes may have come while there was no actor to ring for.
        myself.cast(ShardMessage::Doorbell)?;
        Ok(ShardState { shard, context, processor, retry: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        fail::fail_point!("shard-handle", |_| Err("injected death".into()));
        let processor = match &mut state.processor {
            Some(processor) => processor,
            none => none.insert(state.context.rebuild_processor(state.shard).await),
        };
        let now = state.context.clock.now();
        let worked = match message {
            ShardMessage::Tick => {
                processor.end_quarantines(now);
                let expires = state.context.expiring.load(Ordering::Acquire);
                let overdue = processor.answer_overdue(state.context.deadline());
                metrics::counter!(REQUESTS_OVERDUE_TOTAL).increment(overdue);
                let limit = if expires { state.context.expiries_per_tick } else { 0 };
                let expired = processor.expire(now, limit);
                let router = &state.context.router;
                router.set_ticking(state.shard, expired.is_err() || processor.may_be_due());
                expired
            }
            ShardMessage::Doorbell => {
                // Tasks that are about to send run first: one batch instead of many.
                tokio::task::yield_now().await;
                let mailbox = state.context.router.mailbox(state.shard);
                // Until the next tick has looked whether there is a reason.
                state.context.router.set_ticking(state.shard, true);
                let (retry, context) = (&mut state.retry, &state.context);
                let (worked, more) = mailbox.work(BATCH_ENVELOPES, |envelopes| {
                    let (now, after) = context.clock.moment();
                    note_batch(&context.mailbox_figures, envelopes, after);
                    work(processor, retry, envelopes, now)
                });
                if more || worked.is_err() {
                    myself.cast(ShardMessage::Doorbell)?;
                }
                worked
            }
        };
        if let Err(Damaged { retry }) = worked {
            let last_seq = processor.last_seq();
            let stock = state.context.rebuild(state.shard, last_seq).await;
            processor.replace(stock);
            state.retry = retry;
            myself.cast(ShardMessage::Doorbell)?;
        }
        Ok(())
    }
}

/// Counts a batch: how many envelopes it has, and how long the oldest of them waited.
fn note_batch(figures: &MailboxFigures, envelopes: &VecDeque<Envelope>, after: Duration) {
    if let Some(Envelope::Command(oldest)) = envelopes.front() {
        figures.waits.observe(after.saturating_sub(oldest.admitted_after), 1);
        figures.batches.count(envelopes.len() as u64, 1);
    }
}

/// Works on the envelopes, behind the one that is to be tried again.
fn work(
    processor: &mut ShardProcessor,
    retry: &mut Option<Box<Envelope>>,
    envelopes: &mut VecDeque<Envelope>,
    now: Timestamp,
) -> Result<(), Damaged> {
    if let Some(envelope) = retry.take() {
        envelopes.push_front(*envelope);
    }
    processor.work(now, envelopes)
}
