//! Webhooks of two nodes that share the shards of one shop: each tells what its shards have, and who takes a
//! dead node's shards tells on from where it was.

use super::cluster::{LASTING, Servers, settled};
use crate::support::{OpenSale, Server, Site, hooks, until};
use harness::{Hook, HookAnswer, HookReceiver};
use std::collections::BTreeSet;
use std::ops::Range;

const BUYERS: usize = 120;

fn site(servers: &Servers, node: &str) -> Site {
    servers.linked_site(node).with("WEBHOOKS__ALLOW_PRIVATE", "127.0.0.1")
}

/// Buys for each of these buyers one of each item and pays the first, all at one node.
async fn sell(node: &Server, shop: &OpenSale, buyers: Range<usize>) {
    let mut client = node.client().await;
    for buyer in buyers {
        for item in &shop.items {
            let bought = until("a node to decide", async || {
                let key = format!("one-{item}");
                let bought = shop.buy(&mut client, *item, buyer, &key).await.expect("it answers");
                assert!(matches!(bought.status, 200 | 201 | 503), "{}", bought.text());
                (bought.status != 503).then_some(bought)
            })
            .await;
            if *item == shop.items[0] {
                let paid = shop.step(&mut client, bought.id("order_id"), buyer, "pay").await;
                assert_eq!(paid.expect("it answers").status, 200);
            }
        }
    }
}

/// Gives the shard of the first item to the second node, and leaves those of all others where they are.
async fn share(site: &Site, [first, second]: [&Server; 2], shop: &OpenSale) {
    let mut client = first.client().await;
    let bought = shop.buy(&mut client, shop.items[0], 0, "where").await;
    let order = bought.expect("it answers").id("order_id");
    let shard = domain::OrderId(order).shard().index().to_string();
    let moved = site.run(&["cluster", "move", &shard, "b"]);
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    settled(&[first, second]).await;
}

/// Waits until the receiver knows of each order what the order store has.
async fn until_told(node: &Server, shop: &OpenSale, receiver: &HookReceiver, orders: usize) {
    until("all orders to be told", async || {
        let known = hooks::stored(node, &shop.operator).await;
        (known.len() == orders && hooks::told(receiver) == known).then_some(())
    })
    .await;
    assert_eq!(receiver.disordered(), BTreeSet::new());
}

/// Fails the first attempt of every fifth event.
fn flapping() -> impl FnMut(&Hook) -> HookAnswer + Send + 'static {
    let mut seen = BTreeSet::new();
    move |hook| {
        let is_new = seen.insert(hook.header("webhook-id").unwrap_or_default().to_owned());
        HookAnswer::Status(if is_new && seen.len() % 5 == 0 { 500 } else { 204 })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_tells_what_its_shards_have_and_goes_on_for_one_that_died() {
    let Some(servers) = Servers::start() else { return };
    let sites = ["a", "b"].map(|node| site(&servers, node));
    let first = sites[0].start().await;
    settled(&[&first]).await;
    let shop = sites[0].open_sale(&first, BUYERS, &[LASTING; 6]).await;
    let second = sites[1].start().await;
    settled(&[&first, &second]).await;
    let receiver = HookReceiver::open().await;
    let path = hooks::live(&first, &sites[0].mint("--admin", "ada"), &receiver).await;
    receiver.answers(flapping());
    share(&sites[0], [&first, &second], &shop).await;
    let endpoint = path.rsplit('/').next().expect("an identity");
    let told = format!("seckill_events_told_total{{sink=\"webhook:{endpoint}\"}}");

    sell(&first, &shop, 0..BUYERS / 3).await;
    until("each node to tell of its own shards", async || {
        let by = [first.figure(&told).await, second.figure(&told).await];
        by.iter().all(|count| *count > 0).then_some(())
    })
    .await;
    let each = shop.items.len();
    until_told(&first, &shop, &receiver, BUYERS / 3 * each + 1).await;

    // It dies with what it has not told yet.
    sell(&first, &shop, BUYERS / 3..BUYERS / 2).await;
    second.kill().await;
    sell(&first, &shop, BUYERS / 2..BUYERS).await;
    settled(&[&first]).await;
    until_told(&first, &shop, &receiver, BUYERS * each + 1).await;
    until("nothing to wait", async || {
        let shown = hooks::ask(&first, "GET", &path, &shop.operator, "").await.json();
        (shown["waiting"] == 0 && shown["parked"] == 0).then_some(())
    })
    .await;
    first.stop().await;
}
