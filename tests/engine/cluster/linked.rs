//! Three nodes that serve the shards in turn and ask each other over links.

use super::node::{Stores, record, start};
use domain::ShardId;
use harness::until;
use seckill::actors::cluster::{Member, MemberOptions};
use seckill::actors::{Backends, Engine, Serving, SettingsStanding};
use seckill::peers::{Links, PeerKey, Server};
use seckill::store::journal::fenced::MemoryLog;
use seckill::store::registry::{MemoryRegistry, MoveWish, NodeRecord, Registry};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::engine::SHARDS;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const NAMES: [&str; 3] = ["a", "b", "c"];
/// Longer than a loaded machine stops for.
const LEASE: Duration = Duration::from_secs(5);
const CALLS_MAX: usize = 64;

/// A node that answers others.
pub struct LinkedNode {
    pub member: Member<MemoryLog, MemoryRegistry>,
    backends: Backends,
    registry: MemoryRegistry,
    serving: JoinHandle<()>,
}

/// The nodes, and what they share.
pub struct Linked {
    _directory: tempfile::TempDir,
    stores: Stores,
    registry: MemoryRegistry,
    pub nodes: Vec<LinkedNode>,
    /// How many wishes that shards move there were.
    wishes: AtomicU64,
}

impl LinkedNode {
    async fn start(stores: &Stores, registry: &MemoryRegistry, name: &str) -> Self {
        let logs = (stores.log.clone(), stores.log.clone());
        let (takeover, backends) = start(stores, logs, Duration::from_secs(3_600), |_| {}).await;
        let engine = takeover.engine.clone();
        let key = || PeerKey::of(b"secret");
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.expect("a socket"));
        let peer_address = listener.local_addr().expect("an address").to_string();
        let record = NodeRecord { peer_address, ..record(1) };
        let options = MemberOptions {
            node: name.to_owned(),
            lease: LEASE,
            lease_margin: LEASE / 5,
            look: Duration::from_millis(50),
            retry: LEASE,
            unable: Duration::from_secs(30),
        };
        let registry = registry.for_another_node();
        let settings = tokio::sync::watch::channel(SettingsStanding::default()).1;
        let member = Member::join(takeover, registry.clone(), record, options, settings).await;
        let member = member.expect("the name is free");
        engine.reach_peers(Links::new(name, key(), CALLS_MAX, engine.clock()));
        let service = Serving::new(engine);
        let server = Server { own: name.to_owned(), key: key(), calls_max: CALLS_MAX, service };
        let serving = tokio::spawn(server.run(listener));
        Self { member, backends, registry, serving }
    }

    /// The node's engine.
    pub fn engine(&self) -> &Engine {
        self.member.engine()
    }

    /// Answers nobody any more, and is a node for all that.
    pub fn shut_ears(&self) {
        self.serving.abort();
    }

    /// The node dies: it says nothing any more, and nothing reaches it.
    pub async fn die(self) {
        self.registry.cut(true);
        self.member.stop();
        self.serving.abort();
        let engine = self.engine().clone();
        engine.drain(Duration::from_millis(1)).await;
        self.backends.stop(&engine, Duration::ZERO).await;
    }
}

impl Linked {
    /// Three nodes that serve the shards in turn, and know it.
    pub async fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let stores = Stores::open(directory.path()).await;
        let registry = MemoryRegistry::new(stores.log.clone(), LEASE);
        let (nodes, wishes) = (Vec::new(), AtomicU64::new(0));
        let mut linked = Self { _directory: directory, stores, registry, nodes, wishes };
        for name in NAMES {
            linked.join(name).await;
        }
        linked.spread().await;
        linked
    }

    /// One more node.
    pub async fn join(&mut self, name: &str) {
        self.nodes.push(LinkedNode::start(&self.stores, &self.registry, name).await);
    }

    /// A node's engine, by its number.
    pub fn engine(&self, node: usize) -> &Engine {
        self.nodes[node % self.nodes.len()].engine()
    }

    async fn spread(&self) {
        self.settled().await;
        let in_turn = (0..SHARDS).map(|shard| (ShardId(shard), usize::from(shard) % NAMES.len()));
        self.move_to(in_turn.collect()).await;
    }

    /// Has shards moved to nodes, by their numbers.
    pub async fn move_to(&self, moves: Vec<(ShardId, usize)>) {
        let wish = |node: usize| MoveWish {
            to: self.nodes[node].member.directory().own_name().to_owned(),
            spares_sales: false,
            by: "ann".to_owned(),
            nonce: self.wishes.fetch_add(1, Ordering::Relaxed),
        };
        let wishes: Vec<_> = moves.iter().map(|moved| (moved.0, wish(moved.1))).collect();
        let lasting = Duration::from_secs(60);
        self.registry.wish_moves(&wishes, lasting).await.expect("wished");
        until("each node to serve its shards", async || {
            let serves = |(shard, node): &(ShardId, usize)| {
                self.engine(*node).served_shards().contains(shard)
            };
            moves.iter().all(serves).then_some(())
        })
        .await;
        self.settled().await;
    }

    /// Waits until every shard is served, and every node knows by whom.
    pub async fn settled(&self) {
        until("every shard to be served, and all to know it", async || {
            let knows = |node: &LinkedNode| {
                let here = node.engine().served_shards();
                (0..SHARDS).map(ShardId).all(|shard| {
                    let owner = node.member.directory().owner(shard);
                    owner.is_some_and(|owner| owner.is_self == here.contains(&shard))
                })
            };
            self.nodes.iter().all(knows).then_some(())
        })
        .await;
    }

    /// Ends all.
    pub async fn close(self) {
        for node in self.nodes {
            node.die().await;
        }
    }
}
