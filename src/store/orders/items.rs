//! The state of an item: the fold of its stored records.

use crate::store::database::StoreError;
use domain::{Event, ItemId, ItemPhase, ItemTerms, Record, ShardId, Timestamp};
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
                allotted: terms.allotted,
                settled: false,
                opened_seq: record.seq,
                last_seq: record.seq,
                last_at: record.at,
            });
            continue;
        }
        let item_id = match &record.event {
            Event::ItemRestocked { item_id, .. }
            | Event::ItemPaused(item_id)
            | Event::ItemResumed(item_id)
            | Event::ItemEnded(item_id)
            | Event::ItemSettled(item_id) => *item_id,
            Event::ItemOpened(_) | Event::Order(_) => {
                let (shard, seq) = (record.shard, record.seq);
                let what = format!("item_events, shard {shard} record {seq}: not an item's record");
                return Err(StoreError::corrupt(what));
            }
        };
        let Some(position) = positions.get(&(record.shard, item_id)) else { continue };
        items[*position].take(record);
    }
    Ok(items)
}

impl StoredItem {
    fn take(&mut self, record: &Record) {
        match &record.event {
            Event::ItemRestocked { units, .. } => {
                self.allotted = self.allotted.saturating_add(*units);
            }
            Event::ItemPaused(_) => self.phase = ItemPhase::Paused,
            Event::ItemResumed(_) => self.phase = ItemPhase::Open,
            Event::ItemEnded(_) => self.phase = ItemPhase::Ended,
            Event::ItemSettled(_) => self.settled = true,
            Event::ItemOpened(_) | Event::Order(_) => {}
        }
        self.last_seq = record.seq;
        self.last_at = record.at;
    }
}
