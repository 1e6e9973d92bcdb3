//! kill -9 at any moment, again and again, on one data directory.

use crate::support::{Attempt, Crowd, Offer, Random, Site, Witness, must_sell};
use std::sync::Arc;
use std::time::Duration;

const ROUNDS: u64 = 50;
const ROUNDS_BETWEEN_AUDITS: u64 = 10;

/// Items that sell out, whose orders expire, and that last.
const OFFERS: &[Offer] = &[
    Offer { allotted: 60, limit: 2, window_seconds: 600 },
    Offer { allotted: 200, limit: 3, window_seconds: 1 },
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 2 },
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_nothing_and_double_nothing() {
    let mut random = Random::of("kills");
    let site = Site::new();
    let (server, shop) = site.open_shop(320, OFFERS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut server = Some(server);
    for round in 1..=ROUNDS {
        let serving = match server.take() {
            Some(server) => server,
            // Every other time there is a while between a batch's end and its write, in which a
            // kill shows which answers came too early.
            None if round % 2 == 0 => site.start_with("journal-before-write=sleep(10)").await,
            None => site.start().await,
        };
        let mut crowd = Crowd::enter(&serving, &shop, &witness, &mut random);
        let answers = u32::try_from(random.below(400)).expect("a few");
        crowd.answers(answers).await;
        serving.kill().await;
        crowd.gone().await;
        if round % 5 == 0 {
            // A process that is only starting can be killed too, and nothing says where it stands.
            let starting = site.launch("");
            tokio::time::sleep(Duration::from_millis(random.below(400))).await;
            starting.kill().await;
        }
        if round % ROUNDS_BETWEEN_AUDITS == 0 {
            site.audit(witness.orders().into_keys()).must_balance();
        }
    }
    let server = site.start().await;
    let attempt = Attempt { item: shop.items[3], buyer: 0, key: "after-all".to_owned() };
    must_sell(&server, &shop, &witness, attempt).await;
    server.stop().await;
    witness.close(&site, &shop).await;
    println!("{} confirmed orders", witness.confirmed());
    assert!(witness.confirmed() > 1_000, "only {}", witness.confirmed());
    assert!(!site.log().contains("panicked at"), "{}", site.log());
}
