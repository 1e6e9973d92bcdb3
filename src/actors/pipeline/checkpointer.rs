//! The checkpointer: stores what changed in each shard, so that a restart need not replay the whole
//! journal, and evicts what is kept elsewhere.
//!
//! A checkpoint is taken from the shard between two batches (cheap: chunks are shared), and written
//! only once all of it is durable (I11). The journal's old records are retired when checkpoint and
//! order store hold them (I13), and so are the orders of items that are over.

use super::completeness;
use super::message::Continue;
use crate::actors::engine::Engine;
use crate::actors::shard::effects::NotDelivered;
use crate::actors::shard::mailbox::Envelope;
use crate::crash::crash_point;
use crate::store::checkpoint::{CheckpointError, CheckpointStore, Mark, Written, whole};
use crate::store::orders::OrderStore;
use crate::telemetry::metrics::CHECKPOINT_FAILURES_TOTAL;
use domain::stock::Changes;
use domain::{Command, ItemPhase, ShardId};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::time::Duration;

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
    /// What the store is known to hold of each shard; none where that is not known.
    pub(in crate::actors) marks: Vec<Option<Mark>>,
}

/// What the checkpointer keeps between two messages.
pub(in crate::actors) struct CheckpointerState {
    arguments: CheckpointerArguments,
    /// What the store is known to hold of each shard.
    marks: Vec<Option<Mark>>,
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
    #[error(transparent)]
    Store(#[from] CheckpointError),
}

impl ShardError {
    /// What a restart does while the shard gets no checkpoint.
    fn restart(&self) -> &'static str {
        match self {
            Self::Store(CheckpointError::Foreign { .. }) => "is refused until that is mended",
            _ => "replays more of it",
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
        let marks = arguments.marks.clone();
        for (index, mark) in marks.iter().enumerate() {
            if let Some(mark) = mark {
                let shard = ShardId(index as u16);
                arguments.engine.pipeline_status().checkpointed(shard, mark.seq);
            }
        }
        myself.cast(Continue)?;
        Ok(CheckpointerState { arguments, marks })
    }

    async fn handle(
        &self,
        myself: ActorRef<Continue>,
        _: Continue,
        state: &mut CheckpointerState,
    ) -> Result<(), ActorProcessingErr> {
        fail::fail_point!("checkpointer-handle", |_| Err("injected death".into()));
        state.wait().await;
        state.round().await;
        myself.cast(Continue)?;
        Ok(())
    }
}

impl CheckpointerState {
    /// Waits until the next round is due: at once when the journal is found damaged, because the state
    /// in memory is all that is whole then.
    async fn wait(&self) {
        let journal = &self.arguments.engine.context().journal;
        let pause = tokio::time::sleep(self.arguments.interval);
        if journal.is_damaged() {
            pause.await;
            return;
        }
        tokio::select! {
            () = pause => {}
            () = journal.damaged() => {}
        }
    }

    /// Brings every shard's checkpoint up to date, and evicts if that succeeds.
    async fn round(&mut self) {
        let engine = self.arguments.engine.clone();
        let context = engine.context();
        let status = engine.pipeline_status();
        let started_at = engine.now();
        let kind = self.arguments.checkpoints.kind();
        let mut failure = None;
        for shard in context.router.shards() {
            let behind = self.marks[shard.index()].map_or(0, |mark| mark.seq)
                < context.journal.durable_seq(shard);
            if !behind {
                continue;
            }
            match self.write_changes(shard).await {
                Ok(()) => {
                    let seq = self.marks[shard.index()].map_or(0, |mark| mark.seq);
                    status.checkpointed(shard, seq);
                }
                Err(error) => {
                    metrics::counter!(CHECKPOINT_FAILURES_TOTAL).increment(1);
                    failure = Some(error);
                    break;
                }
            }
        }
        match failure {
            Some(error) => {
                let meaning = format!(
                    "the sale goes on and the journal is kept; a restart {}: {error}",
                    error.restart()
                );
                status.report("checkpoint", kind, false, meaning);
            }
            None => {
                status.all_checkpointed(started_at);
                status.report("checkpoint", kind, true, "a restart replays little");
                if context.journal.is_damaged() {
                    self.keep_all().await;
                } else {
                    self.evict().await;
                }
            }
        }
    }

