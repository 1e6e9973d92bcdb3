//! Two nodes over one etcd: what is changed at one holds at the other, and what is not as it may be at neither.

use harness::http::Answer;
use seckill::config::{self, Loaded};
use seckill::store::etcd::{Etcd, EtcdAddress};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Ask, Setup, Shop};
use tempfile::TempDir;

const PREFIX: &str = "/seckill/shop/";
const CURRENT: &str = "/seckill/shop/config/current";
const LIMITS: &str = "/api/v1/admin/settings/limits";

fn setup(server: &harness::Etcd) -> Setup {
    let address = EtcdAddress { endpoints: server.endpoints(), tls: None, login: None };
    let etcd = Etcd::prepare(&address, Duration::from_secs(20)).expect("an address");
    Setup { centre: Some((etcd, PREFIX.to_owned())), ..Setup::default() }
}

/// What a variable of the environment says, and all else by default.
fn pinned(variable: &str, value: &str) -> Loaded {
    let variables = [(variable.into(), value.into())];
    config::load(Some("/dev/null".as_ref()), variables).expect("accepted")
}

async fn put(shop: &Shop, path: &str, version: &str, values: Value) -> Answer {
    let body = json!({ "values": values, "reason": "a test" });
    change(shop, "PUT", path, version, body).await
}

async fn change(shop: &Shop, method: &str, path: &str, version: &str, body: Value) -> Answer {
    let headers = &[("if-match", version)];
    let ask = Ask { token: Some(&shop.admin("ann")), headers, body: Some(body) };
    shop.ask(method, path, ask).await
}

async fn look(shop: &Shop, path: &str) -> Value {
    shop.get(path, Some(&shop.operator("ann"))).await.json()
}

/// Waits until the node has applied the change of this number.
async fn applied(shop: &Shop, version: u64) {
    let mut standing = shop.settings.standing();
    let applied = standing.wait_for(|standing| standing.applied == version);
    harness::patiently("the node to apply it", applied).await.expect("it lives");
}

/// Waits until the node refuses what is in etcd, and says so in these words; none if nothing is refused.
async fn refused(shop: &Shop, words: Option<&str>) {
    let mut standing = shop.settings.standing();
    let told = standing.wait_for(|standing| match (&standing.refused, words) {
        (Some(refused), Some(words)) => refused.to_string().contains(words),
        (refused, words) => refused.is_none() && words.is_none(),
    });
    harness::patiently("the node to judge it", told).await.expect("it lives");
}

