//! The signing secret: made once, kept in the data directory, read by `serve` and `mint`.
//!
//! A process that can read it can make the token of any buyer and any operator, so it is refused if
//! other users may read it. Must not know what it signs.

use rand::TryRng;
use rand::rngs::{SysError, SysRng};
use secrecy::{ExposeSecret, SecretBox, zeroize::Zeroize};
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The path of the signing secret within the data directory.
pub const SIGNING_SECRET_FILE: &str = "secrets/token.key";

/// The length of the signing secret in bytes.
pub const SIGNING_SECRET_BYTES: usize = 32;

const OWNER_ONLY_FILE: u32 = 0o600;
const OWNER_ONLY_DIRECTORY: u32 = 0o700;

/// The secret that signs tokens. Its debug form shows nothing.
pub struct SigningSecret(SecretBox<[u8; SIGNING_SECRET_BYTES]>);

impl SigningSecret {
    /// The secret of these 64 hexadecimal digits, if they are that.
    pub fn from_digits(digits: &str) -> Option<Self> {
        parse(digits)
    }

    /// The bytes, for the signer.
    pub fn expose(&self) -> &[u8; SIGNING_SECRET_BYTES] {
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SigningSecret(***)")
    }
}

/// Why there is no signing secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or its directory cannot be made, read or synced.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Other users than the owner may read or write the file.
    #[error("{path} has mode {mode:04o}, so others than its owner can read or change it; allowed is 0600", path = .path.display())]
    Permissions {
        /// The file that other users may access.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold 64 hexadecimal digits.
    #[error("{path} does not hold 64 hexadecimal digits", path = .path.display())]
    Malformed {
        /// The file that is malformed.
        path: PathBuf,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(#[source] SysError),
}

/// Returns the signing secret of this data directory, which must be there.
///
/// # Errors
/// Returns [`Error`] if it is not there, cannot be read, is malformed, or other users may read or write
/// it.
pub fn existing_signing_secret(data_dir: &Path) -> Result<SigningSecret, Error> {
    read(&data_dir.join(SIGNING_SECRET_FILE))
}

/// Whether this data directory has a signing secret.
///
/// # Errors
/// Returns [`Error`] if it is there and cannot be used.
pub fn has_signing_secret(data_dir: &Path) -> Result<bool, Error> {
    match existing_signing_secret(data_dir) {
        Ok(_) => Ok(true),
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the signing secret of this data directory, made now if there is none. Two processes that
/// start at once get the same one.
///
/// # Errors
/// Returns [`Error`] if it cannot be made or read, is malformed, or other users may read or write it.
pub fn signing_secret(data_dir: &Path) -> Result<SigningSecret, Error> {
    let path = data_dir.join(SIGNING_SECRET_FILE);
    match read(&path) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            create(&path)?;
            read(&path)
        }
        other => other,
    }
}

/// Puts the signing secret back if its file is gone. Returns whether it was.
///
/// # Errors
/// Returns [`Error`] if what is there cannot be used, or it cannot be written.
pub fn put_back(data_dir: &Path, secret: &SigningSecret) -> Result<bool, Error> {
    if has_signing_secret(data_dir)? {
        return Ok(false);
    }
    write(&data_dir.join(SIGNING_SECRET_FILE), secret.expose())?;
    Ok(true)
}

fn read(path: &Path) -> Result<SigningSecret, Error> {
    let at = |source| Error::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(at)?;
    let mode = file.metadata().map_err(at)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::Permissions { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    // One byte more than a secret with its newline, so that a longer file is recognised.
    let read = file.take(2 * SIGNING_SECRET_BYTES as u64 + 2).read_to_string(&mut text);
    let secret = match read {
        Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(at(error)),
        _ => parse(&text),
    };
    text.zeroize();
    secret.ok_or_else(|| Error::Malformed { path: path.to_owned() })
}

fn parse(text: &str) -> Option<SigningSecret> {
    let digits = text.strip_suffix('\n').unwrap_or(text).as_bytes();
    if digits.len() != 2 * SIGNING_SECRET_BYTES {
        return None;
    }
    let mut secret = Box::new([0; SIGNING_SECRET_BYTES]);
    for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(SigningSecret(SecretBox::new(secret)))
}

/// Makes a secret. Of two processes that do the first wins.
fn create(path: &Path) -> Result<(), Error> {
    let mut bytes = [0; SIGNING_SECRET_BYTES];
    SysRng.try_fill_bytes(&mut bytes).map_err(Error::Random)?;
    let written = write(path, &bytes);
    bytes.zeroize();
    written
}

/// Writes a secret under another name and links it to its own, so that a reader sees all of it or none,
/// and one that is there already stays.
fn write(path: &Path, bytes: &[u8; SIGNING_SECRET_BYTES]) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let in_directory = |source| Error::Io { path: directory.to_owned(), source };
    make_directories(directory).map_err(in_directory)?;

    let mut text = String::with_capacity(2 * SIGNING_SECRET_BYTES + 1);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');

    let draft = path.with_extension(format!("key.{}", std::process::id()));
    let written =
        write_draft(&draft, &text).map_err(|source| Error::Io { path: draft.clone(), source });
    text.zeroize();
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.map_err(|source| Error::Io { path: path.to_owned(), source }),
    });
    // A draft that stays behind does no harm: only its owner can read it, and the next one replaces
    // it.
    let _ = fs::remove_file(&draft);
    linked?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(in_directory)
}

