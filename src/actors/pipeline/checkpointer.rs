//! The checkpointer: stores what changed in each shard, so that a restart need not replay the whole
//! journal, and evicts what is kept elsewhere.
//!
//! A checkpoint is taken from the shard between two batches (cheap: chunks are shared), and written
//! only once all of it is durable (I11). The journal's old records are retired when checkpoint and
//! order store hold them (I13), and so are the orders of items that are over.

use super::completeness;
use super::message::Continue;
use crate::actors::checkpoint_requests::CheckpointRequest;
use crate::actors::engine::Engine;
use crate::actors::meaning::Meaning;
use crate::actors::shard::effects::NotDelivered;
use crate::actors::shard::mailbox::Envelope;
use crate::crash::crash_point;
use crate::store::checkpoint::{CheckpointError, CheckpointStore, Mark, Written, whole};
use crate::store::orders::{OrderStore, StorePlace};
use crate::telemetry::metrics::CHECKPOINT_FAILURES_TOTAL;
use domain::stock::Changes;
use domain::{Command, ItemPhase, ShardId};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The checkpointer's actor.
pub(in crate::actors) struct Checkpointer;

/// What the checkpointer starts with.
pub(in crate::actors) struct CheckpointerArguments {
    pub(in crate::actors) engine: Engine,
    pub(in crate::actors) checkpoints: CheckpointStore,
    pub(in crate::actors) orders: OrderStore,
    /// The time between two rounds.
    pub(in crate::actors) interval: Duration,
    /// How long after its end an item's orders stay in memory.
    pub(in crate::actors) retention: Duration,
}

/// What the checkpointer keeps between two messages.
pub(in crate::actors) struct CheckpointerState {
    arguments: CheckpointerArguments,
    /// What the store is known to hold of each shard; none where that is not known.
    marks: Vec<Option<Mark>>,
    /// Whether it was asked anything.
    has_asked: bool,
    /// When the next round is due, once that is settled.
    round_at: Option<Instant>,
}

/// Why a shard did not give its state: it may have gone.
fn no_answer(shard: ShardId, reason: NotDelivered) -> ShardError {
    match reason {
        NotDelivered::Moved => ShardError::Gone(shard),
        reason => ShardError::NoAnswer { shard, reason },
    }
}

