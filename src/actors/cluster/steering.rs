//! How a cluster is, and what operators want of it: looked at and wished for in its registry, by a node or by
//! a command that is none.
//!
//! A wish is noted and the nodes follow it; nothing here moves a shard. Must not know how a shard is moved.

use super::plan;
use crate::store::etcd::{Etcd, EtcdStatus};
use crate::store::journal::fenced::{EtcdLog, LogLook, LookError};
use crate::store::registry::{
    Cluster, DrainWish, EtcdRegistry, MoveWish, Registry, RegistryError, View,
};
use crate::store::settings::{Centre, CentreStanding, Judge};
use domain::ShardId;
use std::time::Duration;

/// How long a wish that shards move lasts at least, before it ends by itself.
const MOVES_LASTING: Duration = Duration::from_secs(30);
/// How much longer it lasts for each shard: they go one by one.
const MOVE_LASTING: Duration = Duration::from_secs(1);

/// Why a cluster cannot be looked at, or a wish is refused.
#[derive(Debug, thiserror::Error)]
pub enum SteeringError {
    /// etcd does not answer, or holds what it should not.
    #[error("etcd: {0}")]
    Registry(#[from] RegistryError),
    /// etcd does not answer, or has forgotten what was looked at.
    #[error("etcd: {0}")]
    Look(#[from] LookError),
    /// etcd holds no cluster.
    #[error("etcd holds no shop under {0}")]
    NoCluster(String),
    /// No node of this name lives.
    #[error("no node is called {node}: {}", living(.nodes))]
    NoNode {
        /// The name that no node has.
        node: String,
        /// The nodes that live.
        nodes: Vec<String>,
    },
    /// The cluster has no such shard.
    #[error("the cluster has {shards} shards, 0 to {}: there is no shard {shard}", .shards - 1)]
    NoShard {
        /// The number that was given.
        shard: u16,
        /// How many there are.
        shards: u16,
    },
    /// Nobody would take what the node gives away.
    #[error("node {0} is the only one that takes shards: nobody would have its shards")]
    LastNode(String),
    /// The node that is to have a shard is being drained.
    #[error("node {0} is being drained: it takes no shards")]
    Draining(String),
}

/// How a cluster is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// What it was founded with.
    pub cluster: Cluster,
    /// The revision of etcd that this is of.
    pub revision: i64,
    /// The nodes that live, by name.
    pub nodes: Vec<NodeStanding>,
    /// Every shard, in order.
    pub shards: Vec<ShardStanding>,
    /// How often settings were changed while the shop runs, going by etcd; none if that is gone or cannot be read.
    pub settings_version: Option<u64>,
    /// How etcd is, as the member that was asked sees it.
    pub etcd: EtcdStatus,
    /// What is wrong, in words; empty if nothing is.
    pub troubles: Vec<String>,
}

/// How a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeStanding {
    /// What the node is called.
    pub name: String,
    /// Which run of it this is.
    pub incarnation: u64,
    /// Where clients reach it, `host:port`.
    pub http_address: String,
    /// Where its peers reach it; empty if they do not.
    pub peer_address: String,
    /// The program's version.
    pub version: String,
    /// How many shards it serves.
    pub shards: usize,
    /// Whether it gives its shards away and takes none.
    pub is_draining: bool,
    /// The version of the settings that it has applied.
    pub settings_version: u64,
}

/// How a shard is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardStanding {
    /// Which shard this is.
    pub shard: ShardId,
    /// The node that serves it; none if nobody does.
    pub owner: Option<String>,
    /// The epoch that may append; 0 if nobody ever owned it.
    pub epoch: u64,
    /// Its last record.
    pub last_record: u64,
    /// Its last record that was trimmed.
    pub trimmed_record: u64,
    /// The batches that are in the log.
    pub batches: u64,
    /// The node that is to have it, if an operator wants it elsewhere.
    pub moves_to: Option<String>,
}

/// What becomes of a rebalance.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rebalance {
    /// The shards that were wished elsewhere, and where.
    pub moves: Vec<(ShardId, String)>,
}

/// A cluster, to be looked at and steered. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Steering {
    etcd: Etcd,
    registry: EtcdRegistry,
    log: EtcdLog,
    centre: Centre,
    prefix: String,
}

impl Steering {
    /// The cluster below a prefix of etcd, whose settings are judged by `judge`.
    pub fn new(etcd: Etcd, prefix: &str, judge: Judge) -> Self {
        // It begins no session, whose length this would be.
        let registry = EtcdRegistry::new(etcd.clone(), prefix, MOVES_LASTING);
        let log = EtcdLog::new(etcd.clone(), prefix);
        let centre = Centre::new(etcd.clone(), prefix, judge);
        Self { etcd, registry, log, centre, prefix: prefix.to_owned() }
    }

