//! The state of an item: the fold of its stored records.

use crate::store::database::StoreError;
use domain::operation::{self, RememberedOperation};
use domain::stock::ItemState;
use domain::{
    Admission, Event, Exchange, ItemAction, ItemId, ItemPhase, ItemTerms, Operation, Record,
    ShardId, Timestamp,
};
use std::collections::BTreeMap;

/// An item as the order store knows it. Its counters follow from this and the item's orders.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredItem {
    /// The shard that owns it.
    pub shard: ShardId,
    /// Its terms, as it was preheated.
    pub terms: ItemTerms,
    /// Its phase, which operators may have changed since.
    pub phase: ItemPhase,
    /// How it is guarded, which operators may have changed since.
    pub admission: Admission,
    /// Units put on sale, restocks included; of several buckets, those that this one has had and not given away.
    pub allotted: u32,
    /// What this one of several buckets has exchanged with the others.
    pub exchange: Option<Box<Exchange>>,
    /// Whether it was settled: its shard has released its orders from memory.
    pub settled: bool,
    /// The record of the preheat: items of a shard are numbered in this order.
    pub opened_seq: u64,
    /// The last record about the item itself; its orders may have later ones.
    pub last_seq: u64,
    /// The time of that record.
    pub last_at: Timestamp,
    /// The latest operations whose requests are known, oldest first.
    pub operations: Vec<RememberedOperation>,
}

impl StoredItem {
    /// Folds the records of items, which come by shard and `seq`. Items whose preheat is not among them are
    /// left out: a shard's progress does not reach them.
    ///
    /// # Errors
    /// Returns [`StoreError::Corrupt`] if a record is not an item's, or does not follow from those before.
    pub fn fold(records: &[Record]) -> Result<Vec<Self>, StoreError> {
        fold(records)
    }
}

fn fold(records: &[Record]) -> Result<Vec<StoredItem>, StoreError> {
    let mut items: Vec<StoredItem> = Vec::new();
    let mut positions: BTreeMap<(ShardId, ItemId), usize> = BTreeMap::new();
    for record in records {
        if let Event::ItemOpened(terms) = &record.event {
            let opened = ItemState::opened(terms.clone(), record.shard, record.seq);
            let Some(opened) = opened else { return Err(not_following(record)) };
            positions.insert((record.shard, terms.item_id), items.len());
            items.push(StoredItem {
                shard: record.shard,
                terms: terms.clone(),
                phase: ItemPhase::Open,
                admission: terms.admission,
                allotted: opened.counters.allotted,
                exchange: opened.exchange,
                settled: false,
                opened_seq: record.seq,
                last_seq: record.seq,
                last_at: record.at,
                operations: Vec::new(),
            });
            continue;
        }
        if record.event.order().is_some() {
            let (shard, seq) = (record.shard, record.seq);
            let what = format!("item_events, shard {shard} record {seq}: not an item's record");
            return Err(StoreError::corrupt(what));
        }
        let item_id = record.event.item_id();
        let Some(position) = positions.get(&(record.shard, item_id)) else { continue };
        items[*position].take(record)?;
    }
    Ok(items)
}

/// The item that the event is about, and the event's name in the table; none if it is an order's or a payment's.
pub(super) fn item_kind(event: &Event) -> Option<(ItemId, &'static str)> {
    Some(match event {
        Event::ItemOpened(terms) => (terms.item_id, "opened"),
        Event::ItemOperated(operation) => {
            let kind = match operation.action {
                ItemAction::Restock(_) => "restocked",
                ItemAction::Reduce(_) => "reduced",
                ItemAction::Pause => "paused",
                ItemAction::Resume => "resumed",
                ItemAction::End => "ended",
                ItemAction::Admit(_) => "admission",
            };
            (operation.item_id, kind)
        }
        Event::UnitsSent(transfer) => (transfer.item_id, "units_sent"),
        Event::UnitsReceived(transfer) => (transfer.item_id, "units_received"),
        Event::TransferSettled(transfer) => (transfer.item_id, "transfer_settled"),
        Event::ItemSettled(item_id) => (*item_id, "settled"),
        Event::Order(_) | Event::Payment(_) => return None,
    })
}

fn not_following(record: &Record) -> StoreError {
    let (shard, seq) = (record.shard, record.seq);
    StoreError::corrupt(format!(
        "item_events, shard {shard} record {seq}: does not follow from those before"
    ))
}

impl StoredItem {
    fn take(&mut self, record: &Record) -> Result<(), StoreError> {
        match &record.event {
            Event::UnitsSent(transfer) => {
                self.exchanged(record, |exchange| exchange.send(transfer))?;
                self.allotted = self.allotted.saturating_sub(transfer.units);
            }
            Event::UnitsReceived(transfer) => {
                self.exchanged(record, |exchange| exchange.receive(transfer))?;
                self.allotted = self.allotted.saturating_add(transfer.units);
            }
            Event::TransferSettled(transfer) => {
                self.exchanged(record, |exchange| exchange.settle(transfer))?;
            }
            Event::ItemOperated(operation) => self.operate(operation),
            Event::ItemSettled(_) => self.settled = true,
            Event::ItemOpened(_) | Event::Order(_) | Event::Payment(_) => {}
        }
        self.last_seq = record.seq;
        self.last_at = record.at;
        Ok(())
    }

    fn exchanged(
        &mut self,
        record: &Record,
        step: impl FnOnce(&mut Exchange) -> Result<(), &'static str>,
    ) -> Result<(), StoreError> {
        let stepped = self.exchange.as_mut().and_then(|exchange| step(exchange).ok());
        stepped.ok_or_else(|| not_following(record))
    }

    fn operate(&mut self, operation: &Operation) {
        match operation.action {
            ItemAction::Restock(units) => {
                self.allotted = self.allotted.saturating_add(units);
                if let Some(exchange) = &mut self.exchange {
                    exchange.allotted = exchange.allotted.saturating_add(units);
                }
            }
            ItemAction::Reduce(units) => {
                self.allotted = self.allotted.saturating_sub(units);
                if let Some(exchange) = &mut self.exchange {
                    exchange.allotted = exchange.allotted.saturating_sub(units);
                }
            }
            ItemAction::Admit(admission) => self.admission = admission,
            action => self.phase = action.phase().unwrap_or(self.phase),
        }
        if let Some(done) = operation.remembered() {
            operation::remember(&mut self.operations, done);
        }
    }
}