/// Why a shard got no checkpoint.
#[derive(Debug, thiserror::Error)]
enum ShardError {
    #[error("shard {shard} does not answer: {reason:?}")]
    NoAnswer { shard: ShardId, reason: NotDelivered },
    #[error("the store holds {stored}, later than ours: another owner writes it")]
    Stale { stored: Mark },
    #[error("the store refuses a whole checkpoint")]
    WholeRefused,
    #[error("the journal has failed")]
    JournalFailed,
    #[error("shard {0} went meanwhile")]
    Gone(ShardId),
    #[error(transparent)]
    Store(#[from] CheckpointError),
}

impl ShardError {
    /// What it means for the sale that the shard gets no checkpoint.
    fn meaning(&self) -> Meaning {
        match self {
            Self::Store(error @ CheckpointError::Foreign { .. }) => {
                Meaning::CheckpointsForeign(error.to_string())
            }
            _ => Meaning::CheckpointsLate(self.to_string()),
        }
    }
}

impl Actor for Checkpointer {
    type Msg = Continue;
    type State = CheckpointerState;
    type Arguments = CheckpointerArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Continue>,
        arguments: CheckpointerArguments,
    ) -> Result<CheckpointerState, ActorProcessingErr> {
        let marks = arguments.engine.context().router.shards().map(|_| None).collect();
        myself.cast(Continue)?;
        Ok(CheckpointerState { arguments, marks, has_asked: false, round_at: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<Continue>,
        _: Continue,
        state: &mut CheckpointerState,
    ) -> Result<(), ActorProcessingErr> {
        fail::fail_point!("checkpointer-handle", |_| Err("injected death".into()));
        if std::mem::replace(&mut state.has_asked, true) {
            let requests = state.wait().await;
            if requests.is_empty() {
                state.round().await;
            } else {
                state.answer(requests).await;
            }
        } else {
            state.take_marks();
            state.ask().await;
        }
        myself.cast(Continue)?;
        Ok(())
    }
}

impl CheckpointerState {
    /// Waits until the next round is due: at once when the journal is found damaged, because the state
    /// in memory is all that is whole then. Returns what was asked for before that.
    async fn wait(&mut self) -> Vec<CheckpointRequest> {
        let engine = &self.arguments.engine;
        let journal = &engine.context().journal;
        let round_at =
            *self.round_at.get_or_insert_with(|| Instant::now() + self.arguments.interval);
        let pause = tokio::time::sleep_until(round_at);
        if journal.is_damaged() {
            pause.await;
        } else {
            tokio::select! {
                () = pause => {}
                () = journal.damaged() => {}
                requests = engine.checkpoint_requests().next() => return requests,
            }
        }
        self.round_at = None;
        Vec::new()
    }

    /// Writes the checkpoints that were asked for.
    async fn answer(&mut self, requests: Vec<CheckpointRequest>) {
        self.take_marks();
        for request in requests {
            if let Err(error) = self.write_if_behind(request.shard).await {
                tracing::info!(shard = %request.shard, %error, "no checkpoint out of turn");
            }
        }
    }

    /// Takes in what the checkpoints of newly opened shards hold.
    fn take_marks(&mut self) {
        let engine = &self.arguments.engine;
        for shard in engine.context().router.shards() {
            if let Some(mark) = engine.take_mark(shard) {
                engine.pipeline_status().checkpointed(shard, mark.seq);
                self.marks[shard.index()] = Some(mark);
            }
        }
    }

    /// Asks the store whether it answers, and tells.
    async fn ask(&self) {
        let answered = self.answers().await;
        let status = self.arguments.engine.pipeline_status();
        let kind = self.arguments.checkpoints.kind();
        match answered {
            Ok(()) => status.report("checkpoint", kind, true, Meaning::CheckpointsWork),
            Err(error) => status.report("checkpoint", kind, false, error.meaning()),
        }
    }

    /// Whether the store answers and, as far as one shard tells, is this journal's.
    async fn answers(&self) -> Result<(), ShardError> {
        const ONE: u16 = 1;
        self.arguments.checkpoints.marks(ONE).await?;
        Ok(())
    }

    /// Brings every shard's checkpoint up to date, and evicts if that succeeds.
    async fn round(&mut self) {
        let engine = self.arguments.engine.clone();
        let context = engine.context();
        let status = engine.pipeline_status();
        let started_at = engine.now();
        let kind = self.arguments.checkpoints.kind();
        let (mut failure, mut has_written) = (None, false);
        self.take_marks();
        for shard in context.router.shards() {
            match self.write_if_behind(shard).await {
                Ok(written) => has_written |= written,
                Err(ShardError::Gone(_)) => {}
                Err(error) => {
                    metrics::counter!(CHECKPOINT_FAILURES_TOTAL).increment(1);
                    failure = Some(error);
                    break;
                }
            }
        }
        if !has_written && failure.is_none() {
            // Nothing was sold since, and the store may be gone all the same.
            failure = self.answers().await.err();
        }
        match failure {
            Some(error) => {
                status.report("checkpoint", kind, false, error.meaning());
            }
            None => {
                status.all_checkpointed(started_at);
                status.report("checkpoint", kind, true, Meaning::CheckpointsWork);
                if context.journal.is_damaged() {
                    self.keep_all().await;
                } else {
                    self.evict().await;
                }
            }
        }
    }

    /// Brings one shard's checkpoint up to date, if it is served here. Returns whether it was behind.
    async fn write_if_behind(&mut self, shard: ShardId) -> Result<bool, ShardError> {
        let engine = self.arguments.engine.clone();
        let mark_seq = self.marks[shard.index()].map_or(0, |mark| mark.seq);
        if mark_seq >= engine.context().journal.durable_seq(shard) {
            return Ok(false);
        }
        self.write_changes(shard).await?;
        let seq = self.marks[shard.index()].map_or(0, |mark| mark.seq);
        engine.pipeline_status().checkpointed(shard, seq);
        Ok(true)
    }

    /// Writes what changed in the shard, or all of it where the store lacks what that builds on.
    async fn write_changes(&mut self, shard: ShardId) -> Result<(), ShardError> {
        let engine = self.arguments.engine.clone();
        let base = self.marks[shard.index()];
        let owner = engine.context().journal.owner(shard);
        let changes = engine
            .ask(shard, |answer| Envelope::TakeChanges { answer })
            .await
            .map_err(|reason| no_answer(shard, reason))?;
        let written = match base {
            Some(_) => self.write(owner, base, &changes).await,
            None => self.write_whole(owner, shard).await,
        };
        let written = match written {
            Ok(Written::BaseMissing { .. }) => self.write_whole(owner, shard).await,
            other => other,
        };
        match written {
            Ok(Written::Stored(mark)) => {
                self.marks[shard.index()] = Some(mark);
                crash_point("checkpoint-after-write");
                Ok(())
            }
            Ok(Written::Stale { stored }) => {
                engine.send(shard, Envelope::RestoreChanges { changes: Box::new(changes), owner });
                Err(ShardError::Stale { stored })
            }
            Ok(Written::BaseMissing { .. }) => Err(ShardError::WholeRefused),
            Err(error) => {
                engine.send(shard, Envelope::RestoreChanges { changes: Box::new(changes), owner });
                Err(error)
            }
        }
    }

    async fn write_whole(&self, owner: Option<u64>, shard: ShardId) -> Result<Written, ShardError> {
        let snapshot = self
            .arguments
            .engine
            .ask(shard, |answer| Envelope::ReadSnapshot { answer })
            .await
            .map_err(|reason| no_answer(shard, reason))?;
        self.write(owner, None, &whole(shard, snapshot)).await
    }

    /// Writes what was taken from the shard while it had this owner.
    async fn write(
        &self,
        owner: Option<u64>,
        base: Option<Mark>,
        changes: &Changes,
    ) -> Result<Written, ShardError> {
        const LOOK: Duration = Duration::from_millis(1);
        let journal = &self.arguments.engine.context().journal;
        // I11: nothing that could still be lost goes into a checkpoint.
        while journal.durable_seq(changes.shard) < changes.seq
            && journal.owner(changes.shard) == owner
        {
            if journal.has_failed() {
                return Err(ShardError::JournalFailed);
            }
            tokio::time::sleep(LOOK).await;
        }
        // What is durable under another owner is not what was taken.
        if journal.owner(changes.shard) != owner {
            return Err(ShardError::Gone(changes.shard));
        }
        crash_point("checkpoint-before-write");
        let epoch = journal.durable_epoch(changes.shard);
        Ok(self.arguments.checkpoints.write(epoch, base, changes).await?)
    }

    /// Makes the checkpoints survive a power cut, now that they hold what the journal may not give back.
    /// Nothing is retired.
    async fn keep_all(&self) {
        match self.arguments.checkpoints.harden().await {
            Ok(()) => tracing::warn!("the checkpoints hold all that was confirmed"),
            Err(error) => tracing::error!(%error, "the checkpoints may not survive a power cut"),
        }
    }

    /// Retires records that are kept elsewhere, and settles items that are over.
    async fn evict(&self) {
        let engine = &self.arguments.engine;
        let status = engine.pipeline_status();
        let covered = status.covered();
        let journal = &engine.context().journal;
        let mut retirable = engine.holds().retirable(journal, &covered);
        self.leave_incomplete(&mut retirable);
        if journal.can_retire(&retirable) {
            // What is deleted here is nowhere else, so the order stores are asked once more.
            self.leave_what_is_not_stored(&covered, &mut retirable).await;
        }
        if journal.can_retire(&retirable) {
            if let Err(error) = self.arguments.checkpoints.harden().await {
                tracing::warn!(%error, "the journal's old segments stay: the checkpoint is not durable yet");
                return;
            }
            let (journal, retired) = (Arc::clone(journal), retirable);
            // It blocks for as long as the log takes.
            match tokio::task::spawn_blocking(move || journal.retire(&retired)).await {
                Ok(Ok(0)) | Err(_) => {}
                Ok(Ok(retired)) => tracing::info!(retired, "old parts of the journal deleted"),
                Ok(Err(error)) => tracing::warn!(%error, "old parts of the journal stay"),
            }
        }
        self.settle(&covered);
    }

    /// Leaves the records of shards whose order store lacks what it should hold.
    fn leave_incomplete(&self, retirable: &mut [u64]) {
        let status = self.arguments.engine.pipeline_status();
        for store in self.arguments.orders.each() {
            if status.is_incomplete(store.place()) {
                leave(&store, retirable);
            }
        }
    }

    /// Leaves the records of shards whose order store does not say at this moment that it holds them.
    async fn leave_what_is_not_stored(&self, covered: &[u64], retirable: &mut [u64]) {
        for store in self.arguments.orders.each() {
            match completeness::holds(&self.arguments.engine, &store, covered).await {
                Ok(true) => {}
                Ok(false) => leave(&store, retirable),
                Err(error) => {
                    tracing::warn!(%error, "the journal's old segments stay: the order store does not answer");
                    leave(&store, retirable);
                }
            }
        }
    }

    /// Settles items that are over and whose order stores hold all that they should.
    fn settle(&self, covered: &[u64]) {
        let engine = &self.arguments.engine;
        let status = engine.pipeline_status();
        let incomplete: Vec<StorePlace> = self
            .arguments
            .orders
            .each()
            .map(|store| store.place())
            .filter(|place| status.is_incomplete(*place))
            .collect();
        let retention = u64::try_from(self.arguments.retention.as_millis()).unwrap_or(u64::MAX);
        let now = engine.now();
        for gate in engine.gates() {
            let over = gate.terms().ends_at.plus_milliseconds(retention) <= now;
            let closed = gate.phase() == ItemPhase::Ended || gate.terms().ends_at <= now;
            let is_moving = !gate.open_transfers().is_empty();
            let is_stored = gate
                .shards()
                .iter()
                .all(|shard| incomplete.iter().all(|place| !place.holds(*shard)));
            if over
                && closed
                && gate.counters().reserved == 0
                && !is_moving
                && is_stored
                && !gate.is_settled()
            {
                for shard in gate.shards() {
                    let (item_id, stored_seq) = (gate.terms().item_id, covered[shard.index()]);
                    // Before the shard releases its orders.
                    self.arguments.orders.lists_need(*shard, stored_seq);
                    engine.decide_own(*shard, Command::Settle { item_id, stored_seq });
                }
            }
        }
    }
}

/// Leaves all records of the shards that the order store holds.
fn leave(store: &OrderStore, retirable: &mut [u64]) {
    for (shard, seq) in (0..).map(ShardId).zip(retirable) {
        if store.holds(shard) {
            *seq = 0;
        }
    }
}