/// Makes the directories that are missing and syncs the parent of each.
fn make_directories(directory: &Path) -> io::Result<()> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    make_directories(parent)?;
    match DirBuilder::new().mode(OWNER_ONLY_DIRECTORY).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    File::open(parent)?.sync_all()
}

fn write_draft(draft: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY_FILE).open(draft)?;
    // The process's file mode mask may have removed bits that the owner needs.
    file.set_permissions(Permissions::from_mode(OWNER_ONLY_FILE))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_made_once_and_only_for_its_owner() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("deep/data");
        let first = signing_secret(&data).expect("a secret");
        let second = signing_secret(&data).expect("the secret");
        assert_eq!(first.expose(), second.expose());
        assert_ne!(first.expose(), &[0; SIGNING_SECRET_BYTES]);
        let path = data.join(SIGNING_SECRET_FILE);
        assert_eq!(fs::metadata(&path).expect("its file").mode() & 0o7777, 0o600);
        let names = fs::read_dir(data.join("secrets")).expect("its directory").count();
        assert_eq!(names, 1, "no draft stays behind");
        assert_eq!(format!("{first:?}"), "SigningSecret(***)");
    }

    #[test]
    fn one_that_is_gone_is_put_back_and_another_one_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let secret = signing_secret(directory.path()).expect("a secret");
        assert!(!put_back(directory.path(), &secret).expect("it is there"));
        fs::remove_dir_all(directory.path().join("secrets")).expect("removed");
        assert!(put_back(directory.path(), &secret).expect("written"));
        let read = existing_signing_secret(directory.path()).expect("it is there");
        assert_eq!(read.expose(), secret.expose());
        let other = "0a".repeat(32);
        fs::write(directory.path().join(SIGNING_SECRET_FILE), &other).expect("another one");
        assert!(!put_back(directory.path(), &secret).expect("one is there"));
        let kept = fs::read_to_string(directory.path().join(SIGNING_SECRET_FILE));
        assert_eq!(kept.expect("read"), other);
    }

    #[test]
    fn makers_at_the_same_time_get_the_same_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(SIGNING_SECRET_FILE);
        create(&path).expect("made");
        let first = fs::read(&path).expect("the first");
        create(&path).expect("the second maker gives way");
        assert_eq!(fs::read(&path).expect("still the first"), first);
    }

    #[test]
    fn an_open_or_damaged_file_is_refused() {
        let check = |text: &[u8], mode: u32, expected: &str| {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join(SIGNING_SECRET_FILE);
            fs::create_dir(directory.path().join("secrets")).expect("a directory");
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
            let error = signing_secret(directory.path()).expect_err("refused").to_string();
            assert!(error.ends_with(expected), "{error}");
            assert_eq!(fs::read(&path).expect("untouched"), text);
        };
        let good = [b'a'; 64];
        check(
            &good,
            0o640,
            "has mode 0640, so others than its owner can read or change it; allowed is 0600",
        );
        check(&good, 0o602, "allowed is 0600");
        for damaged in [&b""[..], b"abc", &[b'g'; 64], &[b'a'; 65], &[b'a'; 4096], &[0xff; 64]] {
            check(damaged, 0o600, "does not hold 64 hexadecimal digits");
        }
    }
}
