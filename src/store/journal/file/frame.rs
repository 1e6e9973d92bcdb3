//! Frames and segment headers: the file journal's bytes on disk.
//!
//! A frame is what one sync made durable: all records that arrived during the sync before it. It is
//! written only after its predecessor is on disk, and that is what tells a torn tail from
//! corruption: behind a frame that was torn by a crash nothing can follow.
//!
//! ```text
//! segment  header, frames, zeros to the end
//! header   magic 8 · version u32 · chain u32 · number u64 · first frame u64 · marks u16
//!          · zeros up to 40 · epoch u64 · zeros up to 60 · crc u32 · marks u64 each · crc of them u32 · zeros u32
//! frame    magic u32 · length u32 · crc u32 · chain u32 · number u64 · epoch u64
//!          · payload (length bytes) · zeros up to a multiple of 8 · trailer u64
//! ```
//!
//! `crc` is the CRC32C of all that follows it in the frame, the trailer excepted; `chain` is the
//! `crc` of the frame before, also across segments (I5); `epoch` counts the journal's owners (I15).
//! The trailer marks a frame that was written to its end. All numbers are little-endian.

use crate::store::journal::log::BATCH_BYTES_MAX;
use crc32c::crc32c;

/// Length of the fixed part of a segment's header in bytes; the marks and a checksum follow.
pub const SEGMENT_HEADER_FIXED: usize = 64;
/// Length of a frame's header in bytes.
pub const FRAME_HEADER_LENGTH: usize = 32;
/// Length of a frame's trailer in bytes.
pub const FRAME_TRAILER_LENGTH: usize = 8;
/// The most record bytes that one frame may hold.
pub const FRAME_PAYLOAD_MAX: usize = BATCH_BYTES_MAX;
/// Frames start at multiples of this.
pub const ALIGNMENT: usize = 8;

const SEGMENT_MAGIC: [u8; 8] = *b"SECKILLJ";
const SEGMENT_VERSION: u32 = 1;
const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"SKFR");
const TRAILER_MASK: u64 = 0xA5C3_96F1_5AE7_D2B9;
const CRC_COVERS_FROM: usize = 12;
/// The unit that a disk writes whole.
const SECTOR: usize = 512;

/// The header that a segment starts with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// The segment's number, from 1.
    pub number: u64,
    /// The number of its first frame.
    pub first_frame: u64,
    /// The `crc` of the frame before that.
    pub chain: u32,
    /// The owner that wrote the frame before that.
    pub epoch: u64,
    /// Each shard's last record before this segment: what a journal whose older segments were
    /// deleted starts behind.
    pub marks: Vec<u64>,
}

impl SegmentHeader {
    /// The header's length in bytes.
    pub fn length(&self) -> usize {
        length_with(self.marks.len())
    }

    /// The header's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; SEGMENT_HEADER_FIXED];
        bytes[0..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.chain.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_frame.to_le_bytes());
        // One mark a shard, of which there are at most 1,024.
        bytes[32..34].copy_from_slice(&(self.marks.len() as u16).to_le_bytes());
        bytes[40..48].copy_from_slice(&self.epoch.to_le_bytes());
        let crc = crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        for mark in &self.marks {
            bytes.extend_from_slice(&mark.to_le_bytes());
        }
        let crc = crc32c(&bytes[SEGMENT_HEADER_FIXED..]);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes
    }

    /// The version of the segment that begins with `bytes`, if that is one which a newer program wrote:
    /// nothing more can be said of it here.
    pub fn newer_version(bytes: &[u8]) -> Option<u32> {
        let fixed: &[u8; SEGMENT_HEADER_FIXED] = bytes.first_chunk()?;
        let version = u32_at(fixed, 8)?;
        // A header of this version whose version alone is damaged is not a newer one.
        let mut known = *fixed;
        known[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
        let is_damaged = u32_at(fixed, 60)? == crc32c(&known[..60]);
        (fixed[0..8] == SEGMENT_MAGIC && version > SEGMENT_VERSION && !is_damaged)
            .then_some(version)
    }

    /// The header in `bytes`, if it is whole and of a version known here.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let fixed: &[u8; SEGMENT_HEADER_FIXED] = bytes.first_chunk()?;
        let whole = u32_at(fixed, 60)? == crc32c(&fixed[..60]);
        let known = fixed[0..8] == SEGMENT_MAGIC && u32_at(fixed, 8)? == SEGMENT_VERSION;
        let count = count_of_marks(fixed);
        let marks = bytes.get(SEGMENT_HEADER_FIXED..SEGMENT_HEADER_FIXED + count * 8)?;
        let marks_whole = u32_at(bytes, SEGMENT_HEADER_FIXED + count * 8)? == crc32c(marks);
        (whole && known && marks_whole).then_some(Self {
            chain: u32_at(fixed, 12)?,
            number: u64_at(fixed, 16)?,
            first_frame: u64_at(fixed, 24)?,
            epoch: u64_at(fixed, 40)?,
            marks: marks.chunks_exact(8).filter_map(|mark| u64_at(mark, 0)).collect(),
        })
    }
}

