//! A disk whose syncs take their time, or for ever.

use crate::support::{Client, Crowd, Offer, OpenSale, Random, Server, Site, Witness, patiently};
use rustix::process::Signal;
use std::sync::Arc;
use tokio::task::JoinSet;

const OFFERS: &[Offer] = &[Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 }];
const PERMITS: u64 = 32;
/// More than there are permits.
const BUYERS: usize = 96;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_syncs_shed_what_is_too_much_and_confirm_nothing_falsely() {
    let mut random = Random::of("slow syncs");
    // At first nobody loses patience, however busy the machine's own disk is.
    let mut site =
        Site::new().with("ENGINE__PERMITS", "32").with("ENGINE__REPLY_TIMEOUT_MS", "60000");
    let (server, shop) = site.open_shop(BUYERS, OFFERS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    server.stop().await;

    let server = site.start_with("journal-sync=sleep(50)").await;
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(300).await;
    assert_eq!(crowd.unavailable(), 0, "50 ms are slow and no trouble");
    crowd.leave().await;
    server.stop().await;

    site.set("ENGINE__REPLY_TIMEOUT_MS", "500");
    let server = site.start_with("journal-sync=sleep(2000)").await;
    let heard = rush(&server, &shop, &witness).await;
    assert!(heard.overloaded > 0 && heard.unknown > 0, "{heard:?}");
    // Reads that rest on nothing undurable do not wait for the disk.
    assert_eq!(server.get("/livez").await.status, 200);
    server.kill().await;
    witness.close(&site, &shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_never_ends_is_answered_with_unknown_and_does_not_hold_up_a_stop() {
    let mut site = Site::new()
        .with("ENGINE__PERMITS", "32")
        .with("ENGINE__REPLY_TIMEOUT_MS", "300")
        .with("ENGINE__DRAIN_TIMEOUT_MS", "500")
        .with("HTTP__DRAIN_TIMEOUT_MS", "500");
    let (server, shop) = site.open_shop(BUYERS, OFFERS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    server.stop().await;
    let server = site.start_with("journal-sync=sleep(100000000)").await;
    let heard = rush(&server, &shop, &witness).await;
    assert_eq!(witness.confirmed(), 0, "confirmed without a sync");
    assert!(heard.overloaded > 0 && heard.unknown > 0, "{heard:?}");
    server.signal(Signal::TERM);
    server.ended().await;
    // The last stop brings the orders into the order store, however long that takes.
    site.set("ENGINE__DRAIN_TIMEOUT_MS", "60000");
    witness.close(&site, &shop).await;
}

#[derive(Default, Debug)]
struct Heard {
    unknown: u64,
    overloaded: u64,
}

/// All buyers at once, once each; what is out at the same time stays within the permits.
async fn rush(server: &Server, shop: &Arc<OpenSale>, witness: &Arc<Witness>) -> Heard {
    let mut buyers = JoinSet::new();
    for buyer in 0..BUYERS {
        let (shop, witness) = (Arc::clone(shop), Arc::clone(witness));
        let address = server.address();
        buyers.spawn(async move {
            let item = shop.items[0];
            let attempt = crate::support::Attempt { item, buyer, key: format!("rush-{buyer}") };
            let mut client = Client::open(address).await.expect("it listens");
            let answer = shop.buy(&mut client, item, buyer, &attempt.key).await.expect("an answer");
            if !witness.bought(&attempt, &answer) {
                witness.lost(attempt);
            }
            answer.code()
        });
    }
    let ready = server.look("/readyz?verbose").await.json();
    assert!(ready["permits_used"].as_u64().is_some_and(|used| used <= PERMITS), "{ready}");
    let mut heard = Heard::default();
    while let Some(code) = patiently("an answer to everyone", buyers.join_next()).await {
        match code.expect("no buyer saw anything wrong").as_str() {
            "outcome_unknown" => heard.unknown += 1,
            "overloaded" => heard.overloaded += 1,
            "" => {}
            other => panic!("{other}"),
        }
    }
    heard
}
