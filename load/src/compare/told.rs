//! Who is told what happens while the engine sells: a queue of RabbitMQ, and a receiver of webhooks that takes all at
//! once; and how far each of them is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use harness::{RabbitMq, Start};
use hyper::Method;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::stage::{Api, backend_error, figure};
use crate::{Error, Result};

const EXCHANGE: &str = "seckill.events";
const QUEUE: &str = "told";
const WEBHOOKS: &str = "/api/v1/admin/webhooks";
/// What the queue keeps: the newest, so that a long comparison fills no disk.
const QUEUE_MESSAGES_MAX: i32 = 100_000;
/// The time between two looks at how much was told.
const LOOK: Duration = Duration::from_millis(20);
/// Whatever was sold in a round is told by then.
const TOLD_WAIT_MAX: Duration = Duration::from_secs(600);

/// How one of them was told what a round had sold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Told {
    /// Events, one an order.
    pub events: u64,
    /// Events a second, from the load's begin until all were told.
    pub rate: f64,
    /// Events a second, from the load's end until all were told; 0 if all were told by then.
    pub rate_after: f64,
    /// From the load's end until all were told, in seconds.
    pub lag_seconds: f64,
}

/// A broker and a receiver, and the names under which the engine counts what it tells them.
pub struct Listeners {
    rabbitmq: Box<RabbitMq>,
    receiver: SocketAddr,
    server: JoinHandle<()>,
    sinks: Vec<String>,
    /// What each was told before the round.
    before: BTreeMap<String, u64>,
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Listeners {
    /// Opens both, before the engine starts.
    ///
    /// # Errors
    /// Returns [`Error`] if RabbitMQ is not installed or does not start, or there is no free port.
    pub async fn open() -> Result<Self> {
        let started = tokio::task::block_in_place(RabbitMq::start);
        let rabbitmq = started.map_err(|error| backend_error("rabbitmq", &error))?;
        bind(&rabbitmq.url())
            .await
            .map_err(|error| Error::Backend { name: "rabbitmq", reason: error.to_string() })?;
        let what = || Error::io("opening a receiver of webhooks");
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(what())?;
        let receiver = listener.local_addr().map_err(what())?;
        let router = Router::new().route("/", post(async |_: Bytes| StatusCode::NO_CONTENT));
        let server = tokio::spawn(async move {
            // It ends when it is dropped.
            let _ = axum::serve(listener, router).await;
        });
        let (sinks, before) = (vec!["rabbitmq".to_owned()], BTreeMap::new());
        Ok(Self { rabbitmq: Box::new(rabbitmq), receiver, server, sinks, before })
    }

    /// The engine's settings that have it tell them.
    #[must_use]
    pub fn environment(&self) -> [(String, String); 3] {
        [
            ("SECKILL__EVENTS__AMQP", "true".to_owned()),
            ("SECKILL__EVENTS__AMQP_URL", self.rabbitmq.url()),
            ("SECKILL__WEBHOOKS__ALLOW_PRIVATE", "127.0.0.1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    /// The broker's process.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.rabbitmq.process_id()
    }

    /// Makes the receiver's endpoint at the engine, and has it told.
    ///
    /// # Errors
    /// Returns an error as [`Api::call`] does.
    pub async fn enter(&mut self, engine: SocketAddr, admin: &str) -> Result<()> {
        let mut api = Api::new(engine);
        let body = json!({ "url": format!("http://{}/", self.receiver) });
        let made = api.call(Method::POST, WEBHOOKS, Some(admin), Some(&body)).await?;
        let id = made["webhook"]["endpoint_id"].as_str().unwrap_or_default().to_owned();
        let path = format!("{WEBHOOKS}/{id}/enable");
        api.call(Method::POST, &path, Some(admin), None).await?;
        self.sinks.push(format!("webhook:{id}"));
        Ok(())
    }

    /// Notes how much each was told, before a round.
    ///
    /// # Errors
    /// Returns an error if the engine does not show its figures.
    pub async fn begin(&mut self, operations: SocketAddr) -> Result<()> {
        let text = figures(operations).await?;
        let told = |sink: &String| (sink.clone(), told(&text, sink));
        self.before = self.sinks.iter().map(told).collect();
        Ok(())
    }

    /// Waits until each was told of so many orders, since a load that began and ended then.
    ///
    /// # Errors
    /// Returns an error if the engine does not show its figures, or tells nobody for ten minutes.
    pub async fn told(
        &self,
        operations: SocketAddr,
        events: u64,
        (began, ended): (Instant, Instant),
    ) -> Result<BTreeMap<String, Told>> {
        let mut found = BTreeMap::new();
        // What each was told by the load's end.
        let mut by_end: BTreeMap<String, u64> = BTreeMap::new();
        while found.len() < self.sinks.len() {
            if ended.elapsed() > TOLD_WAIT_MAX {
                return Err(Error::Server("what was sold is not told".to_owned()));
            }
            let text = figures(operations).await?;
            for sink in &self.sinks {
                let before = self.before.get(sink).copied().unwrap_or(0);
                let told = told(&text, sink).saturating_sub(before);
                let by_end = *by_end.entry(sink.clone()).or_insert(told);
                if told < events {
                    continue;
                }
                let a_second = |events: u64, since: Instant| {
                    events as f64 / since.elapsed().as_secs_f64().max(1e-9)
                };
                let rate = a_second(events, began);
                let rate_after = a_second(events.saturating_sub(by_end), ended);
                let lag_seconds = ended.elapsed().as_secs_f64();
                // All webhooks have one name, so that rounds and runs can be compared.
                let name = sink.split(':').next().unwrap_or(sink).to_owned();
                found.entry(name).or_insert(Told { events, rate, rate_after, lag_seconds });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(found)
    }
}

async fn figures(operations: SocketAddr) -> Result<String> {
    let mut api = Api::new(operations);
    api.order(Method::GET, "/metrics", None, None).await?;
    Ok(String::from_utf8_lossy(api.body()).into_owned())
}

fn told(text: &str, sink: &str) -> u64 {
    figure(text, &format!("seckill_events_told_total{{sink=\"{sink}\"}}")).unwrap_or(0)
}

/// A quorum queue that is told everything and keeps the newest.
async fn bind(url: &str) -> std::result::Result<(), lapin::Error> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let none = FieldTable::default;
    channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, none()).await?;
    let mut arguments = none();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("quorum")));
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(QUEUE_MESSAGES_MAX));
    channel.queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), arguments).await?;
    channel.queue_bind(QUEUE.into(), EXCHANGE.into(), "#".into(), Default::default(), none()).await
}
