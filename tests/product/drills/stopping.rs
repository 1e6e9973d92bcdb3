//! SIGTERM in the middle of a sale, and on with it; and SIGHUP, which ends nothing.

use crate::support::{Attempt, Crowd, Offer, Random, Server, Site, Witness, must_sell, until};
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

/// So that the next start has nothing to replay, and one that was damaged is written anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_checkpoints_behind_though_no_round_was_due() {
    let site = Site::new().with("CHECKPOINT__INTERVAL_MS", "3600000");
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let witness = Witness::default();
    let attempt = Attempt { item: shop.items[2], buyer: 0, key: "before-the-stop".to_owned() };
    must_sell(&server, &shop, &witness, attempt).await;
    server.stop().await;
    let verdict = site.audit(witness.orders().into_keys());
    verdict.must_balance();
    assert!(verdict.check("I9")["checked"].as_u64() > Some(0), "{:#}", verdict.report);
}

/// Lets the file of settings say this, and tells the process to read it.
fn say(site: &Site, server: &Server, text: &str) {
    std::fs::write(site.path("config.toml"), text).expect("written");
    server.signal(Signal::HUP);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_reads_the_file_again_and_ends_nothing() {
    let site = Site::new();
    let text = "[limits]\nuser_burst = 30\n";
    std::fs::write(site.path("config.toml"), text).expect("written");
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let operator = site.mint("--operator", "otto");
    let user_burst = async || {
        let mut client = server.client().await;
        let view = client.send("GET", "/api/v1/admin/settings/limits", &operator, &[], "").await;
        view.expect("it answers").json()["values"]["user_burst"].as_u64()
    };
    let is_well = async || {
        let now = server.look("/readyz?verbose").await.json();
        let mut found = now["dependencies"].as_array().expect("a list").iter();
        found.any(|found| found["name"] == "settings" && found["healthy"] == true)
    };
    say(&site, &server, text);
    site.logged("says what it said before").await;
    assert_eq!((user_burst().await, is_well().await), (Some(30), true));
    // All of it counts, or nothing.
    say(&site, &server, "[limits]\nuser_burst = 31\nlogin_name_per_min = -1\n");
    site.logged("limits.login_name_per_min = -1").await;
    until("readiness to say so", async || (!is_well().await).then_some(())).await;
    assert_eq!(user_burst().await, Some(30));
    let attempt = |key: &str| Attempt { item: shop.items[2], buyer: 0, key: key.to_owned() };
    let witness = Witness::default();
    must_sell(&server, &shop, &witness, attempt("beside-a-wrong-file")).await;
    say(&site, &server, "[limits]\nuser_burst = 32\ntable_mib = 16\n[log]\nfilter = \"debug\"\n");
    site.logged("need a restart").await;
    assert!(site.log().contains("limits.table_mib"), "{}", site.log());
    until("the file to count", async || {
        (user_burst().await == Some(32) && is_well().await).then_some(())
    })
    .await;
    site.logged(" DEBUG ").await;
    for (result, times) in [("refused", 1), ("changed", 1)] {
        let figure = format!("seckill_config_reloads_total{{result=\"{result}\"}}");
        assert_eq!(server.figure(&figure).await, times, "{result}");
    }
    must_sell(&server, &shop, &witness, attempt("after-a-hangup")).await;
    server.stop().await;
    witness.close(&site, &shop).await;
}