/// The length in bytes of the header that begins with these bytes.
pub fn header_length(fixed: &[u8; SEGMENT_HEADER_FIXED]) -> usize {
    length_with(count_of_marks(fixed))
}

fn length_with(marks: usize) -> usize {
    SEGMENT_HEADER_FIXED + marks * 8 + 8
}

fn count_of_marks(fixed: &[u8; SEGMENT_HEADER_FIXED]) -> usize {
    usize::from(u16::from_le_bytes([fixed[32], fixed[33]]))
}

/// A frame's place in the journal's chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// The frame's number, dense across segments.
    pub number: u64,
    /// The frame's checksum.
    pub crc: u32,
    /// The owner that wrote it.
    pub epoch: u64,
}

/// A frame that is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Number, checksum and owner.
    pub link: Link,
    /// Checksum of the frame before.
    pub chain: u32,
    /// The encoded records.
    pub payload: &'a [u8],
    /// Bytes from this frame's start to the next one's.
    pub length: usize,
}

/// The trailer of the frame `number`.
pub fn trailer(number: u64) -> [u8; FRAME_TRAILER_LENGTH] {
    (number ^ TRAILER_MASK).to_le_bytes()
}

/// Bytes that a frame with this payload takes.
pub fn frame_length(payload_length: usize) -> usize {
    FRAME_HEADER_LENGTH + payload_length.next_multiple_of(ALIGNMENT) + FRAME_TRAILER_LENGTH
}

/// The payload's length in bytes as the header in `bytes` has it, which may be damaged; 0 if there is
/// no whole header.
pub fn payload_length(bytes: &[u8]) -> usize {
    u32_at(bytes, 4).map_or(0, |length| length as usize)
}

/// Turns `buffer`, which starts with [`FRAME_HEADER_LENGTH`] bytes of room followed by the payload,
/// into a frame behind `chain`. Returns the frame's checksum.
pub fn seal(buffer: &mut Vec<u8>, number: u64, epoch: u64, chain: u32) -> u32 {
    let payload_length = buffer.len() - FRAME_HEADER_LENGTH;
    debug_assert!(payload_length <= FRAME_PAYLOAD_MAX, "a longer frame could not be read back");
    buffer.resize(FRAME_HEADER_LENGTH + payload_length.next_multiple_of(ALIGNMENT), 0);
    buffer[0..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
    // Bounded by FRAME_PAYLOAD_MAX.
    buffer[4..8].copy_from_slice(&(payload_length as u32).to_le_bytes());
    buffer[12..16].copy_from_slice(&chain.to_le_bytes());
    buffer[16..24].copy_from_slice(&number.to_le_bytes());
    buffer[24..32].copy_from_slice(&epoch.to_le_bytes());
    let crc = checksum(buffer, payload_length);
    buffer[8..12].copy_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(&trailer(number));
    crc
}

/// The frame at the start of `bytes`, if there is a whole one.
pub fn parse(bytes: &[u8]) -> Option<Frame<'_>> {
    if u32_at(bytes, 0)? != FRAME_MAGIC {
        return None;
    }
    let payload_length = u32_at(bytes, 4)? as usize;
    if payload_length > FRAME_PAYLOAD_MAX {
        return None;
    }
    let length = frame_length(payload_length);
    let bytes = bytes.get(..length)?;
    let crc = u32_at(bytes, 8)?;
    let number = u64_at(bytes, 16)?;
    let trailer = u64_at(bytes, length - FRAME_TRAILER_LENGTH)?;
    if trailer != number ^ TRAILER_MASK || crc != checksum(bytes, payload_length) {
        return None;
    }
    Some(Frame {
        link: Link { number, crc, epoch: u64_at(bytes, 24)? },
        chain: u32_at(bytes, 12)?,
        payload: &bytes[FRAME_HEADER_LENGTH..FRAME_HEADER_LENGTH + payload_length],
        length,
    })
}

