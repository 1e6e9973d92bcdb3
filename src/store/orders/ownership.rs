//! Checks that the order store was filled from this engine's journal.
//!
//! To be checked before anything in it is believed or changed. The progress of another journal would
//! make the relay skip records, and the orders of two shops would be mixed in a way that cannot be
//! undone. A store that is ahead of the journal holds orders that the journal has lost.

use super::store::OrderStore;
use crate::store::database::StoreError;
use crate::store::journal::JournalId;
use domain::ShardId;
use std::collections::HashMap;

/// Why the order store must neither be believed nor changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OwnershipError {
    /// It does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was filled from another journal.
    #[error(
        "the order store was filled from journal {owner}, and this is journal {ours}: another shop \
         keeps its orders there, or the data directory is not the one that it was filled from"
    )]
    Foreign {
        /// The journal that it was filled from.
        owner: JournalId,
        /// The journal that asks.
        ours: JournalId,
    },
    /// It holds records that the journal does not hold.
    #[error(
        "the order store holds shard {shard} up to record {stored_seq}, but the journal ends at \
         record {journal_seq}: the journal has lost records, or the order store is of other data"
    )]
    Ahead {
        /// The shard whose log it is.
        shard: ShardId,
        /// The last record of the shard that the order store holds.
        stored_seq: u64,
        /// The last record of the shard in the journal.
        journal_seq: u64,
    },
    /// It lacks records that the journal has no longer.
    #[error(
        "the order store holds shard {shard} up to record {stored_seq}, and the journal begins behind \
         record {base_seq}: what is between was deleted from the journal because the order store had \
         it, and it is in neither now"
    )]
    Behind {
        /// The shard whose log it is.
        shard: ShardId,
        /// The last record of the shard that the order store holds.
        stored_seq: u64,
        /// The last record of the shard that was deleted from the journal.
        base_seq: u64,
    },
}

/// Returns the journal that the order store is filled from, if it has one and it is `ours`.
///
/// # Errors
/// Returns [`OwnershipError`] if it is another one, or the store does not answer.
pub async fn check_owner(
    orders: &OrderStore,
    ours: JournalId,
) -> Result<Option<JournalId>, OwnershipError> {
    match orders.owner().await? {
        Some(owner) if owner != ours => Err(OwnershipError::Foreign { owner, ours }),
        owner => Ok(owner),
    }
}

/// Returns how far the order store is with each shard's log, once it is known to be filled from
/// `ours`. A store without an owner (an empty one, or one of a version that assigned none) is assigned
/// to `ours`, if the journal holds all that is in it. `durable_seqs` returns the last durable record
/// of each shard.
///
/// # Errors
/// Returns [`OwnershipError`] if the store is another journal's or ahead of this one, or does not
/// answer.
pub async fn own_progress(
    orders: &OrderStore,
    ours: JournalId,
    durable_seqs: impl FnOnce() -> Vec<u64>,
) -> Result<Vec<(ShardId, u64)>, OwnershipError> {
    let (owner, progress) = checked_progress(orders, ours, durable_seqs).await?;
    if owner.is_none() {
        let owner = orders.assign_owner(ours).await?;
        if owner != ours {
            return Err(OwnershipError::Foreign { owner, ours });
        }
    }
    Ok(progress)
}

/// Checks that the order store may be filled from `ours`: it is not another journal's, not ahead of
/// `journal_seqs` and not behind `base_seqs`, each shard's last record in the journal and the last that was
/// deleted from it. Changes nothing.
///
/// # Errors
/// Returns [`OwnershipError`] if that is not so, or the store does not answer.
pub async fn check(
    orders: &OrderStore,
    ours: JournalId,
    journal_seqs: &[u64],
    base_seqs: &[u64],
) -> Result<(), OwnershipError> {
    let (_, progress) = checked_progress(orders, ours, || journal_seqs.to_vec()).await?;
    let progress: HashMap<ShardId, u64> = progress.into_iter().collect();
    for (shard, base_seq) in (0..).map(ShardId).zip(base_seqs.iter().copied()) {
        let stored_seq = progress.get(&shard).copied().unwrap_or(0);
        if stored_seq < base_seq {
            return Err(OwnershipError::Behind { shard, stored_seq, base_seq });
        }
    }
    Ok(())
}

