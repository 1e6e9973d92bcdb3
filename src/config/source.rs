//! Where the configuration comes from, and whether that says something else than it did.

use super::load::{DEFAULT_FILE, Invalid, Loaded, load};
use crate::plain_file::read;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// The configuration file, which can be read again, below the process's environment.
#[derive(Debug)]
pub struct Source {
    file: Option<PathBuf>,
    /// What the file said when it was read last, as a digest.
    read: Option<u64>,
    /// What it said at the last look, as a digest.
    seen: Option<u64>,
}

impl Source {
    /// The configuration that `file` says, or [`DEFAULT_FILE`] if there is one.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, read: None, seen: None }
    }

    /// Reads it, as [`load`] does. Blocks.
    ///
    /// # Errors
    /// Returns [`Invalid`] as [`load`] does.
    pub fn load(&mut self) -> Result<Loaded, Invalid> {
        // Before it is read, so that a change in between is seen at the next look.
        self.read = self.digest();
        self.seen = self.read;
        // What is in the environment of a process does not change.
        load(self.file.as_deref(), std::env::vars_os())
    }

    /// Looks at the file, and tells whether it says something else than when it was read last, and said so at the
    /// look before, too: what somebody is in the midst of writing does not count, nor does a file that is
    /// gone. Blocks.
    pub fn has_changed(&mut self) -> bool {
        let now = self.digest();
        let is_settled = now.is_some() && now == self.seen;
        self.seen = now;
        is_settled && now != self.read
    }

    fn digest(&self) -> Option<u64> {
        let file = self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        read(file).ok().map(|text| xxh3_64(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_when_it_is_seen_twice_and_until_it_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("shop.toml");
        let write = |text: &str| std::fs::write(&file, text).expect("written");
        write("[limits]\nuser_per_s = 5\n");
        let mut source = Source::new(Some(file.clone()));
        source.load().expect("accepted");
        assert!(!source.has_changed());
        write("[limits]\nuser_per");
        assert!(!source.has_changed(), "somebody may be writing it");
        write("[limits]\nuser_per_s = 6\n");
        assert!(!source.has_changed(), "it is another one yet");
        assert!(source.has_changed() && source.has_changed(), "nobody has read it");
        assert_eq!(source.load().expect("accepted").config.limits.user_per_s, 6);
        assert!(!source.has_changed());
        std::fs::remove_file(&file).expect("removed");
        assert!(!source.has_changed() && !source.has_changed(), "a file that is gone says nothing");
        write("[limits]\nuser_per_s = 6\n");
        assert!(!source.has_changed() && !source.has_changed(), "it is as it was read");
        write("[limits]\nuser_per_s = -1\n");
        assert!(!source.has_changed() && source.has_changed());
        source.load().expect_err("refused");
        assert!(!source.has_changed(), "what was refused is told once");
    }
}
