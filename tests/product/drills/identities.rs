//! Numbers of people, sales and items are given out once, also by a catalogue that was lost.

use crate::support::{Client, Offer, Server, Site, until};
use serde_json::Value;
use std::fs;

const OFFER: Offer = Offer { allotted: 5, limit: 2, window_seconds: 600 };

async fn post(client: &mut Client, path: &str, token: &str, body: &str) -> Value {
    let answer = client.send("POST", path, token, &[], body).await.expect("it answers");
    assert!(answer.status < 300, "{path}: {}", answer.text());
    answer.json()
}

/// Registers this person and logs them in: their number, and a token.
async fn register(client: &mut Client, name: &str) -> (String, String) {
    let body = format!(r#"{{"user_name":"{name}","password":"correct horse"}}"#);
    let user = post(client, "/api/v1/users", "", &body).await;
    let token = post(client, "/api/v1/login", "", &body).await;
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (text(&user["user_id"]), text(&token["token"]))
}

/// What readiness says of the catalogue, once it is so.
async fn catalogue(server: &Server, healthy: bool) -> String {
    until("the catalogue's state", async || {
        let health = server.look("/readyz?verbose").await.json();
        let mut rows = health["dependencies"].as_array().expect("a list").iter();
        let row = rows.find(|row| row["name"] == "catalogue")?;
        let meaning = row["meaning"].as_str().expect("words").to_owned();
        (row["healthy"] == healthy && !meaning.contains("not asked yet")).then_some(meaning)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_catalogue_gives_no_number_out_twice() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, &[OFFER; 3]).await;
    let mut client = server.client().await;
    let (wei, token) = register(&mut client, "wei").await;
    let path = format!("/api/v1/items/{}/buy", shop.items[0]);
    let order = post(&mut client, &path, &token, "").await;
    catalogue(&server, true).await;
    server.stop().await;
    site.audit([]).must_balance();
    for name in ["orders.db", "orders.db-wal", "orders.db-shm"] {
        let _ = fs::remove_file(site.data().join(name));
    }

    let server = site.start().await;
    let mut client = server.client().await;
    let meaning = catalogue(&server, false).await;
    assert!(meaning.contains("does not know item 1, 2, 3"), "{meaning}");
    let (lin, other_token) = register(&mut client, "lin").await;
    assert_ne!(lin, wei);
    let orders = client.send("GET", "/api/v1/orders", &other_token, &[], "").await;
    assert_eq!(orders.expect("it answers").json()["data"], serde_json::json!([]));
    let cancel = format!("/api/v1/orders/{}/cancel", order["order_id"].as_str().expect("an id"));
    let refused = client.send("POST", &cancel, &other_token, &[], "").await.expect("it answers");
    assert_eq!(refused.problem(), (404, "order_not_found".to_owned()));

    // A sale of other prices, and none of the old ones' numbers.
    let tokens = Vec::new();
    let (operator, approver) = (shop.operator.clone(), shop.approver.clone());
    let again =
        crate::support::OpenSale::open(&server, tokens, operator, approver, &[OFFER], 1).await;
    assert_eq!(again.items, [4]);
    server.stop().await;
    let verdict = site.audit([]);
    assert_eq!(verdict.code, Some(1), "{verdict:?}");
    assert_eq!(verdict.broken(), Vec::<&str>::new());
    assert_eq!(verdict.report["unknown_items"], serde_json::json!([1, 2, 3]));
}
