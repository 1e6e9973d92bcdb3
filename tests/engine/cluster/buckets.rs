//! One item whose buckets are at three nodes, asked at any of them: it sells as one, and none keeps its last units
//! to itself.

use super::linked::Linked;
use domain::{
    Buy, ItemAction, ItemCounters, ItemId, ItemTerms, Order, Outcome, Refusal, RequestId, UserId,
};
use harness::until;
use seckill::actors::{Engine, KeyOrigin, NotDelivered, Reply};
use std::collections::HashSet;
use std::sync::Arc;
use support::engine::{SHARDS, operate};
use support::{placed, terms};

const ITEM: ItemId = ItemId(1);
const SOLD_OUT: Reply = Reply::Decided(Outcome::Refused(Refusal::SoldOut));

struct Cluster(Linked);

impl Cluster {
    /// An item that has a bucket in each shard.
    async fn open(allotted: u32, limit_per_user: u16) -> Self {
        let cluster = Self(Linked::open().await);
        let terms = ItemTerms { limit_per_user, ..terms(ITEM.0, allotted, 600_000) };
        let opened = cluster.engine(2).open_buckets(terms, SHARDS as u8).await;
        assert!(matches!(opened, Reply::Decided(Outcome::Item(_))), "{opened:?}");
        cluster.sees_all().await;
        cluster
    }

    async fn sees_all(&self) {
        until("every node to see every bucket", async || {
            let away: usize = self.0.nodes.iter().map(|node| node.engine().buckets_away()).sum();
            (away == 0).then_some(())
        })
        .await;
    }

    fn engine(&self, node: usize) -> &Engine {
        self.0.engine(node)
    }

    /// Buys as the edge does: the gate first.
    async fn buy(&self, node: usize, user: u64, quantity: u16) -> Reply {
        let engine = self.engine(node);
        let gate = engine.find_gate(ITEM).await.expect("known").expect("open");
        let (user_id, request_id) = (UserId(user), RequestId(user));
        if let Some(refusal) = gate.refusal(engine.now(), user_id) {
            return Reply::Decided(Outcome::Refused(refusal));
        }
        let buy = Buy { item_id: ITEM, user_id, request_id, quantity };
        engine.buy(&gate, buy, KeyOrigin::Client).await
    }

    async fn operate(&self, node: usize, action: ItemAction) -> Reply {
        let engine = self.engine(node);
        let gate = engine.find_gate(ITEM).await.expect("known").expect("open");
        engine.decide_item(&gate, operate(ITEM, action)).await
    }

    /// Buyers of one bucket alone.
    fn buyers_of(&self, bucket: usize) -> impl Iterator<Item = u64> {
        let gate = self.engine(0).gate(ITEM).expect("open");
        let shard = gate.shards()[bucket];
        (1..).filter(move |user| gate.shard_of(UserId(*user)) == shard)
    }

    /// Waits until every node shows these units.
    async fn shows(&self, allotted: u32, available: u32, reserved: u32) {
        let wanted = ItemCounters { allotted, available, reserved, sold: 0 };
        for node in &self.0.nodes {
            until(&format!("{wanted:?}"), async || {
                let gate = node.engine().find_units(ITEM).await.expect("known").expect("open");
                (gate.counters() == wanted && gate.open_transfers().is_empty()).then_some(())
            })
            .await;
        }
    }

