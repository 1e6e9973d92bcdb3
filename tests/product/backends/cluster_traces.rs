//! A purchase that another node decides than the one that was asked: one trace through both.

use super::cluster::{LASTING, Servers, settled};
use crate::support::collector::{Collector, kind};
use crate::support::{Tree, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_that_another_node_decides_is_one_tree_through_both() {
    let Some(servers) = Servers::start() else { return };
    let collector = Collector::open().await;
    let sites = ["a", "b"].map(|node| {
        let site = servers.linked_site(node);
        site.with("TRACES__OTLP_ENDPOINT", &collector.url()).with("TRACES__SAMPLE_ONE_IN", "1")
    });
    let owner = sites[0].start().await;
    settled(&[&owner]).await;
    let shop = sites[0].open_sale(&owner, 1, &[LASTING]).await;
    let asked = sites[1].start().await;
    settled(&[&owner, &asked]).await;
    let answer = until("the other node to be reached", async || {
        let bought = shop.buy(&mut asked.client().await, shop.items[0], 0, "traced").await;
        bought.ok().filter(|answer| answer.status != 503)
    })
    .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    until("the order to be stored", async || {
        (owner.figure("seckill_trace_records_underway").await == 0).then_some(())
    })
    .await;
    asked.stop().await;
    owner.stop().await;
    // An attempt that found no owner is a trace of its own, without a node that served it.
    let mut spans = collector.spans();
    let served = spans.iter().find(|span| span.name == "serve buy").expect("served").clone();
    spans.retain(|span| span.trace_id == served.trace_id);
    let tree = Tree::of(&spans);
    let forward = "buy > forward buy";
    let serve = "buy > forward buy > serve buy";
    let below = |name: &str| format!("{serve} > {name}");
    let (mailbox, decide, sync) = (below("mailbox"), below("decide"), below("journal sync"));
    let insert = below("INSERT orders");
    assert_eq!(tree.ways(), ["buy", forward, serve, &insert, &decide, &sync, &mailbox]);
    for (way, instance, expected) in [
        ("buy", "b", kind::SERVER),
        (forward, "b", kind::CLIENT),
        (serve, "a", kind::SERVER),
        (&mailbox, "a", kind::INTERNAL),
        (&insert, "a", kind::CLIENT),
    ] {
        let span = tree.at(way);
        assert_eq!((span.instance.as_str(), span.kind), (instance, expected), "{way}");
    }
    // Each node's spans show its own time.
    tree.is_within_parent(forward);
    for way in [&mailbox, &decide, &sync] {
        tree.is_within_parent(way);
    }
    tree.is_before(&mailbox, &decide);
    tree.is_before(&decide, &sync);
    tree.is_before(&decide, &insert);
}
