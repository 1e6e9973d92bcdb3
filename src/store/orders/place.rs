//! Which of several order stores holds what: a shard belongs to one of them, by its number alone, and an order
//! to its shard's, which its identity carries. Pure.

use crate::store::database::StoreError;
use crate::store::journal::JournalId;
use domain::ShardId;
use std::fmt;

/// Order stores that one shop may have, at most.
pub const STORES_MAX: u16 = 16;

/// An order store among those of a shop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StorePlace {
    /// Its place among them, from 0 on.
    pub place: u16,
    /// How many there are.
    pub stores: u16,
}

impl StorePlace {
    /// The only one.
    pub const ALONE: Self = Self { place: 0, stores: 1 };

    /// Whether the store keeps what the shard's log brings.
    pub fn holds(self, shard: ShardId) -> bool {
        Self::of(shard, self.stores) == self
    }

    /// Which of so many stores keeps what the shard's log brings.
    pub fn of(shard: ShardId, stores: u16) -> Self {
        let stores = stores.max(1);
        Self { place: shard.0 % stores, stores }
    }
}

impl fmt::Display for StorePlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} of {}, counted from 0", self.place, self.stores)
    }
}

/// What the tables say of themselves in their row of `journal`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The journal that they are filled from.
    pub journal: JournalId,
    /// Which of the shop's order stores they are.
    pub place: StorePlace,
}

/// The row as it is kept; without a place in tables that an older version made, which knew one store alone.
pub(super) type OwnerRow = (String, Option<u16>, Option<u16>);

impl Owner {
    /// Reads the row.
    ///
    /// # Errors
    /// Returns [`StoreError::Corrupt`] if it holds what this program never writes.
    pub(super) fn read((identity, store, stores): OwnerRow) -> Result<Self, StoreError> {
        let journal = identity.parse().map_err(|_| {
            StoreError::corrupt(format!("table journal: {identity:?} is not a journal's identity"))
        })?;
        let place = match store.zip(stores) {
            None => StorePlace::ALONE,
            Some((place, stores)) if place < stores => StorePlace { place, stores },
            Some((place, stores)) => {
                let what = format!("table journal: there is no order store {place} of {stores}");
                return Err(StoreError::corrupt(what));
            }
        };
        Ok(Self { journal, place })
    }
}

/// The columns of the row, and those that tables of an older version have.
pub(super) const OWNER: &str = "SELECT identity, store, stores FROM journal";
pub(super) const OWNER_ALONE: &str = "SELECT identity, NULL, NULL FROM journal";
/// What the database says of a column that an older version's table lacks.
pub(super) const OWNER_COLUMN: &str = "store";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_is_in_one_store_and_all_of_them_have_some() {
        for stores in 1..=STORES_MAX {
            let places: Vec<StorePlace> =
                (0..stores).map(|place| StorePlace { place, stores }).collect();
            let mut shards_of = vec![0; usize::from(stores)];
            for shard in (0..ShardId::COUNT_MAX).map(ShardId) {
                let holders: Vec<&StorePlace> =
                    places.iter().filter(|place| place.holds(shard)).collect();
                assert_eq!(holders, [&StorePlace::of(shard, stores)], "{shard:?} of {stores}");
                shards_of[usize::from(holders[0].place)] += 1;
            }
            let (least, most) = (shards_of.iter().min(), shards_of.iter().max());
            assert!(
                most.zip(least).is_some_and(|(most, least)| most - least <= 1),
                "{shards_of:?}"
            );
        }
    }

    #[test]
    fn a_row_without_a_place_is_the_only_store_and_an_impossible_one_is_refused() {
        let identity = "00000000000000ff".to_owned();
        let read =
            |store, stores| Owner::read((identity.clone(), store, stores)).map(|owner| owner.place);
        assert_eq!(read(None, None), Ok(StorePlace::ALONE));
        assert_eq!(read(Some(1), Some(2)), Ok(StorePlace { place: 1, stores: 2 }));
        for (store, stores) in [(2, 2), (0, 0)] {
            assert!(matches!(read(Some(store), Some(stores)), Err(StoreError::Corrupt(_))));
        }
        assert!(Owner::read(("x".to_owned(), None, None)).is_err());
    }
}
