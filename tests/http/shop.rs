//! A shop to test: engine, books and edge in a directory of their own.

use super::client::{Answer, Connection};
use domain::{Timestamp, UserId};
use seckill::actors::{BackendOptions, Backends, Engine, EngineOptions};
use seckill::http::{self, AppState, Options, Role, Signer};
use seckill::sales::Sales;
use seckill::store::checkpoint::CheckpointStore;
use seckill::store::data_dir::DataDir;
use seckill::store::journal::file::disk::RealDisk;
use seckill::store::journal::file::{self, FileLog};
use seckill::store::orders::OrderStore;
use seckill::store::read_cache::ReadCache;
use seckill::store::redis_connection::RedisAddress;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SHARDS: u16 = 4;

pub struct Shop {
    pub address: SocketAddr,
    pub engine: Engine,
    pub signer: Signer,
    pub orders: OrderStore,
    shutdown: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
    pub directory: TempDir,
}

/// What a test may want to be different about the engine.
#[derive(Clone, Copy)]
pub struct EngineSettings {
    pub permits: usize,
    pub reply_timeout: Duration,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { permits: 1_024, reply_timeout: Duration::from_secs(5) }
    }
}

/// How a request is asked.
#[derive(Default)]
pub struct Ask<'a> {
    pub token: Option<&'a str>,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Option<Value>,
}

impl Shop {
    pub async fn open() -> Self {
        Self::with(Options::default()).await
    }

