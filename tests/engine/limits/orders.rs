//! Orders that end: by what comes first, once, and with their stock back; and clocks that are wrong.

use domain::{ItemId, ItemTerms, Order, OrderStatus, Outcome, Refusal, Timestamp, UserId};
use seckill::actors::{KeyOrigin, Reply, Serving};
use seckill::clock::Clock;
use seckill::peers::{Answer, Ask, Serve};
use std::sync::Arc;
use std::time::Duration;
use support::{Purchases, Shop, placed, terms, wait_until};

const HOUR: u64 = 3_600_000;

#[test]
fn a_clock_never_starts_before_its_floor_nor_goes_back() {
    let wall = seckill::clock::wall_now();
    let ahead = wall.plus_milliseconds(HOUR);
    let clock = Clock::start(ahead);
    assert!(clock.now() >= ahead);
    assert!(clock.wall_drift_milliseconds() < 0, "the wall clock is behind: an operator's warning");
    let mut last = clock.now();
    for _ in 0..10_000 {
        let now = clock.now();
        assert!(now >= last);
        last = now;
    }
    let clock = Clock::start(Timestamp(wall.0 - HOUR));
    assert!(clock.now() >= wall, "a floor in the past changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_expires_or_opens_early_after_a_restart() {
    let shop = Shop::open().await;
    shop.engine.open_item(terms(1, 10, HOUR)).await;
    let later =
        ItemTerms { starts_at: shop.engine.now().plus_milliseconds(HOUR), ..terms(2, 10, HOUR) };
    shop.engine.open_item(later.clone()).await;
    let order =
        placed(shop.engine.purchase(1, 1, 1, KeyOrigin::Client).await).expect("stock is left");
    let shop = shop.reopen().await;
    assert!(shop.engine.now() >= order.created_at());
    let found = shop.engine.order(order.order_id).await.expect("the shard answers");
    assert_eq!(found, Some(order));
    let early = Refusal::SaleNotStarted { starts_at: later.starts_at };
    let reply = shop.engine.purchase(2, 1, 2, KeyOrigin::Client).await;
    assert_eq!(reply, Reply::Decided(Outcome::Refused(early)));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_stock_comes_back_once_and_lifts_sold_out() {
    let shop = Shop::open().await;
    shop.engine.open_item(terms(1, 2, 1_500)).await;
    let gate = shop.engine.gate(ItemId(1)).expect("open");
    let mut orders = Vec::new();
    for user in 1..=2 {
        let reply = shop.engine.purchase(1, user, user, KeyOrigin::Client).await;
        orders.push(placed(reply).expect("stock is left"));
    }
    let sold_out = Reply::Decided(Outcome::Refused(Refusal::SoldOut));
    assert_eq!(shop.engine.purchase(1, 3, 3, KeyOrigin::Client).await, sold_out);
    let mut changes = shop.engine.watch_order(orders[0].order_id);
    let Reply::Decided(Outcome::Order(paid)) = shop.engine.pay(&orders[1]).await else {
        panic!("not paid");
    };
    assert_eq!(paid.status, OrderStatus::Paid);
    let expired = changes.next().await.expect("none missed").expect("a change");
    assert_eq!((expired.order_id, expired.status), (orders[0].order_id, OrderStatus::Expired));
    assert!(shop.engine.now() >= orders[0].expires_at, "not early");
    wait_until(|| gate.counters().available == 1).await;
    // A new buyer gets what came back, and only that.
    wait_until(|| gate.refusal(shop.engine.now(), UserId(3)).is_none()).await;
    assert!(placed(shop.engine.purchase(1, 3, 4, KeyOrigin::Client).await).is_some());
    assert_eq!(shop.engine.purchase(1, 5, 5, KeyOrigin::Client).await, sold_out);
    // Money for the expired one has to go back, and the stock does not come twice.
    let Reply::Decided(Outcome::Order(late)) = shop.engine.pay(&orders[0]).await else {
        panic!("lost")
    };
    assert_eq!(late.status, OrderStatus::RefundDue);
    let counters = gate.counters();
    assert_eq!(counters.available + counters.reserved + counters.sold, 2);
    assert!(counters.available <= 1 && counters.sold == 1);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_that_waits_for_a_change_is_told_of_it() {
    const LONG: Duration = Duration::from_secs(30);
    let shop = Shop::open().await;
    shop.engine.open_item(terms(1, 10, HOUR)).await;
    let order =
        placed(shop.engine.purchase(1, 1, 1, KeyOrigin::Client).await).expect("stock is left");
    let (order_id, serving) = (order.order_id, Serving::new(shop.engine.clone()));
    let wait =
        |known, wait| serving.serve(order_id.shard(), Ask::AwaitChange { order_id, known, wait });
    let known = OrderStatus::Reserved;
    assert_eq!(wait(known, Duration::ZERO).await, Answer::Order(Some(order)), "as it is");
    let (answer, reply) = tokio::join!(wait(known, LONG), shop.engine.cancel(&order));
    let Reply::Decided(Outcome::Order(cancelled)) = reply else { panic!("{reply:?}") };
    assert_eq!(answer, Answer::Order(Some(cancelled)));
    assert_eq!(wait(known, LONG).await, Answer::Order(Some(cancelled)), "it is known otherwise");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_payment_cancellation_and_expiry_one_wins() {
    const ORDERS: u64 = 300;
    let shop = Arc::new(Shop::open().await);
    shop.engine.open_item(terms(1, ORDERS as u32, 30)).await;
    let races: Vec<_> = (0..ORDERS)
        .map(|user| {
            let shop = Arc::clone(&shop);
            tokio::spawn(async move {
                let reply = shop.engine.purchase(1, user, user, KeyOrigin::Client).await;
                let order = placed(reply).expect("stock is left");
                // Some at once, some when the sweep has come or is about to.
                let due = order.expires_at;
                wait_until(|| user % 3 == 0 || shop.engine.now().0 + user % 5 >= due.0).await;
                let (paid, cancelled) =
                    tokio::join!(shop.engine.pay(&order), shop.engine.cancel(&order));
                (order, paid, cancelled)
            })
        })
        .collect();
    let mut sold = 0;
    let mut ended = Vec::new();
    for race in races {
        let (order, paid, cancelled) = race.await.expect("the race ends");
        let Reply::Decided(Outcome::Order(paid)) = paid else { panic!("{paid:?}") };
        match (paid.status, cancelled) {
            (OrderStatus::Paid, Reply::Decided(Outcome::Refused(Refusal::OrderClosed(found)))) => {
                assert_eq!(found.status, OrderStatus::Paid);
                sold += 1;
            }
            (OrderStatus::RefundDue, Reply::Decided(Outcome::Order(found))) => {
                assert_eq!(found.status, OrderStatus::Cancelled);
            }
            (
                OrderStatus::RefundDue,
                Reply::Decided(Outcome::Refused(Refusal::OrderClosed(found))),
            ) => assert!(!found.status.is_live()),
            other => panic!("{order:?}: {other:?}"),
        }
        ended.push((order, paid.status));
    }
    let gate = shop.engine.gate(ItemId(1)).expect("open");
    wait_until(|| gate.counters().reserved == 0).await;
    let counters = gate.counters();
    assert_eq!((counters.sold, counters.available), (sold, ORDERS as u32 - sold));
    for (Order { order_id, .. }, status) in ended {
        let found = shop.engine.order(order_id).await.expect("the shard answers");
        assert_eq!(found.map(|found| found.status), Some(status), "the first end stays");
    }
    Arc::into_inner(shop).expect("the races are over").close().await;
}
