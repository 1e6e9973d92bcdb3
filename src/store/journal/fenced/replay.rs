//! Reads what a claim took over, from its base to its head, and believes none of it unseen.

use super::chain::{Chain, ChainError};
use super::head::BatchEnd;
use super::{Claim, FencedLog, LogError};
use crate::store::journal::log::{BoxError, JournalError};
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
) -> Result<Vec<BatchEnd>, JournalError> {
    let mut chain = Chain::behind(claim.shard, claim.base);
    let mut ends = Vec::new();
    while chain.end().batch < claim.head.batch {
        let last = chain.end().batch;
        let page = log.read(claim.shard, last, PAGE_BATCHES).await.map_err(unreadable)?;
        if page.is_empty() {
            return Err(damaged(claim, last, "the next batch is missing"));
        }
        for batch in page {
            let followed = chain
                .follow(&batch, |found| if found.seq > after { visit(&found) } else { Ok(()) });
            followed.map_err(|error| match error {
                ChainError::Damaged { batch, why } => damaged(claim, batch, &why),
                ChainError::Refused(error) => JournalError(error),
            })?;
            ends.push(batch.sized_end());
        }
    }
    if chain.end() != claim.head.as_base() {
        return Err(damaged(claim, chain.end().batch, "the log does not end where its head says"));
    }
    Ok(ends)
}

fn unreadable(error: LogError) -> JournalError {
    JournalError(error.into())
}

fn damaged(claim: &Claim, batch: u64, why: &str) -> JournalError {
    let (shard, head) = (claim.shard, claim.head.batch);
    let place = format!("batch {batch} of {head} of shard {shard}: {why}");
    JournalError(LogError::Damaged(place).into())
}
