//! An item's gate: what the edge may know of an item without entering its shard's mailbox.
//!
//! The shard's journal pushes *durable* facts into it, so a gate is only ever shut by what cannot be
//! undone, and it opens again when stock returns. The one exception is quarantine, which is not a
//! fact about the sale but about this process.

use super::bloom_filter::BloomFilter;
use super::lease::Lease;
use crossbeam_utils::atomic::AtomicCell;
use domain::invariants;
use domain::stock::ItemState;
use domain::{Admission, ItemCounters, ItemPhase, ItemTerms, Refusal, ShardId, Timestamp, UserId};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Buyers that an item's filter is made for at most, whatever an operator allots: eight megabytes.
const BUYERS_MAX: usize = 1 << 22;

/// An item's terms, and its state as of the last durable fact.
#[derive(Debug)]
pub struct Gate {
    terms: ItemTerms,
    shard: ShardId,
    phase: AtomicCell<ItemPhase>,
    /// The number of its admission.
    admission: AtomicU64,
    sold_out: AtomicBool,
    quarantined: AtomicBool,
    settled: AtomicBool,
    /// Whether the shard has gone: what the gate knows may be out of date.
    stale: AtomicBool,
    /// While it lasts, nobody else has the shard.
    lease: Lease,
    facts: Mutex<Facts>,
    /// The buyers that may have an order of the item.
    buyers: BloomFilter,
    /// For the edge, which counts here how often the item is asked for.
    rate_cell: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Facts {
    seq: u64,
    counters: ItemCounters,
}

impl Gate {
    /// The gate of an item as it durably is, of a shard that is served under this lease.
    pub fn new(item: &ItemState, shard: ShardId, lease: Lease) -> Self {
        let buyers = if item.settled { 0 } else { item.counters.allotted as usize };
        Self::for_buyers(buyers.min(BUYERS_MAX), item, shard, lease)
    }

    /// The gate of an item of another node's shard, as it was a moment ago: it refuses nothing, and may be
    /// asked for terms and units.
    pub(super) fn elsewhere(item: &ItemState, shard: ShardId) -> Self {
        let gate = Self::for_buyers(0, item, shard, Lease::default());
        gate.set_stale();
        gate
    }

    fn for_buyers(buyers: usize, item: &ItemState, shard: ShardId, lease: Lease) -> Self {
        let gate = Self {
            terms: item.terms.clone(),
            shard,
            phase: AtomicCell::new(item.phase),
            admission: AtomicU64::new(item.admission.number()),
            sold_out: AtomicBool::new(false),
            quarantined: AtomicBool::new(false),
            settled: AtomicBool::new(item.settled),
            stale: AtomicBool::new(false),
            lease,
            facts: Mutex::new(Facts { seq: 0, counters: item.counters }),
            buyers: BloomFilter::for_members(buyers),
            rate_cell: AtomicU64::new(0),
        };
        gate.publish(item.last_seq, item.phase, item.admission, item.counters);
        gate
    }

    /// The item's terms as of its preheat.
    pub fn terms(&self) -> &ItemTerms {
        &self.terms
    }

    /// The shard that owns the item.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The counters as of the last durable fact.
    pub fn counters(&self) -> ItemCounters {
        self.facts.lock().counters
    }

    /// The item as it durably is, without the operations that its shard remembers.
    pub(super) fn state(&self) -> ItemState {
        let facts = self.facts.lock();
        ItemState {
            terms: self.terms.clone(),
            phase: self.phase(),
            counters: facts.counters,
            admission: self.admission(),
            settled: self.is_settled(),
            last_seq: facts.seq,
            operations: Vec::new(),
        }
    }

    /// The item's phase (open, paused, ended) as of the last durable fact.
    pub fn phase(&self) -> ItemPhase {
        self.phase.load()
    }

    /// How the item is guarded as of the last durable fact.
    pub fn admission(&self) -> Admission {
        let number = self.admission.load(Ordering::Acquire);
        Admission::from_number(number).unwrap_or(self.terms.admission)
    }

