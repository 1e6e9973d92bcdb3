//! Members of a cluster that die, are cut off, lose their leases wrongly and drain, while clients buy.
//! Whatever happens, what clients were told holds, and at the end every shard is served once.

use super::crowd::{Crowd, Engines, check_at_rest, judge};
use super::moving::fate;
use super::node::{Stores, record, start};
use crate::simulation::{Dice, Told, seeds};
use domain::{Buy, ItemId, Outcome, RequestId, Timestamp, UserId};
use futures_util::FutureExt;
use futures_util::future::join_all;
use harness::{patiently, until};
use parking_lot::Mutex;
use seckill::actors::cluster::{Member, MemberOptions};
use seckill::actors::{Backends, KeyOrigin, NotDelivered, Reply, SettingsStanding};
use seckill::store::journal::fenced::{MemoryLog, MemoryLogFault};
use seckill::store::registry::{MemoryRegistry, Registry};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::Purchases;
use support::engine::SHARDS;

const NAMES: [&str; 3] = ["a", "b", "c"];
/// A lease that a loaded machine may well miss; the schedule is about what follows then.
const LEASE: Duration = Duration::from_millis(600);
const ROUNDS: u64 = 6;

/// What all nodes have in common.
struct World {
    stores: Stores,
    registry: MemoryRegistry,
    engines: Engines,
    is_calm: Arc<AtomicBool>,
}

/// One run of a node.
struct Peer {
    member: Member<MemoryLog, MemoryRegistry>,
    backends: Backends,
    registry: MemoryRegistry,
    is_cut: Arc<AtomicBool>,
}

impl World {
    /// A cluster of three nodes that has settled and opened its items.
    async fn open(directory: &Path, dice: &mut Dice) -> (Self, Vec<Peer>) {
        let stores = Stores::open(directory).await;
        let registry = MemoryRegistry::new(stores.log.clone(), LEASE);
        let engines = Engines::default();
        let world = Self { stores, registry, engines, is_calm: Arc::default() };
        let mut peers = Vec::new();
        for node in 0..NAMES.len() {
            let peer = world.start(node, 1, dice).await;
            world.engines.add(peer.member.engine().clone());
            peers.push(peer);
        }
        world.settled(&peers.iter().collect::<Vec<_>>()).await;
        world.engines.open_items().await;
        (world, peers)
    }

    /// Starts a node, which waits until the lease of its last run has ended.
    async fn start(&self, node: usize, incarnation: u64, dice: &mut Dice) -> Peer {
        let (fates, calm) = (Mutex::new(Dice::new(dice.any())), Arc::clone(&self.is_calm));
        let is_cut: Arc<AtomicBool> = Arc::default();
        let cut = Arc::clone(&is_cut);
        let appends = self.stores.log.seen_with_fate(move || {
            if cut.load(Ordering::Acquire) {
                return MemoryLogFault::Lost;
            }
            fate(&mut fates.lock(), &calm)
        });
        let registry = self.registry.for_another_node();
        let record = record(incarnation);
        let options = MemberOptions {
            node: NAMES[node].to_owned(),
            lease: LEASE,
            lease_margin: LEASE / 5,
            look: LEASE / 10,
            retry: LEASE,
            unable: Duration::from_secs(30),
        };
        until("the lease of the node's last run to end", async || {
            let view = self.registry.view().await.expect("a view");
            (!view.nodes.contains_key(NAMES[node])).then_some(())
        })
        .await;
        let logs = (appends, self.stores.log.clone());
        // Rounds of checkpoints would trim the log that is judged.
        let interval = Duration::from_secs(3_600);
        let (takeover, backends) = start(&self.stores, logs, interval, |_| {}).await;
        let settings = tokio::sync::watch::channel(SettingsStanding::default()).1;
        let member = Member::join(takeover, registry.clone(), record, options, settings).await;
        let member = member.expect("the name is free");
        Peer { member, backends, registry, is_cut }
    }

    /// Waits until every shard is served, by one of these nodes and no other of them.
    async fn settled(&self, peers: &[&Peer]) {
        until("every shard to be served once", async || {
            let served = peers.iter().flat_map(|peer| peer.member.engine().served_shards());
            let mut served: Vec<u16> = served.map(|shard| shard.0).collect();
            served.sort_unstable();
            let is_live = peers.iter().all(|peer| peer.member.engine().lease().is_live());
            (is_live && served.into_iter().eq(0..SHARDS)).then_some(())
        })
        .await;
    }
}

impl Peer {
    /// The node dies: it says nothing any more, and nothing reaches it.
    async fn die(self) {
        self.is_cut.store(true, Ordering::Release);
        self.registry.cut(true);
        self.member.stop();
        self.member.engine().drain(Duration::from_millis(1)).await;
        self.backends.stop(self.member.engine(), Duration::ZERO).await;
    }
}

