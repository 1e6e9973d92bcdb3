//! What the shop announces at RabbitMQ, heard by a receiver of its own, while shop and broker die.

use super::cluster::{self, Servers};
use super::ground::degraded;
use crate::support::{
    Attempt, Crowd, Message, Offer, OpenSale, Random, Server, Site, Subscriber, Witness, must_sell,
    until,
};
use domain::{Event, Record, ShardId};
use harness::Proxy;
use harness::http::Answer;
use seckill::actors::EventType;
use seckill::store::journal::fenced::{EtcdLog, FencedLog};
use seckill::store::journal::file;
use seckill::store::journal::file::disk::RealDisk;
use seckill::store::journal::record::each_record;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex};

const QUEUE: &str = "points";
const OFFERS: &[Offer] = &[
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 },
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 1 },
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 },
];
/// Where to die, and behind how many batches.
const POINTS: &[(&str, &[u64])] = &[
    ("events-before-deliver", &[0, 2]),
    ("events-after-deliver", &[0, 3, 6]),
    ("events-after-position", &[1]),
];

/// A receiver that keeps all that it hears.
struct Receiver {
    heard: Arc<Mutex<Vec<Message>>>,
    _subscriber: Subscriber,
}

impl Receiver {
    /// Listens to what fits the key, from before anything is announced.
    async fn listen(url: &str, key: &'static str) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&heard);
        let take = move |message| into.lock().expect("not poisoned").push(message);
        Self { heard, _subscriber: Subscriber::listen(url, (QUEUE, key), take).await }
    }

    fn heard(&self) -> Vec<Message> {
        self.heard.lock().expect("not poisoned").clone()
    }

    /// Waits for the event of an order or a payment that has this type.
    async fn event(&self, kind: &str, order: u64) -> Value {
        let order = order.to_string();
        until(kind, async || {
            let heard = self.heard();
            let mut found = heard.iter().filter(|heard| heard.body["type"] == kind);
            let found = found.find(|heard| heard.body["partitionkey"] == order.as_str());
            found.map(|heard| heard.body.clone())
        })
        .await
    }

    /// Judges what has arrived: an event that comes again is the same, an order's events never go back.
    fn judge(&self) -> BTreeMap<String, Value> {
        let mut events = BTreeMap::new();
        let mut last: HashMap<String, String> = HashMap::new();
        for Message { id, key, body, properties } in self.heard() {
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let kind = text("type");
            assert_eq!((text("id"), format!("seckill.{key}")), (id.clone(), kind.clone()));
            assert_eq!(
                properties,
                [Some("application/cloudevents+json".to_owned()), Some(kind)],
                "{body}"
            );
            let before = events.insert(id, body.clone());
            if let Some(before) = before {
                assert_eq!(before, body, "an event that comes again is the same");
                continue;
            }
            let sequence = text("sequence");
            let last = last.entry(text("partitionkey")).or_default();
            assert!(*last < sequence, "{body} came behind {last}");
            *last = sequence;
        }
        events
    }

    /// Waits until everything has arrived that these records tell.
    async fn has_all(&self, journal: &str, records: &[Record]) {
        let expected: Vec<(String, &str)> = records
            .iter()
            .filter_map(|record| {
                let kind = EventType::of(record)?;
                Some((format!("{journal}-{}-{}", record.shard, record.seq), kind.name()))
            })
            .collect();
        let events = until("all events", async || {
            let events = self.judge();
            expected.iter().all(|(id, _)| events.contains_key(id)).then_some(events)
        })
        .await;
        for (id, kind) in expected {
            assert_eq!(events[&id]["type"], kind, "{id}");
        }
    }
}

/// A shop that announces there.
fn announcing(site: Site, url: &str) -> Site {
    site.with("EVENTS__AMQP", "true")
        .with("EVENTS__AMQP_URL", url)
        .with("EVENTS__SOURCE", "https://shop.example")
}

