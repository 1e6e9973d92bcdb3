//! Two processes that are one shop: one item whose buckets are at both, and what becomes of items and sales whose node
//! has just died.

use super::cluster::{Servers, settled};
use crate::support::{OpenSale, Server, Site, until};
use harness::http::Answer;
use serde_json::{Value, json};

const UNITS: u32 = 1_200;
const SHARDS: u16 = 4;
/// Enough that each node has the shards of some.
const PRODUCTS: usize = 12;
/// How often the units are looked at just after the sale was approved.
const LOOKS: usize = 20;

/// Two nodes that reach each other, each with two shards.
struct Pair {
    sites: [Site; 2],
    nodes: [Server; 2],
    operator: String,
    approver: String,
}

impl Pair {
    async fn open(servers: &Servers) -> Self {
        let sites = ["a", "b"].map(|node| servers.linked_site(node));
        let first = sites[0].start().await;
        settled(&[&first]).await;
        let second = sites[1].start().await;
        settled(&[&first, &second]).await;
        for site in &sites {
            let log = site.log();
            assert!(!log.contains("others take over what it serves"), "at a start: {log}");
        }
        for shard in ["2", "3"] {
            let moved = sites[0].run(&["cluster", "move", shard, "b"]);
            assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
        }
        settled(&[&first, &second]).await;
        let operator = sites[0].mint("--operator", "otto");
        let approver = sites[0].mint("--approver", "anna");
        Self { sites, nodes: [first, second], operator, approver }
    }

    /// Makes a sale that is on, and submits it.
    async fn submit(&self, products: usize, buckets: u8) -> (String, Vec<u64>) {
        let items = (0..products).map(|product| {
            json!({
                "product_id": format!("product-{product}"), "title": "Pear", "price": 100,
                "currency": "EUR", "allotted": UNITS, "limit_per_user": 1,
                "payment_window_seconds": 600, "buckets": buckets,
            })
        });
        let sale = json!({
            "title": "Fruit", "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2100-01-01T00:00:00Z",
            "items": items.collect::<Vec<_>>(),
        });
        let made = self.post(0, "/api/v1/admin/sales", &self.operator, &sale.to_string()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let sale = made.json()["sale_id"].as_str().expect("an identity").to_owned();
        let made = made.json();
        let items = made["items"].as_array().expect("items").iter();
        let items = items.filter_map(|item| item["item_id"].as_str()?.parse().ok()).collect();
        let path = format!("/api/v1/admin/sales/{sale}/submit");
        let submitted = self.post(0, &path, &self.operator, "").await;
        assert_eq!(submitted.status, 200, "{}", submitted.text());
        (sale, items)
    }

    async fn approve(&self, node: usize, sale: &str) -> Answer {
        let path = format!("/api/v1/admin/sales/{sale}/approve");
        self.post(node, &path, &self.approver, "").await
    }

    async fn post(&self, node: usize, path: &str, token: &str, body: &str) -> Answer {
        let mut client = self.nodes[node].client().await;
        client.send("POST", path, token, &[], body).await.expect("it answers")
    }

    async fn get(&self, node: usize, path: &str) -> Answer {
        let mut client = self.nodes[node].client().await;
        let answer = client.send("GET", path, &self.operator, &[], "").await;
        answer.expect("it answers")
    }

    async fn stop(self, left: usize) {
        self.nodes[left].stop().await;
        for site in &self.sites {
            assert!(!site.log().contains("panicked at"), "{}", site.log());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_with_buckets_at_two_nodes_is_one_item_and_ends_although_one_is_away() {
    let Some(servers) = Servers::start() else { return };
    let pair = Pair::open(&servers).await;
    let (sale, _) = pair.submit(1, SHARDS as u8).await;
    let approved = pair.approve(0, &sale).await;
    assert_eq!(approved.status, 200, "{}", approved.text());
    let counters = |item: &Value| item["counters"]["allotted"].clone();
    assert_eq!(counters(&approved.json()["items"][0]), UNITS, "{}", approved.text());
    for look in 0..LOOKS {
        let shown = pair.get(look % 2, &format!("/api/v1/sales/{sale}")).await;
        // The other node may hear of the sale a moment later.
        if shown.status == 200 {
            assert_eq!(counters(&shown.json()["items"][0]), UNITS, "{}", shown.text());
        }
    }
    let mut first_shard = 0;
    for node in [0, 1] {
        let list = until("the sale to be ready", async || {
            let list = pair.get(node, &format!("/api/v1/admin/sales/{sale}/preheat")).await;
            assert_eq!(list.status, 200, "{}", list.text());
            (list.json()["complete"] == true).then(|| list.json())
        })
        .await;
        let item = &list["items"][0];
        assert_eq!((&item["terms_agree"], &counters(item)), (&true.into(), &UNITS.into()));
        first_shard = item["shard"].as_u64().expect("a number");
    }

    let (left, dead) = if first_shard < 2 { (0, 1) } else { (1, 0) };
    pair.nodes[dead].kill().await;
    let path = format!("/api/v1/admin/sales/{sale}/end");
    let ended = pair.post(left, &path, &pair.operator, "").await;
    assert_eq!((ended.status, ended.code().as_str()), (503, "outcome_unknown"));
    until("the sale to be over", async || {
        let shown = pair.get(left, &format!("/api/v1/sales/{sale}")).await;
        (shown.json()["status"] == "ended").then_some(())
    })
    .await;
    let log = pair.get(left, "/api/v1/admin/audit-log?limit=100").await.json();
    let mut entries = log["data"].as_array().expect("a list").iter();
    let noted = entries.find(|entry| entry["action"] == "sale.end").expect("it is noted");
    assert_eq!(noted["actor"], "otto", "{log:#}");
    pair.stop(left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approved_item_whose_shard_nobody_serves_is_not_said_to_be_unknown() {
    let Some(servers) = Servers::start() else { return };
    let pair = Pair::open(&servers).await;
    let (sale, items) = pair.submit(PRODUCTS, 1).await;
    pair.nodes[1].kill().await;
    let approved = pair.approve(0, &sale).await;
    assert_eq!(approved.status, 503, "{}", approved.text());
    let said = approved.text();
    let words = ["the node of its shard does not answer", "whether it was is not known"];
    assert!(words.iter().any(|words| said.contains(words)), "{said}");
    let shop = OpenSale {
        items,
        tokens: pair.sites[0].mint_buyers(1, 1),
        operator: pair.operator.clone(),
        approver: pair.approver.clone(),
    };
    let mut client = pair.nodes[0].client().await;
    let mut unserved = 0;
    for item in &shop.items {
        let bought = shop.buy(&mut client, *item, 0, &format!("early-{item}")).await;
        let bought = bought.expect("it answers");
        assert!([201, 503].contains(&bought.status), "{}", bought.text());
        let shown = pair.get(0, &format!("/api/v1/items/{item}")).await;
        assert!([200, 503].contains(&shown.status), "{}", shown.text());
        unserved += usize::from(bought.code() == "owner_unavailable");
    }
    assert!(unserved > 0, "the dead node had no item's shard");
    let unknown = shop.buy(&mut client, 999_999, 0, "no-such-item").await.expect("it answers");
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "item_not_found"));

    until("the sale to be preheated", async || {
        let approved = pair.approve(0, &sale).await;
        (approved.status == 200).then_some(())
    })
    .await;
    for item in &shop.items {
        let bought = shop.buy(&mut client, *item, 0, &format!("early-{item}")).await;
        let bought = bought.expect("it answers");
        assert!([200, 201].contains(&bought.status), "{}", bought.text());
    }
    pair.stop(0).await;
}
