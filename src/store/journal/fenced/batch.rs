//! One batch of one shard's log, as it is stored.
//!
//! Little-endian, no padding:
//!
//! ```text
//! version   u8
//! epoch     u64  the owner that wrote it
//! batch     u64  its number; the first is 1
//! first seq u64
//! last seq  u64
//! id        16 bytes, drawn at random
//! chain     u64  digest of the chain, this batch included
//! crc       u32  CRC32C of all that is before and behind it
//! node      u8 length, then the name of the node that wrote it
//! …         the records, in the encoding of the journal
//! ```

use super::head::{Base, BatchEnd, BatchId, Head};
use super::session::{NODE_NAME_LENGTH_MAX, Session};
use domain::ShardId;
use std::ops::Range;
use xxhash_rust::xxh3::Xxh3;

const VERSION: u8 = 1;
const CRC_PLACE: Range<usize> = 57..61;
const NODE_PLACE: usize = 61;

/// The bytes are no batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MalformedBatch {
    /// They are cut short, or a field has an impossible value.
    #[error("no batch: {0}")]
    Shape(&'static str),
    /// A newer version of this program wrote it.
    #[error("a batch of version {0}, which this program does not know")]
    Version(u8),
    /// A byte is not what was written.
    #[error("a batch whose checksum differs")]
    Checksum,
}

/// One batch of one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredBatch {
    /// The owner that wrote it.
    pub epoch: u64,
    /// Its number in the shard's log.
    pub batch: u64,
    /// The first record's sequence number.
    pub first_seq: u64,
    /// The last record's sequence number.
    pub last_seq: u64,
    /// What names it.
    pub id: BatchId,
    /// The digest of the chain up to and with this batch.
    pub chain: u64,
    /// The node that wrote it.
    pub node: String,
    bytes: Vec<u8>,
}

impl StoredBatch {
    /// The batch of `records` (encoded, one behind the other) that follows `head`, and the head that it
    /// leaves.
    pub fn follow(
        head: &Head,
        shard: ShardId,
        session: &Session,
        seqs: (u64, u64),
        id: BatchId,
        records: &[u8],
    ) -> (Head, Vec<u8>) {
        let (first_seq, last_seq) = seqs;
        let batch = head.batch + 1;
        let chain = chained(head.chain, shard, seqs, id, records);
        let mut node = session.node.as_bytes();
        node = &node[..node.len().min(NODE_NAME_LENGTH_MAX)];
        let mut bytes = Vec::with_capacity(NODE_PLACE + 1 + node.len() + records.len());
        bytes.push(VERSION);
        for number in [head.epoch, batch, first_seq, last_seq] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&id.0);
        bytes.extend_from_slice(&chain.to_le_bytes());
        bytes.extend_from_slice(&[0; CRC_PLACE.end - CRC_PLACE.start]);
        // At most NODE_NAME_LENGTH_MAX.
        bytes.push(node.len() as u8);
        bytes.extend_from_slice(node);
        bytes.extend_from_slice(records);
        let crc = checksum(&bytes);
        bytes[CRC_PLACE].copy_from_slice(&crc.to_le_bytes());
        (Head { epoch: head.epoch, batch, seq: last_seq, chain, id }, bytes)
    }

    /// The batch of these bytes.
    ///
    /// # Errors
    /// Returns [`MalformedBatch`] if they are none.
    pub fn decode(bytes: Vec<u8>) -> Result<Self, MalformedBatch> {
        let short = MalformedBatch::Shape("cut short");
        let version = *bytes.first().ok_or(short)?;
        if version != VERSION {
            return Err(MalformedBatch::Version(version));
        }
        let node_length = usize::from(*bytes.get(NODE_PLACE).ok_or(short)?);
        let records_at = NODE_PLACE + 1 + node_length;
        let node = bytes.get(NODE_PLACE + 1..records_at).ok_or(short)?;
        let crc = bytes[CRC_PLACE].first_chunk().copied().map(u32::from_le_bytes).ok_or(short)?;
        if crc != checksum(&bytes) {
            return Err(MalformedBatch::Checksum);
        }
        let number = |index: usize| {
            let place = 1 + 8 * index;
            let found = bytes[place..].first_chunk().copied();
            found.map(u64::from_le_bytes).ok_or(short)
        };
        let node = str::from_utf8(node).map_err(|_| MalformedBatch::Shape("a node's name"))?;
        let found = Self {
            epoch: number(0)?,
            batch: number(1)?,
            first_seq: number(2)?,
            last_seq: number(3)?,
            id: BatchId(bytes[33..].first_chunk().copied().ok_or(short)?),
            chain: number(6)?,
            node: node.to_owned(),
            bytes,
        };
        if found.last_seq < found.first_seq || found.records().is_empty() {
            return Err(MalformedBatch::Shape("a batch without records"));
        }
        Ok(found)
    }

    /// The records, encoded, one behind the other.
    pub fn records(&self) -> &[u8] {
        &self.bytes[NODE_PLACE + 1 + self.node.len()..]
    }

    /// Where the shard's log ends with this batch.
    pub fn end(&self) -> Base {
        Base { batch: self.batch, seq: self.last_seq, chain: self.chain }
    }

    /// The same with the batch's length.
    pub fn sized_end(&self) -> BatchEnd {
        BatchEnd { base: self.end(), bytes: self.bytes.len() as u64 }
    }

    /// Whether the batch follows one that left this digest and this last record: its numbers are the next
    /// ones, and the chain goes on.
    pub fn follows(&self, shard: ShardId, last: (u64, u64, u64)) -> bool {
        let (batch, seq, chain) = last;
        let seqs = (self.first_seq, self.last_seq);
        self.batch == batch + 1
            && self.first_seq == seq + 1
            && self.chain == chained(chain, shard, seqs, self.id, self.records())
    }
}

