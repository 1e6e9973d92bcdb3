//! Reads a file journal from its first byte to its last, and changes nothing.
//!
//! Three ends are told apart: a clean one, a torn tail (a frame that a crash cut short, with nothing
//! behind it: it was never confirmed, so it may be cut off) and corruption (refused, with the place).
//! Knows frames, and of records only that a visitor may find one malformed.

use super::disk::{Disk, DiskFile};
use super::frame::{
    self, FRAME_PAYLOAD_MAX, Link, SEGMENT_HEADER_FIXED, SegmentHeader, frame_length,
};
use super::segments::{Position, segment_name, segment_number};
use crate::store::journal::log::{BoxError, JournalError};
use crate::store::journal::record::MalformedRecord;
use std::io;

/// Why a file journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system failed.
    #[error("journal {file}: {source}")]
    Io {
        /// The file's name.
        file: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// What is on disk is not what was written.
    #[error("journal {file} is damaged at byte {offset}: {detail}")]
    Corrupt {
        /// The file's name.
        file: String,
        /// The damaged place, in bytes from the file's start.
        offset: u64,
        /// What was found there.
        detail: String,
    },
    /// A segment was written by a newer version of this program.
    #[error(
        "journal {file} has version {version} of the segments' format, which is newer than what this \
         program knows"
    )]
    Newer {
        /// The file's name.
        file: String,
        /// The version in its header.
        version: u32,
    },
    /// Another process writes the journal.
    #[error("journal {file} is being written by another process")]
    InUse {
        /// The file's name.
        file: String,
    },
    /// The visitor refused a frame.
    #[error("journal {file} at byte {offset}: {detail}")]
    Refused {
        /// The file's name.
        file: String,
        /// The frame's start, in bytes from the file's start.
        offset: u64,
        /// The visitor's error.
        detail: String,
    },
}

impl From<ReadError> for JournalError {
    fn from(error: ReadError) -> Self {
        Self(error.into())
    }
}

/// A tail that a crash cut short.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TornTail {
    /// Where the last whole frame ends.
    pub position: Position,
    /// Bytes behind it that belong to no whole frame.
    pub bytes: u64,
}

/// What the files of a journal hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scan {
    /// The last whole frame; number 0 where there is none.
    pub last: Link,
    /// The end of the last whole frame.
    pub end: Position,
    /// Numbers of the segments in use, ascending.
    pub segments: Vec<u64>,
    /// Numbers of the segments that were prepared and never written, ascending. Those behind a gap are
    /// left out.
    pub prepared: Vec<u64>,
    /// The torn tail behind the last whole frame, if there is one.
    pub torn: Option<TornTail>,
    /// Each shard's last record before the first segment: zeros unless older ones were deleted.
    pub base: Vec<u64>,
}

/// Each shard's last record before the oldest segment: empty or zeros unless older segments were
/// deleted.
///
/// # Errors
/// Returns [`ReadError::Io`] if the file system fails. A damaged header is left to [`scan`].
pub fn base(disk: &dyn Disk) -> Result<Vec<u64>, ReadError> {
    let Some(oldest) = segment_numbers(disk)?.first().copied() else { return Ok(Vec::new()) };
    let file = segment_name(oldest);
    let io = |source| ReadError::Io { file: file.clone(), source };
    let mut bytes = vec![0; SEGMENT_HEADER_FIXED + usize::from(u16::MAX)];
    let count = disk.open(&file).map_err(io)?.read_at(0, &mut bytes).map_err(io)?;
    Ok(SegmentHeader::decode(&bytes[..count]).map(|header| header.marks).unwrap_or_default())
}

/// Whether there are segments of a journal, written or only prepared.
///
/// # Errors
/// Returns the operating system's error if the directory cannot be read.
pub fn has_segments(disk: &dyn Disk) -> io::Result<bool> {
    Ok(disk.list()?.iter().any(|name| segment_number(name).is_some()))
}

/// Checks that no newer version of this program has written here, before anything is changed.
///
/// # Errors
/// Returns [`ReadError::Newer`] if one has, or [`ReadError::Io`] if the file system fails.
pub fn check_versions(disk: &dyn Disk) -> Result<(), ReadError> {
    for number in segment_numbers(disk)? {
        let file = segment_name(number);
        let io = |source| ReadError::Io { file: file.clone(), source };
        let mut fixed = [0; SEGMENT_HEADER_FIXED];
        let count = disk.open(&file).map_err(io)?.read_at(0, &mut fixed).map_err(io)?;
        if let Some(version) = SegmentHeader::newer_version(&fixed[..count]) {
            return Err(ReadError::Newer { file, version });
        }
    }
    Ok(())
}

