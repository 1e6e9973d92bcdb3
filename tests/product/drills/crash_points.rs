//! Killed between two steps of a purchase, wherever that hurts.

use crate::support::{Attempt, Crowd, Offer, Random, Site, Witness, must_sell};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;

const OFFERS: &[Offer] = &[
    Offer { allotted: 50, limit: 1, window_seconds: 600 },
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 1 },
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 },
];

/// Where to die, and within how many passes. What works behind the sale leaves the processors to a rush, as this one
/// is, and passes once in some seconds then.
const POINTS: &[(&str, u64)] = &[
    ("shard-after-decide", 400),
    ("shard-before-append", 100),
    ("journal-before-write", 80),
    ("journal-after-write", 80),
    ("journal-after-sync", 80),
    ("journal-before-release", 80),
    ("journal-after-release", 80),
    ("relay-before-send", 5),
    ("relay-after-send", 5),
    ("consumer-before-apply", 5),
    ("consumer-after-apply", 5),
    ("checkpoint-before-write", 5),
    ("checkpoint-after-write", 5),
];
const ROUNDS_EACH: u64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dying_between_any_two_steps_loses_nothing() {
    let mut random = Random::of("crash points");
    let site = Site::new();
    let (server, shop) = site.open_shop(320, OFFERS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    server.stop().await;
    for (point, passes) in POINTS {
        for _ in 0..ROUNDS_EACH {
            let survived = random.below(*passes);
            let failpoints = match survived {
                0 => format!("{point}=return"),
                _ => format!("{point}={survived}*off->return"),
            };
            let server = site.launch(&failpoints);
            // Some of them are passed before it listens.
            if server.listens().await.is_ok() {
                let crowd = Crowd::enter(&server, &shop, &witness, &mut random);
                let status = server.ended().await;
                assert_eq!(status.signal(), Some(9), "{failpoints}: {status}");
                crowd.gone().await;
            }
        }
        let verdict = site.audit(witness.orders().into_keys());
        assert_eq!(verdict.code, Some(0), "{point}: {:#}{}", verdict.report, verdict.errors);
    }
    let server = site.start().await;
    let attempt = Attempt { item: shop.items[2], buyer: 0, key: "after-all".to_owned() };
    must_sell(&server, &shop, &witness, attempt).await;
    server.stop().await;
    witness.close(&site, &shop).await;
    println!("{} confirmed orders", witness.confirmed());
    assert!(!site.log().contains("panicked at"), "{}", site.log());
}