fn journal_of(site: &Site) -> String {
    let identity = std::fs::read_to_string(site.data().join("identity"));
    identity.expect("an identity").trim().to_owned()
}

/// The records of a shop's journal, in their order.
fn records_of(site: &Site) -> Vec<Record> {
    let disk = RealDisk::open(&site.data().join("journal")).expect("a journal");
    let mut records = Vec::new();
    file::scan(&disk, |_, _, payload| {
        for found in each_record(payload) {
            records.push(found?);
        }
        Ok(())
    })
    .expect("it is whole");
    records
}

/// One order of each fate, and what operators do.
async fn all_that_can_happen(server: &Server, shop: &OpenSale, receiver: &Receiver) {
    let mut client = server.client().await;
    let mut asked = async |token: &str, path: &str, body: &str| {
        let key = [("idempotency-key", path)];
        let answer = client.send("POST", path, token, &key, body).await.expect("it answers");
        assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text());
        answer
    };
    let bought = |answer: &Answer| answer.id("order_id");
    let (lasting, brief) = (shop.items[0], shop.items[1]);
    let mut orders = Vec::new();
    for (buyer, item) in [(0, lasting), (1, lasting), (2, lasting), (3, brief)] {
        let path = format!("/api/v1/items/{item}/buy");
        orders.push(bought(&asked(&shop.tokens[buyer], &path, "").await));
    }
    let [paid, twice, cancelled, expired] = orders[..] else { unreachable!() };
    let reserved = receiver.event("seckill.order.reserved", paid).await;
    assert_eq!(reserved["source"], "https://shop.example");
    assert_eq!(reserved["data"]["buyer"], json!({ "user_id": "1" }));

    asked(&shop.tokens[0], &format!("/api/v1/orders/{paid}/pay"), "").await;
    let event = receiver.event("seckill.order.paid", paid).await;
    assert_eq!(event["data"]["payment"]["state"], "captured", "{event}");
    let body = r#"{"payment":{"outcome":"twice"}}"#;
    asked(&shop.tokens[1], &format!("/api/v1/orders/{twice}/pay"), body).await;
    let event = receiver.event("seckill.payment.refund_due", twice).await;
    assert_eq!(event["data"]["status"], "paid", "{event}");
    let surplus = event["data"]["payment"]["payment_id"].as_str().expect("a payment").to_owned();
    asked(&shop.tokens[2], &format!("/api/v1/orders/{cancelled}/cancel"), "").await;
    receiver.event("seckill.order.cancelled", cancelled).await;
    receiver.event("seckill.order.expired", expired).await;
    asked(&shop.tokens[3], &format!("/api/v1/orders/{expired}/pay"), "").await;
    let event = receiver.event("seckill.order.refund_due", expired).await;
    let late = event["data"]["payment"]["payment_id"].as_str().expect("a payment").to_owned();
    let body = r#"{"reference":"re_1"}"#;
    for (payment, order, kind) in
        [(late, expired, "seckill.order.refunded"), (surplus, twice, "seckill.payment.refunded")]
    {
        asked(&shop.operator, &format!("/api/v1/admin/refunds/{payment}"), body).await;
        let event = receiver.event(kind, order).await;
        assert_eq!(event["data"]["payment"]["refund_reference"], "re_1", "{event}");
    }

    let item = server.get(&format!("/api/v1/items/{lasting}")).await;
    let sale = format!("/api/v1/admin/sales/{}", item.id("sale_id"));
    receiver.event("seckill.item.opened", lasting).await;
    for (step, kind) in [("restock", "seckill.item.restocked"), ("reduce", "seckill.item.reduced")]
    {
        let path = format!("{sale}/items/{lasting}/{step}");
        asked(&shop.operator, &path, r#"{"units":5}"#).await;
        let event = receiver.event(kind, lasting).await;
        assert_eq!(event["data"]["units"], 5, "{event}");
        assert_eq!(event["data"]["operator"], "otto", "{event}");
    }
    for (step, kind) in [("pause", "seckill.item.paused"), ("resume", "seckill.item.resumed")] {
        asked(&shop.operator, &format!("{sale}/{step}"), "").await;
        receiver.event(kind, lasting).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_happens_is_announced_whatever_dies() {
    let Some(rabbitmq) = harness::rabbitmq() else { return };
    let receiver = Receiver::listen(&rabbitmq.url(), "#").await;
    // The queue is on its disk for good, so that it outlives a kill.
    rabbitmq.restart().expect("it comes back");
    let site = announcing(Site::new(), &rabbitmq.url());
    let (server, shop) = site.open_shop(160, OFFERS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut random = Random::of("events");
    all_that_can_happen(&server, &shop, &receiver).await;
    server.stop().await;

    for (point, passes) in POINTS {
        for passes in *passes {
            let server = site.launch(&match passes {
                0 => format!("{point}=return"),
                passes => format!("{point}={passes}*off->return"),
            });
            if server.listens().await.is_ok() {
                let crowd = Crowd::enter(&server, &shop, &witness, &mut random);
                assert_eq!(server.ended().await.signal(), Some(9), "{point}: {}", site.log());
                crowd.gone().await;
            }
        }
    }
    let server = site.start().await;
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(200).await;
    rabbitmq.kill();
    crowd.answers(200).await;
    degraded(&server, "events").await;
    rabbitmq.restart().expect("it comes back");
    crowd.answers(200).await;
    assert_eq!(crowd.unavailable(), 0, "a purchase was turned away\n{}", site.log());
    crowd.leave().await;
    // What is announced last comes behind all that was decided before.
    let attempt = Attempt { item: shop.items[2], buyer: 0, key: "the-last".to_owned() };
    must_sell(&server, &shop, &witness, attempt).await;
    let orders = witness.orders();
    let last = orders.iter().find(|(_, seen)| seen.attempt.key == "the-last").expect("it is sold");
    receiver.event("seckill.order.reserved", *last.0).await;
    server.stop().await;
    let mut records = records_of(&site);
    let is_last = |record: &Record| match &record.event {
        Event::Order(order) => order.order_id.0 == *last.0,
        _ => false,
    };
    let end = records.iter().position(is_last).expect("it is in the journal");
    records.truncate(end + 1);
    receiver.has_all(&journal_of(&site), &records).await;
    let heard = receiver.heard().len();
    let events = receiver.judge().len();
    println!("{} records, {events} events, {heard} messages", records.len());
    assert!(heard > events, "it was killed before a position was kept, and nothing came twice");
    assert!(!site.log().contains("panicked at"), "{}", site.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_delays_events_and_no_purchase() {
    let Some(rabbitmq) = harness::rabbitmq() else { return };
    let proxy = Proxy::to(rabbitmq.address());
    let site = announcing(Site::new(), &proxy.url_for(&rabbitmq.url()));
    let (server, shop) = site.open_shop(160, OFFERS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut random = Random::of("no broker");
    // Nobody has bound a queue yet: that is counted, and no failure.
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(50).await;
    crowd.leave().await;
    let unrouted = "seckill_events_unrouted_total{type=\"seckill.order.reserved\"}";
    until("events that nobody wants", async || {
        (server.figure(unrouted).await > 0 && server.is_whole().await).then_some(())
    })
    .await;

    let receiver = Receiver::listen(&rabbitmq.url(), "order.reserved").await;
    proxy.cut();
    degraded(&server, "events").await;
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(300).await;
    assert_eq!(crowd.unavailable(), 0, "a purchase was turned away\n{}", site.log());
    crowd.leave().await;
    let attempt = Attempt { item: shop.items[0], buyer: 0, key: "while-away".to_owned() };
    must_sell(&server, &shop, &witness, attempt).await;
    proxy.restore();
    let orders = witness.orders();
    let last = orders.iter().find(|(_, seen)| seen.attempt.key == "while-away").expect("sold");
    receiver.event("seckill.order.reserved", *last.0).await;
    until("the shop to be whole", async || server.is_whole().await.then_some(())).await;
    // What a receiver has is counted once the broker has confirmed it.
    let told = "seckill_events_told_total{sink=\"rabbitmq\"}";
    let heard = receiver.judge().len();
    until("all that was heard to be counted", async || {
        (server.figure(told).await as usize >= heard).then_some(())
    })
    .await;
    assert_eq!(server.figure("seckill_events_lost_total{sink=\"rabbitmq\"}").await, 0);
    server.stop().await;

    // A shop that announces nothing knows nothing of it.
    let quiet = Site::new();
    let server = quiet.start().await;
    let ready = server.look("/readyz?verbose").await.json();
    let mut rows = ready["dependencies"].as_array().expect("a list").iter();
    assert!(rows.all(|row| row["name"] != "events"), "{ready}");
    server.stop().await;
    let configuration = 3;
    let nowhere = Site::new().with("EVENTS__AMQP", "true");
    assert_eq!(nowhere.fail_to_start().await.code(), Some(configuration), "{}", nowhere.log());
    assert!(
        nowhere.log().contains("needs events.amqp_url or broker.amqp_url"),
        "{}",
        nowhere.log()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_of_a_cluster_announce_each_others_shards_once_they_have_them() {
    let Some(servers) = Servers::start() else { return };
    let Some(rabbitmq) = harness::rabbitmq() else { return };
    let receiver = Receiver::listen(&rabbitmq.url(), "#").await;
    let sites = ["a", "b"].map(|node| announcing(servers.site(node), &rabbitmq.url()));
    let first = sites[0].start().await;
    cluster::settled(&[&first]).await;
    let shop = Arc::new(sites[0].open_sale(&first, cluster::BUYERS, &[cluster::LASTING; 3]).await);
    let second = sites[1].start().await;
    cluster::settled(&[&first, &second]).await;
    let witness = Arc::new(Witness::default());
    let mut random = Random::of("events of a cluster");
    let mut crowd = Crowd::enter(&first, &shop, &witness, &mut random);
    crowd.answers(300).await;
    first.kill().await;
    crowd.gone().await;
    cluster::settled(&[&second]).await;
    cluster::verify(&[&second], &shop, &witness, "after-a-death").await;
    // The other one comes back, and takes over from one that stops in good order.
    let first = sites[0].start().await;
    cluster::settled(&[&first, &second]).await;
    second.stop().await;
    cluster::settled(&[&first]).await;
    cluster::verify(&[&first], &shop, &witness, "after-a-stop").await;

    let log = EtcdLog::new(servers.client(), cluster::PREFIX);
    let mut records = Vec::new();
    for shard in (0..4).map(ShardId) {
        let mut after = 0;
        loop {
            let page = log.read(shard, after, 100).await.expect("the log");
            let Some(last) = page.last() else { break };
            after = last.batch;
            for batch in &page {
                records.extend(each_record(batch.records()).map(|found| found.expect("a record")));
            }
        }
    }
    receiver.has_all(&journal_of(&sites[0]), &records).await;
    let (events, heard) = (receiver.judge().len(), receiver.heard().len());
    println!("{} records, {events} events, {heard} messages", records.len());
    until("every position to be kept", async || {
        let behind = servers.mariadb.execute(
            "SELECT COUNT(*) FROM event_positions e JOIN shard_progress p ON e.shard = p.shard \
             WHERE e.seq < p.applied_seq",
        );
        let known = servers.mariadb.execute("SELECT COUNT(*) FROM event_positions");
        let known = known.expect("a count")
            == servers.mariadb.execute("SELECT COUNT(*) FROM shard_progress").expect("a count");
        (known && behind.expect("a count") == "0").then_some(())
    })
    .await;
    first.stop().await;
    for site in &sites {
        assert!(!site.log().contains("panicked at"), "{}", site.log());
    }
}
