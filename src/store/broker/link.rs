//! A connection with one channel in confirm mode. Every message is published through it.
//!
//! What the client library leaves to its user, each of it measured:
//! - An unroutable message is returned *and* acknowledged, and the return may come attached to
//!   another message's confirm: returns are matched by message id, once a batch is complete.
//! - A confirm in flight may stay pending for ever: there is a time limit, and a batch that is not
//!   complete by then counts as unknown and its connection is dropped, so that a late return never
//!   meets the confirms of a later batch.
//! - A broker short of memory or disk stops reading: the time limit does not run meanwhile.

use super::address::BrokerAddress;
use super::error::BrokerError;
use super::state::BrokerState;
use super::verdict::Verdict;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, FuturesUnordered};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Event};
use secrecy::ExposeSecret;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;

/// How long connecting may take, without the declarations.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Seconds between two heartbeats, unless the URL says otherwise. A peer that is silent for about
/// twice as long counts as lost.
const HEARTBEAT_SECONDS: u16 = 15;
/// How long a broker may accept no messages before the caller gets an error.
const BLOCKED_WAIT_MAX: Duration = Duration::from_secs(300);
/// The shortest and the longest pause between two attempts, before it is varied.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// A connection and its confirming channel.
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) channel: Channel,
    events: BoxStream<'static, Event>,
}

/// A message to publish, borrowed from its owner.
pub(super) struct Outgoing<'a> {
    pub(super) exchange: &'a str,
    pub(super) routing_key: &'a str,
    pub(super) message_id: &'a str,
    pub(super) body: &'a [u8],
    pub(super) properties: BasicProperties,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Link")
    }
}

impl Link {
    /// Connects to the broker. `name` is what the broker's own tools show.
    ///
    /// # Errors
    /// Returns [`BrokerError`] if the address cannot be used, or the broker does not answer in time
    /// or refuses.
    pub(super) async fn connect(address: &BrokerAddress, name: &str) -> Result<Self, BrokerError> {
        // The parser's error repeats what it could not parse, and that is the secret.
        let mut uri: AMQPUri = address.url.expose_secret().parse().map_err(|_| {
            BrokerError::Configuration("the URL is not one of a RabbitMQ".to_owned())
        })?;
        uri.query.heartbeat = uri.query.heartbeat.or(Some(HEARTBEAT_SECONDS));
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let tls = OwnedTLSConfig { identity: None, cert_chain: address.root_certificate.clone() };
        let connecting = async {
            let runtime = lapin::runtime::default_runtime()?;
            let connection =
                Connection::connect_uri_with_config(uri, properties, tls, runtime).await?;
            let events = connection.events_listener().boxed();
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(Self { connection, channel, events })
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(|error: lapin::Error| error.into()),
            Err(_) => Err(BrokerError::Unavailable("connecting takes too long".to_owned())),
        }
    }

    /// Publishes all messages, then awaits each confirm, and returns a verdict for each, in their
    /// order.
    ///
    /// # Errors
    /// Returns [`BrokerError`] if the connection fails or the confirms take too long. Nothing is
    /// known of any message then, and the link must be dropped.
    pub(super) async fn publish(
        &mut self,
        messages: &[Outgoing<'_>],
        confirm_timeout: Duration,
        state: &watch::Sender<BrokerState>,
    ) -> Result<Vec<Verdict>, BrokerError> {
        let mut answers = Answers::to(messages);
        let mut confirms: FuturesUnordered<_> = messages
            .iter()
            .enumerate()
            .map(|(place, message)| {
                let channel = &self.channel;
                async move { (place, confirm_of(channel, message).await) }
            })
            .collect();
        let mut blocked: Option<String> =
            self.connection.status().blocked().then(|| "since before".to_owned());
        loop {
            let limit = if blocked.is_some() { BLOCKED_WAIT_MAX } else { confirm_timeout };
            tokio::select! {
                biased;
                confirm = confirms.next() => {
                    let Some((place, confirmation)) = confirm else { break };
                    answers.take(place, confirmation?)?;
                }
                event = self.events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        state.send_replace(BrokerState::Blocked(reason.clone()));
                        blocked = Some(reason);
                    }
                    Some(Event::ConnectionUnblocked) => {
                        state.send_replace(BrokerState::Connected);
                        blocked = None;
                    }
                    // Errors come with the confirms as well.
                    Some(_) => {}
                    None => {
                        return Err(BrokerError::Unavailable("connection closed".to_owned()));
                    }
                },
                () = tokio::time::sleep(limit) => {
                    return Err(match blocked {
                        Some(reason) => BrokerError::Blocked(reason),
                        None => BrokerError::Unavailable("confirms take too long".to_owned()),
                    });
                }
            }
        }
        drop(confirms);
        Ok(answers.verdicts())
    }
}