    /// How the cluster is.
    ///
    /// # Errors
    /// Returns [`SteeringError`] if there is none, or etcd does not answer.
    pub async fn standing(&self) -> Result<Standing, SteeringError> {
        let cluster = self.cluster().await?;
        // Before the nodes are asked, so that none of them seems ahead because of a change that is made just now.
        let mut settings = self.centre.standing().await.map_err(LookError::Etcd)?;
        let view = self.registry.view().await?;
        if view.nodes.values().any(|node| node.config_version > settings.good) {
            settings = self.centre.standing().await.map_err(LookError::Etcd)?;
        }
        let look = self.log.look(cluster.shards).await?;
        let etcd = self.etcd.status().await.map_err(LookError::Etcd)?;
        let nodes: Vec<NodeStanding> = view
            .nodes
            .iter()
            .map(|(name, node)| {
                let owned = view.owners.values().filter(|owner| owner.node == *name);
                NodeStanding {
                    name: name.clone(),
                    incarnation: node.incarnation,
                    http_address: node.http_address.clone(),
                    peer_address: node.peer_address.clone(),
                    version: node.version.clone(),
                    shards: owned.count(),
                    is_draining: node.is_draining || view.wishes.drain(name),
                    settings_version: node.config_version,
                }
            })
            .collect();
        let shards: Vec<ShardStanding> =
            (0..cluster.shards).map(|shard| shard_standing(&view, &look, ShardId(shard))).collect();
        let mut troubles = troubles(&nodes, &shards, &etcd);
        troubles.extend(settings_troubles(&nodes, &settings));
        troubles.extend(look.damage());
        let (revision, settings_version) = (view.revision, settings.version);
        Ok(Standing { cluster, revision, nodes, shards, settings_version, etcd, troubles })
    }

    /// Has a node give its shards away, and take none until [`undrain`](Self::undrain).
    ///
    /// # Errors
    /// Returns [`SteeringError`] if there is no such node, or no other one that takes shards.
    pub async fn drain(&self, node: &str, by: &str) -> Result<(), SteeringError> {
        let view = self.view_with(node).await?;
        let takes = |name: &str| !view.wishes.drain(name) && !view.nodes[name].is_draining;
        if !view.nodes.keys().any(|other| other != node && takes(other)) {
            return Err(SteeringError::LastNode(node.to_owned()));
        }
        let wish = DrainWish { by: by.to_owned() };
        Ok(self.registry.wish_drain(node, Some(&wish)).await?)
    }

    /// Lets a node take shards again. It takes what is free, and nothing back.
    ///
    /// # Errors
    /// Returns [`SteeringError`] if no such node lives or is drained, or etcd does not answer.
    pub async fn undrain(&self, node: &str) -> Result<(), SteeringError> {
        self.cluster().await?;
        let view = self.registry.view().await?;
        // One that is drained may be dead, and is to take shards when it is back.
        if !view.nodes.contains_key(node) && !view.wishes.drain(node) {
            return Err(no_node(node, view));
        }
        Ok(self.registry.wish_drain(node, None).await?)
    }

    /// Has a shard be served by this node, also in the midst of a sale.
    ///
    /// # Errors
    /// Returns [`SteeringError`] if there is no such shard or node, or the node is being drained.
    pub async fn move_shard(&self, shard: u16, to: &str, by: &str) -> Result<(), SteeringError> {
        let shards = self.cluster().await?.shards;
        if shard >= shards {
            return Err(SteeringError::NoShard { shard, shards });
        }
        let view = self.view_with(to).await?;
        if view.wishes.drain(to) || view.nodes[to].is_draining {
            return Err(SteeringError::Draining(to.to_owned()));
        }
        self.wish(vec![(ShardId(shard), to.to_owned())], false, by).await
    }

    /// Has each shard be served where it would be if all nodes began anew. Shards with a sale that is on stay
    /// where they are, unless `with_sales`.
    ///
    /// # Errors
    /// Returns [`SteeringError`] if etcd does not answer.
    pub async fn rebalance(&self, with_sales: bool, by: &str) -> Result<Rebalance, SteeringError> {
        let shards = self.cluster().await?.shards;
        let moves = plan::balance(&self.registry.view().await?, shards);
        self.wish(moves.clone(), !with_sales, by).await?;
        Ok(Rebalance { moves })
    }

