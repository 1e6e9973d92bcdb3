//! What is durably known of each bucket of an item, and of all of them together.
//!
//! Each bucket's shard publishes what is durable, in the order in which it became so, and units that go from one
//! bucket to another are shown by the giving one first: so what is known of all at one moment is what was true at
//! one moment. Must not know gates, shards' actors, nor how units are moved.

use domain::{Admission, Exchange, ItemCounters, ItemId, ItemPhase, Transfer};

/// An item's buckets, by their numbers; none where nothing is known of it here.
#[derive(Clone, Debug)]
pub(super) struct Parts(Vec<Option<Part>>);

/// A bucket as of its last durable fact.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) seq: u64,
    pub(super) phase: ItemPhase,
    pub(super) admission: Admission,
    pub(super) counters: ItemCounters,
    pub(super) exchange: Exchange,
    pub(super) is_settled: bool,
}

impl Parts {
    /// Of an item of `count` buckets of which nothing is known.
    pub(super) fn new(count: u8) -> Self {
        Self(vec![None; usize::from(count)])
    }

    /// Takes in what is durable of a bucket, unless something later is known.
    pub(super) fn update(&mut self, part: Part) {
        if let Some(place) = self.0.get_mut(usize::from(part.exchange.bucket)) {
            let is_settled = place.as_ref().is_some_and(|known| known.is_settled);
            if place.as_ref().is_none_or(|known| known.seq <= part.seq) {
                *place = Some(Part { is_settled: is_settled || part.is_settled, ..part });
            }
        }
    }

    /// Notes that a bucket is settled; true if all are.
    pub(super) fn settle(&mut self, bucket: u8) -> bool {
        if let Some(Some(part)) = self.0.get_mut(usize::from(bucket)) {
            part.is_settled = true;
        }
        self.are_settled()
    }

    /// Whether all buckets are settled.
    pub(super) fn are_settled(&self) -> bool {
        self.0.iter().all(|part| part.as_ref().is_some_and(|part| part.is_settled))
    }

    /// Knows a bucket no more; true if none is known.
    pub(super) fn forget(&mut self, bucket: u8) -> bool {
        if let Some(place) = self.0.get_mut(usize::from(bucket)) {
            *place = None;
        }
        self.0.iter().all(Option::is_none)
    }

