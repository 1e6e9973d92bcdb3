//! Announcing: publishes events at an exchange, for all who have bound a queue to it.

use super::address::BrokerAddress;
use super::error::BrokerError;
use super::link::{Link, Outgoing};
use super::session::Session;
use super::state::BrokerState;
use super::topology;
use super::verdict::Verdict;
use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::sync::watch;

/// Messages published before their confirms are awaited; a longer list is sent in several runs.
const IN_FLIGHT_MAX: usize = 4_096;
const CONNECTION_NAME: &str = "seckill events";

/// An event to announce, borrowed from its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announcement<'a> {
    /// The event's identity: published again, it carries the same one. At most 255 bytes.
    pub message_id: &'a str,
    /// By which queues are bound, such as `order.paid`.
    pub routing_key: &'a str,
    /// What has happened, as the message's type.
    pub kind: &'a str,
    /// The body's media type.
    pub content_type: &'a str,
    /// The event itself.
    pub body: &'a [u8],
}

/// Publishes on a connection of its own, one batch after another, in their order. Connects when it is first used, and
/// again after each failure, with growing pauses.
#[derive(Debug)]
pub struct RabbitMqAnnouncer {
    session: Session,
}

impl RabbitMqAnnouncer {
    /// Creates an announcer that has not connected yet.
    pub fn new(address: BrokerAddress) -> Self {
        Self { session: Session::new(address, CONNECTION_NAME) }
    }

    /// The connection's state, and each change of it.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.session.state()
    }

    /// Connects if there is no connection, and declares the exchange then.
    ///
    /// # Errors
    /// Returns [`BrokerError`] if the broker does not answer or refuses.
    pub async fn connect(&mut self) -> Result<(), BrokerError> {
        let link = self.link().await?;
        self.session.keep(link);
        Ok(())
    }

    /// Publishes all events, persistent and mandatory, and returns a verdict for each, in their order. One that is
    /// returned had no queue, and that is no failure: nobody has asked for it.
    ///
    /// The future may be dropped at any time: nothing is known of the messages then, as after an error.
    ///
    /// # Errors
    /// Returns [`BrokerError`] if nothing is known of any message: all are to be published again.
    pub async fn announce(
        &mut self,
        events: &[Announcement<'_>],
    ) -> Result<Vec<Verdict>, BrokerError> {
        let mut verdicts = Vec::with_capacity(events.len());
        for run in events.chunks(IN_FLIGHT_MAX) {
            let outgoing: Vec<Outgoing<'_>> = run.iter().map(outgoing).collect();
            let mut link = self.link().await?;
            verdicts.extend(self.session.publish(&mut link, &outgoing).await?);
            if verdicts.contains(&Verdict::Rejected) {
                // The next call connects again, after a pause. What follows waits for what was rejected.
                self.session.note(BrokerError::Refused("messages are rejected".to_owned()));
                verdicts.resize(events.len(), Verdict::Rejected);
                break;
            }
            self.session.keep(link);
            self.session.succeeded();
        }
        Ok(verdicts)
    }

    /// The link, with the exchange declared.
    async fn link(&mut self) -> Result<Link, BrokerError> {
        if let Some(link) = self.session.take() {
            return Ok(link);
        }
        let link = self.session.connect().await?;
        self.session.ask(topology::declare_events(&link.connection)).await?;
        self.session.connected();
        Ok(link)
    }
}

fn outgoing<'a>(event: &Announcement<'a>) -> Outgoing<'a> {
    Outgoing {
        exchange: topology::EVENTS,
        routing_key: event.routing_key,
        message_id: event.message_id,
        body: event.body,
        properties: BasicProperties::default()
            .with_content_type(ShortString::from(event.content_type))
            .with_type(ShortString::from(event.kind)),
    }
}
