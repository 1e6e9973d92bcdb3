//! Keys that are known to have no value, remembered for a few seconds.
//!
//! Bounded in number: beyond it the oldest is forgotten. What that costs is bounded by the number of
//! loads at a time.

use domain::Timestamp;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// How long a key counts as absent: a value that another process made meanwhile is found after that.
const LIFE_MILLISECONDS: u64 = 5_000;
/// The most keys that are remembered at a time, which take some 500 kB.
pub(super) const ABSENT_MAX: usize = 10_000;

/// The keys that are known to have no value.
#[derive(Debug)]
pub(super) struct Absent<Key>(Mutex<Entries<Key>>);

#[derive(Debug)]
struct Entries<Key> {
    until: HashMap<Key, Timestamp>,
    /// In the order of their insertion, which is also that of their expiry.
    order: VecDeque<(Key, Timestamp)>,
}

impl<Key> Default for Absent<Key> {
    fn default() -> Self {
        Self(Mutex::new(Entries { until: HashMap::new(), order: VecDeque::new() }))
    }
}

impl<Key: Copy + Eq + Hash> Absent<Key> {
    pub(super) fn contains(&self, key: Key, now: Timestamp) -> bool {
        self.0.lock().until.get(&key).is_some_and(|until| now < *until)
    }

    pub(super) fn insert(&self, key: Key, now: Timestamp) {
        let until = now.plus_milliseconds(LIFE_MILLISECONDS);
        let mut entries = self.0.lock();
        let Entries { until: ends, order } = &mut *entries;
        while let Some(&(oldest, end)) = order.front()
            && (end <= now || order.len() >= ABSENT_MAX)
        {
            order.pop_front();
            // It may have been inserted once more since.
            if ends.get(&oldest) == Some(&end) {
                ends.remove(&oldest);
            }
        }
        ends.insert(key, until);
        order.push_back((key, until));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let entries = self.0.lock();
        entries.order.len().max(entries.until.len())
    }
}
