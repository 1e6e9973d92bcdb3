//! Settings as they are now: what operators changed while the shop runs, followed in its store.
//!
//! Every second it is asked what changed, and at once where the store gives a hint, so that a change on one
//! node holds on all of them. What was read last holds for as long as the store does not answer, or has what is
//! not as it may be, also over a restart: it is kept in a file beside the journal. Reading is no part of a
//! purchase: it looks at a snapshot. Must not know what a document says; those who do are told that one
//! changed, and say which version they have applied.

use crate::clock::Clock;
use crate::store::settings::{
    Documents, Due, Hints, KeptEntry, KeptSettings, ListedEntry, NewEntry, Position, Refused,
    SettingChange, SettingsError, SettingsStore, StoredSetting,
};
use arc_swap::{ArcSwap, Guard};
use domain::Timestamp;
use domain::risk::{EntryKind, Lists};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// The time between two looks.
const PERIOD: Duration = Duration::from_millis(900);
/// Entries that are read at a time: so few that nobody waits for their decoding.
const PAGE: usize = 2_000;

/// How long an entry of the operators' log is left to the node that made the change, in milliseconds.
const TELLING: u64 = 5_000;

/// How the settings are, as those who watch the node see it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SettingsStanding {
    /// How often the settings were changed that the node has applied.
    pub applied: u64,
    /// What is in the store and does not count, because it is not as it may be.
    pub refused: Option<Refused>,
}

/// A handle to the settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LiveSettings(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: SettingsStore,
    kept: Arc<KeptSettings>,
    clock: Clock,
    documents: ArcSwap<Documents>,
    lists: ArcSwap<Lists>,
    /// Held by the one that looks.
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
    standing: watch::Sender<SettingsStanding>,
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
    /// The revision of the documents that was read.
    revision: i64,
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
        store.hold(&last.documents);
        let seen = Seen { kept_entries: Some(Arc::new(last.entries)), ..Seen::default() };
        Self(Arc::new(Shared {
            store,
            kept: Arc::new(kept),
            clock,
            documents: ArcSwap::from_pointee(last.documents),
            lists: ArcSwap::from_pointee(lists),
            seen: Mutex::new(seen),
            changed: watch::Sender::new(()),
            standing: watch::Sender::default(),
        }))
    }

    /// Follows the store until the task is aborted.
    pub async fn follow(self) {
        let mut hints = Hints::default();
        loop {
            self.look().await;
            let revision = self.0.seen.lock().await.revision;
            tokio::select! {
                () = self.0.store.hint(&mut hints, revision) => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
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
        self.0.documents.load().by_name.get(name).cloned()
    }

    /// Returns all documents, of which the newest versions count.
    pub fn documents(&self) -> Arc<Documents> {
        self.0.documents.load_full()
    }

    /// Notes that the documents of this version have been applied.
    pub fn note_applied(&self, version: u64) {
        self.0.standing.send_if_modified(|standing| {
            std::mem::replace(&mut standing.applied, version) != version
        });
    }

    /// Returns how the settings are, and is told of each change of that.
    pub fn standing(&self) -> watch::Receiver<SettingsStanding> {
        self.0.standing.subscribe()
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
        let found = self.0.store.current().await?;
        seen.revision = found.revision;
        if found.documents != **self.0.documents.load() {
            self.0.documents.store(Arc::new(found.documents));
            self.0.changed.send_replace(());
            seen.is_unkept = true;
        }
        self.tell_refused(found.refused);
        self.tell_due(&found.due).await;
        Ok(())
    }

    /// Tells of what is in the store and does not count: once, also if it was there before this process began.
    fn tell_refused(&self, refused: Option<Refused>) {
        self.0.standing.send_if_modified(|standing| {
            if standing.refused == refused {
                return false;
            }
            match &refused {
                Some(refused) => tracing::error!(
                    settings = refused.what,
                    error = refused.why,
                    "the settings are not as they may be and are kept out; those of before hold"
                ),
                None => tracing::info!("the settings are as they may be again"),
            }
            standing.refused = refused;
            true
        });
    }

    /// Tells the operators' log what the node that made a change could not.
    async fn tell_due(&self, due: &[Due]) {
        let now = self.0.clock.now();
        for due in due.iter().filter(|due| due.entry.at.0.saturating_add(TELLING) < now.0) {
            if let Err(error) = self.0.store.tell(due).await {
                tracing::debug!(%error, "the operators' log is told of settings later");
                return;
            }
        }
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
        let written =
            tokio::task::spawn_blocking(move || kept.write(&documents, entries.values().copied()));
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
