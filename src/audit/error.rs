//! Why an audit came to no verdict.

use crate::store::broker::BrokerError;
use crate::store::checkpoint::CheckpointError;
use crate::store::data_dir::DataDirError;
use crate::store::database::StoreError;
use crate::store::journal::JournalId;
use std::io;
use std::path::PathBuf;

/// Something cannot be read, so that there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The data directory cannot be read.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The journal's files cannot be read at all.
    #[error("the journal cannot be read: {0}")]
    Journal(#[source] io::Error),
    /// Nothing was ever written there.
    #[error("{0} holds no journal")]
    NoJournal(PathBuf),
    /// The order store cannot be read.
    #[error("the order store cannot be read: {0}")]
    Orders(#[from] StoreError),
    /// The order store was filled from another journal.
    #[error("the order store was filled from journal {owner}, but {path} holds {held}", path = .path.display())]
    ForeignOrders {
        /// The journal that it was filled from.
        owner: JournalId,
        /// The data directory that was to be audited.
        path: PathBuf,
        /// The journal in that directory, in words.
        held: String,
    },
    /// The checkpoints cannot be read.
    #[error("the checkpoints cannot be read: {0}")]
    Checkpoints(#[from] CheckpointError),
    /// The dead letters cannot be read.
    #[error("the dead letters cannot be read: {0}")]
    DeadLetters(#[from] BrokerError),
}
