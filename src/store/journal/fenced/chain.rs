//! What one shard's batches must be, one behind the other: said once, for who takes the shard over and for
//! who audits it.

use super::batch::StoredBatch;
use super::head::Base;
use crate::store::journal::log::BoxError;
use crate::store::journal::record::each_record;
use domain::{Record, ShardId};

/// Where a shard's log does not go on as it must.
#[derive(Debug)]
pub(super) enum ChainError {
    /// A batch is not what must be in its place (I5).
    Damaged {
        /// The batch at which that is seen.
        batch: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The visitor refused a record.
    Refused(BoxError),
}

/// A shard's batches, as far as they were followed.
pub(super) struct Chain {
    shard: ShardId,
    end: Base,
}

impl Chain {
    /// The chain of what follows `base`.
    pub(super) fn behind(shard: ShardId, base: Base) -> Self {
        Self { shard, end: base }
    }

    /// Where it ends by now.
    pub(super) fn end(&self) -> Base {
        self.end
    }

    /// Follows one batch, and gives `visit` its records in order.
    ///
    /// # Errors
    /// Returns [`ChainError`] if the batch is not the next one, if its records are not those that it names,
    /// or if `visit` refuses one.
    pub(super) fn follow(
        &mut self,
        batch: &StoredBatch,
        mut visit: impl FnMut(Record) -> Result<(), BoxError>,
    ) -> Result<(), ChainError> {
        let Base { batch: last, seq: last_seq, chain } = self.end;
        if !batch.follows(self.shard, (last, last_seq, chain)) {
            return Err(damaged(last, "the next batch does not follow it"));
        }
        let mut seq = last_seq;
        for found in each_record(batch.records()) {
            let found = found.map_err(|error| damaged(batch.batch, &error.to_string()))?;
            if (found.shard, found.seq) != (self.shard, seq + 1) {
                return Err(damaged(batch.batch, "a record is not in its place"));
            }
            seq = found.seq;
            visit(found).map_err(ChainError::Refused)?;
        }
        if seq != batch.last_seq {
            return Err(damaged(batch.batch, "it lacks records"));
        }
        self.end = batch.end();
        Ok(())
    }
}

fn damaged(batch: u64, why: &str) -> ChainError {
    ChainError::Damaged { batch, why: why.to_owned() }
}
