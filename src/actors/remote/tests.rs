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
        // Those who wait for the next owner wait in vain.
        Self::waiting(b, c, Duration::from_millis(100)).await
    }

    async fn waiting(b: Vec<Does>, c: Vec<Does>, between: Duration) -> Self {
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
        let patience = Patience { call: Duration::from_secs(600), between, between_calls_max: 2 };
        let remote = Remote::new(directory, links, clock, patience);
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
        unable: Vec::new(),
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
    let in_vain = |next| (0..20).map(|_| not_owner(next)).collect::<Vec<Does>>();
    let world = World::of(in_vain("c"), in_vain("b")).await;
    assert_eq!(world.buy().await, Reply::NotDelivered(NotDelivered::Moved));
    assert_eq!(world.asked()[1].1.len(), 1, "the registry says that it is b's");
    let world = World::of(in_vain("x"), Vec::new()).await;
    assert_eq!(world.buy().await, Reply::NotDelivered(NotDelivered::Moved), "no such node");
    let here = world.remote.buy(ShardId(2), BUY, KeyOrigin::Edge, None).await;
    assert_eq!(here, Reply::NotDelivered(NotDelivered::Moved), "this node itself");
    let nobody = world.remote.buy(ShardId(3), BUY, KeyOrigin::Edge, None).await;
    assert_eq!(nobody, Reply::NotDelivered(NotDelivered::Moved), "nobody has it");
}

#[tokio::test]
async fn a_call_waits_while_its_shard_is_between_two_owners() {
    const LONG: Duration = Duration::from_secs(600);
    let placed = Outcome::Placed(order());
    let gives_away = || Does::Answers(Answer::NotOwner(None));
    // The next one is named by the registry before it serves.
    let went = Does::Answers(Answer::NotDelivered(NotDelivered::Moved.number()));
    let c = vec![not_owner("c"), gives_away(), went, decided(placed)];
    // It knows before this node that this node has claimed the shard, and later that it has not.
    let b = [not_owner("a")].into_iter().chain((0..1_000).map(|_| gives_away())).collect();
    let world = Arc::new(World::waiting(b, c, LONG).await);
    let waits = || {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.buy().await })
    };
    let bought = waits();
    harness::until("b to be asked", async || (!world.asked()[0].1.is_empty()).then_some(())).await;
    let to = |owners: &[(ShardId, &str)]| {
        let mut view = world.nodes[0].0.view.lock().clone();
        view.owners = owners.iter().map(|(shard, name)| (*shard, owner(name))).collect();
        world.remote.directory.update(view);
    };
    to(&[]);
    to(&[(SHARD, "c")]);
    let bought = harness::patiently("an answer", bought).await.expect("no panic");
    assert_eq!(bought, Reply::Decided(placed));
    // No more wait than may: who comes then hears at once that the shard is nobody's.
    to(&[]);
    let waiting = [waits(), waits()];
    harness::until("both places to be taken", async || {
        (world.remote.between.available_permits() == 0).then_some(())
    })
    .await;
    assert_eq!(world.buy().await, Reply::NotDelivered(NotDelivered::Moved));
    // This node itself is the next one: the call is decided here.
    to(&[(SHARD, "a")]);
    for waiting in waiting {
        let moved = harness::patiently("an answer", waiting).await.expect("no panic");
        assert_eq!(moved, Reply::NotDelivered(NotDelivered::Moved));
    }
    let serves = std::sync::atomic::AtomicBool::new(false);
    let until = Instant::now() + LONG;
    let come = world.remote.moves_on(SHARD, true, || serves.load(Ordering::Acquire), until);
    tokio::pin!(come);
    assert!(futures_util::poll!(&mut come).is_pending(), "it is taken over");
    serves.store(true, Ordering::Release);
    assert!(harness::patiently("the shard", come).await);
    // Asked for in vain while it was this node's, it has gone on meanwhile; as another's it has not.
    to(&[]);
    assert!(world.remote.moves_on(SHARD, true, || false, until).await);
    assert!(!world.remote.moves_on(SHARD, false, || false, until).await);
}

#[tokio::test]
async fn repeats_are_few_beside_calls() {
    let world = World::of(Vec::new(), Vec::new()).await;
    let repeats = (0..).take_while(|_| world.remote.spend()).count();
    assert_eq!(repeats, (SAVED_MAX / REPEAT_COST) as usize);
    (0..REPEAT_COST).for_each(|_| world.remote.save());
    assert!(world.remote.spend() && !world.remote.spend(), "one for ten calls");
}
