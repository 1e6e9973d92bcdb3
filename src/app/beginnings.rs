//! What a start finds in the data directory before it changes anything there, and what its absence means: of the
//! journal's identity, and of the secret that signs tokens.

use super::error::AppError;
use crate::actors::{RecoveryError, StartError};
use crate::config::Config;
use crate::opening::{self, Identity, OpenError};
use crate::secrets;
use crate::store::checkpoint::CheckpointError;
use crate::store::data_dir::{DataDir, DataDirError};
use crate::store::journal::file;
use crate::store::journal::file::disk::RealDisk;
use crate::store::orders::ownership::OwnershipError;
use std::sync::Arc;

/// Locks the data directory, and returns it with its journal's identity.
///
/// # Errors
/// Returns [`AppError`] if [`opening::lock_data_dir`] refuses it.
pub(super) async fn lock(config: &Config) -> Result<(Arc<DataDir>, Identity), AppError> {
    match opening::lock_data_dir(config) {
        Ok((data_dir, identity)) => Ok((Arc::new(data_dir), identity)),
        Err(error) => Err(refusal_of_directory(config, error).await),
    }
}

/// Why the data directory is refused. Of an identity that cannot be read the order store may know what it was.
async fn refusal_of_directory(config: &Config, error: OpenError) -> AppError {
    let data_dir = DataDir::look(&config.data.dir);
    if let OpenError::DataDir(DataDirError::Malformed { path, .. }) = &error
        && *path == data_dir.identity()
        && let Ok(Some(orders)) = opening::existing_orders(config, &data_dir).await
    {
        let owner = orders.owner().await;
        orders.close().await;
        if let Ok(Some(journal)) = owner {
            return AppError::IdentityLost {
                path: path.clone(),
                named_by: "the order store",
                journal,
            };
        }
    }
    error.into()
}

/// What was there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginnings {
    /// Whether a shop has sold from here before.
    was_used: bool,
    /// Whether the journal's identity is recorded.
    has_identity: bool,
    /// Whether there is a secret, or the settings have one.
    has_secret: bool,
}

impl Beginnings {
    /// Looks into the data directory.
    ///
    /// # Errors
    /// Returns [`AppError`] if the secret is there and cannot be used, or the journal's directory cannot be
    /// opened.
    pub(super) fn look(
        config: &Config,
        data_dir: &DataDir,
        identity: Identity,
    ) -> Result<Self, AppError> {
        let disk = RealDisk::open(&data_dir.journal()).map_err(AppError::Journal)?;
        let has_segments = file::has_segments(&disk).map_err(AppError::Journal)?;
        let has_identity = matches!(identity, Identity::Recorded(_));
        let has_secret =
            config.tokens.secret.is_some() || secrets::has_signing_secret(data_dir.path())?;
        Ok(Self { was_used: has_segments || has_identity, has_identity, has_secret })
    }

    /// Whether the secret was there once and is not any more.
    pub(super) fn has_lost_secret(self) -> bool {
        self.was_used && !self.has_secret
    }

    /// Why the start is refused. An identity that was drawn just now says nothing about whose the stores are.
    pub(super) fn refusal(self, data_dir: &DataDir, error: StartError) -> AppError {
        let owner = match &error {
            StartError::Recovery(RecoveryError::ForeignCheckpoint(CheckpointError::Foreign {
                owner,
                ..
            })) => ("the checkpoints", *owner),
            StartError::Recovery(RecoveryError::ForeignOrders(OwnershipError::Foreign {
                owner,
                ..
            })) => ("the order store", *owner),
            _ => return error.into(),
        };
        if self.has_identity || !self.was_used {
            return error.into();
        }
        AppError::IdentityLost { path: data_dir.identity(), named_by: owner.0, journal: owner.1 }
    }
}
