//! Settings that are changed while the shop runs, and the lists that risk rules look into.
//!
//! A port: documents by name with a version that grows by one, each change with its author and reason,
//! and entries of lists that are told by the number of their last change. The documents are in a table of
//! the database of orders and catalogue or, in a cluster, in etcd; the entries are in the database. Must not know
//! what a document says.

mod centre;
mod documents;
mod entries;
mod error;
mod kept;
mod table;
mod written;

pub use centre::{Centre, CentreStanding, Judge};
pub use documents::{Documents, Due, Found, Refused, SettingChange, StoredSetting};
pub use entries::{ChangedEntries, ListedEntry, NewEntry, Position};
pub use error::SettingsError;
pub use kept::{Kept, KeptEntry, KeptSettings};

use crate::store::database::Database;
use crate::store::etcd::Watch;
use table::Table;

/// The most entries that one call adds, and that one returns.
pub const ENTRIES_MAX: usize = 5_000;
/// The longest reason of a change, in characters.
pub const REASON_LENGTH_MAX: usize = 200;
/// The longest note of an entry, in characters.
pub const NOTE_LENGTH_MAX: usize = 200;

/// A handle to the settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SettingsStore {
    database: Database,
    /// Where the documents are, if not in the database.
    centre: Option<Centre>,
}

/// What is kept of a watch from one wait to the next.
#[derive(Debug, Default)]
pub struct Hints(Option<Watch>);

impl SettingsStore {
    /// Makes a handle to the settings in `database`.
    pub fn new(database: Database) -> Self {
        Self { database, centre: None }
    }

    /// Makes a handle to the settings of which the documents are in `centre`.
    pub fn with_centre(database: Database, centre: Centre) -> Self {
        Self { database, centre: Some(centre) }
    }

    /// Lets these documents count as the last good ones until others are found.
    pub fn hold(&self, documents: &Documents) {
        if let Some(centre) = &self.centre {
            centre.hold(documents);
        }
    }

    /// Returns the documents that count, and what else is where they are.
    ///
    /// # Errors
    /// Returns [`SettingsError::Store`] or [`SettingsError::Centre`] if there is no answer.
    pub async fn current(&self) -> Result<Found, SettingsError> {
        match &self.centre {
            Some(centre) => centre.current().await,
            None => Ok(Found { documents: self.table().current().await?, ..Found::default() }),
        }
    }

    /// Makes the next version of a document, and the entry of the operators' log with it. From a centre, an
    /// entry that the log does not take is due.
    ///
    /// # Errors
    /// Returns [`SettingsError::OtherVersion`] if the change was made from another version,
    /// [`SettingsError::TooLarge`] if there is no room for it, [`SettingsError::Store`] or
    /// [`SettingsError::Centre`] if there is no answer: a change of a centre may be made then.
    pub async fn change(&self, change: SettingChange<'_>) -> Result<StoredSetting, SettingsError> {
        let Some(centre) = &self.centre else { return self.table().change(&change).await };
        let (stored, due) = centre.change(&change).await?;
        if let Err(error) = self.tell(&due).await {
            tracing::warn!(%error, "settings were changed, and the operators' log is told later");
        }
        Ok(stored)
    }

    /// Tells the operators' log what is due.
    ///
    /// # Errors
    /// Returns [`SettingsError::Store`] or [`SettingsError::Centre`] if there is no answer: it is due
    /// still.
    pub async fn tell(&self, due: &Due) -> Result<(), SettingsError> {
        let Some(centre) = &self.centre else { return Ok(()) };
        self.table().note_once(&due.entry).await?;
        centre.told(due).await
    }

    /// Returns the versions of a document, newest first, beginning before the version `before` if
    /// given; at most `limit`, and 100.
    ///
    /// # Errors
    /// Returns [`SettingsError::Store`] or [`SettingsError::Centre`] if there is no answer.
    pub async fn history(
        &self,
        name: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredSetting>, SettingsError> {
        match &self.centre {
            Some(centre) => centre.history(name, before, limit).await,
            None => self.table().history(name, before, limit).await,
        }
    }

    /// Waits until the documents have changed behind this revision, as far as that is watched: for ever if
    /// it is not. It may come without a change.
    pub async fn hint(&self, hints: &mut Hints, behind: i64) {
        match &self.centre {
            Some(centre) => centre.hint(&mut hints.0, behind).await,
            None => std::future::pending().await,
        }
    }

    fn table(&self) -> Table {
        Table(self.database.clone())
    }
}
