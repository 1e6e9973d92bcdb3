//! Three processes that are one shop, with two order stores: one store dies in the midst of a sale, and so does a node
//! that has not brought it all that it has sold.

use super::cluster::{BUYERS, LASTING, Servers, decided, settled};
use super::ground::{caught_up, degraded};
use super::stores::{count, listed, must_be_divided, urls};
use crate::support::{Crowd, Random, Witness, until};
use std::sync::Arc;

/// Enough that each store has some of the shards with items.
const ITEMS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_store_and_a_node_die_and_what_waited_for_the_one_is_brought_by_the_others() {
    let (Some(servers), Some(other)) = (Servers::start(), harness::mariadb()) else { return };
    let stores = [&servers.mariadb, &other];
    let sites = ["a", "b", "c"].map(|node| {
        let mut site = servers.linked_site(node);
        site.unset("ORDERS__MYSQL_URL");
        site.with("ORDERS__MYSQL_URLS", &urls(stores))
    });
    let a = sites[0].start().await;
    settled(&[&a]).await;
    let shop = Arc::new(sites[0].open_sale(&a, BUYERS, &[LASTING; ITEMS]).await);
    let (b, c) = (sites[1].start().await, sites[2].start().await);
    settled(&[&a, &b, &c]).await;
    let witness = Arc::new(Witness::default());
    let mut random = Random::of("two stores of three nodes");
    let mut crowd = Crowd::enter(&a, &shop, &witness, &mut random);
    crowd.answers(200).await;
    until("orders in both", async || stores.iter().all(|store| count(store) > 0).then_some(()))
        .await;

    let turned_away = crowd.unavailable();
    other.kill();
    for node in [&a, &b, &c] {
        degraded(node, "order_store_1").await;
    }
    let before = count(stores[0]);
    crowd.answers(200).await;
    until("orders in the one that lives", async || (count(stores[0]) > before).then_some(())).await;
    assert_eq!(crowd.unavailable(), turned_away, "a purchase was turned away\n{}", sites[0].log());

    // What its shards sold and the dead store has not is brought by those who have them next.
    b.kill().await;
    settled(&[&a, &c]).await;
    crowd.answers(100).await;
    crowd.leave().await;
    other.restart().expect("it comes back");
    for node in [&a, &c] {
        caught_up(node).await;
    }
    // An outcome that was not known while the shards moved is known now, and each list is whole.
    let mut crowd = Crowd::enter(&c, &shop, &witness, &mut random);
    crowd.answers(50).await;
    crowd.leave().await;
    for attempt in witness.take_unknown(|_| true) {
        decided(&[&a, &c], &shop, &witness, &attempt).await;
    }
    let confirmed: Vec<u64> = witness.orders().into_keys().collect();
    for node in [&a, &c] {
        caught_up(node).await;
        assert_eq!(listed(node, &shop.operator).await, confirmed);
    }
    witness.audit(&sites[2]);
    a.stop().await;
    settled(&[&c]).await;
    c.stop().await;
    servers.judge_in(&witness, &stores).await;
    must_be_divided(&stores, witness.confirmed());
    for site in &sites {
        assert!(!site.log().contains("panicked at"), "{}", site.log());
    }
}
