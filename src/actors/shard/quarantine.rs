//! Items that make their shard panic: set aside for a while that doubles each time.
//!
//! A fact about this process, not about the sale: it is not journalled, and is gone after a restart.

use domain::{ItemId, Timestamp};
use std::collections::HashMap;

const PAUSE_MILLISECONDS_FIRST: u64 = 1_000;
const PAUSE_MILLISECONDS_MAX: u64 = 60_000;

/// The items of one shard that are or were in quarantine.
#[derive(Debug, Default)]
pub(in crate::actors) struct Quarantine(HashMap<ItemId, Pause>);

/// An item's time in quarantine.
#[derive(Debug)]
struct Pause {
    until: Timestamp,
    milliseconds: u64,
    /// Whether [`Quarantine::over`] has returned the item.
    reported: bool,
}

impl Quarantine {
    /// Puts the item in quarantine for twice as long as the last time. Returns the milliseconds.
    pub(in crate::actors) fn put(&mut self, item_id: ItemId, now: Timestamp) -> u64 {
        let before = self.0.get(&item_id).map(|pause| pause.milliseconds);
        let milliseconds = before
            .map_or(PAUSE_MILLISECONDS_FIRST, |before| (before * 2).min(PAUSE_MILLISECONDS_MAX));
        let until = now.plus_milliseconds(milliseconds);
        self.0.insert(item_id, Pause { until, milliseconds, reported: false });
        milliseconds
    }

    /// Whether the item is in quarantine at `now`.
    pub(in crate::actors) fn holds(&self, item_id: ItemId, now: Timestamp) -> bool {
        !self.0.is_empty() && self.0.get(&item_id).is_some_and(|pause| now < pause.until)
    }

    /// Whether [`Quarantine::over`] has yet to return an item.
    pub(in crate::actors) fn is_waiting(&self) -> bool {
        self.0.values().any(|pause| !pause.reported)
    }

    /// Items whose quarantine ended since the last call. They are tried again; the next quarantine
    /// still is the longer one.
    pub(in crate::actors) fn over(&mut self, now: Timestamp) -> Vec<ItemId> {
        let mut over = Vec::new();
        for (item_id, pause) in &mut self.0 {
            if !pause.reported && now >= pause.until {
                pause.reported = true;
                over.push(*item_id);
            }
        }
        over
    }
}

/// A place where a test may make one item panic, each time.
pub(in crate::actors) fn poison(name: &'static str, item_id: Option<ItemId>) {
    let _ = (name, item_id);
    fail::fail_point!(name, |argument| {
        let poisoned = argument.and_then(|text| text.parse().ok());
        assert!(item_id.is_none() || item_id != poisoned, "injected panic");
    });
}
