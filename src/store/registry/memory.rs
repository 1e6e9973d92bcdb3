//! A registry in memory, beside a log in memory, for tests and simulations. Leases end by the time that
//! passes, or when a test says so; a node can be cut off from it.

use super::{
    Cluster, DrainWish, MoveWish, NodeRecord, NotedItems, Registry, RegistryError, View, Wishes,
};
use crate::store::journal::fenced::{MemoryLog, Session};
use domain::{ItemId, ShardId};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long a watch lasts before it says that something may have changed.
const HINT: Duration = Duration::from_millis(20);

/// A registry in memory. Clones share it, and what cuts them off.
#[derive(Clone)]
pub struct MemoryRegistry {
    log: MemoryLog,
    state: Arc<Mutex<State>>,
    lease: Duration,
    is_cut: Arc<AtomicBool>,
    is_deaf: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    cluster: Option<Cluster>,
    nodes: BTreeMap<String, (NodeRecord, i64)>,
    /// When each lease ends.
    leases: BTreeMap<i64, Instant>,
    last_lease: i64,
    items: BTreeMap<ItemId, ShardId>,
    drains: BTreeMap<String, DrainWish>,
    /// Each wish, and when it ends by itself.
    moves: BTreeMap<ShardId, (MoveWish, Instant)>,
}

impl MemoryRegistry {
    /// A registry whose leases own shards of `log`, and end `lease` after they were renewed.
    pub fn new(log: MemoryLog, lease: Duration) -> Self {
        Self { log, state: Arc::default(), lease, is_cut: Arc::default(), is_deaf: Arc::default() }
    }

    /// The same registry, as another node reaches it.
    #[must_use]
    pub fn for_another_node(&self) -> Self {
        Self { is_cut: Arc::default(), is_deaf: Arc::default(), ..self.clone() }
    }

    /// Sets whether this node cannot reach the registry.
    pub fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Release);
    }

    /// Sets whether this node is heard by the registry and hears nothing of it.
    pub fn deafen(&self, is_deaf: bool) {
        self.is_deaf.store(is_deaf, Ordering::Release);
    }

    /// Ends a node's lease, wrongly.
    pub fn revoke(&self, node: &str) {
        let mut state = self.state.lock();
        let lease = state.nodes.get(node).map(|(_, lease)| *lease);
        if let Some(lease) = lease {
            state.end(lease, &self.log);
        }
    }

    /// The state, with what has ended by now.
    fn look<T>(&self, look: impl FnOnce(&mut State) -> T) -> Result<T, RegistryError> {
        if self.is_cut.load(Ordering::Acquire) {
            return Err(RegistryError::Unavailable("cut off".to_owned()));
        }
        let mut state = self.state.lock();
        let now = Instant::now();
        let over: Vec<i64> =
            state.leases.iter().filter(|(_, end)| **end <= now).map(|(lease, _)| *lease).collect();
        for lease in over {
            state.end(lease, &self.log);
        }
        state.moves.retain(|_, (_, end)| *end > now);
        let looked = look(&mut state);
        if self.is_deaf.load(Ordering::Acquire) {
            return Err(RegistryError::Unavailable("the answer was lost".to_owned()));
        }
        Ok(looked)
    }
}

impl State {
    fn end(&mut self, lease: i64, log: &MemoryLog) {
        self.leases.remove(&lease);
        self.nodes.retain(|_, (_, own)| *own != lease);
        log.expire(lease);
    }
}

impl Registry for MemoryRegistry {
    async fn cluster(&self) -> Result<Option<Cluster>, RegistryError> {
        self.look(|state| state.cluster.clone())
    }

    async fn found(&self, cluster: &Cluster) -> Result<Cluster, RegistryError> {
        self.look(|state| state.cluster.get_or_insert_with(|| cluster.clone()).clone())
    }

    async fn join(&self, node: &str, record: &NodeRecord) -> Result<Session, RegistryError> {
        // Who does not hear of its lease puts nothing down under it.
        if self.is_deaf.load(Ordering::Acquire) {
            return Err(RegistryError::Unavailable("the lease's number was lost".to_owned()));
        }
        self.look(|state| {
            let other = state.nodes.get(node).map(|(other, _)| other.incarnation);
            if other.is_some_and(|incarnation| incarnation != record.incarnation) {
                return Err(RegistryError::NameTaken(node.to_owned()));
            }
            state.last_lease += 1;
            let lease = state.last_lease;
            state.leases.insert(lease, Instant::now() + self.lease);
            state.nodes.insert(node.to_owned(), (record.clone(), lease));
            let (node, incarnation) = (node.to_owned(), record.incarnation);
            let session = Session { node, incarnation, lease };
            self.log.grant(&session);
            Ok(session)
        })?
    }

    async fn renew(&self, session: &Session) -> Result<(), RegistryError> {
        self.look(|state| match state.leases.get_mut(&session.lease) {
            Some(end) => {
                *end = Instant::now() + self.lease;
                Ok(())
            }
            None => Err(RegistryError::SessionEnded),
        })?
    }

    async fn publish(&self, session: &Session, record: &NodeRecord) -> Result<(), RegistryError> {
        self.look(|state| match state.nodes.get_mut(&session.node) {
            Some((own, lease)) if *lease == session.lease => {
                *own = record.clone();
                Ok(())
            }
            _ => Err(RegistryError::SessionEnded),
        })?
    }

    async fn leave(&self, session: &Session) -> Result<(), RegistryError> {
        self.look(|state| state.end(session.lease, &self.log))
    }

    async fn view(&self) -> Result<View, RegistryError> {
        self.look(|state| {
            let nodes = state.nodes.iter().map(|(name, (node, _))| (name.clone(), node.clone()));
            let moves = state.moves.iter().map(|(shard, (wish, _))| (*shard, wish.clone()));
            let wishes = Wishes { drains: state.drains.clone(), moves: moves.collect() };
            View { revision: 0, nodes: nodes.collect(), owners: self.log.owners(), wishes }
        })
    }

    async fn note_items(&self, items: &[(ItemId, ShardId)]) -> Result<(), RegistryError> {
        self.look(|state| state.items.extend(items.iter().copied()))
    }

    async fn items(&self) -> Result<NotedItems, RegistryError> {
        self.look(|state| {
            let items = state.items.iter().map(|(item, shard)| (*item, *shard)).collect();
            NotedItems { revision: 0, items }
        })
    }

    async fn item_noted(&self, behind: i64) -> Result<(), RegistryError> {
        self.changed(behind).await
    }

    async fn wish_drain(&self, node: &str, wish: Option<&DrainWish>) -> Result<(), RegistryError> {
        self.look(|state| match wish {
            Some(wish) => drop(state.drains.insert(node.to_owned(), wish.clone())),
            None => drop(state.drains.remove(node)),
        })
    }

    async fn wish_moves(
        &self,
        wishes: &[(ShardId, MoveWish)],
        lasting: Duration,
    ) -> Result<(), RegistryError> {
        let end = Instant::now() + lasting;
        let wishes = wishes.iter().map(|(shard, wish)| (*shard, (wish.clone(), end)));
        self.look(|state| state.moves.extend(wishes))
    }

    async fn end_move(&self, shard: ShardId, wish: &MoveWish) -> Result<(), RegistryError> {
        self.look(|state| {
            if state.moves.get(&shard).is_some_and(|(noted, _)| noted == wish) {
                state.moves.remove(&shard);
            }
        })
    }

    async fn changed(&self, _: i64) -> Result<(), RegistryError> {
        tokio::time::sleep(HINT).await;
        self.look(|_| ())
    }
}
