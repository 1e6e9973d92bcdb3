//! Facts: what a shard has decided. A shard's state is the fold of its records, and nothing else.

use crate::ids::{ItemId, ShardId, Timestamp};
use crate::order::Order;
use crate::sale::ItemTerms;

/// One fact. Refusals are none: only what changes an order or an item is journalled, so that the
/// log is bounded by stock and not by traffic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// An item was preheated into its shard.
    ItemOpened(ItemTerms),
    /// Units were added to an item's allotment.
    ItemRestocked {
        /// Which item.
        item_id: ItemId,
        /// How many units, at least 1.
        units: u32,
    },
    /// An item stopped selling for the moment.
    ItemPaused(ItemId),
    /// An item sells again.
    ItemResumed(ItemId),
    /// An item stopped selling for good.
    ItemEnded(ItemId),
    /// The shard let go of an ended item and of its orders, which the order store holds.
    ItemSettled(ItemId),
    /// An order, as it is from now on: `Reserved` is the grant, any other status a change. Whole, so
    /// that a reader needs no other record to make a row of it.
    Order(Order),
}

/// A fact in a shard's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Whose log.
    pub shard: ShardId,
    /// The record's dense number in that log, from 1 (I5). Also the version of the order in it.
    pub seq: u64,
    /// When it was decided; never goes back within a shard.
    pub at: Timestamp,
    /// What was decided.
    pub event: Event,
}
