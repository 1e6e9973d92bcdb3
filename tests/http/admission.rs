//! Guarding an item: who may, what it shows, and that it outlives the process.

use serde_json::{Value, json};
use support::{Ask, DRAIN_MAX, Shop, offer};

/// A live sale of one item: where its admission is set, and where it is shown.
async fn item(shop: &Shop) -> (String, String) {
    let (sale, items) = shop.sale(shop.draft(&[offer("pear", 5)])).await;
    let set = format!("/api/v1/admin/sales/{sale}/items/{}/admission", items[0]);
    (set, format!("/api/v1/items/{}", items[0]))
}

async fn set(shop: &Shop, path: &str, key: Option<&str>, body: Value) -> harness::http::Answer {
    let named = key.map(|key| ("idempotency-key", key));
    let ask =
        Ask { token: Some(&shop.operator("ann")), headers: named.as_slice(), body: Some(body) };
    shop.ask("PUT", path, ask).await
}

#[tokio::test]
async fn an_item_is_guarded_and_opened_again_by_an_operator() {
    let shop = Shop::open().await;
    let (admission, shown) = item(&shop).await;
    assert_eq!(shop.get(&shown, None).await.json()["admission"], Value::Null);
    let guard = json!({ "buy_token": true, "challenge": "proof", "spread_milliseconds": 2_000 });
    for replayed in [None, Some("true")] {
        let answer = set(&shop, &admission, Some("guard"), guard.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("idempotent-replayed"), replayed);
        assert_eq!(answer.json()["admission"]["challenge"], "proof");
    }
    let view = shop.get(&shown, None).await.json()["admission"].clone();
    assert_eq!((&view["buy_token"], &view["lead_seconds"]), (&json!(true), &json!(60)));
    assert_eq!(view["spread_milliseconds"], 2_000);
    let other = set(&shop, &admission, Some("guard"), json!({ "buy_token": false })).await;
    assert_eq!(other.problem(), (409, "idempotency_key_reused".to_owned()));

    let opened = set(&shop, &admission, None, json!({ "buy_token": false })).await;
    assert_eq!((opened.status, &opened.json()["admission"]), (200, &Value::Null));
    // A repeat that comes late guards nothing again.
    let late = set(&shop, &admission, Some("guard"), guard).await;
    assert_eq!(late.header("idempotent-replayed"), Some("true"));
    assert_eq!(shop.get(&shown, None).await.json()["admission"], Value::Null);

    let backends = shop.start_backends().await;
    backends.stop(&shop.engine, DRAIN_MAX).await;
    let log = shop.get("/api/v1/admin/audit-log", Some(&shop.operator("ann"))).await.json();
    let entries: Vec<_> =
        (0..2).map(|place| (&log["data"][place]["actor"], &log["data"][place]["action"])).collect();
    assert_eq!(entries, [(&json!("ann"), &json!("item.admit")); 2]);
    assert_eq!(log["data"][1]["detail"]["challenge"], "proof", "{log}");
}

#[tokio::test]
async fn a_guard_has_bounds_and_is_an_operators_to_set() {
    let shop = Shop::open().await;
    let (admission, _) = item(&shop).await;
    for (body, pointer) in [
        (json!({}), "/buy_token"),
        (json!({ "buy_token": "yes" }), "/buy_token"),
        (json!({ "buy_token": true, "challenge": "captcha" }), "/challenge"),
        (json!({ "buy_token": false, "challenge": "proof" }), "/challenge"),
        (json!({ "buy_token": true, "lead_seconds": 86_401 }), "/lead_seconds"),
        (json!({ "buy_token": false, "lead_seconds": 1 }), "/lead_seconds"),
        (json!({ "buy_token": true, "spread_milliseconds": 600_001 }), "/spread_milliseconds"),
        (json!({ "buy_token": true, "spread_milliseconds": -1 }), "/spread_milliseconds"),
        (json!({ "buy_token": true, "spread": 1 }), "/spread"),
    ] {
        let answer = set(&shop, &admission, None, body.clone()).await;
        assert_eq!(answer.problem(), (422, "invalid_field".to_owned()), "{body}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    let body = Some(json!({ "buy_token": true }));
    let ask = Ask { token: Some(&shop.buyer(1)), body: body.clone(), ..Ask::default() };
    assert_eq!(shop.ask("PUT", &admission, ask).await.problem(), (403, "forbidden".to_owned()));
    let ask = Ask { body: body.clone(), ..Ask::default() };
    assert_eq!(
        shop.ask("PUT", &admission, ask).await.problem(),
        (401, "unauthenticated".to_owned())
    );
    let (sale, rest) = admission.split_once("/items").expect("a path");
    let foreign = format!("{sale}9/items{rest}");
    let answer = set(&shop, &foreign, None, json!({ "buy_token": true })).await;
    assert_eq!(answer.problem(), (404, "item_not_found".to_owned()));
}

#[tokio::test]
async fn an_item_is_guarded_from_the_moment_it_is_on_sale() {
    let shop = Shop::open().await;
    let mut draft = shop.draft(&[offer("pear", 5), offer("fig", 5)]);
    let guard = json!({ "buy_token": true, "challenge": "proof", "spread_milliseconds": 250 });
    draft["items"][1]["admission"] = guard.clone();
    let (sale, items) = shop.sale(draft.clone()).await;
    assert_eq!(shop.buy(&items[0], 1, "k").await.status, 201);
    let refused = shop.buy(&items[1], 1, "k2").await;
    assert_eq!(refused.problem(), (403, "buy_token_required".to_owned()));
    let path = format!("/api/v1/admin/sales/{sale}");
    let shown = shop.get(&path, Some(&shop.operator("ann"))).await.json();
    assert_eq!(shown["items"][0]["admission"], Value::Null);
    assert_eq!(shown["items"][1]["admission"]["spread_milliseconds"], 250);

    // What an operator has changed since is what the next process begins with.
    let path = format!("{path}/items/{}/admission", items[1]);
    assert_eq!(set(&shop, &path, None, json!({ "buy_token": false })).await.status, 200);
    let shop = shop.reopen().await;
    assert_eq!(shop.buy(&items[1], 1, "k3").await.status, 201);

    draft["items"][1]["admission"]["spread_milliseconds"] = json!(600_001);
    let answer = shop.post("/api/v1/admin/sales", &shop.operator("ann"), Some(draft)).await;
    assert_eq!(answer.json()["errors"][0]["pointer"], "/items/1/admission/spread_milliseconds");
}

#[tokio::test]
async fn a_guard_outlives_the_process_and_asks_no_catalogue() {
    let shop = Shop::open().await;
    let (admission, shown) = item(&shop).await;
    let guard = json!({ "buy_token": true, "challenge": "external", "lead_seconds": 7 });
    assert_eq!(set(&shop, &admission, None, guard).await.status, 200);
    let before = shop.get(&shown, None).await.json()["admission"].clone();
    assert_eq!(before["challenge"], "external");
    let directory = shop.close().await;
    // With the catalogue's tables gone there is nobody to ask but the journal.
    for name in ["orders.db", "orders.db-wal", "orders.db-shm"] {
        let _ = std::fs::remove_file(directory.path().join(name));
    }
    let shop = support::Setup::default().open_in(directory).await;
    assert_eq!(shop.get(&shown, None).await.json()["admission"], before);
    // And from a checkpoint, once the backends have written one.
    let backends = shop.start_backends().await;
    backends.stop(&shop.engine, DRAIN_MAX).await;
    let shop = shop.reopen().await;
    assert_eq!(shop.get(&shown, None).await.json()["admission"], before);
}
