//! Which node should own which shard: a function of what the registry holds, so that every node comes to
//! the same answer without asking the others.
//!
//! A shard belongs where a hash of node and shard is highest (rendezvous hashing: Thaler and Ravishankar,
//! 1998), so that a node that comes or goes moves its own share and nothing else. An owner that lives and
//! is not draining keeps what it has: moving a shard stops its sale for a moment, and only an operator's
//! wish asks for that. A shard that a node has claimed in vain belongs to the others, as long as there is one that has
//! not. Pure.

use crate::store::registry::{MoveWish, View};
use domain::ShardId;
use xxhash_rust::xxh3::Xxh3;

/// What one node has to do, as it sees the cluster now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Shards that nobody owns and that are this node's to claim.
    pub claim: Vec<ShardId>,
    /// Shards that this node owns and should give to another one, with that one's name.
    pub hand_over: Vec<(ShardId, String)>,
    /// Shards of this node of which an operator's wish is over: it is fulfilled, or will not be.
    pub over: Vec<ShardId>,
}

/// The plan of node `own` for a cluster of `shards` shards. `has_sale` says whether a sale of a shard's items
/// is on, of the shards that the node owns.
pub fn plan(view: &View, own: &str, shards: u16, has_sale: impl Fn(ShardId) -> bool) -> Plan {
    let mut plan = Plan::default();
    let willing = willing(view);
    let is_draining = !willing.contains(&own);
    for shard in (0..shards).map(ShardId) {
        let able = able(view, &willing, shard);
        let owner = view.owners.get(&shard);
        let is_own = owner.is_some_and(|owner| owner.node == own);
        let wish = view.wishes.moves.get(&shard);
        // Asked for what is this node's alone.
        let is_spared = |wish: &MoveWish| is_own && wish.spares_sales && has_sale(shard);
        let granted = wish.filter(|wish| able.contains(&wish.to.as_str()) && !is_spared(wish));
        let Some(place) = granted.map(|wish| wish.to.as_str()).or(home(&able, shard)) else {
            continue;
        };
        if owner.is_none() && place == own {
            plan.claim.push(shard);
        }
        if is_own && place != own && (is_draining || granted.is_some()) {
            plan.hand_over.push((shard, place.to_owned()));
        }
        if is_own && wish.is_some() && (granted.is_none() || place == own) {
            plan.over.push(shard);
        }
    }
    plan
}

/// The shards that would be elsewhere if all began anew, and where.
pub(super) fn balance(view: &View, shards: u16) -> Vec<(ShardId, String)> {
    let willing = willing(view);
    let moves = (0..shards).map(ShardId).filter_map(|shard| {
        let owner = view.owners.get(&shard)?;
        let home = home(&able(view, &willing, shard), shard)?;
        (owner.node != home).then(|| (shard, home.to_owned()))
    });
    moves.collect()
}

/// The nodes that take shards.
fn willing(view: &View) -> Vec<&str> {
    let nodes = view.nodes.iter();
    let willing = nodes.filter(|(name, node)| !node.is_draining && !view.wishes.drain(name));
    willing.map(|(name, _)| name.as_str()).collect()
}

