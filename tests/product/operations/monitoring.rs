//! What is shipped for Prometheus and Grafana, with the real Prometheus: alerts that fire and are silent, a
//! runbook with a chapter for each, and no name that a shop does not show.

use crate::support::{Attempt, Offer, Site, Witness, must_sell, until};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const OFFERS: &[Offer] = &[Offer { allotted: 10, limit: 10, window_seconds: 600 }];
/// The parts of a histogram's name.
const HISTOGRAM_ENDS: [&str; 3] = ["_bucket", "_sum", "_count"];

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(shipped(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs promtool, which has to be content.
fn promtool(arguments: &[&str], path: &Path) {
    let Some(promtool) = harness::program("promtool") else { return };
    let output = Command::new(promtool).args(arguments).arg(path).output().expect("promtool runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The alerts' names with what follows each in the file.
fn alerts() -> BTreeMap<String, String> {
    let text = read("deploy/prometheus/alerts.yml");
    let named = text.split("- alert: ").skip(1).map(|alert| {
        let (name, rest) = alert.split_once('\n').expect("a name");
        (name.to_owned(), rest.to_owned())
    });
    named.collect()
}

#[test]
fn prometheus_takes_configuration_and_alerts_and_each_fires_and_is_silent() {
    promtool(&["check", "config"], &shipped("deploy/prometheus/prometheus.yml"));
    promtool(&["test", "rules"], &shipped("deploy/prometheus/alerts_test.yml"));
    let tried = read("deploy/prometheus/alerts_test.yml");
    for name in alerts().keys() {
        for end in ["fires", "is silent"] {
            let case = format!("- name: {name} {end}\n");
            assert_eq!(tried.matches(&case).count(), 1, "{case}");
        }
    }
}

#[test]
fn each_alert_says_what_it_means_and_has_its_chapter_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let chapters: BTreeSet<&str> =
        runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts = alerts();
    assert_eq!(chapters, alerts.keys().map(String::as_str).collect());
    for (name, text) in &alerts {
        let anchor = format!("runbook_url: docs/runbook.md#{}\n", name.to_lowercase());
        for part in ["severity: ", "summary: \"", "for_the_sale: \"", &anchor] {
            assert!(text.contains(part), "{name} lacks {part}");
        }
        let (_, chapter) = runbook.split_once(&format!("## {name}\n")).expect("a chapter");
        let chapter = chapter.split("\n## ").next().expect("a text");
        for part in ["**For the sale:**", "**Look:**", "**Do:**"] {
            assert!(chapter.contains(part), "{name}'s chapter lacks {part}");
        }
    }
    // What its links name is there.
    for link in runbook.split("](").skip(1).map(|rest| rest.split(')').next().expect("an end")) {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let text = if file.is_empty() { runbook.clone() } else { read(&format!("docs/{file}")) };
        let headings = text.lines().filter(|line| line.starts_with("## "));
        let mut anchors = headings.map(|line| {
            let words = line.trim_start_matches("## ").to_lowercase().replace(' ', "-");
            words.chars().filter(|letter| letter.is_alphanumeric() || *letter == '-').collect()
        });
        assert!(anchor.is_empty() || anchors.any(|found: String| found == anchor), "{link}");
    }
}

/// Each query of the dashboard, with its panel's title.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value =
        serde_json::from_str(&read("deploy/grafana/seckill.json")).expect("JSON");
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            queries.push((title.to_owned(), target["expr"].as_str().expect("a query").to_owned()));
        }
    }
    queries
}

#[test]
fn prometheus_understands_each_query_of_the_dashboard() {
    let rules: Vec<Value> = queries()
        .iter()
        .enumerate()
        .map(|(place, (_, query))| {
            let query = query.replace("$__rate_interval", "1m").replace("$instance", ".*");
            json!({ "record": format!("panel:{place}"), "expr": query })
        })
        .collect();
    let directory = tempfile::tempdir().expect("a directory");
    // YAML takes JSON.
    let path = directory.path().join("rules.yml");
    let groups = json!({ "groups": [{ "name": "panels", "rules": rules }] });
    std::fs::write(&path, groups.to_string()).expect("written");
    promtool(&["check", "rules"], &path);
}

