//! The relay's end of the transport between relay and consumer: a bounded channel in the process, or
//! a broker.

use super::traced::Publications;
use crate::actors::engine::Engine;
use crate::actors::meaning::Meaning;
use crate::actors::status::{PipelineStatus, order_store_name};
use crate::store::broker::format::Batch;
use crate::store::broker::{BrokerError, BrokerState, Message, RabbitMqPublisher, Verdict};
use crate::store::orders::OrderStore;
use crate::store::orders::ownership::OwnershipError;
use crate::telemetry::metrics::{RELAY_MESSAGES_TOTAL, RELAY_RETURNED_TOTAL};
use crate::telemetry::traces::Tracer;
use domain::{Record, ShardId};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Where the relay sends records, and where it asks how many of them are stored.
pub(in crate::actors) struct RecordSink {
    pub(in crate::actors) transport: Transport,
    pub(in crate::actors) orders: OrderStore,
    pub(in crate::actors) status: PipelineStatus,
    /// Whether the order store's tables are known to be up to date.
    pub(in crate::actors) migrated: bool,
    /// Records what is traced.
    pub(in crate::actors) tracer: Tracer,
}

/// How records get to the consumer.
pub(in crate::actors) enum Transport {
    /// To the consumer in the same process, through a channel of [`BATCHES_BETWEEN`].
    InProcess(mpsc::Sender<Vec<Record>>),
    /// Records go through RabbitMQ.
    RabbitMq(Box<RabbitMq>),
}

/// Behind no record: nothing of the shard is to be sent.
const NOT_TO_SEND: u64 = u64::MAX;

/// The kind under which the broker's state is reported.
pub(in crate::actors) const RABBITMQ: &str = "rabbitmq";

/// Looks in a row that find a queue empty, and not all stored, until what was sent counts as lost: a consumer holds
/// what it has not acknowledged.
const IDLE_LOOKS: u32 = 30;

/// Batches that may lie between relay and consumer in the process.
pub(in crate::actors) const BATCHES_BETWEEN: usize = 4;

/// Publishes records as messages, and watches whether any of them are lost.
pub(in crate::actors) struct RabbitMq {
    publisher: RabbitMqPublisher,
    /// The journal's owner: part of a message's id.
    epoch: u64,
    message_records: usize,
    /// How often in a row the queue was empty and nothing more was stored.
    idle_looks: u32,
    stored_at_last_look: u64,
    /// Whether the broker has taken anything over since the start.
    has_published: bool,
}

/// What became of a batch that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::actors) enum Sent {
    /// The transport has taken all of it over, so that it will not be lost (I12).
    All,
    /// What was sent earlier may be lost: the relay begins again behind what is stored.
    BeginAgain,
}

impl RabbitMq {
    pub(in crate::actors) fn new(
        publisher: RabbitMqPublisher,
        epoch: u64,
        message_records: usize,
    ) -> Self {
        Self {
            publisher,
            epoch,
            message_records,
            idle_looks: 0,
            stored_at_last_look: 0,
            has_published: false,
        }
    }
}

impl RecordSink {
    /// Sends the batch, however long that takes, and leaves the vector empty.
    pub(in crate::actors) async fn send(&mut self, batch: &mut Vec<Record>) -> Sent {
        match &mut self.transport {
            // Waits while the consumer is behind, which keeps the memory flat.
            Transport::InProcess(batches) => match batches.send(std::mem::take(batch)).await {
                Ok(()) => Sent::All,
                Err(_) => Sent::BeginAgain,
            },
            Transport::RabbitMq(broker) => {
                let mut messages = broker.messages(batch);
                let publications = Publications::begin(&self.tracer, &mut messages, batch);
                batch.clear();
                let sent = broker.publish(&messages, &self.status).await;
                publications.end(sent == Sent::All);
                sent
            }
        }
    }

    /// Behind which record of each shard the relay has to begin: what the order store says of itself, if
    /// it can be read and belongs to the engine's journal. [`NOT_TO_SEND`] for a shard that is not served
    /// here or is another store's, or of which the store lacks records that the journal has no longer.
    pub(in crate::actors) async fn begin(&mut self, engine: &Engine) -> Option<Vec<u64>> {
        let before = self.status.stored_seqs();
        let (place, kind) = (self.orders.place(), self.orders.database().kind());
        let name = order_store_name(place);
        match self.own_progress(engine).await {
            Ok(progress) => {
                self.status.report(name, kind, true, Meaning::OrdersArrive);
                self.status.note_progress(place, &before, &progress);
                self.status.note_begin(place, &progress);
                let journal = &engine.context().journal;
                let after = |((shard, stored), base)| {
                    let is_own = place.holds(shard) && journal.owner(shard).is_some();
                    let sends = is_own && stored >= base;
                    if sends { stored } else { NOT_TO_SEND }
                };
                let progress = (0..).map(ShardId).zip(progress);
                Some(progress.zip(journal.base_seqs()).map(after).collect())
            }
            Err(error) => {
                self.status.report(name, kind, false, Meaning::OrdersWait(error.to_string()));
                None
            }
        }
    }

    async fn own_progress(&mut self, engine: &Engine) -> Result<Vec<u64>, OwnershipError> {
        if !self.migrated {
            // The order store may not have been reachable at the start.
            self.orders.migrate().await?;
            self.migrated = true;
        }
        let progress = engine.stored_seqs(&self.orders).await;
        // The tables may be gone since.
        self.migrated = progress.is_ok();
        progress
    }