    /// Whether something is known of every bucket.
    pub(super) fn are_known(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    /// A bucket, if something is known of it.
    pub(super) fn get(&self, bucket: u8) -> Option<&Part> {
        self.0.get(usize::from(bucket))?.as_ref()
    }

    /// The buckets of which something is known.
    pub(super) fn known(&self) -> impl Iterator<Item = &Part> {
        self.0.iter().flatten()
    }

    /// The counters of all buckets that are known. What is under way counts as available: it will be.
    pub(super) fn counters(&self) -> ItemCounters {
        let under_way = self.units_under_way();
        let start =
            ItemCounters { allotted: under_way, available: under_way, ..ItemCounters::default() };
        self.known().fold(start, |sum, part| {
            let ItemCounters { allotted, available, reserved, sold } = part.counters;
            ItemCounters {
                allotted: sum.allotted.saturating_add(allotted),
                available: sum.available.saturating_add(available),
                reserved: sum.reserved.saturating_add(reserved),
                sold: sum.sold.saturating_add(sold),
            }
        })
    }

    /// Units that a bucket has sent and that have not arrived.
    pub(super) fn units_under_way(&self) -> u32 {
        let under_way = self.known().flat_map(|part| self.under_way(&part.exchange));
        under_way.fold(0, u32::saturating_add)
    }

    /// Units that could come to the bucket which has exchanged this: what the others have, and what is under way.
    /// None while not all of them are known.
    pub(super) fn elsewhere(&self, own: &Exchange) -> Option<u32> {
        let mut units = self.under_way(own).fold(0, u32::saturating_add);
        for (bucket, part) in self.0.iter().enumerate() {
            if bucket == usize::from(own.bucket) {
                continue;
            }
            let part = part.as_ref()?;
            units = units.saturating_add(part.counters.available);
            for transfer in part.exchange.open(ItemId(0)) {
                // Of what has come here, the bucket itself knows best.
                let received = match transfer.to == own.bucket {
                    true => own.peer(transfer.from).received,
                    false => self.received(&transfer),
                };
                if transfer.number > received {
                    units = units.saturating_add(transfer.units);
                }
            }
        }
        Some(units)
    }

    /// The other buckets that have units, those with the most first.
    pub(super) fn donors(&self, own: u8) -> Vec<u8> {
        let mut donors: Vec<&Part> = self
            .known()
            .filter(|part| part.exchange.bucket != own && part.counters.available > 0)
            .collect();
        donors.sort_by_key(|part| std::cmp::Reverse(part.counters.available));
        donors.into_iter().map(|part| part.exchange.bucket).collect()
    }

    /// The transfers that are not settled.
    pub(super) fn open(&self, item_id: ItemId) -> Vec<Transfer> {
        self.known().flat_map(|part| part.exchange.open(item_id)).collect()
    }

    /// Units that this bucket has sent and that have not arrived.
    fn under_way(&self, exchange: &Exchange) -> impl Iterator<Item = u32> {
        let open = exchange.open(ItemId(0));
        open.filter(|transfer| transfer.number > self.received(transfer))
            .map(|transfer| transfer.units)
    }

    fn received(&self, transfer: &Transfer) -> u32 {
        self.get(transfer.to).map_or(0, |part| part.exchange.peer(transfer.from).received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(exchange: &Exchange, seq: u64, available: u32) -> Part {
        Part {
            seq,
            phase: ItemPhase::Open,
            admission: Admission::OPEN,
            counters: ItemCounters { allotted: available, available, reserved: 0, sold: 0 },
            exchange: exchange.clone(),
            is_settled: false,
        }
    }

    #[test]
    fn units_under_way_are_counted_once_at_every_step() {
        let (mut donor, mut receiver) = (Exchange::new(0, 10), Exchange::new(1, 10));
        let transfer = Transfer { item_id: ItemId(1), from: 0, to: 1, number: 1, units: 3 };
        let mut parts = Parts::new(2);
        parts.update(part(&donor, 1, 10));
        assert_eq!(parts.elsewhere(&receiver), Some(10));
        assert_eq!(parts.elsewhere(&donor), None, "the other bucket is not known");
        parts.update(part(&receiver, 1, 0));
        let whole = |parts: &Parts| (parts.counters().allotted, parts.counters().available);
        assert_eq!((whole(&parts), parts.donors(1)), ((10, 10), vec![0]));
        donor.send(&transfer).expect("the first one");
        parts.update(part(&donor, 2, 7));
        assert_eq!((whole(&parts), parts.elsewhere(&receiver)), ((10, 10), Some(10)));
        assert_eq!((parts.elsewhere(&donor), parts.open(ItemId(1))), (Some(3), vec![transfer]));
        receiver.receive(&transfer).expect("the first one");
        assert_eq!(parts.elsewhere(&receiver), Some(7), "it has them, and others will know");
        parts.update(part(&receiver, 2, 3));
        assert_eq!((whole(&parts), parts.elsewhere(&donor)), ((10, 10), Some(3)));
        donor.settle(&transfer).expect("it is open");
        parts.update(part(&donor, 3, 7));
        assert_eq!((whole(&parts), parts.elsewhere(&receiver)), ((10, 10), Some(7)));
        assert!(parts.open(ItemId(1)).is_empty());
        parts.update(part(&Exchange::new(0, 10), 1, 99));
        assert_eq!(whole(&parts), (10, 10), "what is older changes nothing");
    }

    #[test]
    fn all_are_settled_when_each_is_and_stays_so() {
        let mut parts = Parts::new(2);
        parts.update(part(&Exchange::new(0, 5), 1, 5));
        assert!(!parts.settle(0) && !parts.are_known());
        parts.update(part(&Exchange::new(1, 5), 1, 0));
        parts.update(part(&Exchange::new(0, 5), 2, 5));
        assert!(parts.settle(1) && parts.are_settled());
        assert!(!parts.forget(0) && !parts.are_settled() && parts.forget(1));
    }
}
