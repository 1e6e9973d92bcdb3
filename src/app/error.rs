//! Why the process cannot serve, by what a person can do about it.

use super::cluster::ClusterError;
use crate::actors::{RecoveryError, StartError};
use crate::http;
use crate::listening::ListenError;
use crate::opening::OpenError;
use crate::secrets;
use crate::store::journal::file::ReadError;
use crate::store::journal::{JournalError, JournalId};
use crate::store::orders::ownership::OwnershipError;
use std::io;
use std::path::PathBuf;

/// Why the process cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The certificate cannot be read or used.
    #[error(transparent)]
    Tls(#[from] http::TlsError),
    /// The signing secret cannot be made or read.
    #[error(transparent)]
    Secret(#[from] secrets::Error),
    /// The signing secret is too short.
    #[error(transparent)]
    Signer(#[from] http::SecretTooShort),
    /// The provider of payments cannot be used as it is configured.
    #[error("{0}")]
    Payments(String),
    /// Webhooks cannot be sent as it is configured.
    #[error("{0}")]
    Webhooks(String),
    /// The provider of challenges cannot be used as it is configured.
    #[error("{0}")]
    Challenge(String),
    /// The journal's directory cannot be opened.
    #[error("the journal's directory cannot be opened: {0}")]
    Journal(#[source] io::Error),
    /// The journal was written by a newer version of this program.
    #[error(transparent)]
    NewerJournal(ReadError),
    /// The journal cannot be read: a place in it is damaged.
    #[error(transparent)]
    JournalDamaged(StartError),
    /// Another process writes the journal.
    #[error(transparent)]
    JournalInUse(ReadError),
    /// The process may not write a file as large as a segment.
    #[error(
        "this process may write files of {limit} bytes at most, and a segment of the journal has \
         {segment}"
    )]
    FileSizeLimit {
        /// The limit of a file's size in bytes.
        limit: u64,
        /// A segment's size in bytes.
        segment: u64,
    },
    /// The wall clock is behind the journal's newest record.
    #[error(transparent)]
    Clock(StartError),
    /// The engine cannot recover or start.
    #[error(transparent)]
    Engine(StartError),
    /// The checkpoints or the order store hold records that the journal has lost.
    #[error(transparent)]
    JournalBehind(StartError),
    /// The checkpoints are another shop's.
    #[error(transparent)]
    ForeignCheckpoint(StartError),
    /// The order store is another shop's.
    #[error(transparent)]
    ForeignOrders(StartError),
    /// The order stores are not those that the settings name them as.
    #[error(transparent)]
    MisplacedOrders(StartError),
    /// The file with the journal's identity is gone or holds something else, and what was made from the
    /// journal names this one.
    #[error(
        "{path}, which says whose journal this is, is gone or holds no identity; {named_by} was made from \
         journal {journal}",
        path = .path.display()
    )]
    IdentityLost {
        /// The file that is gone.
        path: PathBuf,
        /// What names the journal.
        named_by: &'static str,
        /// The journal that it names.
        journal: JournalId,
    },
    /// The order store has lost orders that are nowhere else.
    #[error(transparent)]
    OrdersLost(StartError),
    /// The issuer of the mall's tokens cannot be asked as configured.
    #[error("oidc.jwks_url or oidc.ca_file cannot be used: {0}")]
    Issuer(#[source] io::Error),
    /// The collector of traces cannot be asked as configured.
    #[error("traces.otlp_endpoint cannot be used: {0}")]
    Traces(#[source] io::Error),
    /// The process cannot be a node of its cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A thread cannot be started.
    #[error("the threads cannot be started: {0}")]
    Threads(#[source] io::Error),
    /// A socket cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl From<StartError> for AppError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::ClockBehind { .. } => Self::Clock(error),
            StartError::Recovery(RecoveryError::Journal(error)) => error.into(),
            StartError::Recovery(RecoveryError::ForeignCheckpoint(_)) => {
                Self::ForeignCheckpoint(error)
            }
            StartError::Recovery(
                RecoveryError::CheckpointAhead { .. }
                | RecoveryError::ForeignOrders(OwnershipError::Ahead { .. }),
            ) => Self::JournalBehind(error),
            StartError::Recovery(RecoveryError::ForeignOrders(OwnershipError::Behind {
                ..
            })) => Self::OrdersLost(error),
            StartError::Recovery(RecoveryError::ForeignOrders(
                OwnershipError::Misplaced { .. } | OwnershipError::Stray { .. },
            )) => Self::MisplacedOrders(error),
            StartError::Recovery(RecoveryError::ForeignOrders(_)) => Self::ForeignOrders(error),
            error => Self::Engine(error),
        }
    }
}

impl From<JournalError> for AppError {
    fn from(error: JournalError) -> Self {
        match error.0.downcast::<ReadError>() {
            Ok(read) => (*read).into(),
            Err(other) => Self::Engine(RecoveryError::Journal(JournalError(other)).into()),
        }
    }
}

impl From<ReadError> for AppError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Newer { .. } => Self::NewerJournal(error),
            ReadError::InUse { .. } => Self::JournalInUse(error),
            error @ (ReadError::Corrupt { .. } | ReadError::Refused { .. }) => {
                Self::JournalDamaged(RecoveryError::Journal(error.into()).into())
            }
            error => Self::Engine(RecoveryError::Journal(error.into()).into()),
        }
    }
}
