//! The buyer's orders: one, pages, paying, cancelling, watching.

use domain::{Event, OrderStatus, Record, ShardId, UserId};
use harness::http::Connection;
use seckill::http::{Options, Role};
use seckill::store::orders::Conflicts;
use serde_json::{Value, json};
use std::time::Duration;
use support::{Ask, DRAIN_MAX, Shop, offer, wait_until};

async fn bought(shop: &Shop, item: &str, user_id: u64, key: &str) -> String {
    let answer = shop.buy(item, user_id, key).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["order_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_order_is_its_buyers_alone() {
    let shop = Shop::open().await;
    let item = shop.live_item(5).await;
    let order = bought(&shop, &item, 1, "k").await;
    let path = format!("/api/v1/orders/{order}");
    assert_eq!(shop.get(&path, Some(&shop.buyer(1))).await.status, 200);
    for (path, token) in [
        (path.clone(), shop.buyer(2)),
        ("/api/v1/orders/1".to_owned(), shop.buyer(1)),
        ("/api/v1/orders/x".to_owned(), shop.buyer(1)),
        ("/api/v1/orders/18446744073709551616".to_owned(), shop.buyer(1)),
    ] {
        let answer = shop.get(&path, Some(&token)).await;
        assert_eq!(answer.problem(), (404, "order_not_found".to_owned()), "{path}");
        let answer = shop.post(&format!("{path}/pay"), &token, None).await;
        assert_eq!(answer.problem(), (404, "order_not_found".to_owned()), "{path}");
        let answer = shop.post(&format!("{path}/cancel"), &token, None).await;
        assert_eq!(answer.problem(), (404, "order_not_found".to_owned()), "{path}");
    }
    assert_eq!(shop.get(&path, None).await.problem(), (401, "unauthenticated".to_owned()));
}

#[tokio::test]
async fn paying_once_is_enough_and_a_paid_order_stays() {
    let shop = Shop::open().await;
    let item = shop.live_item(5).await;
    let order = bought(&shop, &item, 1, "k").await;
    let (pay, cancel) =
        (format!("/api/v1/orders/{order}/pay"), format!("/api/v1/orders/{order}/cancel"));
    let token = shop.buyer(1);
    let failed = shop.post(&pay, &token, Some(json!({ "payment": { "outcome": "fail" } }))).await;
    assert_eq!(failed.problem(), (402, "payment_failed".to_owned()));
    for _ in 0..2 {
        let paid = shop.post(&pay, &token, None).await;
        assert_eq!((paid.status, paid.json()["status"].clone()), (200, json!("paid")));
    }
    let answer = shop.post(&cancel, &token, None).await;
    assert_eq!(answer.problem(), (409, "order_closed".to_owned()));
    let wrong = shop.post(&pay, &token, Some(json!({ "payment": { "outcome": "never" } }))).await;
    assert_eq!(wrong.problem(), (422, "invalid_field".to_owned()));
}

#[tokio::test]
async fn a_cancelled_order_gives_its_unit_back_and_takes_no_money() {
    let shop = Shop::open().await;
    let item = shop.live_item(1).await;
    let order = bought(&shop, &item, 1, "k").await;
    let token = shop.buyer(1);
    assert_eq!(shop.buy(&item, 2, "k").await.problem().1, "sold_out");
    for _ in 0..2 {
        let answer = shop.post(&format!("/api/v1/orders/{order}/cancel"), &token, None).await;
        assert_eq!((answer.status, answer.json()["status"].clone()), (200, json!("cancelled")));
    }
    let answer = shop.post(&format!("/api/v1/orders/{order}/pay"), &token, None).await;
    assert_eq!(answer.problem(), (409, "order_closed".to_owned()));
    assert_eq!(shop.buy(&item, 2, "k").await.status, 201);
}

#[tokio::test]
async fn money_that_comes_after_the_payment_window_is_a_refund() {
    let shop = Shop::open().await;
    let mut offer = offer("pear", 1);
    offer["payment_window_seconds"] = json!(1);
    let (_, items) = shop.sale(shop.draft(&[offer])).await;
    let order = bought(&shop, &items[0], 1, "k").await;
    let late = json!({ "payment": { "outcome": "late", "delay_ms": 1_100 } });
    let token = shop.buyer(1);
    let paid = shop.post(&format!("/api/v1/orders/{order}/pay"), &token, Some(late)).await;
    assert_eq!((paid.status, paid.json()["status"].clone()), (200, json!("refund_due")));
    let answer = shop.post(&format!("/api/v1/orders/{order}/cancel"), &token, None).await;
    assert_eq!(answer.problem(), (409, "order_closed".to_owned()));
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest() {
    let shop = Shop::open().await;
    let offers: Vec<Value> = (0..5).map(|n| offer(&format!("p{n}"), 9)).collect();
    let (_, items) = shop.sale(shop.draft(&offers)).await;
    let mut placed = Vec::new();
    for item in &items {
        placed.push(bought(&shop, item, 1, item).await);
    }
    bought(&shop, &items[0], 2, "other").await;
    placed.sort_by_key(|order| std::cmp::Reverse(order.parse::<u64>().unwrap()));
    let token = shop.buyer(1);
    let mut seen: Vec<String> = Vec::new();
    loop {
        let path = match seen.last() {
            None => "/api/v1/orders?limit=2".to_owned(),
            Some(last) => format!("/api/v1/orders?limit=2&starting_after={last}"),
        };
        let page = shop.get(&path, Some(&token)).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        for order in page["data"].as_array().unwrap() {
            seen.push(order["order_id"].as_str().unwrap().to_owned());
        }
        if page["has_more"] == json!(false) {
            break;
        }
    }
    assert_eq!(seen, placed);
    for query in ["limit=0", "limit=101", "limit=x", "starting_after=x"] {
        let answer = shop.get(&format!("/api/v1/orders?{query}"), Some(&token)).await;
        assert_eq!(answer.problem(), (422, "invalid_field".to_owned()), "{query}");
    }
}

#[tokio::test]
async fn an_order_that_left_its_shard_is_read_from_the_order_store() {
    let shop = Shop::open().await;
    let item = shop.live_item(5).await;
    let order = bought(&shop, &item, 1, "k").await;
    let known = shop.engine.order(order.parse().unwrap()).await.unwrap().unwrap();
    // An older order of the same buyer, of a shard that does not hold it any more.
    let old = domain::Order {
        order_id: domain::OrderId::next(
            domain::OrderId(0),
            ShardId(3),
            domain::Timestamp(1_750_000_000_000),
        ),
        user_id: UserId(1),
        status: OrderStatus::Reserved,
        ..known
    };
    let record =
        Record { shard: ShardId(3), seq: 1, at: old.created_at(), event: Event::Order(old) };
    shop.orders
        .apply(&[record], &[], Conflicts::HandedBack)
        .await
        .expect("the order store takes it");
    let token = shop.buyer(1);
    let shown = shop.get(&format!("/api/v1/orders/{}", old.order_id), Some(&token)).await;
    assert_eq!(shown.json()["order_id"], old.order_id.to_string());
    let page = shop.get("/api/v1/orders", Some(&token)).await.json();
    let shown: Vec<_> = page["data"].as_array().unwrap().iter().map(|o| &o["order_id"]).collect();
    assert_eq!(shown, [&json!(order), &json!(old.order_id.to_string())]);
}

#[tokio::test]
async fn a_watched_order_tells_its_changes_and_ends() {
    let shop = Shop::open().await;
    let item = shop.live_item(5).await;
    let order = bought(&shop, &item, 1, "k").await;
    let token = shop.buyer(1);
    let mut stream = watch(&shop, &order, &token).await;
    assert_eq!(event(&mut stream).await["status"], "reserved");
    let paid = shop.post(&format!("/api/v1/orders/{order}/pay"), &token, None).await;
    assert_eq!(paid.status, 200);
    assert_eq!(event(&mut stream).await["status"], "paid");
    assert_eq!(stream.chunk().await, None);

    let foreign = shop.get(&format!("/api/v1/orders/{order}/events"), Some(&shop.buyer(2))).await;
    assert_eq!(foreign.problem(), (404, "order_not_found".to_owned()));
}

#[tokio::test]
async fn a_client_that_knows_the_end_is_told_not_to_come_again() {
    let shop = Shop::open().await;
    let item = shop.live_item(5).await;
    let order = bought(&shop, &item, 1, "k").await;
    let token = shop.buyer(1);
    let path = format!("/api/v1/orders/{order}/events");
    assert_eq!(shop.post(&format!("/api/v1/orders/{order}/pay"), &token, None).await.status, 200);
    for (known, status) in [("reserved", 200), ("paid", 204)] {
        let headers = [("last-event-id", known)];
        let ask = Ask { token: Some(&token), headers: &headers, ..Ask::default() };
        assert_eq!(shop.ask("GET", &path, ask).await.status, status, "{known}");
    }
}

#[tokio::test]
async fn a_stream_whose_client_left_gives_its_place_back_at_once() {
    // The heartbeat is longer than any test takes.
    let options = seckill::http::Options {
        event_heartbeat: std::time::Duration::from_secs(3_600),
        event_streams_per_buyer_max: 1,
        ..Default::default()
    };
    let shop = Shop::with(options).await;
    let item = shop.live_item(5).await;
    let order = bought(&shop, &item, 1, "k").await;
    let token = shop.buyer(1);
    let mut stream = watch(&shop, &order, &token).await;
    event(&mut stream).await;
    let second = shop.get(&format!("/api/v1/orders/{order}/events"), Some(&token)).await;
    assert_eq!(second.problem(), (429, "too_many_event_streams".to_owned()));
    drop(stream);
    shop.until_shown("seckill_http_event_streams 0").await;
    event(&mut watch(&shop, &order, &token).await).await;
}

#[tokio::test]
async fn streams_are_counted_and_end_when_the_server_drains() {
    let options = seckill::http::Options { event_streams_max: 1, ..Default::default() };
    let shop = Shop::with(options).await;
    let item = shop.live_item(5).await;
    let order = bought(&shop, &item, 1, "k").await;
    let token = shop.buyer(1);
    let mut stream = watch(&shop, &order, &token).await;
    event(&mut stream).await;
    let second = shop.get(&format!("/api/v1/orders/{order}/events"), Some(&token)).await;
    assert_eq!(second.problem(), (503, "overloaded".to_owned()));
    shop.shut();
    assert_eq!(stream.chunk().await, None);
    assert_eq!(stream.closed().await, 0);
    shop.close().await;
}

/// The reason of a stream's last event, behind which nothing comes.
async fn last_event(stream: &mut Connection) -> Value {
    loop {
        let chunk = stream.chunk().await.expect("a last event");
        let text = String::from_utf8(chunk).expect("text");
        if let Some(data) = text.strip_prefix("event: end\ndata: ") {
            assert_eq!(stream.chunk().await, None);
            return serde_json::from_str(data.trim_end()).expect("JSON");
        }
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_says_so() {
    let shop = Shop::open().await;
    let item = shop.live_item(5).await;
    let order = bought(&shop, &item, 1, "k").await;
    let token = shop.signer.mint("1", Role::Buyer, shop.engine.now(), 2);
    let mut stream = watch(&shop, &order, &token).await;
    assert_eq!(event(&mut stream).await["status"], "reserved");
    let end = last_event(&mut stream).await;
    assert_eq!(end["code"], "unauthenticated");
    assert!(end["detail"].as_str().expect("text").contains("has expired"), "{end}");
    let again = shop.get(&format!("/api/v1/orders/{order}/events"), Some(&token)).await;
    assert_eq!(again.problem(), (401, "unauthenticated".to_owned()));
}

#[tokio::test]
async fn streams_say_when_to_come_back_each_at_another_time() {
    let shop = Shop::open().await;
    let item = shop.live_item(5).await;
    let order = bought(&shop, &item, 1, "k").await;
    let mut told = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let chunk = watch(&shop, &order, &shop.buyer(1)).await.chunk().await.expect("an event");
        let text = String::from_utf8(chunk).expect("text");
        let (line, _) = text.split_once('\n').expect("a line");
        assert!(line.starts_with("retry: "), "{line}");
        told.insert(line.to_owned());
    }
    assert!(told.len() > 1, "four streams would come back at once: {told:?}");
}

async fn watch(shop: &Shop, order: &str, token: &str) -> Connection {
    let mut connection = Connection::open(shop.address).await;
    let request = format!(
        "GET /api/v1/orders/{order}/events HTTP/1.1\r\nhost: shop\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    connection.send(request.as_bytes()).await;
    let head = connection.head().await.expect("the stream begins");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("x-accel-buffering: no"), "a proxy would gather events: {head}");
    connection
}

async fn event(stream: &mut Connection) -> Value {
    let chunk = stream.chunk().await.expect("an event");
    let text = String::from_utf8(chunk).expect("text");
    // The first says when to come back: each stream at another time, so that a restart is no rush.
    let text = text.strip_prefix("retry: ").map_or(text.as_str(), |rest| {
        let (milliseconds, rest) = rest.split_once('\n').expect("a line");
        let milliseconds = milliseconds.parse::<u32>().expect("a number");
        assert!((1_000..=10_000).contains(&milliseconds), "{milliseconds}");
        rest
    });
    let rest = text.strip_prefix("event: order\nid: ").expect("an order event");
    let (id, data) = rest.split_once("\ndata: ").expect("its data");
    let order: Value = serde_json::from_str(data.trim_end()).expect("JSON");
    assert_eq!(order["status"], id);
    order
}

/// Its shard has released them, and the order store has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_of_a_settled_sale_are_answered_for() {
    let shop = Shop::open().await;
    let mut pear = offer("pear", 5);
    pear["payment_window_seconds"] = json!(1);
    let now = shop.engine.now();
    let short = shop.draft_between(now, now.plus_milliseconds(2_000), &[pear]);
    let (_, items) = shop.sale(short).await;
    let item = &items[0];
    let (paid, expired) = (bought(&shop, item, 1, "k").await, bought(&shop, item, 2, "k").await);
    let pay = |order: &str| format!("/api/v1/orders/{order}/pay");
    assert_eq!(shop.post(&pay(&paid), &shop.buyer(1), None).await.status, 200);
    let backends = shop.start_backends().await;
    let gate = shop.engine.gate(item.parse().unwrap()).unwrap();
    harness::patiently("settling", wait_until(|| gate.is_settled())).await;
    backends.stop(&shop.engine, DRAIN_MAX).await;

    let repeat = shop.buy(item, 1, "k").await;
    assert_eq!((repeat.status, repeat.json()["order_id"].clone()), (200, json!(paid)));
    assert_eq!(repeat.json()["status"], "paid");
    assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    let two = Ask {
        token: Some(&shop.buyer(1)),
        headers: &[("idempotency-key", "k")],
        body: Some(json!({ "quantity": 2 })),
    };
    let other = shop.ask("POST", &format!("/api/v1/items/{item}/buy"), two).await;
    assert_eq!(other.problem(), (409, "idempotency_key_reused".to_owned()));
    for (user, key) in [(1, "l"), (3, "k")] {
        assert_eq!(shop.buy(item, user, key).await.problem().1, "sale_ended", "{user} {key}");
    }
    let token = shop.buyer(2);
    for path in [pay(&expired), format!("/api/v1/orders/{expired}/cancel")] {
        let refused = shop.post(&path, &token, None).await;
        assert_eq!(refused.problem(), (409, "order_closed".to_owned()), "{path}");
    }
    let refused = shop.post(&pay(&expired), &token, None).await.json();
    assert!(refused["detail"].as_str().unwrap().contains("nothing was done or taken"));
    let again = shop.post(&pay(&paid), &shop.buyer(1), None).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
    let stranger = shop.post(&pay(&expired), &shop.buyer(1), None).await;
    assert_eq!(stranger.problem(), (404, "order_not_found".to_owned()));
}

/// The client hears that the outcome is not known, and the payment goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_outlives_its_request() {
    let request_timeout = Duration::from_millis(100);
    let shop = Shop::with(Options { request_timeout, ..Options::default() }).await;
    let item = shop.live_item(1).await;
    let order = bought(&shop, &item, 1, "k").await;
    let token = shop.buyer(1);
    let path = format!("/api/v1/orders/{order}/pay");
    let late = json!({ "payment": { "outcome": "late", "delay_ms": 300 } });
    let answer = shop.post(&path, &token, Some(late)).await;
    assert_eq!(answer.problem(), (503, "outcome_unknown".to_owned()));
    let paid = async {
        let shown = format!("/api/v1/orders/{order}");
        while shop.get(&shown, Some(&token)).await.json()["status"] != "paid" {
            tokio::task::yield_now().await;
        }
    };
    harness::patiently("the payment", paid).await;
    let repeat = shop.post(&path, &token, None).await;
    assert_eq!((repeat.status, repeat.header("idempotent-replayed")), (200, Some("true")));
}
