//! What operators want of a cluster's nodes. A wish is a key that the nodes follow, so that who wishes needs
//! to reach nothing else; one that nobody fulfils in time ends by itself.

use domain::ShardId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All that is wanted now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wishes {
    /// The nodes that are to give their shards away and take none, whether they live or not.
    pub drains: BTreeMap<String, DrainWish>,
    /// The shards that are to be elsewhere.
    pub moves: BTreeMap<ShardId, MoveWish>,
}

/// That a node gives its shards away, one by one, and takes none until this is taken back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrainWish {
    /// Who wants it.
    pub by: String,
}

/// That a shard is served by another node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MoveWish {
    /// The node that is to serve it.
    pub to: String,
    /// Whether it stays where it is while a sale of its items is on.
    pub spares_sales: bool,
    /// Who wants it.
    pub by: String,
    /// Drawn at random, so that a wish is told from the next one.
    pub nonce: u64,
}

impl Wishes {
    /// Whether the node is to be drained.
    pub fn drain(&self, node: &str) -> bool {
        self.drains.contains_key(node)
    }
}
