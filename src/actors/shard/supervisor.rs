//! The supervisor: starts the shards' actors, starts them again when they die, and keeps time.
//!
//! Its tick is the engine's only timer on the buy path: one coarse sweep finds requests beyond their
//! deadline and orders beyond their payment window, so that neither costs a timer of its own.

use super::actor::{Shard, ShardArguments};
use super::context::Context;
use super::effects::{Effect, NotDelivered, Reply};
use super::mailbox::ShardMessage;
use crate::telemetry::metrics::{REQUESTS_OVERDUE_TOTAL, SHARD_RESTARTS_TOTAL};
use domain::{ShardId, Stock, Timestamp};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Time between two ticks.
pub(in crate::actors) const TICK: Duration = Duration::from_millis(50);

/// Ticks between two looks at what is rare.
const TICKS_PER_SWEEP: u64 = 20;

/// The actor above the shards' actors.
pub(in crate::actors) struct Supervisor;

/// What the supervisor is told.
pub(in crate::actors) enum SupervisorMessage {
    /// Time has passed.
    Tick,
    /// The pause is over: this shard's actor is started again.
    Restart(ShardId),
}

/// What the supervisor starts with.
pub(in crate::actors) struct SupervisorArguments {
    pub(in crate::actors) context: Arc<Context>,
    pub(in crate::actors) stocks: Vec<Stock>,
}

/// What the supervisor keeps between two messages.
pub(in crate::actors) struct SupervisorState {
    context: Arc<Context>,
    shards: HashMap<ActorId, ShardId>,
    /// Deaths of a shard's actor in a row: the pause before it is started again grows with them.
    deaths: HashMap<ShardId, u32>,
    ticks: u64,
    syncs: u64,
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = SupervisorState;
    type Arguments = SupervisorArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMessage>,
        arguments: SupervisorArguments,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let SupervisorArguments { context, stocks } = arguments;
        let mut state = SupervisorState {
            context,
            shards: HashMap::new(),
            deaths: HashMap::new(),
            ticks: 0,
            syncs: 0,
        };
        for stock in stocks {
            state.start(&myself, stock.shard(), Some(stock)).await?;
        }
        myself.send_interval(TICK, || SupervisorMessage::Tick);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMessage>,
        message: SupervisorMessage,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Tick => state.tick(),
            SupervisorMessage::Restart(shard) => state.start(&myself, shard, None).await?,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let (actor_id, why) = match event {
            SupervisionEvent::ActorFailed(actor, error) => (actor.get_id(), error.to_string()),
            SupervisionEvent::ActorTerminated(actor, _, reason) => {
                (actor.get_id(), reason.unwrap_or_default())
            }
            _ => return Ok(()),
        };
        let Some(shard) = state.shards.remove(&actor_id) else { return Ok(()) };
        state.context.router.set(shard, None);
        if state.context.draining.load(Ordering::Acquire) {
            return Ok(());
        }
        const PAUSE_MAX: Duration = Duration::from_secs(5);
        let deaths = state.deaths.entry(shard).or_default();
        let pause = Duration::from_millis(10 << (*deaths).min(9)).min(PAUSE_MAX);
        *deaths += 1;
        metrics::counter!(SHARD_RESTARTS_TOTAL).increment(1);
        tracing::error!(
            %shard, why, pause_milliseconds = pause.as_millis(),
            "a shard's actor died; it is started again with its state, its envelopes wait"
        );
        myself.send_after(pause, move || SupervisorMessage::Restart(shard));
        Ok(())
    }
}

impl SupervisorState {
    async fn start(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        shard: ShardId,
        stock: Option<Stock>,
    ) -> Result<(), ActorProcessingErr> {
        let arguments = ShardArguments { shard, context: Arc::clone(&self.context), stock };
        let (actor, _) = Actor::spawn_linked(None, Shard, arguments, myself.get_cell()).await?;
        self.shards.insert(actor.get_id(), shard);
        self.context.router.set(shard, Some(actor));
        self.context.router.tell(shard, ShardMessage::Doorbell);
        Ok(())
    }

    fn tick(&mut self) {
        self.ticks += 1;
        let context = &self.context;
        for shard in context.router.shards() {
            context.router.tell(shard, ShardMessage::Tick);
        }
        self.answer_overdue();
        if self.ticks.is_multiple_of(TICKS_PER_SWEEP) {
            self.context.effect_sink.watchers.sweep();
            // A second without a death, and the next one is the first again.
            self.deaths.retain(|shard, _| !self.shards.values().any(|up| up == shard));
        }
    }

    /// Answers what has waited beyond the deadline: what is in a mailbox was not delivered; the outcome
    /// of what waits for the disk is unknown.
    fn answer_overdue(&mut self) {
        let context = &self.context;
        if context.permits.used() == 0 {
            return;
        }
        let timeout = u64::try_from(context.reply_timeout.as_millis()).unwrap_or(u64::MAX);
        let deadline = Timestamp(context.clock.now().0.saturating_sub(timeout));
        let mut overdue = 0_u64;
        for mut command in context.router.take_overdue(deadline) {
            command.reply_sender.send(Reply::NotDelivered(NotDelivered::Overloaded));
            overdue += 1;
        }
        let syncs = context.journal.figures().syncs;
        // While syncs come back, what waits is younger than the deadline.
        if std::mem::replace(&mut self.syncs, syncs) == syncs {
            context.journal.visit_waiting(|effect| {
                if let Effect::Reply { reply_sender, admitted_at, .. } = effect
                    && *admitted_at < deadline
                {
                    reply_sender.send(Reply::Unknown);
                    overdue += 1;
                }
            });
        }
        metrics::counter!(REQUESTS_OVERDUE_TOTAL).increment(overdue);
    }
}
