//! What a restart brings back from the journal.
//!
//! The equality of the state is tested here with many orders; how long ten million take is measured
//! as docs/drills.md says.

use domain::{
    Admission, Buckets, Buy, Command, Currency, ItemCounters, ItemId, ItemTerms, Order, Outcome,
    RequestId, SaleId, Timestamp, UserId,
};
use seckill::actors::{Engine, EngineOptions, KeyOrigin, Reply};
use seckill::store::checkpoint::CheckpointStore;
use seckill::store::journal::JournalId;
use seckill::store::journal::file::disk::RealDisk;
use seckill::store::journal::file::{self, FileLog};
use seckill::store::orders::OrderStore;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const ORDERS: u64 = 200_000;
const ITEMS: u64 = 4;
const BUYERS: u64 = 10_000;
const LIMIT: Duration = Duration::from_secs(60);

async fn start(directory: &Path) -> Engine {
    let orders = OrderStore::open_sqlite(&directory.join("orders.db")).await.expect("order store");
    orders.migrate().await.expect("tables");
    let checkpoints = CheckpointStore::open_sqlite(&directory.join("checkpoints.db")).await;
    let disk = RealDisk::open(&directory.join("journal")).expect("journal directory");
    let segments = file::Options {
        segment_bytes: file::SEGMENT_BYTES_MIN,
        segments_ahead: 1,
        ..file::Options::default()
    };
    let options = EngineOptions {
        shards: 4,
        virtual_nodes: 160,
        permits: 16_384,
        reply_timeout: LIMIT,
        clock_ahead_max: Duration::MAX,
    };
    let checkpoints = checkpoints.expect("checkpoints");
    Engine::start(
        options,
        JournalId(NonZeroU64::MIN),
        FileLog::open(Arc::new(disk), segments),
        checkpoints,
        &orders,
        |error| panic!("{error}"),
    )
    .await
    .expect("the engine starts")
}

/// Each buyer buys in turn, pays some orders and cancels some; all orders as last answered.
async fn sell(engine: &Engine) -> Vec<Order> {
    let mut buyers = JoinSet::new();
    for buyer in 0..BUYERS {
        let engine = engine.clone();
        buyers.spawn(async move {
            let mut orders = Vec::new();
            for number in 0..ORDERS / BUYERS {
                let item_id = ItemId(1 + number % ITEMS);
                let (user_id, request_id) = (UserId(1 + buyer), RequestId(1 + number));
                let gate = engine.gate(item_id).expect("open");
                let buy = Buy { item_id, user_id, request_id, quantity: 1 };
                let order = match engine.buy(&gate, buy, KeyOrigin::Edge).await {
                    Reply::Decided(Outcome::Placed(order)) => order,
                    other => panic!("{other:?}"),
                };
                let order_id = order.order_id;
                let command = match number % 10 {
                    0 => Command::Pay { order_id, user_id },
                    1 => Command::Cancel { order_id, user_id },
                    _ => {
                        orders.push(order);
                        continue;
                    }
                };
                match engine.decide_order(order_id, command).await {
                    Reply::Decided(Outcome::Order(order)) => orders.push(order),
                    other => panic!("{other:?}"),
                }
            }
            orders
        });
    }
    buyers.join_all().await.concat()
}

async fn must_hold(engine: &Engine, orders: &[Order], counters: &[ItemCounters]) {
    assert_eq!(count(engine), counters);
    for orders in orders.chunks(1_000) {
        let asked = orders.iter().map(|order| engine.order(order.order_id));
        for (found, order) in futures_util::future::join_all(asked).await.iter().zip(orders) {
            assert_eq!(*found, Ok(Some(*order)));
        }
    }
}

fn count(engine: &Engine) -> Vec<ItemCounters> {
    (1..=ITEMS).map(|item| engine.gate(ItemId(item)).expect("open").counters()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_thousand_orders_come_back_as_they_were() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    for item in 1..=ITEMS {
        let terms = ItemTerms {
            item_id: ItemId(item),
            sale_id: SaleId(1),
            product_id: format!("product-{item}").into(),
            price: 4_999,
            currency: Currency::parse("EUR").expect("a code"),
            allotted: 1_000_000,
            limit_per_user: 10_000,
            payment_window_milliseconds: 86_400_000,
            starts_at: Timestamp(0),
            ends_at: Timestamp::MAX,
            admission: Admission::OPEN,
            buckets: Buckets::ONE,
        };
        let opened = engine.open_item(terms).await;
        assert!(matches!(opened, Reply::Decided(Outcome::Item(_))), "{opened:?}");
    }
    let orders = sell(&engine).await;
    assert_eq!(orders.len(), usize::try_from(ORDERS).expect("a count"));
    let counters = count(&engine);
    engine.drain(LIMIT).await;
    // Twice, since a restart must not change what the next one finds.
    for _ in 0..2 {
        let engine = start(directory.path()).await;
        must_hold(&engine, &orders, &counters).await;
        engine.drain(LIMIT).await;
    }
}
