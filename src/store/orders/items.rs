//! An item's state as the fold of its stored records.

use super::StoreError;
use domain::{Event, ItemId, ItemPhase, ItemTerms, Record, ShardId, Timestamp};
use std::collections::BTreeMap;

/// What the order store knows of an item. Counters follow from it and the item's orders.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredItem {
    /// Whose.
    pub shard: ShardId,
    /// As it was preheated.
    pub terms: ItemTerms,
    /// What operators made of it since.
    pub phase: ItemPhase,
    /// Units put on sale, restocks included.
    pub allotted: u32,
    /// Whether its orders were let go.
    pub settled: bool,
    /// The record of the preheat: items of a shard are numbered in this order.
    pub opened_seq: u64,
    /// The last record about the item itself; its orders may have later ones.
    pub last_seq: u64,
    /// When that was decided.
    pub last_at: Timestamp,
}

/// Folds records, which come by shard and `seq`. Items whose preheat is not stored are left out: a
/// shard's progress does not reach them.
///
/// # Errors
/// Where a record is none of an item.
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
                return Err(StoreError::corrupt("a record among item events is not an item's"));
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
