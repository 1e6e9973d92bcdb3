//! What became of the purchases of a few items that are watched, by a sample of all purchases.
//!
//! A table of fixed size: counting looks through the places for the item, and takes no lock and no
//! memory. Must not know who watches.

use crate::http::problem::Code;
use domain::ItemId;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Items that can be watched at the same time.
pub const WATCHED_MAX: usize = 32;
/// What a purchase may come to: an order, the order of before, or a code.
pub const OUTCOMES: usize = 2 + Code::ALL.len();
/// The outcome that is a new order.
pub const PLACED: usize = 0;
/// The outcome that is the order of before.
pub const REPLAYED: usize = 1;

/// The outcome that is this code.
pub fn outcome_of(code: Code) -> usize {
    2 + code as usize
}

/// The place of no item: no item has this number.
const NOBODY: u64 = u64::MAX;

/// What became of purchases, by item and outcome.
#[derive(Debug)]
pub struct Funnels(Box<[Funnel]>);

#[derive(Debug)]
struct Funnel {
    item: AtomicU64,
    outcomes: [AtomicU64; OUTCOMES],
}

impl Default for Funnels {
    fn default() -> Self {
        let empty = |_| Funnel {
            item: AtomicU64::new(NOBODY),
            outcomes: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        Self((0..WATCHED_MAX).map(empty).collect())
    }
}

impl Funnels {
    /// Counts what became of a purchase, if its item is watched.
    pub fn count(&self, item: ItemId, outcome: usize, weight: u64) {
        let found = self.0.iter().find(|funnel| funnel.item.load(Relaxed) == item.0);
        if let Some(funnel) = found {
            funnel.outcomes[outcome].fetch_add(weight, Relaxed);
        }
    }

    /// Watches an item from now on in place of the one that had this place.
    pub fn watch(&self, place: usize, item: ItemId) {
        let Some(funnel) = self.0.get(place) else { return };
        if funnel.item.swap(item.0, Relaxed) != item.0 {
            funnel.outcomes.iter().for_each(|count| count.store(0, Relaxed));
        }
    }

    /// What became of the purchases of the item that has this place, since it is watched.
    pub fn outcomes(&self, place: usize) -> [u64; OUTCOMES] {
        let funnel = self.0.get(place);
        std::array::from_fn(|at| funnel.map_or(0, |funnel| funnel.outcomes[at].load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_watched_is_counted() {
        let funnels = Funnels::default();
        funnels.watch(3, ItemId(7));
        funnels.count(ItemId(7), outcome_of(Code::SoldOut), 16);
        funnels.count(ItemId(7), PLACED, 1);
        funnels.count(ItemId(8), PLACED, 1);
        let outcomes = funnels.outcomes(3);
        assert_eq!((outcomes[outcome_of(Code::SoldOut)], outcomes[PLACED]), (16, 1));
        assert_eq!(outcomes.iter().sum::<u64>(), 17);
        // The same item again keeps its counts, another one begins at none.
        funnels.watch(3, ItemId(7));
        assert_eq!(funnels.outcomes(3), outcomes);
        funnels.watch(3, ItemId(8));
        assert_eq!(funnels.outcomes(3).iter().sum::<u64>(), 0);
        assert_eq!(funnels.outcomes(WATCHED_MAX), [0; OUTCOMES]);
    }
}
