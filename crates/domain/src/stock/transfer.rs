//! Units that go from one bucket of an item to another, as the two shards decide and record it.
//!
//! What each bucket has given and got is kept in its [`Exchange`], which also says what may follow. Must not know
//! how the buckets reach each other.

use super::decide::Decision;
use super::state::Stock;
use super::violation::Broken;
use crate::buckets::{Transfer, UnitsWanted};
use crate::command::{Outcome, Refusal};
use crate::event::Event;
use crate::exchange::Exchange;
use crate::ids::Timestamp;
use crate::sale::{ALLOTTED_MAX, ItemCounters, ItemPhase};

impl Stock {
    pub(super) fn send_units(&self, now: Timestamp, wanted: UnitsWanted) -> Decision {
        let Some(item) = self.item(wanted.item_id) else {
            return Decision::refused(Refusal::ItemNotFound);
        };
        let Some(exchange) = item.exchange.as_ref().filter(|exchange| {
            wanted.to != exchange.bucket && wanted.to < item.terms.buckets.count()
        }) else {
            return Decision::refused(Refusal::PhaseConflict);
        };
        if let Some(open) = exchange.open(wanted.item_id).find(|transfer| transfer.to == wanted.to)
        {
            return Decision { event: None, outcome: Outcome::Transferred(open) };
        }
        if item.phase == ItemPhase::Ended || item.settled || now >= item.terms.ends_at {
            return Decision::refused(Refusal::SaleEnded);
        }
        match exchange.offer(wanted, item.counters.available) {
            Some(transfer) => Decision {
                event: Some(Event::UnitsSent(transfer)),
                outcome: Outcome::Transferred(transfer),
            },
            None => Decision::refused(Refusal::SoldOut),
        }
    }

    /// Takes units in also after the end: they are somewhere until they have arrived.
    pub(super) fn receive_units(&self, transfer: &Transfer) -> Decision {
        let Some(item) = self.item(transfer.item_id) else {
            return Decision::refused(Refusal::ItemNotFound);
        };
        let Some(exchange) = item.exchange.as_ref().filter(|exchange| {
            exchange.bucket == transfer.to && transfer.from < item.terms.buckets.count()
        }) else {
            return Decision::refused(Refusal::PhaseConflict);
        };
        let outcome = Outcome::Transferred(*transfer);
        let received = exchange.peer(transfer.from).received;
        if transfer.number <= received {
            return Decision { event: None, outcome };
        }
        let allotted = item.counters.allotted.checked_add(transfer.units);
        let fits = allotted.is_some_and(|allotted| allotted <= ALLOTTED_MAX);
        if !fits || exchange.clone().receive(transfer).is_err() {
            return Decision::refused(Refusal::PhaseConflict);
        }
        Decision { event: Some(Event::UnitsReceived(*transfer)), outcome }
    }

    pub(super) fn settle_transfer(&self, transfer: &Transfer) -> Decision {
        let exchange = self.item(transfer.item_id).and_then(|item| item.exchange.as_ref());
        let Some(exchange) = exchange.filter(|exchange| exchange.bucket == transfer.from) else {
            return Decision::refused(Refusal::ItemNotFound);
        };
        let outcome = Outcome::Transferred(*transfer);
        let peer = exchange.peer(transfer.to);
        if transfer.number < peer.sent || (transfer.number == peer.sent && peer.open_units == 0) {
            return Decision { event: None, outcome };
        }
        if exchange.clone().settle(transfer).is_err() {
            return Decision::refused(Refusal::PhaseConflict);
        }
        Decision { event: Some(Event::TransferSettled(*transfer)), outcome }
    }

    /// One step of a transfer: what it does to the exchange, and to the units that are here.
    pub(super) fn exchange(
        &mut self,
        transfer: &Transfer,
        seq: u64,
        step: impl FnOnce(&mut Exchange, &Transfer) -> Result<(), &'static str>,
        count: impl FnOnce(ItemCounters, u32) -> Result<ItemCounters, Broken>,
    ) -> Result<(), Broken> {
        let position = self.known(transfer.item_id)?;
        let item = &mut self.items[position as usize];
        let Some(own) = &item.exchange else {
            return Err(Broken::form("the item has one bucket"));
        };
        if transfer.from.max(transfer.to) >= item.terms.buckets.count() {
            return Err(Broken::form("the item has no such bucket"));
        }
        let mut changed = own.clone();
        step(&mut changed, transfer).map_err(Broken::form)?;
        let counters = count(item.counters, transfer.units)?;
        item.exchange = Some(changed);
        self.touch_item(position, seq, counters);
        Ok(())
    }
}
