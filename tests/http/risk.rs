//! Risk rules: lists that bite at once, shadows that hit nobody, and what operators see of both.

use harness::http::Answer;
use harness::proof::solve;
use seckill::http::{
    ChallengeOptions, ClientAddressOptions, ClientAddressSource, Difficulty, Options,
};
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use support::{Ask, Setup, Shop, offer};

const ENTRIES: &str = "/api/v1/admin/risk/entries";
const RULES: &str = "/api/v1/admin/risk/rules";

/// The edge behind a proxy on this machine.
fn setup() -> Setup {
    let trusted = vec!["127.0.0.0/8".parse().expect("a network")];
    let client_address =
        ClientAddressOptions { source: ClientAddressSource::XForwardedFor, trusted };
    Setup { http: Options { client_address, ..Options::default() }, ..Setup::default() }
}

async fn add(shop: &Shop, entries: Value) -> Vec<String> {
    let body = json!({ "entries": entries });
    let added = shop.post(ENTRIES, &shop.operator("ann"), Some(body)).await;
    assert_eq!(added.status, 201, "{}", added.text());
    let added = added.json();
    let ids = added["entry_ids"].as_array().expect("a list").iter();
    ids.map(|id| id.as_str().expect("an identity").to_owned()).collect()
}

async fn remove(shop: &Shop, id: &str) -> u16 {
    let ask = Ask { token: Some(&shop.operator("bob")), ..Ask::default() };
    shop.ask("DELETE", &format!("{ENTRIES}/{id}"), ask).await.status
}

async fn buy(shop: &Shop, item: &str, user_id: u64, from: &str) -> Answer {
    let ask = Ask {
        token: Some(&shop.buyer(user_id)),
        headers: &[("x-forwarded-for", from), ("idempotency-key", "same")],
        ..Ask::default()
    };
    shop.ask("POST", &format!("/api/v1/items/{item}/buy"), ask).await
}

async fn is_denied(shop: &Shop, item: &str, user_id: u64, from: &str) -> bool {
    let answer = buy(shop, item, user_id, from).await;
    if answer.status < 300 {
        return false;
    }
    assert_eq!(answer.problem(), (403, "not_admitted".to_owned()));
    // No reason is told.
    let told = answer.text().to_lowercase();
    assert!(!["deny", "address", "rule", "list"].iter().any(|word| told.contains(word)), "{told}");
    true
}

async fn set_rules(shop: &Shop, values: Value) {
    let ask = Ask {
        token: Some(&shop.admin("ann")),
        headers: &[("if-match", "*")],
        body: Some(json!({ "values": values, "reason": "a test" })),
    };
    let set = shop.ask("PUT", RULES, ask).await;
    assert_eq!(set.status, 200, "{}", set.text());
}

async fn list(shop: &Shop, path: &str) -> Vec<Value> {
    let shown = shop.get(path, Some(&shop.operator("ann"))).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    shown.json()["data"].as_array().expect("a list").clone()
}

async fn matches(shop: &Shop) -> Vec<Value> {
    list(shop, "/api/v1/admin/risk/matches").await
}

