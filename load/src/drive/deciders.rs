//! Who decides what in a shop of several nodes, for clients who are to enter elsewhere.

use std::net::SocketAddr;

use domain::OrderId;

use super::dispatcher::Action;

/// Who decides what, for clients who are to enter elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deciders {
    /// The node that decides about each item, by the item's number.
    pub items: Vec<SocketAddr>,
    /// The node that serves each shard, if one does.
    pub shards: Vec<Option<SocketAddr>>,
}

impl Deciders {
    /// The node that decides this; none that is known.
    pub(super) fn of(&self, action: Action) -> Option<SocketAddr> {
        match action {
            Action::Buy { item, .. } | Action::View { item, .. } => {
                self.items.get(item as usize).copied()
            }
            Action::Pay { order, .. } | Action::Cancel { order, .. } => {
                self.shards.get(OrderId(order).shard().index()).copied().flatten()
            }
        }
    }
}
