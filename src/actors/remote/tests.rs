//! What becomes of a call whose link breaks, and who is asked next.

use super::*;
use crate::peers::{PeerKey, Serve, Server};
use crate::store::journal::fenced::OwnerRecord;
use crate::store::registry::{NodeRecord, View};
use domain::{Operation, Refusal, Timestamp};
use std::collections::VecDeque;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinHandle};

const SHARD: ShardId = ShardId(1);
const BUY: Buy =
    Buy { item_id: ItemId(7), user_id: UserId(8), request_id: RequestId(9), quantity: 1 };

/// What a node does with what it is asked next.
enum Does {
    Answers(Answer),
    /// Its shard goes to the other node, and it dies before it answers.
    Dies,
}

#[derive(Clone)]
struct Node(Arc<Script>);

struct Script {
    name: &'static str,
    does: Mutex<VecDeque<Does>>,
    asked: Mutex<Vec<Ask>>,
    own: Mutex<Option<AbortHandle>>,
    directory: Directory,
    view: Mutex<View>,
}

impl Serve for Node {
    async fn serve(&self, shard: ShardId, ask: Ask) -> Answer {
        assert_eq!(shard, SHARD);
        self.0.asked.lock().push(ask);
        let does = self.0.does.lock().pop_front().expect("it is asked no more");
        match does {
            Does::Answers(answer) => answer,
            Does::Dies => {
                let mut view = self.0.view.lock().clone();
                view.owners.insert(SHARD, owner("c"));
                self.0.directory.update(view);
                self.0.own.lock().take().expect("it lives").abort();
                std::future::pending().await
            }
        }
    }
}

fn owner(node: &str) -> OwnerRecord {
    OwnerRecord { node: node.to_owned(), incarnation: 1, epoch: 1 }
}

fn key() -> PeerKey {
    PeerKey::of(b"secret")
}

/// Node `a`, which asks, and what `b` and `c` do; the shard is b's.
struct World {
    remote: Remote,
    nodes: Vec<Node>,
    _servers: Vec<JoinHandle<()>>,
}

impl World {
    async fn of(b: Vec<Does>, c: Vec<Does>) -> Self {
        let clock = Clock::start(Timestamp(0));
        let directory = Directory::new("a", 4, clock.clone());
        let (mut view, mut listeners) = (View::default(), Vec::new());
        for name in ["a", "b", "c"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
            let address = listener.local_addr().expect("an address").to_string();
            view.nodes.insert(name.to_owned(), record(address));
            listeners.push((name, listener));
        }
        view.owners.insert(SHARD, owner("b"));
        view.owners.insert(ShardId(2), owner("a"));
        directory.update(view.clone());
        let (mut nodes, mut servers) = (Vec::new(), Vec::new());
        for ((name, listener), does) in listeners.into_iter().skip(1).zip([b, c]) {
            let node = Node(Arc::new(Script {
                name,
                does: Mutex::new(does.into()),
                asked: Mutex::default(),
                own: Mutex::default(),
                directory: directory.clone(),
                view: Mutex::new(view.clone()),
            }));
            let (own, service) = (name.to_owned(), node.clone());
            let server = Server { own, key: key(), calls_max: 8, service };
            let server = tokio::spawn(server.run(Arc::new(listener)));
            *node.0.own.lock() = Some(server.abort_handle());
            servers.push(server);
            nodes.push(node);
        }
        let links = Links::new("a", key(), 8, clock.clone());
        let remote = Remote::new(directory, links, clock, Duration::from_secs(20));
        Self { remote, nodes, _servers: servers }
    }

    async fn buy(&self) -> Reply {
        self.remote.buy(SHARD, BUY, KeyOrigin::Edge, None).await
    }

    /// What each node was asked.
    fn asked(&self) -> Vec<(&'static str, Vec<Ask>)> {
        self.nodes.iter().map(|node| (node.0.name, node.0.asked.lock().clone())).collect()
    }
}

