//! The log of a new cluster, which begins behind records that were kept elsewhere: those of a shop that has
//! sold alone, or what is left of a cluster whose etcd is lost.
//!
//! ```text
//! founding      there while this is under way: what is below the prefix counts for nothing
//! ```
//!
//! Nodes look for the cluster's own key, which is written when all this is done. What was begun and not
//! finished is deleted by the next attempt. Must not know where the records come from.

use super::batch::StoredBatch;
use super::etcd::{Epoch, EtcdLog};
use super::head::{Base, BatchId, Head};
use super::look::LookError;
use super::session::Session;
use crate::store::etcd::{Condition, EtcdError, Operation, Transaction, prefix_end};
use crate::store::journal::record;
use domain::{Record, ShardId};
use rand::RngExt;
use std::time::Duration;

/// How many bytes of records one batch has at most, but for its last record.
const BATCH_BYTES: usize = 256 << 10;
/// How many shards' values one transaction sets: three keys each, and etcd takes 128.
const SHARDS_MAX: usize = 40;
/// How often a write is tried whose outcome is not known: all of them may be repeated.
const ATTEMPTS_MAX: u32 = 5;
/// The time between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// Who wrote these batches, as they say.
const NODE: &str = "founding";

/// Why a cluster's log is not begun.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// There is something already.
    #[error("etcd holds {0} already")]
    NotEmpty(String),
    /// etcd does not answer, or refuses.
    #[error("etcd: {0}")]
    Etcd(#[from] EtcdError),
    /// The records do not follow one another.
    #[error("shard {shard} has record {found} behind record {last}")]
    NotDense {
        /// The shard whose records these are.
        shard: ShardId,
        /// The last record.
        last: u64,
        /// The one that came behind it.
        found: u64,
    },
    /// What was written cannot be read back.
    #[error("what was written cannot be read back: {0}")]
    ReadBack(#[from] LookError),
}

/// A log that is being begun.
pub struct Founding {
    log: EtcdLog,
    session: Session,
    shards: Vec<Begun>,
}

/// One shard's log.
struct Begun {
    base: Base,
    head: Head,
    /// Records that are not written yet, encoded.
    records: Vec<u8>,
    last_seq: u64,
}

impl EtcdLog {
    /// Begins the logs of as many shards as `base_seqs` has, each behind its last record that is kept
    /// elsewhere. Nothing below `epoch` may append to them.
    ///
    /// # Errors
    /// Returns [`FoundingError`] if something lies below the prefix, other than what an earlier attempt has
    /// left, or etcd does not answer.
    pub async fn begin(&self, base_seqs: &[u64], epoch: u64) -> Result<Founding, FoundingError> {
        let (start, marker) = (self.keys.prefix.clone().into_bytes(), self.marker());
        let first = self.etcd.range(&start, &prefix_end(&start), 1, 0).await?.keys.pop();
        if let Some(first) = first {
            if self.etcd.get(&marker).await?.is_none() {
                let name = String::from_utf8_lossy(&first.key).into_owned();
                return Err(FoundingError::NotEmpty(name));
            }
            self.write(vec![Operation::DeleteRange(start.clone(), prefix_end(&start))]).await?;
        }
        let conditions = vec![Condition::Absent(marker.clone())];
        let then = vec![Operation::put(marker.clone(), Vec::new())];
        let begun =
            self.etcd.commit(Transaction { conditions, then, otherwise: Vec::new() }).await?;
        if !begun.held {
            return Err(FoundingError::NotEmpty(String::from_utf8_lossy(&marker).into_owned()));
        }
        let session = Session { node: NODE.to_owned(), incarnation: 0, lease: 0 };
        let shards = base_seqs.iter().map(|seq| {
            let base = Base { seq: *seq, ..Base::default() };
            let head = Head { epoch, seq: *seq, ..Head::default() };
            Begun { base, head, records: Vec::new(), last_seq: *seq }
        });
        Ok(Founding { log: self.clone(), session, shards: shards.collect() })
    }

    /// Deletes the sign that the log is being begun.
    ///
    /// # Errors
    /// Returns [`FoundingError::Etcd`] if etcd does not answer.
    pub async fn end_founding(&self) -> Result<(), FoundingError> {
        self.write(vec![Operation::Delete(self.marker())]).await
    }

    fn marker(&self) -> Vec<u8> {
        format!("{}founding", self.keys.prefix).into_bytes()
    }

    /// Does what may be repeated, until it is known to be done.
    async fn write(&self, then: Vec<Operation>) -> Result<(), FoundingError> {
        let mut attempts = 1;
        loop {
            let transaction = Transaction { then: then.clone(), ..Transaction::default() };
            match self.etcd.commit(transaction).await {
                Ok(_) => return Ok(()),
                Err(error) if error.may_have_happened() && attempts < ATTEMPTS_MAX => {
                    attempts += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Founding {
    /// Adds a record, behind the last one of its shard.
    ///
    /// # Errors
    /// Returns [`FoundingError`] if it is not the shard's next one, or etcd does not answer.
    pub async fn add(&mut self, found: &Record) -> Result<(), FoundingError> {
        let Record { shard, seq, .. } = *found;
        let begun = self.shards.get_mut(shard.index());
        let not_dense = |last| FoundingError::NotDense { shard, last, found: seq };
        let begun = begun.ok_or_else(|| not_dense(0))?;
        if seq != begun.last_seq + 1 {
            return Err(not_dense(begun.last_seq));
        }
        record::encode(found, &mut begun.records);
        begun.last_seq = seq;
        if begun.records.len() >= BATCH_BYTES { self.flush(shard).await } else { Ok(()) }
    }

    /// Writes what is left, and reads all of it back. Returns how many records there are.
    ///
    /// # Errors
    /// Returns [`FoundingError`] if etcd does not answer, or does not hold what was written.
    pub async fn finish(mut self) -> Result<u64, FoundingError> {
        let numbers = 0..u16::try_from(self.shards.len()).unwrap_or(u16::MAX);
        for shard in numbers.clone().map(ShardId) {
            self.flush(shard).await?;
        }
        for some in numbers.clone().map(ShardId).collect::<Vec<_>>().chunks(SHARDS_MAX) {
            let values = some.iter().flat_map(|shard| self.values(*shard));
            self.log.write(values.collect()).await?;
        }
        let look = self.log.look(numbers.end).await?;
        let mut count = 0;
        for shard in numbers.map(ShardId) {
            look.read(shard, |_| (), |_| count += 1).await?;
        }
        Ok(count)
    }

    /// The values that a shard's log hangs on.
    fn values(&self, shard: ShardId) -> Vec<Operation> {
        let (keys, begun) = (&self.log.keys, &self.shards[shard.index()]);
        let claim = Epoch { epoch: begun.head.epoch, incarnation: 0, nonce: rand::rng().random() };
        let claim = serde_json::to_vec(&claim).expect("numbers are JSON");
        let mut values = vec![
            Operation::put(keys.head(shard), begun.head.encode()),
            Operation::put(keys.epoch(shard), claim),
        ];
        if begun.base.seq > 0 {
            values.push(Operation::put(keys.base(shard), begun.base.encode()));
        }
        values
    }

    /// Writes the records of a shard that are not written yet.
    async fn flush(&mut self, shard: ShardId) -> Result<(), FoundingError> {
        let begun = &mut self.shards[shard.index()];
        if begun.records.is_empty() {
            return Ok(());
        }
        let (seqs, id) = ((begun.head.seq + 1, begun.last_seq), BatchId(rand::rng().random()));
        let (next, bytes) =
            StoredBatch::follow(&begun.head, shard, &self.session, seqs, id, &begun.records);
        begun.records.clear();
        begun.head = next;
        let key = self.log.keys.batch(shard, next.batch);
        self.log.write(vec![Operation::put(key, bytes)]).await
    }
}
