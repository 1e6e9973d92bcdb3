//! The engine's handle: what the edge may ask, and how the engine starts and drains.

use super::checkpoint_requests::CheckpointRequests;
use super::cluster::Steering;
use super::directory::Directory;
use super::gate::Gate;
use super::holds::Holds;
use super::lease::Lease;
use super::remote::Remote;
use super::shard::context::Context;
use super::shard::effects::{Effect, NotDelivered, Release, Reply, ReplySender};
use super::shard::figures::MailboxFigures;
use super::shard::idempotency::{IdempotencyKeys, KeyOrigin, KeyReservation};
use super::shard::mailbox::{Envelope, PendingCommand};
use super::shard::permits::Permits;
use super::shard::recovery::{self, Recovered, RecoveryError};
use super::shard::router::Router;
use super::shard::supervisor::{self, Supervision, TICK};
use super::status::PipelineStatus;
use super::tasks::Tasks;
use super::transfers::{self, Transfers};
use crate::clock::{self, Clock};
use crate::store::checkpoint::{CheckpointStore, Mark};
use crate::store::journal::{Journal, JournalId, Log, OpenedLog};
use crate::store::orders::OrderStore;
use crate::store::orders::ownership::{self, OwnershipError};
use crate::telemetry::traces::{TraceContext, Tracer};
use domain::{Buy, Command, ItemId, Outcome, Refusal, ShardId, Stock, Timestamp};
use parking_lot::Mutex;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

const KEY_REUSED: Reply = Reply::Decided(Outcome::Refused(Refusal::IdempotencyKeyReused));

/// How the engine runs.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Number of shards, 1 to 1,024. May grow over the life of a journal, never shrink.
    pub shards: u16,
    /// Places of each shard on the ring.
    pub virtual_nodes: u16,
    /// Requests that may be under way at once.
    pub permits: usize,
    /// How long a request waits for its answer at most.
    pub reply_timeout: Duration,
    /// How far the journal's newest record may be ahead of the wall clock at the start. The engine's
    /// clock goes on from that record.
    pub clock_ahead_max: Duration,
}

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The shards cannot be recovered.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The wall clock is behind what was decided before, or was ahead then.
    #[error(
        "the journal's newest record was made {ahead_seconds} s after what the wall clock says now: \
         that is wrong, or was wrong then"
    )]
    ClockBehind {
        /// How far the newest record is ahead, in seconds.
        ahead_seconds: u64,
    },
    /// The journal cannot be written.
    #[error("the journal cannot be started: {0}")]
    Journal(#[from] io::Error),
    /// An actor did not start.
    #[error("the actors cannot be started: {0}")]
    Actors(#[from] ractor::SpawnErr),
}

/// A cheap handle to the running engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    supervisor: Supervision,
    tasks: Tasks,
    durable_moved: Arc<Notify>,
    status: PipelineStatus,
    /// What each shard's checkpoint held when the shard was opened, until the checkpointer asks.
    marks: Mutex<Vec<Option<Mark>>>,
    checkpoint_requests: CheckpointRequests,
    /// Who needs the journal's records beside the relay.
    holds: Holds,
    /// Where the shards are that are not served here, if the shop has other nodes.
    directory: OnceLock<Directory>,
    /// How they are asked.
    remote: Arc<OnceLock<Remote>>,
    steering: OnceLock<Steering>,
    /// The task that moves units between buckets.
    moving_units: OnceLock<JoinHandle<()>>,
}