/// The nodes among these that a shard may belong to: those that can take it, or all if none can, so that it is tried.
fn able<'a>(view: &View, willing: &[&'a str], shard: ShardId) -> Vec<&'a str> {
    let can =
        |node: &&&str| !view.nodes.get(**node).is_some_and(|node| node.unable.contains(&shard.0));
    let able: Vec<&str> = willing.iter().filter(can).copied().collect();
    if able.is_empty() { willing.to_vec() } else { able }
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
    use super::{Plan, balance, plan};
    use crate::store::journal::fenced::OwnerRecord;
    use crate::store::registry::{DrainWish, MoveWish, NodeRecord, View};
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
            unable: Vec::new(),
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

    /// Wishes each of these shards to a node.
    fn wish(view: &mut View, moves: Vec<(ShardId, String)>, spares_sales: bool) {
        for (shard, to) in moves {
            let wish = MoveWish { to, spares_sales, by: String::new(), nonce: 1 };
            view.wishes.moves.insert(shard, wish);
        }
    }

    /// Each node does what its plan says, until none has anything to do. Returns how many shards moved.
    fn settle(view: &mut View) -> usize {
        settle_beside_sales(view, |_| false)
    }

    fn settle_beside_sales(view: &mut View, has_sale: impl Fn(ShardId) -> bool) -> usize {
        let mut moved = 0;
        for _ in 0..8 {
            let plans: Vec<(String, Plan)> = view
                .nodes
                .keys()
                .map(|own| (own.clone(), plan(view, own, SHARDS, &has_sale)))
                .collect();
            for (own, plan) in plans {
                for shard in plan.over {
                    view.wishes.moves.remove(&shard);
                }
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
        assert!(view.wishes.moves.is_empty(), "no wish stays: {:?}", view.wishes);
        moved
    }

    #[test]
    fn a_cluster_shares_its_shards_about_evenly() {
        let mut view = view(&["a", "b", "c"]);
        settle(&mut view);
        let shares = shares(&view);
        assert!(shares.values().all(|share| (12..=32).contains(share)), "{shares:?}");
    }

    #[test]
    fn a_node_that_joins_takes_nothing_that_lives_until_it_is_asked_for() {
        let mut view = view(&["a", "b"]);
        settle(&mut view);
        view.nodes.insert("c".to_owned(), node(false));
        assert_eq!(settle(&mut view), 0);
        let moves = balance(&view, SHARDS);
        let count = moves.len();
        wish(&mut view, moves, false);
        assert_eq!(settle(&mut view), count);
        assert!(shares(&view)["c"] > 8);
        assert_eq!(balance(&view, SHARDS), [], "once balanced, nothing moves");
    }

    #[test]
    fn a_wish_is_fulfilled_once_and_one_that_cannot_be_is_over() {
        let mut view = view(&["a", "b"]);
        settle(&mut view);
        let owner = |view: &View| view.owners[&ShardId(3)].node.clone();
        let first = owner(&view);
        let other = if first == "a" { "b" } else { "a" };
        wish(&mut view, vec![(ShardId(3), other.to_owned())], false);
        assert_eq!(settle(&mut view), 1);
        assert_eq!(owner(&view), other);
        assert_eq!(settle(&mut view), 0, "it stays there");
        for (to, has_sale) in [("nobody", false), (other, false), (first.as_str(), true)] {
            wish(&mut view, vec![(ShardId(3), to.to_owned())], true);
            assert_eq!(settle_beside_sales(&mut view, |_| has_sale), 0, "{to}");
        }
        // Of one that nobody owns, too: the one that it is wished to takes it.
        view.owners.remove(&ShardId(3));
        wish(&mut view, vec![(ShardId(3), other.to_owned())], true);
        assert_eq!(settle(&mut view), 0);
        assert_eq!(owner(&view), other);
    }

    #[test]
    fn a_node_that_is_to_be_drained_gives_everything_away_until_that_is_taken_back() {
        let mut view = view(&["a", "b", "c"]);
        settle(&mut view);
        let had = shares(&view)["b"];
        view.wishes.drains.insert("b".to_owned(), DrainWish { by: String::new() });
        wish(&mut view, vec![(ShardId(3), "b".to_owned())], false);
        assert_eq!(settle(&mut view), had, "and takes nothing, wished or not");
        assert_eq!(shares(&view)["b"], 0);
        view.wishes.drains.clear();
        assert_eq!(settle(&mut view), 0, "it takes nothing back by itself");
        let moves = balance(&view, SHARDS);
        wish(&mut view, moves, false);
        assert_eq!(settle(&mut view), had);
    }

    #[test]
    fn a_draining_node_gives_everything_away_and_claims_nothing() {
        let mut view = view(&["a", "b", "c"]);
        settle(&mut view);
        let had = shares(&view)["b"];
        view.nodes.insert("b".to_owned(), node(true));
        assert_eq!(settle(&mut view), had, "and nobody else's moves");
        assert_eq!(shares(&view)["b"], 0);
    }

    #[test]
    fn the_last_node_keeps_what_it_has_when_it_drains() {
        let mut view = view(&["a"]);
        settle(&mut view);
        view.nodes.insert("a".to_owned(), node(true));
        assert_eq!(plan(&view, "a", SHARDS, |_| false), Plan::default());
        view.owners.remove(&ShardId(3));
        assert_eq!(plan(&view, "a", SHARDS, |_| false), Plan::default());
    }

    /// Notes that a node cannot take a shard.
    fn fail(view: &mut View, node: &str, shard: ShardId) {
        view.nodes.get_mut(node).expect("a node").unable.push(shard.0);
    }

    #[test]
    fn a_shard_that_a_node_cannot_take_is_the_others_as_long_as_one_of_them_can() {
        let mut view = view(&["a", "b", "c"]);
        settle(&mut view);
        let shard = ShardId(3);
        for _ in 0..2 {
            let home = view.owners.remove(&shard).expect("an owner").node;
            fail(&mut view, &home, shard);
            assert_eq!(settle(&mut view), 0);
            assert_ne!(view.owners[&shard].node, home, "another one takes it");
            assert!(balance(&view, SHARDS).is_empty(), "and keeps it");
            wish(&mut view, vec![(shard, home)], false);
            assert_eq!(settle(&mut view), 0, "also if it is wished back");
        }
        // Nobody can: then its first home goes on trying.
        let last = view.owners.remove(&shard).expect("an owner").node;
        fail(&mut view, &last, shard);
        assert_eq!(settle(&mut view), 0);
    }

    #[test]
    fn who_is_no_node_claims_nothing() {
        assert_eq!(plan(&view(&["a"]), "b", SHARDS, |_| false), Plan::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_node_that_dies_moves_its_own_shards_and_no_others(names in prop::collection::btree_set("[a-z]{1,8}", 2..9)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut view = view(&names);
            settle(&mut view);
            let before = view.owners.clone();
            let dead = names[0];
            view.nodes.remove(dead);
            view.owners.retain(|_, owner| owner.node != dead);
            prop_assert_eq!(settle(&mut view), 0);
            for (shard, owner) in &before {
                prop_assert!(owner.node == dead || view.owners[shard] == *owner);
            }
        }
    }
}
