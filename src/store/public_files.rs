//! Folders and files that other users may read, whatever the process's umask: what is for a web server, the manual.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const FOLDER: u32 = 0o755;
const FILE: u32 = 0o644;

/// Makes a folder and those above it that are missing, for everybody to read. Those that are there stay as they are.
///
/// # Errors
/// Returns the operating system's error if one cannot be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(path)?;
    for folder in missing {
        fs::set_permissions(folder, Permissions::from_mode(FOLDER))?;
    }
    Ok(())
}

/// Lets everybody read a file.
///
/// # Errors
/// Returns the operating system's error if its mode cannot be changed.
pub fn make_readable(file: &Path) -> io::Result<()> {
    fs::set_permissions(file, Permissions::from_mode(FILE))
}
