//! The end of a sale: over by the clock, settled when its shards have evicted it.

use domain::{ItemAction, ItemId, Outcome};
use seckill::actors::Reply;
use seckill::sales::Sales;
use seckill::sales::lifecycle::{self, EndedItems};
use seckill::store::read_cache::ReadCache;
use serde_json::Value;
use std::time::Duration;
use support::engine::operate;
use support::{Shop, offer};

const LOOK: Duration = Duration::from_millis(5);

/// What the operator sees of the sale.
async fn status(shop: &Shop, sale: &str) -> Value {
    let path = format!("/api/v1/admin/sales/{sale}");
    shop.get(&path, Some(&shop.operator("ann"))).await.json()["status"].clone()
}

#[tokio::test]
async fn a_sale_is_settled_when_its_orders_are_closed_and_stored_and_not_before() {
    let shop = Shop::open().await;
    let cache = ReadCache::new(None, shop.engine.clock()).expect("no address");
    let sales = Sales::new(shop.orders.clone(), cache);
    let mut ended = EndedItems::new();
    let now = shop.engine.now();
    let short =
        shop.draft_between(now, now.plus_milliseconds(4_000), &[offer("pear", 1), offer("fig", 1)]);
    let (sale, items) = shop.sale(short).await;
    let (other, _) = shop.sale(shop.draft(&[offer("plum", 1)])).await;
    let bought = shop.buy(&items[0], 1, "key").await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    let order = bought.json()["order_id"].as_str().expect("an identity").to_owned();
    assert_eq!(lifecycle::advance_all(&shop.engine, &sales, &mut ended).await, Ok(0));
    assert_eq!(status(&shop, &sale).await, "live");

    let backends = shop.start_backends().await;
    let gate = |item: &str| {
        let item_id: ItemId = item.parse().expect("an identity");
        shop.engine.gate(item_id).expect("it was preheated")
    };
    // Over, and the fig's shard evicts it; the pear is still to be paid.
    while !gate(&items[1]).is_settled() {
        tokio::time::sleep(LOOK).await;
    }
    assert_eq!(lifecycle::advance_all(&shop.engine, &sales, &mut ended).await, Ok(0));
    assert_eq!(status(&shop, &sale).await, "ended");
    let paid = shop.post(&format!("/api/v1/orders/{order}/pay"), &shop.buyer(1), None).await;
    assert_eq!(paid.status, 200, "{}", paid.text());
    while !gate(&items[0]).is_settled() {
        tokio::time::sleep(LOOK).await;
    }
    assert_eq!(lifecycle::advance_all(&shop.engine, &sales, &mut ended).await, Ok(1));
    assert_eq!(status(&shop, &sale).await, "settled");
    assert_eq!(status(&shop, &other).await, "live");
    assert_eq!(lifecycle::advance_all(&shop.engine, &sales, &mut ended).await, Ok(0));
    backends.stop(&shop.engine, Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_sale_whose_items_have_ended_is_ended_although_nobody_has_noted_it() {
    let shop = Shop::open().await;
    let cache = ReadCache::new(None, shop.engine.clock()).expect("no address");
    let sales = Sales::new(shop.orders.clone(), cache);
    let (sale, items) = shop.sale(shop.draft(&[offer("pear", 1), offer("fig", 1)])).await;
    let end = async |item: &str| {
        let gate = shop.engine.gate(item.parse().expect("an identity")).expect("open");
        let command = operate(gate.terms().item_id, ItemAction::End);
        let ended = shop.engine.decide_item(&gate, command).await;
        assert!(matches!(ended, Reply::Decided(Outcome::Item(_))), "{ended:?}");
    };
    let mut seen = EndedItems::new();
    let mut pass = async || {
        assert_eq!(lifecycle::advance_all(&shop.engine, &sales, &mut seen).await, Ok(0));
        status(&shop, &sale).await
    };
    end(&items[0]).await;
    assert_eq!(pass().await, "live");
    assert_eq!(pass().await, "live", "the other item sells");
    end(&items[1]).await;
    // Who has ended them may be about to note it.
    assert_eq!(pass().await, "live");
    assert_eq!(pass().await, "ended");
    let log = shop.get("/api/v1/admin/audit-log", Some(&shop.operator("ann"))).await.json();
    assert_eq!(log["data"][0]["action"], "sale.end", "{log:#}");
}
