//! What is known at one place of each bucket of an item, and of all of them together.
//!
//! The shards that are served at this place tell what is durable as it becomes so; of the others it is known what
//! their nodes said when they were asked last, which is believed for a moment. Buckets that are looked at one after
//! the other need not be as they ever were together: units that go from one to another may be seen twice or not at
//! all. What each has sent and received tells, so that a sum is taken only of what can have been at one moment. Must
//! not know gates, nodes, nor how units are moved.

use crate::admission::Admission;
use crate::buckets::Transfer;
use crate::exchange::Exchange;
use crate::ids::{ItemId, Timestamp};
use crate::sale::{ItemCounters, ItemPhase};

/// How long it is believed what another node said of a bucket, in milliseconds from before it was asked.
pub const BELIEVED: u64 = 500;

/// An item's buckets, by their numbers; none where nothing is known of it here.
#[derive(Clone, Debug)]
pub struct Parts(Vec<Option<Part>>);

/// A bucket as of its last durable fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The last record of its shard that changed it.
    pub seq: u64,
    /// Whether it sells.
    pub phase: ItemPhase,
    /// How it is guarded.
    pub admission: Admission,
    /// Its own units.
    pub counters: ItemCounters,
    /// What it has exchanged with the others, and its number.
    pub exchange: Exchange,
    /// Whether its orders are in the order store alone.
    pub is_settled: bool,
    /// Before which instant its node was asked; none if it is served here.
    pub seen_at: Option<Timestamp>,
}

impl Parts {
    /// Of an item of `count` buckets of which nothing is known.
    pub fn new(count: u8) -> Self {
        Self(vec![None; usize::from(count)])
    }

    /// Takes in what is durable of a bucket, unless something later is known. What its own shard says here counts
    /// before what another node has said of it.
    pub fn update(&mut self, part: Part) {
        let Some(place) = self.0.get_mut(usize::from(part.exchange.bucket)) else { return };
        let is_newer = place.as_ref().is_none_or(|known| match (known.seen_at, part.seen_at) {
            (Some(_), None) => true,
            (None, Some(_)) => false,
            _ => known.seq <= part.seq,
        });
        if is_newer {
            let is_settled = place.as_ref().is_some_and(|known| known.is_settled);
            *place = Some(Part { is_settled: is_settled || part.is_settled, ..part });
        }
    }

    /// Notes that a bucket is settled; true if all are.
    pub fn settle(&mut self, bucket: u8) -> bool {
        if let Some(Some(part)) = self.0.get_mut(usize::from(bucket)) {
            part.is_settled = true;
        }
        self.are_settled()
    }

    /// Whether all buckets are settled.
    pub fn are_settled(&self) -> bool {
        self.0.iter().all(|part| part.as_ref().is_some_and(|part| part.is_settled))
    }

    /// Knows a bucket no more that was served here; true if none is left that is.
    pub fn forget(&mut self, bucket: u8) -> bool {
        if let Some(place) = self.0.get_mut(usize::from(bucket)) {
            *place = None;
        }
        self.own_buckets() == 0
    }

