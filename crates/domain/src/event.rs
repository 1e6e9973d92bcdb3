//! Facts: what a shard has decided. A shard's state is the fold of its records, and nothing else.

use crate::buckets::Transfer;
use crate::ids::{ItemId, ShardId, Timestamp};
use crate::operation::Operation;
use crate::order::Order;
use crate::payment::PaymentRecord;
use crate::sale::ItemTerms;

/// One fact. Refusals are none: only what changes an order or an item is journalled, so that the
/// log is bounded by stock and not by traffic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// An item was preheated into its shard.
    ItemOpened(ItemTerms),
    /// An operator changed an item.
    ItemOperated(Operation),
    /// A bucket of an item has sent units to another one.
    UnitsSent(Transfer),
    /// A bucket of an item has got the units of another one.
    UnitsReceived(Transfer),
    /// The units that a bucket has sent have arrived.
    TransferSettled(Transfer),
    /// The shard released the orders of an ended item, which the order store holds.
    ItemSettled(ItemId),
    /// An order, as it is from now on: `Reserved` is the grant, any other status a change. Whole, so
    /// that a reader needs no other record to make a row of it.
    Order(Order),
    /// A payment, as it is from now on, and its order likewise.
    Payment(Box<PaymentRecord>),
}

impl Event {
    /// The item that it concerns.
    pub fn item_id(&self) -> ItemId {
        match self {
            Self::ItemOpened(terms) => terms.item_id,
            Self::ItemOperated(operation) => operation.item_id,
            Self::UnitsSent(transfer)
            | Self::UnitsReceived(transfer)
            | Self::TransferSettled(transfer) => transfer.item_id,
            Self::ItemSettled(item_id) => *item_id,
            Self::Order(order) => order.item_id,
            Self::Payment(record) => record.order.item_id,
        }
    }

    /// The order as it is from now on, if the event concerns one.
    pub fn order(&self) -> Option<&Order> {
        match self {
            Self::Order(order) => Some(order),
            Self::Payment(record) => Some(&record.order),
            _ => None,
        }
    }

    /// The order as it is from now on, if the event brings it into being or to another status.
    pub fn changed_order(&self) -> Option<&Order> {
        match self {
            Self::Payment(record) if record.status_before == record.order.status => None,
            event => event.order(),
        }
    }
}

/// A fact in a shard's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The shard in whose log it is.
    pub shard: ShardId,
    /// The record's dense number in that log, from 1 (I5). Also the version of the order in it.
    pub seq: u64,
    /// When it was decided; never goes back within a shard.
    pub at: Timestamp,
    /// What was decided.
    pub event: Event,
}
