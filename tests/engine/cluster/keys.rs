//! One idempotency key for items of several nodes: it gets one order, whichever node is asked for which of them, as
//! far as the nodes reach each other.

use super::linked::Linked;
use domain::{Buy, ItemId, Order, Outcome, Refusal, RequestId, UserId};
use futures_util::future::join_all;
use harness::until;
use seckill::actors::{KeyOrigin, Reply};
use support::{placed, terms};

const REUSED: Reply = Reply::Decided(Outcome::Refused(Refusal::IdempotencyKeyReused));
/// More than are told at once.
const MANY: u64 = 4_500;

struct Cluster {
    linked: Linked,
    /// An item of each node's.
    items: Vec<ItemId>,
}

impl Cluster {
    async fn open() -> Self {
        let linked = Linked::open().await;
        let mut items = Vec::new();
        for node in 0..3 {
            items.push(open_item_of(&linked, node).await);
        }
        for node in &linked.nodes {
            until("every node to know the items", async || {
                let found = items.iter().map(|item| node.engine().find_gate(*item));
                let found = join_all(found).await;
                found.iter().all(|gate| matches!(gate, Ok(Some(_)))).then_some(())
            })
            .await;
        }
        Self { linked, items }
    }

    /// Buys an item at a node.
    async fn buy(&self, node: usize, item_id: ItemId, key: u64) -> Reply {
        let engine = self.linked.engine(node);
        let gate = engine.find_gate(item_id).await.expect("known").expect("open");
        let (user_id, request_id) = (UserId(key), RequestId(key * 31));
        let buy = Buy { item_id, user_id, request_id, quantity: 1 };
        engine.buy(&gate, buy, KeyOrigin::Client).await
    }

    async fn place(&self, node: usize, item_id: ItemId, key: u64) -> Order {
        let bought = self.buy(node, item_id, key).await;
        placed(bought).unwrap_or_else(|| panic!("key {key} at {node}: {bought:?}"))
    }

    /// Waits until every node knows the keys of all.
    async fn told(&self) {
        until("all to be told all keys", async || {
            let lacking = self.linked.nodes.iter().map(|node| node.engine().peers_lacking_keys());
            (lacking.sum::<usize>() == 0).then_some(())
        })
        .await;
    }

    /// The key is good for its order at every node, and for no other item.
    async fn is_used_for(&self, order: Order, key: u64) {
        for node in 0..self.linked.nodes.len() {
            for item in &self.items {
                let expected = match *item == order.item_id {
                    true => Reply::Decided(Outcome::Replayed(order)),
                    false => REUSED,
                };
                let reply = self.buy(node, *item, key).await;
                assert_eq!(reply, expected, "key {key} for item {item} at node {node}");
            }
        }
    }
}

/// Opens items until there is one that this node has.
async fn open_item_of(linked: &Linked, node: usize) -> ItemId {
    for number in 1.. {
        let item = ItemId(number * 3 + node as u64);
        let opened = linked.engine(0).open_item(terms(item.0, MANY as u32 * 2, 600_000)).await;
        assert!(matches!(opened, Reply::Decided(Outcome::Item(_))), "{opened:?}");
        if linked.engine(node).gate(item).is_some() {
            return item;
        }
    }
    unreachable!("some item is this node's")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_got_an_order_at_one_node_gets_none_of_another_nodes_item() {
    let cluster = Cluster::open().await;
    let mut orders = Vec::new();
    for (number, item) in cluster.items.iter().cycle().take(9).enumerate() {
        let (node, key) = (number / 3, number as u64 + 1);
        orders.push((cluster.place(node, *item, key).await, key));
    }
    cluster.told().await;
    for (order, key) in orders {
        cluster.is_used_for(order, key).await;
    }
    cluster.linked.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_later_learns_which_keys_got_orders_before() {
    let mut cluster = Cluster::open().await;
    let (item, keys) = (cluster.items[0], (1..=MANY).collect::<Vec<_>>());
    let mut orders = Vec::new();
    for some in keys.chunks(100) {
        orders.extend(join_all(some.iter().map(|key| cluster.place(0, item, *key))).await);
    }
    cluster.linked.join("d").await;
    let other = cluster.linked.engine(1).gate(cluster.items[1]).expect("open").shard();
    cluster.linked.move_to(vec![(other, 3)]).await;
    cluster.told().await;
    for key in keys.iter().step_by(300).chain(keys.last()) {
        cluster.is_used_for(orders[*key as usize - 1], *key).await;
    }
    cluster.linked.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_be_asked_stops_no_sale() {
    let cluster = Cluster::open().await;
    let [first, _, third] = cluster.items[..] else { panic!("three items") };
    cluster.place(2, third, 1).await;
    cluster.told().await;
    assert_eq!(cluster.buy(0, first, 1).await, REUSED);
    cluster.linked.nodes[2].shut_ears();
    let open = || cluster.linked.engine(0).link_figures().map(|links| links.open);
    until("the link to break", async || (open() == Some(1)).then_some(())).await;
    // Nobody says that the key is used, and nobody else is kept from buying.
    cluster.place(0, first, 1).await;
    for key in 2..50 {
        cluster.place(0, first, key).await;
    }
    let lacking = |node: usize| cluster.linked.engine(node).peers_lacking_keys();
    until("one node to lack keys", async || (lacking(0) == 1).then_some(())).await;
    assert_eq!(lacking(2), 0, "it tells others what it sells");
    cluster.linked.close().await;
}
