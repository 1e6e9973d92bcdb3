//! Settings that are changed while the shop runs, and the lists that risk rules look into.
//!
//! A port: documents by name with a version that grows by one, each change with its author and reason,
//! and entries of lists that are told by the number of their last change. Here it is served by the
//! database of orders and catalogue; whatever else can compare and swap can serve it too. Must not know
//! what a document says.

mod documents;
mod entries;
mod kept;

pub use documents::{SettingChange, StoredSetting};
pub use entries::{ChangedEntries, ListedEntry, NewEntry, Position};
pub use kept::{Kept, KeptEntry, KeptSettings};

use crate::store::database::{ConnectionFault, Database, StoreError};

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
}

/// Why settings were not read or changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettingsError {
    /// The document is not at the version from which the change was made.
    #[error("it is at version {present}: look at it, and send its ETag in If-Match")]
    OtherVersion {
        /// The document's version.
        present: u64,
    },
    /// There is no such version of the document, or no such entry.
    #[error("there is none of this number")]
    NotFound,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for SettingsError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl ConnectionFault for SettingsError {
    fn is_connection_fault(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}

impl SettingsStore {
    /// Makes a handle to the settings in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}
