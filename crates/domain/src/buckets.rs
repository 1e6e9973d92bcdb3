//! The buckets of an item: in which shards its units are, where one shard alone is not to sell them all.
//!
//! An item of one bucket is in one shard, and nothing here concerns it. With several buckets each buyer belongs
//! to one of them for ever, so that its shard alone knows all that the buyer has of the item (I6, I7); units go
//! from one bucket to another by a [`Transfer`]. Must not know when units are moved, nor how.

use crate::ids::{ItemId, ShardId, UserId};

/// The most buckets of one item.
pub const BUCKETS_MAX: u8 = 64;

/// The shards of an item's buckets, by the buckets' numbers from 0. Empty for an item of one bucket, whose shard
/// is the one that has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Buckets(Vec<ShardId>);

impl Buckets {
    /// One bucket, wherever it is.
    pub const ONE: Self = Self(Vec::new());

    /// Buckets in these shards; none if there are more than [`BUCKETS_MAX`], or a shard comes twice or is beyond
    /// 1,023.
    pub fn over(shards: Vec<ShardId>) -> Option<Self> {
        if shards.len() < 2 {
            return Some(Self::ONE);
        }
        let mut sorted = shards.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let are_distinct =
            sorted.len() == shards.len() && sorted.last() < Some(&ShardId(ShardId::COUNT_MAX));
        (are_distinct && shards.len() <= usize::from(BUCKETS_MAX)).then_some(Self(shards))
    }

    /// Whether there is one bucket alone.
    pub fn is_one(&self) -> bool {
        self.0.is_empty()
    }

    /// How many buckets there are, at least 1.
    pub fn count(&self) -> u8 {
        self.0.len().max(1) as u8
    }

    /// The shards of several buckets; empty if there is one bucket.
    pub fn shards(&self) -> &[ShardId] {
        &self.0
    }

    /// The number of the bucket in a shard, if the item has several and one of them is there.
    pub fn number_in(&self, shard: ShardId) -> Option<u8> {
        self.0.iter().position(|own| *own == shard).map(|number| number as u8)
    }

    /// The shard of a bucket, if the item has several and there is such a bucket.
    pub fn shard(&self, number: u8) -> Option<ShardId> {
        self.0.get(usize::from(number)).copied()
    }

    /// The shard of the buyer's bucket, if the item has several: always the same one, on every machine and in
    /// every version.
    pub fn shard_of(&self, item_id: ItemId, user_id: UserId) -> Option<ShardId> {
        self.shard(self.number_of(item_id, user_id)?)
    }

    /// The number of the buyer's bucket, if the item has several.
    pub fn number_of(&self, item_id: ItemId, user_id: UserId) -> Option<u8> {
        // Users are often numbered one after the other, and items too.
        let mixed = mix(mix(item_id.0) ^ user_id.0);
        mixed.checked_rem(self.0.len() as u64).map(|number| number as u8)
    }

    /// The part of `allotted` units that a bucket has at first: shares differ by one unit at most, and the first
    /// buckets have the larger ones.
    pub fn share(&self, allotted: u32, number: u8) -> u32 {
        let count = u32::from(self.count());
        allotted / count + u32::from(u32::from(number) < allotted % count)
    }
}

/// The finalizer of SplitMix64: spreads numbers that are close.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Units on their way from one bucket of an item to another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// The item's number.
    pub item_id: ItemId,
    /// The bucket that gives them.
    pub from: u8,
    /// The bucket that gets them.
    pub to: u8,
    /// Its number among those from the one to the other, from 1.
    pub number: u32,
    /// Units, at least 1.
    pub units: u32,
}

/// What a bucket asks another one for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnitsWanted {
    /// The item's number.
    pub item_id: ItemId,
    /// The bucket that asks.
    pub to: u8,
    /// How many units its waiting buyers want, at least 1.
    pub units: u32,
    /// Whether buyers wait at the bucket that is asked: set there, by what keeps them waiting.
    pub buyers_wait: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(count: u16) -> Buckets {
        Buckets::over((0..count).map(|shard| ShardId(shard * 3)).collect()).expect("distinct")
    }

    #[test]
    fn a_buyer_has_the_same_bucket_in_every_version() {
        let eight = over(8);
        let numbers: Vec<u16> = (1..=12)
            .map(|user| eight.shard_of(ItemId(7), UserId(user)).expect("several").0 / 3)
            .collect();
        assert_eq!(numbers, [3, 5, 4, 7, 4, 1, 7, 2, 3, 2, 5, 3]);
        assert_eq!(Buckets::ONE.shard_of(ItemId(7), UserId(1)), None);
    }

    #[test]
    fn buyers_are_spread_evenly_over_the_buckets() {
        let buckets = over(16);
        let mut buyers = [0_u32; 16];
        for user in 1..=16_000 {
            let shard = buckets.shard_of(ItemId(1), UserId(user)).expect("several");
            buyers[usize::from(shard.0 / 3)] += 1;
        }
        assert!(buyers.iter().all(|count| (850..1_150).contains(count)), "{buyers:?}");
    }

    #[test]
    fn shares_are_the_whole_and_nearly_equal() {
        for count in 1..=64 {
            let buckets = over(count);
            for allotted in [0, 1, 63, 64, 1_000, 1_000_000_000] {
                let shares: Vec<u32> =
                    (0..buckets.count()).map(|number| buckets.share(allotted, number)).collect();
                assert_eq!(shares.iter().sum::<u32>(), allotted);
                assert!(shares[0] - shares[shares.len() - 1] <= 1);
            }
        }
    }

    #[test]
    fn a_shard_has_one_bucket_at_most() {
        assert_eq!(Buckets::over(vec![ShardId(1), ShardId(2), ShardId(1)]), None);
        assert_eq!(Buckets::over((0..65).map(ShardId).collect()), None);
        assert_eq!(Buckets::over(vec![ShardId(4)]), Some(Buckets::ONE));
        let three = over(3);
        assert_eq!((three.count(), three.number_in(ShardId(6))), (3, Some(2)));
        assert_eq!((three.shard(1), three.shard(3)), (Some(ShardId(3)), None));
        assert_eq!((three.number_in(ShardId(1)), Buckets::ONE.count()), (None, 1));
    }
}
