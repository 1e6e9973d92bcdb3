//! Three processes that are one shop, on an etcd, a Redis and a MariaDB: one of them dies in the midst of a
//! sale, and one is stopped.

use crate::support::{Attempt, Crowd, Offer, OpenSale, Random, Server, Site, Witness, until};
use domain::invariants::{Invariant, Ledger};
use domain::{OrderId, ShardId};
use harness::{Etcd, MariaDb, Redis};
use seckill::store::etcd::{self, EtcdAddress};
use seckill::store::journal::fenced::{EtcdLog, FencedLog, StoredBatch};
use seckill::store::journal::record::each_record;
use std::sync::Arc;
use std::time::Duration;

pub const LASTING: Offer = Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 };
pub const BUYERS: usize = 160;
const SHARDS: u16 = 4;
pub const PREFIX: &str = "/seckill/shop/";

/// What all nodes have in common.
pub struct Servers {
    pub etcd: Etcd,
    pub redis: Redis,
    pub mariadb: MariaDb,
}

impl Servers {
    /// Nothing where one is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with(1)
    }

    /// With so many members of etcd.
    pub fn start_with(members: usize) -> Option<Self> {
        Some(Self {
            etcd: harness::etcd(members)?,
            redis: harness::redis()?,
            mariadb: harness::mariadb()?,
        })
    }

    /// A data directory that is to be used by a node of this name.
    pub fn site(&self, node: &str) -> Site {
        Site::new()
            .with("CLUSTER__ENDPOINTS", &self.etcd.endpoints().join(" "))
            .with("CLUSTER__PREFIX", PREFIX)
            .with("CLUSTER__NODE", node)
            // Longer than a busy machine stops for.
            .with("CLUSTER__LEASE_TTL_MS", "10000")
            .with("CHECKPOINT__REDIS_URL", &self.redis.url())
            // Rounds of checkpoints would trim the log that is judged.
            .with("CHECKPOINT__INTERVAL_MS", "3600000")
            .with("ORDERS__MYSQL_URL", &self.mariadb.url())
            .with("TOKENS__SECRET", &"5e".repeat(32))
    }

    /// The same, by a node that the others reach: items of several buckets need that.
    pub fn linked_site(&self, node: &str) -> Site {
        self.site(node).with("CLUSTER__LISTEN", "127.0.0.1:0")
    }

    /// A client of its etcd.
    pub fn client(&self) -> etcd::Etcd {
        let address = EtcdAddress { endpoints: self.etcd.endpoints(), tls: None, login: None };
        etcd::Etcd::prepare(&address, Duration::from_secs(10)).expect("an address")
    }

    /// What the log in etcd has of each shard, in order.
    pub async fn logged(&self) -> Vec<Vec<StoredBatch>> {
        let log = EtcdLog::new(self.client(), PREFIX);
        let mut shards = Vec::new();
        for shard in (0..SHARDS).map(ShardId) {
            let mut batches: Vec<StoredBatch> = Vec::new();
            loop {
                let after = batches.last().map_or(0, |last| last.batch);
                let page = log.read(shard, after, 100).await.expect("the log");
                if page.is_empty() {
                    break;
                }
                batches.extend(page);
            }
            shards.push(batches);
        }
        shards
    }

    /// The log in etcd, judged, and what buyers were told against it and against the order store. Returns how
    /// many owners its shards have had, together.
    pub async fn judge(&self, witness: &Witness) -> u32 {
        self.judge_in(witness, &[&self.mariadb]).await
    }

    /// The same, where the orders are divided among these stores.
    pub async fn judge_in(&self, witness: &Witness, stores: &[&MariaDb]) -> u32 {
        let mut ledger = Ledger::default();
        let mut epochs = 0;
        for batches in self.logged().await {
            let mut epoch = 0;
            for batch in &batches {
                assert!(batch.epoch >= epoch, "{}: an older owner's batch", Invariant::I15);
                epochs += u32::from(batch.epoch > epoch);
                epoch = batch.epoch;
                for found in each_record(batch.records()) {
                    ledger.record(&found.expect("a record"));
                }
            }
        }
        for (rule, finding) in ledger.findings() {
            assert_eq!(finding.first, None, "{rule}");
        }
        let confirmed = witness.orders();
        for order in confirmed.keys() {
            assert!(ledger.orders().contains_key(&OrderId(*order)), "{}: {order}", Invariant::I3);
        }
        assert_eq!(ledger.orders().len(), confirmed.len(), "an order that no buyer knows");
        let count = |store: &&MariaDb| -> usize {
            let rows = store.execute("SELECT COUNT(*) FROM orders").expect("a count");
            rows.parse().expect("a number")
        };
        let rows = stores.iter().map(count).sum::<usize>();
        assert_eq!(rows, confirmed.len(), "orders in MariaDB");
        println!("{rows} orders");
        epochs
    }
}