#[tokio::test]
async fn an_entry_bites_in_the_middle_of_a_sale_and_ends_with_its_removal() {
    let shop = setup().open().await;
    let item = shop.live_item(100).await;
    assert!(!is_denied(&shop, &item, 1, "192.0.2.9").await);
    let ids = add(
        &shop,
        json!([
            { "list": "deny_address", "value": "192.0.2.0/24", "note": "scripts" },
            { "list": "deny_user", "value": "7" },
            { "list": "allow_address", "value": "192.0.2.200" },
        ]),
    )
    .await;
    assert!(is_denied(&shop, &item, 1, "192.0.2.9").await);
    assert!(is_denied(&shop, &item, 7, "198.51.100.1").await);
    assert!(!is_denied(&shop, &item, 8, "198.51.100.1").await, "the neighbour");
    assert!(!is_denied(&shop, &item, 9, "192.0.2.200").await, "the allowed one");
    // The address is looked at before the token.
    let path = format!("/api/v1/items/{item}/buy");
    let ask = Ask { headers: &[("x-forwarded-for", "192.0.2.9")], ..Ask::default() };
    assert_eq!(shop.ask("POST", &path, ask).await.status, 403);

    let found = matches(&shop).await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!((&found[0]["rule"], &found[0]["user_id"]), (&json!("deny_address"), &Value::Null));
    assert_eq!((&found[1]["rule"], &found[1]["mode"]), (&json!("deny_user"), &json!("enforce")));
    assert_eq!(found[1]["address"], "198.51.100.1");
    assert_eq!(found[1]["moment"], "purchase");
    let line = "seckill_risk_matches_total{rule=\"deny_address\",mode=\"enforce\"} 2";
    assert!(shop.shows(line).await);
    let entries = list(&shop, ENTRIES).await;
    assert_eq!((entries.len(), &entries[2]["note"]), (3, &json!("scripts")));

    assert_eq!((remove(&shop, &ids[0]).await, remove(&shop, &ids[0]).await), (204, 404));
    assert!(!is_denied(&shop, &item, 1, "192.0.2.9").await);
    let log = list(&shop, "/api/v1/admin/audit-log?limit=2").await;
    let actions: Vec<&Value> = log.iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, [&json!("risk.remove"), &json!("risk.add")]);
}

#[tokio::test]
async fn entries_outlive_a_restart_and_hold_without_their_store() {
    let shop = setup().open().await;
    let item = shop.live_item(100).await;
    add(&shop, json!([{ "list": "deny_user", "value": "7" }])).await;
    let shop = setup().open_in(shop.close().await).await;
    assert!(is_denied(&shop, &item, 7, "198.51.100.1").await);
    let soon = shop.engine.now().plus_milliseconds(5_000);
    let soon = seckill::http::timestamp::to_string(soon);
    add(&shop, json!([{ "list": "deny_user", "value": "9", "expires_at": soon }])).await;
    shop.orders.database().close().await;
    assert!(is_denied(&shop, &item, 7, "198.51.100.1").await);
    assert!(!is_denied(&shop, &item, 8, "198.51.100.1").await);
    // What ends by itself does so without the store.
    assert!(is_denied(&shop, &item, 9, "198.51.100.1").await);
    harness::until("the entry to end", async || {
        (!is_denied(&shop, &item, 9, "198.51.100.1").await).then_some(())
    })
    .await;
    assert!(is_denied(&shop, &item, 7, "198.51.100.1").await);
}

/// While a million entries are read, buyers are answered; then every one of them is denied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_entries_are_read_while_the_shop_sells() {
    const COUNT: u64 = 1_000_000;
    let shop = setup().open().await;
    let item = shop.live_item(100_000).await;
    let url = format!("sqlite://{}/orders.db", shop.directory.path().display());
    let mut connection = SqliteConnection::connect(&url).await.expect("it opens");
    // Another node adds them, as many in a change as there may be.
    let text = format!(
        "BEGIN IMMEDIATE;
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {COUNT})
         INSERT INTO risk_entries (kind, value, note, actor, at, change_no)
         SELECT 'deny_user', CAST(5000000 + n AS TEXT), '', 'ann', 0, 1 + n / 5000 FROM n;
         UPDATE risk_changes SET change_no = 1 + {COUNT} / 5000;
         COMMIT;"
    );
    sqlx::raw_sql(&text).execute(&mut connection).await.expect("added");
    connection.close().await.expect("closed");
    let mut answered = 0;
    harness::until("the last of them to be denied", async || {
        answered += 1;
        assert!(!is_denied(&shop, &item, answered, "192.0.2.9").await);
        is_denied(&shop, &item, 5_000_000 + COUNT, "192.0.2.9").await.then_some(())
    })
    .await;
    assert!(answered > 20, "{answered} buyers were answered meanwhile");
    for user in [1, 2, COUNT / 2, COUNT] {
        assert!(is_denied(&shop, &item, 5_000_000 + user, "192.0.2.9").await);
    }
    assert!(!is_denied(&shop, &item, 5_000_000, "192.0.2.9").await);
}

