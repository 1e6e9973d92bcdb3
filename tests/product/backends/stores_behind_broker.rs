//! Two order stores behind RabbitMQ, each with a queue of its own: a store dies during a sale, then the broker, then
//! both.

use super::ground::{self, caught_up, degraded, meaning};
use super::stores::{close_over, count, urls};
use crate::support::{Site, until};

/// Enough that each store has some of the shards with items.
const ITEMS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_and_then_the_broker_dies_and_each_order_comes_to_its_own_store() {
    let Some(other) = harness::mariadb() else { return };
    let over_both = |servers: &ground::Servers| -> Site {
        let mut site = servers.site();
        site.unset("ORDERS__MYSQL_URL");
        site.with("ORDERS__MYSQL_URLS", &urls([&servers.mariadb, &other]))
    };
    let opened = ground::open_with("two stores behind a broker", ITEMS, over_both).await;
    let Some((mut ground, server)) = opened else { return };
    let servers = ground.servers;
    let stores = [&servers.mariadb, &other];
    ground.trade(&server, 200).await;
    until("orders in both", async || stores.iter().all(|store| count(store) > 0).then_some(()))
        .await;
    caught_up(&server).await;
    servers.settle_broker();
    caught_up(&server).await;

    // A store: what is in its queue waits there, and the other one's orders arrive.
    other.kill();
    ground.trade(&server, 200).await;
    degraded(&server, "order_store_1").await;
    let before = count(stores[0]);
    ground.trade(&server, 200).await;
    until("orders in the one that lives", async || (count(stores[0]) > before).then_some(())).await;
    until("nothing to wait for the one that lives", async || {
        let left = server.figure("seckill_order_store_backlog_records{store=\"0\"}").await;
        (left == 0).then_some(())
    })
    .await;
    let left = server.figure("seckill_order_store_backlog_records{store=\"1\"}").await;
    assert!(left > 0, "what the dead one keeps waits");
    let said = meaning(&server, "order_store").await;
    assert!(said.contains("orders arrive"), "{said}");

    // The broker besides, with messages for the dead one in it.
    servers.rabbitmq.kill();
    ground.trade(&server, 200).await;
    degraded(&server, "broker").await;
    other.restart().expect("it comes back");
    servers.rabbitmq.restart().expect("it comes back");
    caught_up(&server).await;

    // The broker alone, and it comes back with nothing in it while a store is away.
    servers.rabbitmq.kill();
    ground.trade(&server, 100).await;
    degraded(&server, "broker").await;
    other.kill();
    servers.rabbitmq.restart().expect("it comes back");
    ground.trade(&server, 100).await;
    degraded(&server, "order_store_1").await;
    servers.rabbitmq.empty().expect("emptied");
    other.restart().expect("it comes back");
    ground.trade(&server, 100).await;
    close_over(&stores, server, &ground.site, &ground.shop, &ground.witness).await;
    assert!(!ground.site.log().contains("panicked at"), "{}", ground.site.log());
}
