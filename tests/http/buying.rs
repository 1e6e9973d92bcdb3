//! `POST /api/v1/items/{item}/buy`, with every code that it can answer on one machine.

use domain::Timestamp;
use harness::http::Connection;
use serde_json::json;
use support::{Ask, Shop, offer};

#[tokio::test]
async fn a_purchase_is_answered_with_its_order_and_a_repeat_with_the_same() {
    let shop = Shop::open().await;
    let item = shop.live_item(10).await;
    let first = shop.buy(&item, 1, "key-1").await;
    assert_eq!(first.status, 201, "{}", first.text());
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(first.header("idempotent-replayed"), None);
    let order = first.json();
    assert_eq!(order["item_id"], item);
    assert_eq!(order["quantity"], 1);
    assert_eq!(order["amount"], 4_999);
    assert_eq!(order["currency"], "EUR");
    assert_eq!(order["status"], "reserved");
    let path = format!("/api/v1/orders/{}", order["order_id"].as_str().unwrap());
    assert_eq!(first.header("location"), Some(path.as_str()));

    let repeat = shop.buy(&item, 1, "key-1").await;
    assert_eq!((repeat.status, repeat.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(repeat.json(), order);
    let shown = shop.get(&path, Some(&shop.buyer(1))).await;
    assert_eq!((shown.status, shown.json()), (200, order));
}

#[tokio::test]
async fn without_a_body_it_is_one_unit() {
    let shop = Shop::open().await;
    let item = shop.live_item(10).await;
    let path = format!("/api/v1/items/{item}/buy");
    let bare = shop.post(&path, &shop.buyer(1), None).await;
    assert_eq!((bare.status, bare.json()["quantity"].clone()), (201, json!(1)));
    let empty = shop.post(&path, &shop.buyer(2), Some(json!({}))).await;
    assert_eq!((empty.status, empty.json()["quantity"].clone()), (201, json!(1)));
    let ask = Ask { token: Some(&shop.buyer(3)), headers: &[("content-length", "0")], body: None };
    assert_eq!(shop.ask("POST", &path, ask).await.status, 201);
}

#[tokio::test]
async fn who_asks_is_settled_before_anything_else() {
    let shop = Shop::open().await;
    let expired = shop.signer.mint("1", seckill::http::Role::Buyer, Timestamp(0), 1);
    let forged = format!("{}A", shop.buyer(1));
    for token in [None, Some(expired.as_str()), Some(forged.as_str()), Some("")] {
        let ask = Ask { token, body: Some(json!("nonsense")), ..Ask::default() };
        let answer = shop.ask("POST", "/api/v1/items/404/buy", ask).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".to_owned()), "{token:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let basic = [("authorization", "Basic dXNlcjpwYXNz")];
    let ask = Ask { headers: &basic, ..Ask::default() };
    let answer = shop.ask("POST", "/api/v1/items/404/buy", ask).await;
    assert_eq!(answer.problem(), (401, "unauthenticated".to_owned()));
    let operator = shop.operator("ann");
    let answer = shop.post("/api/v1/items/404/buy", &operator, None).await;
    assert_eq!(answer.problem(), (403, "forbidden".to_owned()));
    let answer = shop.post("/api/v1/items/404/buy", &shop.buyer(1), Some(json!("nonsense"))).await;
    assert_eq!(answer.problem(), (404, "item_not_found".to_owned()));
    let answer = shop.post("/api/v1/items/none/buy", &shop.buyer(1), None).await;
    assert_eq!(answer.problem(), (404, "item_not_found".to_owned()));
}

#[tokio::test]
async fn a_body_that_is_no_purchase_is_refused_and_costs_nothing() {
    let shop = Shop::open().await;
    let item = shop.live_item(10).await;
    let token = shop.buyer(1);
    for (content_type, body, expected) in [
        ("application/json", "{\"quantity\":0}", (422, "invalid_field")),
        ("application/json", "{\"quantity\":-1}", (422, "invalid_field")),
        ("application/json", "{\"quantity\":9223372036854775808}", (422, "invalid_field")),
        ("application/json", "{\"quantity\":1e308}", (422, "invalid_field")),
        ("application/json", "{\"quantity\":\"1\"}", (422, "invalid_field")),
        ("application/json", "{\"price\":1}", (422, "invalid_field")),
        ("application/json", "[1]", (422, "invalid_field")),
        ("application/json", "{\"quantity\":1", (400, "malformed_json")),
        ("application/json", "{\"quantity\":1,\"quantity\":1}", (400, "malformed_json")),
        ("application/json", "\u{feff}{}", (400, "malformed_json")),
        ("text/plain", "{\"quantity\":1}", (415, "unsupported_media_type")),
    ] {
        let request = format!(
            "POST /api/v1/items/{item}/buy HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\n\
             content-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut connection = Connection::open(shop.address).await;
        connection.send(request.as_bytes()).await;
        let (status, code) = connection.answer().await.problem();
        assert_eq!((status, code.as_str()), expected, "{body}");
        // The connection is good for another request.
        connection.send(b"GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n").await;
        assert_eq!(connection.answer().await.status, 200, "{body}");
    }
    for (headers, code) in [
        (&[("content-encoding", "gzip")][..], "unsupported_media_type"),
        (&[("idempotency-key", "two words")], "invalid_field"),
        (&[("idempotency-key", "a"), ("idempotency-key", "b")], "invalid_field"),
    ] {
        let ask = Ask { token: Some(&token), headers, body: Some(json!({ "quantity": 1 })) };
        let answer = shop.ask("POST", &format!("/api/v1/items/{item}/buy"), ask).await;
        assert_eq!(answer.problem().1, code);
    }
    let long = "x".repeat(2_000);
    let answer = shop
        .post(&format!("/api/v1/items/{item}/buy"), &token, Some(json!({ "quantity": long })))
        .await;
    assert_eq!(answer.problem(), (413, "body_too_large".to_owned()));
    let counters = shop.get(&format!("/api/v1/items/{item}"), None).await.json();
    assert_eq!(counters["counters"]["available"], 10);
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let shop = Shop::open().await;
    let (_, items) = shop.sale(shop.draft(&[offer("one", 1), offer("two", 5)])).await;
    let [one, two] = items.as_slice() else { panic!("two items") };
    assert_eq!(shop.buy(one, 1, "k").await.status, 201);
    assert_eq!(shop.buy(one, 2, "k").await.problem(), (409, "sold_out".to_owned()));
    assert_eq!(shop.buy(one, 1, "l").await.problem(), (409, "limit_reached".to_owned()));
    // The holder's repeat is answered even though the item is sold out.
    assert_eq!(shop.buy(one, 1, "k").await.status, 200);
    let reused = shop.buy(two, 1, "k").await.problem();
    assert_eq!(reused, (409, "idempotency_key_reused".to_owned()));
    assert_eq!(shop.buy(two, 1, "m").await.status, 201);
}

#[tokio::test]
async fn the_clock_opens_and_closes() {
    let shop = Shop::open().await;
    let now = shop.engine.now();
    let (later, end) = (now.plus_milliseconds(60_000), now.plus_milliseconds(120_000));
    let (_, items) = shop.sale(shop.draft_between(later, end, &[offer("pear", 5)])).await;
    let answer = shop.buy(&items[0], 1, "k").await;
    assert_eq!(answer.problem(), (409, "sale_not_started".to_owned()));
    let starts_at = seckill::http::timestamp::to_string(later);
    assert_eq!(answer.json()["starts_at"], starts_at);
}

#[tokio::test]
async fn the_requests_name_is_the_clients_if_it_is_sane() {
    let shop = Shop::open().await;
    for (given, kept) in [("trace-7", true), ("a b", false)] {
        let headers = [("x-request-id", given)];
        let ask = Ask { headers: &headers, ..Ask::default() };
        let answer = shop.ask("POST", "/api/v1/items/1/buy", ask).await;
        assert_eq!(answer.header("x-request-id") == Some(given), kept, "{given}");
        answer.problem();
    }
}

#[tokio::test]
async fn an_engine_that_drains_takes_no_purchase() {
    let shop = Shop::open().await;
    let item = shop.live_item(5).await;
    shop.engine.drain(std::time::Duration::from_secs(5)).await;
    let answer = shop.buy(&item, 1, "k").await;
    assert_eq!(answer.problem(), (503, "shutting_down".to_owned()));
    let ready = shop.get("/readyz", None).await;
    assert_eq!((ready.status, ready.text()), (503, "not ready\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_a_thousand_times_is_one_order() {
    let shop = std::sync::Arc::new(Shop::open().await);
    let item = shop.live_item(10).await;
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (shop, item) = (std::sync::Arc::clone(&shop), item.clone());
            tokio::spawn(async move {
                let mut orders = Vec::new();
                for _ in 0..50 {
                    let answer = shop.buy(&item, 1, "same").await;
                    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
                    orders.push((answer.status, answer.json()));
                }
                orders
            })
        })
        .collect();
    let mut answers = Vec::new();
    for caller in callers {
        answers.extend(caller.await.expect("the caller lives"));
    }
    assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 1);
    assert!(answers.iter().all(|(_, order)| *order == answers[0].1));
    let counters = shop.get(&format!("/api/v1/items/{item}"), None).await.json();
    assert_eq!(counters["counters"]["reserved"], 1);
}
