//! Publishing: sends batches of messages and returns a verdict for each.

use super::address::BrokerAddress;
use super::error::BrokerError;
use super::link::{Link, Outgoing};
use super::session::Session;
use super::state::BrokerState;
use super::topology::OrdersQueue;
use super::verdict::Verdict;
use super::{format, topology, traces};
use crate::telemetry::traces::RecordTrace;
use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::sync::watch;

/// Messages published before their confirms are awaited; a longer list is sent in several runs.
const IN_FLIGHT_MAX: usize = 1_024;
const CONNECTION_NAME: &str = "seckill relay";

/// A message to publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Unique and stable: the same records published again carry the same id. At most 255 bytes.
    pub message_id: String,
    /// The bytes that [`format::Batch::finish`] returned.
    pub body: Vec<u8>,
    /// How many records that is.
    pub records: usize,
    /// Those of them that belong to a trace, with the spans that publish them: 64 at most.
    pub traces: Vec<RecordTrace>,
}

/// How full the queue of orders is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Depth {
    /// Messages that wait for delivery; those delivered and not yet acknowledged are not counted.
    pub messages: u32,
    /// Consumers subscribed to it.
    pub consumers: u32,
}

/// Publishes on a connection of its own, one batch after another. Connects when it is first used, and
/// again after each failure, with growing pauses.
#[derive(Debug)]
pub struct RabbitMqPublisher {
    session: Session,
    queue: OrdersQueue,
    /// Whether the queue was found missing and the caller has not been told yet. Outlives the call
    /// that found it, which may fail or be dropped after it has declared the queue.
    queue_was_gone: bool,
}

impl RabbitMqPublisher {
    /// Creates a publisher that has not connected yet.
    pub fn new(address: impl Into<BrokerAddress>) -> Self {
        let address = address.into();
        let queue = address.queue;
        let session = Session::new(address, CONNECTION_NAME);
        Self { session, queue, queue_was_gone: false }
    }

    /// The connection's state, and each change of it.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.session.state()
    }

    /// Publishes all messages to the queue of orders, persistent and mandatory, and returns a verdict
    /// for each, in their order.
    ///
    /// While the broker accepts no messages this waits, and [`Self::state`] says so. The future may
    /// be dropped at any time: nothing is known of the messages then, as after an error.
    ///
    /// # Errors
    /// Returns [`BrokerError::QueueCreated`] before anything is published if the queue was missing:
    /// what is not in the order store has to be published first. Any other error means that nothing
    /// is known of any message and all are to be published again, which does no harm.
    pub async fn publish(&mut self, messages: &[Message]) -> Result<Vec<Verdict>, BrokerError> {
        let mut verdicts = Vec::with_capacity(messages.len());
        let key = self.queue.routing_key();
        for run in messages.chunks(IN_FLIGHT_MAX) {
            let outgoing: Vec<Outgoing<'_>> =
                run.iter().map(|message| outgoing(message, &key)).collect();
            let mut link = self.link().await?;
            verdicts.extend(self.session.publish(&mut link, &outgoing).await?);
            if verdicts.iter().all(|verdict| *verdict == Verdict::Confirmed) {
                self.session.keep(link);
                self.session.succeeded();
                self.session.connected();
            } else {
                // A part of the topology is missing, or full: the next call connects again, after a
                // pause, and declares it again.
                let refused = "messages are returned or rejected".to_owned();
                self.session.note(BrokerError::Refused(refused));
            }
        }
        Ok(verdicts)
    }

    /// How full the queue of orders is.
    ///
    /// # Errors
    /// Returns [`BrokerError::QueueMissing`] if it does not exist any more (the next
    /// [`Self::publish`] declares it and says so), [`BrokerError::QueueCreated`] if this call has
    /// declared it, another [`BrokerError`] if the broker does not answer.
    pub async fn depth(&mut self) -> Result<Depth, BrokerError> {
        let link = self.link().await?;
        let Some((messages, consumers)) =
            self.session.ask(topology::depth(&link.connection, self.queue)).await?
        else {
            self.queue_was_gone = true;
            return Err(BrokerError::QueueMissing);
        };
        self.session.keep(link);
        Ok(Depth { messages, consumers })
    }

    /// The link, with the queue declared.
    async fn link(&mut self) -> Result<Link, BrokerError> {
        if let Some(link) = self.session.take() {
            return Ok(link);
        }
        let link = self.session.connect().await?;
        let depth = self.session.ask(topology::depth(&link.connection, self.queue)).await?;
        self.queue_was_gone |= depth.is_none();
        self.session.ask(topology::declare(&link.connection, self.queue)).await?;
        self.session.connected();
        if std::mem::take(&mut self.queue_was_gone) {
            self.session.keep(link);
            return Err(BrokerError::QueueCreated);
        }
        Ok(link)
    }
}

fn outgoing<'a>(message: &'a Message, routing_key: &'a str) -> Outgoing<'a> {
    let properties =
        BasicProperties::default().with_content_type(ShortString::from(format::CONTENT_TYPE));
    Outgoing {
        exchange: topology::ORDERS,
        routing_key,
        message_id: &message.message_id,
        body: &message.body,
        properties: match traces::headers(&message.traces) {
            None => properties,
            Some(headers) => properties.with_headers(headers),
        },
    }
}
