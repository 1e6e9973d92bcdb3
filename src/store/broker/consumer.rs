//! Consuming: receives messages in order; the receiver acknowledges or dead-letters each.

use super::address::BrokerAddress;
use super::error::{BrokerError, is_not_found};
use super::format::{self, MalformedMessage};
use super::link::{Backoff, Link, Outgoing};
use super::state::BrokerState;
use super::topology;
use super::traces;
use super::verdict::Verdict;
use crate::telemetry::traces::RecordTrace;
use domain::Record;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Acker, BasicProperties, Consumer};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The header of a dead letter that holds the reason, in words.
pub(super) const REASON_HEADER: &str = "x-seckill-reason";
/// The most bytes of the reason that are kept.
const REASON_LENGTH_MAX: usize = 500;
/// How long sending acknowledgements may take.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_NAME: &str = "seckill consumer";
const DEAD_LETTER_CONNECTION_NAME: &str = "seckill dead letters";

/// A delivered message, which is to be acknowledged or dead-lettered.
#[derive(Debug)]
pub struct Delivery {
    /// The id that its publisher gave it.
    pub message_id: String,
    /// Its records. A message that this program did not make, or a damaged one, is to be
    /// dead-lettered.
    pub records: Result<Vec<Record>, MalformedMessage>,
    /// Whether the broker may have delivered it before.
    pub redelivered: bool,
    /// What its publisher says of its records' traces.
    pub traces: Vec<RecordTrace>,
    body: Vec<u8>,
    acker: Acker,
}

/// Receives on a connection of its own. Connects when it is first used, and again after each failure,
/// with growing pauses.
#[derive(Debug)]
pub struct RabbitMqConsumer {
    address: BrokerAddress,
    prefetch_messages: u16,
    subscription: Option<Subscription>,
    /// An attempt to subscribe, on a task of its own: it goes on while the caller does something
    /// else, however soon the caller's own time limit ends.
    subscribing: Option<JoinHandle<Result<Subscription, BrokerError>>>,
    /// The connection on which dead letters are published, apart from the subscription's: a broker
    /// that accepts no messages stops reading from connections that publish, and acknowledgements
    /// must still get through.
    dead_letters: Option<Link>,
    backoff: Backoff,
    state: watch::Sender<BrokerState>,
}

#[derive(Debug)]
struct Subscription {
    #[expect(dead_code, reason = "dropping it would end the connection")]
    link: Link,
    consumer: Consumer,
    /// Why nothing more will be delivered. The stream says so once, perhaps together with deliveries,
    /// which are handed over first; polling it again would wait for ever.
    over: Option<BrokerError>,
}

impl RabbitMqConsumer {
    /// Creates a consumer that has not connected yet. The broker delivers up to `prefetch_messages`
    /// (at least 1) that are not acknowledged, which bounds the memory they take.
    pub fn new(address: impl Into<BrokerAddress>, prefetch_messages: u16) -> Self {
        Self {
            address: address.into(),
            prefetch_messages: prefetch_messages.max(1),
            subscription: None,
            subscribing: None,
            dead_letters: None,
            backoff: Backoff::default(),
            state: watch::Sender::new(BrokerState::Idle),
        }
    }

