//! The read side: a sale and the sales of a day, straight from the catalogue and through a Redis.

use domain::Timestamp;
use domain::catalogue::Day;
use serde_json::{Value, json};
use support::{Ask, Shop, offer};

/// A shop without Redis and, where there is one, another with it.
async fn shops() -> Vec<(Shop, Option<harness::Redis>)> {
    let mut shops = vec![(Shop::open().await, None)];
    if let Some(redis) = harness::redis() {
        shops.push((Shop::open_with_redis(&redis).await, Some(redis)));
    }
    shops
}

async fn sale(shop: &Shop, sale_id: &str) -> (u16, Value) {
    let answer = shop.get(&format!("/api/v1/sales/{sale_id}"), None).await;
    (answer.status, answer.json())
}

/// The sales of the day, by identity, title and status.
async fn of_day(shop: &Shop, day: Day) -> Vec<(String, String)> {
    let page = shop.get(&format!("/api/v1/sales?date={day}"), None).await.json();
    assert_eq!(page["has_more"], false);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let sales = page["data"].as_array().expect("sales");
    sales.iter().map(|sale| (text(&sale["sale_id"]), text(&sale["status"]))).collect()
}

#[tokio::test]
async fn every_change_of_a_sale_reaches_readers_at_once() {
    for (shop, _redis) in shops().await {
        let (ann, bob) = (shop.operator("ann"), shop.approver("bob"));
        let today = Day::of(shop.engine.now());
        let draft = shop.draft(&[offer("pear", 2)]);
        let created = shop.post("/api/v1/admin/sales", &ann, Some(draft.clone())).await.json();
        let sale_id = created["sale_id"].as_str().expect("an identity").to_owned();
        let path = format!("/api/v1/admin/sales/{sale_id}");
        let admin = async |step: &str, token: &str| {
            let headers: &[_] = &[("if-match", "*")];
            let ask = Ask { token: Some(token), headers, ..Ask::default() };
            let answer = shop.ask("POST", &format!("{path}/{step}"), ask).await;
            assert_eq!(answer.status, 200, "{step}: {}", answer.text());
        };
        // Each is read before and after, so that what was read before would be kept.
        assert_eq!(sale(&shop, &sale_id).await.0, 404);
        assert_eq!(of_day(&shop, today).await, []);
        let renamed = json!({ "title": "Late noon", "starts_at": draft["starts_at"],
            "ends_at": draft["ends_at"], "items": draft["items"] });
        let edit = Ask { token: Some(&ann), body: Some(renamed), ..Ask::default() };
        assert_eq!(shop.ask("PUT", &path, edit).await.status, 200);
        admin("submit", &ann).await;
        assert_eq!(sale(&shop, &sale_id).await.0, 404);
        admin("approve", &bob).await;
        let (status, shown) = sale(&shop, &sale_id).await;
        assert_eq!((status, &shown["title"]), (200, &json!("Late noon")));
        assert_eq!(shown["status"], "live");
        assert_eq!(of_day(&shop, today).await, [(sale_id.clone(), "live".to_owned())]);

        // What a shard decides is in every answer, however long the sale has been kept.
        let item = shown["items"][0]["item_id"].as_str().expect("an identity").to_owned();
        assert_eq!(shop.buy(&item, 1, "k").await.status, 201);
        let counters = json!({ "allotted": 2, "available": 1, "reserved": 1, "sold": 0 });
        assert_eq!(sale(&shop, &sale_id).await.1["items"][0]["counters"], counters);
        for (step, state) in [("pause", "paused"), ("resume", "live")] {
            admin(step, &ann).await;
            assert_eq!(sale(&shop, &sale_id).await.1["items"][0]["state"], state);
        }
        admin("end", &ann).await;
        assert_eq!(sale(&shop, &sale_id).await.1["status"], "ended");
        assert_eq!(of_day(&shop, today).await, [(sale_id, "ended".to_owned())]);
    }
}

