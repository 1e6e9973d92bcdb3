//! A log that cannot be written costs its lines, and nothing of the sale.

use crate::support::{Crowd, Offer, Random, Site, Witness};
use std::fs::OpenOptions;
use std::process::Stdio;
use std::sync::Arc;

const OFFERS: &[Offer] = &[Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 }];

/// Every write fails: a log on a disk that is full.
fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("/dev/full").into()
}

/// Every write fails: a pipe whose reader is gone, as after a restart of the log's service.
fn broken() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Nothing can be written there, as where it was closed: the standard library takes the lines as written.
fn closed() -> Stdio {
    OpenOptions::new().read(true).open("/dev/null").expect("/dev/null").into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_log_costs_its_lines_alone() {
    assert!(sells_and_drains_with(full).await > 0, "lines are lost and counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_a_reader_costs_its_lines_alone() {
    assert!(sells_and_drains_with(broken).await > 0, "lines are lost and counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_log_costs_its_lines_alone() {
    sells_and_drains_with(closed).await;
}

/// Sells and drains with this standard error; how many lines were lost meanwhile.
async fn sells_and_drains_with(stderr: fn() -> Stdio) -> u64 {
    let mut random = Random::of("logging");
    // A line for much of what happens, so that each kind of task logs.
    let site = Site::new().with("LOG__FILTER", "debug").with_stderr(stderr);
    let (server, shop) = site.open_shop(50, OFFERS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(200).await;
    let lost = server.figure("seckill_log_lines_lost_total").await;
    server.stop().await;
    crowd.gone().await;
    // It drained, so the order store has every order.
    let verdict = site.audit(witness.orders().into_keys());
    verdict.must_balance();
    assert_eq!(verdict.check("I4")["checked"], verdict.orders(), "{:#}", verdict.report);
    assert!(witness.confirmed() > 0);
    lost
}
