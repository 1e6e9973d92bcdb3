//! Emptying a queue of orders, when what it holds was numbered by a journal that is lost.

use super::address::BrokerAddress;
use super::error::BrokerError;
use super::link::Link;
use super::topology;
use std::time::Duration;

/// How long the broker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Deletes all messages that wait in the address's queue of orders. Dead letters stay.
///
/// # Errors
/// Returns [`BrokerError`] if the broker does not answer.
pub async fn purge(address: impl Into<BrokerAddress>) -> Result<(), BrokerError> {
    let address = address.into();
    let link = Link::connect(&address, "seckill recover command").await?;
    let purging = topology::purge(&link.channel, address.queue);
    let purged = tokio::time::timeout(ANSWER_TIMEOUT, purging).await;
    let ending = link.connection.close(200, "OK".into());
    drop(tokio::time::timeout(ANSWER_TIMEOUT, ending).await);
    purged.unwrap_or_else(|_| Err(BrokerError::Unavailable("no answer in time".to_owned())))
}
