//! The data directory: its lock, which one process holds at a time, and its layout.
//!
//! ```text
//! LOCK              locked by the process that serves, as the directory itself is
//! identity          the journal's identity, which checkpoints and order store name too
//! shards            the number of shards that the journal's logs were made with
//! journal/          the journal's segments
//! checkpoints.db    checkpoints, unless they are in Redis
//! orders.db         orders, dead letters and catalogue, unless they are in MySQL
//! secrets/          the secret that signs tokens
//! ```

use super::journal::JournalId;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fmt::Display;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A data directory. While one made by [`Self::lock`] exists, no other process serves from it.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _locks: Vec<File>,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The operating system failed to make, read or write a file.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file of one value holds something else.
    #[error(
        "{path} {}: {expected}",
        if .held.is_empty() { "is empty".to_owned() } else { format!("holds {held:?}") },
        path = .path.display()
    )]
    Malformed {
        /// The file that was read.
        path: PathBuf,
        /// What it holds; nothing if it is empty.
        held: String,
        /// What it should be, in words.
        expected: &'static str,
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
        /// The data directory.
        path: PathBuf,
        /// The number of shards that was recorded.
        recorded: u16,
        /// The number of shards that is configured.
        configured: u16,
    },
}

impl DataDir {
    /// Locks the directory for this process until the value is dropped. Creates it if needed.
    ///
    /// # Errors
    /// Returns [`DataDirError`] if it cannot be made, or another process has locked it.
    pub fn lock(path: &Path) -> Result<Self, DataDirError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { path, source }
        };
        // Only this user may read the orders.
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(path).map_err(io(path))?;
        let lock_path = path.join("LOCK");
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600);
        let lock = lock.open(&lock_path).map_err(io(&lock_path))?;
        // The directory as well, because nobody tidies away what holds the data.
        let directory = File::open(path).map_err(io(path))?;
        for (file, path_of_file) in [(&lock, lock_path.as_path()), (&directory, path)] {
            match flock(file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(DataDirError::InUse(path.to_owned())),
                Err(error) => return Err(io(path_of_file)(error.into())),
            }
        }
        Ok(Self { path: path.to_owned(), _locks: vec![lock, directory] })
    }

    /// Refers to the directory without a lock, for reading; another process may serve from it.
    pub fn look(path: &Path) -> Self {
        Self { path: path.to_owned(), _locks: Vec::new() }
    }

    /// Records the number of shards, which may only grow.
    ///
    /// # Errors
    /// Returns [`DataDirError`] if there are fewer than were recorded, or the file cannot be written.
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
        self.write_record("shards", configured)
    }

    /// Returns the recorded number of shards, if there is one.
    ///
    /// # Errors
    /// Returns [`DataDirError`] if the file exists and cannot be read.
    pub fn recorded_shards(&self) -> Result<Option<u16>, DataDirError> {
        self.read_record("shards", "not a number of shards")
    }

    /// Returns the identity of the journal here; draws and records one if there is none yet.
    ///
    /// # Errors
    /// Returns [`DataDirError`] if the file cannot be read or written.
    pub fn agree_on_identity(&self) -> Result<JournalId, DataDirError> {
        if let Some(recorded) = self.recorded_identity()? {
            return Ok(recorded);
        }
        let drawn = JournalId::random();
        self.write_record("identity", drawn)?;
        Ok(drawn)
    }

    /// Returns the recorded identity of the journal here, if there is one.
    ///
    /// # Errors
    /// Returns [`DataDirError`] if the file exists and cannot be read.
    pub fn recorded_identity(&self) -> Result<Option<JournalId>, DataDirError> {
        self.read_record("identity", "not a journal's identity, 16 hexadecimal digits")
    }

    /// Records that the journal here is the one of this identity, which order store and checkpoints
    /// name.
    ///
    /// # Errors
    /// Returns [`DataDirError`] if the file cannot be written.
    pub fn adopt_identity(&self, journal: JournalId) -> Result<(), DataDirError> {
        self.write_record("identity", journal)
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the directory of the journal's segments.
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// The path of the file of the embedded checkpoint store.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints.db")
    }

    /// The path of the file of the embedded order store and catalogue.
    pub fn orders(&self) -> PathBuf {
        self.path.join("orders.db")
    }

    /// Reads the value in the file of this name, if it exists; `otherwise` says what it should be.
    fn read_record<T: FromStr>(
        &self,
        name: &str,
        otherwise: &'static str,
    ) -> Result<Option<T>, DataDirError> {
        let path = self.path.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => {
                    let held = text.trim().chars().take(40).collect();
                    Err(DataDirError::Malformed { path, held, expected: otherwise })
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DataDirError::Io { path, source }),
        }
    }

    /// Writes the value to the file of this name, atomically and durably.
    fn write_record(&self, name: &str, value: impl Display) -> Result<(), DataDirError> {
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
        // A directory of a version that recorded no identity.
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