    /// Whether something is known of every bucket.
    pub fn are_known(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    /// A bucket, if something is known of it.
    pub fn get(&self, bucket: u8) -> Option<&Part> {
        self.0.get(usize::from(bucket))?.as_ref()
    }

    /// The buckets of which something is known.
    pub fn known(&self) -> impl Iterator<Item = &Part> {
        self.0.iter().flatten()
    }

    /// The buckets that are served here, one bit each by its number.
    pub fn own_buckets(&self) -> u64 {
        let own = self.known().filter(|part| part.seen_at.is_none());
        own.fold(0, |bits, part| bits | 1_u64.checked_shl(part.exchange.bucket.into()).unwrap_or(0))
    }

    /// Until when what is known of the buckets is believed: for ever if all are served here, and not at all while
    /// one is not known.
    pub fn believed_until(&self) -> Timestamp {
        let until = |part: &Option<Part>| match part {
            None => Timestamp(0),
            Some(part) => part.believed_until(),
        };
        self.0.iter().map(until).min().unwrap_or(Timestamp::MAX)
    }

    /// How many buckets nothing is known of at this instant that is to be believed.
    pub fn away(&self, now: Timestamp) -> usize {
        let is_away =
            |part: &&Option<Part>| part.as_ref().is_none_or(|part| part.believed_until() <= now);
        self.0.iter().filter(is_away).count()
    }

    /// Whether every bucket that is not served here was asked for at this instant or later.
    pub fn are_seen_since(&self, instant: Timestamp) -> bool {
        self.0.iter().all(|part| part.as_ref().is_some_and(|part| part.is_seen_since(instant)))
    }

    /// Whether all that is known can have been at one moment: nothing was received that is not known as sent, and
    /// nothing settled that is not known as received.
    pub fn agree(&self) -> bool {
        self.agree_with(None)
    }

    /// Whether no bucket has a unit, and none is under way.
    pub fn are_sold_out(&self) -> bool {
        self.are_known() && self.counters().available == 0 && self.agree()
    }

    /// The counters of all buckets that are known. What is under way counts as available: it will be.
    pub fn counters(&self) -> ItemCounters {
        let under_way = self.known().flat_map(|part| self.under_way(&part.exchange));
        let under_way = under_way.fold(0, u32::saturating_add);
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

    /// Units that the buckets which are served here have sent and that have not arrived, as far as is known.
    pub fn units_under_way(&self) -> u32 {
        let own = self.known().filter(|part| part.seen_at.is_none());
        own.flat_map(|part| self.under_way(&part.exchange)).fold(0, u32::saturating_add)
    }

    /// Units that could come to the bucket which has exchanged this: what the others have, and what is under way.
    /// None while not all of them are known, or what is known is too old or of different moments.
    pub fn elsewhere(&self, own: &Exchange, now: Timestamp) -> Option<u32> {
        let others = || (0_u8..).zip(&self.0).filter(|(bucket, _)| *bucket != own.bucket);
        let is_believed = |part: &Part| now < part.believed_until();
        if !others().all(|(_, part)| part.as_ref().is_some_and(is_believed))
            || !self.agree_with(Some(own))
        {
            return None;
        }
        let mut units = self.under_way(own).fold(0, u32::saturating_add);
        for part in others().filter_map(|(_, part)| part.as_ref()) {
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
    pub fn donors(&self, own: u8) -> Vec<u8> {
        let mut donors: Vec<&Part> = self
            .known()
            .filter(|part| part.exchange.bucket != own && part.counters.available > 0)
            .collect();
        donors.sort_by_key(|part| std::cmp::Reverse(part.counters.available));
        donors.into_iter().map(|part| part.exchange.bucket).collect()
    }

    /// The transfers that are not settled.
    pub fn open(&self, item_id: ItemId) -> Vec<Transfer> {
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

    /// Whether the known buckets agree, one of which has exchanged what `own` says.
    fn agree_with(&self, own: Option<&Exchange>) -> bool {
        let exchange = |bucket: u8| match own {
            Some(own) if own.bucket == bucket => Some(own),
            _ => self.get(bucket).map(|part| &part.exchange),
        };
        let buckets = || (0_u8..).take(self.0.len());
        buckets().filter_map(exchange).all(|one| {
            one.peers.iter().all(|peer| {
                let Some(other) = exchange(peer.bucket) else { return true };
                let there = other.peer(one.bucket);
                follows(peer.sent, peer.open_units, there.received)
                    && follows(there.sent, there.open_units, peer.received)
            })
        })
    }
}

impl Part {
    /// Whether the bucket is served here, or was asked for at this instant or later.
    pub fn is_seen_since(&self, instant: Timestamp) -> bool {
        self.seen_at.is_none_or(|seen_at| seen_at >= instant)
    }

    fn believed_until(&self) -> Timestamp {
        let until = |seen_at: Timestamp| seen_at.plus_milliseconds(BELIEVED);
        self.seen_at.map_or(Timestamp::MAX, until)
    }
}

/// Whether one bucket can have sent so many transfers, of which the last one is open or not, when the other had
/// received so many.
fn follows(sent: u32, open_units: u32, received: u32) -> bool {
    received == sent || (open_units > 0 && received.checked_add(1) == Some(sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(10_000);

    fn part(exchange: &Exchange, seq: u64, available: u32) -> Part {
        Part {
            seq,
            phase: ItemPhase::Open,
            admission: Admission::OPEN,
            counters: ItemCounters { allotted: available, available, reserved: 0, sold: 0 },
            exchange: exchange.clone(),
            is_settled: false,
            seen_at: None,
        }
    }

    #[test]
    fn units_under_way_are_counted_once_at_every_step() {
        let (mut donor, mut receiver) = (Exchange::new(0, 10), Exchange::new(1, 10));
        let transfer = Transfer { item_id: ItemId(1), from: 0, to: 1, number: 1, units: 3 };
        let mut parts = Parts::new(2);
        parts.update(part(&donor, 1, 10));
        assert_eq!(parts.elsewhere(&receiver, NOW), Some(10));
        assert_eq!(parts.elsewhere(&donor, NOW), None, "the other bucket is not known");
        parts.update(part(&receiver, 1, 0));
        let whole = |parts: &Parts| (parts.counters().allotted, parts.counters().available);
        assert_eq!((whole(&parts), parts.donors(1)), ((10, 10), vec![0]));
        donor.send(&transfer).expect("the first one");
        parts.update(part(&donor, 2, 7));
        assert_eq!((whole(&parts), parts.elsewhere(&receiver, NOW)), ((10, 10), Some(10)));
        assert_eq!(
            (parts.elsewhere(&donor, NOW), parts.open(ItemId(1))),
            (Some(3), vec![transfer])
        );
        receiver.receive(&transfer).expect("the first one");
        assert_eq!(parts.elsewhere(&receiver, NOW), Some(7), "it has them, and others will know");
        parts.update(part(&receiver, 2, 3));
        assert_eq!((whole(&parts), parts.elsewhere(&donor, NOW)), ((10, 10), Some(3)));
        donor.settle(&transfer).expect("it is open");
        parts.update(part(&donor, 3, 7));
        assert_eq!((whole(&parts), parts.elsewhere(&receiver, NOW)), ((10, 10), Some(7)));
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

    fn seen(part: Part, at: u64) -> Part {
        Part { seen_at: Some(Timestamp(at)), ..part }
    }

    #[test]
    fn what_another_node_said_is_believed_for_a_moment() {
        let (own, other) = (Exchange::new(0, 10), Exchange::new(1, 10));
        let mut parts = Parts::new(2);
        parts.update(part(&own, 5, 0));
        assert_eq!((parts.believed_until(), parts.away(NOW)), (Timestamp(0), 1));
        parts.update(seen(part(&other, 7, 4), NOW.0 - BELIEVED));
        assert_eq!((parts.elsewhere(&own, NOW), parts.away(NOW)), (None, 1), "too old");
        assert!(!parts.are_seen_since(NOW));
        parts.update(seen(part(&other, 7, 0), NOW.0));
        assert_eq!((parts.elsewhere(&own, NOW), parts.away(NOW)), (Some(0), 0));
        assert!(parts.are_seen_since(NOW) && parts.are_sold_out());
        assert_eq!((parts.own_buckets(), parts.believed_until()), (1, Timestamp(NOW.0 + BELIEVED)));
        // The bucket comes here: what was said of it before counts no more.
        parts.update(part(&other, 8, 3));
        parts.update(seen(part(&other, 9, 9), NOW.0 + 1));
        assert_eq!((parts.elsewhere(&own, NOW), parts.own_buckets()), (Some(3), 3));
        assert_eq!(parts.believed_until(), Timestamp::MAX);
        assert!(!parts.forget(1) && parts.forget(0), "none is served here any more");
    }

    #[test]
    fn buckets_that_were_seen_at_different_moments_are_not_added_up() {
        let (mut donor, mut receiver) = (Exchange::new(1, 10), Exchange::new(2, 10));
        let own = Exchange::new(0, 10);
        let transfer = Transfer { item_id: ItemId(1), from: 1, to: 2, number: 1, units: 3 };
        let mut parts = Parts::new(3);
        let before = donor.clone();
        donor.send(&transfer).expect("the first one");
        let sent = donor.clone();
        let receiver_before = receiver.clone();
        receiver.receive(&transfer).expect("the first one");
        donor.settle(&transfer).expect("it is open");
        let mut look = |one: &Exchange, other: &Exchange, seq: u64| {
            parts.update(part(&own, 1, 0));
            parts.update(seen(part(one, seq, 0), NOW.0));
            parts.update(seen(part(other, seq, 0), NOW.0));
            (parts.agree(), parts.elsewhere(&own, NOW))
        };
        assert_eq!(look(&before, &receiver_before, 1), (true, Some(0)));
        assert_eq!(look(&before, &receiver, 2), (false, None), "received, and not seen as sent");
        assert_eq!(
            look(&donor, &receiver_before, 3),
            (false, None),
            "settled, and not as received"
        );
        assert_eq!(look(&sent, &receiver_before, 4), (true, Some(3)), "under way");
        assert_eq!(look(&sent, &receiver, 5), (true, Some(0)), "received and not settled");
        assert_eq!(look(&donor, &receiver, 6), (true, Some(0)));
    }
}