/// Waits until these nodes, and no others, are the cluster, and serve all shards between them.
pub async fn settled(nodes: &[&Server]) {
    let words = format!("nodes that live: {}", nodes.len());
    until("every shard to be served", async || {
        let mut served = 0;
        for node in nodes {
            let now = node.look("/readyz?verbose").await.json();
            let mut found = now["dependencies"].as_array().expect("a list").iter();
            let found = found.find(|found| found["name"] == "cluster").expect("it is a node");
            let meaning = found["meaning"].as_str().unwrap_or_default();
            if found["healthy"] == false || !meaning.contains(&words) {
                return None;
            }
            served += node.figure("seckill_shards").await;
        }
        (served == u64::from(SHARDS)).then_some(())
    })
    .await;
}

/// Asks the nodes in turn until one has decided. Returns which one, and the answer's status.
pub async fn decided(
    nodes: &[&Server],
    shop: &OpenSale,
    witness: &Witness,
    attempt: &Attempt,
) -> (usize, u16) {
    until("a node to decide", async || {
        for (index, node) in nodes.iter().enumerate() {
            let mut client = node.client().await;
            let answer = shop.buy(&mut client, attempt.item, attempt.buyer, &attempt.key).await;
            let answer = answer.expect("it answers");
            if witness.bought(attempt, &answer) {
                return Some((index, answer.status));
            }
        }
        None
    })
    .await
}

/// Every unknown purchase is repeated, every order that a buyer knows is shown by one node, and every item
/// sells. The nodes do not reach each other.
pub async fn verify(nodes: &[&Server], shop: &OpenSale, witness: &Witness, key: &str) {
    for attempt in witness.take_unknown(|_| true) {
        decided(nodes, shop, witness, &attempt).await;
    }
    let mut clients = Vec::new();
    for node in nodes {
        clients.push(node.client().await);
    }
    for (order, seen) in witness.orders() {
        until("an order's owner to show it", async || {
            let mut shown = 0;
            for client in &mut clients {
                let answer = shop.order(client, order, seen.attempt.buyer).await;
                let answer = answer.expect("it answers");
                witness.looked(order, &seen.attempt, &answer);
                shown += u32::from(answer.status == 200);
            }
            assert!(shown <= 1, "order {order} has two owners");
            (shown == 1).then_some(())
        })
        .await;
    }
    for item in &shop.items {
        let attempt = Attempt { item: *item, buyer: 0, key: format!("{key}-{item}") };
        let (_, status) = decided(nodes, shop, witness, &attempt).await;
        assert_eq!(status, 201, "{attempt:?}");
    }
}

