//! A receiver of the events that the shop announces at RabbitMQ, with a queue that outlives its connection, and the
//! broker.

use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use serde_json::Value;
use std::error::Error;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const EXCHANGE: &str = "seckill.events";
const BETWEEN_CONNECTIONS: Duration = Duration::from_millis(10);
/// How long an answer of the broker is awaited. A connection that is made while the broker comes up may never have
/// one.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// A message as it was received.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// Its `message_id`.
    pub id: String,
    /// Its routing key.
    pub key: String,
    /// The event in it.
    pub body: Value,
    /// Its `content_type` and `type`.
    pub properties: [Option<String>; 2],
}

/// Takes messages until it is dropped.
pub struct Subscriber {
    task: JoinHandle<()>,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscriber {
    /// Listens at a queue of this name to what fits the key, from before anything is announced. A message is confirmed
    /// once `take` has had it.
    pub async fn listen(
        url: &str,
        (queue, key): (&'static str, &str),
        mut take: impl FnMut(Message) + Send + 'static,
    ) -> Self {
        bind(url, queue, key).await.expect("a queue");
        let url = url.to_owned();
        let task = tokio::spawn(async move {
            let mut said = String::new();
            loop {
                let ended = hear(&url, queue, &mut take).await;
                if let Err(why) = &ended
                    && said != why.to_string()
                {
                    said = why.to_string();
                    println!("{queue}: {said}");
                }
                // A broker that is down is asked again until it is not.
                tokio::time::sleep(BETWEEN_CONNECTIONS).await;
            }
        });
        Self { task }
    }
}

/// Binds the queue, and makes the exchange if the shop has not done it yet.
async fn bind(url: &str, queue: &str, key: &str) -> Result<(), lapin::Error> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let none = FieldTable::default;
    channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, none()).await?;
    let mut arguments = none();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("quorum")));
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await?;
    channel.queue_bind(queue.into(), EXCHANGE.into(), key.into(), Default::default(), none()).await
}

/// Hears until the connection ends.
async fn hear(
    url: &str,
    queue: &str,
    take: &mut (impl FnMut(Message) + Send),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let connecting = Connection::connect(url, ConnectionProperties::default());
    let connection = timeout(ANSWER_WAIT_MAX, connecting).await??;
    let channel = timeout(ANSWER_WAIT_MAX, connection.create_channel()).await??;
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let consuming = channel.basic_consume(queue.into(), "".into(), options, none);
    let mut consumer = timeout(ANSWER_WAIT_MAX, consuming).await??;
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        let text = |value: &Option<_>| value.as_ref().map(ToString::to_string);
        let properties = &delivery.properties;
        let message = Message {
            id: text(properties.message_id()).unwrap_or_default(),
            key: delivery.routing_key.to_string(),
            body: serde_json::from_slice(&delivery.data).expect("JSON"),
            properties: [text(properties.content_type()), text(properties.kind())],
        };
        assert_eq!(*properties.delivery_mode(), Some(2), "persistent");
        take(message);
        timeout(ANSWER_WAIT_MAX, delivery.ack(BasicAckOptions::default())).await??;
    }
    Ok(())
}
