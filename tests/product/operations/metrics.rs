//! `/metrics` as Prometheus reads it.

use crate::support::{Attempt, Offer, Site, Witness, must_sell};
use seckill::telemetry::metrics::{METRICS, MetricKind};
use std::io::Write;
use std::process::{Command, Stdio};

const OFFERS: &[Offer] = &[Offer { allotted: 10, limit: 10, window_seconds: 600 }];

#[tokio::test]
async fn every_family_is_there_from_the_start_and_once() {
    let site = Site::new();
    let server = site.start().await;
    let answer = server.look("/metrics").await;
    let text = answer.text();
    for metric in METRICS {
        let declared = format!("# TYPE {} {}", metric.name, metric.kind.name());
        let times = text.lines().filter(|line| *line == declared).count();
        assert_eq!(times, 1, "{declared}\n{text}");
        if metric.kind == MetricKind::Counter {
            let values: Vec<&str> = text
                .lines()
                .filter(|line| {
                    line.strip_prefix(metric.name).is_some_and(|rest| rest.starts_with([' ', '{']))
                })
                .collect();
            assert!(!values.is_empty(), "{} has no value before it is counted", metric.name);
        }
    }
    for labelled in [
        "seckill_purchases_total{outcome=\"sold_out\"} 0",
        "seckill_task_restarts_total{task=\"checkpointer\"} 0",
        "seckill_sale_lookups_total{answer=\"absent\"} 0",
        "seckill_items_not_shown 0",
    ] {
        assert!(text.lines().any(|line| line == labelled), "{labelled} is not in\n{text}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_finds_nothing_to_complain_of() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let attempt = Attempt { item: shop.items[0], buyer: 0, key: "metrics".to_owned() };
    must_sell(&server, &shop, &Witness::default(), attempt).await;
    let answer = server.look("/metrics").await;
    let text = answer.text();
    // A single purchase is in the histogram, though later ones are sampled.
    let timed = "seckill_http_request_duration_seconds_count{route=\"buy\"} 1";
    assert!(text.lines().any(|line| line == timed), "{timed} is not in\n{text}");
    server.stop().await;

    let Some(promtool) = harness::program("promtool") else { return };
    let mut promtool = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    let mut input = promtool.stdin.take().expect("its input");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
