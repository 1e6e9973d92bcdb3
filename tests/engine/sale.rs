//! Purchases through gate, mailbox, shard and journal, and a restart on what is there.

use domain::{Command, ItemId, OrderStatus, Outcome, Refusal};
use harness::until;
use seckill::actors::{Engine, KeyOrigin, Reply};
use std::path::Path;
use std::time::Duration;
use support::{Purchases, engine, terms};

async fn start(directory: &Path) -> Engine {
    engine::start(directory, engine::options()).await.engine
}

async fn buy(engine: &Engine, item: u64, user: u64, request: u64) -> Reply {
    engine.purchase(item, user, request, KeyOrigin::Client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_sells_its_stock_and_survives_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    let opened = engine.open_item(terms(1, 100, 600_000)).await;
    assert!(matches!(opened, Reply::Decided(Outcome::Item(_))), "{opened:?}");
    let buyers = (1..=300).map(|user| {
        let engine = engine.clone();
        tokio::spawn(async move { buy(&engine, 1, user, user).await })
    });
    let mut orders = Vec::new();
    for buyer in buyers.collect::<Vec<_>>() {
        match buyer.await.expect("the buyer lives") {
            Reply::Decided(Outcome::Placed(order)) => orders.push(order),
            Reply::Decided(Outcome::Refused(Refusal::SoldOut)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(orders.len(), 100);
    let first = orders[0];
    let replayed = buy(&engine, 1, first.user_id.0, first.request_id.0).await;
    assert_eq!(replayed, Reply::Decided(Outcome::Replayed(first)));
    let command = Command::Pay { order_id: first.order_id, user_id: first.user_id };
    let Reply::Decided(Outcome::Order(paid)) = engine.decide_order(first.order_id, command).await
    else {
        panic!("not paid");
    };
    assert_eq!(paid.status, OrderStatus::Paid);
    engine.drain(Duration::from_secs(10)).await;

    let engine = start(directory.path()).await;
    let counters = engine.gate(ItemId(1)).expect("recovered").counters();
    assert_eq!((counters.available, counters.reserved, counters.sold), (0, 99, 1));
    for order in orders {
        let found = engine.order(order.order_id).await.expect("the shard answers");
        assert!(found.is_some_and(|found| found.same_purchase(&order)));
        let again = buy(&engine, 1, order.user_id.0, order.request_id.0).await;
        assert!(matches!(again, Reply::Decided(Outcome::Replayed(_))), "{again:?}");
    }
    engine.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_buys_one_item_only_even_across_shards_and_restarts() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    for item in 1..=8 {
        engine.open_item(terms(item, 10, 600_000)).await;
    }
    let placed = buy(&engine, 1, 7, 99).await;
    assert!(matches!(placed, Reply::Decided(Outcome::Placed(_))), "{placed:?}");
    engine.drain(Duration::from_secs(10)).await;
    let engine = start(directory.path()).await;
    for item in 2..=8 {
        let reused = buy(&engine, item, 7, 99).await;
        let refused = Reply::Decided(Outcome::Refused(Refusal::IdempotencyKeyReused));
        assert_eq!(reused, refused, "item {item}");
        let other = buy(&engine, item, 8, 99).await;
        assert!(matches!(
            other,
            Reply::Decided(Outcome::Placed(_)) | Reply::Decided(Outcome::Refused(_))
        ));
    }
    engine.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_shards_with_something_that_may_be_due_are_woken_by_the_clock() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    let rests = async || (engine.status().shards_ticking == 0).then_some(());
    until("an empty shop to rest", rests).await;
    engine.open_item(terms(1, 10, 1_500)).await;
    let placed = buy(&engine, 1, 1, 1).await;
    assert!(matches!(placed, Reply::Decided(Outcome::Placed(_))), "{placed:?}");
    assert_eq!(engine.status().shards_ticking, 1, "an order may expire");
    until("the order to expire, and its shard to rest again", rests).await;
    // The shard rests as soon as it has decided; the gate hears of it when that is durable.
    let gate = engine.gate(ItemId(1)).expect("open");
    until("the unit to come back", async || (gate.counters().available == 10).then_some(())).await;
    // A restart with an order that is due looks at it, and so does a shard without anything.
    engine.open_item(terms(2, 10, 600_000)).await;
    let placed = buy(&engine, 2, 1, 2).await;
    assert!(matches!(placed, Reply::Decided(Outcome::Placed(_))), "{placed:?}");
    engine.drain(Duration::from_secs(10)).await;
    let engine = start(directory.path()).await;
    until("all shards to rest but the one with an unpaid order", async || {
        (engine.status().shards_ticking == 1).then_some(())
    })
    .await;
    engine.drain(Duration::from_secs(10)).await;
}
