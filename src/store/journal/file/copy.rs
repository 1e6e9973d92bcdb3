//! A copy of a journal's segments, beside the process that writes them.
//!
//! Segments are linked, which costs no room on the same file system and keeps one that is deleted meanwhile; where
//! links are not possible they are copied, and those that were written to meanwhile are copied again at the end.
//! What is taken first and once more at the end frames what is copied between: whatever another store has of the
//! journal at any time between the two, the copy has the records behind it and those of it. Must not know who writes
//! the journal.

use super::disk::RealDisk;
use super::reader::{ReadError, scan};
use super::segments::{Position, segment_name, segment_number};
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How often an end that moves is looked for again, and the pause before.
const LOOKS_MAX: u32 = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// A copy that is being made.
#[derive(Debug)]
pub struct SegmentCopy {
    from: PathBuf,
    to: PathBuf,
    taken: BTreeSet<u64>,
    /// From this segment on copies are made again at the end, for they do not grow as links do; `None` without copies.
    growing: Option<u64>,
}

/// Why a journal's segments were not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The file system failed.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// What was copied cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CopyError {
    let path = path.to_owned();
    move |source| CopyError::Io { path, source }
}

/// The end of the last frame that is whole in the directory `path`, where a process may be writing.
fn end_of(path: &Path) -> Result<Position, CopyError> {
    let disk = RealDisk::open(path).map_err(at(path))?;
    let mut looks = 0;
    loop {
        match scan(&disk, |_, _, _| Ok(())) {
            Ok(found) => return Ok(found.end),
            // A frame that was being written while it was read, or a segment that was deleted.
            Err(ReadError::Corrupt { .. } | ReadError::Io { .. }) if looks < LOOKS_MAX => {
                looks += 1;
            }
            Err(error) => return Err(error.into()),
        }
        thread::sleep(LOOK_PAUSE);
    }
}

impl SegmentCopy {
    /// Takes all segments in the directory `from` into the new directory `to`.
    ///
    /// # Errors
    /// Returns [`CopyError`] if the file system fails.
    pub fn begin(from: &Path, to: &Path) -> Result<Self, CopyError> {
        DirBuilder::new().mode(0o700).create(to).map_err(at(to))?;
        let mut copy = Self {
            from: from.to_owned(),
            to: to.to_owned(),
            taken: BTreeSet::new(),
            growing: None,
        };
        copy.take()?;
        Ok(copy)
    }

    /// Takes what is newer, and ends the copy behind the last frame that is whole. Returns where that is.
    ///
    /// # Errors
    /// Returns [`CopyError`] if the file system fails, or what was copied is not a journal.
    pub fn finish(mut self) -> Result<Position, CopyError> {
        if let Some(growing) = self.growing {
            for number in self.taken.split_off(&growing) {
                self.remove(number)?;
            }
        }
        self.take()?;
        let end = end_of(&self.to)?;
        for number in self.taken.split_off(&(end.segment + 1)) {
            self.remove(number)?;
        }
        if self.taken.contains(&end.segment) {
            self.cut(end)?;
        }
        File::open(&self.to).and_then(|directory| directory.sync_all()).map_err(at(&self.to))?;
        Ok(end)
    }

    fn remove(&self, number: u64) -> Result<(), CopyError> {
        let path = self.to.join(segment_name(number));
        fs::remove_file(&path).map_err(at(&path))
    }

    /// Takes each segment that is there and was not taken.
    fn take(&mut self) -> Result<(), CopyError> {
        let mut numbers = BTreeSet::new();
        for entry in fs::read_dir(&self.from).map_err(at(&self.from))? {
            let name = entry.map_err(at(&self.from))?.file_name();
            numbers.extend(name.to_str().and_then(segment_number));
        }
        for number in numbers.difference(&self.taken.clone()) {
            let name = segment_name(*number);
            let (from, to) = (self.from.join(&name), self.to.join(&name));
            let taken = match fs::hard_link(&from, &to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    // Another file system, or one without links.
                    if self.growing.is_none() {
                        self.growing = Some(end_of(&self.from)?.segment);
                    }
                    fs::copy(&from, &to).map(drop)
                }
                linked => linked,
            };
            match taken {
                Ok(()) => drop(self.taken.insert(*number)),
                // It was deleted: what was in it is in the stores already.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(at(&to)(error)),
            }
        }
        Ok(())
    }

    /// Puts a file of the segment's own bytes up to its end in the place of the link, through which the process
    /// that writes the journal would write into the copy.
    fn cut(&self, end: Position) -> Result<(), CopyError> {
        let (path, new) = (self.to.join(segment_name(end.segment)), self.to.join("cut"));
        let cut = || -> io::Result<()> {
            let linked = File::open(&path)?;
            let length = linked.metadata()?.len();
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            io::copy(&mut linked.take(end.offset), &mut file)?;
            // Zeros follow, as in a segment that is being written.
            file.set_len(length)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        cut().map_err(at(&path))
    }
}
