//! Clocks that are wrong: at the start, and set while the shop runs.

use crate::support::{Attempt, Offer, Site, Witness, must_sell, until};

const OFFERS: &[Offer] = &[Offer { allotted: 100, limit: 100, window_seconds: 600 }];
const DATA: i32 = 4;
const MONTH_AHEAD: &str = "wall-clock=return(2592000000)";

fn attempt(item: u64, key: &str) -> Attempt {
    Attempt { item, buyer: 0, key: key.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_from_the_future_is_refused_and_goes_on_only_when_accepted() {
    // The buyer's token outlives the month.
    let site = Site::new().with("TOKENS__TTL_SECONDS", "31536000");
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let witness = Witness::default();
    server.stop().await;
    let ahead = site.start_with(MONTH_AHEAD).await;
    must_sell(&ahead, &shop, &witness, attempt(shop.items[0], "ahead")).await;
    ahead.stop().await;

    let status = site.fail_to_start().await;
    let log = site.log();
    assert_eq!(status.code(), Some(DATA), "{log}");
    assert!(log.contains("after what the wall clock says now"), "{log}");
    assert!(log.contains("--accept-clock"), "{log}");

    // Tokens that the command line makes by the wall clock are good all the same.
    let accepted = site.start_as(&["serve", "--accept-clock"]).await;
    must_sell(&accepted, &shop, &witness, attempt(shop.items[0], "accepted")).await;
    let ready = accepted.look("/readyz?verbose").await;
    assert!(ready.text().contains("behind the sale's"), "{}", ready.text());
    let hour = site.run(&["mint", "--operator", "eva", "--ttl-seconds", "3600"]);
    let token = String::from_utf8(hour.stdout).expect("text");
    let token = token.trim();
    let mut client = accepted.client().await;
    let log = client.send("GET", "/api/v1/admin/sales", token, &[], "").await.expect("an answer");
    assert_eq!(log.status, 200, "{}", log.text());
    accepted.stop().await;
    site.audit(witness.orders().into_keys()).must_balance();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_clock_that_is_set_while_it_runs_is_told_and_tokens_stay_good() {
    for (set, words) in [("-7200000", "7200 s behind"), ("7200000", "s ahead of")] {
        let site = Site::new().with("TOKENS__TTL_SECONDS", "3600");
        let (server, shop) = site.open_shop(1, OFFERS).await;
        must_sell(&server, &shop, &Witness::default(), attempt(shop.items[0], "before")).await;
        server.stop().await;
        // The clock is right for the first looks.
        let server = site.start_with(&format!("wall-clock=5*off->return({set})")).await;
        let told = until("the drift to be told", async || {
            let ready = server.look("/readyz?verbose").await;
            ready.text().contains("docs/operations.md").then(|| ready.text().to_owned())
        })
        .await;
        assert!(told.contains("\"status\":\"degraded\""), "{told}");
        let shown = told.contains(words) || told.contains("7199 s behind");
        assert!(shown, "{words} is not in {told}");
        site.logged("the wall clock is not where it should be").await;
        // The tokens of before, and one that is made by the clock as it is now.
        must_sell(&server, &shop, &Witness::default(), attempt(shop.items[0], "after")).await;
        let minted = site.command(&["mint", "--operator", "eva"]);
        let token = with_clock(minted, set);
        let mut client = server.client().await;
        let answer = client.send("GET", "/api/v1/admin/sales", &token, &[], "").await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{set}: {}", answer.text());
        server.stop().await;
    }
}

/// What the command prints where the wall clock is so many milliseconds off.
fn with_clock(mut command: std::process::Command, milliseconds: &str) -> String {
    let output = command.env("FAILPOINTS", format!("wall-clock=return({milliseconds})")).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}