    /// The connection's state, and each change of it.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.subscribe()
    }

    /// Waits for a message and returns it with those that are there already, up to `messages_max` in
    /// all. The future may be dropped at any time: no message is lost, and an attempt to connect
    /// goes on.
    ///
    /// # Errors
    /// Returns [`BrokerError`] if the connection is lost or cannot be made: what was received and not
    /// acknowledged is delivered again. [`BrokerError::QueueMissing`] until a publisher has declared
    /// the queue.
    pub async fn receive(&mut self, messages_max: usize) -> Result<Vec<Delivery>, BrokerError> {
        if self.subscription.is_none() {
            let attempt = self.subscribing.get_or_insert_with(|| {
                let (address, prefetch) = (self.address.clone(), self.prefetch_messages);
                let pause = self.backoff.pause();
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    subscribe(&address, prefetch).await
                })
            });
            let subscribed = attempt.await;
            self.subscribing = None;
            match subscribed {
                Ok(Ok(subscription)) => self.subscription = Some(subscription),
                Ok(Err(error)) => return Err(self.note(error)),
                Err(error) => return Err(self.note(BrokerError::Unavailable(error.to_string()))),
            }
            self.state.send_replace(BrokerState::Connected);
        }
        let Some(subscription) = &mut self.subscription else {
            return Err(BrokerError::Unavailable("not subscribed".to_owned()));
        };
        if let Some(over) = subscription.over.take() {
            return Err(self.note(over));
        }
        let mut received = subscription.consumer.next().await;
        let mut deliveries = Vec::new();
        loop {
            let over = match received {
                Some(Ok(delivery)) => {
                    deliveries.push(taken(delivery));
                    None
                }
                Some(Err(error)) => Some(error.into()),
                // The broker cancelled the subscription: the queue was deleted.
                None => Some(BrokerError::QueueMissing),
            };
            if let Some(over) = over {
                if deliveries.is_empty() {
                    return Err(self.note(over));
                }
                subscription.over = Some(over);
                break;
            }
            if deliveries.len() >= messages_max {
                break;
            }
            match subscription.consumer.next().now_or_never() {
                Some(next) => received = next,
                None => break,
            }
        }
        self.backoff.succeeded();
        Ok(deliveries)
    }

    /// Acknowledges messages whose records are in the order store.
    ///
    /// # Errors
    /// Returns [`BrokerError`] if the connection that delivered them is lost: they are delivered
    /// again.
    pub async fn ack(&mut self, deliveries: &[Delivery]) -> Result<(), BrokerError> {
        let acks = deliveries.iter().map(|delivery| delivery.acker.ack(BasicAckOptions::default()));
        let acks = futures_util::future::join_all(acks);
        let Ok(results) = tokio::time::timeout(ACK_TIMEOUT, acks).await else {
            return Err(self.note(BrokerError::Unavailable("acknowledging hangs".to_owned())));
        };
        for result in results {
            match result {
                Ok(true) => {}
                Ok(false) => {
                    let gone = "the connection of a delivery is gone".to_owned();
                    return Err(self.note(BrokerError::Unavailable(gone)));
                }
                Err(error) => return Err(self.note(error.into())),
            }
        }
        Ok(())
    }

    /// Moves a message that can never be stored to the dead letters, with content, id and reason, and
    /// acknowledges it.
    ///
    /// The copy is confirmed first: if this fails the message is still there, at worst twice.
    ///
    /// # Errors
    /// Returns [`BrokerError`] if the copy was not confirmed or the acknowledgement failed: this
    /// message and all others that are not acknowledged are delivered again.
    pub async fn dead_letter(
        &mut self,
        delivery: &Delivery,
        reason: &str,
    ) -> Result<(), BrokerError> {
        if let Err(error) = self.copy_to_dead_letters(delivery, reason).await {
            return Err(self.note(error));
        }
        self.ack(std::slice::from_ref(delivery)).await
    }

    async fn copy_to_dead_letters(
        &mut self,
        delivery: &Delivery,
        reason: &str,
    ) -> Result<(), BrokerError> {
        let mut link = match self.dead_letters.take() {
            Some(link) if link.connection.status().connected() => link,
            _ => Link::connect(&self.address, DEAD_LETTER_CONNECTION_NAME).await?,
        };
        let key = self.address.queue.routing_key();
        let outgoing = Outgoing {
            exchange: topology::DEAD_LETTERS,
            routing_key: &key,
            message_id: &delivery.message_id,
            body: &delivery.body,
            properties: BasicProperties::default()
                .with_content_type(format::CONTENT_TYPE.into())
                .with_headers(headers(reason)),
        };
        let verdicts = link.publish(&[outgoing], self.address.confirm_timeout, &self.state).await?;
        match verdicts.first() {
            Some(Verdict::Confirmed) => {
                self.dead_letters = Some(link);
                Ok(())
            }
            Some(Verdict::Returned(reason)) => Err(BrokerError::Refused(reason.clone())),
            _ => Err(BrokerError::Refused("the dead letter was rejected".to_owned())),
        }
    }

    fn note(&mut self, error: BrokerError) -> BrokerError {
        self.subscription = None;
        self.backoff.failed();
        self.state.send_replace(BrokerState::Failed(error.to_string()));
        error
    }
}

impl Drop for RabbitMqConsumer {
    fn drop(&mut self) {
        if let Some(attempt) = self.subscribing.take() {
            attempt.abort();
        }
    }
}

async fn subscribe(
    address: &BrokerAddress,
    prefetch_messages: u16,
) -> Result<Subscription, BrokerError> {
    let link = Link::connect(address, CONNECTION_NAME).await?;
    let subscribing = async {
        link.channel.basic_qos(prefetch_messages, BasicQosOptions::default()).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let queue = address.queue.name();
        link.channel.basic_consume(queue.into(), "".into(), options, none).await
    };
    match tokio::time::timeout(address.confirm_timeout, subscribing).await {
        Ok(Ok(consumer)) => Ok(Subscription { link, consumer, over: None }),
        Ok(Err(error)) if is_not_found(&error) => Err(BrokerError::QueueMissing),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(BrokerError::Unavailable("no answer in time".to_owned())),
    }
}

fn taken(delivery: lapin::message::Delivery) -> Delivery {
    Delivery {
        message_id: message_id(&delivery.properties),
        records: format::decode(&delivery.data),
        redelivered: delivery.redelivered,
        traces: traces::told(&delivery.properties),
        body: delivery.data,
        acker: delivery.acker,
    }
}

pub(super) fn message_id(properties: &BasicProperties) -> String {
    properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default()
}

fn headers(reason: &str) -> FieldTable {
    let mut headers = FieldTable::default();
    let reason = &reason[..reason.floor_char_boundary(REASON_LENGTH_MAX)];
    headers.insert(REASON_HEADER.into(), AMQPValue::LongString(LongString::from(reason)));
    headers
}