fn stored(server: &harness::Etcd) -> Value {
    let value = server.cli(&["get", "--print-value-only", CURRENT]).expect("etcdctl");
    serde_json::from_str(&value).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_at_one_node_holds_at_the_other() {
    let Some(server) = harness::etcd(1) else { return };
    let (one, other) = (setup(&server).open().await, setup(&server).open().await);
    let tight = json!({ "user_per_s": 1, "user_burst": 1 });
    let changed = put(&one, LIMITS, "\"0\"", tight.clone()).await;
    assert_eq!((changed.status, changed.header("etag")), (200, Some("\"1\"")));
    applied(&other, 1).await;
    let item = other.live_item(100).await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(other.buy(&item, 1, "same").await.status);
    }
    assert!(statuses[0] == 201 && statuses.contains(&429), "{statuses:?}");
    let log = look(&one, "/api/v1/admin/audit-log?limit=1").await;
    assert_eq!(log["data"][0]["action"], "settings.change");
    // Neither overwrites the other.
    let late = put(&other, LIMITS, "\"0\"", json!({})).await;
    assert_eq!(late.problem(), (412, "revision_conflict".to_owned()));
    assert_eq!(put(&other, LIMITS, "\"1\"", json!({ "user_per_s": 9 })).await.status, 200);
    applied(&one, 2).await;
    let path = format!("{LIMITS}/rollback");
    let body = json!({ "version": 1, "reason": "too wide" });
    let back = change(&one, "POST", &path, "\"2\"", body).await;
    assert_eq!(back.json()["changed"], tight);
    applied(&other, 3).await;
    let history = look(&other, &format!("{LIMITS}/history")).await;
    let versions: Vec<u64> = history["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|version| version["version"].as_u64())
        .collect();
    assert_eq!(versions, [3, 2, 1]);
    assert_eq!(history["data"][0]["reason"], "too wide");
    // Documents of different names have versions of their own.
    let path = "/api/v1/admin/settings/risk";
    let rules = put(&one, path, "\"0\"", json!({ "tokens_per_user_max": 3 })).await;
    assert_eq!(rules.status, 200, "{}", rules.text());
    applied(&other, 4).await;
    assert_eq!(look(&other, path).await["values"]["tokens_per_user_max"], 3);
}

async fn reopened(server: &harness::Etcd, directory: TempDir) -> Shop {
    setup(server).open_in(directory).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_it_may_be_is_kept_out_also_over_a_restart() {
    let Some(server) = harness::etcd(1) else { return };
    let (one, other) = (setup(&server).open().await, setup(&server).open().await);
    for (version, user_burst) in [(0, 3), (1, 4)] {
        let tag = format!("\"{version}\"");
        assert_eq!(put(&one, LIMITS, &tag, json!({ "user_burst": user_burst })).await.status, 200);
    }
    applied(&other, 2).await;
    let mut wrong = stored(&server);
    wrong["version"] = json!(3);
    wrong["documents"]["limits"]["version"] = json!(3);
    wrong["documents"]["limits"]["content"] = json!({ "user_burst": 0, "user_bursts": 5 });
    server.cli(&["put", CURRENT, &wrong.to_string()]).expect("etcdctl");
    let words =
        "limits, version 3: user_burst must be a whole number from 1 to 10000, user_bursts is no";
    refused(&one, Some(words)).await;
    refused(&other, Some(words)).await;
    let view = look(&other, LIMITS).await;
    assert_eq!((&view["version"], &view["values"]["user_burst"]), (&json!(2), &json!(4)));
    // A node that begins anew says so, too, and goes by what it knew; so does one that knew nothing.
    let other = reopened(&server, other.close().await).await;
    let new = setup(&server).open().await;
    for shop in [&other, &new] {
        refused(shop, Some(words)).await;
        applied(shop, 2).await;
        assert_eq!(look(shop, LIMITS).await["values"]["user_burst"], 4);
    }
    // Another document is changed, and what was refused is gone.
    let path = "/api/v1/admin/settings/tokens";
    let changed = put(&new, path, "\"0\"", json!({ "ttl_seconds": 60 })).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    for shop in [&one, &other, &new] {
        refused(shop, None).await;
        applied(shop, 4).await;
        assert_eq!(look(shop, LIMITS).await["values"]["user_burst"], 4);
    }
    assert_eq!(stored(&server)["documents"]["limits"]["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_environment_has_set_is_not_changed_through_the_centre() {
    let Some(server) = harness::etcd(1) else { return };
    let variable = "SECKILL__LIMITS__USER_BURST";
    let loaded = Some(pinned(variable, "9"));
    let one = Setup { loaded, ..setup(&server) }.open().await;
    let other = setup(&server).open().await;
    let refused = put(&one, LIMITS, "\"0\"", json!({ "user_burst": 3, "user_per_s": 2 })).await;
    assert_eq!(refused.problem(), (422, "invalid_field".to_owned()));
    let problem = refused.json();
    assert_eq!(problem["errors"][0]["pointer"], "/values/user_burst");
    assert!(refused.text().contains(variable), "{problem}");
    assert_eq!(problem["errors"].as_array().map(Vec::len), Some(1), "{problem}");
    // Another node's environment is another, and the first one keeps to its own.
    let changed = put(&other, LIMITS, "\"0\"", json!({ "user_burst": 3, "user_per_s": 2 })).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    applied(&one, 1).await;
    let view = look(&one, LIMITS).await;
    assert_eq!(
        (&view["values"]["user_burst"], &view["values"]["user_per_s"]),
        (&json!(9), &json!(2))
    );
    let fields = view["fields"].as_array().expect("a list").iter();
    let told: Vec<&Value> = fields.filter(|field| field["pinned"] == variable).collect();
    assert_eq!(told.len(), 1, "{view:#}");
    assert_eq!(look(&other, LIMITS).await["values"]["user_burst"], 3);
    let kept = json!({ "user_burst": 3, "user_per_s": 4 });
    assert_eq!(put(&one, LIMITS, "\"1\"", kept).await.status, 200, "that it stays is no change");
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_away_changes_nothing() {
    let Some(server) = harness::etcd(1) else { return };
    let shop = setup(&server).open().await;
    assert_eq!(put(&shop, LIMITS, "\"0\"", json!({ "user_burst": 3 })).await.status, 200);
    drop(server);
    let shop = {
        let address = EtcdAddress {
            endpoints: vec!["http://127.0.0.1:9".to_owned()],
            tls: None,
            login: None,
        };
        let etcd = Etcd::prepare(&address, Duration::from_secs(1)).expect("an address");
        let centre = Some((etcd, PREFIX.to_owned()));
        Setup { centre, ..Setup::default() }.open_in(shop.close().await).await
    };
    let view = look(&shop, LIMITS).await;
    assert_eq!((&view["version"], &view["values"]["user_burst"]), (&json!(1), &json!(3)));
    let gone = put(&shop, LIMITS, "\"1\"", json!({})).await;
    assert_eq!(gone.problem(), (503, "log_unavailable".to_owned()));
    assert!(gone.text().contains("etcd, which has the settings"), "{}", gone.text());
}
