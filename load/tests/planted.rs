//! Whole runs against a toy engine that lies: what it plants, the report must show. The
//! toy's own audit says that all is well, so only the laboratory's can find it.

mod toy;

use std::path::Path;
use std::time::Duration;

use domain::invariants::Invariant;
use load::report::Report;
use load::run::{RunOptions, run};
use load::scenario::Scenario;

const SCENARIO: &str = r#"
name = "planted"
title = "A small sale of a lying engine"
about = "For the laboratory's own tests."

[sale]
items = 2
allotted = 20

[people]
users = 400
mix = { buyer = 80, repeat_clicker = 5, retrier = 10, bot = 5 }
afterwards = { pay = 0.5, cancel = 0.2, think_ms = [10, 100] }

[generator]
connections = 8

[[load]]
shape = "constant"
rate = 300
seconds = 1.5

[pass]
unavailable_share_max = 0.0
stored_within_ms = 2_000
"#;

async fn run_with(plant: &str, cancel: f64) -> Report {
    let settings = format!("\n[server]\nenvironment = {{ SECKILL__TOY__PLANT = \"{plant}\" }}\n");
    // Where no client cancels, the end does not depend on how fast the machine is.
    let text = SCENARIO.replace("cancel = 0.2", &format!("cancel = {cancel:.1}")) + &settings;
    let scenario =
        Scenario::parse(&text, Path::new("planted.toml")).expect("the scenario is valid");
    let options = RunOptions {
        binary: Some(toy::program()),
        threads: 2,
        closed_loop: None,
        patience: Duration::ZERO,
        keep: None,
        progress: false,
    };
    Report::new(run(scenario, &options).await.expect("the run can be carried out"))
}

#[track_caller]
fn check(report: &Report, wanted: &str, invariants: &[Invariant]) {
    assert!(report.headline.contains(wanted), "{}", report.table());
    assert_eq!(report.passed, invariants.is_empty(), "{}", report.table());
    for invariant in invariants {
        let found = report.audit.findings.iter().any(|finding| finding.invariant == *invariant);
        assert!(found, "{invariant} not found:\n{}", report.table());
    }
}

#[tokio::test]
async fn an_honest_engine_passes_and_every_kind_of_client_came() {
    let report = run_with("none", 0.2).await;
    check(&report, "oversold 0, lost 0, doubled 0", &[]);
    let names: Vec<_> = report.outcomes.iter().map(|outcome| outcome.name).collect();
    for name in ["reserved", "replayed", "paid", "cancelled", "sold_out", "item_not_found"] {
        assert!(names.contains(&name), "{name} not in {names:?}");
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let page = folder.path().join("report.html");
    report.write_html(&page).expect("written");
    let html = std::fs::read_to_string(page).expect("readable");
    assert!(html.contains("<svg") && !html.contains("NaN") && !html.contains("src="));
}

#[tokio::test]
async fn a_planted_oversell_is_caught() {
    let report = run_with("oversell", 0.0).await;
    check(&report, "sold = stock, oversold 2, lost 0, doubled 0", &[Invariant::I2, Invariant::I3]);
}

#[tokio::test]
async fn a_planted_lost_order_is_caught() {
    let report = run_with("lose", 0.0).await;
    check(&report, "sold = stock, oversold 0, lost 1, doubled 0", &[Invariant::I4]);
}

#[tokio::test]
async fn a_planted_double_is_caught() {
    let report = run_with("double", 0.0).await;
    assert!(report.audit.doubled > 0, "{}", report.table());
    assert!(!report.passed);
}
