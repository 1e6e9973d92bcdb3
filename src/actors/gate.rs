//! An item's gate: what the edge may know of an item without entering its shard's mailbox.
//!
//! The shard's journal pushes *durable* facts into it, so a gate is only ever shut by what cannot be
//! undone, and it opens again when stock returns. The one exception is quarantine, which is not a
//! fact about the sale but about this process.

use super::bloom_filter::BloomFilter;
use domain::invariants;
use domain::stock::ItemState;
use domain::{ItemCounters, ItemPhase, ItemTerms, Refusal, ShardId, Timestamp, UserId};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Buyers that an item's filter is made for at most, whatever an operator allots: eight megabytes.
const BUYERS_MAX: usize = 1 << 22;

/// An item's terms, and its state as of the last durable fact.
#[derive(Debug)]
pub struct Gate {
    terms: ItemTerms,
    shard: ShardId,
    phase: AtomicU8,
    sold_out: AtomicBool,
    quarantined: AtomicBool,
    settled: AtomicBool,
    facts: Mutex<Facts>,
    /// The buyers that may have an order of the item.
    buyers: BloomFilter,
}

#[derive(Debug)]
struct Facts {
    seq: u64,
    counters: ItemCounters,
}

impl Gate {
    /// The gate of an item as it durably is.
    pub fn new(item: &ItemState, shard: ShardId) -> Self {
        let gate = Self {
            terms: item.terms.clone(),
            shard,
            phase: AtomicU8::new(item.phase as u8),
            sold_out: AtomicBool::new(false),
            quarantined: AtomicBool::new(false),
            settled: AtomicBool::new(item.settled),
            facts: Mutex::new(Facts { seq: 0, counters: item.counters }),
            buyers: BloomFilter::for_members((item.counters.allotted as usize).min(BUYERS_MAX)),
        };
        gate.publish(item.last_seq, item.phase, item.counters);
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

    /// The item's phase (open, paused, ended) as of the last durable fact.
    pub fn phase(&self) -> ItemPhase {
        ItemPhase::from_number(self.phase.load(Ordering::Acquire)).unwrap_or(ItemPhase::Paused)
    }

    /// Whether the item is in quarantine in this process.
    pub fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Acquire)
    }

    /// Whether the item is settled: the shard has evicted its orders, which the order store holds.
    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// A refusal that needs no decision by the shard, if there is one for this buyer at `now`.
    ///
    /// Only for buyers that certainly have no order of the item: a buyer that has one may be repeating
    /// the request that got it, and only the shard can tell.
    pub fn refusal(&self, now: Timestamp, user_id: UserId) -> Option<Refusal> {
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

    /// Takes in durable facts as of record `seq`; older ones than it has are ignored.
    pub(super) fn publish(&self, seq: u64, phase: ItemPhase, counters: ItemCounters) {
        debug_assert_eq!(invariants::i1_balance(&counters), Ok(()), "published counters balance");
        let mut facts = self.facts.lock();
        if seq < facts.seq {
            return;
        }
        *facts = Facts { seq, counters };
        self.phase.store(phase as u8, Ordering::Release);
        self.sold_out.store(counters.available == 0, Ordering::Release);
    }

    /// Notes that this buyer may have an order. Called before the grant is answered.
    pub(super) fn add_buyer(&self, user_id: UserId) {
        self.buyers.insert(user_id);
    }

    pub(super) fn set_settled(&self) {
        self.settled.store(true, Ordering::Release);
    }

    pub(super) fn set_quarantined(&self, quarantined: bool) {
        self.quarantined.store(quarantined, Ordering::Release);
    }
}
