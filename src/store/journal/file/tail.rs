//! Follows the durable end of a file journal, frame by frame.
//!
//! What is durable was written whole. A place before the durable end that is anything else is damage, and
//! the first reader that meets it notes it in the log's status.

use super::disk::DiskFile;
use super::frame::{
    self, FRAME_HEADER_LENGTH, FRAME_PAYLOAD_MAX, Link, SEGMENT_HEADER_FIXED, SegmentHeader,
    frame_length,
};
use super::reader::{ReadError, undecodable};
use super::segments::{Position, Segments, segment_name};
use crate::store::journal::log::{JournalError, LogReader};
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Reads frames from a place on, never beyond the durable end.
pub(super) struct Tail {
    segments: Arc<Segments>,
    /// Where the next frame will be read.
    position: Position,
    /// Where the last one was.
    given_out: Position,
    /// The durable end as it was when the tail last reached it.
    end: Position,
    open: Option<(u64, Box<dyn DiskFile>)>,
    /// The frame before the next one, once the tail has read a header.
    last: Option<Link>,
    buffer: Vec<u8>,
}

/// What stands at a place in a segment.
enum Found {
    /// The segment's header.
    Header { length: u64 },
    /// A frame, and where its payload lies in the buffer.
    Frame { payload: Range<usize>, length: u64 },
    /// Nothing: the segment has no more frames.
    End,
}

impl Tail {
    /// Starts at the first frame of the segment `number`.
    pub(super) fn new(segments: Arc<Segments>, number: u64) -> Self {
        Self {
            segments,
            position: Position { segment: number, offset: 0 },
            given_out: Position { segment: number, offset: 0 },
            end: Position::default(),
            open: None,
            last: None,
            buffer: Vec::new(),
        }
    }

    /// The payload of the next frame before the durable end, or `None` when there is none yet.
    fn next_frame(&mut self) -> Result<Option<&[u8]>, ReadError> {
        loop {
            if self.position >= self.end {
                self.end = self.segments.durable_end();
                if self.position >= self.end {
                    return Ok(None);
                }
            }
            let Position { segment, offset } = self.position;
            let found = self
                .read_at(segment, offset)
                .map_err(|source| ReadError::Io { file: segment_name(segment), source })?;
            match found {
                None => return Err(self.damaged(self.position, "a durable frame is not readable")),
                Some(Found::End) => self.position = Position { segment: segment + 1, offset: 0 },
                Some(Found::Header { length }) => self.position.offset = length,
                Some(Found::Frame { payload, length }) => {
                    self.given_out = self.position;
                    self.position.offset += length;
                    return Ok(Some(&self.buffer[payload]));
                }
            }
        }
    }

    /// Notes that what stands at this place is not what was written.
    fn damaged(&self, Position { segment, offset }: Position, detail: &str) -> ReadError {
        let detail = detail.to_owned();
        let error = ReadError::Corrupt { file: segment_name(segment), offset, detail };
        self.segments.status.set_damaged(&error.to_string());
        error
    }

    /// Reads what stands at `offset`; none if it is not what was written.
    fn read_at(&mut self, segment: u64, offset: u64) -> io::Result<Option<Found>> {
        if self.open.as_ref().is_none_or(|(number, _)| *number != segment) {
            self.open = Some((segment, self.segments.disk.open(&segment_name(segment))?));
        }
        let Some((_, file)) = &self.open else { return Ok(None) };
        if offset == 0 {
            self.buffer.resize(SEGMENT_HEADER_FIXED + usize::from(u16::MAX), 0);
            let count = file.read_at(0, &mut self.buffer)?;
            return Ok(self.header(count));
        }
        self.buffer.resize(FRAME_HEADER_LENGTH, 0);
        let count = file.read_at(offset, &mut self.buffer)?;
        let blank = count < FRAME_HEADER_LENGTH || self.buffer.iter().all(|byte| *byte == 0);
        if blank && segment < self.end.segment {
            // A frame that is missing here is missed in front of the next segment.
            return Ok(Some(Found::End));
        }
        let length = frame_length(frame::payload_length(&self.buffer).min(FRAME_PAYLOAD_MAX));
        self.buffer.resize(length, 0);
        file.read_at(offset, &mut self.buffer)?;
        Ok(self.frame())
    }

    /// The header in the buffer's first `count` bytes, if it follows the frame before.
    fn header(&mut self, count: usize) -> Option<Found> {
        let header = SegmentHeader::decode(&self.buffer[..count])?;
        let before = Link {
            number: header.first_frame.checked_sub(1)?,
            crc: header.chain,
            epoch: header.epoch,
        };
        let follows = self.last.is_none_or(|last| last == before);
        self.last = Some(before);
        follows.then_some(Found::Header { length: header.length() as u64 })
    }

    /// The frame in the buffer, if it follows the one before.
    fn frame(&mut self) -> Option<Found> {
        let found = frame::parse(&self.buffer)?;
        let last = self.last.replace(found.link)?;
        let follows = found.link.number == last.number + 1 && found.chain == last.crc;
        follows.then_some(Found::Frame {
            payload: FRAME_HEADER_LENGTH..FRAME_HEADER_LENGTH + found.payload.len(),
            length: found.length as u64,
        })
    }
}

impl LogReader for Tail {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<&[u8]>, JournalError>> {
        future::ready(self.next_frame().map_err(JournalError::from)).boxed()
    }

    fn refuse(&mut self, why: &str) -> JournalError {
        self.damaged(self.given_out, &undecodable(why)).into()
    }
}
