//! What carries the journal, as the configuration chooses: files of the data directory, or a log that several
//! nodes share.
//!
//! Must not know what is recorded in it.

use super::cluster::SharedLog;
use super::error::AppError;
use super::options;
use crate::config::Config;
use crate::opening::Identity;
use crate::store::data_dir::DataDir;
use crate::store::journal::file::disk::RealDisk;
use crate::store::journal::file::{self, FileLog};
use rustix::process::Resource;
use std::sync::Arc;

/// What carries the journal.
pub(super) enum Carrier {
    /// Files of the data directory.
    Files(file::OpenedFiles),
    /// The log that several nodes share.
    Shared(Box<SharedLog>),
}

impl Carrier {
    /// Opens what the configuration names. Returns with it whose the journal is: a log that is shared says so
    /// itself.
    ///
    /// # Errors
    /// Returns [`AppError`] if it cannot be opened, or is another shop's.
    pub(super) async fn open(
        config: &Config,
        data_dir: &DataDir,
        identity: Identity,
    ) -> Result<(Self, Identity), AppError> {
        if config.cluster.is_set() {
            let shared = SharedLog::open(config, data_dir, identity).await?;
            let identity = shared.identity;
            return Ok((Self::Shared(Box::new(shared)), identity));
        }
        Ok((Self::Files(open_journal(config, data_dir)?), identity))
    }
}

/// Opens the journal, unless it is of a later version or would not fit.
fn open_journal(config: &Config, data_dir: &DataDir) -> Result<file::OpenedFiles, AppError> {
    check_file_size_limit(config.journal.segment_bytes)?;
    let disk = RealDisk::open(&data_dir.journal()).map_err(AppError::Journal)?;
    file::check_versions(&disk)?;
    Ok(FileLog::open(Arc::new(disk), options::journal(config)))
}

/// Refuses a limit of the size of files (`ulimit -f`) that the journal would meet in the midst of a sale.
fn check_file_size_limit(segment: u64) -> Result<(), AppError> {
    match rustix::process::getrlimit(Resource::Fsize).current {
        Some(limit) if limit < segment => Err(AppError::FileSizeLimit { limit, segment }),
        _ => Ok(()),
    }
}
