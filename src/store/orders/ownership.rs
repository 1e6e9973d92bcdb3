//! Whether the order store was filled from this engine's journal.
//!
//! Asked before anything in it is believed or changed. A store of another journal would make the relay
//! skip records, and its shop's orders and this one's would be mixed beyond telling apart; one that is
//! ahead of the journal holds orders that the journal has lost.

use super::OrderStore;
use crate::store::database::StoreError;
use crate::store::journal::JournalId;
use domain::ShardId;

/// Why the order store is left alone.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OwnershipError {
    /// It cannot be asked.
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
    /// It holds what the journal does not.
    #[error(
        "the order store holds shard {shard} up to record {stored_seq}, but the journal ends at \
         record {journal_seq}: the journal has lost records, or the order store is of other data"
    )]
    Ahead {
        /// Which shard.
        shard: ShardId,
        /// How far the order store is.
        stored_seq: u64,
        /// Where the journal ends.
        journal_seq: u64,
    },
}

/// The order store's owner, if it may be this journal.
///
/// # Errors
/// Where it is another one, or cannot be asked.
pub async fn check_owner(
    orders: &OrderStore,
    ours: JournalId,
) -> Result<Option<JournalId>, OwnershipError> {
    match orders.owner().await? {
        Some(owner) if owner != ours => Err(OwnershipError::Foreign { owner, ours }),
        owner => Ok(owner),
    }
}

/// How far the order store is with each shard's log, once it is known to be filled from `ours`. A
/// store that nobody has claimed is claimed, if the journal holds all that is in it: so it is with an
/// empty one, and with one of a version that claimed none. `durable_seqs` says where the journal ends.
///
/// # Errors
/// Where it is another journal's, or cannot be asked.
pub async fn own_progress(
    orders: &OrderStore,
    ours: JournalId,
    durable_seqs: impl FnOnce() -> Vec<u64>,
) -> Result<Vec<(ShardId, u64)>, OwnershipError> {
    let owner = check_owner(orders, ours).await?;
    let progress = orders.progress().await?;
    // Later than the progress, which follows the journal.
    let durable_seqs = durable_seqs();
    for (shard, stored_seq) in progress.iter().copied() {
        let journal_seq = durable_seqs.get(shard.index()).copied().unwrap_or(0);
        if stored_seq > journal_seq {
            return Err(OwnershipError::Ahead { shard, stored_seq, journal_seq });
        }
    }
    if owner.is_none() {
        let owner = orders.claim(ours).await?;
        if owner != ours {
            return Err(OwnershipError::Foreign { owner, ours });
        }
    }
    Ok(progress)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::orders::Conflicts;
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
                assert_eq!(orders.claim(owner).await, Ok(owner));
            }
            if let Some(seq) = stored {
                let applied = orders.apply(&[], &[(SHARD, seq)], Conflicts::HandedBack).await;
                applied.expect("applied");
            }
            let found = own_progress(&orders, OURS, || journal.to_vec()).await;
            assert_eq!(found, answer, "{owner:?} {stored:?} {journal:?}");
            assert_eq!(orders.owner().await, Ok(owner_then), "{owner:?} {stored:?} {journal:?}");
        }
    }
}
