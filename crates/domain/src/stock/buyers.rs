//! Who bought what: from buyer and item to the newest of that buyer's orders.
//!
//! One index a shard, in many small hash tables. A table of a million entries that grows stalls its
//! shard for tens of milliseconds; a thousandth of it is not noticed. Keys are not stored: a slot
//! leads to the entry, which has them.

use super::orders::OrderTable;
use crate::ids::UserId;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

const PARTITION_BITS: u32 = 10;
/// Buyers for whom room is made before they come, at about ten bytes each.
const RESERVED_MAX: usize = 1 << 17;

#[derive(Debug, Default)]
pub(super) struct BuyerIndex {
    partitions: Vec<HashTable<u32>>,
    hasher: RandomState,
}

impl BuyerIndex {
    /// Makes room for so many buyers, so that no table has to grow while they come. Beyond
    /// [`RESERVED_MAX`] tables grow when they have to.
    pub(super) fn reserve(&mut self, orders: &OrderTable, buyers: usize) {
        let buyers = buyers.min(RESERVED_MAX);
        // Chance fills some tables fuller than others.
        let share = (buyers + buyers / 8) >> PARTITION_BITS;
        if share == 0 {
            return;
        }
        self.partition();
        let hasher = &self.hasher;
        for table in &mut self.partitions {
            let more = share.saturating_sub(table.len());
            table.reserve(more, |slot| rehash(hasher, orders, *slot));
        }
    }

    fn partition(&mut self) {
        if self.partitions.is_empty() {
            self.partitions.resize_with(1 << PARTITION_BITS, HashTable::new);
        }
    }

    /// The slot of the buyer's newest order of the item.
    pub(super) fn find(&self, orders: &OrderTable, item: u32, user_id: UserId) -> Option<u32> {
        let hash = self.hash(item, user_id);
        self.partitions
            .get(partition(hash))?
            .find(hash, |slot| is_of(orders, *slot, item, user_id))
            .copied()
    }

    /// Makes `slot` the buyer's newest order of the item. The entry must be in `orders`.
    pub(super) fn set(&mut self, orders: &OrderTable, item: u32, user_id: UserId, slot: u32) {
        debug_assert!(
            is_of(orders, slot, item, user_id),
            "a slot is found again by the item and buyer of its entry",
        );
        self.partition();
        let hash = self.hash(item, user_id);
        let hasher = &self.hasher;
        let table = &mut self.partitions[partition(hash)];
        match table.find_mut(hash, |slot| is_of(orders, *slot, item, user_id)) {
            Some(newest) => *newest = slot,
            None => {
                table.insert_unique(hash, slot, |slot| rehash(hasher, orders, *slot));
            }
        }
    }

    /// Forgets the buyer's orders of the item, which are still in `orders`.
    pub(super) fn remove(&mut self, orders: &OrderTable, item: u32, user_id: UserId) {
        let hash = self.hash(item, user_id);
        if let Some(table) = self.partitions.get_mut(partition(hash))
            && let Ok(found) = table.find_entry(hash, |slot| is_of(orders, *slot, item, user_id))
        {
            found.remove();
            if table.is_empty() {
                *table = HashTable::new();
            }
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let tables: usize = self.partitions.iter().map(HashTable::allocation_size).sum();
        tables + self.partitions.capacity() * size_of::<HashTable<u32>>()
    }

    fn hash(&self, item: u32, user_id: UserId) -> u64 {
        self.hasher.hash_one((item, user_id))
    }
}

/// The table itself uses the lowest and the highest bits.
fn partition(hash: u64) -> usize {
    (hash >> 40) as usize & ((1 << PARTITION_BITS) - 1)
}

fn is_of(orders: &OrderTable, slot: u32, item: u32, user_id: UserId) -> bool {
    orders.get(slot).is_some_and(|entry| entry.user_id == user_id && entry.item == item)
}

fn rehash(hasher: &RandomState, orders: &OrderTable, slot: u32) -> u64 {
    orders.get(slot).map_or(0, |entry| hasher.hash_one((entry.item, entry.user_id)))
}
