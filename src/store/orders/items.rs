//! The state of an item: the fold of its stored records.

use crate::store::database::StoreError;
use domain::operation::{self, RememberedOperation};
use domain::{
    Admission, Event, ItemAction, ItemId, ItemPhase, ItemTerms, Operation, Record, ShardId,
    Timestamp,
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
    /// Units put on sale, restocks included.
    pub allotted: u32,
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

/// Folds the records of items, which come by shard and `seq`. Items whose preheat is not stored are
/// left out: a shard's progress does not reach them.
///
/// # Errors
/// Returns [`StoreError::Corrupt`] if a record is not an item's.
pub(super) fn fold(records: &[Record]) -> Result<Vec<StoredItem>, StoreError> {
    let mut items: Vec<StoredItem> = Vec::new();
    let mut positions: BTreeMap<(ShardId, ItemId), usize> = BTreeMap::new();
    for record in records {
        if let Event::ItemOpened(terms) = &record.event {
            positions.insert((record.shard, terms.item_id), items.len());
            items.push(StoredItem {
                shard: record.shard,
                terms: terms.clone(),
                phase: ItemPhase::Open,
                admission: terms.admission,
                allotted: terms.allotted,
                settled: false,
                opened_seq: record.seq,
                last_seq: record.seq,
                last_at: record.at,
                operations: Vec::new(),
            });
            continue;
        }
        if matches!(record.event, Event::Order(_)) {
            let (shard, seq) = (record.shard, record.seq);
            let what = format!("item_events, shard {shard} record {seq}: not an item's record");
            return Err(StoreError::corrupt(what));
        }
        let item_id = record.event.item_id();
        let Some(position) = positions.get(&(record.shard, item_id)) else { continue };
        items[*position].take(record);
    }
    Ok(items)
}

/// The item that the event is about, and the event's name in the table; none if it is an order's.
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
        Event::ItemSettled(item_id) => (*item_id, "settled"),
        Event::Order(_) => return None,
    })
}

impl StoredItem {
    fn take(&mut self, record: &Record) {
        match &record.event {
            Event::ItemOperated(operation) => self.operate(operation),
            Event::ItemSettled(_) => self.settled = true,
            Event::ItemOpened(_) | Event::Order(_) => {}
        }
        self.last_seq = record.seq;
        self.last_at = record.at;
    }

    fn operate(&mut self, operation: &Operation) {
        match operation.action {
            ItemAction::Restock(units) => self.allotted = self.allotted.saturating_add(units),
            ItemAction::Reduce(units) => self.allotted = self.allotted.saturating_sub(units),
            ItemAction::Admit(admission) => self.admission = admission,
            action => self.phase = action.phase().unwrap_or(self.phase),
        }
        if let Some(done) = operation.remembered() {
            operation::remember(&mut self.operations, done);
        }
    }
}
