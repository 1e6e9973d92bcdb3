//! The data directory: one process at a time, and what lies where in it.
//!
//! ```text
//! LOCK              held by the process that serves
//! shards            how many shards the journal's logs were made with
//! journal/          the segments
//! checkpoints.db    checkpoints, where no Redis keeps them
//! books.db          orders and catalogue, where no MySQL keeps them
//! secrets/          what signs tokens
//! ```

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A data directory. While it is [`Self::lock`]ed no other process serves from it.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: Option<File>,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The system failed.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process serves from it.
    #[error("{path} is in use by another process", path = .0.display())]
    InUse(PathBuf),
    /// It was made with more shards than are configured now.
    #[error(
        "{path} holds the logs of {recorded} shards, but engine.shards is {configured}: shards can \
         be added, not taken away", path = .path.display()
    )]
    FewerShards {
        /// The directory.
        path: PathBuf,
        /// As recorded.
        recorded: u16,
        /// As configured.
        configured: u16,
    },
}

impl DataDir {
    /// The directory, created if needed, for this process alone until the value is dropped.
    ///
    /// # Errors
    /// Where it cannot be made, or another process has it.
    pub fn lock(path: &Path) -> Result<Self, DataDirError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { path, source }
        };
        // Orders are nobody else's business.
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(path).map_err(io(path))?;
        let lock_path = path.join("LOCK");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(io(&lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: Some(lock) }),
            Err(Errno::WOULDBLOCK) => Err(DataDirError::InUse(path.to_owned())),
            Err(error) => Err(DataDirError::Io { path: lock_path, source: error.into() }),
        }
    }

    /// The directory as it is, to look at; another process may be serving from it.
    pub fn look(path: &Path) -> Self {
        Self { path: path.to_owned(), _lock: None }
    }

    /// Records the number of shards, which may only grow.
    ///
    /// # Errors
    /// Where there are fewer than were recorded, or the record cannot be written.
    pub fn agree_on_shards(&self, configured: u16) -> Result<(), DataDirError> {
        let recorded = self.recorded_shards()?;
        match recorded {
            Some(recorded) if recorded == configured => return Ok(()),
            Some(recorded) if recorded > configured => {
                return Err(DataDirError::FewerShards {
                    path: self.path.clone(),
                    recorded,
                    configured,
                });
            }
            _ => {}
        }
        let (new, path) = (self.path.join("shards.new"), self.path.join("shards"));
        let write = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            writeln!(file, "{configured}")?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| DataDirError::Io { path, source })
    }

    /// With how many shards the logs were made, if anything was ever written here.
    ///
    /// # Errors
    /// Where the record is there and cannot be read.
    pub fn recorded_shards(&self) -> Result<Option<u16>, DataDirError> {
        let path = self.path.join("shards");
        match std::fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(shards) => Ok(Some(shards)),
                Err(_) => Err(DataDirError::Io {
                    path,
                    source: io::Error::new(io::ErrorKind::InvalidData, "not a number of shards"),
                }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DataDirError::Io { path, source }),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal's segments are.
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// The embedded checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints.db")
    }

    /// The embedded order store and catalogue.
    pub fn books(&self) -> PathBuf {
        self.path.join("books.db")
    }
}
