//! Why settings were not read or changed.

use crate::store::database::{ConnectionFault, StoreError};
use crate::store::etcd::EtcdError;

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
    /// All documents together would be too large for the place that they are in.
    #[error("all settings together would be more than {bytes_max} bytes")]
    TooLarge {
        /// How large they may be, in bytes.
        bytes_max: usize,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// etcd does not answer, or refuses.
    #[error(transparent)]
    Centre(#[from] EtcdError),
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
