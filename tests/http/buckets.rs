//! An item over several shards, as operators and buyers see it: one item.

use domain::ItemId;
use serde_json::{Value, json};
use support::engine::SHARDS;
use support::{DRAIN_MAX, Shop, offer, wait_until};

fn over(buckets: impl Into<Value>, allotted: u32) -> Value {
    let mut offer = offer("pear", allotted);
    offer["buckets"] = buckets.into();
    offer
}

#[tokio::test]
async fn an_item_over_several_shards_sells_as_one_and_settles_as_one() {
    const UNITS: u32 = 7;
    let shop = Shop::open().await;
    let now = shop.engine.now();
    let draft = shop.draft_between(now, now.plus_milliseconds(4_000), &[over(3, UNITS)]);
    let (sale, items) = shop.sale(draft).await;
    let item = &items[0];
    let admin = shop.get(&format!("/api/v1/admin/sales/{sale}"), Some(&shop.operator("ann"))).await;
    assert_eq!(admin.json()["items"][0]["buckets"], 3, "{}", admin.text());
    let item_id: ItemId = item.parse().expect("an identity");
    let gate = shop.engine.gate(item_id).expect("it was preheated");
    assert_eq!(gate.shards().len(), 3);
    let path = format!("/api/v1/admin/sales/{sale}/preheat");
    let list = shop.get(&path, Some(&shop.operator("ann"))).await.json();
    assert_eq!((&list["complete"], &list["items"][0]["terms_agree"]), (&json!(true), &json!(true)));
    assert_eq!(list["items"][0]["counters"]["allotted"], UNITS, "{list:#}");
    let mut orders = Vec::new();
    for user_id in 1..=u64::from(UNITS) {
        let bought = shop.buy(item, user_id, "key").await;
        assert_eq!(bought.status, 201, "{}", bought.text());
        let again = shop.buy(item, user_id, "key").await;
        assert_eq!(
            (again.status, again.json()["order_id"].clone()),
            (200, bought.json()["order_id"].clone())
        );
        orders.push((user_id, bought.json()["order_id"].as_str().expect("an identity").to_owned()));
    }
    assert_eq!(shop.buy(item, 99, "key").await.problem(), (409, "sold_out".to_owned()));
    let counters =
        shop.get(&format!("/api/v1/items/{item}"), None).await.json()["counters"].clone();
    let all = json!({ "allotted": UNITS, "available": 0, "reserved": UNITS, "sold": 0 });
    assert_eq!(counters, all);
    wait_until(|| gate.open_transfers().is_empty()).await;
    for (user_id, order) in &orders {
        let paid =
            shop.post(&format!("/api/v1/orders/{order}/pay"), &shop.buyer(*user_id), None).await;
        assert_eq!(paid.status, 200, "{}", paid.text());
    }
    let backends = shop.start_backends().await;
    wait_until(|| shop.engine.gate(item_id).is_some_and(|gate| gate.is_settled())).await;
    backends.stop(&shop.engine, DRAIN_MAX).await;
    let shop = shop.reopen().await;
    assert!(shop.engine.gate(item_id).is_some_and(|gate| gate.is_settled()));
    assert_eq!(shop.engine.gate(item_id).expect("open").counters().sold, UNITS);
}

#[tokio::test]
async fn an_item_has_one_to_as_many_buckets_as_there_are_shards() {
    let shop = Shop::open().await;
    let path = "/api/v1/admin/sales";
    for wrong in [json!(0), json!(65), json!(SHARDS + 1), json!("3"), json!(1.5)] {
        let draft = shop.draft(&[over(wrong.clone(), 5)]);
        let answer = shop.post(path, &shop.operator("ann"), Some(draft)).await;
        assert_eq!(answer.problem(), (422, "invalid_field".to_owned()), "{wrong}");
        assert!(answer.text().contains("/items/0/buckets"), "{}", answer.text());
    }
    for right in [json!(1), json!(SHARDS), Value::Null] {
        let draft = shop.draft(&[over(right, 5)]);
        let answer = shop.post(path, &shop.operator("ann"), Some(draft)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}