    /// Whether something that was sent is lost; asked while nothing is left to send. `sent` and `stored` are each
    /// shard's last record.
    pub(in crate::actors) async fn has_lost(
        &mut self,
        engine: &Engine,
        sent: &[u64],
        stored: &[u64],
    ) -> bool {
        let sent_here = |seqs: &[u64]| -> u64 {
            let pairs = seqs.iter().zip(sent).filter(|(_, sent)| **sent != NOT_TO_SEND);
            pairs.map(|(seq, _)| *seq).sum()
        };
        let (sent, stored) = (sent_here(sent), sent_here(stored));
        let found = match &mut self.transport {
            Transport::InProcess(_) => return false,
            Transport::RabbitMq(broker) => broker.look(sent, stored).await,
        };
        match found {
            Found::NoQueue => return true,
            Found::Nothing => {}
            Found::Messages => return false,
        }
        // A consumer whose store is away holds what it cannot store, and a broker does not count that as there.
        let answers = self.own_progress(engine).await.is_ok();
        let Transport::RabbitMq(broker) = &mut self.transport else { return false };
        broker.idle_looks = if answers { broker.idle_looks + 1 } else { 0 };
        if broker.idle_looks < IDLE_LOOKS {
            return false;
        }
        broker.idle_looks = 0;
        tracing::warn!(
            sent,
            stored,
            "the broker holds nothing and orders are missing: publishing them again"
        );
        true
    }
}

impl RabbitMq {
    fn messages(&self, batch: &[Record]) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut records = batch.iter().peekable();
        while let Some(first) = records.peek() {
            let message_id = format!("{}-{}-{}", self.epoch, first.shard, first.seq);
            let mut body = Batch::new();
            while let Some(record) = records.peek() {
                if body.len() >= self.message_records || !body.push(record) {
                    break;
                }
                records.next();
            }
            if body.is_empty() {
                // One record always fits; this only keeps the loop from running for ever.
                records.next();
                continue;
            }
            let records = body.len();
            messages.push(Message { message_id, body: body.finish(), records, traces: Vec::new() });
        }
        messages
    }

    async fn publish(&mut self, messages: &[Message], status: &PipelineStatus) -> Sent {
        let mut waiting: Vec<Message> = messages.to_vec();
        while !waiting.is_empty() {
            let state = self.publisher.state();
            let publishing = self.publisher.publish(&waiting);
            let blocked = |reason| {
                status.report("broker", RABBITMQ, false, Meaning::BrokerBlocks(reason));
            };
            match telling_while_blocked(publishing, state, blocked).await {
                Ok(verdicts) => {
                    let refused = verdicts.iter().find(|verdict| **verdict != Verdict::Confirmed);
                    match refused {
                        None => status.report("broker", RABBITMQ, true, Meaning::BrokerWorks),
                        Some(verdict) => {
                            metrics::counter!(RELAY_RETURNED_TOTAL).increment(1);
                            let meaning = Meaning::BrokerRefuses(format!("{verdict:?}"));
                            status.report("broker", RABBITMQ, false, meaning);
                        }
                    }
                    let mut verdicts = verdicts.into_iter();
                    waiting.retain(|_| verdicts.next() != Some(Verdict::Confirmed));
                }
                Err(BrokerError::QueueCreated) => {
                    if self.has_published {
                        tracing::warn!(
                            "the broker's queue is gone and is declared anew; publishing what is not \
                             stored"
                        );
                    } else {
                        tracing::info!("the broker's queue is declared");
                    }
                    return Sent::BeginAgain;
                }
                Err(error) => {
                    // The publisher pauses before it connects again.
                    let meaning = Meaning::BrokerAway(error.to_string());
                    status.report("broker", RABBITMQ, false, meaning);
                }
            }
        }
        metrics::counter!(RELAY_MESSAGES_TOTAL).increment(messages.len() as u64);
        self.idle_looks = 0;
        self.has_published = true;
        Sent::All
    }

    /// Looks, while not everything that was sent is stored, whether the queue has any of it.
    async fn look(&mut self, sent: u64, stored: u64) -> Found {
        const LOOK: Duration = Duration::from_millis(800);
        if stored >= sent || stored != self.stored_at_last_look {
            self.stored_at_last_look = stored;
            self.idle_looks = 0;
            return Found::Messages;
        }
        tokio::time::sleep(LOOK).await;
        match self.publisher.depth().await {
            Ok(depth) if depth.messages == 0 => Found::Nothing,
            Ok(_) => {
                self.idle_looks = 0;
                Found::Messages
            }
            Err(BrokerError::QueueMissing | BrokerError::QueueCreated) => Found::NoQueue,
            Err(_) => Found::Messages,
        }
    }
}

/// What a look at the broker's queue has found, of what was sent and is not stored.
enum Found {
    /// Some of it may be there, or on its way.
    Messages,
    /// Nothing that is ready; a consumer may hold what it has not acknowledged.
    Nothing,
    /// There is no queue: what was in it is lost.
    NoQueue,
}

/// Waits for a publisher and tells of a broker that takes no messages at once, with its reason: the publisher itself
/// waits for it silently, for minutes.
pub(in crate::actors) async fn telling_while_blocked<Published>(
    publishing: impl Future<Output = Published>,
    mut state: watch::Receiver<BrokerState>,
    tell: impl Fn(String),
) -> Published {
    let watching = async {
        while state.changed().await.is_ok() {
            if let BrokerState::Blocked(reason) = &*state.borrow_and_update() {
                tell(reason.clone());
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        published = publishing => published,
        never = watching => never,
    }
}