    async fn close(self) {
        self.0.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_at_all_nodes_gets_exactly_the_stock_of_all_buckets() {
    const UNITS: u32 = 301;
    const BUYERS: u64 = 6_000;
    const CLIENTS: u64 = 60;
    let cluster = Arc::new(Cluster::open(UNITS, 1).await);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let cluster = Arc::clone(&cluster);
            tokio::spawn(async move {
                let mut orders = Vec::new();
                for user in (client..BUYERS).step_by(CLIENTS as usize) {
                    let node = (user / 7 % 3) as usize;
                    match cluster.buy(node, user, 1).await {
                        Reply::Decided(Outcome::Placed(order)) => {
                            let again = cluster.buy(node + 1, user, 1).await;
                            assert_eq!(again, Reply::Decided(Outcome::Replayed(order)));
                            orders.push(order);
                        }
                        SOLD_OUT => {}
                        // What may be repeated is not a refusal, and nobody else repeats it.
                        Reply::NotDelivered(NotDelivered::Moved | NotDelivered::Overloaded) => {}
                        other => panic!("buyer {user}: {other:?}"),
                    }
                }
                orders
            })
        })
        .collect();
    let mut orders: Vec<Order> = Vec::new();
    for client in clients {
        orders.extend(client.await.expect("the client lives"));
    }
    let cluster = Arc::into_inner(cluster).expect("the clients are gone");
    let ids: HashSet<_> = orders.iter().map(|order| order.order_id).collect();
    let users: HashSet<u64> = orders.iter().map(|order| order.user_id.0).collect();
    assert_eq!((ids.len(), users.len()), (UNITS as usize, UNITS as usize));
    cluster.shows(UNITS, 0, UNITS).await;
    for node in 0..3 {
        assert_eq!(cluster.buy(node, BUYERS + 1, 1).await, SOLD_OUT, "node {node}");
    }
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyers_of_one_bucket_get_the_units_of_all_nodes() {
    for bucket in 0..usize::from(SHARDS) {
        let cluster = Cluster::open(41, 1).await;
        let buyers: Vec<u64> = cluster.buyers_of(bucket).take(60).collect();
        let replies = buyers.iter().map(|user| cluster.buy(*user as usize, *user, 1));
        let replies = futures_util::future::join_all(replies).await;
        let orders = replies.iter().filter_map(|reply| placed(*reply)).count();
        let refused = replies.iter().filter(|reply| **reply == SOLD_OUT).count();
        assert_eq!((orders, refused), (41, 19), "bucket {bucket}: {replies:?}");
        cluster.shows(41, 0, 41).await;
        cluster.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_do_at_any_node_is_done_to_all_buckets() {
    let cluster = Cluster::open(8, 1).await;
    let item = |allotted, available, reserved| {
        let counters = ItemCounters { allotted, available, reserved, sold: 0 };
        Reply::Decided(Outcome::Item(counters))
    };
    let some: Vec<u64> = (0..usize::from(SHARDS))
        .map(|bucket| cluster.buyers_of(bucket).nth(9).expect("a buyer"))
        .collect();
    for node in 0..3 {
        assert_eq!(cluster.operate(node, ItemAction::Pause).await, item(8, 8, 0));
        for user in &some {
            for asked in 0..3 {
                let paused = Reply::Decided(Outcome::Refused(Refusal::SalePaused));
                assert_eq!(cluster.buy(asked, *user, 1).await, paused, "at node {asked}");
            }
        }
        assert_eq!(cluster.operate(node + 1, ItemAction::Resume).await, item(8, 8, 0));
    }
    for (node, user) in some.iter().enumerate() {
        let bought = cluster.buy(node, *user, 1).await;
        assert!(placed(bought).is_some(), "buyer {user}: {bought:?}");
    }
    // Each bucket has one left, and what is taken away is taken from all.
    let fewer = Reply::Decided(Outcome::Refused(Refusal::FewerAvailable { available: 4 }));
    assert_eq!(cluster.operate(0, ItemAction::Reduce(5)).await, fewer);
    assert_eq!(cluster.operate(1, ItemAction::Reduce(4)).await, item(4, 0, 4));
    cluster.shows(4, 0, 4).await;
    let late = cluster.buyers_of(3).nth(30).expect("a buyer");
    assert_eq!(cluster.buy(2, late, 1).await, SOLD_OUT);
    assert_eq!(cluster.operate(2, ItemAction::Restock(2)).await, item(6, 2, 4));
    cluster.shows(6, 2, 4).await;
    assert!(placed(cluster.buy(0, late, 1).await).is_some());
    let ended = cluster.operate(1, ItemAction::End).await;
    assert!(matches!(ended, Reply::Decided(Outcome::Item(_))), "{ended:?}");
    for user in &some {
        let ended = Reply::Decided(Outcome::Refused(Refusal::SaleEnded));
        assert_eq!(cluster.buy(*user as usize, *user + 9_999, 1).await, ended);
    }
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_buckets_node_is_away_nothing_is_said_to_be_sold_out_and_then_its_units_sell() {
    let mut cluster = Cluster::open(12, 1).await;
    let bucket_of = |engine: &Engine, user: u64| {
        let gate = engine.gate(ITEM).expect("open");
        gate.shard_of(UserId(user)).index()
    };
    let dead = cluster.0.nodes.remove(2);
    let away = dead.engine().served_shards();
    dead.die().await;
    let mut sold = 0;
    let mut user = 0;
    // What the living have sells; where it is gone, nobody says that all is.
    let told = loop {
        user += 1;
        if away.iter().any(|shard| shard.index() == bucket_of(cluster.engine(0), user)) {
            continue;
        }
        match cluster.buy(user as usize, user, 1).await {
            Reply::Decided(Outcome::Placed(_)) => sold += 1,
            other => break other,
        }
    };
    assert_eq!(told, Reply::NotDelivered(NotDelivered::Moved), "{sold} were sold");
    assert!((1..12).contains(&sold), "{sold} were sold");
    until("what the dead node said to be believed no more", async || {
        (cluster.engine(0).buckets_away() > 0).then_some(())
    })
    .await;
    cluster.0.settled().await;
    for left in sold..12 {
        until("what the dead node had to sell", async || {
            user += 1;
            let reply = cluster.buy(user as usize, user, 1).await;
            assert_ne!(reply, SOLD_OUT, "{left} of 12 are sold");
            placed(reply)
        })
        .await;
    }
    cluster.shows(12, 0, 12).await;
    assert_eq!(cluster.buy(0, user + 1, 1).await, SOLD_OUT);
    cluster.close().await;
}