/// What a node answers that serves no shard.
async fn refuses_what_another_node_has(node: &Server, shop: &OpenSale, order: u64) {
    let mut client = node.client().await;
    let bought = shop.buy(&mut client, shop.items[0], 0, "at-another-node").await;
    let read = shop.order(&mut client, order, 0).await;
    let paid = shop.step(&mut client, order, 0, "pay").await;
    let listed = client.send("GET", "/api/v1/orders", &shop.tokens[0], &[], "").await;
    for answer in [bought, read, paid, listed] {
        let answer = answer.expect("it answers");
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.code(), "owner_unavailable");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    let unknown = shop.buy(&mut client, 999_999, 0, "no-such-item").await.expect("it answers");
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "item_not_found"));
    assert_eq!(node.get("/readyz").await.status, 503, "it has nothing to sell");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_or_stops_leaves_its_shards_to_the_others() {
    let Some(servers) = Servers::start() else { return };
    let sites = ["a", "b", "c"].map(|node| servers.site(node));
    let [site, others @ ..] = &sites;
    let first = site.start().await;
    settled(&[&first]).await;
    let shop = Arc::new(site.open_sale(&first, BUYERS, &[LASTING; 3]).await);
    let (second, third) = (others[0].start().await, others[1].start().await);
    settled(&[&first, &second, &third]).await;
    let witness = Arc::new(Witness::default());
    let attempt = Attempt { item: shop.items[0], buyer: 0, key: "first".to_owned() };
    assert_eq!(decided(&[&first], &shop, &witness, &attempt).await, (0, 201));
    let order = *witness.orders().keys().next().expect("an order");
    refuses_what_another_node_has(&second, &shop, order).await;

    let mut random = Random::of("a node that dies");
    let mut crowd = Crowd::enter(&first, &shop, &witness, &mut random);
    crowd.answers(300).await;
    first.kill().await;
    crowd.gone().await;
    settled(&[&second, &third]).await;
    verify(&[&second, &third], &shop, &witness, "after-a-death").await;

    // It comes back, and takes over what another one gives away.
    let first = site.start().await;
    settled(&[&first, &second, &third]).await;
    second.stop().await;
    settled(&[&first, &third]).await;
    verify(&[&first, &third], &shop, &witness, "after-a-stop").await;
    first.stop().await;
    // What the last node brings to the order store it has to have first.
    settled(&[&third]).await;
    third.stop().await;
    assert!(servers.judge(&witness).await > 1, "one node sold everything");
    for site in &sites {
        assert!(!site.log().contains("panicked at"), "{}", site.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_no_node_of_the_shop_is_told_why() {
    let (Some(servers), Some(other)) = (Servers::start(), harness::mariadb()) else { return };
    let node = servers.site("a").start().await;
    settled(&[&node]).await;
    let refused = async |site: Site, code: i32, words: &str| {
        let status = site.fail_to_start().await;
        assert_eq!(status.code(), Some(code), "{}", site.log());
        assert!(site.log().contains(words), "{words:?} is not in {}", site.log());
    };
    let site = || servers.site("b");
    let (configuration, data) = (3, 4);
    let elsewhere = site().with("CLUSTER__PREFIX", "/seckill/other/");
    refused(elsewhere, data, "etcd holds no shop under this prefix").await;
    let words = "node a signs tokens with another tokens.secret";
    refused(site().with("TOKENS__SECRET", &"5f".repeat(32)), configuration, words).await;
    let words = "the cluster has 4 shards, and engine.shards is 8";
    refused(site().with("ENGINE__SHARDS", "8"), configuration, words).await;
    let words = "correct cluster.prefix, if what lies there is another shop's";
    refused(site().with("ENGINE__SHARDS", "8"), configuration, words).await;
    let backup = site().run(&["backup", "copy"]);
    let text = String::from_utf8_lossy(&backup.stderr);
    assert_eq!(backup.status.code(), Some(configuration), "{text}");
    assert!(text.contains("etcdctl snapshot save") && !text.contains("restore"), "{text}");
    // A shop that has sold alone, and its orders.
    let alone = Site::new()
        .with("TOKENS__SECRET", &"5e".repeat(32))
        .with("ORDERS__MYSQL_URL", &other.url());
    alone.start().await.stop().await;
    let beside_its_orders = site().with("ORDERS__MYSQL_URL", &other.url());
    refused(beside_its_orders, data, "to do: correct orders.mysql_url (or orders.mysql_urls)")
        .await;
    let joining = site().with_data(alone.data().to_owned());
    refused(joining, data, "holds the journal of a shop of its own").await;
    node.stop().await;
}
