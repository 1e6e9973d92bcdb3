//! Follows the durable end of a journal, shard by shard: records in, each exactly once.

use super::log::{JournalError, LogReader};
use super::record::each_record;
use domain::Record;

/// Gives out durable records behind given sequence numbers, in the order in which they were committed.
pub struct Follower {
    reader: Box<dyn LogReader>,
    seqs: Vec<u64>,
}

impl Follower {
    /// Follows `reader`, which misses no record behind `after` (a sequence number a shard). Records of
    /// other shards are left out.
    pub(super) fn new(reader: Box<dyn LogReader>, after: &[u64]) -> Self {
        Self { reader, seqs: after.to_vec() }
    }

    /// Each shard's last record that was given out, or the one that the follower started behind.
    pub fn seqs(&self) -> &[u64] {
        &self.seqs
    }

    /// Appends the new records of the next durable batch to `records`; there may be none in it. Returns
    /// false, at once, if all that is durable was given out.
    ///
    /// # Errors
    /// Returns [`JournalError`] if the journal cannot be read. Some of the batch may have been appended
    /// then, and the follower is not to be used again.
    pub async fn next(&mut self, records: &mut Vec<Record>) -> Result<bool, JournalError> {
        let Some(payload) = self.reader.next().await? else { return Ok(false) };
        let mut malformed = None;
        for found in each_record(payload) {
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    malformed = Some(error);
                    break;
                }
            };
            if let Some(last) = self.seqs.get_mut(found.shard.index())
                && found.seq > *last
            {
                *last = found.seq;
                records.push(found);
            }
        }
        match malformed {
            None => Ok(true),
            Some(error) => Err(self.reader.refuse(&error.to_string())),
        }
    }
}
