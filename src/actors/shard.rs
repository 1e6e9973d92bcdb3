//! The shard's actor: a thin shell around its [`Desk`].
//!
//! Owns when work is done, not what is done. Its own mailbox carries doorbells and ticks; letters lie
//! in the [`Mailbox`] outside, and survive it.

use super::context::Context;
use super::desk::{Damaged, Desk};
use super::mailbox::Letter;
use crate::domain::{ShardId, Stock, Timestamp};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::VecDeque;
use std::sync::Arc;

/// Letters worked on before the journal gets them and others get their turn.
const BATCH_LETTERS: usize = 512;

/// What the actor is told.
pub(super) enum ShardMessage {
    /// There are letters.
    Doorbell,
    /// Time has passed.
    Tick,
}

/// The actor.
pub(super) struct Shard;

/// What it starts with.
pub(super) struct ShardArguments {
    pub(super) shard: ShardId,
    pub(super) context: Arc<Context>,
    /// The recovered state; without one the actor rebuilds it before it looks at a letter.
    pub(super) stock: Option<Stock>,
}

/// What it keeps.
pub(super) struct ShardState {
    shard: ShardId,
    context: Arc<Context>,
    desk: Option<Desk>,
    /// To be tried again after a rebuild, before anything else.
    retry: Option<Box<Letter>>,
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
        let desk = stock.map(|stock| context.desk(stock));
        // Letters may have come while no actor was there to hear the bell.
        myself.cast(ShardMessage::Doorbell)?;
        Ok(ShardState { shard, context, desk, retry: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        fail::fail_point!("shard-handle", |_| Err("injected death".into()));
        let desk = match &mut state.desk {
            Some(desk) => desk,
            none => none.insert(state.context.rebuild_desk(state.shard, 0).await),
        };
        let now = state.context.clock.now();
        let worked = match message {
            ShardMessage::Tick => {
                desk.end_quarantines(now);
                desk.expire(now, state.context.expiries_per_tick)
            }
            ShardMessage::Doorbell => {
                // Whoever is about to send is let in first: one batch instead of many.
                tokio::task::yield_now().await;
                let mailbox = state.context.router.mailbox(state.shard);
                let retry = &mut state.retry;
                let (worked, more) = mailbox.work(BATCH_LETTERS, |letters| {
                    work(desk, retry, letters, state.context.clock.now())
                });
                if more || worked.is_err() {
                    myself.cast(ShardMessage::Doorbell)?;
                }
                worked
            }
        };
        if let Err(Damaged { retry }) = worked {
            let last_seq = desk.last_seq();
            let stock = state.context.rebuild(state.shard, last_seq).await;
            desk.replace(stock);
            state.retry = retry;
            myself.cast(ShardMessage::Doorbell)?;
        }
        Ok(())
    }
}

fn work(
    desk: &mut Desk,
    retry: &mut Option<Box<Letter>>,
    letters: &mut VecDeque<Letter>,
    now: Timestamp,
) -> Result<(), Damaged> {
    if let Some(letter) = retry.take() {
        letters.push_front(*letter);
    }
    desk.work(now, letters)
}
