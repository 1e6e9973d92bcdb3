//! A log that cannot be written costs its lines, and nothing of the sale.

use crate::support::{Client, Crowd, Offer, Random, Site, Witness, until};
use std::fs::OpenOptions;
use std::net::TcpListener;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_banner_that_nothing_takes_costs_itself_alone() {
    for output in ["exec 1>/dev/full", "exec 1>&-"] {
        // A port that is free a moment before.
        let port =
            TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number");
        let site = Site::new().with("HTTP__LISTEN", &port.to_string()).within(output);
        let server = site.launch("");
        until("it to listen", async || {
            let mut client = Client::open(port).await.ok()?;
            let alive = client.send("GET", "/livez", "", &[], "").await.ok()?;
            (alive.status == 200).then_some(())
        })
        .await;
        server.stop().await;
        let told = site.log().contains("so the banner is missing");
        assert_eq!(told, output.ends_with("full"), "{output}: {}", site.log());
        assert!(!site.log().contains("error: "), "{output}: {}", site.log());
    }
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
