//! Settings are changed while the shop sells, by the rules of the file, with author, reason and history.

use harness::http::Answer;
use harness::proof::solve;
use seckill::actors::LiveSettings;
use seckill::http::{ChallengeOptions, Difficulty, Options};
use seckill::store::settings::{Documents, KeptSettings, SettingsStore};
use serde_json::{Value, json};
use std::path::PathBuf;
use support::{Ask, Setup, Shop, offer};
use tempfile::TempDir;

const LIMITS: &str = "/api/v1/admin/settings/limits";

async fn put(shop: &Shop, path: &str, version: &str, values: Value) -> Answer {
    change(shop, "PUT", path, version, json!({ "values": values, "reason": "a test" })).await
}

async fn change(shop: &Shop, method: &str, path: &str, version: &str, body: Value) -> Answer {
    let ask = Ask {
        token: Some(&shop.admin("ann")),
        headers: &[("if-match", version)],
        body: Some(body),
    };
    shop.ask(method, path, ask).await
}

async fn look(shop: &Shop, path: &str) -> Answer {
    shop.get(path, Some(&shop.operator("ann"))).await
}

/// The statuses of so many purchases of one buyer, which are all the same request.
async fn statuses(shop: &Shop, item: &str, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(shop.buy(item, 1, "same").await.status);
    }
    statuses
}

#[tokio::test]
async fn a_limit_is_changed_while_the_shop_sells() {
    let shop = Shop::open().await;
    let item = shop.live_item(100).await;
    assert!(!statuses(&shop, &item, 40).await.contains(&429));
    let before = look(&shop, LIMITS).await;
    assert_eq!((before.status, before.header("etag")), (200, Some("\"0\"")));
    let tight = json!({ "user_per_s": 1, "user_burst": 2 });
    let changed = put(&shop, LIMITS, "\"0\"", tight).await;
    assert_eq!((changed.status, changed.header("etag")), (200, Some("\"1\"")));
    let view = changed.json();
    assert_eq!(view["values"]["user_burst"], 2);
    assert_eq!(view["values"]["login_address_per_min"], 60, "as in the file");
    assert_eq!((&view["actor"], &view["reason"]), (&json!("ann"), &json!("a test")));
    assert!(statuses(&shop, &item, 20).await.contains(&429));
    // It is in the log, and in the history, from which it is set back.
    let log = look(&shop, "/api/v1/admin/audit-log?limit=1").await.json();
    let entry = &log["data"][0];
    assert_eq!((&entry["action"], &entry["actor"]), (&json!("settings.change"), &json!("ann")));
    assert_eq!(entry["detail"]["content"], json!({ "user_per_s": 1, "user_burst": 2 }));
    let wide = put(&shop, LIMITS, "\"1\"", json!({ "user_per_s": 0 })).await;
    assert_eq!(wide.status, 200, "{}", wide.text());
    assert!(!statuses(&shop, &item, 40).await.contains(&429));
    let history = look(&shop, &format!("{LIMITS}/history?limit=1")).await.json();
    assert_eq!((&history["data"][0]["version"], &history["has_more"]), (&json!(2), &json!(true)));
    let path = format!("{LIMITS}/rollback");
    let body = json!({ "version": 1, "reason": "too wide" });
    let back = change(&shop, "POST", &path, "*", body).await;
    assert_eq!(back.json()["changed"], json!({ "user_per_s": 1, "user_burst": 2 }));
    assert_eq!(back.json()["version"], 3);
    let body = json!({ "version": 9, "reason": "there is none" });
    assert_eq!(change(&shop, "POST", &path, "*", body).await.status, 422);
}

#[tokio::test]
async fn admins_change_what_operators_see_too() {
    let shop = Shop::open().await;
    let rules = "/api/v1/admin/risk/rules";
    let rollback = format!("{LIMITS}/rollback");
    for (token, sees, changes) in [
        (shop.operator("ann"), 200, 403),
        (shop.approver("ann"), 200, 403),
        (shop.admin("ann"), 200, 200),
        (shop.buyer(1), 403, 403),
    ] {
        for path in [LIMITS, rules, "/api/v1/admin/risk/entries", "/api/v1/admin/risk/matches"] {
            let seen = shop.get(path, Some(&token)).await;
            assert_eq!(seen.status, sees, "{path}: {}", seen.text());
        }
        let history = shop.get(&format!("{LIMITS}/history"), Some(&token)).await;
        assert_eq!(history.status, sees);
        let to_file = json!({ "version": 0, "reason": "a test" });
        let values = json!({ "values": {}, "reason": "a test" });
        for (method, path, body) in [
            ("PUT", LIMITS, &values),
            ("PUT", rules, &values),
            ("POST", rollback.as_str(), &to_file),
        ] {
            let headers = &[("if-match", "*")];
            let ask = Ask { token: Some(&token), headers, body: Some(body.clone()) };
            let changed = shop.ask(method, path, ask).await;
            assert_eq!(changed.status, changes, "{method} {path}: {}", changed.text());
        }
    }
}

