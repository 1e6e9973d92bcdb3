//! Settings as they are now: what operators changed while the shop runs, followed in its store.
//!
//! Every second it is asked what changed, so that a change on one node holds on all of them. What was
//! read last holds for as long as the store does not answer, also over a restart: it is kept in a file
//! beside the journal. Reading is no part of a purchase: it looks
//! at a snapshot. Must not know what a document says; those who do are told that one changed.

use crate::clock::Clock;
use crate::store::settings::{
    KeptEntry, KeptSettings, ListedEntry, NewEntry, Position, SettingChange, SettingsError,
    SettingsStore, StoredSetting,
};
use arc_swap::{ArcSwap, Guard};
use domain::Timestamp;
use domain::risk::{EntryKind, Lists};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// The time between two looks.
const PERIOD: Duration = Duration::from_millis(900);
/// Entries that are read at a time: so few that nobody waits for their decoding.
const PAGE: usize = 2_000;

/// A handle to the settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LiveSettings(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: SettingsStore,
    kept: Arc<KeptSettings>,
    clock: Clock,
    documents: ArcSwap<BTreeMap<String, StoredSetting>>,
    lists: ArcSwap<Lists>,
    /// Held by the one that looks.
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
}

/// What was read of the entries.
#[derive(Debug, Default)]
struct Seen {
    position: Position,
    entries: Arc<HashMap<u64, KeptEntry>>,
    /// What was kept by the process before, which holds until the entries have been read once.
    kept_entries: Option<Arc<Vec<KeptEntry>>>,
    /// Whether the lists are to be made anew.
    is_changed: bool,
    /// Whether anything was read that is not kept yet.
    is_unkept: bool,
    is_keeping_failing: bool,
    is_away: bool,
}

impl LiveSettings {
    /// Makes a handle that has read nothing yet: what is kept holds.
    pub fn new(store: SettingsStore, kept: KeptSettings, clock: Clock) -> Self {
        let last = kept.read().unwrap_or_else(|error| {
            tracing::warn!(
                %error,
                "the settings of the last run cannot be read; those of the file hold, and no lists of \
                 those who are denied, until the database answers"
            );
            None
        });
        let last = last.unwrap_or_default();
        let lists = Lists::new(last.entries.iter().copied(), clock.now());
        let seen = Seen { kept_entries: Some(Arc::new(last.entries)), ..Seen::default() };
        Self(Arc::new(Shared {
            store,
            kept: Arc::new(kept),
            clock,
            documents: ArcSwap::from_pointee(by_name(last.documents)),
            lists: ArcSwap::from_pointee(lists),
            seen: Mutex::new(seen),
            changed: watch::Sender::new(()),
        }))
    }