impl Engine {
    /// Recovers the shards from the opened journal and what is stored beside it, and starts. `on_failure`
    /// is called once if the journal fails: the process has to stop then.
    ///
    /// # Errors
    /// Returns [`StartError`] if the shards cannot be recovered or a part cannot start.
    pub async fn start(
        options: EngineOptions,
        journal_id: JournalId,
        journal: impl OpenedLog,
        checkpoints: CheckpointStore,
        orders: &OrderStore,
        on_failure: impl FnOnce(io::Error) + Send + 'static,
    ) -> Result<Self, StartError> {
        let base = journal.base().map_err(RecoveryError::from)?;
        let recovered =
            recovery::recover(journal_id, journal, &checkpoints, orders, options.shards).await?;
        // Before the journal is changed. A store that does not answer is checked before it is written to.
        match ownership::check(orders, journal_id, &recovered.journal.seqs, &base).await {
            Ok(()) | Err(OwnershipError::Store(_)) => {}
            Err(error) => return Err(RecoveryError::from(error).into()),
        }
        let floor = recovered.stocks.iter().map(Stock::at).max().unwrap_or_default();
        check_clock(floor, options.clock_ahead_max)?;
        let Recovered { stocks, journal, marks } = recovered;
        let release = Release::new(Lease::default());
        let journal = Journal::start(journal, release.on_durable(), on_failure)?;
        let clock = Clock::start(floor);
        let parts = Parts { journal_id, clock, journal, release, checkpoints };
        Self::run(options, parts, stocks, marks).await
    }

    /// Starts without a shard, on a log that several nodes share: [`Engine::open_shard`] brings them.
    /// `on_failure` is called once if the journal fails: the process has to stop then.
    ///
    /// # Errors
    /// Returns [`StartError`] if a part cannot start.
    pub async fn start_without_shards(
        options: EngineOptions,
        journal_id: JournalId,
        log: impl Log,
        checkpoints: CheckpointStore,
        on_failure: impl FnOnce(io::Error) + Send + 'static,
    ) -> Result<Self, StartError> {
        let clock = Clock::start(Timestamp::default());
        let (release, shards) = (Release::new(Lease::ended(clock.clone())), options.shards);
        let journal = Journal::start_shut(log, shards, release.on_durable(), on_failure)?;
        let parts = Parts { journal_id, clock, journal, release, checkpoints };
        Self::run(options, parts, Vec::new(), vec![None; usize::from(shards)]).await
    }

    /// Starts the actors of the shards that are there.
    async fn run(
        options: EngineOptions,
        parts: Parts,
        stocks: Vec<Stock>,
        marks: Vec<Option<Mark>>,
    ) -> Result<Self, StartError> {
        const EXPIRIES_PER_TICK: usize = 16_384;
        let Parts { journal_id, clock, journal, release, checkpoints } = parts;
        let Release { effect_sink, durable_moved } = release;
        let context = Arc::new(Context {
            clock,
            journal: Arc::new(journal),
            journal_id,
            router: Router::new(options.shards, options.virtual_nodes),
            effect_sink,
            idempotency_keys: IdempotencyKeys::default(),
            permits: Permits::new(options.permits),
            checkpoints,
            draining: AtomicBool::new(false),
            expiring: AtomicBool::new(true),
            figures: (0..options.shards).map(|_| Arc::default()).collect(),
            mailbox_figures: MailboxFigures::default(),
            expiries_per_tick: (EXPIRIES_PER_TICK / usize::from(options.shards)).max(16),
            reply_timeout: options.reply_timeout,
            tracer: OnceLock::new(),
            ticked_at: AtomicU64::new(0),
        });
        context.open_shards(&stocks);
        let status = PipelineStatus::new(&context.journal.base_seqs(), context.clock.now());
        let tasks = Tasks::new(context.clock.clone());
        let supervisor = supervisor::start(Arc::clone(&context), stocks, &tasks).await?;
        let engine = Self(Arc::new(Inner {
            context,
            supervisor,
            tasks,
            durable_moved,
            status,
            marks: Mutex::new(marks),
            checkpoint_requests: CheckpointRequests::default(),
            holds: Holds::default(),
            directory: OnceLock::new(),
            remote: Arc::default(),
            steering: OnceLock::new(),
            moving_units: OnceLock::new(),
        }));
        let transfers = engine.transfers();
        let transfers = move || transfers::run(transfers.clone());
        // The engine is new, and this is the first one.
        let _ = engine.0.moving_units.set(engine.0.tasks.keep_running("transfers", transfers));
        Ok(engine)
    }

