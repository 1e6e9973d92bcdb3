//! Publishing: batches of messages out, a verdict for each back.

use super::link::{Backoff, Link, Outgoing};
use super::{BrokerAddress, BrokerError, BrokerState, format, topology};
use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::sync::watch;

/// Messages published before their confirms are awaited; a longer list goes in several runs.
const IN_FLIGHT_MAX: usize = 1_024;
const CONNECTION_NAME: &str = "seckill relay";

/// A message to publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Unique and stable: the same records published again carry the same id. At most 255 bytes.
    pub message_id: String,
    /// What [`format::Batch::finish`] gave.
    pub body: Vec<u8>,
}

/// What became of one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// In the queue, on disk. Only this lets the relay's cursor pass (I12).
    Confirmed,
    /// It led to no queue: why. Whatever else the broker said of it.
    Returned(String),
    /// The broker would not take it.
    Rejected,
}

/// What is in the queue of orders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Depth {
    /// Messages waiting for delivery; those delivered and not yet acknowledged are not counted.
    pub messages: u32,
    /// Consumers attached.
    pub consumers: u32,
}

/// Publishes on a connection of its own, one batch after another. Connects when it is used, and
/// again after each failure, with growing pauses.
#[derive(Debug)]
pub struct RabbitMqPublisher {
    address: BrokerAddress,
    link: Option<Link>,
    /// The queue was seen to be gone and the caller has not been told. Outlives the call that saw
    /// it, which may fail or be dropped after it has declared the queue.
    queue_was_gone: bool,
    backoff: Backoff,
    state: watch::Sender<BrokerState>,
}

impl RabbitMqPublisher {
    /// A publisher that has not connected yet.
    pub fn new(address: impl Into<BrokerAddress>) -> Self {
        Self {
            address: address.into(),
            link: None,
            queue_was_gone: false,
            backoff: Backoff::default(),
            state: watch::Sender::new(BrokerState::Idle),
        }
    }

    /// How the connection stands, and each change of it.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.subscribe()
    }

    /// Publishes all messages to the queue of orders, persistent and mandatory, and gives a verdict
    /// for each, in their order.
    ///
    /// While the broker takes no messages this waits, and [`Self::state`] says so. May be dropped
    /// at any time: nothing is known of the messages then, as after an error.
    ///
    /// # Errors
    /// [`BrokerError::QueueCreated`] before anything is published, where the queue was gone: publish
    /// first what is not in the order store. The others mean that nothing is known of any message
    /// and all are to be published again, which does no harm.
    pub async fn publish(&mut self, messages: &[Message]) -> Result<Vec<Verdict>, BrokerError> {
        let mut verdicts = Vec::with_capacity(messages.len());
        for run in messages.chunks(IN_FLIGHT_MAX) {
            let outgoing: Vec<Outgoing<'_>> = run.iter().map(outgoing).collect();
            // Out of its place while it is in use: a call that is dropped leaves confirms behind
            // that no later batch may meet.
            let mut link = self.link().await?;
            let published =
                link.publish(&outgoing, self.address.confirm_timeout, &self.state).await;
            match published {
                Ok(published) => verdicts.extend(published),
                Err(error) => return Err(self.note(error)),
            }
            if verdicts.iter().all(|verdict| *verdict == Verdict::Confirmed) {
                self.link = Some(link);
                self.backoff.succeeded();
                self.state.send_replace(BrokerState::Connected);
            } else {
                // Something of the topology is missing, or full: the next call connects again,
                // after a pause, and declares it again.
                let refused = "messages are returned or rejected".to_owned();
                self.note(BrokerError::Refused(refused));
            }
        }
        Ok(verdicts)
    }

    /// What is in the queue of orders.
    ///
    /// # Errors
    /// [`BrokerError::QueueMissing`] where it does not exist any more (the next
    /// [`Self::publish`] declares it and says so), [`BrokerError::QueueCreated`] where this call
    /// has declared it.
    pub async fn depth(&mut self) -> Result<Depth, BrokerError> {
        let link = self.link().await?;
        let depth = in_time(&self.address, topology::depth(&link.connection)).await;
        match depth {
            Ok(Some((messages, consumers))) => {
                self.link = Some(link);
                Ok(Depth { messages, consumers })
            }
            Ok(None) => {
                self.queue_was_gone = true;
                Err(BrokerError::QueueMissing)
            }
            Err(error) => Err(self.note(error)),
        }
    }

    /// The link, taken out of its place; connected first where there is none.
    async fn link(&mut self) -> Result<Link, BrokerError> {
        if let Some(link) = self.link.take()
            && link.connection.status().connected()
            && link.channel.status().connected()
        {
            return Ok(link);
        }
        tokio::time::sleep(self.backoff.pause()).await;
        let link = match Link::connect(&self.address, CONNECTION_NAME).await {
            Ok(link) => link,
            Err(error) => return Err(self.note(error)),
        };
        let depth = in_time(&self.address, topology::depth(&link.connection)).await;
        match depth {
            Ok(depth) => self.queue_was_gone |= depth.is_none(),
            Err(error) => return Err(self.note(error)),
        }
        let declared = in_time(&self.address, topology::declare(&link.connection)).await;
        if let Err(error) = declared {
            return Err(self.note(error));
        }
        self.state.send_replace(BrokerState::Connected);
        if std::mem::take(&mut self.queue_was_gone) {
            self.link = Some(link);
            return Err(BrokerError::QueueCreated);
        }
        Ok(link)
    }

    fn note(&mut self, error: BrokerError) -> BrokerError {
        self.backoff.failed();
        self.state.send_replace(match &error {
            BrokerError::Blocked(reason) => BrokerState::Blocked(reason.clone()),
            error => BrokerState::Failed(error.to_string()),
        });
        error
    }
}

async fn in_time<Answer>(
    address: &BrokerAddress,
    asked: impl Future<Output = Result<Answer, BrokerError>>,
) -> Result<Answer, BrokerError> {
    let answer = tokio::time::timeout(address.confirm_timeout, asked).await;
    answer.unwrap_or_else(|_| Err(BrokerError::Unavailable("no answer in time".to_owned())))
}

fn outgoing(message: &Message) -> Outgoing<'_> {
    Outgoing {
        exchange: topology::ORDERS,
        message_id: &message.message_id,
        body: &message.body,
        properties: BasicProperties::default()
            .with_content_type(ShortString::from(format::CONTENT_TYPE)),
    }
}
