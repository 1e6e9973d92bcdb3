//! An item's gate: what the edge may know of an item without entering its shard's mailbox.
//!
//! The shard's journal pushes *durable* facts into it, so a gate is only ever shut by what cannot be
//! undone, and it opens again when stock returns. The one exception is quarantine, which is not a
//! fact about the sale but about this process.

use crate::domain::invariants;
use crate::domain::stock::ItemState;
use crate::domain::{ItemCounters, ItemPhase, ItemTerms, Refusal, ShardId, Timestamp, UserId};
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// See the module.
#[derive(Debug)]
pub struct Gate {
    terms: ItemTerms,
    shard: ShardId,
    phase: AtomicU8,
    sold_out: AtomicBool,
    quarantined: AtomicBool,
    settled: AtomicBool,
    facts: Mutex<Facts>,
    buyers: BuyerFilter,
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
            buyers: BuyerFilter::for_units(item.counters.allotted),
        };
        gate.publish(item.last_seq, item.phase, item.counters);
        gate
    }

    /// What was agreed at the preheat.
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

    /// What operators made of the item, as of the last durable fact.
    pub fn phase(&self) -> ItemPhase {
        ItemPhase::from_number(self.phase.load(Ordering::Acquire)).unwrap_or(ItemPhase::Paused)
    }

    /// Whether the item is out of order in this process.
    pub fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Acquire)
    }

    /// Whether the shard has let go of the item's orders.
    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// A refusal that needs no decision by the shard, if there is one for this buyer at `now`.
    ///
    /// Only for buyers that certainly have no order of the item: whoever has one may be repeating
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

    /// Remembers that this buyer may have an order. Called before the grant is answered.
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

/// A blocked Bloom filter over buyers: 16 bits a unit, four bits set within one 64-bit word.
/// A false positive costs a trip to the mailbox, never a wrong answer.
#[derive(Debug)]
struct BuyerFilter {
    words: Box<[AtomicU64]>,
    hasher: FixedState,
}

impl BuyerFilter {
    /// For about this many buyers; more of them only raise the rate of false positives. Eight
    /// megabytes at the most, whatever an operator allots.
    fn for_units(units: u32) -> Self {
        const UNITS_MAX: u32 = 1 << 22;
        let words = (units.min(UNITS_MAX) as usize / 4).max(1).next_power_of_two();
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            hasher: FixedState::default(),
        }
    }

    fn insert(&self, user_id: UserId) {
        let (word, bits) = self.place(user_id);
        word.fetch_or(bits, Ordering::Release);
    }

    fn may_contain(&self, user_id: UserId) -> bool {
        let (word, bits) = self.place(user_id);
        word.load(Ordering::Acquire) & bits == bits
    }

    fn place(&self, user_id: UserId) -> (&AtomicU64, u64) {
        let hash = self.hasher.hash_one(user_id);
        let bits = (0..4).fold(0, |bits, part| bits | 1 << (hash >> (part * 6) & 63));
        (&self.words[(hash >> 24) as usize & (self.words.len() - 1)], bits)
    }
}
