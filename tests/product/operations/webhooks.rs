//! `seckill webhooks` beside the shop that it asks.

use crate::support::{Offer, Server, Site, until};
use harness::{HookAnswer, HookReceiver};
use serde_json::Value;
use std::process::Output;

/// Runs `seckill webhooks` for the shop that serves.
fn webhooks(site: &Site, server: &Server, words: &[&str]) -> Output {
    let mut command = site.command(&["webhooks"]);
    command.args(words).env("SECKILL__HTTP__LISTEN", server.address().to_string());
    command.output().expect("it runs")
}

/// What it printed, with this code.
fn printed(output: Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    String::from_utf8(output.stdout).expect("UTF-8") + &said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_are_made_watched_and_told_again_by_command() {
    let site = Site::new().with("WEBHOOKS__ALLOW_PRIVATE", "127.0.0.1");
    let (server, shop) =
        site.open_shop(1, &[Offer { allotted: 9, limit: 9, window_seconds: 600 }]).await;
    let receiver = HookReceiver::open().await;
    let run = |words: &[&str], code| printed(webhooks(&site, &server, words), code);
    assert_eq!(run(&["list"], 0), "0 endpoints\n");
    let words =
        ["create", &receiver.url(), "--type", "seckill.order.reserved", "--description", "ERP"];
    let made = run(&words, 0);
    let secret = made.lines().find_map(|line| line.strip_prefix("secret: ")).expect("a secret");
    let id = made.split_whitespace().next().expect("an identity");
    assert!(run(&["list"], 0).contains("ERP  events: seckill.order.reserved\n1 endpoints\n"));

    receiver.answers(|_| HookAnswer::Status(500));
    let refused = run(&["enable", id], 6);
    assert!(refused.contains("the ping was not taken"), "{refused}");
    let refused = run(&["test", id], 1);
    assert!(refused.contains("it did not arrive: 500"), "{refused}");
    receiver.answers(|_| HookAnswer::Status(204));
    assert!(run(&["enable", id], 0).starts_with(&format!("{id}  live ")));
    assert!(run(&["test", id], 0).contains("it arrived: 204"));
    let rotated = run(&["rotate", id], 0);
    let next = rotated.lines().find_map(|line| line.strip_prefix("secret: ")).expect("a secret");
    assert_ne!(secret, next);

    let mut client = server.client().await;
    shop.buy(&mut client, shop.items[0], 0, "one").await.expect("it answers").id("order_id");
    let first = until("the event", async || receiver.taken().first().cloned()).await;
    assert!(first.is_signed_by(secret) && first.is_signed_by(next));
    let event = first.header("webhook-id").expect("an identity").to_owned();
    let listed = until("the attempt", async || {
        let listed = run(&["deliveries", id, "--json", "--limit", "1"], 0);
        listed.contains(&event).then_some(listed)
    })
    .await;
    let attempt: Value = serde_json::from_str(listed.trim()).expect("JSON");
    assert_eq!((&attempt["status"], &attempt["attempt"]), (&204.into(), &1.into()));
    for (count, words) in [(2, ["--event", &event]), (3, ["--from", "2020-01-01T00:00:00Z"])] {
        run(&[&["replay", id][..], &words].concat(), 0);
        until("it to come again", async || (receiver.taken().len() >= count).then_some(())).await;
    }
    assert!(run(&["replay", id, "--event", "a-1-1"], 6).contains("no event of this identity"));
    let words = ["replay", id];
    assert_eq!(webhooks(&site, &server, &words).status.code(), Some(2), "since when?");
    assert!(run(&["disable", id], 0).starts_with(&format!("{id}  disabled ")));
    server.stop().await;
}
