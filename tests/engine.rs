//! The engine in the process, without HTTP: purchases through mailbox, shard and journal.

use domain::{
    Buy, Command, Currency, ItemId, ItemTerms, OrderStatus, Outcome, Refusal, RequestId, SaleId,
    Timestamp, UserId,
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

fn options() -> EngineOptions {
    EngineOptions {
        shards: 4,
        virtual_nodes: 160,
        permits: 16_384,
        reply_timeout: Duration::from_secs(5),
    }
}

async fn start(directory: &Path) -> Engine {
    let orders = OrderStore::open_sqlite(&directory.join("orders.db")).await.expect("order store");
    orders.migrate().await.expect("tables");
    let checkpoints =
        CheckpointStore::open_sqlite(&directory.join("checkpoints.db")).await.expect("checkpoints");
    let disk = RealDisk::open(&directory.join("journal")).expect("journal directory");
    let segments = file::Options {
        segment_bytes: file::SEGMENT_BYTES_MIN,
        segments_ahead: 1,
        ..file::Options::default()
    };
    Engine::start(
        options(),
        JournalId(NonZeroU64::MIN),
        FileLog::open(Arc::new(disk), segments),
        checkpoints,
        &orders,
        |error| panic!("{error}"),
    )
    .await
    .expect("the engine starts")
}

fn terms(item: u64, allotted: u32) -> ItemTerms {
    ItemTerms {
        item_id: ItemId(item),
        sale_id: SaleId(1),
        product_id: format!("product-{item}").into(),
        price: 4_999,
        currency: Currency::parse("CNY").expect("a code"),
        allotted,
        limit_per_user: 1,
        payment_window_milliseconds: 600_000,
        starts_at: Timestamp(0),
        ends_at: Timestamp::MAX,
    }
}

async fn buy(engine: &Engine, item: u64, user: u64, request: u64) -> Reply {
    let gate = engine.gate(ItemId(item)).expect("the item is open");
    let buy = Buy {
        item_id: ItemId(item),
        user_id: UserId(user),
        request_id: RequestId(request),
        quantity: 1,
    };
    engine.buy(&gate, buy, KeyOrigin::Client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_sells_its_stock_and_survives_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    let opened = engine.open_item(terms(1, 100)).await;
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
        engine.open_item(terms(item, 10)).await;
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
