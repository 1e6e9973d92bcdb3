//! A cluster's whole log as of one revision of etcd, read beside nodes that append to it.
//!
//! Heads, bases, claims and batches are read at the same revision, so that what is compared was there at one
//! moment. etcd forgets old revisions: a look whose revision is gone is over, and its caller takes another
//! one. Reads only.

use super::batch::StoredBatch;
use super::chain::{Chain, ChainError};
use super::etcd::{Epoch, EtcdLog, Keys};
use super::head::{Base, Head};
use crate::store::etcd::{Etcd, EtcdError, Stored, prefix_end};
use domain::{Record, ShardId};
use std::collections::HashMap;
use std::fmt::Display;

/// How many batches are read at a time: at most half of what one answer may have.
const PAGE_BATCHES: u32 = 64;
/// How many values of one kind are read: more than there can be shards.
const VALUES_MAX: u32 = 4_096;

/// Why a look has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LookError {
    /// etcd has forgotten the revision.
    #[error("etcd compacted revision {0} while it was read")]
    Compacted(i64),
    /// etcd does not answer, or refuses.
    #[error(transparent)]
    Etcd(EtcdError),
    /// A shard's log is not what its owners have written (I5). The text names the place.
    #[error("{0}")]
    Damaged(String),
}

/// A cluster's log as of one revision.
pub struct LogLook {
    etcd: Etcd,
    keys: Keys,
    revision: i64,
    /// Where each shard's log begins and ends, or what is wrong with these values.
    ends: Vec<Result<Ends, String>>,
}

/// The values that a shard's log hangs on.
#[derive(Clone, Copy, Default)]
struct Ends {
    base: Base,
    /// None if nobody ever owned it.
    head: Option<Head>,
    /// The epoch of the last claim.
    claimed: Option<u64>,
}

impl EtcdLog {
    /// Looks at the log of a cluster of `shards` shards, as it is now.
    ///
    /// # Errors
    /// Returns [`LookError`] if etcd does not answer, or has forgotten the revision meanwhile.
    pub async fn look(&self, shards: u16) -> Result<LogLook, LookError> {
        let prefix = self.keys.prefix.as_bytes();
        let newest = self.etcd.range(prefix, &prefix_end(prefix), 1, 0).await;
        let revision = newest.map_err(LookError::Etcd)?.revision;
        let (etcd, keys) = (self.etcd.clone(), self.keys.clone());
        let mut look = LogLook { etcd, keys, revision, ends: Vec::new() };
        let (bases, heads) = (look.values("base/").await?, look.values("head/").await?);
        let claims = look.values("epoch/").await?;
        let ends = (0..shards).map(ShardId).map(|shard| {
            let base = bases.get(&look.keys.base(shard));
            let (head, claimed) =
                (heads.get(&look.keys.head(shard)), claims.get(&look.keys.epoch(shard)));
            decode_ends(base, head, claimed)
        });
        look.ends = ends.collect();
        Ok(look)
    }
}

impl LogLook {
    /// The revision that is read.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Where a shard's log begins and ends; none if nobody ever owned it, or that cannot be read.
    pub fn ends(&self, shard: ShardId) -> Option<(Base, Head)> {
        let ends = self.ends.get(shard.index())?.as_ref().ok()?;
        ends.head.map(|head| (ends.base, head))
    }

    /// What is wrong with the values that the logs hang on, in words.
    pub fn damage(&self) -> impl Iterator<Item = String> {
        let ends = self.ends.iter().enumerate();
        ends.filter_map(|(shard, ends)| {
            ends.as_ref().err().map(|why| format!("the log of shard {shard} is damaged: {why}"))
        })
    }

    /// Each shard's last record that was trimmed, 0 where none was or that cannot be read.
    pub fn base_seqs(&self) -> Vec<u64> {
        self.ends.iter().map(|ends| ends.as_ref().map_or(0, |ends| ends.base.seq)).collect()
    }

    /// Each shard's last record, 0 where there is none or that cannot be read.
    pub fn end_seqs(&self) -> Vec<u64> {
        let head = |ends: &Ends| ends.head.map_or(0, |head| head.seq);
        self.ends.iter().map(|ends| ends.as_ref().map_or(0, head)).collect()
    }