/// The broker's answers to the messages of one batch, while they come in.
struct Answers<'a> {
    messages: &'a [Outgoing<'a>],
    confirms: Vec<Option<Verdict>>,
    /// Returns by message id.
    returns: HashMap<String, Verdict>,
}

impl<'a> Answers<'a> {
    fn to(messages: &'a [Outgoing<'a>]) -> Self {
        Self { messages, confirms: vec![None; messages.len()], returns: HashMap::new() }
    }

    /// Takes the confirm of the message at `place`, and the return that came attached to it.
    fn take(&mut self, place: usize, confirmation: Confirmation) -> Result<(), BrokerError> {
        let (verdict, returned) = match confirmation {
            Confirmation::Ack(returned) => (Verdict::Confirmed, returned),
            Confirmation::Nack(returned) => (Verdict::Rejected, returned),
            Confirmation::NotRequested => {
                return Err(BrokerError::Unavailable("confirms are off".to_owned()));
            }
        };
        self.confirms[place] = Some(verdict);
        if let Some(returned) = returned {
            let id = returned.properties.message_id().as_ref();
            let id = id.map(ToString::to_string).unwrap_or_default();
            let reason = format!("{} {}", returned.reply_code, returned.reply_text);
            self.returns.insert(id, Verdict::Returned(reason));
        }
        Ok(())
    }

    /// A verdict for each message, once every confirm is there.
    fn verdicts(self) -> Vec<Verdict> {
        let Self { messages, confirms, returns } = self;
        let verdicts = confirms.into_iter().zip(messages).map(|(confirm, message)| {
            // A return that names no message of this batch can only be one without its id.
            returns.get(message.message_id).cloned().or(confirm).unwrap_or(Verdict::Rejected)
        });
        verdicts.collect()
    }
}

async fn confirm_of(
    channel: &Channel,
    message: &Outgoing<'_>,
) -> Result<Confirmation, lapin::Error> {
    const PERSISTENT: u8 = 2;
    let properties = message
        .properties
        .clone()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(ShortString::from(message.message_id));
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (exchange, key) = (message.exchange.into(), message.routing_key.into());
    channel.basic_publish(exchange, key, mandatory, message.body, properties).await?.await
}

/// The pauses between attempts that fail: longer each time, up to a limit, and of random length, so
/// that many nodes do not reconnect at the same moment.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait before the next attempt: zero before the first.
    pub(super) fn pause(&self) -> Duration {
        let Some(steps) = self.failures.checked_sub(1) else { return Duration::ZERO };
        let pause = BACKOFF_MIN.saturating_mul(1 << steps.min(16)).min(BACKOFF_MAX);
        pause.mul_f64(rand::random_range(0.5..1.0))
    }

    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::broker::address::CONFIRM_TIMEOUT;
    use crate::store::broker::topology;
    use secrecy::SecretString;

    /// Every other message is unroutable, so returns and confirms come interleaved and in bulk.
    #[tokio::test]
    async fn a_return_is_given_to_the_message_that_came_back() {
        const NOWHERE: &str = "seckill.nowhere";
        let Some(rabbitmq) = harness::rabbitmq() else { return };
        let address = BrokerAddress::from(&SecretString::from(rabbitmq.url()));
        let mut link = Link::connect(&address, "test").await.expect("connects");
        topology::declare(&link.connection, address.queue).await.expect("declared");
        let (key, kind) = (address.queue.routing_key(), lapin::ExchangeKind::Direct);
        let (options, none) = (Default::default(), Default::default());
        link.channel.exchange_declare(NOWHERE.into(), kind, options, none).await.expect("declared");
        let (state, _) = watch::channel(BrokerState::Connected);
        for round in 0..20 {
            let ids: Vec<String> = (0..256).map(|number| format!("{round}-{number}")).collect();
            let routable = |place: usize| !(place * 7 + round).is_multiple_of(3);
            let messages: Vec<Outgoing<'_>> = ids
                .iter()
                .enumerate()
                .map(|(place, message_id)| Outgoing {
                    exchange: if routable(place) { topology::ORDERS } else { NOWHERE },
                    routing_key: &key,
                    message_id,
                    body: b"any",
                    properties: BasicProperties::default(),
                })
                .collect();
            let verdicts = link.publish(&messages, CONFIRM_TIMEOUT, &state).await.expect("known");
            for (place, verdict) in verdicts.iter().enumerate() {
                let confirmed = *verdict == Verdict::Confirmed;
                assert_eq!(confirmed, routable(place), "{}: {verdict:?}", ids[place]);
            }
        }
    }
}
