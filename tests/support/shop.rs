//! A shop in the process: an engine on a directory of its own, and the edge over it.

use crate::engine;
use domain::{Timestamp, UserId};
use harness::http::{Answer, Connection};
use seckill::actors::{
    BackendOptions, Backends, Engine, EngineOptions, EventReaders, LiveSettings, ReaderOptions,
    WebhookOptions, Webhooks,
};
use seckill::app::live::FileRules;
use seckill::clock::Clock;
use seckill::config::{Config, Loaded};
use seckill::http::{self, AppState, Listeners, OidcOptions, Options, Role, Signer};
use seckill::sales::Sales;
use seckill::store::checkpoint::CheckpointStore;
use seckill::store::data_dir::DataDir;
use seckill::store::etcd::Etcd;
use seckill::store::orders::OrderStore;
use seckill::store::outbound::{Guard, GuardedOptions, GuardedOutbound, SystemResolver};
use seckill::store::read_cache::ReadCache;
use seckill::store::redis_connection::RedisAddress;
use seckill::store::settings::{Centre, KeptSettings, SettingsStore};
use seckill::store::webhooks::{SealKey, WebhookStore};
use seckill::telemetry::traces::Tracer;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than any drain takes.
pub const DRAIN_MAX: Duration = Duration::from_secs(30);

/// A running engine with an edge that listens.
pub struct Shop {
    /// Where the edge listens.
    pub address: SocketAddr,
    /// Where it listens for those who run the shop.
    pub operations: SocketAddr,
    /// The engine's handle.
    pub engine: Engine,
    /// Signs tokens that the edge believes.
    pub signer: Signer,
    /// The embedded order store.
    pub orders: OrderStore,
    /// What is changed while it runs.
    pub settings: LiveSettings,
    /// Who is told its events by webhooks.
    pub webhooks: Webhooks,
    telling: JoinHandle<()>,
    shutdown: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
    following: JoinHandle<()>,
    /// The data directory.
    pub directory: TempDir,
}

/// How a shop is opened.
#[derive(Default)]
pub struct Setup {
    /// The edge's limits.
    pub http: Options,
    /// The engine's options, if not [`engine::options`].
    pub engine: Option<EngineOptions>,
    /// Who shows and judges challenges that are not proofs of work.
    pub external: Option<Arc<http::External>>,
    /// Who takes the buyers' money, if anybody does.
    pub provider: Option<Arc<http::PaymentProvider>>,
    /// The mall's own issuer, if there is one.
    pub oidc: Option<OidcOptions>,
    /// Private networks that endpoints of webhooks may be in, with spaces between them.
    pub private_networks: &'static str,
    /// How long nothing may have arrived before an endpoint of webhooks is disabled, if not an hour.
    pub disable_after: Option<Duration>,
    /// How long a second of the schedule of webhooks lasts, if not a millisecond.
    pub webhook_second: Option<Duration>,
    /// Whether the store of its settings is away.
    pub settings_are_away: bool,
    /// Where its settings are, if not in its database: an etcd, and the prefix there.
    pub centre: Option<(Etcd, String)>,
    /// What its file and environment say.
    pub loaded: Option<Loaded>,
    /// What its connections begin with, if they are encrypted.
    pub tls: Option<http::Tls>,
    /// Where its read side is; without one it asks the catalogue.
    pub redis: Option<RedisAddress>,
    /// What of it is traced, by the shop's clock, if anything is.
    pub tracer: Option<Box<dyn FnOnce(Clock) -> Tracer + Send>>,
}

/// How a request is asked.
#[derive(Default)]
pub struct Ask<'a> {
    /// The bearer's token.
    pub token: Option<&'a str>,
    /// Further headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body, sent as JSON.
    pub body: Option<Value>,
}

impl Setup {
    /// Opens a shop in a new directory.
    pub async fn open(self) -> Shop {
        self.open_in(tempfile::tempdir().expect("a directory")).await
    }