    /// Follows the store until the task is aborted.
    pub async fn follow(self) {
        loop {
            self.look().await;
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Reads what changed. If the store does not answer, what was read last holds, and that is logged.
    /// Returns whether it answered.
    pub async fn look(&self) -> bool {
        let mut seen = self.0.seen.lock().await;
        let looked = match self.read_documents(&mut seen).await {
            Ok(()) => self.read_entries(&mut seen).await,
            Err(error) => Err(error),
        };
        self.renew_lists(&mut seen).await;
        if looked.is_ok() && seen.is_unkept {
            self.keep(&mut seen).await;
        }
        let was_away = std::mem::replace(&mut seen.is_away, looked.is_err());
        match looked {
            Err(error) if !was_away => {
                tracing::warn!(%error, "the settings cannot be read; those that were read last hold");
            }
            Ok(()) if was_away => tracing::info!("the settings are read again"),
            Ok(()) | Err(_) => {}
        }
        !seen.is_away
    }

    /// Returns the newest version of a document that was ever changed.
    pub fn document(&self, name: &str) -> Option<StoredSetting> {
        self.0.documents.load().get(name).cloned()
    }

    /// Returns the lists of those who are denied and allowed.
    #[inline]
    pub fn lists(&self) -> Guard<Arc<Lists>> {
        self.0.lists.load()
    }

    /// Returns a receiver that is told whenever a document changed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Changes a document, here at once and on other nodes within a second.
    ///
    /// # Errors
    /// Returns [`SettingsError`] if [`SettingsStore::change`] does.
    pub async fn change(&self, change: SettingChange<'_>) -> Result<StoredSetting, SettingsError> {
        let stored = self.0.store.change(change).await?;
        self.look().await;
        Ok(stored)
    }

    /// Returns the versions of a document, newest first.
    ///
    /// # Errors
    /// Returns [`SettingsError`] if [`SettingsStore::history`] does.
    pub async fn history(
        &self,
        name: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredSetting>, SettingsError> {
        self.0.store.history(name, before, limit).await
    }

    /// Adds entries to the lists, here at once and on other nodes within a second. Those that say the same
    /// of the same user or network are removed for them.
    ///
    /// # Errors
    /// Returns [`SettingsError`] if [`SettingsStore::add_entries`] does.
    pub async fn add_entries(
        &self,
        entries: &[NewEntry],
        actor: &str,
        at: Timestamp,
    ) -> Result<Vec<u64>, SettingsError> {
        self.look().await;
        let replaced = self.same_as(entries).await;
        let numbers = self.0.store.add_entries(entries, &replaced, actor, at).await?;
        self.look().await;
        Ok(numbers)
    }

    /// Returns the numbers of the known entries that stand for the same as one of these.
    async fn same_as(&self, entries: &[NewEntry]) -> Vec<u64> {
        let wanted: HashSet<EntryKind> = entries.iter().map(|entry| entry.kind).collect();
        let known = Arc::clone(&self.0.seen.lock().await.entries);
        // Of a million of them that takes a while.
        let found = tokio::task::spawn_blocking(move || {
            let same = known.iter().filter(|(_, (kind, _))| wanted.contains(kind));
            let mut numbers: Vec<u64> = same.map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            numbers
        });
        // It does not panic, and is not aborted.
        found.await.unwrap_or_default()
    }

    /// Removes an entry from its list, here at once and on other nodes within a second.
    ///
    /// # Errors
    /// Returns [`SettingsError`] if [`SettingsStore::remove_entry`] does.
    pub async fn remove_entry(
        &self,
        entry_id: u64,
        actor: &str,
        at: Timestamp,
    ) -> Result<(), SettingsError> {
        self.0.store.remove_entry(entry_id, actor, at).await?;
        self.look().await;
        Ok(())
    }

    /// Returns a page of the entries, newest first.
    ///
    /// # Errors
    /// Returns [`SettingsError`] if [`SettingsStore::entries`] does.
    pub async fn entries(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ListedEntry>, SettingsError> {
        self.0.store.entries(before, limit).await
    }

    async fn read_documents(&self, seen: &mut Seen) -> Result<(), SettingsError> {
        let current = by_name(self.0.store.current().await?);
        if current != **self.0.documents.load() {
            self.0.documents.store(Arc::new(current));
            self.0.changed.send_replace(());
            seen.is_unkept = true;
        }
        Ok(())
    }

    /// Reads what changed of the entries. Each part is taken in as it comes: what breaks off goes on where
    /// it was.
    async fn read_entries(&self, seen: &mut Seen) -> Result<(), SettingsError> {
        loop {
            let page = self.0.store.changed_entries(seen.position, PAGE).await?;
            let is_last = page.entries.len() < PAGE;
            let is_changed = !page.entries.is_empty();
            seen.is_changed |= is_changed;
            seen.is_unkept |= is_changed;
            seen.position = page.position;
            let known = Arc::make_mut(&mut seen.entries);
            for ListedEntry { entry_id, entry, is_removed, .. } in page.entries {
                if is_removed {
                    known.remove(&entry_id);
                } else {
                    known.insert(entry_id, (entry.kind, entry.expires_at));
                }
            }
            if is_last {
                break;
            }
            tokio::task::yield_now().await;
        }
        // From now on the store's count.
        if let Some(kept) = seen.kept_entries.take() {
            seen.is_changed |= !kept.is_empty();
            seen.is_unkept |= !kept.is_empty();
        }
        Ok(())
    }

    /// Makes the lists anew if an entry was read or has ended.
    async fn renew_lists(&self, seen: &mut Seen) {
        let now = self.0.clock.now();
        let expires = self.0.lists.load().next_expiry.is_some_and(|at| at <= now);
        let is_changed = seen.is_changed && seen.kept_entries.is_none();
        if !is_changed && !expires {
            return;
        }
        let (kept, entries) = (seen.kept_entries.clone(), Arc::clone(&seen.entries));
        // Of a million of them that takes a while.
        let made = tokio::task::spawn_blocking(move || match kept {
            Some(kept) => Lists::new(kept.iter().copied(), now),
            None => Lists::new(entries.values().copied(), now),
        });
        // It does not panic, and is not aborted.
        if let Ok(lists) = made.await {
            self.0.lists.store(Arc::new(lists));
            seen.is_changed &= seen.kept_entries.is_some();
        }
    }

    /// Keeps what was read for the next start. Without that the shop sells on, so a failure is told and
    /// tried again.
    async fn keep(&self, seen: &mut Seen) {
        let (kept, documents) = (Arc::clone(&self.0.kept), self.0.documents.load_full());
        let entries = Arc::clone(&seen.entries);
        let written = tokio::task::spawn_blocking(move || {
            kept.write(documents.values(), entries.values().copied())
        });
        // It does not panic, and is not aborted.
        let Ok(written) = written.await else { return };
        seen.is_unkept = written.is_err();
        let was_failing = std::mem::replace(&mut seen.is_keeping_failing, written.is_err());
        match written {
            Err(error) if !was_failing => tracing::warn!(
                %error,
                "the settings cannot be kept in the data directory: a start while the database is away \
                 would go on with older ones"
            ),
            Ok(()) if was_failing => tracing::info!("the settings are kept again"),
            Ok(()) | Err(_) => {}
        }
    }
}

fn by_name(documents: Vec<StoredSetting>) -> BTreeMap<String, StoredSetting> {
    documents.into_iter().map(|stored| (stored.name.clone(), stored)).collect()
}