    /// The journal that checkpoints and order store must belong to.
    pub(super) fn journal_id(&self) -> JournalId {
        self.0.context.journal_id
    }

    /// The tasks that run as long as the engine does.
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// The time by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.0.context.clock.now()
    }

    /// The engine's clock.
    pub fn clock(&self) -> Clock {
        self.0.context.clock.clone()
    }

    /// The item's gate, if the item was preheated.
    pub fn gate(&self, item_id: ItemId) -> Option<Arc<Gate>> {
        self.0.context.effect_sink.gates.get(&item_id).map(|gate| Arc::clone(&gate))
    }

    /// All gates, in no order.
    pub fn gates(&self) -> Vec<Arc<Gate>> {
        self.0.context.effect_sink.gates.iter().map(|gate| Arc::clone(&gate)).collect()
    }

    /// Decides a purchase in a shard that is served here; answers once that is durable. Knows nothing of the
    /// gates' fast path: the caller asks [`Gate::refusal`] before.
    pub(super) async fn buy_here(
        &self,
        gate: &Gate,
        buy: Buy,
        origin: KeyOrigin,
        trace: Option<&TraceContext>,
    ) -> Reply {
        if gate.is_quarantined() {
            return Reply::NotDelivered(NotDelivered::Quarantined);
        }
        let idempotency_keys = &self.0.context.idempotency_keys;
        let mut reservation = None;
        if origin == KeyOrigin::Client {
            match idempotency_keys.reserve(buy.user_id, buy.request_id, buy.item_id) {
                Ok(reserved) => reservation = Some(reserved),
                Err(_) => return KEY_REUSED,
            }
            if idempotency_keys.may_be_granted(buy.user_id, buy.request_id) {
                match Box::pin(self.is_used_elsewhere(gate, &buy)).await {
                    Ok(false) => {}
                    Ok(true) => return KEY_REUSED,
                    Err(not_delivered) => return Reply::NotDelivered(not_delivered),
                }
            }
        }
        let shard = gate.shard_of(buy.user_id);
        let keyed = origin == KeyOrigin::Client;
        let asked = Asked { command: Command::Buy(buy), reservation, keyed, trace };
        self.decide_asked(shard, asked).await
    }

    /// Lets no more orders expire, so that a shop that stops can bring the order store up to date. What is
    /// due meanwhile expires at the next start.
    pub fn stop_expiring(&self) {
        self.0.context.expiring.store(false, Ordering::Release);
    }

    /// Stops admitting, waits until what was admitted is decided and durable, and closes the journal.
    /// Waits for `limit` at most; the outcome of what is unanswered then stays unknown to its callers.
    pub async fn drain(&self, limit: Duration) {
        let context = &self.0.context;
        context.draining.store(true, Ordering::Release);
        let emptied = async {
            while context.permits.used() > 0 {
                tokio::time::sleep(TICK / 10).await;
            }
        };
        if tokio::time::timeout(limit, emptied).await.is_err() {
            tracing::warn!(
                under_way = context.permits.used(),
                "drained with requests under way; their outcome is unknown to the clients"
            );
        }
        self.0.supervisor.abort();
        if let Some(moving_units) = self.0.moving_units.get() {
            moving_units.abort();
        }
        self.stop_telling_keys();
        let journal = Arc::clone(&context.journal);
        // A sync that hangs cannot be cancelled; it ends with the process.
        let closed = tokio::task::spawn_blocking(move || journal.close());
        if tokio::time::timeout(limit, closed).await.is_err() {
            tracing::error!("the journal did not close in time");
        }
    }

    /// Has what is picked recorded from now on, once: before there is an edge.
    pub fn trace_with(&self, tracer: Tracer) {
        // A process has one.
        let _ = self.0.context.tracer.set(tracer);
    }

    /// Records what is traced.
    pub fn tracer(&self) -> &Tracer {
        self.0.context.tracer()
    }

    /// For how long this node certainly is the owner of what it serves.
    pub fn lease(&self) -> &Lease {
        &self.0.context.effect_sink.lease
    }

    /// The cluster that this is a node of, to be looked at and steered; none of a shop of its own.
    pub fn steering(&self) -> Option<&Steering> {
        self.0.steering.get()
    }

    /// Changes how many requests may be in the engine. Those beyond it that are there are answered.
    pub fn set_permits(&self, permits: usize) {
        self.0.context.permits.set_limit(permits);
    }

    /// Changes beyond how many records of backlog there is an alarm, and whether purchases are refused then.
    pub fn set_backlog(&self, records_max: u64, refuses_beyond: bool) {
        self.pipeline_status().set_backlog_limit(records_max, refuses_beyond);
    }

    /// Sets what the cluster is looked at and steered by, once.
    pub fn set_steering(&self, steering: Steering) {
        // Another one would be of the same cluster.
        let _ = self.0.steering.set(steering);
    }

    /// Where the shards are that are not served here; none if this node is alone.
    pub fn directory(&self) -> Option<&Directory> {
        self.0.directory.get()
    }

    /// Makes it known that the shop has other nodes, once.
    pub(super) fn set_directory(&self, directory: Directory) {
        // It is a node of one cluster for as long as it runs.
        let _ = self.0.directory.set(directory);
    }

    /// How the shards of other nodes are asked; none if this node is alone, or asks none.
    pub(super) fn remote(&self) -> Option<&Remote> {
        self.0.remote.get()
    }

    /// Makes it known how the shards of other nodes are asked, once.
    pub(super) fn set_remote(&self, remote: Remote) {
        // A node has the same links for as long as it runs.
        let _ = self.0.remote.set(remote);
    }

    /// What moves units between the buckets of items.
    pub(super) fn transfers(&self) -> Transfers {
        Transfers::new(Arc::clone(&self.0.context), Arc::clone(&self.0.remote))
    }

    /// What all shards share.
    pub(super) fn context(&self) -> &Arc<Context> {
        &self.0.context
    }

    /// How far behind the sale the backends are.
    pub(super) fn pipeline_status(&self) -> &PipelineStatus {
        &self.0.status
    }

    /// Waits until more has become durable since the last call. Only the relay calls it: a notice
    /// wakes one caller.
    pub(super) async fn durable_moved(&self) {
        self.0.durable_moved.notified().await;
    }

    /// What a shard's checkpoint held when the shard was opened, once; none if that is not known, or was
    /// told before.
    pub(super) fn take_mark(&self, shard: ShardId) -> Option<Mark> {
        self.0.marks.lock().get_mut(shard.index())?.take()
    }

    /// Sets what a shard's checkpoint holds, now that the shard is opened.
    pub(super) fn set_mark(&self, shard: ShardId, mark: Option<Mark>) {
        if let Some(own) = self.0.marks.lock().get_mut(shard.index()) {
            *own = mark;
        }
    }

    /// The shards' supervisor.
    pub(super) fn supervisor(&self) -> &Supervision {
        &self.0.supervisor
    }

    /// Checkpoints that are asked for out of their turn.
    pub(super) fn checkpoint_requests(&self) -> &CheckpointRequests {
        &self.0.checkpoint_requests
    }

    /// Who needs the journal's records beside the relay.
    pub(super) fn holds(&self) -> &Holds {
        &self.0.holds
    }

    /// Wakes everybody who waits for it whenever more has become durable.
    pub(super) fn durable_told(&self) -> &Notify {
        &self.0.context.effect_sink.durable_told
    }

    /// Puts an envelope without an answer in a shard's mailbox, if the shard is served here.
    pub(super) fn send(&self, shard: ShardId, envelope: Envelope) {
        let _ = self.0.context.router.send(shard, envelope);
    }

    /// Sends the shard a command of the engine's own, whose outcome no client waits for.
    pub(super) fn decide_own(&self, shard: ShardId, command: Command) {
        let context = &self.0.context;
        let (admitted_at, admitted_after) = context.clock.moment();
        self.send(
            shard,
            Envelope::Command(PendingCommand {
                command,
                reply_sender: ReplySender::none(),
                permit: context.permits.take_own(),
                admitted_at,
                admitted_after,
                keyed: false,
                panics: 0,
            }),
        );
    }

    /// Why nothing, or no purchase, is admitted at present.
    pub(super) fn refusing(&self) -> Option<NotDelivered> {
        let context = &self.0.context;
        if context.draining.load(Ordering::Acquire) || context.journal.has_failed() {
            Some(NotDelivered::ShuttingDown)
        } else if context.journal.is_damaged() {
            Some(NotDelivered::StorageDamaged)
        } else if context.is_out_of_touch() {
            Some(NotDelivered::LogUnavailable)
        } else if !context.journal.has_room() {
            Some(NotDelivered::StorageFull)
        } else if self.0.status.refuses() {
            Some(NotDelivered::BacklogFull)
        } else {
            None
        }
    }

    /// Decides a command in a shard that is served here; answers once that is durable.
    pub(super) async fn decide_here(&self, shard: ShardId, command: Command) -> Reply {
        let asked = Asked { command, reservation: None, keyed: false, trace: None };
        self.decide_asked(shard, asked).await
    }

    async fn decide_asked(&self, shard: ShardId, asked: Asked<'_>) -> Reply {
        let Asked { command, reservation, keyed, trace } = asked;
        if let Some(reason) = self.refusing() {
            // What is wrong here says nothing of a shard that is elsewhere.
            if !self.serves(shard) {
                return Reply::NotDelivered(NotDelivered::Moved);
            }
            // Beyond the backlog's threshold only new purchases are refused.
            if reason != NotDelivered::BacklogFull || matches!(command, Command::Buy(_)) {
                return Reply::NotDelivered(reason);
            }
        }
        let context = &self.0.context;
        let Some(permit) = context.permits.take() else {
            return Reply::NotDelivered(NotDelivered::Overloaded);
        };
        let (sender, answered) = oneshot::channel();
        let (admitted_at, admitted_after) = context.clock.moment();
        let hops = context.tracer().hops(trace);
        let sent = context.router.send(
            shard,
            Envelope::Command(PendingCommand {
                command,
                reply_sender: ReplySender::new(sender, reservation, hops),
                permit,
                admitted_at,
                admitted_after,
                keyed,
                panics: 0,
            }),
        );
        if sent.is_err() {
            return Reply::NotDelivered(NotDelivered::Moved);
        }
        // The supervisor's sweep answers what waits too long, so this wait ends.
        answered.await.unwrap_or(Reply::Unknown)
    }
}

/// Refuses a newest record that is too far ahead of the wall clock: with a clock that goes on from it,
/// sales that are due now would be over.
fn check_clock(newest: Timestamp, ahead_max: Duration) -> Result<(), StartError> {
    let ahead = Duration::from_millis(newest.0.saturating_sub(clock::wall_now().0));
    let ahead_seconds = ahead.as_secs();
    if ahead <= ahead_max { Ok(()) } else { Err(StartError::ClockBehind { ahead_seconds }) }
}

/// A command, and what there is to know of it on its way.
struct Asked<'a> {
    command: Command,
    /// Held until the reply has left.
    reservation: Option<KeyReservation>,
    /// Whether the request id is the client's and may come again on another item.
    keyed: bool,
    /// The span that its hops are children of, if it is traced.
    trace: Option<&'a TraceContext>,
}

/// What an engine is made of besides its shards.
struct Parts {
    journal_id: JournalId,
    clock: Clock,
    journal: Journal<Effect>,
    release: Release,
    checkpoints: CheckpointStore,
}
