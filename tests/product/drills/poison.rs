//! An item that makes its shard panic, and shards that die.

use crate::support::{
    Attempt, Crowd, Offer, Random, Site, Witness, must_be_unavailable, must_sell, until,
};
use std::sync::Arc;

const OFFER: Offer = Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_panics_while_deciding_is_set_aside_and_its_neighbour_sells() {
    a_poisoned_item_is_set_aside("shard-decide").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_panics_while_applying_is_set_aside_and_its_neighbour_sells() {
    a_poisoned_item_is_set_aside("shard-apply").await;
}

async fn a_poisoned_item_is_set_aside(failpoint: &str) {
    let mut random = Random::of(failpoint);
    let site = Site::new().with("ENGINE__SHARDS", "1");
    let (server, shop) = site.open_shop(320, &[OFFER, OFFER]).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(200).await;
    crowd.leave().await;
    server.stop().await;

    let (poisoned, neighbour) = (shop.items[0], shop.items[1]);
    let server = site.start_with(&format!("{failpoint}=return({poisoned})")).await;
    let mut client = server.client().await;
    let before = shop.counters(&mut client, poisoned).await;
    for round in 0..20 {
        let answer = shop.buy(&mut client, poisoned, 0, &format!("poison-{round}")).await;
        let answer = answer.expect("an answer");
        must_be_unavailable(&answer);
        assert_eq!(answer.code(), "item_quarantined", "{}", answer.text());
        let key = format!("neighbour-{round}");
        must_sell(&server, &shop, &witness, Attempt { item: neighbour, buyer: 0, key }).await;
    }
    // Between two quarantines it is out for a moment.
    until("the quarantine to show", async || {
        let ready = server.look("/readyz?verbose").await;
        assert_eq!(ready.status, 200, "{}", ready.text());
        let json = ready.json();
        let shown = json["quarantined_items"][0].as_str();
        (shown == Some(poisoned.to_string().as_str())).then_some(())
    })
    .await;
    // Orders of before are there, and so is their item.
    let (order, seen) = witness.orders().into_iter().next().expect("an order");
    let answer = shop.order(&mut client, order, seen.attempt.buyer).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(shop.counters(&mut client, poisoned).await, before);
    server.stop().await;

    let server = site.start().await;
    let key = "cured".to_owned();
    must_sell(&server, &shop, &witness, Attempt { item: poisoned, buyer: 0, key }).await;
    server.stop().await;
    witness.close(&site, &shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_panicked_for_a_while_sells_again_by_itself() {
    let site = Site::new().with("ENGINE__SHARDS", "1");
    let (server, shop) = site.open_shop(16, &[OFFER]).await;
    let witness = Witness::default();
    server.stop().await;
    let item = shop.items[0];
    let server = site.start_with(&format!("shard-apply=3*return({item})->off")).await;
    let mut client = server.client().await;
    let first = Attempt { item, buyer: 0, key: "first".to_owned() };
    let answer = shop.buy(&mut client, item, 0, &first.key).await.expect("an answer");
    assert_eq!(answer.code(), "item_quarantined", "{}", answer.text());
    must_sell(&server, &shop, &witness, first).await;
    until("readiness", async || {
        let ready = server.get("/readyz").await;
        (ready.text() == "ok\n").then_some(())
    })
    .await;
    server.stop().await;
    witness.close(&site, &shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_dies_comes_back_with_its_state_and_its_letters() {
    let mut random = Random::of("shard deaths");
    let site = Site::new().with("ENGINE__SHARDS", "2").with("ENGINE__REPLY_TIMEOUT_MS", "60000");
    let (server, shop) = site.open_shop(320, &[OFFER, OFFER, OFFER, OFFER]).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    server.stop().await;
    let server = site.start_with("shard-handle=100*off->3*return->100*off->2*return->off").await;
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    let deaths = async || {
        let metrics = server.look("/metrics").await;
        let line = metrics
            .text()
            .lines()
            .find_map(|line| line.strip_prefix("seckill_shard_restarts_total "));
        line.and_then(|count| count.parse::<u64>().ok())
    };
    until("five deaths", async || deaths().await.filter(|count| *count >= 5)).await;
    crowd.answers(300).await;
    assert_eq!(crowd.unavailable(), 0, "letters wait for their shard and are not lost");
    crowd.leave().await;
    assert_eq!(witness.unknown(), 0);
    server.stop().await;
    witness.close(&site, &shop).await;
}
