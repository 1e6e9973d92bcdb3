//! A message's bytes: a batch of records.
//!
//! Content type [`CONTENT_TYPE`]; little-endian, no padding:
//!
//! ```text
//! magic   4 bytes  "SKRB"
//! version u8       1
//! zero    u8
//! count   u16      records, at least 1
//! …                that many records, in the journal's encoding (journal/record.rs)
//! crc     u32      CRC32C of all bytes before this field
//! ```
//!
//! A batch holds records of any shards, those of one shard in ascending order of seq. A reader that
//! meets an unknown version or a damaged message must not skip it: it dead-letters it. Must not know
//! how messages travel.

use crate::store::journal::record::{self, RECORD_LENGTH_MAX};
use domain::Record;

/// The content type of messages.
pub const CONTENT_TYPE: &str = "application/vnd.seckill.records";
/// The longest message, in bytes: far below what brokers accept (16 MiB in RabbitMQ 4).
pub const MESSAGE_LENGTH_MAX: usize = 256 << 10;

const MAGIC: [u8; 4] = *b"SKRB";
const VERSION: u8 = 1;
const HEADER_LENGTH: usize = 8;
const COUNT_OFFSET: usize = 6;
const CHECKSUM_LENGTH: usize = 4;

/// The bytes are not a batch of records: what is wrong with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct MalformedMessage(pub &'static str);

/// A message that is being filled with records.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    count: u16,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// Creates an empty batch.
    pub fn new() -> Self {
        let mut bytes = Vec::with_capacity(HEADER_LENGTH + 8 * RECORD_LENGTH_MAX);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, 0, 0, 0]);
        Self { bytes, count: 0 }
    }

    /// Adds a record and returns whether there was room for it; a batch without room is to be
    /// finished.
    #[must_use]
    pub fn push(&mut self, record: &Record) -> bool {
        let length_at_most = self.bytes.len() + RECORD_LENGTH_MAX + CHECKSUM_LENGTH;
        if length_at_most > MESSAGE_LENGTH_MAX || self.count == u16::MAX {
            return false;
        }
        record::encode(record, &mut self.bytes);
        self.count += 1;
        true
    }

    /// The number of records in it.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether it holds no record, and so makes no message.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Completes the message and returns its bytes.
    pub fn finish(self) -> Vec<u8> {
        let Self { mut bytes, count } = self;
        bytes[COUNT_OFFSET..HEADER_LENGTH].copy_from_slice(&count.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

/// Decodes the records of a message.
///
/// # Errors
/// Returns [`MalformedMessage`] if the bytes are not what [`Batch::finish`] made, or of an unknown
/// version.
pub fn decode(bytes: &[u8]) -> Result<Vec<Record>, MalformedMessage> {
    if !bytes.starts_with(&MAGIC) {
        return Err(MalformedMessage("not one of ours"));
    }
    let (content, checksum) =
        bytes.split_last_chunk::<CHECKSUM_LENGTH>().ok_or(MalformedMessage("cut short"))?;
    let (header, mut records) =
        content.split_first_chunk::<HEADER_LENGTH>().ok_or(MalformedMessage("cut short"))?;
    let [_, _, _, _, version, _, count @ ..] = *header;
    if version != VERSION {
        return Err(MalformedMessage("unknown version"));
    }
    if u32::from_le_bytes(*checksum) != crc32c::crc32c(content) {
        return Err(MalformedMessage("checksum differs"));
    }
    let count = u16::from_le_bytes(count);
    if count == 0 {
        return Err(MalformedMessage("no records"));
    }
    let mut decoded = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let record = record::decode(&mut records).map_err(|error| MalformedMessage(error.0))?;
        decoded.push(record);
    }
    if records.is_empty() { Ok(decoded) } else { Err(MalformedMessage("bytes left over")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Event, ItemAction, ItemId, Operation, ShardId, Timestamp};
    use proptest::prelude::*;

    fn record(seq: u64) -> Record {
        let restock = Operation::unattributed(ItemId(seq / 3), ItemAction::Restock(7));
        let event = Event::ItemOperated(restock);
        Record { shard: ShardId((seq % 5) as u16), seq, at: Timestamp(1_790_000_000_000), event }
    }

    fn message(count: u64) -> Vec<u8> {
        let mut batch = Batch::new();
        for seq in 1..=count {
            assert!(batch.push(&record(seq)));
        }
        assert_eq!(batch.len() as u64, count);
        batch.finish()
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for count in [1, 2, 64, 1_000] {
            let expected: Vec<Record> = (1..=count).map(record).collect();
            assert_eq!(decode(&message(count)), Ok(expected));
        }
        assert_eq!(decode(&Batch::new().finish()), Err(MalformedMessage("no records")));
    }

    #[test]
    fn a_batch_is_bounded() {
        let mut batch = Batch::new();
        assert!(batch.is_empty());
        let count = (1..).take_while(|seq| batch.push(&record(*seq))).count();
        let bytes = batch.finish();
        assert!(bytes.len() <= MESSAGE_LENGTH_MAX, "{}", bytes.len());
        assert_eq!(decode(&bytes).map(|records| records.len()), Ok(count));
    }

    #[test]
    fn another_version_and_other_content_are_told_apart() {
        let mut bytes = message(3);
        bytes[4] = 2;
        assert_eq!(decode(&bytes), Err(MalformedMessage("unknown version")));
        assert_eq!(decode(b"{\"order\":1,\"and\":2}"), Err(MalformedMessage("not one of ours")));
    }

    proptest! {
        #[test]
        fn damage_is_recognised(place: prop::sample::Index, bit in 0_u8..8, count in 1_u64..40) {
            let mut bytes = message(count);
            let place = place.index(bytes.len());
            prop_assert!(decode(&bytes[..place]).is_err());
            // The reserved byte is covered by the checksum as well.
            bytes[place] ^= 1 << bit;
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
