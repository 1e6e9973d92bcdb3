//! The relay: moves durable records from the journal towards the order store.
//!
//! It follows the journal from where the order store is, so a backlog of any length costs no memory. Each of
//! several order stores has a relay of its own, which leaves out the other stores' shards.
//! A rush has the machine to itself for a few seconds: the orders of its first moments are sent when
//! it is over, or has lasted that long. What was sent is not what is stored: after a restart, and
//! whenever transport or order store have lost something, the relay begins again at the order store's
//! own progress, and what comes twice is harmless. Its cursor never passes a record that the transport
//! has not taken over (I12).

use super::message::Continue;
use super::rush::gather;
use super::sink::{RecordSink, Sent};
use crate::actors::engine::Engine;
use crate::crash::crash_point;
use crate::store::journal::{Follower, JournalError};
use domain::Record;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::time::Duration;

/// The relay's actor.
pub(in crate::actors) struct Relay;

/// What the relay starts with.
pub(in crate::actors) struct RelayArguments {
    pub(in crate::actors) engine: Engine,
    pub(in crate::actors) sink: RecordSink,
    /// Records of one batch.
    pub(in crate::actors) batch_records: usize,
    /// Records that a rush may leave behind before they are sent all the same.
    pub(in crate::actors) rush_records_max: u64,
}

/// What the relay keeps between two messages.
pub(in crate::actors) struct RelayState {
    engine: Engine,
    sink: RecordSink,
    batch_records: usize,
    rush_records_max: u64,
    /// Where the relay is in the journal: behind the last record that was sent. None if it has to begin
    /// again behind what is stored.
    follower: Option<Follower>,
    batch: Vec<Record>,
}

/// How long the relay waits for a notice that more is durable.
const IDLE: Duration = Duration::from_millis(200);
/// The pause after a journal that could not be read.
const RETRY: Duration = Duration::from_millis(500);

impl Actor for Relay {
    type Msg = Continue;
    type State = RelayState;
    type Arguments = RelayArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Continue>,
        arguments: RelayArguments,
    ) -> Result<RelayState, ActorProcessingErr> {
        let RelayArguments { engine, sink, batch_records, rush_records_max } = arguments;
        myself.cast(Continue)?;
        Ok(RelayState {
            engine,
            sink,
            batch_records,
            rush_records_max,
            follower: None,
            batch: Vec::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Continue>,
        _: Continue,
        state: &mut RelayState,
    ) -> Result<(), ActorProcessingErr> {
        fail::fail_point!("relay-handle", |_| Err("injected death".into()));
        match state.send_some().await {
            Ok(true) => tokio::task::yield_now().await,
            Ok(false) => {
                // Either is a reason to look again; the time limit covers a lost notice.
                let _ = tokio::time::timeout(IDLE, state.engine.durable_moved()).await;
                gather(&state.engine, state.rush_records_max).await;
            }
            Err(error) => {
                tracing::error!(%error, "the relay cannot read the journal; orders wait in it");
                state.follower = None;
                tokio::time::sleep(RETRY).await;
            }
        }
        myself.cast(Continue)?;
        Ok(())
    }
}

impl RelayState {
    /// Sends one batch if there is one; false if all that is durable was sent.
    async fn send_some(&mut self) -> Result<bool, JournalError> {
        let status = self.engine.pipeline_status();
        self.engine.tracer().forget_stored(|| status.stored_seqs());
        let place = self.sink.orders.place();
        if status.take_begin_again(place) {
            self.follower = None;
        }
        let begins = self.follower.is_none();
        let follower = match &mut self.follower {
            Some(follower) => follower,
            none => {
                let Some(after) = self.sink.begin(&self.engine).await else { return Ok(false) };
                none.insert(self.engine.context().journal.follow(&after))
            }
        };
        self.batch.clear();
        while self.batch.len() < self.batch_records && follower.next(&mut self.batch).await? {}
        let Some(first) = self.batch.first() else {
            let (sent, stored) = (follower.seqs(), status.stored_seqs());
            if self.sink.has_lost(&self.engine, sent, &stored).await {
                self.follower = None;
            }
            return Ok(false);
        };
        if begins {
            status.note_oldest(place, first.at);
        }
        crash_point("relay-before-send");
        if self.sink.send(&mut self.batch).await == Sent::BeginAgain {
            self.follower = None;
        }
        crash_point("relay-after-send");
        Ok(true)
    }
}
