//! The few things the journal asks of a file system, so that a test can put a disk beneath it that
//! forgets what was not synced, fills up or lies.
//!
//! Creates, renames, lists and removes what it is told; must not know what a file's name means.

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fsync, openat, renameat, unlinkat};
use std::fs::{DirBuilder, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What tells one file from every other, whatever their names are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileIdentity {
    /// The file system that the file is on.
    pub device: u64,
    /// The file's number there.
    pub inode: u64,
}

impl From<Metadata> for FileIdentity {
    fn from(metadata: Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// A directory of files.
pub trait Disk: Send + Sync + 'static {
    /// Creates an empty file, replacing one of that name.
    ///
    /// # Errors
    /// Returns the operating system's error if it fails.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// Returns the operating system's error if it fails.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name.
    ///
    /// # Errors
    /// Returns the operating system's error if it fails.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// Returns the operating system's error if it fails.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names of all files, in no order.
    ///
    /// # Errors
    /// Returns the operating system's error if it fails.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// Returns the operating system's error if it fails.
    fn sync_directory(&self) -> io::Result<()>;
    /// The file that another process would find under this name now: a different one if the directory
    /// was moved away or the file was replaced.
    ///
    /// # Errors
    /// Returns the operating system's error if there is none, or it cannot be looked at.
    fn identity(&self, name: &str) -> io::Result<FileIdentity>;
}

/// A file of a [`Disk`].
pub trait DiskFile: Send + Sync {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// Returns the operating system's error if it fails.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Fills `bytes` from `offset`, as far as the file goes; returns how many were read.
    ///
    /// # Errors
    /// Returns the operating system's error if it fails.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;
    /// The file's length in bytes.
    ///
    /// # Errors
    /// Returns the operating system's error if it fails.
    fn length(&self) -> io::Result<u64>;
    /// Makes what was written durable (`fdatasync`).
    ///
    /// # Errors
    /// Returns the operating system's error if the sync fails. What the file holds is unknown then: the
    /// sync is never tried again.
    fn sync_data(&self) -> io::Result<()>;
    /// Which file this is.
    ///
    /// # Errors
    /// Returns the operating system's error if it fails.
    fn identity(&self) -> io::Result<FileIdentity>;
    /// Locks the file for as long as it is open; false if another process has locked it.
    ///
    /// # Errors
    /// Returns the operating system's error if it fails.
    fn try_lock(&self) -> io::Result<bool>;
}

/// A directory of the operating system. It is held open, so that it stays the same one wherever it is
/// moved, and needs no further descriptor to be listed or synced.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    directory: File,
}

impl RealDisk {
    /// Opens the directory, and creates it for this user alone if it is not there.
    ///
    /// # Errors
    /// Returns the operating system's error if it cannot be created or opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let opened = DirBuilder::new().recursive(true).mode(0o700).create(path);
        match opened.and_then(|()| File::open(path)) {
            Ok(directory) => Ok(Self { path: path.to_owned(), directory }),
            Err(error) => Err(named(path, error)),
        }
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<Box<dyn DiskFile>> {
        let flags = flags | OFlags::RDWR | OFlags::CLOEXEC;
        let file = openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR);
        Ok(Box::new(File::from(file.map_err(|error| self.at(name, error))?)))
    }

    /// The error with the file that it is about.
    fn at(&self, name: &str, error: impl Into<io::Error>) -> io::Error {
        named(&self.path.join(name), error.into())
    }
}

/// The error with the path that it is about.
fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open_file(name, OFlags::CREATE | OFlags::TRUNC)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        match self.open_file(name, OFlags::empty()) {
            // The audit reads where nothing can be written.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let file = openat(&self.directory, name, flags, Mode::empty());
                Ok(Box::new(File::from(file.map_err(|error| self.at(name, error))?)))
            }
            opened => opened,
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        renameat(&self.directory, from, &self.directory, to).map_err(|error| self.at(from, error))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        unlinkat(&self.directory, name, AtFlags::empty()).map_err(|error| self.at(name, error))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Dir::read_from(&self.directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn sync_directory(&self) -> io::Result<()> {
        fsync(&self.directory).map_err(|error| self.at("", error))
    }

    fn identity(&self, name: &str) -> io::Result<FileIdentity> {
        // By its path, as another process would find it.
        let found = std::fs::metadata(self.path.join(name));
        Ok(found.map_err(|error| self.at(name, error))?.into())
    }
}

impl DiskFile for File {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < bytes.len() {
            match FileExt::read_at(self, &mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(self.metadata()?.into())
    }

    fn try_lock(&self) -> io::Result<bool> {
        match File::try_lock(self) {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
