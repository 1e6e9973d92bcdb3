//! Reads files of settings, secrets and certificates, whatever is at their place.

use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a file, if it is one: what is no file might never end, or keep the reader waiting.
///
/// # Errors
/// Returns the operating system's error, or that it is no file (`/dev/null` is one here) or larger than 1 MiB, which
/// none of these is.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let kind = std::fs::metadata(path)?.file_type();
    if !kind.is_file() && !kind.is_char_device() {
        return refused("it is no file");
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return refused("it is larger than 1 MiB");
    }
    Ok(bytes)
}

/// The same, of a text.
///
/// # Errors
/// Returns what [`read`] does, or that it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(read(path)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("shop.toml");
        assert_eq!(read(Path::new("/dev/null")).expect("empty"), b"");
        for (path, why) in [
            (directory.path(), "it is no file"),
            (Path::new("/dev/zero"), "larger than 1 MiB"),
            (&file, "larger than 1 MiB"),
        ] {
            std::fs::write(&file, vec![b'#'; 1 + (1 << 20)]).expect("written");
            let error = read(path).expect_err("refused").to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
