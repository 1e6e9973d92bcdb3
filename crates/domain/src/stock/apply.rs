//! What a fact changes. The only code that touches the state, live and in recovery.

use super::orders::{Entry, NO_SLOT};
use super::state::{ExpiryCursor, ItemState, Stock};
use super::violation::{Broken, Violation};
use crate::event::{Event, Record};
use crate::exchange::Exchange;
use crate::ids::ItemId;
use crate::invariants::{
    Invariant, i1_balance, i2_not_below_zero, i5_dense, i6_limit, i7_granted_once, i10_ends_once,
    i14_price,
};
use crate::operation::{self, ItemAction, Operation};
use crate::order::{Order, OrderStatus};
use crate::sale::{ALLOTTED_MAX, ItemCounters, ItemPhase, SPARE_ATTEMPTS};

impl Stock {
    /// Applies a record.
    ///
    /// # Errors
    /// Returns [`Violation`] if the record does not follow from the state; nothing is changed then.
    pub fn apply(&mut self, record: &Record) -> Result<(), Violation> {
        debug_assert_eq!(record.shard, self.shard, "numbers and orders are a shard's own");
        self.apply_event(record.seq, &record.event)
            .map_err(|broken| broken.at(self.shard, record.seq))?;
        self.seq = record.seq;
        self.at = self.at.max(record.at);
        Ok(())
    }

    fn apply_event(&mut self, seq: u64, event: &Event) -> Result<(), Broken> {
        i5_dense(self.seq, seq).map_err(Broken::invariant(Invariant::I5))?;
        match event {
            Event::Order(order) if order.status == OrderStatus::Reserved => self.place(seq, order),
            Event::Order(order) => self.change(seq, order),
            Event::Payment(record) => self.enter_payment(seq, record),
            Event::ItemOpened(terms) => {
                let opened = ItemState::opened(terms.clone(), self.shard, seq);
                self.insert_item(
                    opened.ok_or_else(|| Broken::form("no bucket of the item is here"))?,
                )
            }
            Event::UnitsSent(transfer) => {
                self.exchange(transfer, seq, Exchange::send, ItemCounters::reduce)
            }
            Event::UnitsReceived(transfer) => {
                self.exchange(transfer, seq, Exchange::receive, ItemCounters::restock)
            }
            Event::TransferSettled(transfer) => {
                self.exchange(transfer, seq, Exchange::settle, |counters, _| Ok(counters))
            }
            Event::ItemOperated(operation) => self.operate_item(operation, seq),
            Event::ItemSettled(item_id) => self.settle_item(*item_id, seq),
        }
    }

    fn place(&mut self, seq: u64, order: &Order) -> Result<(), Broken> {
        let position = self.known(order.item_id)?;
        let item = &self.items[position as usize];
        let newest = self.buyers.find(&self.orders, position, order.user_id);
        let earlier = newest.and_then(|slot| self.orders.of_request(slot, order.request_id));
        i7_granted_once(earlier.map(|entry| entry.order_id), order.order_id)
            .map_err(Broken::invariant(Invariant::I7))?;
        if item.settled {
            return Err(Broken::form("the item was settled"));
        }
        if order.order_id.shard() != self.shard {
            return Err(Broken::form("the order is another shard's"));
        }
        if !self.has_bucket_of(item, order.user_id) {
            return Err(Broken::form("the order is in another bucket than its buyer"));
        }
        if order.order_id <= self.last_order_id {
            return Err(Broken::form("the order's id does not grow"));
        }
        let (live_before, attempts) = newest
            .and_then(|slot| self.orders.get(slot))
            .map_or((0, 0), |entry| (entry.live_units, entry.attempt));
        let limit = item.terms.limit_per_user;
        if attempts >= limit.saturating_add(SPARE_ATTEMPTS) || order.attempt != attempts + 1 {
            return Err(Broken::form("attempts are not dense or too many"));
        }
        i14_price(item.terms.price, order.quantity, order.amount)
            .map_err(Broken::invariant(Invariant::I14))?;
        let counters = item.counters.reserve(u32::from(order.quantity))?;
        let live_units = live_before.saturating_add(order.quantity);
        i6_limit(u32::from(limit), u32::from(live_units))
            .map_err(Broken::invariant(Invariant::I6))?;

        let slot = self.orders.push(Entry {
            order_id: order.order_id,
            user_id: order.user_id,
            request_id: order.request_id,
            item: position,
            previous: newest.unwrap_or(NO_SLOT),
            quantity: order.quantity,
            attempt: order.attempt,
            live_units,
            status: Some(OrderStatus::Reserved),
        });
        self.buyers.set(&self.orders, position, order.user_id, slot);
        self.last_order_id = order.order_id;
        self.touch_item(position, seq, counters);
        Ok(())
    }