#[tokio::test]
async fn an_entry_ends_by_itself() {
    let shop = setup().open().await;
    let item = shop.live_item(10).await;
    let soon = shop.engine.now().plus_milliseconds(1_500);
    let soon = seckill::http::timestamp::to_string(soon);
    add(&shop, json!([{ "list": "deny_user", "value": "7", "expires_at": soon }])).await;
    harness::until("the entry to end", async || {
        (!is_denied(&shop, &item, 7, "192.0.2.9").await).then_some(())
    })
    .await;
    assert!(!matches(&shop).await.is_empty(), "it held before");
    assert_eq!(list(&shop, ENTRIES).await[0]["has_ended"], true);
}

#[tokio::test]
async fn an_entry_takes_the_place_of_an_older_one() {
    let shop = setup().open().await;
    let item = shop.live_item(10).await;
    add(
        &shop,
        json!([{ "list": "deny_user", "value": "7" }, { "list": "deny_user", "value": "8" }]),
    )
    .await;
    let newer = json!([{ "list": "deny_user", "value": "7", "note": "a second time" }]);
    let newer = add(&shop, newer).await;
    let shown = list(&shop, ENTRIES).await;
    let values: Vec<&Value> = shown.iter().map(|entry| &entry["value"]).collect();
    assert_eq!(
        (values, &shown[0]["note"]),
        (vec![&json!("7"), &json!("8")], &json!("a second time"))
    );
    assert!(shown.iter().all(|entry| entry["has_ended"] == false), "{shown:?}");
    assert!(is_denied(&shop, &item, 7, "192.0.2.9").await);
    // Nothing of it is left when it is removed.
    assert_eq!(remove(&shop, &newer[0]).await, 204);
    assert!(!is_denied(&shop, &item, 7, "192.0.2.9").await);
    assert!(is_denied(&shop, &item, 8, "192.0.2.9").await);
}

#[tokio::test]
async fn a_rule_in_shadow_refuses_nobody_and_counts_whom_it_would() {
    let shop = setup().open().await;
    let item = shop.live_item(10).await;
    set_rules(&shop, json!({ "deny_user_mode": "shadow" })).await;
    add(&shop, json!([{ "list": "deny_user", "value": "7" }])).await;
    assert!(!is_denied(&shop, &item, 7, "192.0.2.9").await);
    assert!(!is_denied(&shop, &item, 8, "192.0.2.9").await);
    for line in [
        "seckill_risk_matches_total{rule=\"deny_user\",mode=\"shadow\"} 1",
        "seckill_risk_matches_total{rule=\"deny_user\",mode=\"enforce\"} 0",
    ] {
        assert!(shop.shows(line).await, "{line}");
    }
    let found = matches(&shop).await;
    assert_eq!((found.len(), &found[0]["mode"]), (1, &json!("shadow")));
    assert_eq!(found[0]["action"], "deny");
    set_rules(&shop, json!({})).await;
    assert!(is_denied(&shop, &item, 7, "192.0.2.9").await);
    set_rules(&shop, json!({ "deny_user_mode": "off" })).await;
    assert!(!is_denied(&shop, &item, 7, "192.0.2.9").await);
    assert_eq!(matches(&shop).await.len(), 2);
}

