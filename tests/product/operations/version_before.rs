//! A data directory that an older version wrote: opened, read, sold on and audited.
//!
//! Each folder of `tests/fixtures/` is named by the version that wrote it and holds what a stopped
//! shop left: its journal cut behind the last frame, its checkpoints and its orders. Two people were
//! registered, `wei` and `lin`; item 1 (CNY, 30 units after a restock) and item 2 (JPY, 5 units) are
//! on sale until 2099; `wei` holds a paid and a reserved order and one whose money came late, `lin` a
//! cancelled and an expired one.

use crate::support::{Client, Site, patiently};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// The orders of the fixture, by the state in which it was left.
const ORDERS: [(&str, &str, u64); 5] = [
    ("wei", "paid", 384_686_330_057_142_272),
    ("lin", "cancelled", 384_686_330_069_725_184),
    // Its time to pay has passed since.
    ("wei", "expired", 384_686_330_078_113_792),
    ("lin", "expired", 384_686_330_078_162_944),
    ("wei", "refund_due", 384_686_330_103_328_768),
];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let from = entry.expect("an entry").path();
        let to = to.join(from.file_name().expect("a name"));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("copied");
        }
    }
}

fn fixtures() -> Vec<PathBuf> {
    let entries = fs::read_dir(FIXTURES).expect("fixtures");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

async fn log_in(client: &mut Client, name: &str) -> String {
    let body = format!(r#"{{"user_name":"{name}","password":"correct horse"}}"#);
    let answer = client.send("POST", "/api/v1/login", "", &[], &body).await.expect("it answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["token"].as_str().expect("a token").to_owned()
}

/// Waits until the order has this status, which the clock brings.
async fn becomes(client: &mut Client, token: &str, order: u64, status: &str) {
    let path = format!("/api/v1/orders/{order}");
    loop {
        let answer = client.send("GET", &path, token, &[], "").await.expect("it answers");
        let answer = answer.json();
        match answer["status"].as_str() {
            Some(now) if now == status => return,
            Some("reserved") => tokio::task::yield_now().await,
            _ => panic!("order {order} is not {status}: {answer}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_version_before_wrote_is_opened_and_sold_on() {
    for fixture in fixtures() {
        let site = Site::new();
        copy(&fixture, site.data());
        site.audit(ORDERS.map(|(_, _, order)| order)).must_balance();

        let site = site.with("ENGINE__SHARDS", "64");
        let server = site.start().await;
        let mut client = server.client().await;
        let mut bought = Vec::new();
        for (name, status, order) in ORDERS {
            let token = log_in(&mut client, name).await;
            patiently("the clock", becomes(&mut client, &token, order, status)).await;
            if status == "paid" {
                // The key of then is known, and a new one sells.
                for (key, code) in [("paid", 200), ("after", 201)] {
                    let path = "/api/v1/items/1/buy";
                    let headers = [("idempotency-key", key)];
                    let answer = client.send("POST", path, &token, &headers, "").await;
                    let answer = answer.expect("it answers");
                    assert_eq!(answer.status, code, "{key}: {}", answer.text());
                    bought.push(answer.id("order_id"));
                }
            }
        }
        let item = client.send("GET", "/api/v1/items/1", "", &[], "").await.expect("it answers");
        let counters: Value = item.json()["counters"].clone();
        let expected =
            serde_json::json!({"allotted": 30, "available": 28, "reserved": 1, "sold": 1});
        assert_eq!(counters, expected);
        server.kill().await;
        let server = site.start().await;
        server.stop().await;
        let confirmed = ORDERS.map(|(_, _, order)| order).into_iter().chain(bought);
        site.audit(confirmed).must_balance();
    }
}
