//! A shard's state as a checkpoint keeps it: whole, or what changed since the last one.

use super::orders::{Chunk, OrderTable};
use super::state::{ItemState, Stock};
use super::violation::{Broken, Violation};
use crate::ids::{OrderId, ShardId, Timestamp};
use crate::payment::OrderPayments;
use std::sync::Arc;

/// What changed since the last capture: a checkpoint's increment, cheap to take because chunks are
/// shared and copied only when written again.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The shard whose state it is.
    pub shard: ShardId,
    /// State as of this record.
    pub seq: u64,
    /// When that record was decided.
    pub at: Timestamp,
    /// The newest order's identity.
    pub last_order_id: OrderId,
    /// Changed items: position and state.
    pub items: Vec<(u32, ItemState)>,
    /// Changed chunks of orders: number and content, `None` where all its orders were released.
    pub chunks: Vec<(u32, Option<Arc<Chunk>>)>,
    /// Changed payments: their order and what there is of it now, `None` where it was released.
    pub payments: Vec<(OrderId, Option<OrderPayments>)>,
    /// Of how many orders there are payments in all, so that a store can tell whether it has lost some.
    pub payment_count: usize,
}

/// A whole checkpoint, as a store gives it back.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// State as of this record.
    pub seq: u64,
    /// When that record was decided.
    pub at: Timestamp,
    /// The newest order's identity.
    pub last_order_id: OrderId,
    /// All items, by position from 0 without a gap.
    pub items: Vec<ItemState>,
    /// All chunks of orders, by number from 0; `None` where its orders were released.
    pub chunks: Vec<Option<Arc<Chunk>>>,
    /// The payments of each order that has some, by ascending order.
    pub payments: Vec<OrderPayments>,
}

impl Stock {
    /// The shard as of a checkpoint.
    ///
    /// # Errors
    /// Returns [`Violation`] if the snapshot contradicts itself: it is not to be used.
    pub fn restore(shard: ShardId, snapshot: Snapshot) -> Result<Self, Violation> {
        let mut stock = Self::new(shard);
        stock.seq = snapshot.seq;
        stock.at = snapshot.at;
        stock.last_order_id = snapshot.last_order_id;
        for item in snapshot.items {
            stock.insert_item(item).map_err(|broken| broken.at(shard, snapshot.seq))?;
        }
        for cursor in &mut stock.expiries {
            cursor.slot = 0;
        }
        stock.orders = OrderTable::restore(snapshot.chunks);
        stock.rebuild_buyers().map_err(|broken| broken.at(shard, snapshot.seq))?;
        for payments in snapshot.payments {
            stock.insert_payments(payments).map_err(|broken| broken.at(shard, snapshot.seq))?;
        }
        stock.dirty_items.fill(false);
        Ok(stock)
    }

    fn rebuild_buyers(&mut self) -> Result<(), Broken> {
        let mut last = OrderId(0);
        for slot in 0..self.orders.len() {
            let Some(entry) = self.orders.get(slot).copied() else { continue };
            let known = (entry.item as usize) < self.items.len();
            if entry.order_id <= last || entry.order_id.shard() != self.shard || !known {
                let order_id = entry.order_id;
                return Err(Broken::form(format!(
                    "the checkpoint holds order {order_id} out of place"
                )));
            }
            last = entry.order_id;
            self.buyers.set(&self.orders, entry.item, entry.user_id, slot);
        }
        Ok(())
    }

    /// What changed since the last call: the next checkpoint's increment.
    pub fn take_changes(&mut self) -> Changes {
        let mut items = Vec::new();
        for (position, dirty) in self.dirty_items.iter_mut().enumerate() {
            if std::mem::take(dirty) {
                items.push((position as u32, self.items[position].clone()));
            }
        }
        Changes {
            shard: self.shard,
            seq: self.seq,
            at: self.at,
            last_order_id: self.last_order_id,
            items,
            chunks: self.orders.take_dirty(),
            payments: self.payments.take_dirty(),
            payment_count: self.payments.len(),
        }
    }

    /// Marks changes as not yet kept by any checkpoint: their write failed.
    pub fn put_back(&mut self, changes: &Changes) {
        assert_eq!(changes.shard, self.shard, "positions and chunks are numbered within a shard");
        for (position, _) in &changes.items {
            self.dirty_items[*position as usize] = true;
        }
        for (chunk, _) in &changes.chunks {
            self.orders.mark_dirty(*chunk);
        }
        for (order_id, _) in &changes.payments {
            self.payments.mark_dirty(*order_id);
        }
    }

    /// The whole state, for a first checkpoint or a comparison (I9).
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            seq: self.seq,
            at: self.at,
            last_order_id: self.last_order_id,
            items: self.items.clone(),
            chunks: self.orders.chunks(),
            payments: self.payments.all(),
        }
    }
}