    pub(super) fn change(&mut self, seq: u64, order: &Order) -> Result<(), Broken> {
        let unknown = || Broken::form("the order was never granted");
        let slot = self.orders.find(order.order_id).ok_or_else(unknown)?;
        let entry = self.orders.get(slot).copied().ok_or_else(unknown)?;
        let before = self.view(&entry).ok_or_else(unknown)?;
        if !before.same_purchase(order) {
            return Err(Broken::form("the order's content differs"));
        }
        i10_ends_once(before.status, order.status).map_err(Broken::invariant(Invariant::I10))?;
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
                .ok_or_else(|| Broken::form("the order's buyer is unknown"))?;
            self.orders.update(newest, |newest| {
                debug_assert!(
                    newest.live_units >= entry.quantity,
                    "a buyer's newest order counts the units of all its live ones",
                );
                newest.live_units = newest.live_units.saturating_sub(entry.quantity);
            });
        }
        self.orders.update(slot, |entry| entry.status = Some(order.status));
        self.touch_item(entry.item, seq, counters);
        Ok(())
    }

    pub(super) fn insert_item(&mut self, item: ItemState) -> Result<(), Broken> {
        if self.positions.contains_key(&item.terms.item_id) {
            return Err(Broken::form("the item was opened twice"));
        }
        i1_balance(&item.counters).map_err(Broken::invariant(Invariant::I1))?;
        let position = u32::try_from(self.items.len())
            .map_err(|_| Broken::form("the shard has too many items"))?;
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

    fn settle_item(&mut self, item_id: ItemId, seq: u64) -> Result<(), Broken> {
        let position = self.known(item_id)?;
        if self.items[position as usize].counters.reserved > 0 {
            return Err(Broken::form("the item was settled with reserved units"));
        }
        self.release_payments(item_id);
        self.release_orders(position);
        self.items[position as usize].settled = true;
        let counters = self.items[position as usize].counters;
        self.touch_item(position, seq, counters);
        Ok(())
    }

    /// Releases the item's orders from memory, its buyers first: they are found through the orders.
    fn release_orders(&mut self, position: u32) {
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

    fn operate_item(&mut self, operation: &Operation, seq: u64) -> Result<(), Broken> {
        let position = self.known(operation.item_id)?;
        let item = &mut self.items[position as usize];
        let remembered = operation.remembered();
        if remembered.is_some_and(|done| item.operation_of(done.request_id).is_some()) {
            return Err(Broken::form("the operation was done before"));
        }
        let mut counters = item.counters;
        match (operation.action, operation.action.phase()) {
            (ItemAction::Restock(units), _) => {
                counters = counters.restock(units)?;
                if let Some(exchange) = &mut item.exchange {
                    exchange.allotted = exchange.allotted.saturating_add(units);
                }
            }
            (ItemAction::Reduce(units), _) => {
                counters = counters.reduce(units)?;
                if let Some(exchange) = &mut item.exchange {
                    exchange.allotted = exchange.allotted.saturating_sub(units);
                }
            }
            (ItemAction::Admit(admission), _) => item.admission = admission,
            (_, Some(_)) if item.phase == ItemPhase::Ended => {
                return Err(Broken::form("the item had ended"));
            }
            (_, phase) => item.phase = phase.unwrap_or(item.phase),
        }
        if let Some(done) = remembered {
            operation::remember(&mut item.operations, done);
        }
        self.touch_item(position, seq, counters);
        Ok(())
    }

    pub(super) fn known(&self, item_id: ItemId) -> Result<u32, Broken> {
        self.position(item_id).ok_or_else(|| Broken::form("the item was never opened"))
    }

    pub(super) fn touch_item(&mut self, position: u32, seq: u64, counters: ItemCounters) {
        let item = &mut self.items[position as usize];
        debug_assert_eq!(i1_balance(&counters), Ok(()), "each step keeps the balance");
        item.counters = counters;
        item.last_seq = seq;
        self.dirty_items[position as usize] = true;
    }
}

/// Units move from one counter to another. What is taken away must be there (I2); what is added
/// fits, because no counter exceeds `allotted` while they balance (I1).
impl ItemCounters {
    fn reserve(self, units: u32) -> Result<Self, Broken> {
        let available = less("available", self.available, units)?;
        Ok(Self { available, reserved: self.reserved + units, ..self })
    }

    fn sell(self, units: u32) -> Result<Self, Broken> {
        let reserved = less("reserved", self.reserved, units)?;
        Ok(Self { reserved, sold: self.sold + units, ..self })
    }

    fn release(self, units: u32) -> Result<Self, Broken> {
        let reserved = less("reserved", self.reserved, units)?;
        Ok(Self { reserved, available: self.available + units, ..self })
    }

    fn restock(self, units: u32) -> Result<Self, Broken> {
        let allotted = self
            .allotted
            .checked_add(units)
            .filter(|allotted| *allotted <= ALLOTTED_MAX)
            .ok_or_else(|| Broken::form("the allotment is out of range"))?;
        Ok(Self { allotted, available: self.available + units, ..self })
    }

    fn reduce(self, units: u32) -> Result<Self, Broken> {
        let available = less("available", self.available, units)?;
        let allotted = less("allotted", self.allotted, units)?;
        Ok(Self { allotted, available, ..self })
    }
}

fn less(counter: &str, from: u32, units: u32) -> Result<u32, Broken> {
    i2_not_below_zero(counter, i64::from(from) - i64::from(units))
        .map_err(Broken::invariant(Invariant::I2))?;
    Ok(from - units)
}
