//! Webhooks of a shop that is killed, to a receiver that fails, hangs and goes.

use crate::support::{Client, Offer, OpenSale, Site, hooks, until};
use harness::{Hook, HookAnswer, HookReceiver};
use std::collections::BTreeSet;

const OFFERS: &[Offer] = &[
    Offer { allotted: 1_000, limit: 1, window_seconds: 600 },
    Offer { allotted: 1_000, limit: 1, window_seconds: 600 },
];
/// Kills, and buyers between two of them.
const KILLS: usize = 3;
const BUYERS: usize = 120;

/// A site whose endpoints may be on this machine.
fn site() -> Site {
    Site::new().with("WEBHOOKS__ALLOW_PRIVATE", "127.0.0.1").with("WEBHOOKS__TIMEOUT_MS", "1000")
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
    let path = hooks::live(&server, &admin, &receiver).await;
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
        let known = hooks::stored(&server, &shop.operator).await;
        (known.len() > BUYERS * KILLS && hooks::told(&receiver) == known).then_some(known)
    })
    .await;
    let paid = known.values().filter(|status| *status == "paid").count();
    assert!(paid > BUYERS && paid < known.len(), "{paid} of {}", known.len());
    assert_eq!(receiver.disordered(), BTreeSet::new());
    until("nothing to wait", async || {
        let shown = hooks::ask(&server, "GET", &path, &shop.operator, "").await.json();
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
    let shown = hooks::ask(&server, "GET", &path, &shop.operator, "").await.json();
    assert_eq!(shown["state"], "disabled", "{shown}");
    let metrics = server.look("/metrics").await;
    assert!(metrics.text().contains("seckill_webhook_disabled_total 1"), "{}", metrics.text());
    server.stop().await;
    site.audit([]).must_balance();
}