    /// Opens a shop on what the directory holds.
    pub async fn open_in(self, directory: TempDir) -> Shop {
        let options = self.engine.unwrap_or_else(engine::options);
        let started = engine::start(directory.path(), options).await;
        let (engine, orders) = (started.engine, started.orders);
        if let Some(tracer) = self.tracer {
            engine.trace_with(tracer(engine.clock()));
        }
        let read_cache = ReadCache::new(self.redis.as_ref(), engine.clock()).expect("an address");
        let api = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = api.local_addr().expect("an address");
        let operations_listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let operations = operations_listener.local_addr().expect("an address");
        let listeners = Listeners { api, tls: self.tls, operations: operations_listener };
        let signer = Signer::new(&[7; 32]).expect("a secret");
        let loaded = self.loaded.unwrap_or_else(|| Config::default().into());
        let rules = Arc::new(FileRules::new(&loaded));
        let store = match (self.settings_are_away, self.centre) {
            (true, _) => away(directory.path()).await,
            (false, None) => SettingsStore::new(orders.database()),
            (false, Some((etcd, prefix))) => {
                let centre = Centre::new(etcd, prefix, rules.judge());
                SettingsStore::with_centre(orders.database(), centre)
            }
        };
        let kept = KeptSettings::at(DataDir::look(directory.path()).settings());
        let settings = LiveSettings::new(store, kept, engine.clock());
        settings.look().await;
        let following = tokio::spawn(settings.clone().follow());
        let times = (self.disable_after, self.webhook_second);
        let webhooks = webhooks(&engine, &orders, self.private_networks, times);
        let telling = webhooks.follow();
        let state = AppState {
            engine: engine.clone(),
            sales: Sales::new(orders.clone(), read_cache),
            settings: settings.clone(),
            settings_rules: rules,
            signer: signer.clone(),
            external: self.external,
            provider: self.provider,
            webhooks: webhooks.clone(),
            oidc: self.oidc,
            clock: engine.clock(),
            render_metrics: Arc::new(|| "seckill_test_metric 1\n".to_owned()),
            board: Arc::default(),
        };
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(http::serve(listeners, state, shutdown.clone(), self.http));
        Shop {
            address,
            operations,
            engine,
            signer,
            orders,
            settings,
            webhooks,
            telling,
            shutdown,
            server,
            following,
            directory,
        }
    }
}

/// The webhooks of a shop, whose schedule is a thousand times as fast as in earnest if nothing else is said.
fn webhooks(
    engine: &Engine,
    orders: &OrderStore,
    private_networks: &str,
    (disable_after, second): (Option<Duration>, Option<Duration>),
) -> Webhooks {
    let networks = private_networks.split_whitespace();
    let guard = Guard::new(networks.map(|network| network.parse().expect("a network")));
    let options = GuardedOptions { timeout: Duration::from_secs(2), idle_max: 8 };
    let outbound =
        GuardedOutbound::new(guard, Arc::new(SystemResolver), None, options, engine.clock());
    let reading = ReaderOptions {
        source: "/seckill".to_owned(),
        retain_bytes: 1 << 30,
        rush_records_max: 1_000_000,
    };
    let options = WebhookOptions {
        endpoints_max: 4,
        lanes: 8,
        disable_after: disable_after.unwrap_or(Duration::from_secs(3_600)),
        source: "/seckill".to_owned(),
        second: second.unwrap_or(Duration::from_millis(1)),
    };
    let store = WebhookStore::new(orders.database());
    let sealed = (SealKey::new(&[7; 32], None), outbound.expect("a client"));
    Webhooks::new(engine, store, sealed, EventReaders::new(engine, orders, &reading), options)
}

/// A store that does not answer.
async fn away(directory: &Path) -> SettingsStore {
    let store = OrderStore::open_sqlite(&directory.join("away.db")).await.expect("it opens");
    store.database().close().await;
    SettingsStore::new(store.database())
}

impl Shop {
    /// Opens a shop as most tests need it, in a new directory.
    pub async fn open() -> Self {
        Setup::default().open().await
    }

    /// Opens a shop with these limits at its edge.
    pub async fn with(http: Options) -> Self {
        Setup { http, ..Setup::default() }.open().await
    }

    /// Opens a shop with these options of its engine.
    pub async fn with_engine(options: EngineOptions) -> Self {
        Setup { engine: Some(options), ..Setup::default() }.open().await
    }

    /// Opens a shop with its read side in this Redis.
    pub async fn open_with_redis(redis: &harness::Redis) -> Self {
        let redis = Some(RedisAddress::from(&redis.url().into()));
        Setup { redis, ..Setup::default() }.open().await
    }

    /// Drains and opens again on the same data.
    pub async fn reopen(self) -> Self {
        Setup::default().open_in(self.close().await).await
    }

