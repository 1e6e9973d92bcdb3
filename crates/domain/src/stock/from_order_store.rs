//! A shard's state from the order store: its items and orders as their rows have them.
//!
//! The way back when neither checkpoint nor journal reach far enough. Must not know where the rows
//! come from.

use super::orders::{Entry, NO_SLOT};
use super::state::{ItemState, Stock};
use super::violation::{Broken, Violation};
use crate::ids::{ShardId, Timestamp};
use crate::invariants::{Invariant, i2_not_below_zero};
use crate::order::{Order, OrderStatus};
use crate::payment::OrderPayments;
use crate::sale::ItemCounters;

impl Stock {
    /// The state as of record `seq`: items in the order of their preheat with nothing sold, and all
    /// orders with the number of their last record, by ascending identity; then the payments of those orders that
    /// are kept, with the number of the last record of any of them.
    ///
    /// # Errors
    /// Returns [`Violation`] if the rows contradict each other.
    pub fn from_order_store(
        shard: ShardId,
        seq: u64,
        at: Timestamp,
        items: Vec<ItemState>,
        orders: impl IntoIterator<Item = (Order, u64)>,
        payments: impl IntoIterator<Item = (OrderPayments, u64)>,
    ) -> Result<Self, Violation> {
        let mut stock = Self::new(shard);
        stock.seq = seq;
        stock.at = at;
        for item in items {
            stock.insert_item(item).map_err(|broken| broken.at(shard, seq))?;
        }
        for (order, version) in orders {
            stock.insert_order(&order, version).map_err(|broken| broken.at(shard, seq))?;
        }
        for (payments, version) in payments {
            stock.insert_stored(payments, version).map_err(|broken| broken.at(shard, seq))?;
        }
        Ok(stock)
    }

    /// Payments of a settled item are kept while one of them is to be refunded, as when it was settled.
    fn insert_stored(&mut self, stored: OrderPayments, version: u64) -> Result<(), Broken> {
        let position = self.known(stored.order.item_id)?;
        let item = &mut self.items[position as usize];
        item.last_seq = item.last_seq.max(version);
        if !item.settled || stored.has_refund_due() {
            self.insert_payments(stored)?;
        }
        Ok(())
    }

    fn insert_order(&mut self, order: &Order, version: u64) -> Result<(), Broken> {
        let order_id = order.order_id;
        let position = self
            .position(order.item_id)
            .ok_or_else(|| Broken::form(format!("order {order_id} is of an unknown item")))?;
        if order_id <= self.last_order_id || order_id.shard() != self.shard {
            return Err(Broken::form(format!("order {order_id} is out of place")));
        }
        self.at = self.at.max(order.created_at());
        self.last_order_id = order_id;
        let item = &mut self.items[position as usize];
        item.last_seq = item.last_seq.max(version);
        item.counters.count(order)?;
        if item.settled {
            return Ok(());
        }
        let newest = self.buyers.find(&self.orders, position, order.user_id);
        let live_before =
            newest.and_then(|slot| self.orders.get(slot)).map_or(0, |entry| entry.live_units);
        let live = if order.status.is_live() { order.quantity } else { 0 };
        let slot = self.orders.push(Entry {
            order_id,
            user_id: order.user_id,
            request_id: order.request_id,
            item: position,
            previous: newest.unwrap_or(NO_SLOT),
            quantity: order.quantity,
            attempt: order.attempt,
            live_units: live_before.saturating_add(live),
            status: Some(order.status),
        });
        self.buyers.set(&self.orders, position, order.user_id, slot);
        Ok(())
    }
}

impl ItemCounters {
    /// Counts an order's units where its status has them.
    fn count(&mut self, order: &Order) -> Result<(), Broken> {
        let units = u32::from(order.quantity);
        let counter = match order.status {
            OrderStatus::Reserved => &mut self.reserved,
            OrderStatus::Paid => &mut self.sold,
            OrderStatus::Cancelled | OrderStatus::Expired | OrderStatus::RefundDue => return Ok(()),
        };
        i2_not_below_zero("available", i64::from(self.available) - i64::from(units))
            .map_err(Broken::invariant(Invariant::I2))?;
        *counter += units;
        self.available -= units;
        Ok(())
    }
}
