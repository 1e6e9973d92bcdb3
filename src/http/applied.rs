//! What holds of the settings that are changed while the shop runs, so that only what differs is applied.

use super::live::{LiveDocument, NAMES, SettingsRules};
use parking_lot::{Mutex, MutexGuard};
use serde_json::Map;
use std::collections::BTreeMap;

/// What holds of each document.
#[derive(Debug)]
pub struct Applied(Mutex<BTreeMap<&'static str, LiveDocument>>);

impl Applied {
    /// What holds at the start: all is as in the file.
    pub fn begin(rules: &dyn SettingsRules) -> Self {
        let read = |name: &'static str| Some((name, rules.read(name, &Map::new()).ok()?));
        Self(Mutex::new(NAMES.into_iter().filter_map(read).collect()))
    }

    /// Returns what holds, for the one that applies something else.
    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, LiveDocument>> {
        self.0.lock()
    }
}