    /// Hands over each record of a shard, batch by batch, after telling of the batch by the epoch that wrote
    /// it.
    ///
    /// # Errors
    /// Returns [`LookError`] if the log cannot be read to its end or does not end where its head says; what
    /// came before was handed over.
    pub async fn read(
        &self,
        shard: ShardId,
        mut batch: impl FnMut(u64),
        mut each: impl FnMut(Record),
    ) -> Result<(), LookError> {
        let damaged = |why: String| LookError::Damaged(format!("shard {shard}: {why}"));
        let ends = self.ends.get(shard.index()).cloned().unwrap_or_else(|| Ok(Ends::default()));
        let Ends { base, head, claimed } = ends.map_err(damaged)?;
        let mut chain = Chain::behind(shard, base);
        let mut epoch = 0;
        // From the first possible key on: what lies before the base must not be there.
        let (mut start, end) = (self.keys.log(shard), prefix_end(&self.keys.log(shard)));
        loop {
            let page = self.etcd.range(&start, &end, PAGE_BATCHES, self.revision).await;
            let page = page.map_err(|error| self.unread(error))?;
            let last = page.keys.last().map(|last| last.key.clone());
            for stored in page.keys {
                let found = self.decoded(shard, stored).map_err(damaged)?;
                batch(found.epoch);
                epoch = found.epoch;
                let followed = chain.follow(&found, |record| {
                    each(record);
                    Ok(())
                });
                followed.map_err(|error| damaged(words(&error)))?;
            }
            match last {
                Some(last) if page.has_more => {
                    start = last;
                    start.push(0);
                }
                _ => break,
            }
        }
        Self::check_end(chain.end(), epoch, head, claimed).map_err(damaged)
    }

    /// Each shard's value of this kind, by its key.
    async fn values(&self, kind: &str) -> Result<HashMap<Vec<u8>, Stored>, LookError> {
        let start = format!("{}{kind}", self.keys.prefix).into_bytes();
        let page = self.etcd.range(&start, &prefix_end(&start), VALUES_MAX, self.revision).await;
        let page = page.map_err(|error| self.unread(error))?;
        Ok(page.keys.into_iter().map(|stored| (stored.key.clone(), stored)).collect())
    }

    /// The batch of a key, which says itself which one it is.
    fn decoded(&self, shard: ShardId, stored: Stored) -> Result<StoredBatch, String> {
        let name = name(&stored);
        let found =
            StoredBatch::decode(stored.value).map_err(|error| format!("{name}: {error}"))?;
        if stored.key != self.keys.batch(shard, found.batch) {
            return Err(format!("{name}: it holds batch {}", found.batch));
        }
        Ok(found)
    }

    /// Whether head and last claim are those of a log that ends there.
    fn check_end(
        end: Base,
        epoch: u64,
        head: Option<Head>,
        claimed: Option<u64>,
    ) -> Result<(), String> {
        let Some(head) = head else {
            let is_empty = end == Base::default() && claimed.is_none();
            return if is_empty { Ok(()) } else { Err("its head is gone".to_owned()) };
        };
        if head.as_base() != end {
            return Err(format!(
                "its head names batch {} with record {}, and the log ends with batch {} and record {}{}",
                head.batch,
                head.seq,
                end.batch,
                end.seq,
                if head.chain == end.chain { "" } else { ", of another chain" }
            ));
        }
        if head.epoch < epoch {
            return Err(format!(
                "its last batch is of epoch {epoch}, and its head of {}",
                head.epoch
            ));
        }
        match claimed {
            Some(claimed) if claimed != head.epoch => {
                Err(format!("its last claim is of epoch {claimed}, and its head of {}", head.epoch))
            }
            _ => Ok(()),
        }
    }

    fn unread(&self, error: EtcdError) -> LookError {
        match error {
            EtcdError::Compacted => LookError::Compacted(self.revision),
            error => LookError::Etcd(error),
        }
    }
}

fn decode_ends(
    base: Option<&Stored>,
    head: Option<&Stored>,
    claimed: Option<&Stored>,
) -> Result<Ends, String> {
    let wrong = |stored: &Stored, why: &dyn Display| format!("{}: {why}", name(stored));
    let base = base
        .map(|found| Base::decode(&found.value).map_err(|error| wrong(found, &error)))
        .transpose()?;
    let head = head
        .map(|found| Head::decode(&found.value).map_err(|error| wrong(found, &error)))
        .transpose()?;
    let claimed = claimed
        .map(|found| {
            let read = serde_json::from_slice::<Epoch>(&found.value);
            read.map(|claim| claim.epoch).map_err(|error| wrong(found, &error))
        })
        .transpose()?;
    Ok(Ends { base: base.unwrap_or_default(), head, claimed })
}

fn words(error: &ChainError) -> String {
    match error {
        ChainError::Damaged { batch, why } => format!("batch {batch}: {why}"),
        ChainError::Refused(error) => error.to_string(),
    }
}

fn name(stored: &Stored) -> String {
    String::from_utf8_lossy(&stored.key).into_owned()
}
