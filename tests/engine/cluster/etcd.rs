//! A cluster on a real etcd, of one member and of three: owners that fall silent, and leases that are
//! revoked wrongly, while clients buy.

use super::crowd::{Crowd, Engines, check_at_rest, judge};
use super::node::{Stores, record, start};
use crate::simulation::Dice;
use harness::until;
use seckill::actors::cluster::{Member, MemberOptions};
use seckill::actors::{Backends, SettingsStanding};
use seckill::store::etcd::{Etcd, EtcdAddress};
use seckill::store::journal::fenced::EtcdLog;
use seckill::store::registry::EtcdRegistry;
use std::time::Duration;
use support::engine::SHARDS;

const NAMES: [&str; 3] = ["a", "b", "c"];
/// As short as etcd grants.
const LEASE: Duration = Duration::from_secs(2);
const PREFIX: &str = "/seckill/shop/";
const LIMIT: Duration = Duration::from_secs(20);

/// What all nodes have in common.
struct World {
    etcd: Etcd,
    stores: Stores,
    engines: Engines,
}

/// One run of a node.
struct Peer {
    member: Member<EtcdLog, EtcdRegistry>,
    backends: Backends,
}

impl World {
    /// Starts a node, which waits until the lease of its last run has ended.
    async fn start(&self, node: usize, incarnation: u64) -> Peer {
        let key = node_key(node);
        until("the lease of the node's last run to end", async || {
            self.etcd.get(&key).await.expect("an answer").is_none().then_some(())
        })
        .await;
        let log = EtcdLog::new(self.etcd.clone(), PREFIX);
        // Rounds of checkpoints would trim the log that is judged.
        let interval = Duration::from_secs(3_600);
        let (takeover, backends) = start(&self.stores, (log.clone(), log), interval, |_| {}).await;
        let registry = EtcdRegistry::new(self.etcd.clone(), PREFIX, LEASE);
        let record = record(incarnation);
        let options = MemberOptions {
            node: NAMES[node].to_owned(),
            lease: LEASE,
            lease_margin: LEASE / 4,
            look: LEASE / 4,
            retry: LEASE,
            unable: Duration::from_secs(30),
        };
        let settings = tokio::sync::watch::channel(SettingsStanding::default()).1;
        let member = Member::join(takeover, registry, record, options, settings).await;
        Peer { member: member.expect("the name is free"), backends }
    }

    /// Waits until every shard is served, by one of these nodes.
    async fn settled<'a>(&self, peers: impl IntoIterator<Item = &'a Peer>) {
        let peers: Vec<&Peer> = peers.into_iter().collect();
        until("every shard to be served once", async || {
            let served = peers.iter().flat_map(|peer| peer.member.engine().served_shards());
            let mut served: Vec<u16> = served.map(|shard| shard.0).collect();
            served.sort_unstable();
            let is_live = peers.iter().all(|peer| peer.member.engine().lease().is_live());
            (is_live && served.into_iter().eq(0..SHARDS)).then_some(())
        })
        .await;
    }

    /// Ends a node's lease, wrongly.
    async fn revoke(&self, node: usize) {
        let found = self.etcd.get(&node_key(node)).await.expect("an answer").expect("a node");
        self.etcd.revoke(found.lease).await.expect("revoked");
    }
}

fn node_key(node: usize) -> Vec<u8> {
    format!("{PREFIX}nodes/{}", NAMES[node]).into_bytes()
}

async fn sells_without_its_owners(members: usize) {
    let Some(server) = harness::etcd(members) else { return };
    let address = EtcdAddress { endpoints: server.endpoints(), tls: None, login: None };
    let etcd = Etcd::prepare(&address, Duration::from_secs(1)).expect("an address");
    let directory = tempfile::tempdir().expect("a directory");
    let stores = Stores::open(directory.path()).await;
    let world = World { etcd, stores, engines: Engines::default() };
    let mut peers = Vec::new();
    for node in 0..NAMES.len() {
        peers.push(world.start(node, 1).await);
        world.engines.add(peers[node].member.engine().clone());
    }
    world.settled(&peers).await;
    world.engines.open_items().await;
    let crowd = Crowd::start(&world.engines, &mut Dice::new(1));
    world.revoke(0).await;
    world.settled(&peers).await;
    // An owner that renews nothing any more goes on selling until others have what it has.
    let silent = peers.remove(1);
    silent.member.stop();
    world.settled(&peers).await;
    let engine = silent.member.engine().clone();
    engine.drain(LIMIT).await;
    silent.backends.stop(&engine, Duration::ZERO).await;
    peers.insert(1, world.start(1, 2).await);
    world.engines.replace(1, peers[1].member.engine().clone());
    // It has come back, and takes over what another one gives away.
    assert!(peers[2].member.drain(LIMIT * 3).await, "everything was given away");
    world.settled(&peers).await;
    let seen = crowd.stop().await;
    check_at_rest(&world.engines, &seen).await;
    for Peer { member, backends } in peers {
        let engine = member.engine().clone();
        engine.drain(LIMIT).await;
        backends.stop(&engine, LIMIT).await;
        member.leave().await;
    }
    judge(&EtcdLog::new(world.etcd.clone(), PREFIX), &world.stores.orders, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_on_one_etcd_sells_without_its_owners() {
    sells_without_its_owners(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_on_three_etcds_sells_without_its_owners() {
    sells_without_its_owners(3).await;
}
