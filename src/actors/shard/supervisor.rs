//! The supervisor: starts the shards' actors, starts them again when they die, and keeps time.
//!
//! Its tick is the engine's only timer on the buy path: one coarse sweep finds requests beyond their
//! deadline and orders beyond their payment window, so that neither costs a timer of its own. Shards
//! that have nothing to look at are not woken by it. Shards come and go at run time; which ones are served
//! is what their mailboxes say.

use super::actor::{Shard, ShardArguments};
use super::context::Context;
use super::effects::{Effect, NotDelivered, Reply};
use super::mailbox::{Intake, ShardMessage};
use crate::actors::tasks::{KilledOnDrop, Tasks};
use crate::telemetry::metrics::{REQUESTS_OVERDUE_TOTAL, SHARD_RESTARTS_TOTAL};
use domain::{ShardId, Stock};
use parking_lot::RwLock;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Time between two ticks.
pub(in crate::actors) const TICK: Duration = Duration::from_millis(50);

/// How long a supervisor may take to do what it is told, before it is told again.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Ticks between two looks at what is rare.
const TICKS_PER_SWEEP: u64 = 20;

/// The supervisor as the engine holds it: whichever is running.
pub(in crate::actors) struct Supervision {
    task: JoinHandle<()>,
    running: Running,
}

/// The supervisor that is running; none between the end of one and the start of the next.
type Running = Arc<RwLock<Option<ActorRef<SupervisorMessage>>>>;

impl Supervision {
    /// Starts the actor of a shard whose mailbox is open. Returns once it is up.
    pub(in crate::actors) async fn open(&self, stock: Stock) {
        let shard = stock.shard();
        let mut stock = Some(Box::new(stock));
        self.tell(|told| SupervisorMessage::Open { shard, stock: stock.take(), told }).await;
    }

    /// Ends the actor of a shard whose mailbox is shut. Returns once it has ended.
    pub(in crate::actors) async fn shut(&self, shard: ShardId) {
        self.tell(|told| SupervisorMessage::Shut { shard, told }).await;
    }

    /// Tells the supervisor, and its successor should it end before it has done so.
    async fn tell(&self, mut message: impl FnMut(oneshot::Sender<()>) -> SupervisorMessage) {
        loop {
            let (told, was_told) = oneshot::channel();
            match &*self.running.read() {
                // One that is ending drops it, or never answers.
                Some(running) => drop(running.cast(message(told))),
                None => drop(told),
            }
            if let Ok(Ok(())) = tokio::time::timeout(ANSWER_MAX, was_told).await {
                return;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Ends the supervisor and all actors.
    pub(in crate::actors) fn abort(&self) {
        self.task.abort();
    }
}

/// Starts the supervisor above the shards with these states, and again should it ever end: the
/// shards, which end with it, are rebuilt then. It runs until it is aborted.
///
/// # Errors
/// Returns [`SpawnErr`] if the supervisor or a shard's actor does not start.
pub(in crate::actors) async fn start(
    context: Arc<Context>,
    stocks: Vec<Stock>,
    tasks: &Tasks,
) -> Result<Supervision, SpawnErr> {
    let stocks = stocks.into_iter().map(|stock| (stock.shard(), Some(stock))).collect();
    let arguments = SupervisorArguments { context: Arc::clone(&context), stocks };
    let mut first = Some(Actor::spawn(None, Supervisor, arguments).await?);
    let running = Running::default();
    let current = Arc::clone(&running);
    let task = tasks.keep_running("supervisor", move || {
        let (context, first) = (Arc::clone(&context), first.take());
        let current = Arc::clone(&current);
        async move {
            let started = match first {
                Some(started) => Ok(started),
                None => start_again(context).await,
            };
            match started {
                Ok((supervisor, ended)) => {
                    let _killed = KilledOnDrop(supervisor.get_cell());
                    *current.write() = Some(supervisor);
                    let _ = ended.await;
                    *current.write() = None;
                }
                Err(error) => tracing::error!(%error, "the shards' supervisor does not start"),
            }
        }
    });
    Ok(Supervision { task, running })
}

/// Starts the supervisor above shards that have no actor any more.
async fn start_again(
    context: Arc<Context>,
) -> Result<(ActorRef<SupervisorMessage>, JoinHandle<()>), SpawnErr> {
    let served = context.router.served();
    let stocks =
        served.inspect(|shard| context.router.set(*shard, None)).map(|shard| (shard, None));
    let arguments = SupervisorArguments { stocks: stocks.collect(), context: Arc::clone(&context) };
    Actor::spawn(None, Supervisor, arguments).await
}

/// The actor above the shards' actors.
struct Supervisor;

/// What the supervisor is told.
enum SupervisorMessage {
    /// Time has passed.
    Tick,
    /// The pause is over: this shard's actor is started again.
    Restart(ShardId),
    /// A shard has come, with its state unless that was told to a supervisor that has ended.
    Open { shard: ShardId, stock: Option<Box<Stock>>, told: oneshot::Sender<()> },
    /// A shard goes.
    Shut { shard: ShardId, told: oneshot::Sender<()> },
}

/// What the supervisor starts with.
struct SupervisorArguments {
    context: Arc<Context>,
    /// The shards, with their state; a shard without one is rebuilt.
    stocks: Vec<(ShardId, Option<Stock>)>,
}

/// What the supervisor keeps between two messages.
struct SupervisorState {
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
        for (shard, stock) in stocks {
            state.start(&myself, shard, stock).await?;
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
        fail::fail_point!("supervisor-handle", |_| Err("injected death".into()));
        match message {
            SupervisorMessage::Tick => state.tick(),
            SupervisorMessage::Restart(shard) => {
                let mailbox = state.context.router.mailbox(shard);
                if mailbox.intake() != Intake::Shut && !state.is_up(shard) {
                    state.start(&myself, shard, None).await?;
                }
            }
            SupervisorMessage::Open { shard, stock, told } => {
                if !state.is_up(shard) {
                    state.start(&myself, shard, stock.map(|stock| *stock)).await?;
                }
                // Who waits no more has ended.
                let _ = told.send(());
            }
            SupervisorMessage::Shut { shard, told } => {
                state.end(shard).await;
                let _ = told.send(());
            }
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

    fn is_up(&self, shard: ShardId) -> bool {
        self.shards.values().any(|up| *up == shard)
    }

    /// Ends a shard's actor, if it has one, and waits for its end.
    async fn end(&mut self, shard: ShardId) {
        // Forgotten first, so that its end is no death.
        self.shards.retain(|_, up| *up != shard);
        self.deaths.remove(&shard);
        if let Some(actor) = self.context.router.take(shard)
            && let Err(error) = actor.kill_and_wait(None).await
        {
            tracing::debug!(%shard, %error, "the actor had ended already");
        }
    }

    fn tick(&mut self) {
        self.ticks += 1;
        let context = &self.context;
        context.ticked_at.store(context.clock.now().0, Ordering::Release);
        context.router.tick();
        self.answer_overdue();
        if self.ticks.is_multiple_of(TICKS_PER_SWEEP) {
            self.context.effect_sink.watchers.sweep();
            self.context.clock.watch();
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
        let deadline = context.deadline();
        let reason = if context.is_out_of_touch() {
            NotDelivered::LogUnavailable
        } else {
            NotDelivered::Overloaded
        };
        let mut overdue = 0_u64;
        for mut command in context.router.take_overdue(deadline) {
            command.reply_sender.send(Reply::NotDelivered(reason));
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
