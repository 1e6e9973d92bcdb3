//! A disk in memory, so small that it can be filled.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A small disk. Dropping it takes it away again.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    /// The directory that was made for it, if it is not its user's.
    _directory: Option<TempDir>,
}

impl SmallDisk {
    /// A disk of this size, such as `24m`, in a directory of its own; none where it cannot be mounted,
    /// which takes root.
    ///
    /// # Panics
    ///
    /// If there is no room for a temporary directory.
    #[must_use]
    pub fn mount(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_owned();
        is_mounted(&path, size).then(|| Self { path, _directory: Some(directory) })
    }

    /// The same over a directory that is there already.
    #[must_use]
    pub fn mount_on(directory: &Path, size: &str) -> Option<Self> {
        let path = directory.to_owned();
        is_mounted(&path, size).then(|| Self { path, _directory: None })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Leaves no room: the file that takes it.
    ///
    /// # Panics
    ///
    /// If not even an empty file can be made.
    #[must_use]
    pub fn fill(&self) -> PathBuf {
        let path = self.path.join("ballast");
        let mut file = File::create(&path).expect("a file");
        for length in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![0; length]).is_ok() {}
        }
        path
    }

    /// Gives it another size.
    ///
    /// # Panics
    ///
    /// If it cannot be mounted anew.
    pub fn grow(&self, size: &str) {
        self.remount(&format!("size={size}"));
    }

    /// Mounts it anew with this option, such as `ro`.
    ///
    /// # Panics
    ///
    /// If it cannot be mounted anew.
    pub fn remount(&self, option: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(&self.path)
            .status();
        assert!(status.expect("it runs").success());
    }
}

/// Mounts a disk of this size there, if that is allowed.
fn is_mounted(directory: &Path, size: &str) -> bool {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
        .arg(directory)
        .output();
    mounted.is_ok_and(|output| output.status.success())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the process that uses it may be about to die.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