fn record(peer_address: String) -> NodeRecord {
    NodeRecord {
        incarnation: 1,
        peer_address,
        http_address: String::new(),
        version: String::new(),
        secret_fingerprint: String::new(),
        config_version: 0,
        is_draining: false,
    }
}

fn order() -> Order {
    Order {
        order_id: OrderId(1),
        item_id: BUY.item_id,
        sale_id: domain::SaleId(1),
        user_id: BUY.user_id,
        request_id: BUY.request_id,
        attempt: 1,
        quantity: 1,
        amount: 5,
        currency: domain::Currency::CNY,
        status: domain::OrderStatus::Reserved,
        expires_at: Timestamp(9),
    }
}

fn decided(outcome: Outcome) -> Does {
    Does::Answers(Answer::Decided(outcome))
}

fn not_owner(next: &str) -> Does {
    Does::Answers(Answer::NotOwner(Some(next.to_owned())))
}

#[tokio::test]
async fn what_broke_is_sent_once_more_to_the_present_owner_under_the_same_id() {
    let world = World::of(vec![Does::Dies], vec![decided(Outcome::Replayed(order()))]).await;
    let placed = Reply::Decided(Outcome::Placed(order()));
    assert_eq!(world.buy().await, placed, "what the shard knows is this purchase");
    let ask = Ask::Buy { buy: BUY, origin: KeyOrigin::Edge.number(), trace: None };
    assert_eq!(world.asked(), [("b", vec![ask.clone()]), ("c", vec![ask])]);
}

#[tokio::test]
async fn what_may_have_arrived_was_not_refused() {
    for refused in [
        decided(Outcome::Refused(Refusal::SoldOut)),
        Does::Answers(Answer::NotDelivered(NotDelivered::Overloaded.number())),
        Does::Answers(Answer::Busy),
    ] {
        let world = World::of(vec![Does::Dies], vec![refused]).await;
        assert_eq!(world.buy().await, Reply::Unknown);
    }
}

#[tokio::test]
async fn a_restock_that_nobody_named_is_never_sent_twice() {
    let restock = Operation::unattributed(BUY.item_id, ItemAction::Restock(5));
    let world = World::of(vec![Does::Dies], Vec::new()).await;
    assert_eq!(world.remote.decide(SHARD, Command::Operate(restock)).await, Reply::Unknown);
    assert_eq!(world.asked()[1].1, [], "the other node is not asked");
}

#[tokio::test]
async fn a_node_that_knows_better_is_believed_once() {
    let placed = Outcome::Placed(order());
    let world = World::of(vec![not_owner("c")], vec![decided(placed)]).await;
    assert_eq!(world.buy().await, Reply::Decided(placed));
    let world = World::of(vec![not_owner("c")], vec![not_owner("b")]).await;
    assert_eq!(world.buy().await, Reply::NotDelivered(NotDelivered::Moved));
    let world = World::of(vec![not_owner("x")], Vec::new()).await;
    assert_eq!(world.buy().await, Reply::NotDelivered(NotDelivered::Moved), "no such node");
    let here = world.remote.buy(ShardId(2), BUY, KeyOrigin::Edge, None).await;
    assert_eq!(here, Reply::NotDelivered(NotDelivered::Moved), "this node itself");
    let nobody = world.remote.buy(ShardId(3), BUY, KeyOrigin::Edge, None).await;
    assert_eq!(nobody, Reply::NotDelivered(NotDelivered::Moved), "nobody has it");
}

#[tokio::test]
async fn repeats_are_few_beside_calls() {
    let world = World::of(Vec::new(), Vec::new()).await;
    let repeats = (0..).take_while(|_| world.remote.spend()).count();
    assert_eq!(repeats, (SAVED_MAX / REPEAT_COST) as usize);
    (0..REPEAT_COST).for_each(|_| world.remote.save());
    assert!(world.remote.spend() && !world.remote.spend(), "one for ten calls");
}
