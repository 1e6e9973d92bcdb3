//! Reading the journal back: recovery of the whole, and following its durable end.
//!
//! Recovery tells three ends apart: a clean one, a torn tail (a frame that a crash cut short, with
//! nothing behind it: cut away, since nobody was told of it) and corruption (refused, with the
//! place). Knows frames, not records.

use super::disk::Disk;
use super::frame::{self, FRAME_HEADER_LENGTH, Link, SEGMENT_HEADER_FIXED, SegmentHeader};
use std::io;
use std::sync::Arc;

/// A place in the journal: the start of a frame, or its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position {
    /// The segment's number, from 1.
    pub segment: u64,
    /// Bytes from the segment's start.
    pub offset: u64,
}

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system failed.
    #[error("journal {file}: {source}")]
    Io {
        /// Which file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// What is on disk is not what was written.
    #[error("journal {file} is damaged at byte {offset}: {detail}")]
    Corrupt {
        /// Which file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What was found.
        detail: String,
    },
    /// The visitor refused a frame.
    #[error("journal {file} at byte {offset}: {detail}")]
    Refused {
        /// Which file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What the visitor said.
        detail: String,
    },
}

/// A tail that a crash cut short.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TornTail {
    /// Where the last whole frame ends.
    pub position: Position,
    /// Bytes behind it that belong to no whole frame.
    pub bytes: u64,
}

/// What a journal holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scan {
    /// The last whole frame; number 0 where there is none.
    pub last: Link,
    /// Where it ends.
    pub end: Position,
    /// Numbers of the segments in use, ascending.
    pub segments: Vec<u64>,
    /// Segments prepared and never written, ascending.
    pub prepared: Vec<u64>,
    /// The torn tail behind the last whole frame, if there is one.
    pub torn: Option<TornTail>,
    /// Each shard's last record before the first segment: zeros unless older ones were deleted.
    pub base: Vec<u64>,
}

/// The file of a segment.
pub fn segment_name(number: u64) -> String {
    format!("{number:012}.segment")
}

/// The segment of a file, if it is one.
pub fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(".segment").filter(|digits| digits.len() == 12)?.parse().ok()
}

/// Each shard's last record before the oldest segment: empty or zeros unless older segments were
/// deleted.
///
/// # Errors
/// Where the file system fails. A damaged header is left to [`scan`].
pub fn base(disk: &dyn Disk) -> Result<Vec<u64>, ReadError> {
    let names = disk.list().map_err(|source| ReadError::Io { file: ".".to_owned(), source })?;
    let Some(oldest) = names.iter().filter_map(|name| segment_number(name)).min() else {
        return Ok(Vec::new());
    };
    let file = segment_name(oldest);
    let io = |source| ReadError::Io { file: file.clone(), source };
    let mut bytes = vec![0; SEGMENT_HEADER_FIXED + usize::from(u16::MAX)];
    let count = disk.open(&file).map_err(io)?.read_at(0, &mut bytes).map_err(io)?;
    Ok(SegmentHeader::decode(&bytes[..count]).map(|header| header.marks).unwrap_or_default())
}

