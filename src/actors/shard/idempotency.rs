//! Idempotency keys across items (I7): one key of one buyer, one order, whatever item it names.
//!
//! A shard sees only its own items. So a request with the client's key first reserves the key for its
//! item while it is under way; and a Bloom filter remembers the keys that got an order, at two bytes
//! each. The filter's "maybe" makes the engine ask the shards; its "no" is certain. It has the keys of other
//! nodes' orders as well, as far as they have told them.

use crate::actors::bloom_filter::BloomFilter;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use domain::{ItemId, RequestId, UserId};
use foldhash::fast::RandomState;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

type Key = (UserId, RequestId);

/// Where a purchase's request id comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyOrigin {
    /// The client's `Idempotency-Key`: it may come again, on this item or wrongly on another.
    Client,
    /// Made at the edge for this request alone.
    Edge,
    /// The buy token's: it may come again, and only on the item for which it was made.
    Token,
}

impl KeyOrigin {
    /// The number under which nodes tell each other.
    pub(in crate::actors) fn number(self) -> u8 {
        match self {
            Self::Client => 1,
            Self::Edge => 2,
            Self::Token => 3,
        }
    }

    /// The origin of this number.
    pub(in crate::actors) fn from_number(number: u8) -> Option<Self> {
        [Self::Client, Self::Edge, Self::Token].into_iter().find(|origin| origin.number() == number)
    }
}

/// Keys under way and keys that got an order.
#[derive(Clone, Default)]
pub(in crate::actors) struct IdempotencyKeys(Arc<Inner>);

#[derive(Default)]
struct Inner {
    under_way: DashMap<Key, (ItemId, u32), RandomState>,
    granted: KeyFilter,
}

/// The reservation of a key for one item; released when dropped.
pub(in crate::actors) struct KeyReservation {
    inner: Arc<Inner>,
    key: Key,
}

/// The key is reserved for another item at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::actors) struct ReservedForAnotherItem;

impl IdempotencyKeys {
    /// Reserves the key for the item. Repeats for the same item share the reservation.
    ///
    /// # Errors
    /// Returns [`ReservedForAnotherItem`] if a request for another item has the key.
    pub(in crate::actors) fn reserve(
        &self,
        user_id: UserId,
        request_id: RequestId,
        item_id: ItemId,
    ) -> Result<KeyReservation, ReservedForAnotherItem> {
        let key = (user_id, request_id);
        match self.0.under_way.entry(key) {
            Entry::Occupied(mut taken) => {
                let (reserved_for, count) = taken.get_mut();
                if *reserved_for != item_id {
                    return Err(ReservedForAnotherItem);
                }
                *count += 1;
            }
            Entry::Vacant(free) => {
                free.insert((item_id, 1));
            }
        }
        Ok(KeyReservation { inner: Arc::clone(&self.0), key })
    }

    /// Whether the key may have got an order.
    pub(in crate::actors) fn may_be_granted(&self, user_id: UserId, request_id: RequestId) -> bool {
        self.0.granted.may_contain((user_id, request_id))
    }

    /// Remembers that the key got an order. Called before the order is answered.
    pub(in crate::actors) fn record_granted(&self, user_id: UserId, request_id: RequestId) {
        self.0.granted.insert((user_id, request_id));
    }

    /// Remembers keys that got orders at another node. What is told again takes no more room.
    pub(in crate::actors) fn record_granted_elsewhere(&self, keys: &[(UserId, RequestId)]) {
        for key in keys.iter().filter(|key| !self.0.granted.may_contain(**key)) {
            self.0.granted.insert(*key);
        }
    }
}

impl Drop for KeyReservation {
    fn drop(&mut self) {
        if let Entry::Occupied(mut taken) = self.inner.under_way.entry(self.key) {
            taken.get_mut().1 -= 1;
            if taken.get().1 == 0 {
                taken.remove();
            }
        }
    }
}

/// Filters, each twice as large as the one before: when the newest is full the next one is begun, so
/// that growing copies nothing and no request waits for it.
struct KeyFilter {
    generations: [OnceLock<BloomFilter>; GENERATIONS_MAX],
    newest: AtomicUsize,
    /// Number of keys in the newest.
    count: AtomicUsize,
}

/// Enough for a million million keys.
const GENERATIONS_MAX: usize = 24;
/// Keys that the first filter is made for.
const FIRST_KEYS: usize = 1 << 16;

impl Default for KeyFilter {
    fn default() -> Self {
        Self {
            generations: [const { OnceLock::new() }; GENERATIONS_MAX],
            newest: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
        }
    }
}

impl KeyFilter {
    fn insert(&self, key: Key) {
        let number = self.newest.load(Ordering::Acquire);
        let filter =
            self.generations[number].get_or_init(|| BloomFilter::for_members(FIRST_KEYS << number));
        filter.insert(key);
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        // One of the callers that fill it begins the next; the last filter takes all that still comes.
        if count == filter.capacity() && number + 1 < GENERATIONS_MAX {
            self.count.store(0, Ordering::Relaxed);
            self.newest.store(number + 1, Ordering::Release);
        }
    }

    fn may_contain(&self, key: Key) -> bool {
        self.generations.iter().map_while(OnceLock::get).any(|filter| filter.may_contain(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (UserId, RequestId) = (UserId(7), RequestId(9));

    #[test]
    fn a_key_under_way_belongs_to_one_item() {
        let keys = IdempotencyKeys::default();
        let first = keys.reserve(KEY.0, KEY.1, ItemId(1)).ok();
        let repeat = keys.reserve(KEY.0, KEY.1, ItemId(1)).ok();
        assert!(first.is_some() && repeat.is_some());
        assert!(keys.reserve(KEY.0, KEY.1, ItemId(2)).is_err());
        drop(first);
        assert!(keys.reserve(KEY.0, KEY.1, ItemId(2)).is_err(), "the repeat still holds it");
        drop(repeat);
        assert!(keys.reserve(KEY.0, KEY.1, ItemId(2)).is_ok());
    }

    #[test]
    fn what_other_nodes_tell_again_takes_no_more_room() {
        let keys = IdempotencyKeys::default();
        let told: Vec<_> = (0..1_000).map(|number| (UserId(number), RequestId(number))).collect();
        keys.record_granted_elsewhere(&told);
        let count = || keys.0.granted.count.load(Ordering::Relaxed);
        let held = count();
        assert!(
            told.iter().all(|(user_id, request_id)| keys.may_be_granted(*user_id, *request_id))
        );
        keys.record_granted_elsewhere(&told);
        assert_eq!(count(), held);
    }

    #[test]
    fn the_filter_never_loses_a_key_and_rarely_errs() {
        let keys = IdempotencyKeys::default();
        let count = 300_000;
        for number in 0..count {
            keys.record_granted(UserId(number), RequestId(number * 31));
        }
        assert!(
            (0..count).all(|number| keys.may_be_granted(UserId(number), RequestId(number * 31)))
        );
        let wrong = (0..count)
            .filter(|number| keys.may_be_granted(UserId(*number), RequestId(number * 31 + 1)))
            .count();
        assert!(wrong < count as usize / 20, "{wrong} false positives in {count}");
    }
}
