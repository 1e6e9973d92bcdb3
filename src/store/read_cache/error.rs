//! What can go wrong with a read.

use crate::store::catalogue::CatalogueError;

/// Why a read has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// The loader failed.
    #[error(transparent)]
    Load(#[from] CatalogueError),
    /// Other callers were loading for too long.
    #[error("too many reads wait for the same data")]
    Overloaded,
}
