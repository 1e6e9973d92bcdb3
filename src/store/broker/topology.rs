//! Exchanges and queues, and what each of their settings is for.
//!
//! RabbitMQ 3.10 notes a new quorum queue in its register on disk only every three minutes and when
//! it stops. A broker *killed* before that comes back with a queue that has no leader and no content:
//! it takes messages and never confirms them. The relay's cursor stands still then, as it must; the
//! operator deletes the queue (`rabbitmqctl delete_queue seckill.orders`), the publisher declares it
//! again and says [`BrokerError::QueueCreated`], and all is published again.

use super::BrokerError;
use super::link::failed;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

/// The exchange that records are published to, and the queue bound to it.
pub(super) const ORDERS: &str = "seckill.orders";
/// The exchange of messages that cannot be stored, and the queue bound to it.
pub(super) const DEAD_LETTERS: &str = "seckill.dead-letters";
/// The key of all bindings; it stays the same when a message is dead-lettered.
pub(super) const ROUTING_KEY: &str = "orders";

/// A delivery that ends with its connection counts, and while the order store is down for days the
/// consumer's connection may end many times: so this is only to stop a message that ends the
/// connection by itself, and is generous.
const DELIVERY_LIMIT: i64 = 1_000;
/// Looking at dead letters counts as a delivery of each; RabbitMQ 4 would drop them after 20.
const DEAD_LETTER_DELIVERY_LIMIT: i64 = 1_000_000_000;
const NOT_FOUND: u16 = 404;

/// Declares what is not there.
pub(super) async fn declare(connection: &Connection) -> Result<(), BrokerError> {
    let channel = connection.create_channel().await.map_err(failed)?;
    for exchange in [DEAD_LETTERS, ORDERS] {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(exchange.into(), ExchangeKind::Direct, durable, FieldTable::default())
            .await
            .map_err(failed)?;
    }
    let dead_letters =
        arguments([("x-delivery-limit", AMQPValue::LongLongInt(DEAD_LETTER_DELIVERY_LIMIT))]);
    queue(&channel, DEAD_LETTERS, dead_letters).await?;
    let orders = arguments([
        ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
        ("x-dead-letter-exchange", text(DEAD_LETTERS)),
        // The broker keeps a dead letter until the other queue has confirmed it …
        ("x-dead-letter-strategy", text("at-least-once")),
        // … which it does only for queues that refuse rather than drop when full.
        ("x-overflow", text("reject-publish")),
    ]);
    queue(&channel, ORDERS, orders).await?;
    close(&channel).await;
    Ok(())
}

/// Messages ready and consumers of the queue of orders; none where it does not exist.
pub(super) async fn depth(connection: &Connection) -> Result<Option<(u32, u32)>, BrokerError> {
    // The broker closes the channel of whoever asks for what does not exist.
    let channel = connection.create_channel().await.map_err(failed)?;
    let passive = QueueDeclareOptions::durable().passive();
    match channel.queue_declare(ORDERS.into(), passive, FieldTable::default()).await {
        Ok(queue) => {
            close(&channel).await;
            Ok(Some((queue.message_count(), queue.consumer_count())))
        }
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Whether the broker said that something does not exist.
pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == NOT_FOUND)
}

async fn queue(channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), BrokerError> {
    let durable = QueueDeclareOptions::durable();
    channel.queue_declare(name.into(), durable, arguments).await.map_err(failed)?;
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    channel
        .queue_bind(name.into(), name.into(), ROUTING_KEY.into(), options, none)
        .await
        .map_err(failed)
}

/// Written and synced on a quorum before it is confirmed, even on one node; RabbitMQ 4 has no other
/// replicated kind.
fn arguments<const COUNT: usize>(settings: [(&str, AMQPValue); COUNT]) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    for (name, value) in settings {
        arguments.insert(name.into(), value);
    }
    arguments
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

/// Gives a channel back; where that fails the connection is gone, and the next use says so.
async fn close(channel: &Channel) {
    drop(channel.close(200, "OK".into()).await);
}
