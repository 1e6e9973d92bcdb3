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

#[tokio::test]
async fn what_a_name_may_have_is_said_with_its_characters() {
    let shop = Shop::open().await;
    let body = json!({ "user_name": "王伟", "password": "correct horse" });
    let answer = post(&shop, "/api/v1/users", body).await;
    let detail =
        "/user_name: must have 2 to 32 characters, each one of A to Z, a to z, 0 to 9, _, . and -";
    assert_eq!(answer.json()["detail"], detail);
    let mut sale = shop.draft(&[support::offer("梨", 1)]);
    sale["items"][0]["currency"] = json!("人民币");
    let answer = shop.post("/api/v1/admin/sales", &shop.operator("ann"), Some(sale)).await;
    let errors = answer.json()["errors"].to_string();
    for said in [
        "must have 1 to 64 characters, each one of A to Z, a to z, 0 to 9, _ and -",
        "must be an ISO 4217 code: three letters from A to Z",
    ] {
        assert!(errors.contains(said), "{said} is not in {errors}");
    }
}

#[tokio::test]
async fn another_password_ends_the_tokens_of_before_for_good() {
    let shop = Shop::open().await;
    let credentials = |password: &str| json!({ "user_name": "ann", "password": password });
    assert_eq!(post(&shop, "/api/v1/users", credentials("correct horse")).await.status, 201);
    let token = async |shop: &Shop, password: &str| {
        let login = post(shop, "/api/v1/login", credentials(password)).await;
        login.json()["token"].as_str().expect("a token").to_owned()
    };
    let (first, second) =
        (token(&shop, "correct horse").await, token(&shop, "correct horse").await);
    let body = json!({ "password": "correct horse", "new_password": "another horse" });
    let ask = Ask { token: Some(&first), body: Some(body), ..Ask::default() };
    assert_eq!(shop.ask("PUT", "/api/v1/password", ask).await.status, 204);
    let refused = (401, "unauthenticated".to_owned());
    for old in [&first, &second] {
        assert_eq!(shop.get("/api/v1/orders", Some(old)).await.problem(), refused);
        let renewed = shop.post("/api/v1/session/renew", old, None).await;
        assert_eq!(renewed.problem(), refused);
    }
    // Also one that is got in the same second.
    let new = token(&shop, "another horse").await;
    assert_eq!(shop.get("/api/v1/orders", Some(&new)).await.status, 200);

    let shop = shop.reopen().await;
    harness::until("what was ended to be read", async || {
        (shop.get("/api/v1/orders", Some(&second)).await.status == 401).then_some(())
    })
    .await;
    assert_eq!(shop.get("/api/v1/orders", Some(&new)).await.status, 200);
}
