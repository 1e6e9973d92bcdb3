//! A replica of the order store: lists are read from it while it is near enough, the journal keeps what it lacks, and it
//! takes the order store's place.

use super::ground::{caught_up, degraded};
use super::stores::{close_over, count, listed, urls};
use crate::drills::cut_journal;
use crate::support::{Crowd, Offer, Random, Server, Site, Witness, until};
use harness::MariaDb;
use std::sync::Arc;

const LASTING: Offer = Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 };

/// An order store and its replica.
pub fn pair() -> Option<(MariaDb, MariaDb)> {
    let primary = harness::required(MariaDb::start_logging(1))?;
    let replica = harness::required(MariaDb::start_logging(2))?;
    replica.replicate(&primary).expect("it follows");
    Some((primary, replica))
}

fn site(primary: &MariaDb, replica: &MariaDb) -> Site {
    Site::new()
        .with("ORDERS__MYSQL_URL", &primary.url())
        .with("ORDERS__REPLICA_URL", &replica.url())
}

/// Waits until the replica has each order that the order store has.
async fn replicated(primary: &MariaDb, replica: &MariaDb) {
    until("the replica to have them all", async || {
        (count(replica) == count(primary)).then_some(())
    })
    .await;
}

/// Waits until nothing is kept for this order store.
async fn nothing_waits_for(server: &Server, place: usize) {
    let figure = format!("seckill_order_store_backlog_records{{store=\"{place}\"}}");
    until(&format!("nothing to wait for store {place}"), async || {
        (server.figure(&figure).await == 0).then_some(())
    })
    .await;
}

pub async fn reads(server: &Server, outcome: &str) -> u64 {
    server
        .figure(&format!("seckill_order_replica_reads_total{{store=\"0\",outcome=\"{outcome}\"}}"))
        .await
}

