//! The broker: durable records on their way to the order store.
//!
//! The relay publishes batches of records with [`RabbitMqPublisher`], the consumer receives them with
//! [`RabbitMqConsumer`]; both may be days apart. Messages may come twice and late but are never lost
//! silently: a message counts as published only when it was confirmed *and* not returned, and is
//! acknowledged only when its orders are in the order store.
//!
//! Topology, declared by the publisher alone (so that it notices when the queue was gone and all in
//! it has to be published again):
//!
//! ```text
//! exchange seckill.orders (direct) ── orders ──▶ queue seckill.orders (quorum)
//!                                                    │ rejected, or delivered too often
//! exchange seckill.dead-letters (direct) ── orders ──▶ queue seckill.dead-letters (quorum)
//! ```
//!
//! Owns messages, topology and connections. Must not know actors, the journal's files or the order
//! store. A URL carries the password, so no error made here repeats it.

mod consumer;
pub mod dead_letters;
pub mod format;
mod link;
mod publisher;
mod topology;

pub use consumer::{Delivery, RabbitMqConsumer};
pub use publisher::{Depth, Message, RabbitMqPublisher, Verdict};

use secrecy::SecretString;
use std::time::Duration;

/// Where a RabbitMQ is and how it is trusted.
#[derive(Clone, Debug)]
pub struct BrokerAddress {
    /// `amqp://` or, for TLS, `amqps://`, with user, password and virtual host.
    pub url: SecretString,
    /// The certificate of the authority that signed the server's, in PEM, where that is none of the
    /// public ones. Only with `amqps://`.
    pub root_certificate: Option<String>,
    /// How long a batch may stay unconfirmed while the broker takes messages.
    pub confirm_timeout: Duration,
}

/// What [`BrokerAddress::confirm_timeout`] is unless set.
pub const CONFIRM_TIMEOUT: Duration = Duration::from_secs(15);

impl From<&SecretString> for BrokerAddress {
    fn from(url: &SecretString) -> Self {
        Self { url: url.clone(), root_certificate: None, confirm_timeout: CONFIRM_TIMEOUT }
    }
}

/// Why the broker did not do what it was asked. None of them stops a sale.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BrokerError {
    /// It cannot be reached, went away or does not answer in time. What was under way may have
    /// happened. The next call connects again, after a pause that grows with each failure.
    #[error("broker is not available: {0}")]
    Unavailable(String),
    /// It has stopped taking messages, for want of memory or disk, for too long.
    #[error("broker takes no messages: {0}")]
    Blocked(String),
    /// It answered that it will not: credentials, rights, a queue declared otherwise.
    #[error("broker refused: {0}")]
    Refused(String),
    /// The queue did not exist and was declared now. All that was published before and is not in
    /// the order store has to be published again; then publishing goes on.
    #[error("the queue was gone and is empty now")]
    QueueCreated,
    /// The queue does not exist (yet): its publisher has not connected since it vanished.
    #[error("the queue does not exist")]
    QueueMissing,
    /// The address is none.
    #[error("broker cannot be used as configured: {0}")]
    Configuration(String),
}

/// How a connection to the broker stands, for readiness and metrics.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum BrokerState {
    /// Not tried yet.
    #[default]
    Idle,
    /// Works.
    Connected,
    /// Connected, and the broker takes no messages for the moment: why.
    Blocked(String),
    /// Does not work: why.
    Failed(String),
}
