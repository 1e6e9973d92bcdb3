//! One item over several shards: its buckets sell as one, and none keeps its last units to itself.

use domain::{
    Buy, ItemAction, ItemCounters, ItemId, ItemTerms, Order, OrderId, Outcome, Refusal, RequestId,
    UserId,
};
use seckill::actors::{KeyOrigin, Reply};
use std::collections::HashSet;
use std::sync::Arc;
use support::engine::{SHARDS, operate};
use support::{Purchases, Shop, placed, terms, wait_until};

const BUCKETS: u8 = SHARDS as u8;
const ITEM: ItemId = ItemId(1);
const SOLD_OUT: Reply = Reply::Decided(Outcome::Refused(Refusal::SoldOut));

async fn open(allotted: u32, limit_per_user: u16) -> Shop {
    let shop = Shop::open().await;
    let terms = ItemTerms { limit_per_user, ..terms(ITEM.0, allotted, 600_000) };
    let opened = shop.engine.open_buckets(terms, BUCKETS).await;
    assert!(matches!(opened, Reply::Decided(Outcome::Item(_))), "{opened:?}");
    shop
}

async fn buy(shop: &Shop, user: u64, quantity: u16) -> Reply {
    let gate = shop.engine.gate(ITEM).expect("open");
    let (user_id, request_id) = (UserId(user), RequestId(user));
    let buy = Buy { item_id: ITEM, user_id, request_id, quantity };
    shop.engine.buy(&gate, buy, KeyOrigin::Client).await
}

fn counters(shop: &Shop) -> ItemCounters {
    shop.engine.gate(ITEM).expect("open").counters()
}

/// Buyers of one bucket alone.
fn buyers_of(shop: &Shop, bucket: usize) -> impl Iterator<Item = u64> {
    let gate = shop.engine.gate(ITEM).expect("open");
    let shard = gate.shards()[bucket];
    (1..).filter(move |user| gate.shard_of(UserId(*user)) == shard)
}