/// The journal that the order store names, if it does, and how far it is.
async fn checked_progress(
    orders: &OrderStore,
    ours: JournalId,
    durable_seqs: impl FnOnce() -> Vec<u64>,
) -> Result<(Option<JournalId>, Vec<(ShardId, u64)>), OwnershipError> {
    let owner = check_owner(orders, ours).await?;
    let progress = orders.progress().await?;
    // Read after the progress, which follows the journal.
    let durable_seqs = durable_seqs();
    for (shard, stored_seq) in progress.iter().copied() {
        let journal_seq = durable_seqs.get(shard.index()).copied().unwrap_or(0);
        if stored_seq > journal_seq {
            return Err(OwnershipError::Ahead { shard, stored_seq, journal_seq });
        }
    }
    Ok((owner, progress))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::orders::Conflicts;
    use domain::{Event, ItemId, Record, Timestamp};
    use std::num::NonZeroU64;

    const OURS: JournalId = JournalId(NonZeroU64::MIN);
    const OTHER: JournalId = JournalId(NonZeroU64::MAX);
    const SHARD: ShardId = ShardId(1);

    #[tokio::test]
    async fn only_an_own_store_or_a_new_one_that_the_journal_covers_is_believed() {
        let foreign = || Err(OwnershipError::Foreign { owner: OTHER, ours: OURS });
        let ahead = |stored_seq, journal_seq| {
            Err(OwnershipError::Ahead { shard: SHARD, stored_seq, journal_seq })
        };
        #[rustfmt::skip]
        let table = [
            // owner       stored   journal     answer                    owner then
            (None,         None,    &[0, 0][..], Ok(vec![]),              Some(OURS)),
            (None,         Some(5), &[0, 5],     Ok(vec![(SHARD, 5)]),    Some(OURS)),
            (None,         Some(5), &[9, 4],     ahead(5, 4),             None),
            (None,         Some(5), &[9],        ahead(5, 0),             None),
            (Some(OURS),   Some(5), &[0, 9],     Ok(vec![(SHARD, 5)]),    Some(OURS)),
            (Some(OURS),   Some(5), &[0, 4],     ahead(5, 4),             Some(OURS)),
            (Some(OTHER),  Some(5), &[0, 9],     foreign(),               Some(OTHER)),
            (Some(OTHER),  None,    &[0, 0],     foreign(),               Some(OTHER)),
        ];
        for (owner, stored, journal, answer, owner_then) in table {
            let directory = tempfile::tempdir().expect("a directory");
            let orders = OrderStore::open_sqlite(&directory.path().join("orders.db")).await;
            let orders = orders.expect("the order store");
            orders.migrate().await.expect("tables");
            if let Some(owner) = owner {
                assert_eq!(orders.assign_owner(owner).await, Ok(owner));
            }
            if let Some(seq) = stored {
                let record = |seq| Record {
                    shard: SHARD,
                    seq,
                    at: Timestamp(seq),
                    event: Event::ItemSettled(ItemId(1)),
                };
                let records: Vec<Record> = (1..=seq).map(record).collect();
                let applied = orders.apply(&records, &[(SHARD, seq)], Conflicts::HandedBack).await;
                applied.expect("applied");
            }
            let found = own_progress(&orders, OURS, || journal.to_vec()).await;
            assert_eq!(found, answer, "{owner:?} {stored:?} {journal:?}");
            assert_eq!(orders.owner().await, Ok(owner_then), "{owner:?} {stored:?} {journal:?}");
        }
    }
}
