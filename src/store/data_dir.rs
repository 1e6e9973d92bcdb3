//! The data directory: its lock, which one process holds at a time, and its layout.
//!
//! ```text
//! LOCK              locked by the process that serves, whose number it holds; as the directory itself is
//! identity          the journal's identity, which checkpoints and order store name too
//! shards            the number of shards that the journal's logs were made with
//! journal/          the journal's segments
//! checkpoints.db    checkpoints, unless they are in Redis
//! orders.db         orders, dead letters and catalogue, unless they are in MySQL
//! settings          what operators changed while the shop ran, as it was read last
//! figures           the history of the live figures
//! secrets/          the secret that signs tokens
//! ```

use super::journal::JournalId;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fmt::Display;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The file of the history of the live figures.
const HISTORY: &str = "figures";

/// A data directory. While one made by [`Self::lock`] exists, no other process serves from it.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The file `LOCK` and the directory, if it is locked.
    locks: Vec<File>,
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
    #[error(
        "{path} is in use by another process{}",
        .process.map(|process| format!(", {process}")).unwrap_or_default(),
        path = .path.display()
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The number of that process, if it wrote it down.
        process: Option<u32>,
    },
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
        let lock = options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let mut lock = lock.open(&lock_path).map_err(io(&lock_path))?;
        // The directory as well, because nobody tidies away what holds the data.
        let directory = File::open(path).map_err(io(path))?;
        for (file, path_of_file) in [(&lock, lock_path.as_path()), (&directory, path)] {
            match flock(file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    let process = process_in(&lock);
                    return Err(DataDirError::InUse { path: path.to_owned(), process });
                }
                Err(error) => return Err(io(path_of_file)(error.into())),
            }
        }
        // Only for those who find it locked, so a full disk does not matter.
        let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self { path: path.to_owned(), locks: vec![lock, directory] })
    }

    /// Refers to the directory without a lock, for reading; another process may serve from it.
    pub fn look(path: &Path) -> Self {
        Self { path: path.to_owned(), locks: Vec::new() }
    }

    /// Checks that there are no fewer shards than were recorded. Changes nothing.
    ///
    /// # Errors
    /// Returns [`DataDirError`] if there are, or the file cannot be read.
    pub fn check_shards(&self, configured: u16) -> Result<(), DataDirError> {
        match self.recorded_shards()? {
            Some(recorded) if recorded > configured => {
                Err(DataDirError::FewerShards { path: self.path.clone(), recorded, configured })
            }
            _ => Ok(()),
        }
    }

    /// Records the number of shards, which may only grow.
    ///
    /// # Errors
    /// Returns [`DataDirError`] if there are fewer than were recorded, or the file cannot be written.
    pub fn agree_on_shards(&self, configured: u16) -> Result<(), DataDirError> {
        self.check_shards(configured)?;
        if self.recorded_shards()? == Some(configured) {
            return Ok(());
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

    /// Puts the files of one value back that are gone or hold no value any more, and returns their paths.
    /// Those of the directory that is locked alone: another one may be in its place.
    ///
    /// # Errors
    /// Returns [`DataDirError`] if the directory or a file in it cannot be read or written, if another
    /// directory is in its place, or if a file holds another value.
    pub fn put_back(&self, shards: u16, journal: JournalId) -> Result<Vec<PathBuf>, DataDirError> {
        self.check_place()?;
        let mut back = Vec::new();
        match self.recorded_identity() {
            Ok(Some(found)) if found == journal => {}
            Ok(Some(found)) => {
                return Err(DataDirError::Malformed {
                    path: self.identity(),
                    held: found.to_string(),
                    expected: "not the identity of the journal that this process writes",
                });
            }
            Ok(None) | Err(DataDirError::Malformed { .. }) => {
                self.adopt_identity(journal)?;
                back.push(self.identity());
            }
            Err(error) => return Err(error),
        }
        match self.recorded_shards() {
            Ok(Some(_)) => {}
            Ok(None) | Err(DataDirError::Malformed { .. }) => {
                self.write_record("shards", shards)?;
                back.push(self.path.join("shards"));
            }
            Err(error) => return Err(error),
        }
        Ok(back)
    }

    /// Checks that the directory that was locked is the one at its path.
    fn check_place(&self) -> Result<(), DataDirError> {
        let io = |source| DataDirError::Io { path: self.path.clone(), source };
        let found = std::fs::metadata(&self.path).map_err(io)?;
        for locked in self.locks.iter().skip(1) {
            let locked = locked.metadata().map_err(io)?;
            if (locked.dev(), locked.ino()) != (found.dev(), found.ino()) {
                return Err(io(io::Error::other("another directory was put in its place")));
            }
        }
        Ok(())
    }

    /// The path of the file with the journal's identity.
    pub fn identity(&self) -> PathBuf {
        self.path.join("identity")
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

    /// The path of the file that keeps the settings which were read last.
    pub fn settings(&self) -> PathBuf {
        self.path.join("settings")
    }

    /// Returns the history of the live figures that was kept here, if there is one. One that is larger
    /// than any is cut off.
    ///
    /// # Errors
    /// Returns the operating system's error if the file exists and cannot be read.
    pub fn read_history(&self) -> io::Result<Option<Vec<u8>>> {
        const BYTES_MAX: u64 = 4 << 20;
        let file = match File::open(self.path.join(HISTORY)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Keeps the history of the live figures, in place of the one before.
    ///
    /// # Errors
    /// Returns the operating system's error if it cannot be written.
    pub fn write_history(&self, bytes: &[u8]) -> io::Result<()> {
        replace_file(&self.path.join(HISTORY), bytes)
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
        let path = self.path.join(name);
        let written = replace_file(&path, format!("{value}\n").as_bytes());
        written.map_err(|source| DataDirError::Io { path, source })
    }
}

/// Puts a file of these bytes in the place of the one at `path`, atomically and durably. Its owner alone may
/// read it. One call at a time may be under way for a path.
///
/// # Errors
/// Returns the operating system's error if it cannot be written; the file of before is in its place then.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// The process that wrote its number into the lock.
fn process_in(lock: &File) -> Option<u32> {
    let mut text = String::new();
    lock.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_second_is_told_which_process_has_it() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("LOCK"), "4000000000\n").expect("an earlier one");
        let _first = DataDir::lock(directory.path()).expect("locked");
        let refused = DataDir::lock(directory.path()).expect_err("locked").to_string();
        let process = std::process::id();
        assert!(
            refused.ends_with(&format!("is in use by another process, {process}")),
            "{refused}"
        );
    }

    #[test]
    fn an_identity_is_kept_as_it_was_recorded() {
        let directory = tempfile::tempdir().expect("a directory");
        let data_dir = DataDir::lock(directory.path()).expect("locked");
        // A directory of a version that recorded no identity.
        data_dir.agree_on_shards(4).expect("recorded");
        assert_eq!(data_dir.recorded_identity().expect("read"), None);
        let drawn = JournalId::random();
        data_dir.adopt_identity(drawn).expect("recorded");
        let seen = DataDir::look(directory.path()).recorded_identity().expect("read");
        assert_eq!(seen, Some(drawn));
        let text = std::fs::read_to_string(directory.path().join("identity")).expect("read");
        assert_eq!(text, format!("{drawn}\n"));
        assert!(!directory.path().join("identity.new").exists());
    }

    #[test]
    fn what_goes_beneath_a_running_shop_is_put_back_in_its_own_directory_alone() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("data");
        let data_dir = DataDir::lock(&path).expect("locked");
        let (shards, journal) = (path.join("shards"), JournalId::random());
        let all = vec![data_dir.identity(), shards.clone()];
        let put_back = || data_dir.put_back(4, journal);
        assert_eq!(put_back().expect("written"), all);
        assert!(put_back().expect("nothing is missing").is_empty());
        std::fs::write(data_dir.identity(), "").expect("emptied");
        std::fs::remove_file(&shards).expect("removed");
        assert_eq!(put_back().expect("written"), all);
        assert_eq!(data_dir.recorded_identity().expect("read"), Some(journal));
        assert_eq!(data_dir.recorded_shards().expect("read"), Some(4));
        let other = format!("{}\n", JournalId::random());
        std::fs::write(data_dir.identity(), &other).expect("written");
        let refused = put_back().expect_err("another journal's").to_string();
        assert!(refused.contains("not the identity of the journal"), "{refused}");
        assert_eq!(std::fs::read_to_string(data_dir.identity()).expect("read"), other);
        std::fs::rename(&path, parent.path().join("aside")).expect("moved");
        put_back().expect_err("nothing is there");
        std::fs::create_dir(&path).expect("another one");
        let refused = put_back().expect_err("not the one that was locked").to_string();
        assert!(refused.contains("another directory"), "{refused}");
        assert!(!data_dir.identity().exists());
    }

    #[test]
    fn an_identity_that_cannot_be_read_is_never_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let data_dir = DataDir::lock(directory.path()).expect("locked");
        for text in ["", "zebra", "0000000000000000"] {
            std::fs::write(directory.path().join("identity"), text).expect("written");
            let error = data_dir.recorded_identity().expect_err("refused").to_string();
            assert!(error.ends_with("not a journal's identity, 16 hexadecimal digits"), "{error}");
            let kept = std::fs::read_to_string(directory.path().join("identity"));
            assert_eq!(kept.expect("read"), text);
        }
    }
}
