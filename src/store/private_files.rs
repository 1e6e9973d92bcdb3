//! Who may read the files of a data directory: its owner alone.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What group and others may do.
const OTHERS: u32 = 0o077;

/// Takes the directory, the files in it and those of its journal away from group and others, where an
/// older version, another umask or a mount gave them rights. The secrets are left alone: one
/// that others could read is no secret any more, and is refused when it is read.
///
/// # Errors
/// Returns the operating system's error if a file's mode cannot be read or changed.
pub fn make_private(directory: &Path, journal: &Path) -> io::Result<()> {
    restrict(directory)?;
    if journal.is_dir() {
        restrict(journal)?;
        restrict_files(journal)?;
    }
    restrict_files(directory)
}

fn restrict_files(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            match restrict(&entry.path()) {
                // It was temporary.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                restricted => restricted?,
            }
        }
    }
    Ok(())
}

fn restrict(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & OTHERS == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS))
}
