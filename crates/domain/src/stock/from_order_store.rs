//! A shard's state from the books: its items and orders as the order store has them.
//!
//! The way back when neither checkpoint nor journal reach far enough. Must not know where the rows
//! come from.

use super::orders::{Entry, NO_SLOT};
use super::{ItemState, Stock, Violation};
use crate::ids::{ShardId, Timestamp};
use crate::order::{Order, OrderStatus};

impl Stock {
    /// The state as of record `seq`: items in the order of their preheat with nothing sold, and all
    /// orders with the number of their last record, by ascending identity.
    ///
    /// # Errors
    /// Where the rows contradict each other.
    pub fn from_order_store(
        shard: ShardId,
        seq: u64,
        at: Timestamp,
        items: Vec<ItemState>,
        orders: impl IntoIterator<Item = (Order, u64)>,
    ) -> Result<Self, Violation> {
        let violation = |invariant: &'static str, detail: String| Violation {
            shard: shard.0,
            seq,
            invariant,
            detail,
        };
        let mut stock = Self::new(shard);
        stock.seq = seq;
        stock.at = at;
        for item in items {
            stock.insert_item(item)?;
        }
        for (order, version) in orders {
            let position = stock
                .position(order.item_id)
                .ok_or_else(|| violation("I4", format!("order {} of no item", order.order_id)))?;
            if order.order_id <= stock.last_order_id || order.order_id.shard() != shard {
                return Err(violation("I9", format!("order {} out of place", order.order_id)));
            }
            stock.at = stock.at.max(order.created_at());
            stock.last_order_id = order.order_id;
            let units = u32::from(order.quantity);
            let item = &mut stock.items[position as usize];
            item.last_seq = item.last_seq.max(version);
            let counters = &mut item.counters;
            let counter = match order.status {
                OrderStatus::Reserved => Some(&mut counters.reserved),
                OrderStatus::Paid => Some(&mut counters.sold),
                OrderStatus::Cancelled | OrderStatus::Expired | OrderStatus::RefundDue => None,
            };
            if let Some(counter) = counter {
                *counter += units;
                counters.available = counters
                    .available
                    .checked_sub(units)
                    .ok_or_else(|| violation("I2", "the books are oversold".to_owned()))?;
            }
            if item.settled {
                continue;
            }
            let newest = stock.buyers.find(&stock.orders, position, order.user_id);
            let live_before =
                newest.and_then(|slot| stock.orders.get(slot)).map_or(0, |entry| entry.live_units);
            let live = if order.status.is_live() { order.quantity } else { 0 };
            let slot = stock.orders.push(Entry {
                order_id: order.order_id,
                user_id: order.user_id,
                request_id: order.request_id,
                item: position,
                previous: newest.unwrap_or(NO_SLOT),
                quantity: order.quantity,
                attempt: order.attempt,
                live_units: live_before.saturating_add(live),
                status: order.status as u8,
            });
            stock.buyers.set(&stock.orders, position, order.user_id, slot);
        }
        Ok(stock)
    }
}
