//! Which node should own which shard: a function of what the registry holds, so that every node comes to
//! the same answer without asking the others.
//!
//! A shard belongs where a hash of node and shard is highest (rendezvous hashing: Thaler and Ravishankar,
//! 1998), so that a node that comes or goes moves its own share and nothing else. An owner that lives and
//! is not draining keeps what it has: moving a shard stops its sale for a moment, and only an operator's
//! rebalance asks for that. Pure.

use crate::store::registry::View;
use domain::ShardId;
use xxhash_rust::xxh3::Xxh3;

/// What one node has to do, as it sees the cluster now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Shards that nobody owns and that are this node's to claim.
    pub claim: Vec<ShardId>,
    /// Shards that this node owns and should give to another one, with that one's name.
    pub hand_over: Vec<(ShardId, String)>,
}

/// The plan of node `own` for a cluster of `shards` shards. With `rebalance` it gives away what would be
/// another node's if all began anew.
pub fn plan(view: &View, own: &str, shards: u16, rebalance: bool) -> Plan {
    let mut plan = Plan::default();
    let willing: Vec<&str> = view
        .nodes
        .iter()
        .filter(|(_, node)| !node.is_draining)
        .map(|(name, _)| name.as_str())
        .collect();
    let is_draining = view.nodes.get(own).is_none_or(|node| node.is_draining);
    for shard in (0..shards).map(ShardId) {
        let Some(home) = home(&willing, shard) else { continue };
        match view.owners.get(&shard) {
            None if home == own => plan.claim.push(shard),
            Some(owner) if owner.node == own && home != own && (is_draining || rebalance) => {
                plan.hand_over.push((shard, home.to_owned()));
            }
            _ => {}
        }
    }
    plan
}

/// The node where a shard belongs among these.
fn home<'a>(nodes: &[&'a str], shard: ShardId) -> Option<&'a str> {
    // The name decides between equal weights, so that all nodes decide alike.
    nodes.iter().copied().max_by_key(|node| (weight(node, shard), *node))
}

/// How much a shard belongs to a node.
fn weight(node: &str, shard: ShardId) -> u64 {
    let mut digest = Xxh3::new();
    digest.update(&shard.0.to_le_bytes());
    digest.update(node.as_bytes());
    digest.digest()
}

#[cfg(test)]
mod tests {
    use super::{Plan, plan};
    use crate::store::journal::fenced::OwnerRecord;
    use crate::store::registry::{NodeRecord, View};
    use domain::ShardId;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SHARDS: u16 = 64;

    fn node(is_draining: bool) -> NodeRecord {
        NodeRecord {
            incarnation: 1,
            peer_address: "127.0.0.1:1".to_owned(),
            http_address: "127.0.0.1:2".to_owned(),
            version: "1".to_owned(),
            secret_fingerprint: String::new(),
            config_version: 0,
            is_draining,
        }
    }

    fn view(nodes: &[&str]) -> View {
        let nodes = nodes.iter().map(|name| ((*name).to_owned(), node(false))).collect();
        View { nodes, ..View::default() }
    }

    /// How many shards each node owns.
    fn shares(view: &View) -> BTreeMap<&str, usize> {
        let mut shares: BTreeMap<&str, usize> =
            view.nodes.keys().map(|node| (node.as_str(), 0)).collect();
        for owner in view.owners.values() {
            *shares.entry(&owner.node).or_default() += 1;
        }
        shares
    }

    /// Each node does what its plan says, until none has anything to do. Returns how many shards moved.
    fn settle(view: &mut View, rebalance: bool) -> usize {
        let mut moved = 0;
        for _ in 0..8 {
            let plans: Vec<(String, Plan)> = view
                .nodes
                .keys()
                .map(|own| (own.clone(), plan(view, own, SHARDS, rebalance)))
                .collect();
            for (own, plan) in plans {
                for (shard, _) in plan.hand_over {
                    view.owners.remove(&shard);
                    moved += 1;
                }
                for shard in plan.claim {
                    let owner = OwnerRecord { node: own.clone(), incarnation: 1, epoch: 1 };
                    assert_eq!(view.owners.insert(shard, owner), None, "two nodes want {shard}");
                }
            }
        }
        assert_eq!(view.owners.len(), usize::from(SHARDS), "every shard has an owner");
        moved
    }

    #[test]
    fn a_cluster_shares_its_shards_about_evenly() {
        let mut view = view(&["a", "b", "c"]);
        settle(&mut view, false);
        let shares = shares(&view);
        assert!(shares.values().all(|share| (12..=32).contains(share)), "{shares:?}");
    }

    #[test]
    fn a_node_that_joins_takes_nothing_that_lives_until_it_is_asked_for() {
        let mut view = view(&["a", "b"]);
        settle(&mut view, false);
        view.nodes.insert("c".to_owned(), node(false));
        assert_eq!(settle(&mut view, false), 0);
        assert!(settle(&mut view, true) > 0);
        assert!(shares(&view)["c"] > 8);
        assert_eq!(settle(&mut view, true), 0, "once balanced, nothing moves");
    }

    #[test]
    fn a_draining_node_gives_everything_away_and_claims_nothing() {
        let mut view = view(&["a", "b", "c"]);
        settle(&mut view, false);
        let had = shares(&view)["b"];
        view.nodes.insert("b".to_owned(), node(true));
        assert_eq!(settle(&mut view, false), had, "and nobody else's moves");
        assert_eq!(shares(&view)["b"], 0);
    }

    #[test]
    fn the_last_node_keeps_what_it_has_when_it_drains() {
        let mut view = view(&["a"]);
        settle(&mut view, false);
        view.nodes.insert("a".to_owned(), node(true));
        assert_eq!(plan(&view, "a", SHARDS, false), Plan::default());
        view.owners.remove(&ShardId(3));
        assert_eq!(plan(&view, "a", SHARDS, false), Plan::default());
    }

    #[test]
    fn who_is_no_node_claims_nothing() {
        assert_eq!(plan(&view(&["a"]), "b", SHARDS, false), Plan::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_node_that_dies_moves_its_own_shards_and_no_others(names in prop::collection::btree_set("[a-z]{1,8}", 2..9)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut view = view(&names);
            settle(&mut view, false);
            let before = view.owners.clone();
            let dead = names[0];
            view.nodes.remove(dead);
            view.owners.retain(|_, owner| owner.node != dead);
            prop_assert_eq!(settle(&mut view, false), 0);
            for (shard, owner) in &before {
                prop_assert!(owner.node == dead || view.owners[shard] == *owner);
            }
        }
    }
}