    /// Writes what changed in the shard, or all of it where the store lacks what that builds on.
    async fn write_changes(&mut self, shard: ShardId) -> Result<(), ShardError> {
        let engine = self.arguments.engine.clone();
        let base = self.marks[shard.index()];
        let changes = engine
            .ask(shard, |answer| Envelope::TakeChanges { answer })
            .await
            .map_err(|reason| ShardError::NoAnswer { shard, reason })?;
        let written = match base {
            Some(_) => self.write(base, &changes).await,
            None => self.write_whole(shard).await,
        };
        let written = match written {
            Ok(Written::BaseMissing { .. }) => self.write_whole(shard).await,
            other => other,
        };
        match written {
            Ok(Written::Stored(mark)) => {
                self.marks[shard.index()] = Some(mark);
                crash_point("checkpoint-after-write");
                Ok(())
            }
            Ok(Written::Stale { stored }) => {
                engine.send(shard, Envelope::RestoreChanges { changes: Box::new(changes) });
                Err(ShardError::Stale { stored })
            }
            Ok(Written::BaseMissing { .. }) => Err(ShardError::WholeRefused),
            Err(error) => {
                engine.send(shard, Envelope::RestoreChanges { changes: Box::new(changes) });
                Err(error)
            }
        }
    }

    async fn write_whole(&self, shard: ShardId) -> Result<Written, ShardError> {
        let snapshot = self
            .arguments
            .engine
            .ask(shard, |answer| Envelope::ReadSnapshot { answer })
            .await
            .map_err(|reason| ShardError::NoAnswer { shard, reason })?;
        self.write(None, &whole(shard, snapshot)).await
    }

    async fn write(&self, base: Option<Mark>, changes: &Changes) -> Result<Written, ShardError> {
        const LOOK: Duration = Duration::from_millis(1);
        let journal = &self.arguments.engine.context().journal;
        // I11: nothing that could still be lost goes into a checkpoint.
        while journal.durable_seq(changes.shard) < changes.seq {
            if journal.has_failed() {
                return Err(ShardError::JournalFailed);
            }
            tokio::time::sleep(LOOK).await;
        }
        crash_point("checkpoint-before-write");
        let epoch = journal.durable_epoch();
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
        if status.is_incomplete() {
            return;
        }
        let covered = status.covered();
        let journal = &engine.context().journal;
        if journal.can_retire(&covered) {
            // What is deleted here is nowhere else, so the order store is asked once more.
            match completeness::holds(engine, &self.arguments.orders, &covered).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "the journal's old segments stay: the order store does not answer");
                    return;
                }
            }
            if let Err(error) = self.arguments.checkpoints.harden().await {
                tracing::warn!(%error, "the journal's old segments stay: the checkpoint is not durable yet");
                return;
            }
            match journal.retire(&covered) {
                Ok(0) => {}
                Ok(retired) => tracing::info!(retired, "journal segments deleted"),
                Err(error) => tracing::warn!(%error, "a journal segment cannot be deleted"),
            }
        }
        let retention = u64::try_from(self.arguments.retention.as_millis()).unwrap_or(u64::MAX);
        let now = engine.now();
        for gate in engine.gates() {
            let over = gate.terms().ends_at.plus_milliseconds(retention) <= now;
            let closed = gate.phase() == ItemPhase::Ended || gate.terms().ends_at <= now;
            if over && closed && gate.counters().reserved == 0 && !gate.is_settled() {
                engine.decide_own(
                    gate.shard(),
                    Command::Settle {
                        item_id: gate.terms().item_id,
                        stored_seq: covered[gate.shard().index()],
                    },
                );
            }
        }
    }
}