/// Reads all frames in order and hands each one's place and payload to `visit`. Changes nothing.
///
/// # Errors
/// Returns [`ReadError`] if the file system fails, the journal is damaged or has a gap, or `visit`
/// refuses a frame.
pub fn scan(
    disk: &dyn Disk,
    mut visit: impl FnMut(Position, &Link, &[u8]) -> Result<(), BoxError>,
) -> Result<Scan, ReadError> {
    let mut scan = Scan {
        last: Link { number: 0, crc: 0, epoch: 0 },
        end: Position::default(),
        segments: Vec::new(),
        prepared: Vec::new(),
        torn: None,
        base: Vec::new(),
    };
    let (mut before, mut gap, mut length) = (None, None::<Gap>, 0);
    for number in segment_numbers(disk)? {
        let segment = Segment { number, bytes: read_whole(disk, &segment_name(number))? };
        if before.is_some_and(|before| number != before + 1) {
            gap.get_or_insert(Gap { before: number, end: scan.end.offset, length });
        }
        before = Some(number);
        match &gap {
            None => scan.read_segment(&segment, &mut visit)?,
            // Behind a segment that was not needed yet, none was.
            Some(gap) => gap.check(&segment, !scan.prepared.is_empty())?,
        }
        if scan.end.segment == number {
            length = segment.bytes.len() as u64;
        }
    }
    Ok(scan)
}

/// A place between two segments where others should be.
struct Gap {
    /// The first segment behind it.
    before: u64,
    /// Where the last segment before it that was written ends, in bytes.
    end: u64,
    /// The length of that segment's file.
    length: u64,
}

impl Gap {
    /// Refuses a segment behind the gap, unless what is missing before it was never written: the next segment
    /// is begun only where a batch found no room, and the last one has room for any. `has_spare` says that
    /// one before the gap was not needed.
    fn check(&self, segment: &Segment, has_spare: bool) -> Result<(), ReadError> {
        let is_unused = segment.bytes.iter().all(|byte| *byte == 0);
        // Segments may have become smaller while the last one was written.
        let length = self.length.min(segment.bytes.len() as u64);
        let has_room = self.end + frame_length(FRAME_PAYLOAD_MAX) as u64 <= length;
        if is_unused && (has_spare || has_room) {
            return Ok(());
        }
        Err(segment.corrupt(0, format!("segment {} is missing before it", self.before - 1)))
    }
}

/// A segment's file, read whole.
struct Segment {
    number: u64,
    bytes: Vec<u8>,
}

impl Segment {
    fn corrupt(&self, offset: usize, detail: String) -> ReadError {
        ReadError::Corrupt { file: segment_name(self.number), offset: offset as u64, detail }
    }

    /// The bytes from `offset` on; none in a file that was cut off before it.
    fn from(&self, offset: usize) -> &[u8] {
        self.bytes.get(offset..).unwrap_or_default()
    }
}

impl Scan {
    fn read_segment(
        &mut self,
        segment: &Segment,
        visit: &mut impl FnMut(Position, &Link, &[u8]) -> Result<(), BoxError>,
    ) -> Result<(), ReadError> {
        if segment.bytes.iter().all(|byte| *byte == 0) {
            self.prepared.push(segment.number);
            return Ok(());
        }
        if let Some(version) = SegmentHeader::newer_version(&segment.bytes) {
            return Err(ReadError::Newer { file: segment_name(segment.number), version });
        }
        self.check_nothing_is_missing_before(segment)?;
        match self.header_that_follows(segment)? {
            None => {
                // The header is durable before a frame is written: without it nothing was confirmed.
                let position = Position { segment: segment.number, offset: 0 };
                let bytes = used_length(&segment.bytes) as u64;
                self.torn = Some(TornTail { position, bytes });
                self.segments.push(segment.number);
                self.end = position;
                Ok(())
            }
            Some(header) => {
                if self.segments.is_empty() {
                    let number = header.first_frame.saturating_sub(1);
                    self.last = Link { number, crc: header.chain, epoch: header.epoch };
                    self.base.clone_from(&header.marks);
                }
                self.segments.push(segment.number);
                self.read_frames(segment, header.length(), visit)
            }
        }
    }

