//! A shard's head and base: the two values that its log hangs on.

/// The version that every value begins with.
const VERSION: u8 = 1;
const HEAD_LENGTH: usize = 1 + 4 * 8 + 16;
const BASE_LENGTH: usize = 1 + 3 * 8;

/// What names one batch: drawn at random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct BatchId(pub [u8; 16]);

/// A value in the log is not what this program writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MalformedValue {
    /// It has another length than its version says.
    #[error("a value of {0} bytes")]
    Length(usize),
    /// A newer version of this program wrote it.
    #[error("a value of version {0}, which this program does not know")]
    Version(u8),
}

/// Where a shard's log ends, and who may append. Its bytes are compared whole, so equal heads have equal
/// bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// The owner's number (I15).
    pub epoch: u64,
    /// The last batch's number; 0 before the first.
    pub batch: u64,
    /// The last record's sequence number.
    pub seq: u64,
    /// The chain's digest up to the last batch.
    pub chain: u64,
    /// What names the last batch, so that its writer knows it again.
    pub id: BatchId,
}

impl Head {
    /// The head's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_LENGTH);
        bytes.push(VERSION);
        for number in [self.epoch, self.batch, self.seq, self.chain] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.id.0);
        bytes
    }

    /// The head of these bytes.
    ///
    /// # Errors
    /// Returns [`MalformedValue`] if they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedValue> {
        let numbers: [u64; 4] = numbers(bytes, HEAD_LENGTH)?;
        let [epoch, batch, seq, chain] = numbers;
        let id = bytes.last_chunk::<16>().ok_or(MalformedValue::Length(bytes.len()))?;
        Ok(Self { epoch, batch, seq, chain, id: BatchId(*id) })
    }

    /// The base that trimming everything up to this head leaves.
    pub fn as_base(&self) -> Base {
        Base { batch: self.batch, seq: self.seq, chain: self.chain }
    }
}

/// What of a shard's log is trimmed: its last batch, with the record and the digest that it ended with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Base {
    /// The last trimmed batch's number; 0 before the first trim.
    pub batch: u64,
    /// The last trimmed record's sequence number.
    pub seq: u64,
    /// The chain's digest up to there.
    pub chain: u64,
}

/// Where a batch ends, and how long it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchEnd {
    /// The base that trimming everything up to it leaves.
    pub base: Base,
    /// The batch's bytes.
    pub bytes: u64,
}

impl Base {
    /// The base's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BASE_LENGTH);
        bytes.push(VERSION);
        for number in [self.batch, self.seq, self.chain] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// The base of these bytes.
    ///
    /// # Errors
    /// Returns [`MalformedValue`] if they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedValue> {
        let [batch, seq, chain] = numbers(bytes, BASE_LENGTH)?;
        Ok(Self { batch, seq, chain })
    }
}

/// The numbers behind the version byte of a value of this length.
fn numbers<const N: usize>(bytes: &[u8], length: usize) -> Result<[u64; N], MalformedValue> {
    let malformed = MalformedValue::Length(bytes.len());
    let (version, rest) = bytes.split_first().ok_or(malformed)?;
    if *version != VERSION {
        return Err(MalformedValue::Version(*version));
    }
    if bytes.len() != length {
        return Err(malformed);
    }
    let mut found = [0; N];
    for (number, chunk) in found.iter_mut().zip(rest.as_chunks::<8>().0) {
        *number = u64::from_le_bytes(*chunk);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{Base, BatchId, Head, MalformedValue};

    #[test]
    fn values_come_back_as_they_were_and_others_are_refused() {
        let head = Head { epoch: 3, batch: 9, seq: u64::MAX, chain: 77, id: BatchId([5; 16]) };
        assert_eq!(Head::decode(&head.encode()), Ok(head));
        let base = Base { batch: 8, seq: 70, chain: 6 };
        assert_eq!(Base::decode(&base.encode()), Ok(base));
        let mut newer = head.encode();
        newer[0] = 2;
        assert_eq!(Head::decode(&newer), Err(MalformedValue::Version(2)));
        assert_eq!(Head::decode(&[]), Err(MalformedValue::Length(0)));
        assert_eq!(Head::decode(&base.encode()), Err(MalformedValue::Length(25)));
        assert_eq!(Base::decode(&head.encode()), Err(MalformedValue::Length(49)));
    }
}
