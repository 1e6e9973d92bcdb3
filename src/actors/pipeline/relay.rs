//! The relay: moves durable records from the journal towards the order store.
//!
//! It reads the journal's files from where the order store is, so a backlog of any length costs no
//! memory. A rush has the machine to itself for a few seconds: the orders of its first moments are
//! sent when it is over, or has lasted. What it has sent is not what is stored: after a restart, and
//! whenever the way in between has lost something, it begins again at the order store's own
//! progress, and what comes twice is harmless.

use super::sink::{RecordSink, Sent};
use crate::actors::engine::Engine;
use crate::crash::crash_point;
use crate::store::journal::{Position, Tail, record};
use domain::Record;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::time::Duration;

/// The actor.
pub(in crate::actors) struct Relay;

/// Go on.
pub(in crate::actors) struct Continue;

/// What it starts with.
pub(in crate::actors) struct RelayArguments {
    pub(in crate::actors) engine: Engine,
    pub(in crate::actors) sink: RecordSink,
    /// Records of one batch.
    pub(in crate::actors) batch_records: usize,
    /// Records that a rush may leave behind before they are sent all the same.
    pub(in crate::actors) rush_records_max: u64,
}

/// What it keeps.
pub(in crate::actors) struct RelayState {
    engine: Engine,
    sink: RecordSink,
    batch_records: usize,
    rush_records_max: u64,
    tail: Option<Tail>,
    /// Each shard's last record that was sent.
    sent: Vec<u64>,
    batch: Vec<Record>,
}

/// Lets a batch gather: the sale is not waiting, and each transaction of the order store is a sync
/// that competes with the journal's own.
const GATHER: Duration = Duration::from_millis(50);
/// So many records while a batch gathers are a rush.
const RUSH_RECORDS: u64 = 1_000;
/// How long a rush may keep records from being sent.
const RUSH_MAX: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_millis(200);
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
            tail: None,
            sent: Vec::new(),
            batch: Vec::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Continue>,
        _: Continue,
        state: &mut RelayState,
    ) -> Result<(), ActorProcessingErr> {
        let moved = state.engine.durable_moved();
        match state.send_some().await {
            Ok(true) => tokio::task::yield_now().await,
            Ok(false) => {
                // Either is a reason to look again; the time limit covers a lost notice.
                let _ = tokio::time::timeout(IDLE, moved.notified()).await;
                gather(state.engine.clone(), state.rush_records_max).await;
            }
            Err(error) => {
                tracing::error!(error, "the relay cannot read the journal; orders wait in it");
                state.tail = None;
                tokio::time::sleep(RETRY).await;
            }
        }
        myself.cast(Continue)?;
        Ok(())
    }
}

impl RelayState {
    /// Sends one batch if there is one; false if all that is durable was sent.
    async fn send_some(&mut self) -> Result<bool, String> {
        let tail = match &mut self.tail {
            Some(tail) => tail,
            none => {
                let Some(stored) = self.sink.stored(&self.engine).await else { return Ok(false) };
                let journal = &self.engine.context().journal;
                let segment = journal.first_segment_beyond(&stored);
                self.sent = stored;
                none.insert(journal.follow(Position { segment, offset: 0 }))
            }
        };
        let end = self.engine.context().journal.durable_end();
        self.batch.clear();
        while self.batch.len() < self.batch_records {
            let payload = tail.next(end).map_err(|error| error.to_string())?;
            let Some(mut payload) = payload else { break };
            while !payload.is_empty() {
                let found = record::decode(&mut payload).map_err(|error| error.to_string())?;
                let sent = self.sent.get_mut(found.shard.index());
                if let Some(sent) = sent.filter(|sent| found.seq > **sent) {
                    *sent = found.seq;
                    self.batch.push(found);
                }
            }
        }
        if self.batch.is_empty() {
            let stored = self.engine.pipeline_status().stored_seqs();
            if self.sink.has_lost(self.sent.iter().sum(), stored.iter().sum()).await {
                self.tail = None;
            }
            return Ok(false);
        }
        crash_point("relay-before-send");
        if self.sink.send(&mut self.batch).await == Sent::BeginAgain {
            self.tail = None;
        }
        crash_point("relay-after-send");
        Ok(true)
    }
}

/// Lets a batch gather, and a rush pass that has left fewer than `records_max` behind.
async fn gather(engine: Engine, records_max: u64) {
    let journal = &engine.context().journal;
    let passed = async {
        loop {
            let before = journal.figures().records;
            tokio::time::sleep(GATHER).await;
            let is_rush = journal.figures().records - before >= RUSH_RECORDS;
            if !is_rush || engine.pipeline_status().backlog(journal) >= records_max {
                break;
            }
        }
    };
    // However long the rush: it has had its time.
    let _ = tokio::time::timeout(RUSH_MAX, passed).await;
}
