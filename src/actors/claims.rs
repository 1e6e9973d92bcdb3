//! Idempotency keys across items (I7): one key of one buyer, one order, whatever item it names.
//!
//! A shard sees only its own items. So a request with the client's key first claims the key for its
//! item while it is under way; and a filter remembers the keys that got an order, at two bytes each.
//! The filter's "maybe" sends the edge to ask the shards; its "no" is certain.

use crate::domain::{ItemId, RequestId, UserId};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::{FixedState, RandomState};
use parking_lot::RwLock;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

type Key = (UserId, RequestId);

/// Keys under way and keys that got an order.
#[derive(Clone, Default)]
pub(super) struct Claims(Arc<Inner>);

#[derive(Default)]
struct Inner {
    under_way: DashMap<Key, (ItemId, u32), RandomState>,
    granted: KeyFilter,
}

/// A key that is under way for one item; given back when dropped.
pub(super) struct Claim {
    inner: Arc<Inner>,
    key: Key,
}

/// The key is under way for another item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ClaimedElsewhere;

impl Claims {
    /// Claims the key for the item. Repeats for the same item share the claim.
    pub(super) fn claim(
        &self,
        user_id: UserId,
        request_id: RequestId,
        item_id: ItemId,
    ) -> Result<Claim, ClaimedElsewhere> {
        let key = (user_id, request_id);
        match self.0.under_way.entry(key) {
            Entry::Occupied(mut taken) => {
                let (claimed_for, count) = taken.get_mut();
                if *claimed_for != item_id {
                    return Err(ClaimedElsewhere);
                }
                *count += 1;
            }
            Entry::Vacant(free) => {
                free.insert((item_id, 1));
            }
        }
        Ok(Claim { inner: Arc::clone(&self.0), key })
    }

    /// Whether the key may have got an order.
    pub(super) fn may_be_granted(&self, user_id: UserId, request_id: RequestId) -> bool {
        self.0.granted.may_contain((user_id, request_id))
    }

    /// Remembers that the key got an order. Called before the order is answered.
    pub(super) fn granted(&self, user_id: UserId, request_id: RequestId) {
        self.0.granted.insert((user_id, request_id));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Entry::Occupied(mut taken) = self.inner.under_way.entry(self.key) {
            taken.get_mut().1 -= 1;
            if taken.get().1 == 0 {
                taken.remove();
            }
        }
    }
}

/// A Bloom filter that grows by adding a larger one when the last is full, so that growing copies
/// nothing. Sixteen bits a key, six of them set within one 64-bit word.
struct KeyFilter {
    generations: RwLock<Vec<Generation>>,
    hasher: FixedState,
}

struct Generation {
    words: Box<[AtomicU64]>,
    count: AtomicUsize,
}

impl Generation {
    const KEYS_PER_WORD: usize = 4;

    fn with_words(words: usize) -> Self {
        Self { words: (0..words).map(|_| AtomicU64::new(0)).collect(), count: AtomicUsize::new(0) }
    }

    fn place(&self, hash: u64) -> (&AtomicU64, u64) {
        let bits = (0..6).fold(0, |bits, part| bits | 1 << (hash >> (part * 6) & 63));
        (&self.words[hash.rotate_left(28) as usize & (self.words.len() - 1)], bits)
    }
}

impl Default for KeyFilter {
    fn default() -> Self {
        const FIRST_WORDS: usize = 1 << 14;
        Self {
            generations: RwLock::new(vec![Generation::with_words(FIRST_WORDS)]),
            hasher: FixedState::default(),
        }
    }
}

impl KeyFilter {
    fn insert(&self, key: Key) {
        let hash = self.hasher.hash_one(key);
        let full_at = {
            let generations = self.generations.read();
            let Some(newest) = generations.last() else { return };
            let (word, bits) = newest.place(hash);
            word.fetch_or(bits, Ordering::Release);
            let count = newest.count.fetch_add(1, Ordering::Relaxed);
            let full = count >= newest.words.len() * Generation::KEYS_PER_WORD;
            full.then_some(generations.len())
        };
        if let Some(generation_count) = full_at {
            let mut generations = self.generations.write();
            // Another shard may have been faster.
            if generations.len() == generation_count {
                let words = generations.last().map_or(1, |newest| newest.words.len() * 2);
                generations.push(Generation::with_words(words));
            }
        }
    }

    fn may_contain(&self, key: Key) -> bool {
        let hash = self.hasher.hash_one(key);
        self.generations.read().iter().any(|generation| {
            let (word, bits) = generation.place(hash);
            word.load(Ordering::Acquire) & bits == bits
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (UserId, RequestId) = (UserId(7), RequestId(9));

    #[test]
    fn a_key_under_way_belongs_to_one_item() {
        let claims = Claims::default();
        let first = claims.claim(KEY.0, KEY.1, ItemId(1)).ok();
        let repeat = claims.claim(KEY.0, KEY.1, ItemId(1)).ok();
        assert!(first.is_some() && repeat.is_some());
        assert!(claims.claim(KEY.0, KEY.1, ItemId(2)).is_err());
        drop(first);
        assert!(claims.claim(KEY.0, KEY.1, ItemId(2)).is_err(), "the repeat still holds it");
        drop(repeat);
        assert!(claims.claim(KEY.0, KEY.1, ItemId(2)).is_ok());
    }

    #[test]
    fn the_filter_never_forgets_and_rarely_errs() {
        let claims = Claims::default();
        let keys = 300_000;
        for number in 0..keys {
            claims.granted(UserId(number), RequestId(number * 31));
        }
        assert!(
            (0..keys).all(|number| claims.may_be_granted(UserId(number), RequestId(number * 31)))
        );
        let wrong = (0..keys)
            .filter(|number| claims.may_be_granted(UserId(*number), RequestId(number * 31 + 1)))
            .count();
        assert!(wrong < keys as usize / 20, "{wrong} false positives in {keys}");
    }
}