#[tokio::test]
async fn an_address_with_too_many_accounts_cannot_log_in_with_more() {
    let shop = setup().open().await;
    set_rules(
        &shop,
        json!({
            "accounts_per_address_max": 2,
            "accounts_per_address_mode": "enforce",
            "accounts_per_address_action": "deny",
        }),
    )
    .await;
    let ask = async |path: &str, person: usize, from: &str| {
        let body = json!({ "user_name": format!("person-{person}"), "password": "right horse" });
        let headers = &[("x-forwarded-for", from)];
        shop.ask("POST", path, Ask { headers, body: Some(body), ..Ask::default() }).await.status
    };
    for person in 0..8 {
        let from = format!("198.51.100.{person}");
        assert_eq!(ask("/api/v1/users", person, &from).await, 201);
    }
    let mut statuses = Vec::new();
    for person in 0..8 {
        statuses.push(ask("/api/v1/login", person, "192.0.2.9").await);
    }
    // They are counted by bits, of which some may coincide.
    assert_eq!((&statuses[..2], statuses[7]), (&[200, 200][..], 403), "{statuses:?}");
    let mut statuses = Vec::new();
    for person in 10..18 {
        statuses.push(ask("/api/v1/users", person, "192.0.2.11").await);
    }
    assert_eq!((&statuses[..2], statuses[7]), (&[201, 201][..], 403), "{statuses:?}");
    assert_eq!(ask("/api/v1/users", 9, "192.0.2.9").await, 403, "nor register more");
    assert_eq!(ask("/api/v1/login", 7, "192.0.2.10").await, 200, "elsewhere they can");
}

#[tokio::test]
async fn mistakes_in_entries_add_none_of_them() {
    let shop = setup().open().await;
    let body = json!({ "entries": [
        { "list": "deny_user", "value": "7" },
        { "list": "deny_address", "value": "192.0.2.1/24" },
    ] });
    let refused = shop.post(ENTRIES, &shop.operator("ann"), Some(body)).await;
    assert_eq!(refused.problem(), (422, "invalid_field".to_owned()));
    assert_eq!(refused.json()["errors"][0]["pointer"], "/entries/1/value");
    for (entry, pointer) in [
        (json!({ "list": "deny_user", "value": "7" }), "/entries/1/value"),
        (json!({ "list": "deny_address", "value": "0.0.0.0/0" }), "/entries/1/value"),
        (
            json!({ "list": "deny_user", "value": "8", "expires_at": "2020-01-01T00:00:00Z" }),
            "/entries/1/expires_at",
        ),
    ] {
        let body = json!({ "entries": [{ "list": "deny_user", "value": "7" }, entry] });
        let refused = shop.post(ENTRIES, &shop.operator("ann"), Some(body)).await;
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{}", refused.text());
    }
    assert!(list(&shop, ENTRIES).await.is_empty());
    let none = shop.post(ENTRIES, &shop.operator("ann"), Some(json!({ "entries": [] }))).await;
    assert_eq!(none.status, 422);
}

/// A shop with cheap proofs of work, and an item of a sale that is guarded like this.
async fn guarded(starts_in_milliseconds: u64, admission: Value) -> (Shop, String, u64) {
    let difficulty = Difficulty { cost: 1, prefix: "0".to_owned() };
    let challenge = ChallengeOptions { difficulty, ..ChallengeOptions::default() };
    let shop = Shop::with(Options { challenge, ..Options::default() }).await;
    let starts_at = shop.engine.now().plus_milliseconds(starts_in_milliseconds);
    let ends_at = starts_at.plus_milliseconds(3_600_000);
    let (sale, items) = shop.sale(shop.draft_between(starts_at, ends_at, &[pears()])).await;
    let path = format!("/api/v1/admin/sales/{sale}/items/{}/admission", items[0]);
    let ask = Ask { token: Some(&shop.operator("ann")), body: Some(admission), ..Ask::default() };
    let set = shop.ask("PUT", &path, ask).await;
    assert_eq!(set.status, 200, "{}", set.text());
    (shop, items[0].clone(), starts_at.0)
}

fn pears() -> Value {
    let mut pears = offer("pear", 9);
    pears["limit_per_user"] = json!(9);
    pears
}

async fn challenge(shop: &Shop, item: &str, user_id: u64) -> Value {
    let path = format!("/api/v1/items/{item}/challenge");
    shop.get(&path, Some(&shop.buyer(user_id))).await.json()
}

async fn token(shop: &Shop, item: &str, user_id: u64, solution: Option<String>) -> Answer {
    let path = format!("/api/v1/items/{item}/buy-token");
    let body = solution.map(|solution| json!({ "challenge": solution }));
    shop.post(&path, &shop.buyer(user_id), body).await
}

