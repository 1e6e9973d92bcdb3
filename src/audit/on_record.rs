//! What a log says, as an audit compares it: each order as of the record that the order store has reached.

use domain::{OrderId, OrderStatus, Record, ShardId};
use std::collections::{BTreeMap, HashMap};

/// What the journal says, as far as the order store can be compared with it.
#[derive(Default)]
pub(super) struct OnRecord {
    pub(super) orders: HashMap<OrderId, OrderOnRecord>,
    /// Records that are not of an order.
    pub(super) items: BTreeMap<(ShardId, u64), Record>,
}

/// An order's status by its records' numbers.
#[derive(Clone, Copy)]
pub(super) struct OrderOnRecord {
    /// As of the record that the order store has reached, if the order was placed by then.
    pub(super) reached: Option<(u64, OrderStatus)>,
    /// As of the last record.
    pub(super) last: (u64, OrderStatus),
    /// As of the first: a grant, unless that was deleted from the journal.
    pub(super) first: OrderStatus,
}

impl OnRecord {
    /// Takes a record in, of whose shard the order store has reached the record `reached`. Records
    /// of one shard come in their order.
    pub(super) fn add(&mut self, record: &Record, reached: u64) {
        let Some(order) = record.event.changed_order() else {
            if record.event.order().is_none() {
                self.items.insert((record.shard, record.seq), record.clone());
            }
            return;
        };
        let last = (record.seq, order.status);
        let none_yet = OrderOnRecord { reached: None, last, first: order.status };
        let on_record = self.orders.entry(order.order_id).or_insert(none_yet);
        on_record.last = last;
        if record.seq <= reached {
            on_record.reached = Some(last);
        }
    }
}
