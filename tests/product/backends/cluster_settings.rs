//! Settings of three nodes that are one shop: changed while buyers buy, broken by hand, and mended.

use super::cluster::{BUYERS, LASTING, PREFIX, Servers, settled, verify};
use crate::support::{Crowd, Random, Server, Site, Witness, until};
use serde_json::{Value, json};
use std::sync::Arc;

const PATH: &str = "/api/v1/admin/settings/http";
const CHANGES: u64 = 30;

/// Changes how many event streams a buyer may have, whatever that is now.
async fn change(node: &Server, admin: &str, streams: u64) {
    let body = json!({
        "values": { "event_streams_per_buyer_max": streams }, "reason": "the evening sale",
    });
    until("the change to be made", async || {
        let mut client = node.client().await;
        let headers = &[("if-match", "*")];
        let answer = client.send("PUT", PATH, admin, headers, &body.to_string()).await;
        let answer = answer.expect("it answers");
        // The change of a moment ago is not known at this node yet.
        let is_early = answer.status == 412;
        assert!(is_early || answer.status == 200, "{}", answer.text());
        (!is_early).then_some(())
    })
    .await;
}

/// Waits until all nodes have applied the change of this number.
async fn applied(nodes: &[&Server], version: u64) {
    for node in nodes {
        until("the node to apply the change", async || {
            (node.figure("seckill_settings_version").await == version).then_some(())
        })
        .await;
    }
}

/// Waits until the node's readiness says this of its settings.
async fn says(node: &Server, healthy: bool, words: &str) {
    until(words, async || {
        let now = node.look("/readyz?verbose").await.json();
        let mut found = now["dependencies"].as_array().expect("a list").iter();
        let found = found.find(|found| found["name"] == "settings")?;
        let meaning = found["meaning"].as_str().unwrap_or_default();
        (found["healthy"] == healthy && meaning.contains(words)).then_some(())
    })
    .await;
    assert_eq!(node.figure("seckill_settings_refused").await, u64::from(!healthy));
    let up = "seckill_dependency_up{dependency=\"settings\",kind=\"etcd\"}";
    assert_eq!(node.figure(up).await, u64::from(healthy));
}

/// The cluster as the command shows it, and how that ends.
fn status(site: &Site) -> (Value, Option<i32>) {
    let output = site.run(&["cluster", "status", "--format", "json"]);
    let status = serde_json::from_slice(&output.stdout).expect("JSON");
    (status, output.status.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_changed_at_all_nodes_while_buyers_buy() {
    let Some(servers) = Servers::start() else { return };
    let sites = ["a", "b", "c"].map(|node| servers.site(node));
    let [site, others @ ..] = &sites;
    let first = site.start().await;
    settled(&[&first]).await;
    let shop = Arc::new(site.open_sale(&first, BUYERS, &[LASTING; 3]).await);
    let (second, third) = (others[0].start().await, others[1].start().await);
    let nodes = [&first, &second, &third];
    settled(&nodes).await;
    let (admin, operator) = (site.mint("--admin", "ada"), site.mint("--operator", "otto"));
    let witness = Arc::new(Witness::default());

    let mut random = Random::of("settings");
    let mut crowd = Crowd::enter(&first, &shop, &witness, &mut random);
    crowd.answers(100).await;
    for version in 1..=CHANGES {
        let node = nodes[usize::try_from(version % 3).expect("three nodes")];
        change(node, &admin, version).await;
        applied(&nodes, version).await;
    }
    crowd.answers(100).await;
    assert_eq!(crowd.unavailable(), 0, "no purchase fails");
    crowd.leave().await;
    until("every node to have told which version it has applied", async || {
        let (now, code) = status(site);
        let nodes = now["nodes"].as_array().expect("a list").iter();
        let are_there = nodes.map(|node| &node["settings_version"]).all(|found| *found == CHANGES);
        (are_there && now["settings_version"] == CHANGES && code == Some(0)).then_some(())
    })
    .await;
    let mut client = third.client().await;
    let log = client.send("GET", "/api/v1/admin/audit-log?limit=100", &operator, &[], "").await;
    let log = log.expect("it answers").json();
    let entries = log["data"].as_array().expect("a list").iter();
    let told: Vec<u64> = entries
        .filter(|entry| entry["action"] == "settings.change" && entry["actor"] == "ada")
        .filter_map(|entry| entry["detail"]["version"].as_u64())
        .collect();
    assert_eq!(told, (1..=CHANGES).rev().collect::<Vec<_>>(), "each change once");

    // What the environment has set is refused by name.
    let headers = &[("if-match", "*")];
    let body = json!({ "values": { "ttl_seconds": 60 }, "reason": "a test" }).to_string();
    let path = "/api/v1/admin/settings/tokens";
    let refused = client.send("PUT", path, &admin, headers, &body).await.expect("it answers");
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("SECKILL__TOKENS__TTL_SECONDS"), "{}", refused.text());

    // What somebody writes by hand and is not as it may be is kept out, also by a node that begins anew.
    let key = format!("{PREFIX}config/current");
    let value = servers.etcd.cli(&["get", "--print-value-only", &key]).expect("etcdctl");
    let mut wrong: Value = serde_json::from_str(&value).expect("JSON");
    wrong["version"] = json!(CHANGES + 1);
    wrong["documents"]["http"]["version"] = json!(CHANGES + 1);
    wrong["documents"]["http"]["content"] = json!({ "buy_body_bytes_max": 0 });
    servers.etcd.cli(&["put", &key, &wrong.to_string()]).expect("etcdctl");
    let words = format!("http, version {}: buy_body_bytes_max must be", CHANGES + 1);
    for node in nodes {
        says(node, false, &words).await;
    }
    second.stop().await;
    let second = others[0].start().await;
    let nodes = [&first, &second, &third];
    settled(&nodes).await;
    says(&second, false, &words).await;
    applied(&nodes, CHANGES).await;
    assert!(others[0].log().contains("the settings are not as they may be and are kept out"));
    let (now, code) = status(site);
    assert_eq!(code, Some(1), "{now:#}");
    let trouble = now["troubles"][0].as_str().expect("a trouble");
    assert!(trouble.contains(&words), "{trouble}");
    assert!(trouble.contains("those of version 30 hold"), "{trouble}");
    assert_eq!(now["troubles"].as_array().map(Vec::len), Some(1), "{now:#}");
    verify(&nodes, &shop, &witness, "beside-wrong-settings").await;

    // The next change takes its place.
    change(&second, &admin, 5).await;
    applied(&nodes, CHANGES + 2).await;
    for node in nodes {
        says(node, true, "what was changed while the shop runs holds").await;
    }
    verify(&nodes, &shop, &witness, "mended").await;

    // So does it where there is nothing.
    servers.etcd.cli(&["del", &key]).expect("etcdctl");
    for node in nodes {
        says(node, false, "it is gone from etcd").await;
    }
    let (now, code) = status(site);
    assert_eq!((code, &now["settings_version"]), (Some(1), &Value::Null), "{now:#}");
    let trouble = now["troubles"][0].as_str().expect("a trouble");
    for words in ["config/current: it is gone from etcd", "those of version 32 hold"] {
        assert!(trouble.contains(words), "{trouble}");
    }
    change(&second, &admin, 6).await;
    applied(&nodes, CHANGES + 3).await;
    assert_eq!(status(site).0["troubles"], json!([]));
    first.stop().await;
    settled(&[&second, &third]).await;
    second.stop().await;
    settled(&[&third]).await;
    third.stop().await;
    servers.judge(&witness).await;
    for site in &sites {
        assert!(!site.log().contains("panicked at"), "{}", site.log());
    }
}
