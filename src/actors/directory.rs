//! Where everything of the shop is: which node serves which shard, and which shard has which item.
//!
//! Who serves a shard is what the registry said when it was last looked at, two seconds ago at most while
//! it answers: it may be out of date, and the node that is asked says so. Which shard has an item never
//! changes, so that what is known of it stays; an item that is not known costs the registry one read a
//! second, which all who ask share. Must not know how a node is asked.

use super::outside::{Kept, KeptOptions};
use crate::clock::Clock;
use crate::store::registry::{NodeRecord, View};
use domain::{ItemId, ShardId, Timestamp};
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Which shard has which item.
pub type ItemShards = HashMap<ItemId, ShardId>;

/// When the registry is asked for items: by wish, and rarely without one.
const ITEMS: KeptOptions = KeptOptions {
    every: Duration::from_secs(60),
    retry: Duration::from_secs(2),
    pause: Duration::from_secs(1),
    stale_max: Duration::MAX,
    patience: Duration::from_secs(1),
};

/// One run of a node, as the registry knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterNode {
    /// The node's name.
    pub name: String,
    /// What it says of itself: its addresses and which run this is, among others.
    pub record: NodeRecord,
    /// Whether it is this node.
    pub is_self: bool,
}

/// The directory of a cluster, as one node knows it. Cheap to clone; clones share what they know.
#[derive(Clone, Debug)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    own: String,
    shards: u16,
    clock: Clock,
    places: RwLock<Arc<Places>>,
    changes: watch::Sender<u64>,
    items: Kept<ItemShards>,
    /// Those of the shards that this node has given away: it must not deny what it has just sold.
    given_away: RwLock<ItemShards>,
}

/// The cluster at one look.
#[derive(Debug, Default)]
struct Places {
    view: View,
    looked_at: Timestamp,
    nodes: BTreeMap<String, Arc<ClusterNode>>,
    /// By the shards' numbers.
    owners: Vec<Option<Arc<ClusterNode>>>,
}

impl Directory {
    /// The directory of node `own`, which knows nothing yet, of a cluster of `shards` shards.
    pub(super) fn new(own: &str, shards: u16, clock: Clock) -> Self {
        // Its session has just begun.
        let places = Places { looked_at: clock.now(), ..Places::default() };
        Self(Arc::new(Inner {
            own: own.to_owned(),
            shards,
            clock: clock.clone(),
            places: RwLock::new(Arc::new(places)),
            changes: watch::Sender::new(0),
            items: Kept::new("the cluster's items", ITEMS, clock),
            given_away: RwLock::default(),
        }))
    }

    /// This node's name.
    pub fn own_name(&self) -> &str {
        &self.0.own
    }

    /// The node that served a shard at the last look; none if none did, or its session has ended.
    pub fn owner(&self, shard: ShardId) -> Option<Arc<ClusterNode>> {
        self.0.places.read().owners.get(shard.index()).cloned().flatten()
    }

    /// The node of this name, if it lived at the last look.
    pub fn node(&self, name: &str) -> Option<Arc<ClusterNode>> {
        self.0.places.read().nodes.get(name).cloned()
    }

    /// The nodes that lived at the last look, this one among them, by name.
    pub fn nodes(&self) -> Vec<Arc<ClusterNode>> {
        self.0.places.read().nodes.values().cloned().collect()
    }

    /// The shards that nobody served at the last look.
    pub fn unowned(&self) -> Vec<ShardId> {
        let places = Arc::clone(&self.0.places.read());
        let is_owned =
            |shard: &ShardId| places.owners.get(shard.index()).is_some_and(|owner| owner.is_some());
        (0..self.0.shards).map(ShardId).filter(|shard| !is_owned(shard)).collect()
    }

    /// The other nodes that lived at the last look and can be asked something.
    pub(super) fn others_that_listen(&self) -> Vec<Arc<ClusterNode>> {
        let nodes = self.nodes().into_iter();
        nodes.filter(|node| !node.is_self && node.record.listens()).collect()
    }

    /// The other nodes that served a shard at the last look.
    pub(super) fn others_that_serve(&self) -> Vec<Arc<ClusterNode>> {
        let places = Arc::clone(&self.0.places.read());
        let mut others = BTreeMap::new();
        for owner in places.owners.iter().flatten().filter(|owner| !owner.is_self) {
            others.insert(owner.name.clone(), Arc::clone(owner));
        }
        others.into_values().collect()
    }

    /// The number of all shards.
    pub fn shards(&self) -> u16 {
        self.0.shards
    }

    /// How long ago the registry was looked at.
    pub fn age(&self) -> Duration {
        let looked_at = self.0.places.read().looked_at;
        Duration::from_millis(self.0.clock.now().0.saturating_sub(looked_at.0))
    }

    /// The registry as it was at the last look.
    pub fn view(&self) -> View {
        self.0.places.read().view.clone()
    }

