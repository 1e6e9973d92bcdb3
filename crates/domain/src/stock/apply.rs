//! What a fact changes. The only code that touches the state, live and in recovery.

use super::orders::{Entry, NO_SLOT};
use super::{ExpiryCursor, ItemState, SPARE_ATTEMPTS, Stock};
use crate::event::{Event, Record};
use crate::ids::{ItemId, OrderId};
use crate::invariants;
use crate::order::{Order, OrderStatus};
use crate::sale::{ALLOTTED_MAX, ItemCounters, ItemPhase};

/// A record that contradicts the state it is applied to: a bug, or a log that is not the shard's.
/// The state is as it was before.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("record {seq} of shard {shard} breaks {invariant}: {detail}")]
pub struct Violation {
    /// The shard's number.
    pub shard: u16,
    /// The record's number.
    pub seq: u64,
    /// Which numbered invariant.
    pub invariant: &'static str,
    /// What was found.
    pub detail: String,
}

impl Stock {
    /// Applies a record.
    ///
    /// # Errors
    /// Where the record does not follow from the state; nothing is changed then.
    pub fn apply(&mut self, record: &Record) -> Result<(), Violation> {
        let violation = |(invariant, detail)| Violation {
            shard: self.shard.0,
            seq: record.seq,
            invariant,
            detail,
        };
        invariants::i5_dense(self.seq, record.seq).map_err(|d| violation(("I5", d)))?;
        match &record.event {
            Event::Order(order) if order.status == OrderStatus::Reserved => {
                self.place(record.seq, order).map_err(violation_of(self.shard.0, record.seq))?;
            }
            Event::Order(order) => {
                self.change(record.seq, order).map_err(violation_of(self.shard.0, record.seq))?;
            }
            event => {
                self.operate(record.seq, event).map_err(violation_of(self.shard.0, record.seq))?;
            }
        }
        self.seq = record.seq;
        self.at = self.at.max(record.at);
        Ok(())
    }

    fn place(&mut self, seq: u64, order: &Order) -> Result<(), Broken> {
        let position = self.position(order.item_id).ok_or(broken("I4", "unknown item"))?;
        let item = &self.items[position as usize];
        if order.order_id <= self.last_order_id {
            return Err(broken("I7", "order id does not grow"));
        }
        if order.order_id.shard() != self.shard {
            return Err(broken("I15", "order of another shard"));
        }
        invariants::i14_price(item.terms.price, order.quantity, order.amount)
            .map_err(|detail| ("I14", detail))?;
        let counters = item.counters.reserve(u32::from(order.quantity))?;
        let newest = self.buyers.find(&self.orders, position, order.user_id);
        let (live_units, attempts) = newest
            .and_then(|slot| self.orders.get(slot))
            .map_or((0, 0), |entry| (entry.live_units, entry.attempt));
        let live_units = live_units.saturating_add(order.quantity);
        let limit = item.terms.limit_per_user;
        invariants::i6_limit(limit, live_units).map_err(|detail| ("I6", detail))?;
        if order.attempt != attempts + 1 || attempts >= limit + SPARE_ATTEMPTS {
            return Err(broken("I6", "attempts are not dense or too many"));
        }

        let slot = self.orders.push(Entry {
            order_id: order.order_id,
            user_id: order.user_id,
            request_id: order.request_id,
            item: position,
            previous: newest.unwrap_or(NO_SLOT),
            quantity: order.quantity,
            attempt: order.attempt,
            live_units,
            status: OrderStatus::Reserved as u8,
        });
        self.buyers.set(&self.orders, position, order.user_id, slot);
        self.last_order_id = order.order_id;
        self.touch_item(position, seq, counters);
        Ok(())
    }

    fn change(&mut self, seq: u64, order: &Order) -> Result<(), Broken> {
        let slot = self.orders.find(order.order_id).ok_or(broken("I4", "unknown order"))?;
        let Some(entry) = self.orders.get(slot).copied() else {
            return Err(broken("I4", "unknown order"));
        };
        let before = self.view(&entry);
        if !before.same_purchase(order) {
            return Err(broken("I4", "the order's content differs"));
        }
        invariants::i10_ends_once(before.status, order.status).map_err(|detail| ("I10", detail))?;
        let counters = self.items[entry.item as usize].counters;
        let units = u32::from(entry.quantity);
        let counters = match (before.status, order.status) {
            (OrderStatus::Reserved, OrderStatus::Paid) => counters.sell(units)?,
            (OrderStatus::Reserved, _) => counters.release(units)?,
            _ => counters,
        };
        if before.status.is_live() && !order.status.is_live() {
            let newest = self
                .buyers
                .find(&self.orders, entry.item, entry.user_id)
                .ok_or(broken("I6", "buyer without orders"))?;
            self.orders.update(newest, |newest| {
                newest.live_units = newest.live_units.saturating_sub(entry.quantity);
            });
        }
        self.orders.update(slot, |entry| entry.status = order.status as u8);
        self.touch_item(entry.item, seq, counters);
        Ok(())
    }

