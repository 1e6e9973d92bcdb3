//! A crowd at one item, many items at once, one request many times.

use domain::{ItemId, OrderId, Outcome, Refusal};
use seckill::actors::{EngineOptions, KeyOrigin, NotDelivered, Reply};
use std::collections::HashSet;
use std::sync::Arc;
use support::{Purchases, Shop, engine, placed, terms, wait_until};

/// Distinct buyers of the crowd: a million, or another number:
/// `SECKILL_DRILL_BUYERS=4000000 cargo test -p tests --test engine a_crowd`.
fn crowd() -> u64 {
    const MILLION: u64 = 1_000_000;
    std::env::var("SECKILL_DRILL_BUYERS").ok().and_then(|text| text.parse().ok()).unwrap_or(MILLION)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_gets_exactly_the_stock_there_is() {
    const UNITS: u64 = 1_000;
    const CLIENTS: u64 = 500;
    let shop = Arc::new(Shop::open().await);
    shop.engine.open_item(terms(1, UNITS as u32, 600_000)).await;
    let buyers = crowd();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let shop = Arc::clone(&shop);
            tokio::spawn(async move {
                let mut orders = Vec::new();
                let mut permits_max = 0;
                for user in (client..buyers).step_by(CLIENTS as usize) {
                    match shop.engine.purchase(1, user, user, KeyOrigin::Client).await {
                        Reply::Decided(Outcome::Placed(order)) => orders.push(order),
                        Reply::Decided(Outcome::Refused(Refusal::SoldOut)) => {}
                        other => panic!("buyer {user}: {other:?}"),
                    }
                    if user % 64 == 0 {
                        permits_max = permits_max.max(shop.engine.status().permits_used);
                        tokio::task::yield_now().await;
                    }
                }
                (orders, permits_max)
            })
        })
        .collect();
    let mut orders = Vec::new();
    let mut permits_max = 0;
    for client in clients {
        let (of_client, permits) = client.await.expect("the client lives");
        orders.extend(of_client);
        permits_max = permits_max.max(permits);
    }
    assert_eq!(orders.len() as u64, UNITS);
    let ids: HashSet<OrderId> = orders.iter().map(|order| order.order_id).collect();
    let users: HashSet<u64> = orders.iter().map(|order| order.user_id.0).collect();
    assert_eq!((ids.len() as u64, users.len() as u64), (UNITS, UNITS));
    assert!(permits_max as u64 <= CLIENTS);
    wait_until(|| shop.engine.status().permits_used == 0).await;
    let status = shop.engine.status();
    assert_eq!(status.mailbox_depth, 0);
    // Refusals leave nothing behind: one record an order and one of the item.
    assert_eq!(status.journal.records, UNITS + 1);
    let counters = shop.engine.gate(ItemId(1)).expect("open").counters();
    assert_eq!((counters.available, counters.reserved), (0, UNITS as u32));
    let shop = Arc::into_inner(shop).expect("the clients are gone").reopen().await;
    let counters = shop.engine.gate(ItemId(1)).expect("recovered").counters();
    assert_eq!((counters.available, counters.reserved), (0, UNITS as u32));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_items_sell_at_once() {
    const ITEMS: u64 = 10_000;
    const CLIENTS: u64 = 400;
    let shop = Arc::new(Shop::open().await);
    let openers: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let shop = Arc::clone(&shop);
            tokio::spawn(async move {
                for item in (client..ITEMS).step_by(CLIENTS as usize) {
                    let reply = shop.engine.open_item(terms(item, 2, 600_000)).await;
                    assert!(matches!(reply, Reply::Decided(Outcome::Item(_))), "{reply:?}");
                }
            })
        })
        .collect();
    for opener in openers {
        opener.await.expect("the opener lives");
    }
    let buyers: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let shop = Arc::clone(&shop);
            tokio::spawn(async move {
                let mut sold = 0;
                for item in (client..ITEMS).step_by(CLIENTS as usize) {
                    for user in 0..3 {
                        let reply = shop.engine.purchase(item, user, item, KeyOrigin::Edge).await;
                        sold += u64::from(placed(reply).is_some());
                    }
                }
                sold
            })
        })
        .collect();
    let mut sold = 0;
    for buyer in buyers {
        sold += buyer.await.expect("the buyer lives");
    }
    assert_eq!(sold, 2 * ITEMS);
    for gate in shop.engine.gates() {
        let counters = gate.counters();
        assert_eq!(domain::invariants::i1_balance(&counters), Ok(()));
        assert_eq!((counters.available, counters.reserved), (0, 2));
    }
    Arc::into_inner(shop).expect("the buyers are gone").close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_repeats_get_one_order_and_one_answer() {
    const REPEATS: u64 = 10_000;
    let shop =
        Arc::new(Shop::with_engine(EngineOptions { permits: 16_384, ..engine::options() }).await);
    shop.engine.open_item(terms(1, 100, 600_000)).await;
    let repeats: Vec<_> = (0..REPEATS)
        .map(|_| {
            let shop = Arc::clone(&shop);
            tokio::spawn(async move { shop.engine.purchase(1, 7, 7, KeyOrigin::Client).await })
        })
        .collect();
    let (mut first, mut answers) = (0, HashSet::new());
    for repeat in repeats {
        match repeat.await.expect("the repeat lives") {
            Reply::Decided(Outcome::Placed(order)) => {
                first += 1;
                answers.insert(order.order_id);
            }
            Reply::Decided(Outcome::Replayed(order)) => {
                answers.insert(order.order_id);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((first, answers.len()), (1, 1));
    let counters = shop.engine.gate(ItemId(1)).expect("open").counters();
    assert_eq!((counters.available, counters.reserved), (99, 1));
    assert_eq!(shop.engine.status().journal.records, 2);
    Arc::into_inner(shop).expect("the repeats are gone").close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impatient_clients_repeat_five_times_and_get_one_order_each() {
    const CLIENTS: u64 = 400;
    // Far fewer permits than requests, so that many are shed and come again.
    let shop =
        Arc::new(Shop::with_engine(EngineOptions { permits: 64, ..engine::options() }).await);
    shop.engine.open_item(terms(1, 300, 600_000)).await;
    let attempts: Vec<_> = (0..CLIENTS * 5)
        .map(|attempt| {
            let shop = Arc::clone(&shop);
            let user = attempt % CLIENTS;
            tokio::spawn(async move {
                loop {
                    match shop.engine.purchase(1, user, user, KeyOrigin::Client).await {
                        Reply::NotDelivered(NotDelivered::Overloaded) => {
                            tokio::task::yield_now().await;
                        }
                        Reply::Decided(Outcome::Placed(order) | Outcome::Replayed(order)) => {
                            return Some(order.order_id);
                        }
                        Reply::Decided(Outcome::Refused(Refusal::SoldOut)) => return None,
                        other => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    let mut orders: Vec<HashSet<OrderId>> = vec![HashSet::new(); CLIENTS as usize];
    for (number, attempt) in attempts.into_iter().enumerate() {
        orders[number % CLIENTS as usize].extend(attempt.await.expect("the client lives"));
    }
    assert!(orders.iter().all(|of_client| of_client.len() <= 1), "one order a key (I7)");
    assert_eq!(orders.iter().flatten().collect::<HashSet<_>>().len(), 300);
    // Repeats are not amplified into records.
    assert_eq!(shop.engine.status().journal.records, 301);
    wait_until(|| shop.engine.status().permits_used == 0).await;
    assert_eq!(shop.engine.status().mailbox_depth, 0);
    Arc::into_inner(shop).expect("the clients are gone").close().await;
}