    /// Changes of who lives and who serves what: the receiver is told after each.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The shard that has the item, if that is known here.
    pub fn shard_of(&self, item_id: ItemId) -> Option<ShardId> {
        let read = self.0.items.current().and_then(|(items, _)| items.get(&item_id).copied());
        read.or_else(|| self.0.given_away.read().get(&item_id).copied())
    }

    /// Notes the items of a shard that this node serves no longer, each with the shard by which it is found.
    pub(super) fn give_away(&self, items: impl Iterator<Item = (ItemId, ShardId)>) {
        self.0.given_away.write().extend(items);
    }

    /// The shard that has the item. One that is not known here is asked the registry for, once a second at
    /// most and for a second at most.
    pub async fn find_item(&self, item_id: ItemId) -> Option<ShardId> {
        if let Some(shard) = self.shard_of(item_id) {
            return Some(shard);
        }
        self.0.items.renew().await;
        self.shard_of(item_id)
    }

    /// Whether the registry has said which items there are.
    pub fn knows_items(&self) -> bool {
        self.0.items.current().is_some()
    }

    /// Every item that is known here, with its shard.
    pub fn items(&self) -> Arc<ItemShards> {
        self.0.items.current().map(|(items, _)| items).unwrap_or_default()
    }

    /// The place where items are kept, for the member that reads them.
    pub(super) fn kept_items(&self) -> Kept<ItemShards> {
        self.0.items.clone()
    }

    /// Takes in what the registry holds now.
    pub(super) fn update(&self, view: View) {
        let looked_at = self.0.clock.now();
        let mut nodes = BTreeMap::new();
        for (name, record) in &view.nodes {
            let (name, record) = (name.clone(), record.clone());
            let is_self = name == self.0.own;
            nodes.insert(name.clone(), Arc::new(ClusterNode { name, record, is_self }));
        }
        let mut owners = vec![None; usize::from(self.0.shards)];
        for (shard, owner) in &view.owners {
            // An earlier run's shards are nobody's: they end with its session.
            let run = nodes.get(&owner.node);
            let run = run.filter(|node| node.record.incarnation == owner.incarnation);
            if let Some(place) = owners.get_mut(shard.index()) {
                *place = run.cloned();
            }
        }
        let mut places = self.0.places.write();
        let has_changed = places.nodes != nodes || places.owners != owners;
        *places = Arc::new(Places { view, looked_at, nodes, owners });
        drop(places);
        if has_changed {
            self.0.changes.send_modify(|changes| *changes += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::fenced::OwnerRecord;

    fn record(incarnation: u64) -> NodeRecord {
        NodeRecord {
            incarnation,
            peer_address: format!("127.0.0.1:{incarnation}"),
            http_address: "127.0.0.1:8080".to_owned(),
            version: "1".to_owned(),
            secret_fingerprint: String::new(),
            config_version: 0,
            is_draining: false,
            unable: Vec::new(),
        }
    }

    fn owner(node: &str, incarnation: u64) -> OwnerRecord {
        OwnerRecord { node: node.to_owned(), incarnation, epoch: 1 }
    }

    #[test]
    fn a_shard_is_where_a_run_that_lives_has_put_itself_down() {
        let directory = Directory::new("a", 4, Clock::start(Timestamp(1_700_000_000_000)));
        assert_eq!(directory.unowned().len(), 4);
        assert!(directory.age() < Duration::from_secs(60), "since 1970");
        let changes = directory.changes();
        let mut view = View::default();
        view.nodes.insert("a".to_owned(), record(1));
        view.nodes.insert("b".to_owned(), record(2));
        view.owners.insert(ShardId(0), owner("a", 1));
        view.owners.insert(ShardId(1), owner("b", 2));
        view.owners.insert(ShardId(2), owner("b", 1));
        view.owners.insert(ShardId(3), owner("c", 1));
        directory.update(view.clone());
        let at = |shard| directory.owner(ShardId(shard)).map(|node| node.name.clone());
        assert_eq!([at(0), at(1), at(2), at(3)], [Some("a".into()), Some("b".into()), None, None]);
        assert!(directory.owner(ShardId(0)).is_some_and(|node| node.is_self));
        assert!(directory.owner(ShardId(1)).is_some_and(|node| !node.is_self));
        assert_eq!(directory.owner(ShardId(9)), None, "no such shard");
        assert_eq!(directory.unowned(), [ShardId(2), ShardId(3)]);
        assert_eq!(*changes.borrow(), 1);
        directory.update(view.clone());
        assert_eq!(*changes.borrow(), 1, "nothing has changed");
        view.nodes.remove("b");
        directory.update(view);
        assert_eq!((at(1), *changes.borrow()), (None, 2));
    }

    #[test]
    fn what_was_served_here_is_known_before_the_registry_is_asked() {
        let directory = Directory::new("a", 4, Clock::start(Timestamp(0)));
        assert_eq!(directory.shard_of(ItemId(7)), None);
        directory.give_away([(ItemId(7), ShardId(1))].into_iter());
        assert_eq!(directory.shard_of(ItemId(7)), Some(ShardId(1)));
    }
}
