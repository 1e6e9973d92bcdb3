//! The edge over an engine in trouble: every 503 says what it means, and the sale goes on after.
//!
//! A binary of its own, because failpoints hold for the whole process.

use fail::FailScenario;
use seckill::actors::EngineOptions;
use std::time::Duration;
use support::{DRAIN_MAX, Setup, Shop, engine, offer};

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
        let health = shop.look("/readyz?verbose").await;
        if code == "item_quarantined" && health.json()["quarantined_items"][0] == *sick {
            break health;
        }
    };
    assert_eq!((health.status, health.json()["status"].clone()), (200, "degraded".into()));
    assert_eq!(shop.buy(well, 1, "w").await.status, 201);
    scenario.teardown();
}

/// Each task behind the sale dies once or more, and the order that was placed meanwhile arrives all the
/// same; the operator is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_background_task_that_ends_is_run_again_and_the_operator_is_told() {
    for (failpoint, task) in [
        ("relay-handle", "relay and consumer"),
        ("consumer-handle", "relay and consumer"),
        ("checkpointer-handle", "checkpointer"),
        ("supervisor-handle", "supervisor"),
    ] {
        let scenario = FailScenario::setup();
        let shop = Shop::open().await;
        let item = shop.live_item(5).await;
        fail::cfg(failpoint, "2*return->off").expect("a failpoint");
        let backends = shop.start_backends().await;
        let trouble = loop {
            let health = shop.look("/readyz?verbose").await.json();
            let dependencies = health["dependencies"].as_array().expect("a list").clone();
            let tasks = dependencies.into_iter().find(|row| row["name"] == "tasks");
            let tasks = tasks.expect("a row for the tasks");
            if tasks["healthy"] == false {
                break tasks;
            }
            tokio::task::yield_now().await;
        };
        assert!(trouble["meaning"].as_str().expect("words").contains(task), "{trouble}");
        // The supervisor's end takes the shards with it; they are rebuilt while the request waits.
        let answer = loop {
            let answer = shop.buy(&item, 1, "k").await;
            if answer.status != 503 {
                break answer;
            }
        };
        assert!(matches!(answer.status, 200 | 201), "{failpoint}: {}", answer.text());
        let order_id = answer.json()["order_id"].as_str().expect("an id").parse().expect("an id");
        while shop.orders.order(order_id).await.expect("it answers").is_none() {
            tokio::task::yield_now().await;
        }
        // Tasks of this shop that ran on would meet the next one's failpoint.
        scenario.teardown();
        backends.stop(&shop.engine, DRAIN_MAX).await;
        shop.close().await;
    }
}