/// The chain's next digest. It covers what the batch means, and not who wrote it, so that a batch may be
/// told from any other one of the same shard.
fn chained(chain: u64, shard: ShardId, seqs: (u64, u64), id: BatchId, records: &[u8]) -> u64 {
    let mut digest = Xxh3::with_seed(chain);
    digest.update(&shard.0.to_le_bytes());
    digest.update(&seqs.0.to_le_bytes());
    digest.update(&seqs.1.to_le_bytes());
    digest.update(&id.0);
    digest.update(records);
    digest.digest()
}

fn checksum(bytes: &[u8]) -> u32 {
    let before = crc32c::crc32c(&bytes[..CRC_PLACE.start]);
    crc32c::crc32c_append(before, &bytes[CRC_PLACE.end..])
}

#[cfg(test)]
mod tests {
    use super::{BatchId, Head, MalformedBatch, Session, StoredBatch};
    use domain::ShardId;

    fn session() -> Session {
        Session { node: "shop-1".to_owned(), incarnation: 1, lease: 1 }
    }

    #[test]
    fn a_batch_comes_back_and_follows_what_it_was_made_to_follow() {
        let head = Head { epoch: 4, batch: 7, seq: 30, chain: 5, id: BatchId([1; 16]) };
        let shard = ShardId(3);
        let (next, bytes) =
            StoredBatch::follow(&head, shard, &session(), (31, 33), BatchId([2; 16]), b"records");
        let found = StoredBatch::decode(bytes).expect("a batch");
        assert_eq!((found.epoch, found.batch, found.first_seq, found.last_seq), (4, 8, 31, 33));
        assert_eq!((next.batch, next.seq, next.chain, next.id), (8, 33, found.chain, found.id));
        assert_eq!((found.node.as_str(), found.records()), ("shop-1", &b"records"[..]));
        assert!(found.follows(shard, (7, 30, 5)));
        for other in [(6, 30, 5), (7, 29, 5), (7, 30, 6)] {
            assert!(!found.follows(shard, other), "{other:?}");
        }
        assert!(!found.follows(ShardId(4), (7, 30, 5)), "another shard's");
    }

    #[test]
    fn no_byte_can_be_changed_or_missing() {
        let (_, bytes) = StoredBatch::follow(
            &Head::default(),
            ShardId(0),
            &session(),
            (1, 1),
            BatchId([9; 16]),
            b"record",
        );
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 0x10;
            assert!(StoredBatch::decode(changed).is_err(), "byte {index}");
            assert!(StoredBatch::decode(bytes[..index].to_vec()).is_err(), "cut at {index}");
        }
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(StoredBatch::decode(newer), Err(MalformedBatch::Version(2)));
    }
}
