//! Checks that each order store was filled from this engine's journal, and is the one of several that it is
//! taken for.
//!
//! To be checked before anything in it is believed or changed. The progress of another journal would
//! make the relay skip records, and the orders of two shops would be mixed in a way that cannot be
//! undone. A store that is ahead of the journal holds orders that the journal has lost.

use super::place::{Owner, StorePlace};
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
    /// It is another one of the shop's order stores, or one of another number of them.
    #[error(
        "the database that is named as order store {configured}, is order store {found}: the stores were \
         swapped, or one was added or left out, and each keeps its own shards' orders"
    )]
    Misplaced {
        /// Which one it is, by its own word.
        found: StorePlace,
        /// Which one it is named as.
        configured: StorePlace,
    },
    /// It holds records of a shard that is in another one of the shop's order stores.
    #[error(
        "order store {place} holds records of shard {shard}, which is in order store {}",
        StorePlace::of(*.shard, .place.stores)
    )]
    Stray {
        /// The shard whose records they are.
        shard: ShardId,
        /// Which store it is.
        place: StorePlace,
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

/// Checks that the order stores are filled from `ours`, as far as any was assigned to them, and are those that
/// they are taken for. Returns whether all are assigned.
///
/// # Errors
/// Returns [`OwnershipError`] if one is not, or does not answer. A store that is another one is told of before
/// one that does not answer.
pub async fn check_owner(orders: &OrderStore, ours: JournalId) -> Result<bool, OwnershipError> {
    let (mut all, mut failure) = (true, None);
    for store in orders.each() {
        match owner_of(&store, ours).await {
            Ok(owner) => all &= owner.is_some(),
            Err(error @ OwnershipError::Store(_)) => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    failure.map_or(Ok(all), Err)
}

/// What one store says of itself, if it is `ours` and the one that it is taken for.
async fn owner_of(store: &OrderStore, ours: JournalId) -> Result<Option<Owner>, OwnershipError> {
    let owner = store.owner_row().await?;
    if let Some(owner) = owner {
        check_row(owner, ours, store.place())?;
    }
    Ok(owner)
}

fn check_row(
    Owner { journal: owner, place: found }: Owner,
    ours: JournalId,
    configured: StorePlace,
) -> Result<(), OwnershipError> {
    if owner != ours {
        return Err(OwnershipError::Foreign { owner, ours });
    }
    if found != configured {
        return Err(OwnershipError::Misplaced { found, configured });
    }
    Ok(())
}

/// Returns how far the order stores are with each shard's log, once it is known that they are filled from
/// `ours`. A store without an owner (an empty one, or one of a version that assigned none) is assigned
/// to `ours`, if the journal holds all that is in it. `durable_seqs` returns the last durable record
/// of each shard.
///
/// # Errors
/// Returns [`OwnershipError`] if a store is another journal's or ahead of this one, or does not
/// answer.
pub async fn own_progress(
    orders: &OrderStore,
    ours: JournalId,
    durable_seqs: impl Fn() -> Vec<u64>,
) -> Result<Vec<(ShardId, u64)>, OwnershipError> {
    let (mut all, mut failure) = (Vec::new(), None);
    for store in orders.each() {
        match progress_of(&store, ours, &durable_seqs).await {
            Ok(progress) => all.extend(progress),
            Err(error @ OwnershipError::Store(_)) => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    all.sort_unstable();
    failure.map_or(Ok(all), Err)
}

async fn progress_of(
    store: &OrderStore,
    ours: JournalId,
    durable_seqs: impl Fn() -> Vec<u64>,
) -> Result<Vec<(ShardId, u64)>, OwnershipError> {
    let (owner, progress) = checked_progress(store, ours, durable_seqs).await?;
    if owner.is_none() {
        store.assign_owner(ours).await?;
        // Another one may have been quicker.
        if let Some(owner) = store.owner_row().await? {
            check_row(owner, ours, store.place())?;
        }
    }
    Ok(progress)
}

/// Checks that the order stores may be filled from `ours`: none is another journal's or another one than it is
/// taken for, ahead of `journal_seqs` or behind `base_seqs`, each shard's last record in the journal and the
/// last that was deleted from it. Changes nothing.
///
/// # Errors
/// Returns [`OwnershipError`] if that is not so, or a store does not answer. What is wrong with one is told of
/// before that another one does not answer.
pub async fn check(
    orders: &OrderStore,
    ours: JournalId,
    journal_seqs: &[u64],
    base_seqs: &[u64],
) -> Result<(), OwnershipError> {
    let mut failure = None;
    for store in orders.each() {
        match check_one(&store, ours, journal_seqs, base_seqs).await {
            Ok(()) => {}
            Err(error @ OwnershipError::Store(_)) => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn check_one(
    store: &OrderStore,
    ours: JournalId,
    journal_seqs: &[u64],
    base_seqs: &[u64],
) -> Result<(), OwnershipError> {
    let (_, progress) = checked_progress(store, ours, || journal_seqs.to_vec()).await?;
    let progress: HashMap<ShardId, u64> = progress.into_iter().collect();
    for (shard, base_seq) in (0..).map(ShardId).zip(base_seqs.iter().copied()) {
        let stored_seq = progress.get(&shard).copied().unwrap_or(0);
        if stored_seq < base_seq && store.holds(shard) {
            return Err(OwnershipError::Behind { shard, stored_seq, base_seq });
        }
    }
    Ok(())
}

/// What a store says of itself, if it does, and how far it is.
async fn checked_progress(
    store: &OrderStore,
    ours: JournalId,
    durable_seqs: impl Fn() -> Vec<u64>,
) -> Result<(Option<Owner>, Vec<(ShardId, u64)>), OwnershipError> {
    let owner = owner_of(store, ours).await?;
    let progress = store.progress().await?;
    // Read after the progress, which follows the journal.
    let durable_seqs = durable_seqs();
    for (shard, stored_seq) in progress.iter().copied() {
        if !store.holds(shard) {
            return Err(OwnershipError::Stray { shard, place: store.place() });
        }
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
    use crate::store::database::Database;
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

    #[tokio::test]
    async fn stores_that_were_swapped_added_or_left_out_are_refused_by_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = async |name: &str| {
            let opened = Database::open_sqlite(&directory.path().join(name)).await;
            opened.expect("a database")
        };
        let (a, b, new) = (open("a").await, open("b").await, open("new").await);
        let over = |databases: &[&Database]| {
            let databases: Vec<Database> = databases.iter().map(|one| (*one).clone()).collect();
            OrderStore::over(&databases).expect("a few")
        };
        over(&[&a, &b, &new]).migrate().await.expect("tables");
        let check = async |databases: &[&Database]| {
            own_progress(&over(databases), OURS, || vec![9, 9]).await.map(drop)
        };
        let place = |place, stores| StorePlace { place, stores };
        let misplaced = |found, configured| Err(OwnershipError::Misplaced { found, configured });
        assert_eq!(check(&[&a, &b]).await, Ok(()));
        assert_eq!(check(&[&a, &b]).await, Ok(()), "and once more");
        assert_eq!(check(&[&b, &a]).await, misplaced(place(1, 2), place(0, 2)));
        assert_eq!(check(&[&a]).await, misplaced(place(0, 2), place(0, 1)));
        assert_eq!(check(&[&a, &b, &new]).await, misplaced(place(0, 2), place(0, 3)));
        assert_eq!(check(&[&a, &a]).await, misplaced(place(0, 2), place(1, 2)));
        // One that was emptied is as one that is new: the journal fills it, or says what it lacks.
        assert_eq!(check(&[&a, &new]).await, Ok(()));
        let record =
            Record { shard: SHARD, seq: 1, at: Timestamp(1), event: Event::ItemSettled(ItemId(1)) };
        let alone = OrderStore::new(&a);
        alone.apply(&[record], &[(SHARD, 1)], Conflicts::HandedBack).await.expect("applied");
        let stray = Err(OwnershipError::Stray { shard: SHARD, place: place(0, 2) });
        assert_eq!(check(&[&a, &b]).await, stray);
    }
}
