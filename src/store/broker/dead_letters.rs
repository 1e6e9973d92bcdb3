//! Dead letters, the messages that could not be stored: listing them, and publishing them again.
//!
//! For the operator's command line, also while an engine runs. Nothing here removes a message before
//! its copy is confirmed.

use super::address::BrokerAddress;
use super::consumer::{REASON_HEADER, message_id};
use super::error::{BrokerError, is_not_found};
use super::format::{self, MalformedMessage};
use super::link::{Link, Outgoing};
use super::state::BrokerState;
use super::topology;
use super::verdict::Verdict;
use domain::Record;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel, Connection};
use std::time::Duration;
use tokio::sync::watch;

/// The header in which the broker says why it dead-lettered a message, such as `delivery_limit`.
const BROKER_REASON_HEADER: &str = "x-first-death-reason";
const CONNECTION_NAME: &str = "seckill dead-letters command";
/// How long the broker may take to answer one command.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// A message in the queue of dead letters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// The id that its publisher gave it.
    pub message_id: String,
    /// Why it was dead-lettered, in the consumer's words or the broker's.
    pub reason: String,
    /// Its length in bytes.
    pub length: usize,
    /// Its records, if its bytes are a batch of records.
    pub records: Result<Vec<Record>, MalformedMessage>,
}

/// Returns dead letters, up to `limit`, in the broker's order; all stay in the queue.
///
/// # Errors
/// Returns [`BrokerError`] if the broker does not answer; [`BrokerError::QueueMissing`] if no engine
/// has declared the queue yet.
pub async fn list(
    address: impl Into<BrokerAddress>,
    limit: usize,
) -> Result<Vec<DeadLetter>, BrokerError> {
    let link = Link::connect(&address.into(), CONNECTION_NAME).await?;
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(message) = get(&link.channel).await? else { break };
        found.push(DeadLetter {
            message_id: message_id(&message.properties),
            reason: reason(&message.properties),
            length: message.data.len(),
            records: format::decode(&message.data),
        });
    }
    // What was not acknowledged returns to the queue when the channel ends.
    close(&link.connection).await;
    Ok(found)
}

/// Publishes dead letters again, up to `limit` and not more than there are now, and returns how
/// many. What still cannot be stored becomes a new dead letter.
///
/// # Errors
/// Returns [`BrokerError`] if the broker does not answer or does not confirm a copy; what was not
/// confirmed is still a dead letter.
pub async fn replay(address: impl Into<BrokerAddress>, limit: usize) -> Result<usize, BrokerError> {
    let address = address.into();
    let mut link = Link::connect(&address, CONNECTION_NAME).await?;
    let (state, _) = watch::channel(BrokerState::Connected);
    let mut replayed = 0;
    // Those that are dead-lettered again while this runs are not published once more.
    let mut remaining = limit;
    while remaining > 0 {
        let Some(message) = get(&link.channel).await? else { break };
        let more = usize::try_from(message.message_count).unwrap_or(usize::MAX);
        remaining = (remaining - 1).min(more);
        let message_id = message_id(&message.properties);
        let outgoing = Outgoing {
            exchange: topology::ORDERS,
            // By which it once came to its queue.
            routing_key: message.routing_key.as_str(),
            message_id: &message_id,
            body: &message.data,
            properties: BasicProperties::default().with_content_type(format::CONTENT_TYPE.into()),
        };
        let verdicts = link.publish(&[outgoing], address.confirm_timeout, &state).await?;
        match verdicts.first() {
            Some(Verdict::Confirmed) => {}
            Some(Verdict::Returned(reason)) => return Err(BrokerError::Refused(reason.clone())),
            _ => return Err(BrokerError::Refused("a message was rejected".to_owned())),
        }
        match message.acker.ack(BasicAckOptions::default()).await {
            Ok(true) => replayed += 1,
            Ok(false) => return Err(BrokerError::Unavailable("connection closed".to_owned())),
            Err(error) => return Err(error.into()),
        }
    }
    close(&link.connection).await;
    Ok(replayed)
}

async fn get(channel: &Channel) -> Result<Option<BasicGetMessage>, BrokerError> {
    let asked = channel.basic_get(topology::DEAD_LETTERS.into(), BasicGetOptions::default());
    match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(error)) if is_not_found(&error) => Err(BrokerError::QueueMissing),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(BrokerError::Unavailable("no answer in time".to_owned())),
    }
}

/// Closes the connection in an orderly way, so that acknowledgements reach the broker before its end.
async fn close(connection: &Connection) {
    let ending = connection.close(200, "OK".into());
    drop(tokio::time::timeout(ANSWER_TIMEOUT, ending).await);
}

fn reason(properties: &BasicProperties) -> String {
    let headers = properties.headers().as_ref().map(lapin::types::FieldTable::inner);
    let text = |name: &str| match headers?.get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    };
    text(REASON_HEADER).or_else(|| text(BROKER_REASON_HEADER)).unwrap_or_default()
}
