//! The consistent hash: which shard owns a product.
//!
//! Each shard stands at many places of a circle; a product belongs to the shard at the next place
//! behind the product's own. Adding a shard takes about 1/n of the products from the others and
//! moves nothing else. Knows names and numbers only.

use domain::ShardId;
use sha2::{Digest, Sha256};

/// The places of all shards on the circle.
#[derive(Clone, Debug)]
pub struct Ring {
    places: Vec<(u64, ShardId)>,
}

impl Ring {
    /// A circle of `shards` shards, each at `virtual_nodes` places (both at least 1).
    pub fn new(shards: u16, virtual_nodes: u16) -> Self {
        let mut places: Vec<(u64, ShardId)> = (0..shards.max(1))
            .flat_map(|shard| {
                (0..virtual_nodes.max(1)).map(move |node| {
                    let mut name = [0; 4];
                    name[..2].copy_from_slice(&shard.to_le_bytes());
                    name[2..].copy_from_slice(&node.to_le_bytes());
                    (place(b"shard", &name), ShardId(shard))
                })
            })
            .collect();
        places.sort_unstable();
        Self { places }
    }

    /// The shard that owns a product.
    pub fn owner(&self, product_id: &str) -> ShardId {
        let place = place(b"product", product_id.as_bytes());
        let next = self.places.partition_point(|(at, _)| *at < place);
        self.places.get(next).or(self.places.first()).map_or(ShardId(0), |(_, shard)| *shard)
    }

    /// The first `count` shards from a product's place on: its owner, and the next ones on the circle. Fewer if
    /// there are not so many.
    pub fn owners(&self, product_id: &str, count: u8) -> Vec<ShardId> {
        let place = place(b"product", product_id.as_bytes());
        let next = self.places.partition_point(|(at, _)| *at < place);
        let mut owners = Vec::with_capacity(usize::from(count));
        for (_, shard) in self.places[next..].iter().chain(&self.places[..next]) {
            if owners.len() >= usize::from(count) {
                break;
            }
            if !owners.contains(shard) {
                owners.push(*shard);
            }
        }
        owners
    }
}

/// A place on the circle, the same on every machine and in every version.
fn place(kind: &[u8], name: &[u8]) -> u64 {
    let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(name).finalize();
    digest.iter().take(8).fold(0, |place, byte| place << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PRODUCTS: usize = 4_000;

    fn owners(ring: &Ring) -> Vec<ShardId> {
        (0..PRODUCTS).map(|product| ring.owner(&format!("product-{product}"))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn adding_a_shard_moves_about_its_share_and_only_to_it(shards in 1_u16..48) {
            let before = owners(&Ring::new(shards, 160));
            let after = owners(&Ring::new(shards + 1, 160));
            let mut moved = 0;
            for (old, new) in before.iter().zip(&after) {
                if old != new {
                    prop_assert_eq!(*new, ShardId(shards), "only the new shard gains");
                    moved += 1;
                }
            }
            let share = PRODUCTS / usize::from(shards + 1);
            prop_assert!(moved > share / 2 && moved < share * 2, "{} moved, share {}", moved, share);
        }
    }

    #[test]
    fn owners_are_the_same_in_every_version() {
        let ring = Ring::new(64, 160);
        let owners: Vec<u16> =
            ["phone", "153", "152", "151", ""].iter().map(|id| ring.owner(id).0).collect();
        assert_eq!(owners, [13, 14, 16, 34, 59]);
    }

    #[test]
    fn buckets_are_in_shards_of_their_own_and_the_first_one_at_the_owner() {
        let ring = Ring::new(5, 20);
        for product in (0..200).map(|product| format!("product-{product}")) {
            let three = ring.owners(&product, 3);
            assert_eq!((three.len(), three[0]), (3, ring.owner(&product)));
            let mut all = ring.owners(&product, 64);
            assert_eq!(all[..3], three[..], "more buckets move none");
            all.sort_unstable();
            assert_eq!(all, (0..5).map(ShardId).collect::<Vec<_>>());
        }
    }
}
