//! Three processes that are one shop, over an order store with a replica: the store dies while the replica lags, and what
//! the log in etcd has kept for it fills the replica in its place.

use super::cluster::{BUYERS, LASTING, Servers, decided, settled};
use super::ground::{caught_up, degraded};
use super::replicas::{pair, reads};
use super::stores::{count, listed};
use crate::support::{Crowd, Random, Server, Witness, until};
use domain::Event;
use harness::MariaDb;
use seckill::store::journal::record::each_record;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Enough that each node serves some.
const ITEMS: usize = 8;

/// The orders that are in the log, and whether it has let older ones go.
async fn kept(servers: &Servers) -> (BTreeSet<u64>, bool) {
    let (mut orders, mut is_trimmed) = (BTreeSet::new(), false);
    for batches in servers.logged().await {
        is_trimmed |= batches.first().is_some_and(|oldest| oldest.batch > 1);
        for found in batches.iter().flat_map(|batch| each_record(batch.records())) {
            if let Event::Order(order) = found.expect("a record").event {
                orders.insert(order.order_id.0);
            }
        }
    }
    (orders, is_trimmed)
}

/// The orders that a store has.
fn orders(store: &MariaDb) -> BTreeSet<u64> {
    let rows = store.execute("SELECT order_id FROM orders").expect("its orders");
    rows.lines().map(|row| row.trim().parse().expect("a number")).collect()
}

/// Waits until each of these nodes has saved what it knows twice, and has trimmed the log as far as it may.
async fn checkpointed(nodes: &[&Server]) {
    for _ in 0..2 {
        for node in nodes {
            node.checkpointed().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lags_takes_the_place_of_a_clusters_order_store_and_nothing_is_lost() {
    let Some((primary, replica)) = pair() else { return };
    let (Some(etcd), Some(redis)) = (harness::etcd(1), harness::redis()) else { return };
    let servers = Servers { etcd, redis, mariadb: primary };
    let primary = &servers.mariadb;
    let mut sites = ["a", "b", "c"].map(|node| {
        servers
            .linked_site(node)
            .with("CHECKPOINT__INTERVAL_MS", "200")
            .with("ORDERS__REPLICA_URL", &replica.url())
            .with("ORDERS__KEEP_UNTIL_REPLICATED", "true")
    });
    let a = sites[0].start().await;
    settled(&[&a]).await;
    let shop = Arc::new(sites[0].open_sale(&a, BUYERS, &[LASTING; ITEMS]).await);
    let (b, c) = (sites[1].start().await, sites[2].start().await);
    let mut nodes = [a, b, c];
    settled(&nodes.each_ref()).await;
    let witness = Arc::new(Witness::default());
    let mut random = Random::of("a replica of three nodes");
    let mut crowd = Crowd::enter(&nodes[0], &shop, &witness, &mut random);

    // It follows: the log is trimmed by what it has, and each node reads lists from it.
    crowd.answers(150).await;
    until("the log to be trimmed", async || kept(&servers).await.1.then_some(())).await;
    for node in &nodes {
        until("a list that the replica was read for", async || {
            listed(node, &shop.operator).await;
            (reads(node, "replica").await > 0).then_some(())
        })
        .await;
    }

    // It lags, and its store dies.
    replica.execute("STOP SLAVE SQL_THREAD").expect("stopped");
    let behind = count(&replica);
    crowd.answers(150).await;
    until("more in the store", async || (count(primary) > behind).then_some(())).await;
    checkpointed(&nodes.each_ref()).await;
    primary.kill();
    let turned_away = crowd.unavailable();
    for node in &nodes {
        degraded(node, "order_store").await;
    }
    crowd.answers(100).await;
    assert_eq!(crowd.unavailable(), turned_away, "a purchase was turned away\n{}", sites[0].log());
    crowd.leave().await;
    checkpointed(&nodes.each_ref()).await;
    let confirmed = |witness: &Witness| witness.orders().into_keys().collect::<BTreeSet<u64>>();
    let (mut known, stored) = (kept(&servers).await.0, orders(&replica));
    known.extend(&stored);
    let lost: Vec<u64> = confirmed(&witness).difference(&known).copied().collect();
    assert_eq!(lost, [0; 0], "neither in the log nor in the replica");
    assert!(stored.len() < known.len(), "it lags");

    // Each node in turn is told of the promoted one, while the others go on.
    replica.promote().expect("promoted");
    for (node, site) in nodes.iter_mut().zip(&mut sites) {
        site.set("ORDERS__MYSQL_URL", &replica.url());
        site.unset("ORDERS__REPLICA_URL");
        site.unset("ORDERS__KEEP_UNTIL_REPLICATED");
        node.stop().await;
        *node = site.start().await;
    }
    settled(&nodes.each_ref()).await;
    let mut crowd = Crowd::enter(&nodes[2], &shop, &witness, &mut random);
    crowd.answers(50).await;
    crowd.leave().await;
    for attempt in witness.take_unknown(|_| true) {
        decided(&nodes.each_ref(), &shop, &witness, &attempt).await;
    }
    for node in &nodes {
        caught_up(node).await;
    }
    for node in &nodes {
        let listed: BTreeSet<u64> = listed(node, &shop.operator).await.into_iter().collect();
        assert_eq!(listed, confirmed(&witness));
    }
    assert_eq!(orders(&replica), confirmed(&witness));
    witness.audit(&sites[2]);
    for site in &sites {
        assert!(!site.log().contains("panicked at"), "{}", site.log());
    }
}
