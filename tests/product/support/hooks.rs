//! Endpoints of webhooks at a shop, and what their receivers were told against what the order store has.

use super::server::Server;
use harness::http::Answer;
use harness::{HookReceiver, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const WEBHOOKS: &str = "/api/v1/admin/webhooks";

/// One request at the shop.
pub async fn ask(server: &Server, method: &str, path: &str, token: &str, body: &str) -> Answer {
    server.client().await.send(method, path, token, &[], body).await.expect("it answers")
}

/// Makes an endpoint of events of these types, of all if there are none, which is told nothing yet: its path, and its
/// secret.
pub async fn create(server: &Server, admin: &str, url: &str, types: &[&str]) -> (String, String) {
    let body = json!({ "url": url, "types": types }).to_string();
    let made = ask(server, "POST", WEBHOOKS, admin, &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let id = made["webhook"]["endpoint_id"].as_str().expect("an identity");
    (format!("{WEBHOOKS}/{id}"), made["secret"].as_str().expect("a secret").to_owned())
}

/// Has an endpoint told what happens, from where it was or from now on.
pub async fn enable(server: &Server, admin: &str, path: &str) {
    let path = format!("{path}/enable");
    // The order store, where endpoints are kept, may be busy on a busy machine.
    until("the endpoint to be live", async || {
        let enabled = ask(server, "POST", &path, admin, "").await;
        assert!(matches!(enabled.status, 200 | 503), "{}", enabled.text());
        (enabled.status == 200).then_some(())
    })
    .await;
}

/// Makes a live endpoint of this receiver, which is told everything, and returns its path.
pub async fn live(server: &Server, admin: &str, receiver: &HookReceiver) -> String {
    let (path, _) = create(server, admin, &receiver.url(), &[]).await;
    enable(server, admin, &path).await;
    path
}

/// The status of each order, as the order store has it.
pub async fn stored(server: &Server, operator: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/v1/admin/orders?limit=100{after}");
        let page = ask(server, "GET", &path, operator, "").await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        let text = |order: &Value, name: &str| order[name].as_str().expect("a text").to_owned();
        for order in page["data"].as_array().expect("a list") {
            found.insert(text(order, "order_id"), text(order, "status"));
            after = format!("&starting_after={}", text(order, "order_id"));
        }
        if page["has_more"] == false {
            return found;
        }
    }
}

/// The status of each order, as the receiver has been told.
pub fn told(receiver: &HookReceiver) -> BTreeMap<String, String> {
    let mut latest: BTreeMap<String, (String, String)> = BTreeMap::new();
    for hook in receiver.taken() {
        if let Some(status) = hook.event()["data"]["status"].as_str() {
            let known = latest.entry(hook.key()).or_default();
            // As every receiver does: what is not above what it knows is left out.
            if hook.sequence() > known.0 {
                *known = (hook.sequence(), status.to_owned());
            }
        }
    }
    latest.into_iter().map(|(order, (_, status))| (order, status)).collect()
}
