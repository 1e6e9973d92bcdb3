//! SIGTERM in the middle of a sale, and on with it.

use crate::support::{Attempt, Crowd, Offer, Random, Site, Witness, must_sell};
use rustix::process::Signal;
use std::sync::Arc;

const OFFERS: &[Offer] = &[
    Offer { allotted: 100, limit: 2, window_seconds: 600 },
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 1 },
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_of_a_sale_loses_no_answer() {
    let mut random = Random::of("restarts");
    let site = Site::new();
    let (server, shop) = site.open_shop(320, OFFERS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut server = Some(server);
    for _ in 0..8 {
        let serving = match server.take() {
            Some(server) => server,
            None => site.start().await,
        };
        let mut crowd = Crowd::enter(&serving, &shop, &witness, &mut random);
        crowd.answers(u32::try_from(random.below(600)).expect("a few")).await;
        serving.stop().await;
        crowd.gone().await;
        // Stopped in good order, so the order store has caught up: nothing waits.
        let verdict = site.audit(witness.orders().into_keys());
        verdict.must_balance();
        assert_eq!(verdict.check("I4")["checked"], verdict.orders(), "{:#}", verdict.report);
    }
    witness.close(&site, &shop).await;
    assert!(witness.confirmed() > 0);
    assert!(!site.log().contains("panicked at"), "{}", site.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_ends_nothing_and_says_what_to_do_instead() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let witness = Witness::default();
    server.signal(Signal::HUP);
    site.logged("SIGHUP changes nothing").await;
    let attempt = Attempt { item: shop.items[2], buyer: 0, key: "after-a-hangup".to_owned() };
    must_sell(&server, &shop, &witness, attempt).await;
    server.stop().await;
    witness.close(&site, &shop).await;
}