    /// Starts what brings the order store up to date; items leave memory as soon as they are over.
    pub async fn start_backends(&self) -> Backends {
        let path = self.directory.path().join("checkpoints.db");
        let checkpoints = CheckpointStore::open_sqlite(&path).await.expect("checkpoints");
        let options = BackendOptions {
            checkpoint_interval: Duration::from_millis(5),
            journal_check_interval: Duration::from_millis(50),
            retention: Duration::ZERO,
            batch_records: 512,
            transaction_records: 512,
            backlog_records_max: 1_000_000,
            refuse_beyond_backlog: false,
        };
        Backends::start(&self.engine, options, checkpoints, None, self.orders.clone())
    }

    /// Begins to drain the edge.
    pub fn shut(&self) {
        self.shutdown.cancel();
    }

    /// Drains edge and engine to their end; the directory is what is left.
    pub async fn close(self) -> TempDir {
        self.shutdown.cancel();
        self.server.await.expect("the server lives").expect("the server ends well");
        self.following.abort();
        self.telling.abort();
        self.engine.drain(DRAIN_MAX).await;
        self.directory
    }

    /// A buyer's token.
    pub fn buyer(&self, user_id: u64) -> String {
        let subject = UserId(user_id).to_string();
        self.signer.mint(&subject, Role::Buyer, self.engine.now(), 3_600)
    }

    /// An operator's token.
    pub fn operator(&self, name: &str) -> String {
        self.signer.mint(name, Role::Operator, self.engine.now(), 3_600)
    }

    /// An approver's token.
    pub fn approver(&self, name: &str) -> String {
        self.signer.mint(name, Role::Approver, self.engine.now(), 3_600)
    }

    /// A token for an admin of this name.
    pub fn admin(&self, name: &str) -> String {
        self.signer.mint(name, Role::Admin, self.engine.now(), 3_600)
    }

    /// Asks as those who run the shop do.
    pub async fn look(&self, path: &str) -> Answer {
        self.ask_at(self.operations, "GET", path, Ask::default()).await
    }

    /// Whether the metrics have this line now.
    pub async fn shows(&self, line: &str) -> bool {
        self.look("/metrics").await.text().lines().any(|shown| shown == line)
    }

    /// Waits until the metrics have this line.
    pub async fn until_shown(&self, line: &str) {
        harness::until(line, async || self.shows(line).await.then_some(())).await;
    }

    /// Waits until the metrics show more than `bound` for this.
    pub async fn until_shown_above(&self, name: &str, bound: u64) {
        harness::until(name, async || {
            let text = self.look("/metrics").await.text().to_owned();
            let mut values =
                text.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            values.any(|value: u64| value > bound).then_some(())
        })
        .await;
    }

    /// Asks on a connection of its own.
    pub async fn ask(&self, method: &str, path: &str, ask: Ask<'_>) -> Answer {
        self.ask_at(self.address, method, path, ask).await
    }

    async fn ask_at(&self, address: SocketAddr, method: &str, path: &str, ask: Ask<'_>) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n");
        if let Some(token) = ask.token {
            let _ = write!(head, "authorization: Bearer {token}\r\n");
        }
        let body = ask.body.map(|body| body.to_string());
        self.exchange(address, head, ask.headers, body).await
    }

    /// Submits a page's form, as a browser does.
    pub async fn submit(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
        let head = format!("POST {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n");
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        let headers = [&kind, headers].concat();
        self.exchange(self.address, head, &headers, Some(form.to_owned())).await
    }

    async fn exchange(
        &self,
        address: SocketAddr,
        mut head: String,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if let Some(body) = &body {
            let _ = write!(head, "content-length: {}\r\n", body.len());
            if !headers.iter().any(|(name, _)| *name == "content-type") {
                head.push_str("content-type: application/json\r\n");
            }
        }
        head.push_str("\r\n");
        let mut connection = Connection::open(address).await;
        connection.send(format!("{head}{}", body.unwrap_or_default()).as_bytes()).await;
        connection.answer().await
    }

    /// Asks for a resource.
    pub async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.ask("GET", path, Ask { token, ..Ask::default() }).await
    }

    /// Posts, with a body if there is one.
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

    /// A sale with this window.
    pub fn draft_between(&self, from: Timestamp, to: Timestamp, items: &[Value]) -> Value {
        let text = |at: Timestamp| http::timestamp::to_string(at);
        json!({ "title": "Noon", "starts_at": text(from), "ends_at": text(to), "items": items })
    }
}

/// An item of a draft.
pub fn offer(product: &str, allotted: u32) -> Value {
    json!({
        "product_id": product, "title": "A pear", "price": 4_999, "currency": "EUR",
        "allotted": allotted,
    })
}
