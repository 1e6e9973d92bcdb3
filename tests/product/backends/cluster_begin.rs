//! A shop that has sold alone becomes a cluster, and a cluster comes back whose etcd is lost for good.

use super::cluster::{LASTING, PREFIX, Servers, settled, verify};
use crate::support::{Crowd, OpenSale, Random, Server, Site, Witness, until};
use std::sync::Arc;

const BUYERS: usize = 64;
const DATA: i32 = 4;

/// A shop that sells alone, with its orders and checkpoints where those of a cluster are.
fn alone(servers: &Servers) -> Site {
    Site::new()
        .with("CHECKPOINT__REDIS_URL", &servers.redis.url())
        .with("ORDERS__MYSQL_URL", &servers.mariadb.url())
        .with("TOKENS__SECRET", &"5e".repeat(32))
}

fn refused(site: &Site, words: &[&str], code: i32, expected: &str) {
    let output = site.run(&[&["cluster"], words].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {errors}");
    assert!(errors.contains(expected), "{expected:?} is not in {errors}");
}

fn told(site: &Site, words: &[&str]) -> String {
    let output = site.run(&[&["cluster"], words].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Buyers buy at this node for a while.
async fn trade(node: &Server, shop: &Arc<OpenSale>, witness: &Arc<Witness>, test: &str) {
    let mut crowd = Crowd::enter(node, shop, witness, &mut Random::of(test));
    crowd.answers(300).await;
    crowd.leave().await;
}

/// What confirmations there are is in MariaDB, and the audit passes.
fn judge(servers: &Servers, site: &Site, witness: &Witness) {
    site.audit(witness.orders().into_keys()).must_balance();
    let rows = servers.mariadb.execute("SELECT COUNT(*) FROM orders").expect("a count");
    assert_eq!(rows, witness.confirmed().to_string(), "orders in MariaDB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_has_sold_alone_becomes_a_cluster() {
    let Some(servers) = Servers::start() else { return };
    let old = alone(&servers);
    let server = old.start().await;
    // Each in two shards, which nodes sell from as one process does.
    let shop = old.open_sale_of_buckets(&server, BUYERS, &[LASTING; 3], 2).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    trade(&server, &shop, &witness, "alone").await;
    let from = old.data().to_str().expect("UTF-8").to_owned();
    let site = servers.linked_site("a");
    let init = ["init", "--from", &from];
    refused(&site, &init, DATA, "another process");
    // The newest records are in the journal alone.
    server.kill().await;
    refused(&site, &["init", "--from", "/nonexistent"], DATA, "holds no journal with an identity");
    let other = servers.site("a").with("ENGINE__SHARDS", "8");
    refused(&other, &init, 3, "the shop was made with 4 shards, and engine.shards is 8");
    let elsewhere = harness::mariadb().expect("another one");
    let other = servers.site("a").with("ORDERS__MYSQL_URL", &elsewhere.url());
    refused(&other, &init, DATA, "the order store was filled by no shop yet");
    servers.etcd.cli(&["put", &format!("{PREFIX}something"), "x"]).expect("put");
    refused(&site, &init, DATA, "etcd holds /seckill/shop/something already");
    servers.etcd.cli(&["del", &format!("{PREFIX}something")]).expect("deleted");
    // What an earlier attempt has left.
    for (key, value) in [("founding", ""), ("log/0/0000000000000001", "x"), ("head/3", "x")] {
        servers.etcd.cli(&["put", &format!("{PREFIX}{key}"), "--", value]).expect("put");
    }
    let text = told(&site, &init);
    assert!(text.contains("is a cluster now"), "{text}");
    refused(&site, &init, DATA, "holds no journal with an identity");
    assert_eq!(old.fail_to_start().await.code(), Some(DATA), "nobody sells from it again");

    let neighbour = servers.linked_site("b");
    let (first, second) = (site.start().await, neighbour.start().await);
    settled(&[&first, &second]).await;
    verify(&[&first], &shop, &witness, "as-a-cluster").await;
    trade(&second, &shop, &witness, "as a cluster").await;
    for node in [&first, &second] {
        node.stop().await;
    }
    judge(&servers, &site, &witness);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_comes_back_whose_etcd_is_lost_for_good() {
    let Some(servers) = Servers::start() else { return };
    let site = servers.site("a").with("CHECKPOINT__INTERVAL_MS", "50");
    let first = site.start().await;
    settled(&[&first]).await;
    let shop = Arc::new(site.open_sale(&first, BUYERS, &[LASTING; 3]).await);
    let witness = Arc::new(Witness::default());
    trade(&first, &shop, &witness, "before it is lost").await;
    refused(&site, &["restore"], DATA, "etcd holds shop");
    // All that was confirmed is in a store, so that all of it has to come back.
    until("the order store to catch up", async || first.is_whole().await.then_some(())).await;
    // Redis goes on where MariaDB does not.
    servers.mariadb.kill();
    trade(&first, &shop, &witness, "after the order store").await;
    first.checkpointed().await;
    first.kill().await;
    servers.mariadb.restart().expect("it comes back");
    servers.etcd.cli(&["del", "--prefix", PREFIX]).expect("lost");
    assert_eq!(site.fail_to_start().await.code(), Some(DATA));
    let text = told(&site, &["restore"]);
    assert!(text.contains("items are paused"), "{text}");
    assert!(!text.contains("  0 records came from the checkpoints"), "{text}");
    refused(&site, &["restore"], DATA, "etcd holds shop");

    let first = site.start().await;
    settled(&[&first]).await;
    let mut client = first.client().await;
    let resumed =
        client.send("POST", "/api/v1/admin/sales/1/resume", &shop.operator, &[], "").await;
    let resumed = resumed.expect("it answers");
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    verify(&[&first], &shop, &witness, "restored").await;
    trade(&first, &shop, &witness, "restored").await;
    until("the order store to catch up", async || first.is_whole().await.then_some(())).await;
    first.stop().await;
    judge(&servers, &site, &witness);

    let empty = harness::mariadb().expect("another one");
    servers.etcd.cli(&["del", "--prefix", PREFIX]).expect("lost");
    let other = servers.site("a").with("ORDERS__MYSQL_URL", &empty.url());
    refused(&other, &["restore"], DATA, "was filled by no shop");
}
