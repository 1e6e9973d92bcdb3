//! Webhooks as operators manage them: who may, what is refused, what is shown once, and what has to be proven.

use harness::{HookAnswer, HookReceiver};
use serde_json::{Value, json};
use support::{Ask, Setup, Shop};

const WEBHOOKS: &str = "/api/v1/admin/webhooks";

/// A shop whose endpoints may be on this machine.
pub async fn open() -> Shop {
    Setup { private_networks: "127.0.0.1", ..Setup::default() }.open().await
}

/// Makes an endpoint: its path, and its secret.
pub async fn create(shop: &Shop, body: Value) -> (String, String) {
    let made = shop.post(WEBHOOKS, &shop.admin("ann"), Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let id = made["webhook"]["endpoint_id"].as_str().expect("an identity");
    assert_eq!(made["webhook"]["state"], "new");
    (format!("{WEBHOOKS}/{id}"), made["secret"].as_str().expect("a secret").to_owned())
}

/// Does something with an endpoint as an admin.
pub async fn act(shop: &Shop, path: &str, action: &str) -> harness::http::Answer {
    shop.post(&format!("{path}/{action}"), &shop.admin("ann"), None).await
}

/// An endpoint as operators see it.
pub async fn shown(shop: &Shop, path: &str) -> Value {
    let shown = shop.get(path, Some(&shop.operator("bob"))).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    shown.json()
}

/// The latest attempts of an endpoint.
pub async fn deliveries(shop: &Shop, path: &str) -> Vec<Value> {
    let listed = shown(shop, &format!("{path}/deliveries")).await;
    listed["data"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn an_endpoint_is_live_once_it_has_taken_a_signed_ping() {
    let shop = open().await;
    let receiver = HookReceiver::open().await;
    let (path, secret) =
        create(&shop, json!({ "url": receiver.url(), "description": "仓库" })).await;
    assert!(secret.starts_with("whsec_"), "{secret}");
    // Nothing shows the secret again, and the tables do not have it.
    let listed = shop.get(WEBHOOKS, Some(&shop.operator("bob"))).await;
    assert!(
        !listed.text().contains("whsec_")
            && !shown(&shop, &path).await.to_string().contains("secret\":\"w")
    );
    for wrong in [HookAnswer::Status(500), HookAnswer::Status(302), HookAnswer::Hang] {
        let answer = wrong.clone();
        receiver.answers(move |_| answer.clone());
        let refused = act(&shop, &path, "enable").await;
        assert_eq!(refused.problem(), (409, "webhook_ping_failed".to_owned()), "{wrong:?}");
        assert_eq!(shown(&shop, &path).await["state"], "new");
    }
    receiver.answers(|_| HookAnswer::Status(204));
    assert_eq!(act(&shop, &path, "enable").await.status, 200);
    assert_eq!(shown(&shop, &path).await["state"], "live");
    let asked = receiver.asked();
    assert_eq!(asked.len(), 4);
    let ping = &asked[3];
    assert!(ping.is_signed_by(&secret) && !ping.is_signed_by("whsec_AAAA"));
    assert_eq!(
        (ping.kind().as_str(), ping.event()["specversion"].clone()),
        ("seckill.webhook.ping", json!("1.0"))
    );
    assert_eq!(ping.header("content-type"), Some("application/cloudevents+json"));
    let log = deliveries(&shop, &path).await;
    let statuses: Vec<&Value> = log.iter().map(|delivery| &delivery["status"]).collect();
    assert_eq!(statuses, [&json!(204), &Value::Null, &json!(302), &json!(500)]);
    assert_eq!(log[1]["error"], "no answer in time");
    let tested = act(&shop, &path, "test").await;
    assert_eq!((tested.status, &tested.json()["arrived"]), (200, &json!(true)));
    assert_eq!(act(&shop, &path, "disable").await.json()["state"], "disabled");
    // Another URL has to be proven anew.
    assert_eq!(act(&shop, &path, "enable").await.json()["state"], "live");
    let ask = Ask {
        token: Some(&shop.admin("ann")),
        body: Some(json!({ "url": format!("{}/other", receiver.url()) })),
        ..Ask::default()
    };
    let replaced = shop.ask("PUT", &path, ask).await;
    assert_eq!((replaced.status, &replaced.json()["state"]), (200, &json!("new")));
    let actions = shop.get("/api/v1/admin/audit-log", Some(&shop.operator("bob"))).await.json();
    let actions: Vec<&str> = actions["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| entry["action"].as_str().expect("a text"))
        .collect();
    let expected = ["change", "enable", "disable", "enable", "create"]
        .map(|action| format!("webhook.{action}"));
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_new_one() {
    let shop = open().await;
    let receiver = HookReceiver::open().await;
    let (path, first) = create(&shop, json!({ "url": receiver.url() })).await;
    let rotated = act(&shop, &path, "rotate").await;
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    let second = rotated.json()["secret"].as_str().expect("a secret").to_owned();
    assert_ne!(first, second);
    assert!(rotated.json()["webhook"]["previous_secret_until"].is_string());
    assert_eq!(act(&shop, &path, "test").await.status, 200);
    let both = receiver.asked().pop().expect("a ping");
    assert!(both.is_signed_by(&first) && both.is_signed_by(&second));
    assert_eq!(both.header("webhook-signature").expect("it is there").split(' ').count(), 2);
    // A second rotation ends the first secret.
    assert_eq!(act(&shop, &path, "rotate").await.status, 200);
    assert_eq!(act(&shop, &path, "test").await.status, 200);
    let ping = receiver.asked().pop().expect("a ping");
    assert!(!ping.is_signed_by(&first) && ping.is_signed_by(&second));
}

#[tokio::test]
async fn only_admins_change_endpoints_and_operators_see_them_too() {
    let shop = open().await;
    let (path, _) = create(&shop, json!({ "url": "http://127.0.0.1:9/" })).await;
    let (buyer, operator, approver) = (shop.buyer(1), shop.operator("bob"), shop.approver("eve"));
    for seen in [WEBHOOKS, &path, &format!("{path}/deliveries")] {
        assert_eq!(shop.get(seen, None).await.status, 401, "{seen}");
        assert_eq!(shop.get(seen, Some(&buyer)).await.status, 403, "{seen}");
        assert_eq!(shop.get(seen, Some(&operator)).await.status, 200, "{seen}");
        assert_eq!(shop.get(seen, Some(&shop.admin("ann"))).await.status, 200, "{seen}");
    }
    for token in [&operator, &approver, &buyer] {
        let body = Some(json!({ "url": "http://127.0.0.1:9/" }));
        assert_eq!(shop.post(WEBHOOKS, token, body.clone()).await.status, 403);
        for action in ["enable", "disable", "rotate", "test", "replay"] {
            assert_eq!(
                shop.post(&format!("{path}/{action}"), token, None).await.status,
                403,
                "{action}"
            );
        }
        for method in ["PUT", "DELETE"] {
            let ask = Ask { token: Some(token), body: body.clone(), ..Ask::default() };
            assert_eq!(shop.ask(method, &path, ask).await.status, 403, "{method}");
        }
    }
    let ask = || Ask { token: Some(&operator), ..Ask::default() };
    assert_eq!(shop.ask("GET", &format!("{WEBHOOKS}/12"), ask()).await.status, 404);
    assert_eq!(shop.ask("GET", &format!("{WEBHOOKS}/x"), ask()).await.status, 404);
}

#[tokio::test]
async fn what_is_not_allowed_is_named() {
    let shop = open().await;
    let admin = shop.admin("ann");
    for (body, pointer) in [
        (json!({}), "/url"),
        (json!({ "url": "ftp://erp.example/" }), "/url"),
        (json!({ "url": "https://10.0.0.1/" }), "/url"),
        (json!({ "url": "http://169.254.169.254/latest" }), "/url"),
        (json!({ "url": "https://[::ffff:127.0.0.1]/" }), "/url"),
        (json!({ "url": "https://2130706433/" }), "/url"),
        (json!({ "url": "https://ann:secret@erp.example/" }), "/url"),
        (json!({ "url": "https://erp.example/", "types": ["order.paid"] }), "/types"),
        (json!({ "url": "https://erp.example/", "types": "all" }), "/types"),
        (json!({ "url": "https://erp.example/", "secret": "whsec_" }), "/secret"),
    ] {
        let refused = shop.post(WEBHOOKS, &admin, Some(body.clone())).await;
        assert_eq!(refused.problem(), (422, "invalid_field".to_owned()), "{body}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    let (path, _) = create(&shop, json!({ "url": "https://erp.example/" })).await;
    for (body, status) in [
        (json!({}), 422),
        (json!({ "from": "2030-01-01T00:00:00Z", "event_id": "a-1-1" }), 422),
        (json!({ "event_id": "a-1-1" }), 404),
        (json!({ "event_id": "nothing" }), 404),
        (json!({ "from": "2020-01-01T00:00:00Z" }), 202),
        // Nothing would be told until then.
        (json!({ "from": "2099-01-01T00:00:00Z" }), 422),
    ] {
        let answer = shop.post(&format!("{path}/replay"), &admin, Some(body.clone())).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    for _ in 1..4 {
        create(&shop, json!({ "url": "https://erp.example/" })).await;
    }
    let one_more =
        shop.post(WEBHOOKS, &admin, Some(json!({ "url": "https://erp.example/" }))).await;
    assert_eq!(one_more.problem(), (409, "too_many_webhooks".to_owned()));
    let ask = || Ask { token: Some(&admin), ..Ask::default() };
    assert_eq!(shop.ask("DELETE", &path, ask()).await.status, 204);
    assert_eq!(shop.ask("DELETE", &path, ask()).await.status, 404);
    create(&shop, json!({ "url": "https://erp.example/" })).await;
}