    /// A segment is written only when the ones before it are full.
    fn check_nothing_is_missing_before(&self, segment: &Segment) -> Result<(), ReadError> {
        if let Some(TornTail { position, .. }) = &self.torn {
            let detail =
                format!("segment {} breaks off at byte {}", position.segment, position.offset);
            return Err(segment.corrupt(0, detail));
        }
        if let Some(unused) = self.prepared.first() {
            let detail = format!("segment {unused} before it was never written");
            return Err(segment.corrupt(0, detail));
        }
        Ok(())
    }

    /// The segment's header; none if it was torn and nothing was written behind it.
    fn header_that_follows(&self, segment: &Segment) -> Result<Option<SegmentHeader>, ReadError> {
        let header = SegmentHeader::decode(&segment.bytes);
        let is_readable = header.is_some();
        let following = header.filter(|header| {
            let follows =
                header.first_frame == self.last.number + 1 && header.chain == self.last.crc;
            header.number == segment.number && (self.segments.is_empty() || follows)
        });
        let was_used = is_readable || frame::find_later(&segment.bytes, 0).is_some();
        if following.is_none() && was_used {
            let detail = "its header does not follow the segment before".to_owned();
            return Err(segment.corrupt(0, detail));
        }
        Ok(following)
    }

    /// Reads the frames behind the header, up to the first place where there is none.
    fn read_frames(
        &mut self,
        segment: &Segment,
        mut offset: usize,
        visit: &mut impl FnMut(Position, &Link, &[u8]) -> Result<(), BoxError>,
    ) -> Result<(), ReadError> {
        while let Some(found) = frame::parse(segment.from(offset)) {
            let (link, last) = (found.link, self.last);
            let follows = link.number == last.number + 1
                && found.chain == last.crc
                && link.epoch >= last.epoch;
            if !follows {
                let detail = format!(
                    "frame {} of owner {} does not follow frame {} of owner {}",
                    link.number, link.epoch, last.number, last.epoch
                );
                return Err(segment.corrupt(offset, detail));
            }
            let position = Position { segment: segment.number, offset: offset as u64 };
            visit(position, &link, found.payload).map_err(|error| {
                if error.is::<MalformedRecord>() {
                    return segment.corrupt(offset, undecodable(&error.to_string()));
                }
                let (file, detail) = (segment_name(segment.number), error.to_string());
                ReadError::Refused { file, offset: offset as u64, detail }
            })?;
            self.last = link;
            offset += found.length;
        }
        self.end_at(segment, offset)
    }

    /// Tells what stands at `offset`, which is not a whole frame: nothing, a torn tail, or damage.
    fn end_at(&mut self, segment: &Segment, offset: usize) -> Result<(), ReadError> {
        let rest = segment.from(offset);
        let expected = self.last.number + 1;
        if let Some(later) = frame::find_later(rest, expected) {
            let detail = format!(
                "frame {expected} is not readable, but a later one is at byte {}",
                offset + later
            );
            return Err(segment.corrupt(offset, detail));
        }
        if frame::was_written_whole(rest, expected, offset) {
            let detail = format!("frame {expected} was written whole and has changed since");
            return Err(segment.corrupt(offset, detail));
        }
        let position = Position { segment: segment.number, offset: offset as u64 };
        let used = used_length(rest);
        if used > 0 {
            self.torn = Some(TornTail { position, bytes: used as u64 });
        }
        self.end = position;
        Ok(())
    }
}

/// What is wrong with a frame that is whole and holds what is no record.
pub(super) fn undecodable(why: &str) -> String {
    format!("a frame is whole, but its records cannot be decoded: {why}")
}

/// The numbers of all segments, ascending.
pub(super) fn segment_numbers(disk: &dyn Disk) -> Result<Vec<u64>, ReadError> {
    let names = disk.list().map_err(|source| ReadError::Io { file: ".".to_owned(), source })?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn read_whole(disk: &dyn Disk, file: &str) -> Result<Vec<u8>, ReadError> {
    let read = || -> io::Result<Vec<u8>> {
        let opened = disk.open(file)?;
        let length = usize::try_from(opened.length()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        let count = opened.read_at(0, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    };
    read().map_err(|source| ReadError::Io { file: file.to_owned(), source })
}

/// The length in bytes of the header of a segment's file.
pub(super) fn header_length(file: &dyn DiskFile) -> io::Result<u64> {
    let mut fixed = [0; SEGMENT_HEADER_FIXED];
    file.read_at(0, &mut fixed)?;
    Ok(frame::header_length(&fixed) as u64)
}

fn used_length(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}
