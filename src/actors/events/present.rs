//! How far a replay is with orders whose records the journal has no longer. Pure.
//!
//! What is stored of an order up to the last record that was deleted is complete, because nothing is deleted before it
//! is stored; an order with a later record is told by the journal, whose events have all of it.

use crate::store::orders::StoredOrder;
use domain::{OrderId, ShardId};
use std::collections::BTreeMap;

/// The first replay of a receiver. Before it, it was told what happened from then on.
const FIRST_REPLAY: u64 = 2;

/// How far a replay is with what the journal has no longer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Present {
    /// The how-many-eth time it is that the receiver is told.
    generation: u64,
    /// Up to which record the journal has lost each shard that is told here.
    cut: BTreeMap<ShardId, u64>,
    /// The last order that was told, or passed over.
    after: OrderId,
}

impl Present {
    /// What is to be told in this generation: of shards of which nothing was confirmed in it yet, and whose log was
    /// cut up to the given record.
    pub(super) fn of(generation: u64, cut: impl Iterator<Item = (ShardId, u64)>) -> Self {
        let cut = if generation < FIRST_REPLAY { BTreeMap::new() } else { cut.collect() };
        Self { generation, cut, after: OrderId(0) }
    }

    /// Whether there is nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.cut.is_empty()
    }

    /// Goes on where this was if it is the same that is told.
    pub(super) fn going_on(self, before: &Self) -> Self {
        if before.is_of(&self) { before.clone() } else { self }
    }

    /// The last order that was told, or passed over.
    pub(super) fn after(&self) -> OrderId {
        self.after
    }

    /// Notes that all up to this order was told.
    pub(super) fn pass(&mut self, order_id: OrderId) {
        self.after = order_id;
    }

    /// Up to which record each shard is told by this.
    pub(super) fn ends(&self) -> impl Iterator<Item = (ShardId, u64)> {
        self.cut.iter().map(|(shard, seq)| (*shard, *seq))
    }

    /// Whether it is the same that is told: what was begun can go on.
    fn is_of(&self, other: &Self) -> bool {
        self.generation == other.generation && self.cut == other.cut
    }

    /// Whether the order's newest record is one that the journal has lost.
    pub(super) fn has_lost(&self, row: &StoredOrder) -> bool {
        let cut = self.cut.get(&row.order.order_id.shard());
        cut.is_some_and(|cut| row.version <= *cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_replay_tells_what_the_journal_has_lost() {
        let cut = || [(ShardId(1), 7), (ShardId(2), 9)].into_iter();
        assert!(Present::of(1, cut()).cut.is_empty());
        let second = Present::of(2, cut());
        assert_eq!(second.cut.len(), 2);
        let further = Present { after: OrderId(5), ..second.clone() };
        assert!(further.is_of(&second), "it goes on");
        assert!(!further.is_of(&Present::of(3, cut())), "another replay begins anew");
        assert!(!further.is_of(&Present::of(2, cut().take(1))), "with other shards, too");
    }
}
