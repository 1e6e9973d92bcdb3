//! Settings that change while the shop sells: from its file, and by the command line.

use crate::support::{Crowd, Offer, Random, Server, Site, Witness, until};
use rustix::process::Signal;
use serde_json::Value;
use std::process::Output;
use std::sync::Arc;

const OFFERS: &[Offer] = &[
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 1 },
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 },
];

/// Lets the file of settings say this, all at once.
fn say(site: &Site, text: &str) {
    std::fs::write(site.path("next.toml"), text).expect("written");
    std::fs::rename(site.path("next.toml"), site.path("config.toml")).expect("renamed");
}

/// Runs `seckill config` for the shop that serves.
fn config(site: &Site, server: &Server, words: &[&str]) -> Output {
    let mut command = site.command(&["config"]);
    command.args(words).env("SECKILL__HTTP__LISTEN", server.address().to_string());
    command.output().expect("it runs")
}

/// What it printed, and nothing was wrong.
fn printed(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What it said was wrong.
fn complaint(output: Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_says_something_else_counts_by_itself() {
    let mut site = Site::new();
    site.unset("LIMITS__USER_PER_S");
    say(&site, "[limits]\nuser_per_s = 5\n");
    let server = site.start().await;
    let user_per_s = || {
        let told = printed(config(&site, &server, &["get", "limits", "--json"]));
        let told: Value = serde_json::from_str(&told).expect("JSON");
        told["limits"]["values"]["user_per_s"].as_u64()
    };
    assert_eq!(user_per_s(), Some(5));
    say(&site, "[limits]\nuser_per_s = 6\n");
    site.logged("the file of settings was read again").await;
    assert_eq!(user_per_s(), Some(6));
    say(&site, "[limits]\nuser_per_s = -6\n");
    site.logged("limits.user_per_s = -6").await;
    std::fs::remove_file(site.path("config.toml")).expect("removed");
    server.signal(Signal::HUP);
    site.logged("the file that was read is gone").await;
    assert_eq!(user_per_s(), Some(6));
    say(&site, "[limits]\nuser_per_s = 7\n");
    until("the file to count", async || (user_per_s() == Some(7)).then_some(())).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_fail_no_purchase() {
    /// Changes of the file, each of which the shop has taken in before the next.
    const RELOADS: u64 = 1_000;
    let mut random = Random::of("reloads");
    let site = Site::new();
    let (server, shop) = site.open_shop(320, OFFERS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    for number in 1..=RELOADS {
        let (permits, burst) = (8_000 + number % 2, 20 + number % 3);
        say(&site, &format!("[engine]\npermits = {permits}\n[limits]\nuser_burst = {burst}\n"));
        server.signal(Signal::HUP);
        until("the file to count", async || {
            let changed = server.figure("seckill_config_reloads_total{result=\"changed\"}").await;
            (changed == number).then_some(())
        })
        .await;
    }
    assert_eq!(crowd.unavailable(), 0);
    crowd.leave().await;
    assert!(witness.confirmed() > 0);
    until("the order store to catch up", async || server.is_whole().await.then_some(())).await;
    server.stop().await;
    witness.audit(&site);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_shows_changes_and_sets_back_what_is_live() {
    let mut site = Site::new().with("LIMITS__ITEM_PER_S", "9000");
    site.unset("LIMITS__USER_PER_S");
    let server = site.start().await;
    let run = |words: &[&str]| config(&site, &server, words);
    let because = ["--reason", "双十一"];
    let with_reason = |words: &[&'static str]| [words, because.as_slice()].concat();

    let all = printed(run(&["get"]));
    assert!(all.contains("engine.permits") && all.contains("risk.deny_user_mode"), "{all}");
    let told = printed(run(&with_reason(&["set", "limits", "user_per_s=5", "user_burst=30"])));
    let expected = "limits is at version 1\n\
                    limits.user_per_s is 5, and was 10\nlimits.user_burst is 30, and was 20\n";
    assert_eq!(told, expected);
    let told = printed(run(&["get", "limits"]));
    let line = |key: &str| told.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    assert!(line("limits.user_per_s ").ends_with("5     version 1 (the file says 10)"), "{told}");
    assert!(line("limits.item_per_s ").ends_with("SECKILL__LIMITS__ITEM_PER_S"), "{told}");
    assert!(line("limits.global_per_s ").ends_with("as in the file"), "{told}");
    let told = printed(run(&with_reason(&["set", "limits", "--unset", "user_burst"])));
    assert_eq!(told, "limits is at version 2\nlimits.user_burst is 20, and was 30\n");
    let told = printed(run(&with_reason(&["rollback", "limits", "1"])));
    assert_eq!(told, "limits is at version 3\nlimits.user_burst is 30, and was 20\n");
    let told = printed(run(&["history", "limits"]));
    let versions: Vec<&str> = told.lines().map(str::trim_start).collect();
    let [third, second, first, file] = versions[..] else { panic!("{told}") };
    assert!(third.starts_with("3  ") && second.starts_with("2  "), "{told}");
    assert!(first.contains("  command-line  {") && first.ends_with("双十一"), "{first}");
    assert_eq!(file, "0  what the file says");

    let refused = complaint(run(&with_reason(&["set", "limits", "user_per_s=5000"])));
    assert!(refused.contains("must be a whole number from 0 to 1000"), "{refused}");
    let refused = complaint(run(&with_reason(&["set", "limits", "item_per_s=1"])));
    assert!(refused.contains("SECKILL__LIMITS__ITEM_PER_S"), "{refused}");
    let refused = complaint(run(&with_reason(&["set", "limits", "table_mib=16"])));
    assert!(refused.contains("need a restart"), "{refused}");
    let refused = complaint(run(&with_reason(&["rollback", "limits", "9"])));
    assert!(refused.contains("no such version"), "{refused}");
    assert_eq!(printed(run(&["get", "limits"])).lines().count(), told_lines(&all));
    server.stop().await;
    let refused = complaint(run(&["get"]));
    assert!(refused.contains("start the shop"), "{refused}");
}

/// How many settings of the limits there are.
fn told_lines(all: &str) -> usize {
    all.lines().filter(|line| line.starts_with("limits.")).count()
}
