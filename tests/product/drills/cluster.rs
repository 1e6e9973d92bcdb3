//! Nodes of one shop that are cut off, frozen, flapping, or not answered (drills 30 to 33), and an etcd
//! that has lost its majority. Whatever any of them confirmed is on record once.

use crate::backends::cluster::{LASTING, Servers, decided, settled, verify};
use crate::support::{Attempt, Crowd, OpenSale, Random, Server, Site, Witness, until};
use harness::{Proxy, Sender};
use rustix::process::Signal;
use std::sync::Arc;

const BUYERS: usize = 160;
/// What every append to the log says, and nothing else does while no shard moves.
const APPEND: &[u8] = b"/log/";

/// Two nodes, each behind a proxy of its own on its way to etcd; the first serves everything.
struct Pair {
    servers: Servers,
    nodes: Vec<(Site, Proxy, Server)>,
    shop: Arc<OpenSale>,
    witness: Arc<Witness>,
    random: Random,
    /// Which of the two serves.
    owner: usize,
    rounds: u32,
}

impl Pair {
    async fn start(random: &str) -> Option<Self> {
        let servers = Servers::start()?;
        let mut nodes = Vec::new();
        for name in ["a", "b"] {
            let member = &servers.etcd.members()[0];
            let proxy = Proxy::to(member.address());
            let site = servers.site(name).with("CLUSTER__ENDPOINTS", &proxy.url_for(&member.url()));
            let node = site.start().await;
            nodes.push((site, proxy, node));
            // The first takes every shard before there is another.
            settled(&nodes.iter().map(|(_, _, node)| node).collect::<Vec<_>>()).await;
        }
        let (site, _, first) = &nodes[0];
        let shop = Arc::new(site.open_sale(first, BUYERS, &[LASTING; 3]).await);
        let witness = Arc::new(Witness::default());
        let random = Random::of(random);
        Some(Self { servers, nodes, shop, witness, random, owner: 0, rounds: 0 })
    }

    fn node(&self, number: usize) -> &Server {
        &self.nodes[number].2
    }

    fn proxy(&self) -> &Proxy {
        &self.nodes[self.owner].1
    }

    async fn crowd(&mut self) -> Crowd {
        let server = &self.nodes[self.owner].2;
        let mut crowd = Crowd::enter(server, &self.shop, &self.witness, &mut self.random);
        crowd.answers(200).await;
        crowd
    }

    fn attempt(&self, word: &str) -> Attempt {
        Attempt { item: self.shop.items[0], buyer: 0, key: format!("{word}-{}", self.rounds) }
    }

    /// The owner gets no new order on record while nobody else serves anything: then what it says is refused
    /// or unknown.
    async fn grants_nothing_until_another_serves(&self) {
        let (cut, other) = (self.node(self.owner), self.node(1 - self.owner));
        let attempt = self.attempt("cut");
        until("another node to serve", async || {
            let mut client = cut.client().await;
            let answer =
                self.shop.buy(&mut client, attempt.item, attempt.buyer, &attempt.key).await;
            let is_granted = self.witness.bought(&attempt, &answer.expect("it answers"));
            let is_served = other.figure("seckill_shards").await > 0;
            assert!(is_served || !is_granted, "it granted what it cannot have put on record");
            is_served.then_some(())
        })
        .await;
        self.witness.lost(attempt);
    }

    /// The other one has all, sells, and knows every order; then both are whole again.
    async fn moved(&mut self) {
        settled(&[self.node(1 - self.owner)]).await;
        self.owner = 1 - self.owner;
        self.rounds += 1;
    }

    async fn verify(&self) {
        let nodes = [self.node(0), self.node(1)];
        settled(&nodes).await;
        verify(&nodes, &self.shop, &self.witness, &format!("round-{}", self.rounds)).await;
    }

