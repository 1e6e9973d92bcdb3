//! An item over several shards, killed at each step of a transfer between its buckets.

use crate::support::{Attempt, Crowd, Offer, Random, Site, Witness, must_sell};
use harness::until;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;

/// Little stock that comes back after a second, for nobody pays: buckets are dry, and get units of each other,
/// all the time.
const OFFERS: &[Offer] = &[
    Offer { allotted: 9, limit: 2, window_seconds: 1 },
    Offer { allotted: 14, limit: 1, window_seconds: 1 },
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 },
];
const BUCKETS: u8 = 4;

/// Where to die: the units are on record as sent and not as received; as received and not as settled; as
/// settled, before anybody else knows.
const STEPS: &[&str] =
    &["transfer-after-sent", "transfer-after-received", "transfer-after-settled"];
const ROUNDS_EACH: u64 = 4;
/// Transfers that a step is survived at most before it kills.
const SURVIVED_MAX: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dying_at_any_step_of_a_transfer_moves_its_units_once() {
    let mut random = Random::of("buckets");
    // The order store gives way to all else on a busy machine, and is to have every order in the end.
    let site = Site::new().with("ENGINE__DRAIN_TIMEOUT_MS", "60000");
    let server = site.start().await;
    let shop = site.open_sale_of_buckets(&server, 320, OFFERS, BUCKETS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    server.stop().await;
    for step in STEPS {
        for _ in 0..ROUNDS_EACH {
            let failpoints = match random.below(SURVIVED_MAX) {
                0 => format!("{step}=return"),
                survived => format!("{step}={survived}*off->return"),
            };
            let server = site.launch(&failpoints);
            // What the last round has left may be led on before it listens.
            if server.listens().await.is_ok() {
                let crowd = Crowd::enter_without_money(&server, &shop, &witness, &mut random);
                let status = server.ended().await;
                assert_eq!(status.signal(), Some(9), "{failpoints}: {status}");
                crowd.gone().await;
            }
            // Cut off between two steps, the log contradicts nothing.
            let verdict = site.audit(witness.orders().into_keys());
            assert_eq!(verdict.code, Some(0), "{step}: {:#}{}", verdict.report, verdict.errors);
        }
        let server = site.start().await;
        until("no units between buckets", async || {
            (server.figure("seckill_bucket_units_under_way").await == 0).then_some(())
        })
        .await;
        witness.verify(&server, &shop).await;
        server.stop().await;
        witness.audit(&site);
    }
    let server = site.start().await;
    let attempt = Attempt { item: shop.items[2], buyer: 0, key: "after-all".to_owned() };
    must_sell(&server, &shop, &witness, attempt).await;
    server.stop().await;
    witness.close(&site, &shop).await;
    println!("{} confirmed orders", witness.confirmed());
    assert!(!site.log().contains("panicked at"), "{}", site.log());
}
