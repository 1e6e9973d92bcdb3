//! `seckill cluster`: nodes and shards as they are, drained, moved and spread while buyers buy.

use super::cluster::{LASTING, Servers, decided, settled, verify};
use crate::support::{Attempt, Crowd, Random, Server, Site, Witness, until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

const BUYERS: usize = 64;
const COMMAND_LINE: i32 = 2;
const CONFIGURATION: i32 = 3;
const DATA: i32 = 4;

/// What the command prints, which ends well.
fn told(site: &Site, words: &[&str]) -> String {
    let output = site.run(&[&["cluster"], words].concat());
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words:?}: {text}{errors}");
    text.into_owned()
}

/// The command is refused with this code and in these words.
fn refused(site: &Site, words: &[&str], code: i32, expected: &str) {
    let output = site.run(&[&["cluster"], words].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {errors}");
    assert!(errors.contains(expected) && errors.contains("to do: "), "{expected:?}: {errors}");
}

fn status(site: &Site) -> Value {
    serde_json::from_str(&told(site, &["status", "--format", "json"])).expect("JSON")
}

/// The owner of each shard.
fn owners(status: &Value) -> Vec<&str> {
    let shards = status["shards"].as_array().expect("a list").iter();
    shards.map(|shard| shard["owner"].as_str().unwrap_or("-")).collect()
}

/// The API shows the same, and admins do the same by it, which stands in the operators' log.
async fn the_api_does_the_same(site: &Site, node: &Server) {
    let mut client = node.client().await;
    let (operator, admin) = (site.mint("--operator", "otto"), site.mint("--admin", "ada"));
    let path = |rest: &str| format!("/api/v1/admin/cluster{rest}");
    let denied = client.send("POST", &path("/nodes/b/drain"), &operator, &[], "").await;
    assert_eq!(denied.expect("it answers").status, 403);
    for (rest, body, wanted) in [
        ("/nodes/b/drain", "", ("/nodes/1/shards", Value::from(0))),
        ("/nodes/b/undrain", "", ("/nodes/1/draining", Value::from(false))),
        ("/shards/0/move", r#"{"to":"b"}"#, ("/shards/0/owner", Value::from("b"))),
        ("/rebalance", r#"{"with_sales":true}"#, ("/troubles", Value::Array(Vec::new()))),
    ] {
        let asked = client.send("POST", &path(rest), &admin, &[], body).await;
        let asked = asked.expect("it answers");
        assert_eq!(asked.status, 202, "{rest}: {}", asked.text());
        until("the nodes to do it", async || {
            let shown = client.send("GET", &path(""), &operator, &[], "").await;
            let shown = shown.expect("it answers").json();
            assert_eq!(shown["nodes"].as_array().map(Vec::len), Some(3), "{shown:#}");
            (shown.pointer(wanted.0) == Some(&wanted.1)).then_some(())
        })
        .await;
    }
    for (rest, body, code) in [
        ("/nodes/d/drain", "", 404),
        ("/nodes/d/undrain", "", 404),
        ("/shards/4/move", r#"{"to":"b"}"#, 404),
        ("/shards/0/move", "{}", 422),
    ] {
        let refused = client.send("POST", &path(rest), &admin, &[], body).await;
        let refused = refused.expect("it answers");
        assert_eq!(refused.status, code, "{rest}: {}", refused.text());
    }
    let log = client.send("GET", "/api/v1/admin/audit-log?limit=4", &operator, &[], "").await;
    let log = log.expect("it answers").json();
    let entries = log["data"].as_array().expect("a list").iter();
    let done: Vec<&str> = entries.filter_map(|entry| entry["action"].as_str()).collect();
    assert_eq!(
        done,
        ["cluster.rebalance", "cluster.move", "cluster.undrain", "cluster.drain"],
        "{log:#}"
    );
    assert_eq!(log["data"][0]["actor"], "ada");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_drain_move_and_spread_shards_while_buyers_buy() {
    let Some(servers) = Servers::start() else { return };
    let sites = ["a", "b", "c"].map(|node| servers.site(node));
    let [site, others @ ..] = &sites;
    let first = site.start().await;
    settled(&[&first]).await;
    refused(site, &["drain", "a"], COMMAND_LINE, "node a is the only one that takes shards");
    let shop = Arc::new(site.open_sale(&first, BUYERS, &[LASTING; 3]).await);
    let (second, third) = (others[0].start().await, others[1].start().await);
    let nodes = [&first, &second, &third];
    settled(&nodes).await;
    // What it is asked from needs neither a node's name nor the same data directory.
    let text = told(&servers.site("elsewhere"), &["status"]);
    assert!(text.contains("3 nodes, 4 shards") && text.ends_with("nothing is wrong\n"), "{text}");
    assert_eq!(owners(&status(site)), ["a"; 4]);
    let witness = Arc::new(Witness::default());
    let buy = async |key: &str| {
        for item in &shop.items {
            let attempt = Attempt { item: *item, buyer: 0, key: format!("{key}-{item}") };
            assert_eq!(decided(&nodes, &shop, &witness, &attempt).await.1, 201, "{attempt:?}");
        }
    };

    let mut random = Random::of("operators");
    let mut crowd = Crowd::enter(&first, &shop, &witness, &mut random);
    crowd.answers(100).await;
    assert_eq!(crowd.unavailable(), 0);
    let text = told(&others[1], &["drain", "a"]);
    assert!(text.contains("node a serves no shard"), "{text}");
    crowd.leave().await;
    settled(&nodes).await;
    buy("drained").await;
    let now = status(site);
    assert!(!owners(&now).contains(&"a"), "{now:#}");
    assert_eq!(
        (&now["nodes"][0]["draining"], &now["nodes"][0]["shards"]),
        (&true.into(), &0.into())
    );
    // A restart does not end it.
    first.stop().await;
    let first = site.start().await;
    let nodes = [&first, &second, &third];
    settled(&nodes).await;
    refused(site, &["move", "0", "a"], COMMAND_LINE, "node a is being drained");
    told(site, &["drain", "b"]);
    assert_eq!(owners(&status(site)), ["c"; 4]);
    refused(site, &["drain", "c"], COMMAND_LINE, "node c is the only one that takes shards");
    told(site, &["undrain", "a"]);
    told(site, &["undrain", "b"]);

    settled(&nodes).await;
    assert_eq!(owners(&status(site)), ["c"; 4], "nothing is taken back");
    let text = told(site, &["rebalance"]);
    assert!(text.contains("stay where they are: a sale of their items is on"), "{text}");
    let items: BTreeSet<usize> =
        witness.orders().keys().map(|order| domain::OrderId(*order).shard().index()).collect();
    let now = status(site);
    assert!(items.iter().all(|shard| owners(&now)[*shard] == "c"), "{now:#}");
    told(site, &["rebalance", "--with-sales"]);
    let now = status(site);
    assert!(owners(&now).iter().collect::<BTreeSet<_>>().len() > 1, "{now:#}");
    assert!(
        told(site, &["rebalance", "--with-sales"]).contains("every shard is where it should be")
    );
    settled(&nodes).await;
    let from = owners(&now)[0].to_owned();
    let to = if from == "b" { "a" } else { "b" };
    assert_eq!(told(site, &["move", "0", to]), format!("node {to} serves shard 0\n"));
    settled(&nodes).await;
    assert_eq!(owners(&status(site))[0], to);
    refused(site, &["move", "4", "a"], COMMAND_LINE, "there is no shard 4");
    for words in [&["move", "0", "d"][..], &["undrain", "d"], &["drain", "d"]] {
        refused(site, words, COMMAND_LINE, "no node is called d: there are a, b, c");
    }
    verify(&nodes, &shop, &witness, "moved").await;
    the_api_does_the_same(site, &first).await;
    settled(&nodes).await;
    let mut takeovers = 0;
    for node in nodes {
        takeovers += node.figure("seckill_shard_takeovers_total").await;
        until("the figure to follow", async || {
            (node.figure("seckill_shards_unowned").await == 0).then_some(())
        })
        .await;
    }
    assert!(takeovers > 4, "{takeovers} takeovers");

    told(site, &["drain", "b"]);
    second.kill().await;
    until("the dead node to be missed", async || {
        let output = site.run(&["cluster", "status"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains("2 nodes").then_some(())
    })
    .await;
    settled(&[&first, &third]).await;
    verify(&[&first, &third], &shop, &witness, "after-a-death").await;
    // It is to take shards when it is back. Then it is none that anybody knows of.
    told(site, &["undrain", "b"]);
    refused(site, &["undrain", "b"], COMMAND_LINE, "no node is called b: there are a, c");
    first.stop().await;
    settled(&[&third]).await;
    third.stop().await;
    site.audit(witness.orders().into_keys()).must_balance();
    let output = site.run(&["cluster", "status"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("wrong: no node lives"), "{text}");
    servers.etcd.members()[0].kill();
    refused(site, &["status"], DATA, "etcd: ");
    refused(&Site::new(), &["status"], CONFIGURATION, "the configuration names no cluster");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyers_do_not_hear_that_shards_go_from_node_to_node() {
    let Some(servers) = Servers::start() else { return };
    let sites = ["a", "b"].map(|node| servers.linked_site(node));
    let first = sites[0].start().await;
    settled(&[&first]).await;
    let shop = Arc::new(sites[0].open_sale(&first, BUYERS, &[LASTING; 3]).await);
    let second = sites[1].start().await;
    settled(&[&first, &second]).await;
    let witness = Arc::new(Witness::default());
    let mut random = Random::of("handovers");
    let mut crowd = Crowd::enter(&second, &shop, &witness, &mut random);
    crowd.answers(100).await;
    // To the node that they ask, and away from it.
    for (leaves, words) in [("a", "node a serves no shard"), ("b", "node b serves no shard")] {
        let text = told(&sites[0], &["drain", leaves]);
        assert!(text.contains(words), "{text}");
        crowd.answers(100).await;
        told(&sites[0], &["undrain", leaves]);
    }
    // On a busy machine etcd may not answer for a while, which is another reason.
    let unserved = "seckill_purchases_total{outcome=\"owner_unavailable\"}";
    assert_eq!(second.figure(unserved).await, 0, "{}{}", sites[0].log(), sites[1].log());
    crowd.leave().await;
    for node in [&first, &second] {
        node.stop().await;
    }
    sites[0].audit(witness.orders().into_keys()).must_balance();
}