    /// The number of shards.
    ///
    /// # Errors
    /// Returns [`SteeringError`] if there is no cluster, or etcd does not answer.
    pub async fn shards(&self) -> Result<u16, SteeringError> {
        Ok(self.cluster().await?.shards)
    }

    /// The nodes, owners and wishes of this moment.
    ///
    /// # Errors
    /// Returns [`SteeringError`] if etcd does not answer.
    pub async fn view(&self) -> Result<View, SteeringError> {
        Ok(self.registry.view().await?)
    }

    async fn wish(
        &self,
        moves: Vec<(ShardId, String)>,
        spares_sales: bool,
        by: &str,
    ) -> Result<(), SteeringError> {
        let count = u32::try_from(moves.len()).unwrap_or(u32::MAX);
        let lasting = MOVES_LASTING + MOVE_LASTING.saturating_mul(count);
        let wishes = moves.into_iter().map(|(shard, to)| {
            (shard, MoveWish { to, spares_sales, by: by.to_owned(), nonce: rand::random() })
        });
        let wishes: Vec<(ShardId, MoveWish)> = wishes.collect();
        Ok(self.registry.wish_moves(&wishes, lasting).await?)
    }

    async fn cluster(&self) -> Result<Cluster, SteeringError> {
        let cluster = self.registry.cluster().await?;
        cluster.ok_or_else(|| SteeringError::NoCluster(self.prefix.clone()))
    }

    /// The view, if this node lives.
    async fn view_with(&self, node: &str) -> Result<View, SteeringError> {
        self.cluster().await?;
        let view = self.registry.view().await?;
        if view.nodes.contains_key(node) {
            return Ok(view);
        }
        Err(no_node(node, view))
    }
}

fn no_node(node: &str, view: View) -> SteeringError {
    SteeringError::NoNode { node: node.to_owned(), nodes: view.nodes.into_keys().collect() }
}

fn shard_standing(view: &View, look: &LogLook, shard: ShardId) -> ShardStanding {
    let (base, head) = look.ends(shard).unwrap_or_default();
    let owner = view.owners.get(&shard).map(|owner| owner.node.clone());
    ShardStanding {
        shard,
        epoch: head.epoch,
        last_record: head.seq,
        trimmed_record: base.seq,
        batches: head.batch.saturating_sub(base.batch),
        moves_to: on_its_way(view, shard),
        owner,
    }
}

/// The node that is to have a shard and has it not. The wish stays a moment longer than the shard is on its way.
fn on_its_way(view: &View, shard: ShardId) -> Option<String> {
    let (owner, wish) = (view.owners.get(&shard), view.wishes.moves.get(&shard)?);
    owner.is_none_or(|owner| owner.node != wish.to).then(|| wish.to.clone())
}

