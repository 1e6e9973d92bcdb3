//! The end of a sale: over by the clock, settled when its shards have evicted it.

use domain::ItemId;
use seckill::sales::Sales;
use seckill::sales::lifecycle;
use seckill::store::read_cache::ReadCache;
use serde_json::Value;
use std::time::Duration;
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
    let now = shop.engine.now();
    let short =
        shop.draft_between(now, now.plus_milliseconds(1_500), &[offer("pear", 1), offer("fig", 1)]);
    let (sale, items) = shop.sale(short).await;
    let (other, _) = shop.sale(shop.draft(&[offer("plum", 1)])).await;
    let bought = shop.buy(&items[0], 1, "key").await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    let order = bought.json()["order_id"].as_str().expect("an identity").to_owned();
    assert_eq!(lifecycle::advance_all(&shop.engine, &sales).await, Ok(0));
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
    assert_eq!(lifecycle::advance_all(&shop.engine, &sales).await, Ok(0));
    assert_eq!(status(&shop, &sale).await, "ended");
    let paid = shop.post(&format!("/api/v1/orders/{order}/pay"), &shop.buyer(1), None).await;
    assert_eq!(paid.status, 200, "{}", paid.text());
    while !gate(&items[0]).is_settled() {
        tokio::time::sleep(LOOK).await;
    }
    assert_eq!(lifecycle::advance_all(&shop.engine, &sales).await, Ok(1));
    assert_eq!(status(&shop, &sale).await, "settled");
    assert_eq!(status(&shop, &other).await, "live");
    assert_eq!(lifecycle::advance_all(&shop.engine, &sales).await, Ok(0));
    backends.stop(&shop.engine, Duration::from_secs(10)).await;
}
