//! A shard goes from node to node, and who asks any of them meanwhile waits for its next owner.

use super::linked::Linked;
use domain::{Buy, ItemId, ItemTerms, Outcome, RequestId, UserId};
use harness::until;
use seckill::actors::{Gate, KeyOrigin, Reply};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use support::terms;

const NODES: usize = 3;
const TURNS: usize = 8 * NODES;

/// Opens an item of the one product, so that all are in its shard, and waits until each node knows of it.
async fn open(linked: &Linked, item_id: ItemId) -> Arc<Gate> {
    let terms = ItemTerms { item_id, ..terms(1, 9, 600_000) };
    let opened = linked.engine(0).open_item(terms).await;
    assert!(matches!(opened, Reply::Decided(Outcome::Item(_))), "{opened:?}");
    until("each node to know of the item", async || {
        let knows = |node: usize| {
            let engine = linked.engine(node);
            engine.gate(item_id).is_some() || engine.is_elsewhere(item_id)
        };
        (0..NODES).all(knows).then_some(())
    })
    .await;
    let found = linked.engine(0).find_gate(item_id).await;
    found.expect("it is served").expect("it is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_and_order_are_found_at_any_node_while_their_shard_goes_round() {
    let linked = Arc::new(Linked::open().await);
    let gate = open(&linked, ItemId(1)).await;
    let (item_id, shard) = (gate.terms().item_id, gate.shard());
    let buy = Buy { item_id, user_id: UserId(1), request_id: RequestId(1), quantity: 1 };
    let bought = linked.engine(0).buy(&gate, buy, KeyOrigin::Client).await;
    let Reply::Decided(Outcome::Placed(order)) = bought else { panic!("{bought:?}") };
    let goes_round = Arc::new(AtomicBool::new(true));
    // The newest item, which its owner has never looked at as another's.
    let newest = Arc::new(AtomicU64::new(item_id.0));
    let visitors: Vec<_> = (0..NODES)
        .map(|node| {
            let (linked, goes_round) = (Arc::clone(&linked), Arc::clone(&goes_round));
            let newest = Arc::clone(&newest);
            tokio::spawn(async move {
                let mut visits = 0;
                while goes_round.load(Ordering::Acquire) {
                    let newest = ItemId(newest.load(Ordering::Acquire));
                    let found = linked.engine(node).find_gate(newest).await;
                    assert_eq!(
                        found.map(|gate| gate.is_some()),
                        Ok(true),
                        "visit {visits}, {node}"
                    );
                    let found = linked.engine(node).order(order.order_id).await;
                    assert_eq!(found, Ok(Some(order)), "visit {visits}, {node}");
                    visits += 1;
                    tokio::task::yield_now().await;
                }
                visits
            })
        })
        .collect();
    let serves = |node: &usize| linked.engine(*node).served_shards().contains(&shard);
    let first = (0..NODES).find(serves).expect("somebody serves it");
    for turn in 1..=TURNS {
        let opened = open(&linked, ItemId(1 + turn as u64)).await;
        assert_eq!(opened.shard(), shard);
        newest.store(opened.terms().item_id.0, Ordering::Release);
        linked.move_to(vec![(shard, (first + turn) % NODES)]).await;
    }
    goes_round.store(false, Ordering::Release);
    for visitor in visitors {
        assert!(harness::patiently("a visitor", visitor).await.expect("no panic") > 0);
    }
    let Ok(linked) = Arc::try_unwrap(linked) else { panic!("somebody has it still") };
    linked.close().await;
}
