//! An `Idempotency-Key` is one wish of one buyer at all nodes, whichever of them decides about the item.

use super::cluster::{LASTING, Servers, settled};
use crate::support::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_got_an_order_gets_none_of_an_item_that_another_node_has() {
    let Some(servers) = Servers::start() else { return };
    let sites = ["a", "b"].map(|node| servers.linked_site(node));
    let first = sites[0].start().await;
    settled(&[&first]).await;
    let shop = sites[0].open_sale(&first, 2, &[LASTING; 8]).await;
    let nodes = [first, sites[1].start().await];
    settled(&[&nodes[0], &nodes[1]]).await;
    let mut clients = [nodes[0].client().await, nodes[1].client().await];
    // The shard of the first item goes to the other node, and those of others stay.
    let bought = shop.buy(&mut clients[0], shop.items[0], 0, "where").await.expect("it answers");
    let shard = domain::OrderId(bought.id("order_id")).shard().index().to_string();
    let moved = sites[0].run(&["cluster", "move", &shard, "b"]);
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    settled(&[&nodes[0], &nodes[1]]).await;
    let bought = shop.buy(&mut clients[1], shop.items[0], 0, "one-wish").await.expect("it answers");
    assert_eq!(bought.status, 201, "{}", bought.text());
    for node in &nodes {
        until("each node to know the other's keys", async || {
            (node.figure("seckill_peers_lacking_keys").await == 0).then_some(())
        })
        .await;
    }
    for item in &shop.items[1..] {
        for client in &mut clients {
            let reused = shop.buy(client, *item, 0, "one-wish").await.expect("it answers");
            assert_eq!((reused.status, reused.code().as_str()), (409, "idempotency_key_reused"));
        }
    }
    let of_another = shop.buy(&mut clients[0], shop.items[1], 1, "one-wish").await;
    assert_eq!(of_another.expect("it answers").status, 201, "a key is its buyer's own");
    for node in nodes {
        node.stop().await;
    }
}