/// Reads all frames in order and hands each one's place and payload to `visit`. Changes nothing.
///
/// # Errors
/// Where the file system fails, where the journal is damaged or has a gap, and what `visit` says.
pub fn scan(
    disk: &dyn Disk,
    mut visit: impl FnMut(Position, &Link, &[u8]) -> Result<(), String>,
) -> Result<Scan, ReadError> {
    let mut numbers: Vec<u64> = disk
        .list()
        .map_err(|source| ReadError::Io { file: ".".to_owned(), source })?
        .iter()
        .filter_map(|name| segment_number(name))
        .collect();
    numbers.sort_unstable();
    let mut scan = Scan {
        last: Link { number: 0, crc: 0, epoch: 0 },
        end: Position::default(),
        segments: Vec::new(),
        prepared: Vec::new(),
        torn: None,
        base: Vec::new(),
    };
    for (index, number) in numbers.iter().copied().enumerate() {
        let file = segment_name(number);
        let corrupt = |offset: usize, detail: String| ReadError::Corrupt {
            file: file.clone(),
            offset: offset as u64,
            detail,
        };
        if index > 0 && number != numbers[index - 1] + 1 {
            return Err(corrupt(0, format!("segment {} is missing before it", number - 1)));
        }
        let bytes = read_whole(disk, &file)?;
        if bytes.iter().all(|byte| *byte == 0) {
            scan.prepared.push(number);
            continue;
        }
        if let Some(torn) = &scan.torn {
            return Err(corrupt(
                0,
                format!(
                    "segment {} breaks off at byte {}",
                    torn.position.segment, torn.position.offset
                ),
            ));
        }
        if let Some(unused) = scan.prepared.first() {
            return Err(corrupt(0, format!("segment {unused} before it was never written")));
        }
        let header = SegmentHeader::decode(&bytes);
        let fits = header.as_ref().is_some_and(|header| {
            let first = scan.segments.is_empty();
            let follows =
                header.first_frame == scan.last.number + 1 && header.chain == scan.last.crc;
            header.number == number && (first || follows)
        });
        let Some(header) = header.filter(|_| fits) else {
            let later = frame::find_later(&bytes, 0);
            if SegmentHeader::decode(&bytes).is_some() || later.is_some() {
                return Err(corrupt(0, "its header does not follow the segment before".to_owned()));
            }
            // The header is durable before a frame is written: without it nothing was confirmed.
            let position = Position { segment: number, offset: 0 };
            scan.torn = Some(TornTail { position, bytes: used_length(&bytes) as u64 });
            scan.segments.push(number);
            scan.end = position;
            continue;
        };
        if scan.segments.is_empty() {
            let number = header.first_frame.saturating_sub(1);
            scan.last = Link { number, crc: header.chain, epoch: header.epoch };
            scan.base.clone_from(&header.marks);
        }
        scan.segments.push(number);
        let mut offset = header.length();
        loop {
            // A file that was cut may end before the header's own end.
            let rest = bytes.get(offset..).unwrap_or_default();
            let Some(found) = frame::parse(rest) else {
                let expected = scan.last.number + 1;
                if let Some(later) = frame::find_later(rest, expected) {
                    let detail = format!(
                        "frame {expected} is not readable, but a later one is at byte {}",
                        offset + later
                    );
                    return Err(corrupt(offset, detail));
                }
                if frame::was_written_whole(rest, expected, offset) {
                    let detail =
                        format!("frame {expected} was written whole and has changed since");
                    return Err(corrupt(offset, detail));
                }
                let position = Position { segment: number, offset: offset as u64 };
                let used = used_length(rest);
                if used > 0 {
                    scan.torn = Some(TornTail { position, bytes: used as u64 });
                }
                scan.end = position;
                break;
            };
            let link = found.link;
            if link.number != scan.last.number + 1
                || found.chain != scan.last.crc
                || link.epoch < scan.last.epoch
            {
                let detail = format!(
                    "frame {} of owner {} does not follow frame {} of owner {}",
                    link.number, link.epoch, scan.last.number, scan.last.epoch
                );
                return Err(corrupt(offset, detail));
            }
            let position = Position { segment: number, offset: offset as u64 };
            visit(position, &link, found.payload).map_err(|detail| ReadError::Refused {
                file: file.clone(),
                offset: offset as u64,
                detail,
            })?;
            scan.last = link;
            offset += found.length;
        }
    }
    Ok(scan)
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

pub(super) fn header_length(file: &dyn super::disk::DiskFile) -> io::Result<u64> {
    let mut fixed = [0; SEGMENT_HEADER_FIXED];
    file.read_at(0, &mut fixed)?;
    let marks = u64::from(u16::from_le_bytes([fixed[32], fixed[33]]));
    Ok(SEGMENT_HEADER_FIXED as u64 + marks * 8 + 8)
}

fn used_length(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Follows the journal from a place, frame by frame, never beyond a durable end.
pub struct Tail {
    disk: Arc<dyn Disk>,
    position: Position,
    open: Option<(u64, Box<dyn super::disk::DiskFile>)>,
    buffer: Vec<u8>,
}

impl Tail {
    /// Starts at `position`, the start of a frame or the end of the last.
    pub fn new(disk: Arc<dyn Disk>, position: Position) -> Self {
        Self { disk, position, open: None, buffer: Vec::new() }
    }

    /// Where the next frame will be read.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The payload of the next frame before `durable_end`, or `None` when there is none yet.
    ///
    /// # Errors
    /// Where the file system fails or the frame is not what was written.
    pub fn next(&mut self, durable_end: Position) -> Result<Option<&[u8]>, ReadError> {
        while self.position < durable_end {
            let Position { segment, offset } = self.position;
            let file = segment_name(segment);
            let io = |source| ReadError::Io { file: file.clone(), source };
            if self.open.as_ref().is_none_or(|(number, _)| *number != segment) {
                self.open = Some((segment, self.disk.open(&file).map_err(io)?));
            }
            let Some((_, opened)) = &self.open else { continue };
            if offset == 0 {
                self.position.offset = header_length(opened.as_ref()).map_err(io)?;
                continue;
            }
            self.buffer.resize(FRAME_HEADER_LENGTH, 0);
            let count = opened.read_at(offset, &mut self.buffer).map_err(io)?;
            let blank = count < FRAME_HEADER_LENGTH || self.buffer.iter().all(|byte| *byte == 0);
            if blank && segment < durable_end.segment {
                self.position = Position { segment: segment + 1, offset: 0 };
                continue;
            }
            let payload = u32::from_le_bytes([
                self.buffer[4],
                self.buffer[5],
                self.buffer[6],
                self.buffer[7],
            ]);
            let length = frame::frame_length((payload as usize).min(frame::FRAME_PAYLOAD_MAX));
            self.buffer.resize(length, 0);
            opened.read_at(offset, &mut self.buffer).map_err(io)?;
            let Some(found) = frame::parse(&self.buffer) else {
                return Err(ReadError::Corrupt {
                    file,
                    offset,
                    detail: "a durable frame is not readable".to_owned(),
                });
            };
            self.position = Position { segment, offset: offset + found.length as u64 };
            let payload = FRAME_HEADER_LENGTH..FRAME_HEADER_LENGTH + found.payload.len();
            return Ok(Some(&self.buffer[payload]));
        }
        Ok(None)
    }
}
