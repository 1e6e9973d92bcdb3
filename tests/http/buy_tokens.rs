//! Buying a guarded item: with a token, and by every other way.

use domain::{ItemId, RequestId, Timestamp, UserId};
use harness::http::Answer;
use seckill::actors::KeyOrigin;
use seckill::http::{BuyToken, BuyTokens, Signer, timestamp};
use serde_json::{Value, json};
use support::{Ask, DRAIN_MAX, Shop, offer};

/// A guarded item that is on sale: its sale and its identity.
async fn guarded(shop: &Shop, allotted: u32, admission: Value) -> (String, String) {
    let mut item = offer("pear", allotted);
    item["limit_per_user"] = json!(10);
    let (sale, items) = shop.sale(shop.draft(&[item])).await;
    guard(shop, &sale, &items[0], admission).await;
    (sale, items[0].clone())
}

async fn guard(shop: &Shop, sale: &str, item: &str, admission: Value) {
    let path = format!("/api/v1/admin/sales/{sale}/items/{item}/admission");
    let token = shop.operator("ann");
    let ask = Ask { token: Some(&token), body: Some(admission), ..Ask::default() };
    let answer = shop.ask("PUT", &path, ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn token(shop: &Shop, item: &str, user: u64, key: Option<&str>) -> Answer {
    let named = key.map(|key| ("idempotency-key", key));
    let bearer = shop.buyer(user);
    let ask = Ask { token: Some(&bearer), headers: named.as_slice(), ..Ask::default() };
    shop.ask("POST", &format!("/api/v1/items/{item}/buy-token"), ask).await
}

async fn buy_url(shop: &Shop, item: &str, user: u64) -> String {
    let answer = token(shop, item, user, None).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()["buy_url"].as_str().expect("a path").to_owned()
}

async fn buy(shop: &Shop, url: &str, user: u64) -> Answer {
    shop.post(url, &shop.buyer(user), None).await
}

#[tokio::test]
async fn a_token_is_one_order_of_its_buyer() {
    let shop = Shop::open().await;
    let (_, item) = guarded(&shop, 5, json!({ "buy_token": true })).await;
    let plain = shop.buy(&item, 1, "key").await;
    assert_eq!(plain.problem(), (403, "buy_token_required".to_owned()));
    let url = buy_url(&shop, &item, 1).await;
    let bought = buy(&shop, &url, 1).await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    let again = buy(&shop, &url, 1).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(again.json()["order_id"], bought.json()["order_id"]);
    let more = shop.post(&url, &shop.buyer(1), Some(json!({ "quantity": 2 }))).await;
    assert_eq!(more.problem(), (409, "idempotency_key_reused".to_owned()));
    // A key beside it has a form and names nothing.
    for (key, status) in [("k", 200), ("a b", 422)] {
        let bearer = shop.buyer(1);
        let headers: &[_] = &[("idempotency-key", key)];
        let ask = Ask { token: Some(&bearer), headers, ..Ask::default() };
        assert_eq!(shop.ask("POST", &url, ask).await.status, status, "{key}");
    }
    let other = buy(&shop, &url, 2).await;
    assert_eq!(other.problem(), (403, "buy_token_invalid".to_owned()));
    assert_eq!(shop.post(&url, "", None).await.problem(), (401, "unauthenticated".to_owned()));
    // Another token is another order, up to the limit.
    let second = buy_url(&shop, &item, 1).await;
    assert_eq!(buy(&shop, &second, 1).await.status, 201);
}

#[tokio::test]
async fn no_token_but_its_own_buys_an_item() {
    let shop = Shop::open().await;
    let (sale, items) = shop.sale(shop.draft(&[offer("pear", 5), offer("fig", 5)])).await;
    for item in &items {
        guard(&shop, &sale, item, json!({ "buy_token": true })).await;
    }
    let url = buy_url(&shop, &items[0], 1).await;
    let token = url.rsplit('/').next().expect("a token").to_owned();
    let elsewhere = format!("/api/v1/items/{}/buy/{token}", items[1]);
    let answer = buy(&shop, &elsewhere, 1).await;
    assert_eq!(answer.problem(), (403, "buy_token_invalid".to_owned()));
    for place in 0..token.len() {
        let mut forged = token.clone().into_bytes();
        forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).expect("ASCII");
        let answer = buy(&shop, &format!("/api/v1/items/{}/buy/{forged}", items[0]), 1).await;
        assert_eq!(answer.problem(), (403, "buy_token_invalid".to_owned()), "{place}");
    }
    for text in ["x", &token[1..], &format!("{token}A"), "%00", &"A".repeat(4_000)] {
        let answer = buy(&shop, &format!("/api/v1/items/{}/buy/{text}", items[0]), 1).await;
        assert_eq!(answer.problem(), (403, "buy_token_invalid".to_owned()), "{text}");
    }
    // Sent where none is asked for, it has to be good all the same.
    guard(&shop, &sale, &items[0], json!({ "buy_token": false })).await;
    let answer = buy(&shop, &format!("/api/v1/items/{}/buy/{token}", items[1]), 1).await;
    assert_eq!(answer.problem(), (403, "buy_token_invalid".to_owned()));
    assert_eq!(buy(&shop, &url, 1).await.status, 201);
    assert_eq!(shop.engine.gates().iter().map(|gate| gate.counters().reserved).sum::<u32>(), 1);
}

#[tokio::test]
async fn tokens_come_before_the_start_and_buy_from_their_slot() {
    let shop = Shop::open().await;
    let now = shop.engine.now();
    let starts_at = now.plus_milliseconds(3_600_000);
    let draft =
        shop.draft_between(starts_at, starts_at.plus_milliseconds(3_600_000), &[offer("pear", 5)]);
    let (sale, items) = shop.sale(draft).await;
    guard(&shop, &sale, &items[0], json!({ "buy_token": true, "lead_seconds": 60 })).await;
    let early = token(&shop, &items[0], 1, None).await;
    assert_eq!(early.problem(), (409, "buy_token_not_open".to_owned()));
    let opens_at = early.json()["opens_at"].as_str().map(timestamp::parse);
    assert_eq!(opens_at.unwrap().unwrap().0, starts_at.0 - 60_000);

    let spread =
        json!({ "buy_token": true, "lead_seconds": 3_600, "spread_milliseconds": 600_000 });
    guard(&shop, &sale, &items[0], spread).await;
    let mut slots = Vec::new();
    for user in 1..=8 {
        let first = token(&shop, &items[0], user, None).await.json();
        let again = token(&shop, &items[0], user, None).await.json();
        assert_eq!(first["opens_at"], again["opens_at"], "asking again changes no slot");
        assert_ne!(first["buy_url"], again["buy_url"]);
        let at = |field: &str| timestamp::parse(first[field].as_str().unwrap()).unwrap().0;
        let slot = at("opens_at") - starts_at.0;
        assert!(slot < 600_000, "{first}");
        assert!((300_000..301_000).contains(&(at("expires_at") - at("opens_at"))), "{first}");
        slots.push(slot);
        let others = buy(&shop, first["buy_url"].as_str().unwrap(), user + 100).await;
        assert_eq!(others.problem(), (403, "buy_token_invalid".to_owned()));
        let too_early = buy(&shop, first["buy_url"].as_str().unwrap(), user).await;
        assert_eq!(too_early.problem(), (409, "sale_not_started".to_owned()));
        assert_eq!(too_early.json()["starts_at"], first["opens_at"], "the slot, not the start");
    }
    slots.sort_unstable();
    slots.dedup();
    assert!(slots.len() > 4, "slots are spread: {slots:?}");
}

#[tokio::test]
async fn within_the_sale_a_buyer_waits_for_the_slot() {
    let shop = Shop::open().await;
    let now = shop.engine.now();
    // The sale starts as soon as it is approved, and nearly every slot is minutes away.
    let draft = shop.draft_between(now, now.plus_milliseconds(7_200_000), &[offer("pear", 9)]);
    let (sale, items) = shop.sale(draft).await;
    let spread = json!({ "buy_token": true, "spread_milliseconds": 600_000 });
    guard(&shop, &sale, &items[0], spread).await;
    let mut waiting = 0;
    for user in 1..=8 {
        let issued = token(&shop, &items[0], user, None).await.json();
        let answer = buy(&shop, issued["buy_url"].as_str().unwrap(), user).await;
        if answer.status != 201 {
            waiting += 1;
            assert_eq!(answer.problem(), (409, "sale_not_started".to_owned()));
            assert_eq!(answer.json()["starts_at"], issued["opens_at"]);
        }
    }
    assert!(waiting > 4, "{waiting} wait");
}

#[tokio::test]
async fn the_same_key_gets_the_same_purchase() {
    let shop = Shop::open().await;
    let (_, item) = guarded(&shop, 9, json!({ "buy_token": true })).await;
    let mut orders = Vec::new();
    for key in ["a", "a", "b"] {
        let issued = token(&shop, &item, 1, Some(key)).await.json();
        let order = buy(&shop, issued["buy_url"].as_str().unwrap(), 1).await.json();
        orders.push(order["order_id"].clone());
    }
    assert_eq!(orders[0], orders[1]);
    assert_ne!(orders[0], orders[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_shows_its_order_and_buys_nothing() {
    let http = seckill::http::Options {
        buy_token_lifetime: std::time::Duration::ZERO,
        ..seckill::http::Options::default()
    };
    let shop = Shop::with(http).await;
    let (_, item) = guarded(&shop, 9, json!({ "buy_token": true })).await;
    // Good for less than a second.
    let (mut used, mut unused) = (String::new(), String::new());
    let mut bought = Value::Null;
    while bought.is_null() {
        used = buy_url(&shop, &item, 1).await;
        unused = buy_url(&shop, &item, 1).await;
        let answer = buy(&shop, &used, 1).await;
        if answer.status == 201 {
            bought = answer.json();
        }
    }
    let over = shop.engine.now().plus_milliseconds(1_000);
    harness::patiently("expiry", support::wait_until(|| shop.engine.now() > over)).await;
    let answer = buy(&shop, &unused, 1).await;
    assert_eq!(answer.problem(), (403, "buy_token_invalid".to_owned()));
    assert!(answer.text().contains("expired"), "{}", answer.text());
    let answer = buy(&shop, &used, 1).await;
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(answer.json()["order_id"], bought["order_id"]);
    let more = shop.post(&used, &shop.buyer(1), Some(json!({ "quantity": 2 }))).await;
    assert_eq!(more.problem(), (409, "idempotency_key_reused".to_owned()));
}

/// Once the sale is over and its orders have left their shard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_a_settled_item_shows_its_order_and_buys_nothing() {
    let shop = Shop::open().await;
    let now = shop.engine.now();
    let draft = shop.draft_between(now, now.plus_milliseconds(3_000), &[offer("pear", 5)]);
    let (sale, items) = shop.sale(draft).await;
    guard(&shop, &sale, &items[0], json!({ "buy_token": true })).await;
    let (used, unused) = (buy_url(&shop, &items[0], 1).await, buy_url(&shop, &items[0], 2).await);
    let bought = buy(&shop, &used, 1).await.json();
    let pay = format!("/api/v1/orders/{}/pay", bought["order_id"].as_str().expect("an order"));
    assert_eq!(shop.post(&pay, &shop.buyer(1), None).await.status, 200);
    let backends = shop.start_backends().await;
    let item_id = items[0].parse().expect("an identity");
    let is_settled = || shop.engine.gate(item_id).is_none_or(|gate| gate.is_settled());
    harness::patiently("settling", support::wait_until(is_settled)).await;
    backends.stop(&shop.engine, DRAIN_MAX).await;
    let again = buy(&shop, &used, 1).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(again.json()["order_id"], bought["order_id"]);
    assert_eq!(buy(&shop, &unused, 2).await.problem(), (409, "sale_ended".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_uses_at_once_are_one_order() {
    let shop = Shop::open().await;
    let (_, item) = guarded(&shop, 99, json!({ "buy_token": true })).await;
    let url = buy_url(&shop, &item, 1).await;
    let uses = (0..64).map(|_| buy(&shop, &url, 1));
    let answers = futures_util::future::join_all(uses).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 1);
    let order = answers[0].json()["order_id"].clone();
    for answer in &answers {
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        assert_eq!(answer.json()["order_id"], order);
    }
    assert_eq!(shop.engine.gates()[0].counters().reserved, 1);
}

#[tokio::test]
async fn who_bought_before_the_guard_may_still_repeat_it() {
    let shop = Shop::open().await;
    let (sale, items) = shop.sale(shop.draft(&[offer("pear", 5)])).await;
    let before = shop.buy(&items[0], 1, "before").await;
    assert_eq!(before.status, 201);
    guard(&shop, &sale, &items[0], json!({ "buy_token": true })).await;
    let again = shop.buy(&items[0], 1, "before").await;
    assert_eq!((again.status, &again.json()["order_id"]), (200, &before.json()["order_id"]));
    let new = shop.buy(&items[0], 1, "after").await;
    assert_eq!(new.problem(), (403, "buy_token_required".to_owned()));
    let unnamed = shop.post(&format!("/api/v1/items/{}/buy", items[0]), &shop.buyer(1), None).await;
    assert_eq!(unnamed.problem(), (403, "buy_token_required".to_owned()));
}

/// Two processes that share a secret, and one that does not.
#[tokio::test]
async fn nodes_with_one_secret_take_each_others_tokens() {
    let shop = Shop::open().await;
    let (_, item) = guarded(&shop, 5, json!({ "buy_token": true })).await;
    let url = buy_url(&shop, &item, 1).await;
    // The same data, served by another process.
    let shop = shop.reopen().await;
    let bought = buy(&shop, &url, 1).await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    let shop = shop.reopen().await;
    let again = buy(&shop, &url, 1).await;
    assert_eq!((again.status, &again.json()["order_id"]), (200, &bought.json()["order_id"]));
}

#[tokio::test]
async fn a_token_counts_under_its_shops_secret_and_its_days_key() {
    const DAY_MILLISECONDS: u64 = 24 * 3_600 * 1_000;
    let shop = Shop::open().await;
    let (_, item) = guarded(&shop, 9, json!({ "buy_token": true })).await;
    let item_id: ItemId = item.parse().expect("an identity");
    let now = shop.engine.now();
    // Open, and good for an hour, whenever it was made.
    let token = |nonce| BuyToken {
        nonce,
        opens_at: Timestamp(now.0 - 1_000),
        expires_at: now.plus_milliseconds(3_600_000),
    };
    let url = |secret: u8, days_ago: u64, nonce| {
        let tokens = BuyTokens::new(&Signer::new(&[secret; 32]).expect("a secret"));
        let made_at = Timestamp(now.0 - days_ago * DAY_MILLISECONDS);
        let text = tokens.issue(made_at, &token(nonce), item_id, UserId(1));
        format!("/api/v1/items/{item}/buy/{text}")
    };
    for forged in [url(8, 0, 1), url(7, 2, 1), url(7, 256, 1)] {
        let answer = buy(&shop, &forged, 1).await;
        assert_eq!(answer.problem(), (403, "buy_token_invalid".to_owned()));
    }
    assert_eq!(shop.engine.gates()[0].counters().reserved, 0);
    for good in [url(7, 0, 1), url(7, 1, 2)] {
        assert_eq!(buy(&shop, &good, 1).await.status, 201);
    }
}

#[tokio::test]
async fn who_asks_for_a_token_is_told_what_is_wrong() {
    let shop = Shop::open().await;
    let (sale, item) = guarded(&shop, 1, json!({ "buy_token": true })).await;
    let path = format!("/api/v1/items/{item}/buy-token");
    assert_eq!(shop.ask("POST", &path, Ask::default()).await.status, 401);
    assert_eq!(shop.post(&path, &shop.operator("ann"), None).await.status, 403);
    let buyer = shop.buyer(1);
    let unknown = shop.post("/api/v1/items/999/buy-token", &buyer, None).await;
    assert_eq!(unknown.problem(), (404, "item_not_found".to_owned()));
    for body in [json!({ "challenge": 1 }), json!({ "solution": "x" })] {
        let answer = shop.post(&path, &buyer, Some(body)).await;
        assert_eq!(answer.problem(), (422, "invalid_field".to_owned()));
    }
    // An item that is sold out still has tokens: units come back.
    assert_eq!(buy(&shop, &buy_url(&shop, &item, 1).await, 1).await.status, 201);
    let late = buy_url(&shop, &item, 2).await;
    assert_eq!(buy(&shop, &late, 2).await.problem(), (409, "sold_out".to_owned()));
    let end = format!("/api/v1/admin/sales/{sale}/end");
    assert_eq!(shop.post(&end, &shop.operator("ann"), None).await.status, 200);
    let over = shop.post(&path, &buyer, None).await;
    assert_eq!(over.problem(), (409, "sale_ended".to_owned()));
}

/// A buyer's key that happens to be what a token's order has names that order and nothing else.
#[tokio::test]
async fn a_token_skips_the_check_of_other_items_and_is_still_one_order() {
    let shop = Shop::open().await;
    let item = shop.live_item(5).await;
    let gate = shop.engine.gate(item.parse().unwrap()).unwrap();
    let buy = domain::Buy {
        item_id: gate.terms().item_id,
        user_id: UserId(1),
        request_id: RequestId(9),
        quantity: 1,
    };
    let first = shop.engine.buy(&gate, buy, KeyOrigin::Token).await;
    let order = support::placed(first).expect("an order");
    let found = shop.engine.order_of(&gate, UserId(1), RequestId(9)).await;
    assert_eq!(found, Ok(Some(order)));
    assert_eq!(shop.engine.order_of(&gate, UserId(2), RequestId(9)).await, Ok(None));
}
