//! Where a RabbitMQ is, how it is trusted, and how long it may take to confirm.

use super::topology::OrdersQueue;
use secrecy::SecretString;
use std::time::Duration;

/// How to reach a RabbitMQ, and which queue there is for orders.
#[derive(Clone, Debug)]
pub struct BrokerAddress {
    /// `amqp://` or, for TLS, `amqps://`, with user, password and virtual host.
    pub url: SecretString,
    /// The certificate, in PEM, of the authority that signed the server's certificate, if that is
    /// not a public one. Used with `amqps://` only.
    pub root_certificate: Option<String>,
    /// How long a batch may stay unconfirmed while the broker accepts messages.
    pub confirm_timeout: Duration,
    /// The queue for orders.
    pub queue: OrdersQueue,
}

/// The default of [`BrokerAddress::confirm_timeout`].
pub const CONFIRM_TIMEOUT: Duration = Duration::from_secs(15);

impl From<&SecretString> for BrokerAddress {
    fn from(url: &SecretString) -> Self {
        Self {
            url: url.clone(),
            root_certificate: None,
            confirm_timeout: CONFIRM_TIMEOUT,
            queue: OrdersQueue::default(),
        }
    }
}