    /// Whether the item is in quarantine in this process.
    pub fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Acquire)
    }

    /// Whether the item is settled: the shard has evicted its orders, which the order store holds.
    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// The edge's own cell of the item, in which it counts purchases; 0 at first.
    pub fn rate_cell(&self) -> &AtomicU64 {
        &self.rate_cell
    }

    /// A refusal that needs no decision by the shard, if there is one for this buyer at `now`.
    ///
    /// Only for buyers that certainly have no order of the item: a buyer that has one may be repeating
    /// the request that got it, and only the shard can tell.
    pub fn refusal(&self, now: Timestamp, user_id: UserId) -> Option<Refusal> {
        // Another owner may know better. Whether this node is the owner, the shard finds out.
        if self.is_stale() {
            return None;
        }
        let refusal = if now < self.terms.starts_at {
            Refusal::SaleNotStarted { starts_at: self.terms.starts_at }
        } else if now >= self.terms.ends_at || self.phase() == ItemPhase::Ended {
            Refusal::SaleEnded
        } else if self.phase() == ItemPhase::Paused {
            Refusal::SalePaused
        } else if self.sold_out.load(Ordering::Acquire) {
            Refusal::SoldOut
        } else {
            return None;
        };
        (!self.buyers.may_contain(user_id)).then_some(refusal)
    }

    /// Whether a purchase needs a buy token as of the last durable fact.
    pub fn needs_token(&self) -> bool {
        self.admission.load(Ordering::Acquire) != 0 && self.admission().buy_token
    }

    /// Whether the buyer may have an order of the item: no is certain.
    pub fn may_have_bought(&self, user_id: UserId) -> bool {
        self.is_settled() || self.is_stale() || self.buyers.may_contain(user_id)
    }

    /// Takes in durable facts as of record `seq`; older ones than it has are ignored.
    pub(super) fn publish(
        &self,
        seq: u64,
        phase: ItemPhase,
        admission: Admission,
        counters: ItemCounters,
    ) {
        debug_assert_eq!(invariants::i1_balance(&counters), Ok(()), "published counters balance");
        let mut facts = self.facts.lock();
        if seq < facts.seq {
            return;
        }
        *facts = Facts { seq, counters };
        self.phase.store(phase);
        self.admission.store(admission.number(), Ordering::Release);
        self.sold_out.store(counters.available == 0, Ordering::Release);
    }

    /// Notes that this buyer may have an order. Called before the grant is answered.
    pub(super) fn add_buyer(&self, user_id: UserId) {
        self.buyers.insert(user_id);
    }

    /// Notes that the item is settled, and returns its gate from now on: one that knows no buyer, because
    /// the shard has no order any more that a repeat could get, and takes a few hundred bytes.
    pub(super) fn settle(&self) -> Self {
        self.settled.store(true, Ordering::Release);
        let facts = self.facts.lock();
        Self {
            terms: self.terms.clone(),
            shard: self.shard,
            phase: AtomicCell::new(self.phase()),
            admission: AtomicU64::new(self.admission().number()),
            sold_out: AtomicBool::new(self.sold_out.load(Ordering::Acquire)),
            quarantined: AtomicBool::new(self.is_quarantined()),
            settled: AtomicBool::new(true),
            stale: AtomicBool::new(self.stale.load(Ordering::Acquire)),
            lease: self.lease.clone(),
            facts: Mutex::new(*facts),
            buyers: BloomFilter::for_members(0),
            rate_cell: AtomicU64::new(self.rate_cell.load(Ordering::Relaxed)),
        }
    }

    /// Notes that the shard goes: from now on the gate refuses nothing.
    pub(super) fn set_stale(&self) {
        self.stale.store(true, Ordering::Release);
    }

    fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire) || !self.lease.is_live()
    }

    pub(super) fn set_quarantined(&self, quarantined: bool) {
        self.quarantined.store(quarantined, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use domain::{Currency, ItemId, SaleId};

    fn item(allotted: u32) -> ItemState {
        ItemState {
            terms: ItemTerms {
                item_id: ItemId(1),
                sale_id: SaleId(1),
                product_id: "pear".into(),
                price: 100,
                currency: Currency::CNY,
                allotted,
                limit_per_user: 1,
                starts_at: Timestamp(10),
                ends_at: Timestamp(20),
                admission: Admission::OPEN,
                payment_window_milliseconds: 1_000,
            },
            phase: ItemPhase::Open,
            counters: ItemCounters { allotted, available: allotted, reserved: 0, sold: 0 },
            admission: Admission::OPEN,
            settled: false,
            last_seq: 1,
            operations: Vec::new(),
        }
    }

    #[test]
    fn a_settled_item_keeps_its_facts_and_not_the_memory_of_its_buyers() {
        let gate = Gate::new(&item(100_000), ShardId(3), Lease::default());
        gate.add_buyer(UserId(7));
        gate.publish(
            9,
            ItemPhase::Ended,
            Admission::OPEN,
            ItemCounters { available: 99_999, sold: 1, ..gate.counters() },
        );
        assert!(gate.buyers.capacity() >= 100_000);
        let settled = gate.settle();
        assert!(gate.is_settled() && settled.is_settled());
        assert_eq!(settled.buyers.capacity(), 4);
        assert_eq!((settled.phase(), settled.counters()), (gate.phase(), gate.counters()));
        assert_eq!((settled.terms(), settled.shard()), (gate.terms(), gate.shard()));
        assert_eq!(settled.refusal(Timestamp(21), UserId(7)), Some(Refusal::SaleEnded));

        let clock = Clock::start(Timestamp(0));
        let lease = Lease::ended(clock.clone());
        let gate = Gate::new(&item(1), ShardId(3), lease.clone());
        assert_eq!(gate.refusal(Timestamp(21), UserId(7)), None, "another owner may know better");
        lease.extend(clock.now().plus_milliseconds(600_000));
        assert_eq!(gate.refusal(Timestamp(21), UserId(7)), Some(Refusal::SaleEnded));
        gate.set_stale();
        assert_eq!(gate.refusal(Timestamp(21), UserId(7)), None);

        let recovered =
            Gate::new(&ItemState { settled: true, ..item(100_000) }, ShardId(3), Lease::default());
        assert_eq!(recovered.buyers.capacity(), 4);
    }
}
