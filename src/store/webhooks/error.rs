//! Why a webhook was not read or changed.

use crate::store::database::{ConnectionFault, StoreError};

/// Why a webhook was not read or changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WebhookError {
    /// There is no such endpoint, or nothing of this number waits for it.
    #[error("there is none of this number")]
    NotFound,
    /// There are as many endpoints as there may be.
    #[error("there are {max} endpoints, and there may be no more")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
    /// The endpoint was changed since it was read.
    #[error("it was changed meanwhile: look at it again")]
    ChangedMeanwhile,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for WebhookError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl ConnectionFault for WebhookError {
    fn is_connection_fault(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}