/// What is wrong with a cluster, in words.
fn troubles(nodes: &[NodeStanding], shards: &[ShardStanding], etcd: &EtcdStatus) -> Vec<String> {
    let mut troubles = Vec::new();
    let unowned = shards.iter().filter(|shard| shard.owner.is_none()).count();
    if nodes.is_empty() {
        troubles.push("no node lives: nothing is sold".to_owned());
    } else if unowned > 0 {
        let all_drain = nodes.iter().all(|node| node.is_draining);
        troubles.push(format!(
            "{unowned} shards have no owner: their items are not sold. {}",
            if all_drain {
                "Every node is being drained; `seckill cluster undrain` one"
            } else {
                "If they stay so, the nodes' logs say why none of them can take them over"
            }
        ));
    }
    for node in nodes.iter().filter(|node| node.is_draining && node.shards > 0) {
        troubles.push(format!(
            "node {} is being drained and has {} shards yet",
            node.name, node.shards
        ));
    }
    let mut versions: Vec<&str> = nodes.iter().map(|node| node.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.len() > 1 {
        troubles.push(format!("the nodes run different versions: {}", versions.join(", ")));
    }
    if !etcd.has_leader {
        troubles.push("the member of etcd that was asked knows no leader".to_owned());
    }
    if etcd.is_full {
        troubles.push(
            "etcd has raised its alarm that its database is full: purchases are refused. Compact and \
             defragment it, then `etcdctl alarm disarm`"
                .to_owned(),
        );
    }
    troubles
}

/// What is wrong with the settings in etcd and of the nodes, in words.
fn settings_troubles(nodes: &[NodeStanding], settings: &CentreStanding) -> Vec<String> {
    let good = settings.good;
    let mut troubles = Vec::new();
    if let Some(refused) = &settings.refused {
        troubles.push(format!(
            "the settings in etcd are kept out ({refused}): those of version {good} hold, from which the next \
             change is made"
        ));
    }
    for NodeStanding { name, settings_version, .. } in nodes {
        let goes_by =
            format!("node {name} goes by version {settings_version} of the settings, and");
        if *settings_version < good {
            troubles.push(format!(
                "{goes_by} etcd has version {good}: if it stays so, its readiness says why"
            ));
        } else if *settings_version > good {
            troubles.push(format!(
                "{goes_by} etcd has none after version {good} that is good: what was changed since is lost there, \
                 and the next change brings it back"
            ));
        }
    }
    troubles
}

fn living(nodes: &[String]) -> String {
    if nodes.is_empty() {
        "none lives".to_owned()
    } else {
        format!("there are {}", nodes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::fenced::OwnerRecord;
    use crate::store::settings::Refused;

    #[test]
    fn a_shard_that_has_arrived_is_not_on_its_way() {
        let mut view = View::default();
        let wish =
            MoveWish { to: "b".to_owned(), spares_sales: false, by: String::new(), nonce: 1 };
        assert_eq!(on_its_way(&view, ShardId(0)), None);
        view.wishes.moves.insert(ShardId(0), wish);
        for (owner, wanted) in [(None, Some("b")), (Some("a"), Some("b")), (Some("b"), None)] {
            let owner = owner.map(|node: &str| OwnerRecord {
                node: node.to_owned(),
                incarnation: 1,
                epoch: 1,
            });
            view.owners = owner.into_iter().map(|owner| (ShardId(0), owner)).collect();
            assert_eq!(on_its_way(&view, ShardId(0)).as_deref(), wanted, "{:?}", view.owners);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let node = |name: &str, version: &str, is_draining: bool, shards: usize| NodeStanding {
            name: name.to_owned(),
            incarnation: 1,
            http_address: String::new(),
            peer_address: String::new(),
            version: version.to_owned(),
            shards,
            is_draining,
            settings_version: 3,
        };
        let shard = |owner: Option<&str>| ShardStanding {
            shard: ShardId(0),
            owner: owner.map(str::to_owned),
            epoch: 1,
            last_record: 0,
            trimmed_record: 0,
            batches: 0,
            moves_to: None,
        };
        let well = EtcdStatus {
            version: "3.4.23".to_owned(),
            file_bytes: 1,
            used_bytes: 1,
            revision: 1,
            has_leader: true,
            is_full: false,
        };
        let check = |nodes: &[NodeStanding],
                     shards: &[ShardStanding],
                     etcd: &EtcdStatus,
                     words: &[&str]| {
            let found = troubles(nodes, shards, etcd);
            assert_eq!(found.len(), words.len(), "{found:?}");
            for (found, words) in found.iter().zip(words) {
                assert!(found.contains(words), "{words:?} is not in {found:?}");
            }
        };
        let (a, owned) = (node("a", "1", false, 1), shard(Some("a")));
        let (alone, owned) = ([a.clone()], [owned]);
        check(&alone, &owned, &well, &[]);
        check(&[], &[shard(None)], &well, &["no node lives"]);
        check(&alone, &[shard(None)], &well, &["1 shards have no owner"]);
        let drained = node("a", "1", true, 0);
        check(&[drained], &[shard(None)], &well, &["Every node is being drained"]);
        check(&[node("a", "1", true, 1)], &owned, &well, &["has 1 shards yet"]);
        check(&[a, node("b", "2", false, 0)], &owned, &well, &["versions: 1, 2"]);
        let ill = EtcdStatus { has_leader: false, is_full: true, ..well };
        let settings = |good, refused| CentreStanding { version: Some(4), good, refused };
        assert_eq!(settings_troubles(&alone, &settings(3, None)), Vec::<String>::new());
        let behind = settings_troubles(&alone, &settings(4, None));
        assert!(behind[0].contains("node a goes by version 3 of the settings"), "{behind:?}");
        let ahead = settings_troubles(&alone, &settings(0, None));
        assert!(ahead[0].contains("etcd has none after version 0"), "{ahead:?}");
        let refused = Refused { what: "http, version 4".to_owned(), why: "wrong".to_owned() };
        let refused = settings_troubles(&alone, &settings(3, Some(refused)));
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].contains("(http, version 4: wrong): those of version 3 hold"));
        check(&alone, &owned, &ill, &["knows no leader", "database is full"]);
    }
}
