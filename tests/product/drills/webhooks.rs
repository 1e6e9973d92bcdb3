//! Webhooks of a shop that is killed, to a receiver that fails, hangs and goes.

use crate::support::{Offer, OpenSale, Server, Site, until};
use harness::http::{Answer, Client};
use harness::{Hook, HookAnswer, HookReceiver};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const OFFERS: &[Offer] = &[
    Offer { allotted: 1_000, limit: 1, window_seconds: 600 },
    Offer { allotted: 1_000, limit: 1, window_seconds: 600 },
];
const WEBHOOKS: &str = "/api/v1/admin/webhooks";
/// Kills, and buyers between two of them.
const KILLS: usize = 3;
const BUYERS: usize = 120;

/// A site whose endpoints may be on this machine.
fn site() -> Site {
    Site::new().with("WEBHOOKS__ALLOW_PRIVATE", "127.0.0.1").with("WEBHOOKS__TIMEOUT_MS", "1000")
}

async fn ask(server: &Server, method: &str, path: &str, token: &str, body: &str) -> Answer {
    server.client().await.send(method, path, token, &[], body).await.expect("it answers")
}

/// Makes a live endpoint of this receiver, and returns its path.
async fn enable(server: &Server, admin: &str, receiver: &HookReceiver) -> String {
    let body = json!({ "url": receiver.url() }).to_string();
    let made = ask(server, "POST", WEBHOOKS, admin, &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["webhook"]["endpoint_id"].as_str().expect("an identity").to_owned();
    let path = format!("{WEBHOOKS}/{id}");
    let enabled = ask(server, "POST", &format!("{path}/enable"), admin, "").await;
    assert_eq!(enabled.status, 200, "{}", enabled.text());
    path
}

/// Buys for each of these buyers one of each item, and pays the one. The answers do not count: who asks is cut off.
async fn sell(client: &mut Client, shop: &OpenSale, buyers: std::ops::Range<usize>) {
    for buyer in buyers {
        for item in &shop.items {
            let key = format!("one-{item}");
            let Ok(bought) = shop.buy(client, *item, buyer, &key).await else { return };
            let order = bought.json()["order_id"].as_str().and_then(|text| text.parse().ok());
            if let Some(order) = order.filter(|_| *item == shop.items[0])
                && shop.step(client, order, buyer, "pay").await.is_err()
            {
                return;
            }
        }
    }
}

/// The status of each order, as the order store has it.
async fn orders(server: &Server, operator: &str) -> BTreeMap<String, String> {
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
fn told(receiver: &HookReceiver) -> BTreeMap<String, String> {
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

/// Answers that fail the first attempt of every seventh event, and hang at that of a few.
fn flapping() -> impl FnMut(&Hook) -> HookAnswer + Send + 'static {
    let mut seen = BTreeSet::new();
    move |hook| {
        let id = hook.header("webhook-id").unwrap_or_default().to_owned();
        let count = seen.len();
        match seen.insert(id) {
            true if count % 97 == 50 => HookAnswer::Hang,
            true if count % 7 == 3 => HookAnswer::Status(500),
            _ => HookAnswer::Status(204),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_is_told_whatever_is_killed_and_none_goes_backwards() {
    let site = site();
    let (server, shop) = site.open_shop(BUYERS * (KILLS + 1) + 1, OFFERS).await;
    let admin = site.mint("--admin", "ada");
    let receiver = HookReceiver::open().await;
    let path = enable(&server, &admin, &receiver).await;
    receiver.answers(flapping());
    let mut server = Some(server);
    for round in 0..=KILLS {
        let serving = match server.take() {
            Some(serving) => serving,
            // In one round it dies between what it has sent and what it has kept of that.
            None if round == 2 => site.start_with("webhooks-before-settle=2*off->return").await,
            None => site.start().await,
        };
        let mut client = serving.client().await;
        sell(&mut client, &shop, round * BUYERS..(round + 1) * BUYERS).await;
        let enough = (round + 1) * BUYERS;
        if round < KILLS && round != 2 {
            until("some are told", async || (receiver.taken().len() > enough).then_some(())).await;
        }
        match round {
            KILLS => server = Some(serving),
            2 => drop(serving.ended().await),
            _ => serving.kill().await,
        }
    }
    let server = server.expect("the last one");
    let known = until("all orders to be told", async || {
        let known = orders(&server, &shop.operator).await;
        (known.len() > BUYERS * KILLS && told(&receiver) == known).then_some(known)
    })
    .await;
    let paid = known.values().filter(|status| *status == "paid").count();
    assert!(paid > BUYERS && paid < known.len(), "{paid} of {}", known.len());
    assert_eq!(receiver.disordered(), BTreeSet::new());
    until("nothing to wait", async || {
        let shown = ask(&server, "GET", &path, &shop.operator, "").await.json();
        (shown["waiting"] == 0 && shown["parked"] == 0).then_some(())
    })
    .await;
    // It is gone for good: the shop disables it, says so, and sells on.
    receiver.answers(|_| HookAnswer::Status(410));
    let mut client = server.client().await;
    let last = BUYERS * (KILLS + 1);
    let bought = shop.buy(&mut client, shop.items[1], last, "last").await.expect("an answer");
    assert_eq!(bought.status, 201, "{}", bought.text());
    site.logged("a webhook's endpoint is disabled").await;
    let shown = ask(&server, "GET", &path, &shop.operator, "").await.json();
    assert_eq!(shown["state"], "disabled", "{shown}");
    let metrics = server.look("/metrics").await;
    assert!(metrics.text().contains("seckill_webhook_disabled_total 1"), "{}", metrics.text());
    server.stop().await;
    site.audit([]).must_balance();
}
