//! Why an audit came to no verdict.

use crate::store::checkpoint::CheckpointError;
use crate::store::data_dir::DataDirError;
use crate::store::database::StoreError;
use crate::store::journal::JournalId;
use crate::store::journal::fenced::LookError;
use crate::store::orders::StorePlace;
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
    /// The cluster's log cannot be read.
    #[error("the cluster's log cannot be read: {0}")]
    Etcd(#[source] LookError),
    /// etcd has forgotten the revision that was read, also when another one was taken.
    #[error("etcd compacted revision {0} while it was read, and earlier ones before it")]
    Compacted(i64),
    /// The order store cannot be read.
    #[error("the order store cannot be read: {0}")]
    Orders(#[from] StoreError),
    /// The order store was filled from another journal.
    #[error("the order store was filled from journal {owner}, but {place} holds {held}")]
    ForeignOrders {
        /// The journal that it was filled from.
        owner: JournalId,
        /// The log that was to be audited.
        place: String,
        /// The journal that it is.
        held: JournalId,
    },
    /// It is another one of the shop's order stores than the settings name it as.
    #[error("the database that is named as order store {configured}, is order store {found}")]
    MisplacedOrders {
        /// Which one it is, by its own word.
        found: StorePlace,
        /// Which one it is named as.
        configured: StorePlace,
    },
    /// The data directory does not say whose journal it has, and the order store was filled from this one.
    #[error(
        "{} is gone, which says whose journal this is; the order store was filled from journal {owner}",
        .path.display()
    )]
    IdentityLost {
        /// The journal that it was filled from.
        owner: JournalId,
        /// The file that is gone.
        path: PathBuf,
    },
    /// The checkpoints were made from another journal.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointError),
}
