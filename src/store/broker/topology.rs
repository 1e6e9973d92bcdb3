//! Exchanges and queues, and the reason for each of their settings.
//!
//! RabbitMQ 3.10 writes a new quorum queue to its register on disk only every three minutes and when
//! it stops. A broker that is *killed* before that comes back with a queue that has no leader and no
//! content: it accepts messages and never confirms them. The relay's cursor stands still then, as it
//! must; the operator deletes the queue (`rabbitmqctl delete_queue seckill.orders`), the publisher
//! declares it again and returns [`BrokerError::QueueCreated`], and all is published again.

use super::error::{BrokerError, is_not_found};
use lapin::options::{
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, Connection, ExchangeKind};

/// The exchange that records are published to, and the queue bound to it; of several order stores, the first
/// one's.
pub const ORDERS: &str = "seckill.orders";
/// The exchange that events are announced at. Queues are bound to it by those who want to hear of them.
pub(super) const EVENTS: &str = "seckill.events";
/// The exchange of messages that cannot be stored, and the queue bound to it.
pub(super) const DEAD_LETTERS: &str = "seckill.dead-letters";

/// The queue of the orders of one order store: each has its own, so that the messages of one that is away keep
/// no other one's waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OrdersQueue {
    /// The order store's place among those of the shop.
    place: u16,
}

impl OrdersQueue {
    /// The queue for the order store at this place.
    pub fn of_store(place: u16) -> Self {
        Self { place }
    }

    /// Its name at the broker; that of the first one is as if it were the only one.
    pub(super) fn name(self) -> String {
        self.with_place(ORDERS)
    }

    /// The key of its bindings; it stays the same when a message is dead-lettered.
    pub(super) fn routing_key(self) -> String {
        self.with_place("orders")
    }

    fn with_place(self, name: &str) -> String {
        match self.place {
            0 => name.to_owned(),
            place => format!("{name}.{place}"),
        }
    }
}

/// How often a message may be delivered before the broker moves it to the dead letters. A delivery
/// counts when its connection ends, and while the order store is down for days the consumer's
/// connection may end many times. The limit only has to stop a message that itself ends the
/// connection, so it is generous.
const DELIVERY_LIMIT: i64 = 1_000;
/// How often a dead letter may be delivered: listing dead letters counts as a delivery of each, and
/// RabbitMQ 4 would drop them after 20.
const DEAD_LETTER_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// Declares the exchanges and queues that do not exist yet, for the orders of one order store.
pub(super) async fn declare(
    connection: &Connection,
    of_orders: OrdersQueue,
) -> Result<(), BrokerError> {
    let channel = connection.create_channel().await?;
    for exchange in [DEAD_LETTERS, ORDERS] {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(exchange.into(), ExchangeKind::Direct, durable, FieldTable::default())
            .await?;
    }
    let dead_letters =
        arguments([("x-delivery-limit", AMQPValue::LongLongInt(DEAD_LETTER_DELIVERY_LIMIT))]);
    let key = of_orders.routing_key();
    queue(&channel, (DEAD_LETTERS, DEAD_LETTERS, &key), dead_letters).await?;
    let orders = arguments([
        ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
        ("x-dead-letter-exchange", text(DEAD_LETTERS)),
        // The broker keeps a dead letter until the other queue has confirmed it …
        ("x-dead-letter-strategy", text("at-least-once")),
        // … which it does only for queues that refuse rather than drop when full.
        ("x-overflow", text("reject-publish")),
    ]);
    queue(&channel, (&of_orders.name(), ORDERS, &key), orders).await?;
    close(&channel).await;
    Ok(())
}

/// Declares the exchange of events: a topic exchange, so that a receiver can bind `order.*` as well as `order.paid`.
pub(super) async fn declare_events(connection: &Connection) -> Result<(), BrokerError> {
    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let none = FieldTable::default();
    channel.exchange_declare(EVENTS.into(), ExchangeKind::Topic, durable, none).await?;
    close(&channel).await;
    Ok(())
}

/// The number of ready messages and of consumers of a queue of orders; none if there is no queue.
pub(super) async fn depth(
    connection: &Connection,
    of_orders: OrdersQueue,
) -> Result<Option<(u32, u32)>, BrokerError> {
    // The broker closes a channel that asks for a queue which does not exist, so this takes its own.
    let channel = connection.create_channel().await?;
    let passive = QueueDeclareOptions::durable().passive();
    match channel.queue_declare(of_orders.name().into(), passive, FieldTable::default()).await {
        Ok(queue) => {
            close(&channel).await;
            Ok(Some((queue.message_count(), queue.consumer_count())))
        }
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Deletes what waits in a queue of orders, if there is one.
pub(super) async fn purge(channel: &Channel, of_orders: OrdersQueue) -> Result<(), BrokerError> {
    match channel.queue_purge(of_orders.name().into(), QueuePurgeOptions::default()).await {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Declares a queue, and binds it to an exchange by a key.
async fn queue(
    channel: &Channel,
    (name, exchange, key): (&str, &str, &str),
    arguments: FieldTable,
) -> Result<(), BrokerError> {
    let durable = QueueDeclareOptions::durable();
    channel.queue_declare(name.into(), durable, arguments).await?;
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(name.into(), exchange.into(), key.into(), options, none).await?;
    Ok(())
}

/// The arguments of a quorum queue with these settings. A quorum queue writes and syncs a message
/// before it confirms it, even on one node; RabbitMQ 4 has no other replicated kind.
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

/// Closes a channel. If that fails the connection is lost, which its next use reports.
async fn close(channel: &Channel) {
    drop(channel.close(200, "OK".into()).await);
}
