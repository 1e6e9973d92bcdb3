//! Ids that nobody knows, remembered for a moment.
//!
//! Bounded in number: where more are asked for, the oldest is forgotten, and what that costs is
//! bounded by the number of loads at a time.

use crate::domain::{SaleId, Timestamp};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};

/// How long an id counts as unknown: a sale made elsewhere meanwhile is found after that.
const LIFE_MILLISECONDS: u64 = 5_000;
/// Ids remembered at a time: some 500 kB.
pub(super) const UNKNOWN_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct UnknownIds(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    until: HashMap<SaleId, Timestamp>,
    /// In the order of their insertion, which is also that of their end.
    order: VecDeque<(SaleId, Timestamp)>,
}

impl UnknownIds {
    pub(super) fn contains(&self, id: SaleId, now: Timestamp) -> bool {
        self.0.lock().until.get(&id).is_some_and(|until| now < *until)
    }

    pub(super) fn insert(&self, id: SaleId, now: Timestamp) {
        let until = now.plus_milliseconds(LIFE_MILLISECONDS);
        let mut entries = self.0.lock();
        let Entries { until: ends, order } = &mut *entries;
        while let Some(&(oldest, end)) = order.front()
            && (end <= now || order.len() >= UNKNOWN_MAX)
        {
            order.pop_front();
            // It may have been removed, or inserted once more since.
            if ends.get(&oldest) == Some(&end) {
                ends.remove(&oldest);
            }
        }
        ends.insert(id, until);
        order.push_back((id, until));
    }

    pub(super) fn remove(&self, id: SaleId) {
        self.0.lock().until.remove(&id);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let entries = self.0.lock();
        entries.order.len().max(entries.until.len())
    }
}
