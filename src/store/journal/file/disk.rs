//! The few things the journal asks of a file system, so that a test can put a disk beneath it that
//! forgets what was not synced, fills up or lies.
//!
//! Creates, renames, lists and removes what it is told; must not know what a file's name means.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

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
}

/// A directory of the operating system.
#[derive(Debug)]
pub struct RealDisk {
    directory: PathBuf,
}

impl RealDisk {
    /// Opens the directory, and creates it if it is not there.
    ///
    /// # Errors
    /// Returns the operating system's error if it cannot be created.
    pub fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        Ok(Self { directory: directory.to_owned() })
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true);
        Ok(Box::new(file.open(self.directory.join(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let path = self.directory.join(name);
        match OpenOptions::new().read(true).write(true).open(&path) {
            // Whoever only looks may do so where nothing can be written.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                Ok(Box::new(File::open(path)?))
            }
            opened => Ok(Box::new(opened?)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.directory.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
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
}