    async fn close(self) {
        let idle = self.node(1 - self.owner);
        idle.stop().await;
        settled(&[self.node(self.owner)]).await;
        self.node(self.owner).stop().await;
        self.servers.judge(&self.witness).await;
        for (site, _, _) in &self.nodes {
            assert!(!site.log().contains("panicked at"), "{}", site.log());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_grants_nothing_and_its_shards_sell_elsewhere() {
    let Some(mut pair) = Pair::start("a node that is cut off").await else { return };
    let cuts: [fn(&Proxy); 3] =
        [Proxy::cut, |proxy| proxy.one_way(Sender::Client), |proxy| proxy.one_way(Sender::Server)];
    for cut in cuts {
        let crowd = pair.crowd().await;
        cut(pair.proxy());
        crowd.leave().await;
        pair.grants_nothing_until_another_serves().await;
        let proxy = pair.owner;
        pair.moved().await;
        pair.nodes[proxy].1.restore();
        pair.verify().await;
    }
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_frozen_and_wakes_confirms_nothing_of_its_own() {
    let Some(mut pair) = Pair::start("an owner that wakes").await else { return };
    for _ in 0..3 {
        let crowd = pair.crowd().await;
        let frozen = pair.owner;
        pair.node(frozen).signal(Signal::STOP);
        pair.moved().await;
        // The new owner sells before the old one wakes, in the midst of what was asked of it.
        let attempt = pair.attempt("while-it-sleeps");
        let (_, status) =
            decided(&[pair.node(pair.owner)], &pair.shop, &pair.witness, &attempt).await;
        assert_eq!(status, 201);
        pair.node(frozen).signal(Signal::CONT);
        crowd.leave().await;
        pair.verify().await;
    }
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_is_not_answered_or_late_is_one_order() {
    let Some(mut pair) = Pair::start("an append without an answer").await else { return };
    for _ in 0..3 {
        let crowd = pair.crowd().await;
        let sprung = pair.proxy().traps_sprung();
        pair.proxy().lose_answer_to(APPEND);
        pair.proxy().wait_for_traps(sprung + 1);
        crowd.leave().await;
        pair.verify().await;
        pair.rounds += 1;
    }
    // A link that comes and goes: each time for less than the lease.
    let mut crowd = pair.crowd().await;
    for _ in 0..12 {
        match pair.random.below(3) {
            0 => pair.proxy().cut(),
            1 => pair.proxy().blackhole(),
            _ => pair.proxy().reset_connections(),
        }
        let away = tokio::time::Duration::from_millis(pair.random.below(400));
        tokio::time::sleep(away).await;
        pair.proxy().restore();
        crowd.answers(40).await;
    }
    crowd.leave().await;
    pair.verify().await;
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_sold_and_with_it_all_goes_on() {
    let Some(servers) = Servers::start_with(3) else { return };
    let site = servers.site("a");
    let node = site.start().await;
    settled(&[&node]).await;
    let shop = Arc::new(site.open_sale(&node, BUYERS, &[LASTING; 3]).await);
    let witness = Arc::new(Witness::default());
    let mut random = Random::of("a majority that is lost");
    let members = servers.etcd.members();
    // One of three may die, whichever leads.
    for member in members {
        let mut crowd = Crowd::enter(&node, &shop, &witness, &mut random);
        crowd.answers(100).await;
        member.kill();
        crowd.answers(200).await;
        crowd.leave().await;
        member.restart().expect("it comes back");
        settled(&[&node]).await;
    }
    let crowd = Crowd::enter(&node, &shop, &witness, &mut random);
    members[1].kill();
    members[2].kill();
    crowd.leave().await;
    let attempt = Attempt { item: shop.items[0], buyer: 0, key: "without-a-majority".to_owned() };
    until("purchases to be refused with the reason", async || {
        let mut client = node.client().await;
        let answer = shop.buy(&mut client, attempt.item, attempt.buyer, &attempt.key).await;
        let answer = answer.expect("it answers");
        assert!(!witness.bought(&attempt, &answer), "{answer:?}");
        (answer.status == 503 && answer.code() == "log_unavailable").then_some(())
    })
    .await;
    // A repeat and what is read are answered so too, and go on being answered so once the lease is over.
    let known = *witness.orders().keys().next().expect("an order");
    for _ in 0..2 {
        let mut client = node.client().await;
        let order = witness.orders()[&known].attempt.clone();
        let again = shop.buy(&mut client, order.item, order.buyer, &order.key).await;
        let read = shop.order(&mut client, known, order.buyer).await;
        let paid = shop.step(&mut client, known, order.buyer, "pay").await;
        for answer in [again, read, paid] {
            let answer = answer.expect("it answers");
            assert_eq!((answer.status, answer.code().as_str()), (503, "log_unavailable"));
        }
        until("the lease to be over", async || {
            let now = node.look("/readyz?verbose").await.json();
            let mut found = now["dependencies"].as_array().expect("a list").iter();
            let found = found.find(|found| found["name"] == "cluster").expect("it is a node");
            (found["healthy"] == false).then_some(())
        })
        .await;
    }
    let confirmed = witness.confirmed();
    std::thread::scope(|scope| {
        for member in &members[1..] {
            scope.spawn(move || member.restart().expect("it comes back"));
        }
    });
    assert_eq!(decided(&[&node], &shop, &witness, &attempt).await, (0, 201));
    assert_eq!(witness.confirmed(), confirmed + 1);
    settled(&[&node]).await;
    verify(&[&node], &shop, &witness, "with-a-majority").await;
    node.stop().await;
    let rows = servers.mariadb.execute("SELECT COUNT(*) FROM orders").expect("a count");
    assert_eq!(rows, witness.orders().len().to_string());
}