#[tokio::test]
async fn the_clock_opens_and_ends_a_sale_that_is_kept() {
    for (shop, redis) in shops().await {
        let now = shop.engine.now();
        let (from, to) = (now.plus_milliseconds(500), now.plus_milliseconds(1_000));
        let (sale_id, _) = shop.sale(shop.draft_between(from, to, &[offer("pear", 1)])).await;
        let mut seen: Vec<String> = Vec::new();
        // Reads without a pause: each change is seen by the first read behind it.
        while seen.last().is_none_or(|status| status != "ended") {
            let status = sale(&shop, &sale_id).await.1["status"].as_str().expect("one").to_owned();
            if seen.last() != Some(&status) {
                seen.push(status);
            }
        }
        // A machine that stands still meanwhile may miss some, but not their order.
        let mut order = ["preheated", "live", "ended"].into_iter();
        assert!(seen.iter().all(|status| order.any(|next| next == status)), "{seen:?}");
        if let Some(redis) = redis {
            let kept = redis.cli(&["hget", &format!("seckill::round::{sale_id}::info"), "status"]);
            assert_eq!(kept.expect("an answer"), "preheated");
        }
    }
}

#[tokio::test]
async fn reads_are_answered_from_redis() {
    let Some(redis) = harness::redis() else { return };
    let shop = Shop::open_with_redis(&redis).await;
    let today = Day::of(shop.engine.now());
    let (sale_id, _) = shop.sale(shop.draft(&[offer("pear", 1)])).await;
    let cli = |arguments: &[&str]| redis.cli(arguments).expect("an answer");
    assert_eq!(sale(&shop, &sale_id).await.0, 200);
    cli(&["hset", &format!("seckill::{sale_id}::pear::info"), "title", "A quince"]);
    // What was read a moment ago is remembered that long.
    let shows = async |title: &str| {
        let shown = async || sale(&shop, &sale_id).await.1["items"][0]["title"] == title;
        harness::until(title, async || shown().await.then_some(())).await;
    };
    shows("A quince").await;

    assert_eq!(of_day(&shop, today).await.len(), 1);
    assert_eq!(cli(&["lrange", &format!("seckill::{today}::rounds"), "0", "-1"]), sale_id);
    let document = format!("seckill::{today}::sales");
    let text = cli(&["get", &document]).replace("A pear", "A medlar");
    cli(&["set", &document, &text]);
    harness::until("the day as Redis has it", async || {
        let page = shop.get(&format!("/api/v1/sales?date={today}"), None).await.json();
        (page["data"][0]["items"][0]["title"] == "A medlar").then_some(())
    })
    .await;

    // Without it they are answered all the same.
    redis.kill();
    shows("A pear").await;
    assert_eq!(of_day(&shop, today).await.len(), 1);
}

#[tokio::test]
async fn a_day_is_asked_for_in_one_form_and_alone() {
    let shop = Shop::open().await;
    let now = shop.engine.now();
    let day_after = |days: u64| Day::of(now.plus_milliseconds(days * 86_400_000));
    let (from, to) = (day_after(2).window().start, day_after(3).window().start);
    let late = Timestamp(to.0 - 1);
    let (second, _) = shop.sale(shop.draft_between(late, to, &[offer("fig", 1)])).await;
    let (first, _) = shop.sale(shop.draft_between(from, to, &[offer("pear", 1)])).await;
    let preheated = |sale_id: String| (sale_id, "preheated".to_owned());
    assert_eq!(of_day(&shop, day_after(2)).await, [preheated(first), preheated(second)]);
    for day in [1, 3, 100_000] {
        assert_eq!(of_day(&shop, day_after(day)).await, []);
    }
    for (query, pointer) in [
        ("date=", "date"),
        ("date=today", "date"),
        ("date=20261121", "date"),
        ("date=2026-02-30", "date"),
        ("date=1969-12-31", "date"),
        ("date=2026-11-21&limit=5", "limit"),
        ("date=2026-11-21&starting_after=5", "starting_after"),
    ] {
        let answer = shop.get(&format!("/api/v1/sales?{query}"), None).await;
        assert_eq!(answer.problem(), (422, "invalid_field".to_owned()), "{query}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{query}");
    }
}
