//! The edge over an engine in trouble: every 503 says what it means, and the sale goes on after.
//!
//! A binary of its own, because failpoints hold for the whole process.

#[path = "../http/client.rs"]
#[expect(dead_code, reason = "shared with the tests of a healthy engine")]
mod client;
#[path = "../http/shop.rs"]
#[expect(dead_code, reason = "shared with the tests of a healthy engine")]
mod shop;

use fail::FailScenario;
use seckill::http::Options;
use shop::{EngineSettings, Shop, offer};
use std::time::Duration;

#[tokio::test]
async fn without_a_permit_it_is_refused_at_once() {
    let _scenario = FailScenario::setup();
    let shop = Shop::open().await;
    let item = shop.live_item(5).await;
    let directory = shop.close().await;
    let settings = EngineSettings { permits: 0, ..EngineSettings::default() };
    let shop = Shop::start(directory, Options::default(), settings).await;
    let answer = shop.buy(&item, 1, "k").await;
    assert_eq!(answer.problem(), (503, "overloaded".to_owned()));
    let directory = shop.close().await;
    let shop = Shop::start(directory, Options::default(), EngineSettings::default()).await;
    assert_eq!(shop.buy(&item, 1, "k").await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_is_not_known_is_said_so_and_the_key_finds_it_out() {
    let scenario = FailScenario::setup();
    let settings =
        EngineSettings { reply_timeout: Duration::from_millis(300), ..EngineSettings::default() };
    let directory = tempfile::tempdir().expect("a directory");
    let shop = Shop::start(directory, Options::default(), settings).await;
    let item = shop.live_item(1).await;
    fail::cfg("journal-sync", "pause").expect("a failpoint");
    let answer = shop.buy(&item, 1, "k").await;
    assert_eq!(answer.problem(), (503, "outcome_unknown".to_owned()));
    fail::remove("journal-sync");
    let repeat = shop.buy(&item, 1, "k").await;
    assert!(matches!(repeat.status, 200 | 201), "{}", repeat.text());
    let counters = shop.get(&format!("/api/v1/items/{item}"), None).await.json();
    assert_eq!(counters["counters"]["reserved"], 1);
    scenario.teardown();
}

#[tokio::test]
async fn an_item_in_quarantine_is_named_and_its_neighbours_sell_on() {
    let scenario = FailScenario::setup();
    let shop = Shop::open().await;
    let (_, items) = shop.sale(shop.draft(&[offer("sick", 5), offer("well", 5)])).await;
    let [sick, well] = items.as_slice() else { panic!("two items") };
    let poison = format!("return({sick})");
    fail::cfg("shard-decide", &poison).expect("a failpoint");
    // The first quarantine is short, each later one twice as long: the health is looked at in one.
    let mut user_ids = 1..100;
    let health = loop {
        let user_id = user_ids.next().expect("the item is quarantined within a few attempts");
        let code = shop.buy(sick, user_id, "k").await.problem().1;
        let health = shop.get("/readyz?verbose", None).await;
        if code == "item_quarantined" && health.json()["quarantined_items"][0] == *sick {
            break health;
        }
    };
    assert_eq!((health.status, health.json()["status"].clone()), (200, "degraded".into()));
    assert_eq!(shop.buy(well, 1, "w").await.status, 201);
    scenario.teardown();
}
