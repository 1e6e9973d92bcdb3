//! The data directory: one process at a time, and what lies where in it.
//!
//! ```text
//! LOCK              held by the process that serves
//! identity          which journal it is: checkpoints and order store name it
//! shards            how many shards the journal's logs were made with
//! journal/          the segments
//! checkpoints.db    checkpoints, where no Redis keeps them
//! orders.db          orders and catalogue, where no MySQL keeps them
//! secrets/          what signs tokens
//! ```

use super::journal::JournalId;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fmt::Display;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

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
        self.put_on_record("shards", configured)
    }

    /// With how many shards the logs were made, if anything was ever written here.
    ///
    /// # Errors
    /// Where the record is there and cannot be read.
    pub fn recorded_shards(&self) -> Result<Option<u16>, DataDirError> {
        self.on_record("shards", "not a number of shards")
    }

    /// The identity of the journal here, drawn and recorded where there is none yet.
    ///
    /// # Errors
    /// Where the record cannot be read or written.
    pub fn agree_on_identity(&self) -> Result<JournalId, DataDirError> {
        if let Some(recorded) = self.recorded_identity()? {
            return Ok(recorded);
        }
        let drawn = JournalId::random();
        self.put_on_record("identity", drawn)?;
        Ok(drawn)
    }

    /// The identity of the journal here, if one was recorded.
    ///
    /// # Errors
    /// Where the record is there and cannot be read.
    pub fn recorded_identity(&self) -> Result<Option<JournalId>, DataDirError> {
        self.on_record("identity", "not a journal's identity, 16 hexadecimal digits")
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
    pub fn orders(&self) -> PathBuf {
        self.path.join("orders.db")
    }

    /// What the file of this name says, if it is there.
    fn on_record<T: FromStr>(
        &self,
        name: &str,
        otherwise: &'static str,
    ) -> Result<Option<T>, DataDirError> {
        let path = self.path.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(DataDirError::Io {
                    path,
                    source: io::Error::new(io::ErrorKind::InvalidData, otherwise),
                }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DataDirError::Io { path, source }),
        }
    }

    /// Makes the file of this name say so, wholly or not at all, and durably.
    fn put_on_record(&self, name: &str, value: impl Display) -> Result<(), DataDirError> {
        let (new, path) = (self.path.join(format!("{name}.new")), self.path.join(name));
        let write = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            writeln!(file, "{value}")?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| DataDirError::Io { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_drawn_once_and_never_for_another_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        let data_dir = DataDir::lock(directory.path()).expect("locked");
        // Made before there were identities.
        data_dir.agree_on_shards(4).expect("recorded");
        assert_eq!(data_dir.recorded_identity().expect("read"), None);
        let drawn = data_dir.agree_on_identity().expect("recorded");
        assert_eq!(data_dir.agree_on_identity().expect("read"), drawn);
        let seen = DataDir::look(directory.path()).recorded_identity().expect("read");
        assert_eq!(seen, Some(drawn));
        let text = std::fs::read_to_string(directory.path().join("identity")).expect("read");
        assert_eq!(text, format!("{drawn}\n"));
        assert!(!directory.path().join("identity.new").exists());

        let other = tempfile::tempdir().expect("a directory");
        let other = DataDir::lock(other.path()).expect("locked").agree_on_identity();
        assert_ne!(other.expect("recorded"), drawn);
    }

    #[test]
    fn an_identity_that_cannot_be_read_is_never_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let data_dir = DataDir::lock(directory.path()).expect("locked");
        for text in ["", "zebra", "0000000000000000"] {
            std::fs::write(directory.path().join("identity"), text).expect("written");
            let error = data_dir.agree_on_identity().expect_err("refused").to_string();
            assert!(error.ends_with("not a journal's identity, 16 hexadecimal digits"), "{error}");
            let kept = std::fs::read_to_string(directory.path().join("identity"));
            assert_eq!(kept.expect("read"), text);
        }
    }
}
