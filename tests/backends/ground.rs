//! Where a test takes its turn: three servers, emptied, and a shop that sells on them.

use crate::support::{Attempt, Crowd, Offer, Random, Server, Shop, Site, Witness, until};
use harness::{MariaDb, Proxy, RabbitMq, Redis};
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Mutex, MutexGuard};

static SERVERS: OnceLock<Option<Servers>> = OnceLock::new();
static TURN: Mutex<()> = Mutex::const_new(());

const LASTING: Offer = Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 };
const BUYERS: usize = 160;

/// The servers, two of them behind proxies.
pub struct Servers {
    pub redis: Redis,
    pub redis_proxy: Proxy,
    pub rabbitmq: RabbitMq,
    pub mariadb: MariaDb,
    pub mariadb_proxy: Proxy,
}

/// See the module.
pub struct Ground {
    _turn: MutexGuard<'static, ()>,
    pub servers: &'static Servers,
    pub site: Site,
    pub shop: Arc<Shop>,
    pub witness: Arc<Witness>,
    pub random: Random,
}

impl Servers {
    fn start() -> Option<Self> {
        let (redis, mariadb) = (harness::redis()?, harness::mariadb()?);
        let rabbitmq = harness::rabbitmq()?;
        let redis_proxy = Proxy::to(redis.address());
        let mariadb_proxy = Proxy::to(mariadb.address());
        Some(Self { redis, redis_proxy, rabbitmq, mariadb, mariadb_proxy })
    }

    /// As if just installed.
    fn reset(&self) {
        self.redis_proxy.restore();
        self.mariadb_proxy.restore();
        for server in [&*self.redis, &*self.rabbitmq, &*self.mariadb] {
            server.thaw();
            if !server.is_running() {
                server.restart().expect("it comes back");
            }
        }
        self.redis.empty().expect("emptied");
        self.mariadb.empty().expect("emptied");
        for queue in ["seckill.orders", "seckill.dead-letters"] {
            // The first test finds none.
            let _ = self.rabbitmq.ctl(&["delete_queue", queue]);
        }
    }

    /// A data directory that is to be used with these servers.
    pub fn site(&self) -> Site {
        Site::new()
            .with("CHECKPOINT__REDIS_URL", &self.redis_proxy.url_for(&self.redis.url()))
            .with("BROKER__AMQP_URL", &self.rabbitmq.url())
            .with("ORDERS__MYSQL_URL", &self.mariadb_proxy.url_for(&self.mariadb.url()))
    }
}

/// A shop that is open; nothing where a server is not installed.
pub async fn open(test: &str) -> Option<(Ground, Server)> {
    let turn = TURN.lock().await;
    let servers = SERVERS.get_or_init(Servers::start).as_ref()?;
    servers.reset();
    let site = servers.site();
    let (server, shop) = site.open_shop(BUYERS, &[LASTING; 3]).await;
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
        let mut client = server.client().await;
        let answer = self.shop.buy(&mut client, attempt.item, attempt.buyer, key).await;
        let answer = answer.expect("it answers");
        assert!(self.witness.bought(&attempt, &answer) && answer.status == 201, "{answer:?}");
        answer.id("order_id")
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
    until("the order store to catch up", async || {
        let now = readiness(server).await;
        (now["status"] == "ready" && now["backlog_records"] == 0).then_some(())
    })
    .await;
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

/// A counter's value; 0 where it was never counted.
pub async fn counted(server: &Server, counter: &str) -> u64 {
    let text = server.get("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(counter)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().expect("a number"))
}

async fn readiness(server: &Server) -> Value {
    let answer = server.get("/readyz?verbose").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}