async fn run(seed: u64) {
    let _told = Told(seed);
    let mut dice = Dice::new(seed);
    let directory = tempfile::tempdir().expect("a directory");
    let (world, mut peers) = World::open(directory.path(), &mut dice).await;
    let crowd = Crowd::start(&world.engines, &mut dice);
    for round in 0..ROUNDS {
        let node = dice.below(NAMES.len() as u64) as usize;
        let others: Vec<&Peer> = peers
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != node)
            .map(|(_, peer)| peer)
            .collect();
        let what = dice.below(6);
        match what {
            0 => world.registry.revoke(NAMES[node]),
            1 => {
                // Cut off from everything: as if it were frozen.
                peers[node].is_cut.store(true, Ordering::Release);
                peers[node].registry.cut(true);
                world.settled(&others).await;
            }
            2 => {
                // It can still append, and is not heard of.
                peers[node].registry.cut(true);
                world.settled(&others).await;
            }
            4 => {
                // It is heard, and hears nothing.
                peers[node].registry.deafen(true);
                world.settled(&others).await;
            }
            3 => {
                assert!(peers[node].member.drain(Duration::from_secs(60)).await, "given away");
                world.settled(&others).await;
            }
            _ => {}
        }
        // Who has given everything away takes nothing more.
        if what == 3 || dice.once_in(2) {
            let incarnation = round + 2;
            let dead = peers.remove(node);
            dead.die().await;
            let peer = world.start(node, incarnation, &mut dice).await;
            world.engines.replace(node, peer.member.engine().clone());
            peers.insert(node, peer);
        }
        peers[node].is_cut.store(false, Ordering::Release);
        peers[node].registry.cut(false);
        peers[node].registry.deafen(false);
        world.settled(&peers.iter().collect::<Vec<_>>()).await;
    }
    let seen = crowd.stop().await;
    world.is_calm.store(true, Ordering::Release);
    world.settled(&peers.iter().collect::<Vec<_>>()).await;
    check_at_rest(&world.engines, &seen).await;
    for peer in peers {
        const LIMIT: Duration = Duration::from_secs(20);
        let engine = peer.member.engine().clone();
        engine.drain(LIMIT).await;
        peer.backends.stop(&engine, LIMIT).await;
        peer.member.leave().await;
    }
    judge(&world.stores.log, &world.stores.orders, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_cut_off_neither_refuses_nor_reads() {
    let mut dice = Dice::new(1);
    let directory = tempfile::tempdir().expect("a directory");
    let (world, peers) = World::open(directory.path(), &mut dice).await;
    world.is_calm.store(true, Ordering::Release);
    let Outcome::Placed(order) = world.engines.decided(0, (1, 1, 101)).await else {
        panic!("stock is left")
    };
    let serves = |peer: &&Peer| peer.member.engine().gate(ItemId(1)).is_some();
    let old = peers.iter().find(serves).expect("an owner");
    let gate = old.member.engine().gate(ItemId(1)).expect("its gate");
    old.is_cut.store(true, Ordering::Release);
    old.registry.cut(true);
    let others: Vec<&Peer> = peers.iter().filter(|peer| !std::ptr::eq(*peer, old)).collect();
    world.settled(&others).await;
    let new = others.iter().find(|peer| serves(peer)).expect("a new owner").member.engine();
    let cancelled = new.cancel(&order).await;
    assert!(matches!(cancelled, Reply::Decided(Outcome::Order(_))), "{cancelled:?}");
    // The old one knows of no cancellation: it must not say that the buyer has an order.
    let old_engine = old.member.engine();
    let again =
        Buy { item_id: ItemId(1), user_id: UserId(1), request_id: RequestId(102), quantity: 1 };
    let asked = old_engine.buy(&gate, again, KeyOrigin::Edge).await;
    assert!(matches!(asked, Reply::NotDelivered(_)), "{asked:?}");
    let read = old_engine.order(order.order_id).await;
    assert!(read.is_err(), "{read:?}");
    assert_eq!(gate.refusal(Timestamp::MAX, UserId(9)), None);
    let asked = new.buy(&new.gate(ItemId(1)).expect("its gate"), again, KeyOrigin::Edge).await;
    assert!(matches!(asked, Reply::Decided(Outcome::Placed(_))), "{asked:?}");
    for peer in peers {
        peer.die().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_log_confirms_nothing_nobody_waits_long_and_nothing_more_is_admitted() {
    let mut dice = Dice::new(1);
    let directory = tempfile::tempdir().expect("a directory");
    let (world, peers) = World::open(directory.path(), &mut dice).await;
    world.is_calm.store(true, Ordering::Release);
    let serves = |peer: &&Peer| peer.member.engine().gate(ItemId(1)).is_some();
    let owner = peers.iter().find(serves).expect("an owner");
    let engine = owner.member.engine().clone();
    owner.is_cut.store(true, Ordering::Release);
    let asked = tokio::spawn({
        let engine = engine.clone();
        async move { engine.purchase(1, 1, 101, KeyOrigin::Client).await }
    });
    until("the silence to be noticed", async || {
        (engine.status().refusing_because == Some(NotDelivered::LogUnavailable)).then_some(())
    })
    .await;
    let refused = Reply::NotDelivered(NotDelivered::LogUnavailable);
    assert_eq!(engine.purchase(1, 2, 101, KeyOrigin::Client).await, refused);
    let journal = engine.status().dependencies.swap_remove(0);
    assert!(!journal.healthy && journal.meaning.to_string().contains("confirmed nothing for"));
    // What is under way is answered long before the reply's own time is over, while it is dark yet.
    assert_eq!(patiently("an answer", asked).await.expect("an answer"), Reply::Unknown);
    owner.is_cut.store(false, Ordering::Release);
    until("the same purchase again to be answered", async || {
        let again = engine.purchase(1, 1, 101, KeyOrigin::Client).await;
        matches!(again, Reply::Decided(Outcome::Replayed(_))).then_some(())
    })
    .await;
    until("purchases to be taken again", async || engine.status().accepting.then_some(())).await;
    for peer in peers {
        peer.die().await;
    }
}

#[test]
fn a_cluster_sells_whatever_happens_to_its_nodes() {
    let mut found = 0;
    for some in seeds(8).chunks(4) {
        // What a node that died has left behind ends with its runtime.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let runs = some.iter().map(|seed| AssertUnwindSafe(run(*seed)).catch_unwind());
        let runs = runtime.block_on(join_all(runs));
        found += runs.into_iter().filter(Result::is_err).count();
    }
    assert_eq!(found, 0, "runs with a finding; their seeds are above");
}
