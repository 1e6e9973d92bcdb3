//! Reads what a claim took over, from its base to its head, and believes none of it unseen.

use super::head::Base;
use super::{Claim, FencedLog, LogError};
use crate::store::journal::log::{BoxError, JournalError};
use crate::store::journal::record::each_record;
use domain::Record;

/// How many batches are read from the log at a time.
const PAGE_BATCHES: usize = 32;

/// Gives `visit` each record behind `after` of a shard that was just claimed, in order. Returns where each
/// batch behind the base ends, oldest first; the last is the claim's head.
///
/// # Errors
/// Returns [`JournalError`] if the log cannot be read or is damaged: a batch does not follow the one before,
/// its records are not those that it names, or the last one is not the head (I5). Also if `visit` refuses a
/// record.
pub async fn replay(
    log: &impl FencedLog,
    claim: &Claim,
    after: u64,
    mut visit: impl FnMut(&Record) -> Result<(), BoxError> + Send,
) -> Result<Vec<Base>, JournalError> {
    let (shard, mut end) = (claim.shard, claim.base);
    let mut ends = Vec::new();
    while end.batch < claim.head.batch {
        let page = log.read(shard, end.batch, PAGE_BATCHES).await.map_err(unreadable)?;
        if page.is_empty() {
            return Err(damaged(claim, end, "the next batch is missing"));
        }
        for batch in page {
            if !batch.follows(shard, (end.batch, end.seq, end.chain)) {
                return Err(damaged(claim, end, "the next batch does not follow it"));
            }
            let mut seq = end.seq;
            for found in each_record(batch.records()) {
                let found =
                    found.map_err(|error| damaged(claim, batch.end(), &error.to_string()))?;
                if (found.shard, found.seq) != (shard, seq + 1) {
                    return Err(damaged(claim, batch.end(), "a record is not in its place"));
                }
                seq = found.seq;
                if seq > after {
                    visit(&found).map_err(JournalError)?;
                }
            }
            if seq != batch.last_seq {
                return Err(damaged(claim, batch.end(), "it lacks records"));
            }
            end = batch.end();
            ends.push(end);
        }
    }
    if end != claim.head.as_base() {
        return Err(damaged(claim, end, "the log does not end where its head says"));
    }
    Ok(ends)
}

fn unreadable(error: LogError) -> JournalError {
    JournalError(error.into())
}

fn damaged(claim: &Claim, at: Base, why: &str) -> JournalError {
    let (shard, head) = (claim.shard, claim.head.batch);
    let place = format!("batch {} of {head} of shard {shard}: {why}", at.batch);
    JournalError(LogError::Damaged(place).into())
}