#[tokio::test]
async fn two_operators_do_not_overwrite_each_other() {
    let shop = Shop::open().await;
    assert_eq!(put(&shop, LIMITS, "\"0\"", json!({ "user_per_s": 5 })).await.status, 200);
    let late = put(&shop, LIMITS, "\"0\"", json!({ "user_per_s": 6 })).await;
    assert_eq!(late.problem(), (412, "revision_conflict".to_owned()));
    assert_eq!(late.json()["revision"], 1);
    let ask = Ask {
        token: Some(&shop.admin("bob")),
        body: Some(json!({ "values": {}, "reason": "blind" })),
        ..Ask::default()
    };
    let blind = shop.ask("PUT", LIMITS, ask).await;
    assert_eq!(blind.problem(), (428, "revision_required".to_owned()));
    assert_eq!(look(&shop, LIMITS).await.json()["values"]["user_per_s"], 5);
}

#[tokio::test]
async fn what_the_file_could_not_say_is_refused_and_every_mistake_is_told() {
    let shop = Shop::open().await;
    let wrong = json!({ "user_per_s": 5_000, "user_burst": "many", "table_mib": 8, "a/b": 1 });
    let refused = put(&shop, LIMITS, "*", wrong).await;
    assert_eq!(refused.problem(), (422, "invalid_field".to_owned()));
    let errors = refused.json();
    let mut pointers: Vec<&str> = errors["errors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|error| error["pointer"].as_str().expect("a pointer"))
        .collect();
    pointers.sort_unstable();
    let expected =
        ["/values/a~1b", "/values/table_mib", "/values/user_burst", "/values/user_per_s"];
    assert_eq!(pointers, expected);
    assert_eq!(look(&shop, LIMITS).await.json()["version"], 0);
    let unknown = put(&shop, "/api/v1/admin/settings/secrets", "*", json!({})).await;
    assert_eq!(unknown.problem(), (404, "not_found".to_owned()));
    let buyer = shop.get(LIMITS, Some(&shop.buyer(1))).await;
    assert_eq!(buyer.problem(), (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn another_node_follows_and_a_restart_forgets_nothing() {
    let shop = Shop::open().await;
    // Another node on the same store, both ways.
    let store = SettingsStore::new(shop.orders.database());
    let kept = KeptSettings::at(shop.directory.path().join("other-settings"));
    let other = LiveSettings::new(store, kept, shop.engine.clock());
    let following = tokio::spawn(other.clone().follow());
    let tight = json!({ "user_per_s": 1, "user_burst": 1 });
    assert_eq!(put(&shop, LIMITS, "*", tight.clone()).await.status, 200);
    let seen = harness::until("the other node to follow", async || other.document("limits")).await;
    assert_eq!(Value::Object(seen.content), tight);
    let Value::Object(content) = json!({ "user_per_s": 1_000, "user_burst": 7 }) else { return };
    let change = seckill::actors::SettingChange {
        name: "limits",
        base: 1,
        content: &content,
        actor: "bob",
        at: shop.engine.now(),
        reason: "elsewhere",
        action: "change",
    };
    other.change(change).await.expect("it is taken");
    harness::until("this node to follow", async || {
        (look(&shop, LIMITS).await.json()["version"] == 2).then_some(())
    })
    .await;
    following.abort();
    drop(other);

    let shop = shop.reopen().await;
    let view = look(&shop, LIMITS).await.json();
    assert_eq!((&view["version"], &view["values"]["user_burst"]), (&json!(2), &json!(7)));
}

#[tokio::test]
async fn without_the_store_the_last_ones_hold() {
    let shop = Shop::open().await;
    let item = shop.live_item(100).await;
    let tight = json!({ "user_per_s": 1, "user_burst": 1 });
    assert_eq!(put(&shop, LIMITS, "*", tight).await.status, 200);
    shop.orders.database().close().await;
    let gone = put(&shop, LIMITS, "*", json!({})).await;
    assert_eq!(gone.problem(), (503, "records_unavailable".to_owned()));
    let statuses = statuses(&shop, &item, 20).await;
    assert!(statuses[0] == 201 && statuses.contains(&429), "{statuses:?}");
    assert_eq!(look(&shop, LIMITS).await.json()["version"], 1);
}

/// Opens the shop on what the directory holds, while the store of its settings is away.
async fn open_away(directory: TempDir) -> Shop {
    Setup { settings_are_away: true, ..Setup::default() }.open_in(directory).await
}

fn kept(directory: &TempDir) -> PathBuf {
    directory.path().join("settings")
}

#[tokio::test]
async fn a_start_without_the_store_goes_on_with_what_was_read_last() {
    let shop = Shop::open().await;
    let item = shop.live_item(100).await;
    let tight = json!({ "user_per_s": 1, "user_burst": 1 });
    assert_eq!(put(&shop, LIMITS, "*", tight).await.status, 200);
    let entries = json!({ "entries": [{ "list": "deny_user", "value": "7" }] });
    let ann = shop.operator("ann");
    let added = shop.post("/api/v1/admin/risk/entries", &ann, Some(entries)).await;
    assert_eq!(added.status, 201, "{}", added.text());
    let shop = open_away(shop.close().await).await;

    let denied = shop.buy(&item, 7, "a").await;
    assert_eq!(denied.problem(), (403, "not_admitted".to_owned()));
    let statuses = statuses(&shop, &item, 20).await;
    assert!(statuses[0] == 201 && statuses.contains(&429), "{statuses:?}");
    assert_eq!(look(&shop, LIMITS).await.json()["version"], 1);
    let refused = put(&shop, LIMITS, "*", json!({})).await;
    assert_eq!(refused.problem(), (503, "records_unavailable".to_owned()));

    // Once the store answers it counts, whatever was kept.
    let directory = shop.close().await;
    let foreign = kept(&directory);
    KeptSettings::at(foreign.clone())
        .write(&Documents::default(), [("deny_user", "9")].iter().map(entry))
        .expect("written");
    let shop = Setup::default().open_in(directory).await;
    assert_eq!(shop.buy(&item, 9, "a").await.status, 201);
    assert_eq!(shop.buy(&item, 7, "a").await.status, 403);
    let kept = KeptSettings::at(foreign).read().expect("read").expect("kept");
    assert_eq!((kept.documents.by_name.len(), kept.entries.len()), (1, 1), "{kept:?}");
}

fn entry((list, value): &(&str, &str)) -> (domain::risk::EntryKind, Option<domain::Timestamp>) {
    (domain::risk::EntryKind::read(list, value).expect("an entry"), None)
}

#[tokio::test]
async fn kept_settings_that_were_damaged_are_not_believed() {
    let shop = Shop::open().await;
    let item = shop.live_item(100).await;
    let tight = json!({ "user_per_s": 1, "user_burst": 1 });
    assert_eq!(put(&shop, LIMITS, "*", tight).await.status, 200);
    let directory = shop.close().await;
    let text = std::fs::read_to_string(kept(&directory)).expect("kept");
    std::fs::write(kept(&directory), text.replace("\"user_burst\":1", "\"user_burst\":0")).unwrap();
    let shop = open_away(directory).await;
    assert_eq!(look(&shop, LIMITS).await.json()["version"], 0);
    assert!(!statuses(&shop, &item, 40).await.contains(&429));
}

#[tokio::test]
async fn a_store_without_entries_ends_those_that_were_kept() {
    let shop = Shop::open().await;
    let item = shop.live_item(100).await;
    let directory = shop.close().await;
    let kept = KeptSettings::at(kept(&directory));
    kept.write(&Documents::default(), [("deny_user", "9")].iter().map(entry)).expect("written");
    let shop = open_away(directory).await;
    assert_eq!(shop.buy(&item, 9, "a").await.problem(), (403, "not_admitted".to_owned()));
    let shop = Setup::default().open_in(shop.close().await).await;
    assert_eq!(shop.buy(&item, 9, "a").await.status, 201);
    assert!(kept.read().expect("read").expect("kept").entries.is_empty());
}

#[tokio::test]
async fn challenges_become_harder_while_the_shop_sells() {
    const CHALLENGE: &str = "/api/v1/admin/settings/challenge";
    let difficulty = Difficulty { cost: 1, prefix: "0".to_owned() };
    let challenge = ChallengeOptions { difficulty, ..ChallengeOptions::default() };
    let shop = Shop::with(Options { challenge, ..Options::default() }).await;
    let (sale, items) = shop.sale(shop.draft(&[offer("pear", 5)])).await;
    let path = format!("/api/v1/admin/sales/{sale}/items/{}/admission", items[0]);
    let guard = json!({ "buy_token": true, "challenge": "proof" });
    let ask = Ask { token: Some(&shop.operator("ann")), body: Some(guard), ..Ask::default() };
    assert_eq!(shop.ask("PUT", &path, ask).await.status, 200);
    let given = async || {
        let path = format!("/api/v1/items/{}/challenge", items[0]);
        shop.get(&path, Some(&shop.buyer(1))).await.json()
    };
    let token = async |solution: String| {
        let path = format!("/api/v1/items/{}/buy-token", items[0]);
        let body = json!({ "challenge": solution });
        shop.post(&path, &shop.buyer(1), Some(body)).await
    };
    let before = given().await;
    assert_eq!(before["parameters"]["keyPrefix"], "0");
    // Twice as dear a round, and a prefix with one digit more.
    let harder = json!({ "cost": 2, "prefix": "00", "ttl_seconds": 60 });
    let changed = put(&shop, CHALLENGE, "\"0\"", harder).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let view = changed.json();
    assert_eq!(view["values"]["on_error"], "proof", "as in the file");
    let hidden = view["values"].as_object().expect("settings");
    assert!(!hidden.contains_key("secret") && !hidden.contains_key("provider"), "{view}");
    let easy = token(solve(&before)).await;
    assert_eq!(easy.problem(), (403, "challenge_failed".to_owned()));
    let now = given().await;
    let parameters = &now["parameters"];
    assert_eq!((&parameters["cost"], &parameters["keyPrefix"]), (&json!(2), &json!("00")));
    let lasts = parameters["expiresAt"].as_u64().expect("a time") * 1_000;
    assert!(lasts <= shop.engine.now().0 + 60_000, "{parameters}");
    assert_eq!(token(solve(&now)).await.status, 201);
    for wrong in [json!({ "secret": "x" }), json!({ "prefix": "" }), json!({ "cost": 0 })] {
        let refused = put(&shop, CHALLENGE, "*", wrong.clone()).await;
        assert_eq!(refused.problem(), (422, "invalid_field".to_owned()), "{wrong}");
    }
}

#[tokio::test]
async fn sizes_permits_and_lifetimes_change_while_the_shop_sells() {
    let shop = Shop::open().await;
    let item = shop.live_item(100).await;
    let path = |name: &str| format!("/api/v1/admin/settings/{name}");
    for (name, values) in [
        ("http", json!({ "buy_body_bytes_max": 128, "event_streams_max": 0 })),
        ("tokens", json!({ "ttl_seconds": 7 })),
        ("buy_token", json!({ "ttl_seconds": 9 })),
        ("engine", json!({ "permits": 1 })),
        ("backlog", json!({ "records_max": 5, "when_exceeded": "refuse" })),
        ("log", json!({ "filter": "info,seckill=debug" })),
    ] {
        let changed = put(&shop, &path(name), "\"0\"", values.clone()).await;
        assert_eq!(changed.status, 200, "{name}: {}", changed.text());
        assert_eq!(changed.json()["changed"], values);
    }
    assert_eq!(shop.engine.status().permits, 1);
    let body = json!({ "quantity": 1, "note": "x".repeat(200) });
    let token = shop.buyer(1);
    let ask = Ask { token: Some(&token), headers: &[("idempotency-key", "a")], body: Some(body) };
    let large = shop.ask("POST", &format!("/api/v1/items/{item}/buy"), ask).await;
    assert_eq!(large.status, 413, "{}", large.text());
    let bought = shop.buy(&item, 1, "b").await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    let order = bought.json()["order_id"].as_str().expect("an identity").to_owned();
    let events = shop.get(&format!("/api/v1/orders/{order}/events"), Some(&token)).await;
    assert_eq!(events.problem(), (503, "overloaded".to_owned()));
    for (name, values, key) in [
        ("http", json!({ "connections_max": 5 }), "connections_max"),
        ("engine", json!({ "shards": 5 }), "shards"),
        ("log", json!({ "filter": "loudly=7=8" }), "filter"),
        ("backlog", json!({ "when_exceeded": "sometimes" }), "when_exceeded"),
    ] {
        let refused = put(&shop, &path(name), "*", values).await;
        assert_eq!(refused.problem(), (422, "invalid_field".to_owned()), "{name}");
        assert_eq!(refused.json()["errors"][0]["pointer"], format!("/values/{key}"));
    }
}
