//! What was found out lately, remembered for a short while: a value, or that there is none.
//!
//! Bounded in number: beyond it the oldest is forgotten. What that costs is bounded by the number of
//! loads at a time.

use domain::Timestamp;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Values by key, each for a while.
#[derive(Debug)]
pub(super) struct Remembered<Key, Value> {
    /// For how many milliseconds; what another process changed meanwhile is found after that.
    life: u64,
    /// The most keys at a time.
    most: usize,
    entries: Mutex<Entries<Key, Value>>,
}

#[derive(Debug)]
struct Entries<Key, Value> {
    values: HashMap<Key, (Value, Timestamp)>,
    /// In the order of their insertion, which is also that of their expiry.
    order: VecDeque<(Key, Timestamp)>,
}

impl<Key: Copy + Eq + Hash, Value: Clone> Remembered<Key, Value> {
    /// Remembers so many keys, each for so many milliseconds.
    pub(super) fn new(life: u64, most: usize) -> Self {
        let entries = Mutex::new(Entries { values: HashMap::new(), order: VecDeque::new() });
        Self { life, most, entries }
    }

    pub(super) fn get(&self, key: Key, now: Timestamp) -> Option<Value> {
        let entries = self.entries.lock();
        let (value, until) = entries.values.get(&key)?;
        (now < *until).then(|| value.clone())
    }

    pub(super) fn insert(&self, key: Key, value: Value, now: Timestamp) {
        let until = now.plus_milliseconds(self.life);
        let mut entries = self.entries.lock();
        let Entries { values, order } = &mut *entries;
        while let Some(&(oldest, end)) = order.front()
            && (end <= now || order.len() >= self.most)
        {
            order.pop_front();
            // It may have been inserted once more since.
            if values.get(&oldest).is_some_and(|(_, until)| *until == end) {
                values.remove(&oldest);
            }
        }
        values.insert(key, (value, until));
        order.push_back((key, until));
    }

    #[cfg(test)]
    pub(super) fn forget(&self) {
        let mut entries = self.entries.lock();
        entries.values.clear();
        entries.order.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let entries = self.entries.lock();
        entries.order.len().max(entries.values.len())
    }
}