/// The offset of a whole frame numbered above `number` anywhere in `bytes`, which start at a
/// multiple of [`ALIGNMENT`].
pub fn find_later(bytes: &[u8], number: u64) -> Option<usize> {
    (0..bytes.len().saturating_sub(FRAME_HEADER_LENGTH)).step_by(ALIGNMENT).find(|offset| {
        let bytes = &bytes[*offset..];
        u32_at(bytes, 0) == Some(FRAME_MAGIC)
            && parse(bytes).is_some_and(|frame| frame.link.number > number)
    })
}

/// Whether the bytes of frame `number`, which do not parse, were nevertheless written to their end:
/// the trailer is there and no sector before it is missing, or all but the trailer is right and the
/// trailer is not cut short but wrong. Then they were damaged later. The bytes start at `offset` in
/// their file, which tells where its sectors are.
pub fn was_written_whole(bytes: &[u8], number: u64, offset: usize) -> bool {
    let trailer = trailer(number);
    if let Some(found) = trailer_behind_content(bytes, number) {
        let arrived = found.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        return found[..arrived] != trailer[..arrived];
    }
    let end = (FRAME_HEADER_LENGTH..bytes.len().saturating_sub(FRAME_TRAILER_LENGTH - 1))
        .step_by(ALIGNMENT)
        .take(FRAME_PAYLOAD_MAX / ALIGNMENT)
        .find(|offset| bytes[*offset..*offset + FRAME_TRAILER_LENGTH] == trailer);
    let Some(end) = end else { return false };
    let bytes = &bytes[..end + FRAME_TRAILER_LENGTH];
    // Segments are filled with zeros ahead, so a sector that never arrived is one of zeros.
    let (first, rest) = bytes.split_at(bytes.len().min(SECTOR - offset % SECTOR));
    std::iter::once(first)
        .chain(rest.chunks(SECTOR))
        .all(|sector| sector.iter().any(|byte| *byte != 0))
}

/// What stands in the trailer's place behind a frame `number` whose checksum is right.
fn trailer_behind_content(bytes: &[u8], number: u64) -> Option<&[u8]> {
    let payload_length = u32_at(bytes, 4)? as usize;
    let header_fits = u32_at(bytes, 0)? == FRAME_MAGIC && u64_at(bytes, 16)? == number;
    if !header_fits || payload_length > FRAME_PAYLOAD_MAX {
        return None;
    }
    let bytes = bytes.get(..frame_length(payload_length))?;
    let right = u32_at(bytes, 8)? == checksum(bytes, payload_length);
    right.then(|| &bytes[bytes.len() - FRAME_TRAILER_LENGTH..])
}

fn checksum(bytes: &[u8], payload_length: usize) -> u32 {
    let length = u32_at(bytes, 4).unwrap_or(0);
    let end = FRAME_HEADER_LENGTH + payload_length.next_multiple_of(ALIGNMENT);
    // The length is not behind the checksum, so it is mixed in.
    crc32c(&bytes[CRC_COVERS_FROM..end]) ^ length.wrapping_mul(0x9E37_79B1)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}