    fn operate(&mut self, seq: u64, event: &Event) -> Result<(), Broken> {
        match event {
            Event::ItemOpened(terms) => {
                let item = ItemState {
                    terms: terms.clone(),
                    phase: ItemPhase::Open,
                    counters: terms.counters(),
                    settled: false,
                    last_seq: seq,
                };
                self.insert_item(item)
                    .map_err(|violation| (violation.invariant, violation.detail))?;
            }
            Event::ItemRestocked { item_id, units } => {
                let position = self.known(*item_id)?;
                let counters = self.items[position as usize].counters.restock(*units)?;
                self.touch_item(position, seq, counters);
            }
            Event::ItemPaused(item_id) => self.set_phase(*item_id, seq, ItemPhase::Paused)?,
            Event::ItemResumed(item_id) => self.set_phase(*item_id, seq, ItemPhase::Open)?,
            Event::ItemEnded(item_id) => self.set_phase(*item_id, seq, ItemPhase::Ended)?,
            Event::ItemSettled(item_id) => {
                let position = self.known(*item_id)?;
                if self.items[position as usize].counters.reserved > 0 {
                    return Err(broken("I10", "settled with reserved units"));
                }
                self.let_go(position);
                self.items[position as usize].settled = true;
                let counters = self.items[position as usize].counters;
                self.touch_item(position, seq, counters);
            }
            Event::Order(_) => return Err(broken("I4", "an order is not an operation")),
        }
        Ok(())
    }

    pub(super) fn insert_item(&mut self, item: ItemState) -> Result<(), Violation> {
        let violation = |detail: &str| Violation {
            shard: self.shard.0,
            seq: item.last_seq,
            invariant: "I1",
            detail: detail.to_owned(),
        };
        if self.positions.contains_key(&item.terms.item_id) {
            return Err(violation("item opened twice"));
        }
        invariants::i1_balance(&item.counters).map_err(|detail| violation(&detail))?;
        let position = u32::try_from(self.items.len()).map_err(|_| violation("too many items"))?;
        self.positions.insert(item.terms.item_id, position);
        let window_milliseconds = item.terms.payment_window_milliseconds;
        if self.expiries.iter().all(|cursor| cursor.window_milliseconds != window_milliseconds) {
            self.expiries.push(ExpiryCursor { window_milliseconds, slot: self.orders.len() });
        }
        let expected = self.orders.held() + item.counters.allotted as usize;
        self.buyers.reserve(&self.orders, expected);
        self.items.push(item);
        self.dirty_items.push(true);
        Ok(())
    }

    pub(super) fn rebuild_buyers(&mut self) -> Result<(), Violation> {
        let mut last = OrderId(0);
        for slot in 0..self.orders.len() {
            let Some(entry) = self.orders.get(slot).copied() else { continue };
            let known = (entry.item as usize) < self.items.len();
            if entry.order_id <= last || entry.order_id.shard() != self.shard || !known {
                return Err(Violation {
                    shard: self.shard.0,
                    seq: self.seq,
                    invariant: "I9",
                    detail: format!("checkpoint holds order {} out of place", entry.order_id),
                });
            }
            last = entry.order_id;
            self.buyers.set(&self.orders, entry.item, entry.user_id, slot);
        }
        Ok(())
    }

    fn let_go(&mut self, position: u32) {
        for slot in 0..self.orders.len() {
            let Some(entry) = self.orders.get(slot).copied() else { continue };
            if entry.item == position {
                self.buyers.remove(&self.orders, position, entry.user_id);
            }
        }
        for slot in 0..self.orders.len() {
            if self.orders.get(slot).is_some_and(|entry| entry.item == position) {
                self.orders.vacate(slot);
            }
        }
    }

    fn set_phase(&mut self, item_id: ItemId, seq: u64, phase: ItemPhase) -> Result<(), Broken> {
        let position = self.known(item_id)?;
        let item = &mut self.items[position as usize];
        if item.phase == ItemPhase::Ended {
            return Err(broken("I10", "the item has ended"));
        }
        item.phase = phase;
        let counters = item.counters;
        self.touch_item(position, seq, counters);
        Ok(())
    }

    fn known(&self, item_id: ItemId) -> Result<u32, Broken> {
        self.position(item_id).ok_or(broken("I4", "unknown item"))
    }

    fn touch_item(&mut self, position: u32, seq: u64, counters: ItemCounters) {
        let item = &mut self.items[position as usize];
        debug_assert_eq!(invariants::i1_balance(&counters), Ok(()), "each step keeps the balance");
        item.counters = counters;
        item.last_seq = seq;
        self.dirty_items[position as usize] = true;
    }
}

/// The broken invariant and what was found.
type Broken = (&'static str, String);

fn broken(invariant: &'static str, detail: &str) -> Broken {
    (invariant, detail.to_owned())
}

fn violation_of(shard: u16, seq: u64) -> impl Fn(Broken) -> Violation {
    move |(invariant, detail)| Violation { shard, seq, invariant, detail }
}

impl ItemCounters {
    fn reserve(self, units: u32) -> Result<Self, Broken> {
        let available = self.available.checked_sub(units).ok_or(broken("I2", "oversold"))?;
        let reserved = self.reserved.checked_add(units).ok_or(broken("I2", "overflow"))?;
        Ok(Self { available, reserved, ..self })
    }

    fn sell(self, units: u32) -> Result<Self, Broken> {
        let reserved = self.reserved.checked_sub(units).ok_or(broken("I2", "not reserved"))?;
        let sold = self.sold.checked_add(units).ok_or(broken("I2", "overflow"))?;
        Ok(Self { reserved, sold, ..self })
    }

    fn release(self, units: u32) -> Result<Self, Broken> {
        let reserved = self.reserved.checked_sub(units).ok_or(broken("I2", "not reserved"))?;
        let available = self.available.checked_add(units).ok_or(broken("I2", "overflow"))?;
        Ok(Self { reserved, available, ..self })
    }

    fn restock(self, units: u32) -> Result<Self, Broken> {
        let allotted = self
            .allotted
            .checked_add(units)
            .filter(|allotted| *allotted <= ALLOTTED_MAX)
            .ok_or(broken("I2", "allotment out of range"))?;
        Ok(Self { allotted, available: self.available + units, ..self })
    }
}