/// More than one buy token is too many, with this consequence.
async fn one_token_each(shop: &Shop, action: &str) {
    set_rules(
        shop,
        json!({
            "tokens_per_user_max": 1,
            "tokens_per_user_mode": "enforce",
            "tokens_per_user_action": action,
        }),
    )
    .await;
}

#[tokio::test]
async fn who_asks_for_too_many_tokens_solves_more_for_the_next() {
    for kind in ["proof", "none"] {
        let (shop, item, _) = guarded(0, json!({ "buy_token": true, "challenge": kind })).await;
        one_token_each(&shop, "harder").await;
        let usual = |shown: &Value| shown["parameters"]["keyPrefix"] == "0";
        let (first, second) = (challenge(&shop, &item, 1).await, challenge(&shop, &item, 1).await);
        assert!(usual(&first) && usual(&second), "{kind}: {first}");
        assert_eq!(token(&shop, &item, 1, Some(solve(&first))).await.status, 201, "{kind}");
        // What was usual is not enough any more, neither nothing nor the usual proof.
        let bare = token(&shop, &item, 1, None).await;
        assert_eq!(bare.problem(), (403, "challenge_required".to_owned()), "{kind}");
        let usual_proof = token(&shop, &item, 1, Some(solve(&second))).await;
        assert_eq!(usual_proof.problem(), (403, "challenge_failed".to_owned()), "{kind}");
        let harder = challenge(&shop, &item, 1).await;
        assert_eq!(harder["parameters"]["keyPrefix"], "00", "{kind}");
        let issued = token(&shop, &item, 1, Some(solve(&harder))).await;
        assert_eq!(issued.status, 201, "{kind}: {}", issued.text());
        let url = issued.json()["buy_url"].as_str().expect("a path").to_owned();
        assert_eq!(shop.post(&url, &shop.buyer(1), None).await.status, 201, "{kind}");
        // Another buyer is not concerned.
        assert!(usual(&challenge(&shop, &item, 2).await), "{kind}");
    }
}

#[tokio::test]
async fn who_asks_for_too_many_tokens_comes_last() {
    const SPREAD: u64 = 600_000;
    let admission =
        json!({ "buy_token": true, "lead_seconds": 3_600, "spread_milliseconds": SPREAD });
    let (shop, item, starts_at) = guarded(1_000_000, admission).await;
    one_token_each(&shop, "last").await;
    let slot = async |user_id| {
        let issued = token(&shop, &item, user_id, None).await;
        assert_eq!(issued.status, 201, "{}", issued.text());
        let opens_at = issued.json()["opens_at"].as_str().map(seckill::http::timestamp::parse);
        opens_at.expect("a time").expect("a time").0 - starts_at
    };
    let (first, second, third) = (slot(1).await, slot(1).await, slot(1).await);
    assert!(first < SPREAD, "{first}");
    assert_eq!((second, third), (SPREAD, SPREAD));
    assert!(slot(2).await < SPREAD, "another buyer is not concerned");
}

#[tokio::test]
async fn a_denied_buyer_gets_no_token_and_no_challenge() {
    let (shop, item, _) = guarded(0, json!({ "buy_token": true, "challenge": "proof" })).await;
    let issued = token(&shop, &item, 7, Some(solve(&challenge(&shop, &item, 7).await))).await;
    let url = issued.json()["buy_url"].as_str().expect("a path").to_owned();
    add(&shop, json!([{ "list": "deny_user", "value": "7" }])).await;
    let refused = (403, "not_admitted".to_owned());
    let path = format!("/api/v1/items/{item}/challenge");
    assert_eq!(shop.get(&path, Some(&shop.buyer(7))).await.problem(), refused);
    assert_eq!(token(&shop, &item, 7, None).await.problem(), refused);
    // Nor is the token of before of any use.
    assert_eq!(shop.post(&url, &shop.buyer(7), None).await.problem(), refused);
}
