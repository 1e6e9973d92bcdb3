//! Servers, a shop on them, and what the tests ask of both.

use crate::support::{
    self, Attempt, Crowd, Offer, OpenSale, Random, Server, Site, Verdict, Witness, until,
};
use harness::{MariaDb, Proxy, RabbitMq, Redis};
use std::sync::Arc;

const LASTING: Offer = Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 };
const BUYERS: usize = 40;
/// The columns of an order that are not made from others.
const COLUMNS: &str = "order_id, sale_id, item_id, user_id, request_id, attempt, quantity, amount, \
                       currency, status, expires_at, changed_at, version";

/// The three servers, MariaDB behind a proxy.
pub struct Servers {
    pub redis: Redis,
    pub rabbitmq: RabbitMq,
    pub mariadb: MariaDb,
    pub mariadb_proxy: Proxy,
}

/// A shop that is open, and who watches it.
pub struct Ground {
    pub site: Site,
    pub shop: Arc<OpenSale>,
    pub witness: Arc<Witness>,
    random: Random,
}

impl Servers {
    /// Nothing where one is not installed.
    pub fn start() -> Option<Self> {
        let (redis, mariadb) = (harness::redis()?, harness::mariadb()?);
        let rabbitmq = harness::rabbitmq()?;
        let mariadb_proxy = Proxy::to(mariadb.address());
        Some(Self { redis, rabbitmq, mariadb, mariadb_proxy })
    }

    /// A data directory that is to be used with all three.
    pub fn site(&self) -> Site {
        Site::new()
            .with("CHECKPOINT__REDIS_URL", &self.redis.url())
            .with("BROKER__AMQP_URL", &self.rabbitmq.url())
            .with("ORDERS__MYSQL_URL", &self.mariadb_proxy.url_for(&self.mariadb.url()))
    }

    /// Runs a statement that no engine would.
    pub fn sql(&self, statement: &str) -> String {
        self.mariadb.execute(statement).expect(statement)
    }

    /// Stores an order of this identity that nobody placed.
    pub fn plant(&self, order: u64) {
        let (copied, _) = COLUMNS.split_once("user_id").expect("a column");
        let copied = copied.replacen("order_id", &order.to_string(), 1);
        self.sql(&format!(
            "INSERT INTO orders ({COLUMNS}) SELECT {copied} user_id + 1000000, request_id + 1, \
             attempt, quantity, amount + 1, currency, status, expires_at, changed_at, version \
             FROM orders LIMIT 1"
        ));
    }

    /// Keeps the orders as they are, for [`Self::restore`].
    pub fn keep(&self) {
        self.sql(&format!("CREATE TABLE kept AS SELECT {COLUMNS} FROM orders"));
    }

    /// Puts back what was kept.
    pub fn restore(&self) {
        self.sql("DELETE FROM orders");
        self.sql(&format!("INSERT INTO orders ({COLUMNS}) SELECT {COLUMNS} FROM kept"));
    }
}

impl Ground {
    /// A shop at this site, and its first process.
    pub async fn open(test: &str, site: Site) -> (Self, Server) {
        let (server, shop) = site.open_shop(BUYERS, &[LASTING; 2]).await;
        let ground = Self {
            site,
            shop: Arc::new(shop),
            witness: Arc::new(Witness::default()),
            random: Random::of(test),
        };
        (ground, server)
    }

    /// Buyers who stay until they are sent home.
    pub fn enter(&mut self, server: &Server) -> Crowd {
        Crowd::enter(server, &self.shop, &self.witness, &mut self.random)
    }

    /// So many answers.
    pub async fn trade(&mut self, server: &Server, answers: u32) {
        let mut crowd = self.enter(server);
        crowd.answers(answers).await;
        crowd.leave().await;
    }

    /// One purchase by buyer 0: its order.
    pub async fn buy(&self, server: &Server, key: &str) -> u64 {
        let attempt = Attempt { item: self.shop.items[0], buyer: 0, key: key.to_owned() };
        support::sell(server, &self.shop, &self.witness, attempt).await
    }

    /// Audits the stores against each other and against what buyers saw.
    pub fn audit(&self) -> Verdict {
        self.site.audit(self.witness.orders().into_keys())
    }

    /// Runs the program, which must end well: what it printed.
    pub fn run(&self, words: &[&str]) -> String {
        let output = self.site.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

/// Waits until nothing waits for the order store.
pub async fn caught_up(server: &Server) {
    until("the order store to catch up", async || {
        let now = server.look("/readyz?verbose").await.json();
        (now["backlog_records"] == 0).then_some(())
    })
    .await;
}