/// Waits until the store has all orders of the journal that was written. They are many, and are waited for in steps.
async fn stored(server: &Server, store: &MariaDb) {
    for step in 1..=8 {
        let orders = cut_journal::ORDERS * step / 8;
        until("more to be stored", async || (count(store) as u64 >= orders).then_some(())).await;
    }
    until("the rest to be stored", async || {
        (server.figure("seckill_backlog_records").await == 0).then_some(())
    })
    .await;
    assert_eq!(count(store) as u64, cut_journal::ORDERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_whole_whether_the_replica_follows_stands_or_is_away() {
    let Some((primary, replica)) = pair() else { return };
    let site = site(&primary, &replica);
    let (server, shop) = site.open_shop(40, &[LASTING; 3]).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut random = Random::of("replicas");
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(100).await;
    crowd.leave().await;
    caught_up(&server).await;
    replicated(&primary, &replica).await;
    let all = async || witness.orders().into_keys().collect::<Vec<u64>>();
    until("a list that the replica was read for", async || {
        assert_eq!(listed(&server, &shop.operator).await, all().await);
        (reads(&server, "replica").await > 0).then_some(())
    })
    .await;

    // It stands. What is stored from now on is in no list of it.
    replica.execute("STOP SLAVE SQL_THREAD").expect("stopped");
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(100).await;
    crowd.leave().await;
    until("all to be stored", async || {
        (server.figure("seckill_backlog_records").await == 0).then_some(())
    })
    .await;
    degraded(&server, "order_replica").await;
    let behind = reads(&server, "behind").await;
    assert_eq!(listed(&server, &shop.operator).await, all().await);
    until("the order store to be asked instead", async || {
        (reads(&server, "behind").await > behind).then_some(())
    })
    .await;
    assert!(count(&replica) < count(&primary));
    assert!(server.figure("seckill_order_replica_lag_records{store=\"0\"}").await > 0);

    // It is away, and nobody waits for it.
    replica.kill();
    until("a list that did not come from it", async || {
        assert_eq!(listed(&server, &shop.operator).await, all().await);
        (reads(&server, "away").await > 0).then_some(())
    })
    .await;
    replica.restart().expect("it comes back");
    replica.execute("START SLAVE").expect("started");
    caught_up(&server).await;
    replicated(&primary, &replica).await;
    let before = reads(&server, "replica").await;
    until("the replica to be read again", async || {
        assert_eq!(listed(&server, &shop.operator).await, all().await);
        (reads(&server, "replica").await > before).then_some(())
    })
    .await;

    // The order store is away: what the replica has is whole.
    primary.kill();
    degraded(&server, "order_store").await;
    let before = reads(&server, "replica").await;
    let mut client = server.client().await;
    let token = &shop.tokens[0];
    let page = client.send("GET", "/api/v1/orders?limit=100", token, &[], "").await;
    let page = page.expect("an answer").json();
    assert_eq!(page["complete"], true, "{page}");
    until("the replica to be named as the one", async || {
        (reads(&server, "replica").await > before).then_some(())
    })
    .await;
    primary.restart().expect("it comes back");
    caught_up(&server).await;
    server.stop().await;
    witness.audit(&site);
    witness.close(&site, &shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lags_takes_the_place_of_a_dead_order_store_and_nothing_is_lost() {
    let Some((primary, replica)) = pair() else { return };
    let mut site = site(&primary, &replica)
        .with("ORDERS__KEEP_UNTIL_REPLICATED", "true")
        // So that the replica has some of it before it has all.
        .with("ORDERS__BATCH_RECORDS", "4000");
    // More than a segment of orders, so that the order store alone would let the first one go.
    cut_journal::write(&site.data().join("journal"));
    let server = site.start().await;
    until("some to arrive at the replica", async || {
        let count = replica.execute("SELECT COUNT(*) FROM orders").ok()?;
        (count != "0").then_some(())
    })
    .await;
    replica.execute("STOP SLAVE SQL_THREAD").expect("stopped");
    stored(&server, &primary).await;
    // A round of checkpoints deletes what all have that are asked.
    server.checkpointed().await;
    server.checkpointed().await;
    assert!(!site.log().contains("old parts of the journal deleted"), "{}", site.log());
    let behind = count(&replica);
    assert!((behind as u64) < cut_journal::ORDERS, "it lags");
    server.stop().await;

    primary.kill();
    replica.promote().expect("promoted");
    site.set("ORDERS__MYSQL_URL", &replica.url());
    site.unset("ORDERS__REPLICA_URL");
    site.unset("ORDERS__KEEP_UNTIL_REPLICATED");
    let server = site.start().await;
    stored(&server, &replica).await;
    caught_up(&server).await;
    // Nobody waits for a replica any more.
    site.logged("old parts of the journal deleted").await;
    server.stop().await;
    site.audit([]).must_balance();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lags_takes_the_place_of_one_of_two_dead_order_stores_and_nothing_is_lost() {
    const PLACE: usize = 1;
    let (Some(zero), Some(one)) = (pair(), pair()) else { return };
    let (stores, replicas) = ([&zero.0, &one.0], [&zero.1, &one.1]);
    let mut site = Site::new()
        .with("ORDERS__MYSQL_URLS", &urls(stores))
        .with("ORDERS__REPLICA_URLS", &urls(replicas))
        .with("ORDERS__KEEP_UNTIL_REPLICATED", "true");
    // Enough items that each store has some of the shards with them.
    let (server, shop) = site.open_shop(40, &[LASTING; 12]).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut random = Random::of("one of two replicas");
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(150).await;
    until("some to arrive at both replicas", async || {
        replicas.iter().all(|replica| count(replica) > 0).then_some(())
    })
    .await;
    // It lags: its store has more, and dies with it while buyers buy.
    replicas[PLACE].execute("STOP SLAVE SQL_THREAD").expect("stopped");
    let behind = count(replicas[PLACE]);
    crowd.answers(150).await;
    until("more in the store", async || (count(stores[PLACE]) > behind).then_some(())).await;
    let stored = count(stores[PLACE]);
    stores[PLACE].kill();
    degraded(&server, "order_store_1").await;
    crowd.answers(150).await;
    assert_eq!(crowd.unavailable(), 0, "a purchase was turned away\n{}", site.log());
    crowd.leave().await;
    nothing_waits_for(&server, 1 - PLACE).await;
    server.stop().await;

    replicas[PLACE].promote().expect("promoted");
    assert!(count(replicas[PLACE]) < stored, "it lags");
    let now = [stores[1 - PLACE], replicas[PLACE]];
    site.set("ORDERS__MYSQL_URLS", &urls(now));
    site.unset("ORDERS__REPLICA_URLS");
    site.unset("ORDERS__KEEP_UNTIL_REPLICATED");
    let server = site.start().await;
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(50).await;
    crowd.leave().await;
    close_over(&now, server, &site, &shop, &witness).await;
}
