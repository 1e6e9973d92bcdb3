//! Where a test takes its turn: three servers, emptied, and a shop that sells on them.

use crate::support::{self, Attempt, Crowd, Offer, OpenSale, Random, Server, Site, Witness, until};
use harness::{AppendOnly, MariaDb, Proxy, RabbitMq, Redis, RedisOptions};
use lapin::options::QueueDeleteOptions;
use lapin::{Channel, Connection, ConnectionProperties};
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Mutex, MutexGuard};

static SERVERS: OnceLock<Option<Servers>> = OnceLock::new();
static TURN: Mutex<()> = Mutex::const_new(());

const LASTING: Offer = Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 };
const BUYERS: usize = 160;
/// A consumer that does not thank the broker for this long is cut off, as it is after half an hour
/// by default.
const BROKER_SETTINGS: &str = "consumer_timeout = 5000";
pub const ORDERS_QUEUE: &str = "seckill.orders";
/// That of the second of several order stores.
const SECOND_QUEUE: &str = "seckill.orders.1";

/// The servers, each behind a proxy.
pub struct Servers {
    pub redis: Redis,
    pub redis_proxy: Proxy,
    pub rabbitmq: RabbitMq,
    pub rabbitmq_proxy: Proxy,
    pub mariadb: MariaDb,
    pub mariadb_proxy: Proxy,
}

/// A shop that sells on the three servers, and what watches it.
pub struct Ground {
    _turn: MutexGuard<'static, ()>,
    pub servers: &'static Servers,
    pub site: Site,
    pub shop: Arc<OpenSale>,
    pub witness: Arc<Witness>,
    pub random: Random,
}

impl Servers {
    fn start() -> Option<Self> {
        // What it had when it was killed it has afterwards.
        let lasting =
            RedisOptions { append_only: AppendOnly::EverySecond, ..RedisOptions::default() };
        let redis = harness::required(Redis::start_with(lasting))?;
        let rabbitmq = harness::required(RabbitMq::start_with(BROKER_SETTINGS))?;
        let mariadb = harness::mariadb()?;
        let redis_proxy = Proxy::to(redis.address());
        let rabbitmq_proxy = Proxy::to(rabbitmq.address());
        let mariadb_proxy = Proxy::to(mariadb.address());
        Some(Self { redis, redis_proxy, rabbitmq, rabbitmq_proxy, mariadb, mariadb_proxy })
    }

    /// As if just installed.
    async fn reset(&self) {
        // What the last shop sent and a slow network still has must not arrive in the next one.
        self.proxies().into_iter().for_each(Proxy::cut);
        for server in [&*self.redis, &*self.rabbitmq, &*self.mariadb] {
            server.thaw();
            if !server.is_running() {
                server.restart().expect("it comes back");
            }
        }
        self.redis.empty().expect("emptied");
        self.mariadb.empty().expect("emptied");
        let (_connection, channel) = self.channel().await;
        for queue in [ORDERS_QUEUE, SECOND_QUEUE, "seckill.dead-letters"] {
            let gone = channel.queue_delete(queue.into(), QueueDeleteOptions::default());
            gone.await.expect("deleted, or never there");
        }
        self.proxies().into_iter().for_each(Proxy::restore);
    }

    /// What lies between the engine and each of the three.
    pub fn proxies(&self) -> [&Proxy; 3] {
        [&self.redis_proxy, &self.rabbitmq_proxy, &self.mariadb_proxy]
    }

    /// A way to the broker behind the engine's back, open as long as both are held.
    pub async fn channel(&self) -> (Connection, Channel) {
        let url = self.rabbitmq.url();
        let connection = Connection::connect(&url, ConnectionProperties::default()).await;
        let connection = connection.expect("connects");
        let channel = connection.create_channel().await.expect("a channel");
        (connection, channel)
    }

    /// Restarts the broker in good order, which a broker that is to be killed needs once its queues
    /// are declared: RabbitMQ 3.10 writes their register down every three minutes and when it stops;
    /// killed before that, it comes back with a queue that never has a leader.
    pub fn settle_broker(&self) {
        self.rabbitmq.restart().expect("it comes back");
    }