async fn settled(shop: &Shop) {
    let gate = shop.engine.gate(ITEM).expect("open");
    wait_until(|| gate.open_transfers().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_gets_exactly_the_stock_of_all_buckets() {
    const UNITS: u32 = 1_001;
    const BUYERS: u64 = 40_000;
    const CLIENTS: u64 = 200;
    let shop = Arc::new(open(UNITS, 1).await);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let shop = Arc::clone(&shop);
            tokio::spawn(async move {
                let mut orders = Vec::new();
                for user in (client..BUYERS).step_by(CLIENTS as usize) {
                    match shop.engine.purchase(1, user, user, KeyOrigin::Client).await {
                        Reply::Decided(Outcome::Placed(order)) => {
                            let again =
                                shop.engine.purchase(1, user, user + BUYERS, KeyOrigin::Edge).await;
                            let limited = Outcome::Refused(Refusal::LimitReached);
                            assert_eq!(again, Reply::Decided(limited), "buyer {user}");
                            orders.push(order);
                        }
                        SOLD_OUT => {}
                        other => panic!("buyer {user}: {other:?}"),
                    }
                }
                orders
            })
        })
        .collect();
    let mut orders: Vec<Order> = Vec::new();
    for client in clients {
        orders.extend(client.await.expect("the client lives"));
    }
    assert_eq!(orders.len(), UNITS as usize);
    let ids: HashSet<OrderId> = orders.iter().map(|order| order.order_id).collect();
    let users: HashSet<u64> = orders.iter().map(|order| order.user_id.0).collect();
    assert_eq!((ids.len(), users.len()), (UNITS as usize, UNITS as usize));
    let shards: HashSet<u16> = orders.iter().map(|order| order.order_id.shard().0).collect();
    assert_eq!(shards.len(), usize::from(BUCKETS), "all shards sell it");
    wait_until(|| shop.engine.status().permits_used == 0).await;
    settled(&shop).await;
    let all = ItemCounters { allotted: UNITS, available: 0, reserved: UNITS, sold: 0 };
    assert_eq!(counters(&shop), all);
    let shop = Arc::into_inner(shop).expect("the clients are gone").reopen().await;
    assert_eq!(counters(&shop), all);
    assert_eq!(buy(&shop, BUYERS + 1, 1).await, SOLD_OUT);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyers_of_one_bucket_get_the_units_of_all() {
    for bucket in 0..usize::from(BUCKETS) {
        let shop = open(41, 1).await;
        let buyers: Vec<u64> = buyers_of(&shop, bucket).take(60).collect();
        let replies = buyers.iter().map(|user| buy(&shop, *user, 1));
        let replies = futures_util::future::join_all(replies).await;
        let orders = replies.iter().filter_map(|reply| placed(*reply)).count();
        let refused = replies.iter().filter(|reply| **reply == SOLD_OUT).count();
        assert_eq!((orders, refused), (41, 19), "bucket {bucket}: {replies:?}");
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_buyer_gives_back_a_buyer_of_another_bucket_gets() {
    let shop = open(8, 1).await;
    let first: Vec<u64> = buyers_of(&shop, 0).take(8).collect();
    let mut orders = Vec::new();
    for user in &first {
        orders.push(placed(buy(&shop, *user, 1).await).expect("stock is left"));
    }
    for (bucket, order) in (1..usize::from(BUCKETS)).zip(&orders) {
        let user = buyers_of(&shop, bucket).nth(20).expect("a buyer");
        assert_eq!(buy(&shop, user, 1).await, SOLD_OUT, "bucket {bucket}");
        let cancelled = shop.engine.cancel(order).await;
        assert!(matches!(cancelled, Reply::Decided(Outcome::Order(_))));
        assert!(placed(buy(&shop, user, 1).await).is_some(), "bucket {bucket}");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_purchase_may_take_what_all_buckets_have() {
    let shop = open(10, 10).await;
    assert_eq!(buy(&shop, 1, 11).await, Reply::Decided(Outcome::Refused(Refusal::LimitReached)));
    assert!(placed(buy(&shop, 1, 9).await).is_some());
    assert_eq!(buy(&shop, 2, 2).await, SOLD_OUT, "one unit is left");
    assert!(placed(buy(&shop, 2, 1).await).is_some_and(|order| order.quantity == 1));
    assert_eq!(counters(&shop).available, 0);
    // Two who want two each of three: one of them gets them, and nobody waits for ever.
    let shop = {
        shop.close().await;
        open(3, 10).await
    };
    let (one, other) = (buyers_of(&shop, 1).next(), buyers_of(&shop, 2).next());
    let replies = futures_util::future::join(
        buy(&shop, one.expect("a buyer"), 2),
        buy(&shop, other.expect("a buyer"), 2),
    );
    let (one, other) = replies.await;
    assert_eq!([one, other].iter().filter(|reply| placed(**reply).is_some()).count(), 1);
    assert!([one, other].contains(&SOLD_OUT), "{one:?}, {other:?}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_do_is_done_to_all_buckets() {
    let shop = open(8, 1).await;
    let gate = shop.engine.gate(ITEM).expect("open");
    let done = async |action| shop.engine.decide_item(&gate, operate(ITEM, action)).await;
    let item = |allotted, available, reserved| {
        let counters = ItemCounters { allotted, available, reserved, sold: 0 };
        Reply::Decided(Outcome::Item(counters))
    };
    let some: Vec<u64> = (0..usize::from(BUCKETS))
        .map(|bucket| buyers_of(&shop, bucket).nth(9).expect("a buyer"))
        .collect();
    assert_eq!(done(ItemAction::Pause).await, item(8, 8, 0));
    for user in &some {
        let paused = Reply::Decided(Outcome::Refused(Refusal::SalePaused));
        assert_eq!(buy(&shop, *user, 1).await, paused);
    }
    assert_eq!(done(ItemAction::Resume).await, item(8, 8, 0));
    for user in &some {
        assert!(placed(buy(&shop, *user, 1).await).is_some(), "buyer {user}");
    }
    // Each bucket has one left, and what is taken away is taken from all.
    let fewer = Reply::Decided(Outcome::Refused(Refusal::FewerAvailable { available: 4 }));
    assert_eq!(done(ItemAction::Reduce(5)).await, fewer);
    assert_eq!(done(ItemAction::Reduce(4)).await, item(4, 0, 4));
    let late = buyers_of(&shop, 3).nth(30).expect("a buyer");
    assert_eq!(buy(&shop, late, 1).await, SOLD_OUT);
    assert_eq!(done(ItemAction::Restock(2)).await, item(6, 2, 4));
    assert!(placed(buy(&shop, late, 1).await).is_some());
    let shop = shop.reopen().await;
    assert_eq!(counters(&shop), ItemCounters { allotted: 6, available: 1, reserved: 5, sold: 0 });
    let gate = shop.engine.gate(ITEM).expect("open");
    shop.engine.decide_item(&gate, operate(ITEM, ItemAction::End)).await;
    for user in &some {
        let ended = Reply::Decided(Outcome::Refused(Refusal::SaleEnded));
        assert_eq!(shop.engine.purchase(ITEM.0, *user + 999, 1, KeyOrigin::Edge).await, ended);
    }
    shop.close().await;
}
