//! What a node does to serve a shard that it claims: the same steps as the product's takeover.

use super::plant::Plant;
use super::stores::{Away, Stores};
use super::wire::NodeLog;
use crate::finding::Finding;
use domain::invariants::Invariant;
use domain::{Record, ShardId, Stock};
use seckill::store::journal::JournalError;
use seckill::store::journal::fenced::{BatchEnd, Claim, FencedLog, LogError, Session, replay};

/// What a takeover came to.
pub enum Taken {
    /// The shard is this node's to serve.
    Over { claim: Claim, stock: Box<Stock>, ends: Vec<BatchEnd>, is_from_orders: bool },
    /// It was not claimed, or the log did not answer.
    Not,
    /// It was claimed, nothing leads to its state at the moment, and it was given back.
    Stuck(ShardId),
    /// What is stored cannot be so, if the claim still is the newest: the next owner may have trimmed it.
    Found { shard: ShardId, epoch: u64, finding: Finding },
}

/// Takes a shard and brings its state up to the end of its log.
pub async fn take_over(log: NodeLog, stores: Stores, session: Session, shard: ShardId) -> Taken {
    let Ok(claim) = log.claim(&session, shard).await else { return Taken::Not };
    let loaded = match load(&stores, &claim) {
        Ok(loaded) => loaded,
        Err(finding) => return Taken::Found { shard, epoch: claim.epoch, finding },
    };
    let Some((mut stock, is_from_orders)) = loaded else {
        let _ = log.release(&claim).await;
        return Taken::Stuck(shard);
    };
    let after = stock.seq();
    let is_skipped = log.plant() == Some(Plant::TailNotReplayed) && after > 0;
    let visit = |found: &Record| if is_skipped { Ok(()) } else { Ok(stock.apply(found)?) };
    match replay(&log, &claim, after, visit).await {
        Ok(ends) => Taken::Over { claim, stock: Box::new(stock), ends, is_from_orders },
        Err(error) => match unexpected(&error) {
            Some(finding) => Taken::Found { shard, epoch: claim.epoch, finding },
            None => {
                let _ = log.release(&claim).await;
                Taken::Not
            }
        },
    }
}

/// What a failed replay finds, unless the log did not answer.
fn unexpected(JournalError(error): &JournalError) -> Option<Finding> {
    match error.downcast_ref::<LogError>() {
        Some(LogError::Unavailable(_)) => None,
        Some(_) => Some(Finding::of(Invariant::I5, error.to_string())),
        None => Some(Finding::of(Invariant::I9, error.to_string())),
    }
}

/// The shard as of its checkpoint, or as the order store has it where that does not reach what is left of
/// the log. None if neither does at the moment.
fn load(stores: &Stores, claim: &Claim) -> Result<Option<(Stock, bool)>, Finding> {
    let shard = claim.shard;
    let mut stock = Stock::new(shard);
    // One that does not answer is done without.
    if let Ok(Some(checkpoint)) = stores.checkpoint(shard) {
        let (epoch, seq) = (checkpoint.epoch, checkpoint.snapshot.seq);
        if seq > claim.head.seq || epoch > claim.epoch {
            let text =
                format!("shard {shard}: checkpoint at {seq} of {epoch}, log {:?}", claim.head);
            return Err(Finding::of(Invariant::I11, text));
        }
        stock = Stock::restore(shard, checkpoint.snapshot)
            .map_err(|error| Finding::of(Invariant::I9, error.to_string()))?;
    }
    if stock.seq() >= claim.base.seq {
        return Ok(Some((stock, false)));
    }
    let Ok(records) = stores.records(shard) else { return Ok(None) };
    if stores.progress(shard).unwrap_or(0) < claim.base.seq {
        return match stores.progress(shard) {
            Err(Away) => Ok(None),
            Ok(progress) => {
                let text =
                    format!("shard {shard}: trimmed up to {:?}, stored {progress}", claim.base);
                Err(Finding::of(Invariant::I13, text))
            }
        };
    }
    let mut stock = Stock::new(shard);
    for found in &records {
        if found.seq > claim.head.seq {
            let text = format!("shard {shard}: stored {}, log {:?}", found.seq, claim.head);
            return Err(Finding::of(Invariant::I4, text));
        }
        stock.apply(found).map_err(|error| Finding::of(Invariant::I4, error.to_string()))?;
    }
    Ok(Some((stock, true)))
}