    /// With its read side in this Redis.
    pub async fn open_with_redis(redis: &harness::Redis) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = RedisAddress::from(&redis.url().into());
        let settings = EngineSettings::default();
        Self::start_with(directory, Options::default(), settings, Some(&address)).await
    }

    pub async fn with(options: Options) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self::start(directory, options, EngineSettings::default()).await
    }

    /// Over whatever the directory holds.
    pub async fn start(directory: TempDir, options: Options, settings: EngineSettings) -> Self {
        Self::start_with(directory, options, settings, None).await
    }

    async fn start_with(
        directory: TempDir,
        options: Options,
        settings: EngineSettings,
        redis: Option<&RedisAddress>,
    ) -> Self {
        let path = directory.path();
        let data_dir = DataDir::look(path);
        data_dir.agree_on_shards(SHARDS).expect("recorded");
        let orders = OrderStore::open_sqlite(&path.join("orders.db")).await.expect("order store");
        orders.migrate().await.expect("tables");
        let checkpoints =
            CheckpointStore::open_sqlite(&path.join("checkpoints.db")).await.expect("checkpoints");
        let disk = RealDisk::open(&path.join("journal")).expect("journal directory");
        let segments = file::Options {
            segment_bytes: file::SEGMENT_BYTES_MIN,
            segments_ahead: 1,
            ..file::Options::default()
        };
        let engine_options = EngineOptions {
            shards: SHARDS,
            virtual_nodes: 16,
            permits: settings.permits,
            reply_timeout: settings.reply_timeout,
        };
        let failed = |error| panic!("the journal failed: {error}");
        let engine = Engine::start(
            engine_options,
            data_dir.agree_on_identity().expect("an identity"),
            FileLog::open(Arc::new(disk), segments),
            checkpoints,
            &orders,
            failed,
        )
        .await
        .expect("the engine starts");
        let read_cache = ReadCache::new(redis, engine.clock()).expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let signer = Signer::new(&[7; 32]).expect("a secret");
        let state = AppState {
            engine: engine.clone(),
            sales: Sales::new(orders.clone(), read_cache),
            signer: signer.clone(),
            clock: engine.clock(),
            render_metrics: Arc::new(|| "seckill_test_metric 1\n".to_owned()),
        };
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(http::serve(listener, state, shutdown.clone(), options));
        Self { address, engine, signer, orders, shutdown, server, directory }
    }

    /// What brings the order store up to date, and lets go of items as soon as they are over.
    pub async fn start_backends(&self) -> Backends {
        let path = self.directory.path().join("checkpoints.db");
        let checkpoints = CheckpointStore::open_sqlite(&path).await.expect("checkpoints");
        let options = BackendOptions {
            checkpoint_interval: Duration::from_millis(5),
            retention: Duration::ZERO,
            batch_records: 512,
            transaction_records: 512,
            backlog_records_max: 1_000_000,
            refuse_beyond_backlog: false,
        };
        let backends =
            Backends::start(&self.engine, options, checkpoints, None, self.orders.clone());
        backends.await.expect("they start")
    }

    /// Begins to drain the edge.
    pub fn shut(&self) {
        self.shutdown.cancel();
    }

    /// Drains edge and engine to their end; the directory is what is left.
    pub async fn close(self) -> TempDir {
        self.shutdown.cancel();
        self.server.await.expect("the server lives").expect("the server ends well");
        self.engine.drain(Duration::from_secs(10)).await;
        self.directory
    }

    pub fn buyer(&self, user_id: u64) -> String {
        let subject = UserId(user_id).to_string();
        self.signer.mint(&subject, Role::Buyer, self.engine.now(), 3_600)
    }

    pub fn operator(&self, name: &str) -> String {
        self.signer.mint(name, Role::Operator, self.engine.now(), 3_600)
    }

    pub fn approver(&self, name: &str) -> String {
        self.signer.mint(name, Role::Approver, self.engine.now(), 3_600)
    }

    /// Asks on a connection of its own.
    pub async fn ask(&self, method: &str, path: &str, ask: Ask<'_>) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n");
        if let Some(token) = ask.token {
            let _ = write!(head, "authorization: Bearer {token}\r\n");
        }
        for (name, value) in ask.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let body = ask.body.map(|body| body.to_string());
        if let Some(body) = &body {
            let _ = write!(head, "content-length: {}\r\n", body.len());
            if !ask.headers.iter().any(|(name, _)| *name == "content-type") {
                head.push_str("content-type: application/json\r\n");
            }
        }
        head.push_str("\r\n");
        let mut connection = Connection::open(self.address).await;
        connection.send(format!("{head}{}", body.unwrap_or_default()).as_bytes()).await;
        connection.answer().await
    }

    pub async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.ask("GET", path, Ask { token, ..Ask::default() }).await
    }

    pub async fn post(&self, path: &str, token: &str, body: Option<Value>) -> Answer {
        self.ask("POST", path, Ask { token: Some(token), body, ..Ask::default() }).await
    }

    /// Buys one unit with this key.
    pub async fn buy(&self, item: &str, user_id: u64, key: &str) -> Answer {
        let ask = Ask {
            token: Some(&self.buyer(user_id)),
            headers: &[("idempotency-key", key)],
            body: Some(json!({ "quantity": 1 })),
        };
        self.ask("POST", &format!("/api/v1/items/{item}/buy"), ask).await
    }

    /// A sale of these items, made by ann and approved by bob: its identity and its items'.
    pub async fn sale(&self, sale: Value) -> (String, Vec<String>) {
        let ann = self.operator("ann");
        let created = self.post("/api/v1/admin/sales", &ann, Some(sale)).await;
        assert_eq!(created.status, 201, "{}", created.text());
        let created = created.json();
        let sale_id = created["sale_id"].as_str().expect("an identity").to_owned();
        let path = format!("/api/v1/admin/sales/{sale_id}");
        let submitted = self.post(&format!("{path}/submit"), &ann, None).await;
        assert_eq!(submitted.status, 200, "{}", submitted.text());
        let approved = self.post(&format!("{path}/approve"), &self.approver("bob"), None).await;
        assert_eq!(approved.status, 200, "{}", approved.text());
        let items = created["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["item_id"].as_str().expect("an identity").to_owned())
            .collect();
        (sale_id, items)
    }

    /// A live sale of one item with these units.
    pub async fn live_item(&self, allotted: u32) -> String {
        let (_, items) = self.sale(self.draft(&[offer("pear", allotted)])).await;
        items.into_iter().next().expect("an item")
    }

    /// A sale that began a minute ago and goes on for an hour.
    pub fn draft(&self, items: &[Value]) -> Value {
        let now = self.engine.now();
        self.draft_between(Timestamp(now.0 - 60_000), now.plus_milliseconds(3_600_000), items)
    }

    pub fn draft_between(&self, from: Timestamp, to: Timestamp, items: &[Value]) -> Value {
        let text = |at: Timestamp| http::timestamp::to_string(at);
        json!({ "title": "Noon", "starts_at": text(from), "ends_at": text(to), "items": items })
    }
}

pub fn offer(product: &str, allotted: u32) -> Value {
    json!({
        "product_id": product, "title": "A pear", "price": 4_999, "currency": "EUR",
        "allotted": allotted,
    })
}
