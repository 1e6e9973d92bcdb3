//! The edge over an engine in trouble: every 503 says what it means, and the sale goes on after.
//!
//! A binary of its own, because failpoints hold for the whole process.

use fail::FailScenario;
use seckill::actors::EngineOptions;
use std::time::Duration;
use support::{Setup, Shop, engine, offer};

#[tokio::test]
async fn without_a_permit_it_is_refused_at_once() {
    let _scenario = FailScenario::setup();
    let shop = Shop::open().await;
    let item = shop.live_item(5).await;
    let directory = shop.close().await;
    let options = EngineOptions { permits: 0, ..engine::options() };
    let shop = Setup { engine: Some(options), ..Setup::default() }.open_in(directory).await;
    let answer = shop.buy(&item, 1, "k").await;
    assert_eq!(answer.problem(), (503, "overloaded".to_owned()));
    let shop = shop.reopen().await;
    assert_eq!(shop.buy(&item, 1, "k").await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_is_not_known_is_said_so_and_the_key_finds_it_out() {
    let scenario = FailScenario::setup();
    let reply_timeout = Duration::from_millis(300);
    let shop = Shop::with_engine(EngineOptions { reply_timeout, ..engine::options() }).await;
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
