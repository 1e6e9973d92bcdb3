//! The settings and lists that were read last, kept in a file of the data directory: what holds from a
//! start until their store answers.
//!
//! ```text
//! version 7                                    of the documents together, if it is not the sum of theirs
//! document {"name":"limits","version":3,…}     the newest version of a document
//! entry deny_user 7                            an entry of a list
//! entry deny_address 192.0.2.0/24 1790000000   and when it ends by itself, in milliseconds since 1970
//! end 7f3a0c…                                  the digest of all lines before
//! ```
//!
//! It is written in whole, in place of the one before, and lasts once it is written. One that was cut or
//! damaged is told and not believed. Must not know what a document says.

use super::documents::{Documents, StoredSetting, sum_of};
use crate::store::data_dir::replace_file;
use domain::Timestamp;
use domain::risk::EntryKind;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use xxhash_rust::xxh3::xxh3_64;

/// The longest file that is written or read: more than two million entries.
const BYTES_MAX: u64 = 128 << 20;

/// An entry, and when it ends by itself.
pub type KeptEntry = (EntryKind, Option<Timestamp>);

/// What was read last.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Kept {
    /// The documents as they counted.
    pub documents: Documents,
    /// The entries of the lists, in any order.
    pub entries: Vec<KeptEntry>,
}

/// The file that it is kept in.
#[derive(Debug)]
pub struct KeptSettings {
    path: PathBuf,
    /// Held by the one that writes.
    writing: Mutex<()>,
}

/// A document as a line has it.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    name: Cow<'a, str>,
    version: u64,
    content: Cow<'a, Map<String, Value>>,
    actor: Cow<'a, str>,
    at: u64,
    reason: Cow<'a, str>,
}

impl KeptSettings {
    /// Refers to the file at `path`, which need not be there.
    pub fn at(path: PathBuf) -> Self {
        Self { path, writing: Mutex::new(()) }
    }

    /// Returns what is kept, if there is anything.
    ///
    /// # Errors
    /// Returns the operating system's error if the file is there and cannot be read, and
    /// [`io::ErrorKind::InvalidData`] if it is not as it was written.
    pub fn read(&self) -> io::Result<Option<Kept>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes)?;
        let kept = std::str::from_utf8(&bytes).ok().and_then(parse);
        kept.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is damaged"))
    }

    /// Keeps this in place of what was kept.
    ///
    /// # Errors
    /// Returns the operating system's error if it cannot be written, or [`io::ErrorKind::FileTooLarge`] if
    /// it is more than is read; what was kept is kept then.
    pub fn write(
        &self,
        documents: &Documents,
        entries: impl Iterator<Item = KeptEntry>,
    ) -> io::Result<()> {
        let text = render(documents, entries);
        if text.len() as u64 > BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let _alone = self.writing.lock();
        replace_file(&self.path, text.as_bytes())
    }
}

fn render(documents: &Documents, entries: impl Iterator<Item = KeptEntry>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail, and what is written has a form as JSON.
    if documents.version != sum_of(&documents.by_name) {
        let _ = writeln!(text, "version {}", documents.version);
    }
    for document in documents.by_name.values() {
        let line = Line {
            name: Cow::Borrowed(&document.name),
            version: document.version,
            content: Cow::Borrowed(&document.content),
            actor: Cow::Borrowed(&document.actor),
            at: document.at.0,
            reason: Cow::Borrowed(&document.reason),
        };
        let json = serde_json::to_string(&line).unwrap_or_default();
        let _ = writeln!(text, "document {json}");
    }
    for (kind, expires_at) in entries {
        let _ = write!(text, "entry {} {}", kind.list(), kind.value());
        if let Some(Timestamp(at)) = expires_at {
            let _ = write!(text, " {at}");
        }
        text.push('\n');
    }
    let digest = xxh3_64(text.as_bytes());
    let _ = writeln!(text, "end {digest:016x}");
    text
}

/// Reads what [`render`] wrote; nothing if it is anything else.
fn parse(text: &str) -> Option<Kept> {
    let end = text.strip_suffix('\n')?.rfind('\n').map_or(0, |before| before + 1);
    let (lines, end) = text.split_at(end);
    let digest = end.strip_prefix("end ")?.strip_suffix('\n')?;
    if u64::from_str_radix(digest, 16) != Ok(xxh3_64(lines.as_bytes())) {
        return None;
    }
    let mut kept = Kept::default();
    let (mut version, mut documents) = (None, Vec::new());
    for line in lines.lines() {
        match line.split_once(' ')? {
            ("version", number) => version = Some(number.parse().ok()?),
            ("document", json) => documents.push(document(json)?),
            ("entry", words) => kept.entries.push(entry(words)?),
            _ => return None,
        }
    }
    kept.documents = Documents::of(documents);
    kept.documents.version = version.unwrap_or(kept.documents.version);
    Some(kept)
}

fn document(json: &str) -> Option<StoredSetting> {
    let Line { name, version, content, actor, at, reason } = serde_json::from_str(json).ok()?;
    Some(StoredSetting {
        name: name.into_owned(),
        version,
        content: content.into_owned(),
        actor: actor.into_owned(),
        at: Timestamp(at),
        reason: reason.into_owned(),
    })
}

fn entry(words: &str) -> Option<KeptEntry> {
    let mut words = words.split(' ');
    let kind = EntryKind::read(words.next()?, words.next()?).ok()?;
    let expires_at = words.next().map(|at| at.parse().map(Timestamp)).transpose().ok()?;
    words.next().is_none().then_some((kind, expires_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;

    fn kept() -> Kept {
        let Value::Object(content) = json!({ "user_per_s": 5 }) else { unreachable!() };
        let document = StoredSetting {
            name: "limits".to_owned(),
            version: 3,
            content,
            actor: "ann".to_owned(),
            at: Timestamp(1_790_000_000_000),
            reason: "two\nlines of \"双十一\"".to_owned(),
        };
        let entry = |list, value, at| (EntryKind::read(list, value).expect("an entry"), at);
        let entries = vec![
            entry("deny_user", "7", None),
            entry("deny_address", "192.0.2.0/24", Some(Timestamp(1_790_000_000_001))),
            entry("allow_address", "2001:db8::/32", None),
        ];
        let documents = Documents { version: 7, ..Documents::of([document]) };
        Kept { documents, entries }
    }

    fn write(file: &KeptSettings, kept: &Kept) {
        file.write(&kept.documents, kept.entries.iter().copied()).expect("written");
    }

    #[test]
    fn what_was_written_last_is_read_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("settings");
        let file = KeptSettings::at(path.clone());
        assert_eq!(file.read().expect("read"), None);
        write(&file, &Kept::default());
        assert_eq!(file.read().expect("read"), Some(Kept::default()));
        write(&file, &kept());
        assert_eq!(file.read().expect("read"), Some(kept()));
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).expect("read").count(), 1);
    }

    #[test]
    fn a_file_that_was_cut_or_damaged_is_not_believed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("settings");
        let file = KeptSettings::at(path.clone());
        write(&file, &kept());
        let whole = std::fs::read(&path).expect("read");
        let refuse = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("written");
            let error = file.read().expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        };
        for length in 0..whole.len() {
            refuse(&whole[..length]);
        }
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            refuse(&damaged);
        }
        refuse(&[&whole[..], b"entry deny_user 8\n"].concat());
        refuse(b"end 0000000000000000\n");
    }
}