    /// A data directory that is to be used with these servers.
    pub fn site(&self) -> Site {
        self.site_without_broker()
            .with("BROKER__AMQP_URL", &self.rabbitmq_proxy.url_for(&self.rabbitmq.url()))
            // So that more messages are under way than a consumer is given at once.
            .with("BROKER__BATCH_RECORDS", "4")
    }

    /// The same, where records go to the order store within the process.
    pub fn site_without_broker(&self) -> Site {
        Site::new()
            .with("CHECKPOINT__REDIS_URL", &self.redis_proxy.url_for(&self.redis.url()))
            .with("ORDERS__MYSQL_URL", &self.mariadb_proxy.url_for(&self.mariadb.url()))
    }
}

/// A shop that is open; nothing where a server is not installed.
pub async fn open(test: &str) -> Option<(Ground, Server)> {
    open_at(test, Servers::site).await
}

/// The same, at a site of the test's choice.
pub async fn open_at(test: &str, site: impl FnOnce(&Servers) -> Site) -> Option<(Ground, Server)> {
    open_with(test, 3, site).await
}

/// The same, with so many items.
pub async fn open_with(
    test: &str,
    items: usize,
    site: impl FnOnce(&Servers) -> Site,
) -> Option<(Ground, Server)> {
    let turn = TURN.lock().await;
    let servers = SERVERS.get_or_init(Servers::start).as_ref()?;
    servers.reset().await;
    let site = site(servers);
    let (server, shop) = site.open_shop(BUYERS, &vec![LASTING; items]).await;
    let ground = Ground {
        _turn: turn,
        servers,
        site,
        shop: Arc::new(shop),
        witness: Arc::new(Witness::default()),
        random: Random::of(test),
    };
    Some((ground, server))
}

impl Ground {
    /// Buyers who stay until they are sent home.
    pub fn enter(&mut self, server: &Server) -> Crowd {
        Crowd::enter(server, &self.shop, &self.witness, &mut self.random)
    }

    /// So many answers, not one of them "come again later".
    pub async fn trade(&mut self, server: &Server, answers: u32) {
        let before = self.witness.confirmed();
        let mut crowd = self.enter(server);
        crowd.answers(answers).await;
        assert_eq!(crowd.unavailable(), 0, "a purchase was turned away\n{}", self.site.log());
        crowd.leave().await;
        assert!(self.witness.confirmed() > before, "nothing was sold");
    }

    /// One purchase by buyer 0.
    pub async fn buy(&self, server: &Server, key: &str) -> u64 {
        let attempt = Attempt { item: self.shop.items[0], buyer: 0, key: key.to_owned() };
        support::sell(server, &self.shop, &self.witness, attempt).await
    }

    /// Stops the server in good order, starts it again, compares everything and audits.
    pub async fn close(self, server: Server) {
        caught_up(&server).await;
        server.stop().await;
        self.witness.audit(&self.site);
        self.witness.close(&self.site, &self.shop).await;
        let rows = self.servers.mariadb.execute("SELECT COUNT(*) FROM orders").expect("a count");
        assert_eq!(rows, self.witness.confirmed().to_string(), "orders in MariaDB");
        assert!(!self.site.log().contains("panicked at"), "{}", self.site.log());
        println!("{rows} orders");
    }
}

/// Waits until all works and nothing waits for the order store.
pub async fn caught_up(server: &Server) {
    until("the order store to catch up", async || server.is_whole().await.then_some(())).await;
}

/// Waits until this dependency is reported as failing; the server stays ready to sell.
pub async fn degraded(server: &Server, dependency: &str) {
    until(dependency, async || {
        let now = readiness(server).await;
        let found = now["dependencies"].as_array().expect("a list").iter();
        let mut found = found.filter(|found| found["name"] == dependency);
        let failing = found.next().is_some_and(|found| found["healthy"] == false);
        failing.then(|| assert_eq!(now["status"], "degraded", "{now}"))
    })
    .await;
}

/// What this dependency's state means, as readiness has it.
pub async fn meaning(server: &Server, dependency: &str) -> String {
    let now = readiness(server).await;
    let mut found = now["dependencies"].as_array().expect("a list").iter();
    let found = found.find(|found| found["name"] == dependency);
    found.and_then(|found| found["meaning"].as_str()).unwrap_or_default().to_owned()
}

async fn readiness(server: &Server) -> Value {
    let answer = server.look("/readyz?verbose").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}
