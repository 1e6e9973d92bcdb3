//! Registering and logging in.

use seckill::http::Options;
use serde_json::{Value, json};
use support::{Ask, Shop};

async fn post(shop: &Shop, path: &str, body: Value) -> harness::http::Answer {
    shop.ask("POST", path, Ask { body: Some(body), ..Ask::default() }).await
}

#[tokio::test]
async fn a_user_who_registers_can_log_in_and_buy() {
    let shop = Shop::open().await;
    let item = shop.live_item(1).await;
    let ann = json!({ "user_name": "Ann", "password": "correct horse" });
    let registered = post(&shop, "/api/v1/users", ann.clone()).await;
    assert_eq!(registered.status, 201, "{}", registered.text());
    assert_eq!(registered.json()["user_name"], "Ann");
    assert!(!registered.text().contains("correct horse"));

    let again = json!({ "user_name": "ANN", "password": "another one" });
    let taken = post(&shop, "/api/v1/users", again).await;
    assert_eq!(taken.problem(), (409, "user_name_taken".to_owned()));

    let login = post(&shop, "/api/v1/login", ann).await;
    assert_eq!(login.status, 200, "{}", login.text());
    let login = login.json();
    let token = login["token"].as_str().unwrap();
    assert!(seckill::http::timestamp::parse(login["expires_at"].as_str().unwrap()).is_ok());
    let bought = shop.post(&format!("/api/v1/items/{item}/buy"), token, None).await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    // A buyer is no operator.
    let refused = shop.get("/api/v1/admin/sales", Some(token)).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_told_alike() {
    let shop = Shop::open().await;
    let ann = json!({ "user_name": "ann", "password": "correct horse" });
    assert_eq!(post(&shop, "/api/v1/users", ann).await.status, 201);
    let mut details = Vec::new();
    for (name, password) in [("ann", "wrong horse"), ("bob", "correct horse")] {
        let login = json!({ "user_name": name, "password": password });
        let answer = post(&shop, "/api/v1/login", login).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".to_owned()));
        details.push(answer.json()["detail"].clone());
    }
    assert_eq!(details[0], details[1]);
}

#[tokio::test]
async fn what_cannot_be_a_user_is_refused() {
    let shop = Shop::open().await;
    for (body, pointers) in [
        (json!({}), vec!["/user_name", "/password"]),
        (json!({ "user_name": "a b", "password": "12345678" }), vec!["/user_name"]),
        (json!({ "user_name": "ann", "password": "1234567" }), vec!["/password"]),
        (json!({ "user_name": "ann", "password": "12345678", "id": 1 }), vec!["/id"]),
    ] {
        let answer = post(&shop, "/api/v1/users", body).await;
        assert_eq!(answer.problem(), (422, "invalid_field".to_owned()));
        let found: Vec<_> = answer.json()["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, pointers);
    }
    let bare = shop.ask("POST", "/api/v1/users", Ask::default()).await;
    assert_eq!(bare.problem(), (400, "malformed_json".to_owned()));
}

#[tokio::test]
async fn too_many_at_once_are_told_to_come_back() {
    let shop = Shop::with(Options { password_queue_max: 0, ..Options::default() }).await;
    let ann = json!({ "user_name": "ann", "password": "correct horse" });
    let answer = post(&shop, "/api/v1/users", ann).await;
    assert_eq!(answer.problem(), (503, "overloaded".to_owned()));
}
