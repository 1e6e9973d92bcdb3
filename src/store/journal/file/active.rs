//! The segment that is being written, and the fence around it: this process alone writes it.
//!
//! The file is locked while it is open, which no removal of a name undoes. A lock does not reach a copy
//! of the directory; so before each write the file must still be the one that others find under its
//! name, and end where this process left it (I15).

use super::disk::{Disk, DiskFile, FileIdentity};
use super::frame::{self, FRAME_HEADER_LENGTH, FRAME_TRAILER_LENGTH};
use super::segments::{Position, Ready, segment_name};
use crate::store::journal::log::NotOwner;
use std::io;

/// An open segment of which this process is the one writer.
pub(super) struct ActiveSegment {
    name: String,
    file: Box<dyn DiskFile>,
    identity: FileIdentity,
}

impl ActiveSegment {
    /// Takes the segment over; none if another process writes it.
    pub(super) fn lock(segment: Ready) -> io::Result<Option<Self>> {
        let Ready { number, file } = segment;
        let is_locked = file.try_lock()?;
        let identity = file.identity()?;
        Ok(is_locked.then(|| Self { name: segment_name(number), file, identity }))
    }

    /// The file, to be written.
    pub(super) fn file(&self) -> &dyn DiskFile {
        self.file.as_ref()
    }

    /// Checks that what is written at `end` goes on with what this process wrote, and that others will
    /// find it there. `last` is the number of the frame that ends there, if one does.
    ///
    /// # Errors
    /// Returns [`NotOwner`] if it is not so, or the file system's error.
    pub(super) fn check_own(
        &self,
        disk: &dyn Disk,
        end: Position,
        last: Option<u64>,
    ) -> io::Result<()> {
        match disk.identity(&self.name) {
            Ok(found) if found == self.identity => {}
            Ok(_) => return Err(self.not_owner("it was replaced by another file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.not_owner("it is not in its directory any more"));
            }
            Err(error) => return Err(error),
        }
        // The frame before, whose last bytes are its number's, and nothing behind it.
        let mut bytes = [0; FRAME_TRAILER_LENGTH + FRAME_HEADER_LENGTH];
        let (before, behind) = bytes.split_at_mut(FRAME_TRAILER_LENGTH);
        self.file.read_at(end.offset, behind)?;
        if behind.iter().any(|byte| *byte != 0) {
            let what = format!("another process has written at byte {}", end.offset);
            return Err(self.not_owner(&what));
        }
        if let Some(last) = last {
            self.file.read_at(end.offset - FRAME_TRAILER_LENGTH as u64, before)?;
            if before != frame::trailer(last) {
                let what = format!("frame {last} is not before byte {} any more", end.offset);
                return Err(self.not_owner(&what));
            }
        }
        Ok(())
    }

    fn not_owner(&self, what: &str) -> io::Error {
        NotOwner(format!("{}: {what}", self.name)).into()
    }
}