/// The metrics that a text names.
fn names(text: &str) -> BTreeSet<&str> {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_of_name(letter));
    words.filter(|word| word.starts_with("seckill_") || word.starts_with("process_")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_shows_each_name_that_alerts_and_dashboard_use() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let attempt = Attempt { item: shop.items[0], buyer: 0, key: "shown".to_owned() };
    must_sell(&server, &shop, &Witness::default(), attempt).await;
    let scrape = server.look("/metrics").await;
    let declared: BTreeSet<&str> = scrape
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let mut used = read("deploy/prometheus/alerts.yml");
    queries().iter().for_each(|(_, query)| used += &format!("\n{query}"));
    for name in names(&used) {
        let stem = HISTOGRAM_ENDS.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(declared.contains(name) || declared.contains(stem), "{name} is not shown");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_that_has_not_begun_is_shown_with_its_time() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let mut client = server.client().await;
    let draft = json!({
        "title": "Later", "starts_at": "2099-01-01T00:00:00Z", "ends_at": "2100-01-01T00:00:00Z",
        "items": [{
            "product_id": "later", "title": "Later", "price": 1, "currency": "EUR", "allotted": 1,
            "limit_per_user": 1, "payment_window_seconds": 60,
        }],
    });
    let sales = "/api/v1/admin/sales";
    let made = client.send("POST", sales, &shop.operator, &[], &draft.to_string()).await;
    let sale = made.expect("an answer").id("sale_id");
    for (step, token) in [("submit", &shop.operator), ("approve", &shop.approver)] {
        let path = format!("{sales}/{sale}/{step}");
        let answer = client.send("POST", &path, token, &[], "").await.expect("an answer");
        assert_eq!(answer.status, 200, "{step}: {}", answer.text());
    }
    let name = "seckill_sale_starts_timestamp_seconds";
    let line = format!("{name}{{sale=\"{sale}\",preheated=\"true\"}} 4070908800");
    until("the sale to be shown", async || {
        let scrape = server.look("/metrics").await;
        scrape.text().lines().any(|shown| shown == line).then_some(())
    })
    .await;
    // The one that has begun is not.
    assert_eq!(server.look("/metrics").await.text().matches(&format!("\n{name}{{")).count(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_fires_when_a_dependency_goes() {
    let Some(mariadb) = harness::mariadb() else { return };
    let site = Site::new().with("ORDERS__MYSQL_URL", &mariadb.url());
    let server = site.start().await;
    let alerts = shipped("deploy/prometheus/alerts.yml");
    let configuration = read("deploy/prometheus/prometheus.yml")
        .replace("scrape_interval: 5s", "scrape_interval: 1s")
        .replace("evaluation_interval: 5s", "evaluation_interval: 1s")
        .replace("- alerts.yml", &format!("- {}", alerts.display()))
        .replace("127.0.0.1:9090", &server.operations().to_string());
    let path = site.path("prometheus.yml");
    std::fs::write(&path, configuration).expect("written");
    let Some(prometheus) = harness::required(harness::Prometheus::start_with(&path)) else {
        return;
    };
    let is_up = || {
        let answer = prometheus.get("/api/v1/query?query=seckill_accepting").ok()?;
        let answer: Value = serde_json::from_str(&answer).ok()?;
        answer["data"]["result"].as_array().filter(|found| found.len() == 5).map(|_| ())
    };
    until("a scrape", async || is_up()).await;
    mariadb.kill();
    let firing = until("the alert", async || {
        let answer = prometheus.get("/api/v1/alerts").ok()?;
        let answer: Value = serde_json::from_str(&answer).ok()?;
        let mut alerts = answer["data"]["alerts"].as_array()?.iter();
        let is_ours = |alert: &&Value| {
            alert["state"] == "firing" && alert["labels"]["dependency"] == "order_store"
        };
        alerts.find(is_ours).cloned()
    })
    .await;
    assert_eq!(firing["labels"]["alertname"], "SeckillDependencyDown");
    assert_eq!(firing["labels"]["kind"], "mysql");
    server.stop().await;
}
