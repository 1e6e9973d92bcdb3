//! A copy of a shop's data beside the shop that sells: journal, stores and secrets, as of one instant that a start
//! from the copy goes on from.
//!
//! The journal is taken before the stores are copied and once more behind them. What the copied order store lacks is
//! thereby in the copied journal, and what it has is on record there.

use crate::config::Config;
use crate::store::data_dir::DataDir;
use crate::store::journal::file::{CopyError, SegmentCopy};
use crate::store::sqlite_file;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is something where the backup is to be.
    #[error("{path} exists", path = .0.display())]
    Exists(PathBuf),
    /// There is no shop's data to copy.
    #[error("{path} is no shop's data directory: it names no journal", path = .0.display())]
    NoShop(PathBuf),
    /// The file system failed.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The journal's segments were not copied.
    #[error("the journal was not copied: {0}")]
    Journal(#[from] CopyError),
    /// A store's file was not copied.
    #[error("{path} was not copied: {reason}", path = .path.display())]
    Store {
        /// The store's file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// The command that dumps the order store failed.
    #[error("the order store was not dumped: {0}")]
    Dump(String),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { path, source }
}

/// A backup that is being made, in a directory beside the one that it gets in the end: what is found under its name is
/// whole.
#[derive(Debug)]
pub struct Backup {
    folder: PathBuf,
    unfinished: PathBuf,
}

/// What the dump's command is told of the folder that it writes to.
pub const FOLDER_VARIABLE: &str = "SECKILL_BACKUP_DIR";

impl Backup {
    /// Copies the data of the shop in `config`, which may sell meanwhile. `dump` is the command that dumps an order
    /// store in MySQL, for the shell; it runs after the journal was taken for the first time.
    ///
    /// # Errors
    /// Returns [`BackupError`] if something cannot be copied. What was copied stays beside `folder`, with the ending
    /// `.unfinished`.
    pub async fn copy(
        config: &Config,
        folder: &Path,
        dump: Option<&str>,
    ) -> Result<Self, BackupError> {
        let data_dir = DataDir::look(&config.data.dir);
        if !data_dir.identity().exists() {
            return Err(BackupError::NoShop(config.data.dir.clone()));
        }
        // Without a slash at its end, behind which the ending would be a name within the folder.
        let folder: PathBuf = folder.components().collect();
        let mut unfinished = folder.clone().into_os_string();
        unfinished.push(".unfinished");
        let backup = Self { folder, unfinished: unfinished.into() };
        for path in [&backup.folder, &backup.unfinished] {
            if path.exists() {
                return Err(BackupError::Exists(path.clone()));
            }
        }
        let copy = &backup.unfinished;
        DirBuilder::new().recursive(true).mode(0o700).create(copy).map_err(at(copy))?;
        let copied = DataDir::look(copy);
        let segments = SegmentCopy::begin(&data_dir.journal(), &copied.journal())?;
        let stores = [
            (data_dir.orders(), copied.orders(), config.orders.are_in_file()),
            (data_dir.checkpoints(), copied.checkpoints(), config.checkpoint.redis_url.is_none()),
        ];
        for (from, to, is_file) in stores {
            if is_file && from.exists() {
                let store = sqlite_file::copy(&from, &to).await;
                store.map_err(|reason| BackupError::Store { path: from, reason })?;
            }
        }
        if let Some(command) = dump {
            run(command, copy)?;
        }
        segments.finish()?;
        copy_files(data_dir.path(), copy)?;
        Ok(backup)
    }

    /// Where the copy is until it has its name.
    pub fn path(&self) -> &Path {
        &self.unfinished
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// Returns [`BackupError::Io`] if the file system fails.
    pub fn finish(self) -> Result<(), BackupError> {
        fs::rename(&self.unfinished, &self.folder).map_err(at(&self.folder))?;
        let parent = self.folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(at(parent))
    }
}

/// The files of one value, the settings that were read last, and the secrets.
fn copy_files(from: &Path, to: &Path) -> Result<(), BackupError> {
    for name in ["identity", "shards", "settings"] {
        copy_file(&from.join(name), &to.join(name))?;
    }
    let (from, to) = (from.join("secrets"), to.join("secrets"));
    let entries = match fs::read_dir(&from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(&from)(error)),
    };
    DirBuilder::new().mode(0o700).create(&to).map_err(at(&to))?;
    for entry in entries {
        let entry = entry.map_err(at(&from))?;
        copy_file(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Copies a file with its mode, if it is there.
fn copy_file(from: &Path, to: &Path) -> Result<(), BackupError> {
    match fs::copy(from, to).and_then(|_| File::open(to)?.sync_all()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        copied => copied.map_err(at(from)),
    }
}

fn run(command: &str, folder: &Path) -> Result<(), BackupError> {
    let status = Command::new("sh")
        .args(["-c", command])
        .env(FOLDER_VARIABLE, folder)
        .stdin(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(BackupError::Dump(format!("the command ended with {status}"))),
        Err(error) => Err(BackupError::Dump(error.to_string())),
    }
}
