//! An item's gate: what the edge may know of an item without entering its shard's mailbox.
//!
//! The shard's journal pushes *durable* facts into it, so a gate is only ever shut by what cannot be
//! undone, and it opens again when stock returns. The one exception is quarantine, which is not a
//! fact about the sale but about this process. Of an item whose buckets several nodes serve, the gate refuses the
//! buyers of its own buckets alone, because it knows of these alone who may have bought; and only while it is
//! believed what the others said of theirs.

use super::bloom_filter::BloomFilter;
use super::lease::Lease;
use crossbeam_utils::atomic::AtomicCell;
use domain::invariants;
use domain::stock::ItemState;
use domain::{
    Admission, Exchange, ItemCounters, ItemPhase, ItemTerms, Part, Parts, Refusal, ShardId,
    Timestamp, Transfer, UserId,
};
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
    /// The phase of the buckets that are served here, by which buyers are refused; open if they differ.
    own_phase: AtomicCell<ItemPhase>,
    /// The number of its admission.
    admission: AtomicU64,
    sold_out: AtomicBool,
    /// Until when that is believed, as far as other nodes said so.
    believed_until: AtomicU64,
    /// The buckets that are served here, one bit each; all bits of an item that has one.
    own_buckets: AtomicU64,
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
    /// Held by what has the other buckets follow the first one, so that each follows its last step.
    following: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Facts {
    seq: u64,
    counters: ItemCounters,
    /// Whether `counters` are those of all buckets, as they can have been at one moment.
    are_whole: bool,
    /// What each of several buckets has.
    parts: Option<Box<Parts>>,
}

impl Gate {
    /// The gate of an item as it durably is, of a shard that is served under this lease.
    pub fn new(item: &ItemState, shard: ShardId, lease: Lease) -> Self {
        let buyers = match item.exchange {
            // Buyers of all buckets come here.
            Some(_) => item.terms.allotted as usize,
            None if item.settled => 0,
            None => item.counters.allotted as usize,
        };
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
            shard: item.terms.buckets.shard(0).unwrap_or(shard),
            phase: AtomicCell::new(item.phase),
            own_phase: AtomicCell::new(match item.exchange {
                None => item.phase,
                Some(_) => ItemPhase::Open,
            }),
            admission: AtomicU64::new(item.admission.number()),
            sold_out: AtomicBool::new(false),
            believed_until: AtomicU64::new(match item.exchange {
                None => Timestamp::MAX.0,
                Some(_) => 0,
            }),
            own_buckets: AtomicU64::new(if item.exchange.is_none() { u64::MAX } else { 0 }),
            quarantined: AtomicBool::new(false),
            settled: AtomicBool::new(item.settled && item.exchange.is_none()),
            stale: AtomicBool::new(false),
            lease,
            facts: Mutex::new(Facts {
                seq: 0,
                counters: item.counters,
                are_whole: false,
                parts: item
                    .exchange
                    .as_ref()
                    .map(|_| Box::new(Parts::new(item.terms.buckets.count()))),
            }),
            buyers: BloomFilter::for_members(buyers),
            rate_cell: AtomicU64::new(0),
            following: tokio::sync::Mutex::default(),
        };
        // What is known of buckets is shown when it is durable.
        if item.exchange.is_none() {
            gate.show(item);
        }
        gate
    }

    /// The item's terms as of its preheat.
    pub fn terms(&self) -> &ItemTerms {
        &self.terms
    }

    /// The shard that owns the item; of several buckets, that of bucket 0.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The shard that decides for a buyer of the item.
    pub fn shard_of(&self, user_id: UserId) -> ShardId {
        self.terms.buckets.shard_of(self.terms.item_id, user_id).unwrap_or(self.shard)
    }

    /// The shards that have the item: one, or that of each bucket.
    pub fn shards(&self) -> &[ShardId] {
        match self.terms.buckets.shards() {
            [] => std::slice::from_ref(&self.shard),
            shards => shards,
        }
    }

    /// The counters as of the last durable fact; of several buckets those that are known, which is all of them once
    /// [`Self::units`] has some.
    pub fn counters(&self) -> ItemCounters {
        self.facts.lock().counters
    }

    /// The counters of all the item's buckets, as they were when they were last seen together; none if they never
    /// were: what is known then is a part.
    pub fn units(&self) -> Option<ItemCounters> {
        let facts = self.facts.lock();
        (facts.parts.is_none() || facts.are_whole).then_some(facts.counters)
    }

    /// The item as it durably is in one of its shards, without the operations that the shard remembers; none if
    /// that is not known.
    pub(super) fn state_in(&self, shard: ShardId) -> Option<ItemState> {
        let facts = self.facts.lock();
        if let Some(parts) = &facts.parts {
            let part = parts.get(self.terms.buckets.number_in(shard)?)?;
            if part.seen_at.is_some() {
                return None;
            }
            return Some(ItemState {
                terms: self.terms.clone(),
                phase: part.phase,
                counters: part.counters,
                admission: part.admission,
                settled: part.is_settled,
                exchange: Some(Box::new(part.exchange.clone())),
                last_seq: part.seq,
                operations: Vec::new(),
            });
        }
        Some(ItemState {
            terms: self.terms.clone(),
            phase: self.phase(),
            counters: facts.counters,
            admission: self.admission(),
            settled: self.is_settled(),
            exchange: None,
            last_seq: facts.seq,
            operations: Vec::new(),
        })
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
        if self.is_stale() || !self.is_buyer_of_own_bucket(user_id) {
            return None;
        }
        let refusal = if now < self.terms.starts_at {
            Refusal::SaleNotStarted { starts_at: self.terms.starts_at }
        } else if now >= self.terms.ends_at || self.own_phase.load() == ItemPhase::Ended {
            Refusal::SaleEnded
        } else if self.own_phase.load() == ItemPhase::Paused {
            Refusal::SalePaused
        } else if self.sold_out.load(Ordering::Acquire)
            && now.0 < self.believed_until.load(Ordering::Acquire)
        {
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
        self.is_settled()
            || self.is_stale()
            || !self.is_buyer_of_own_bucket(user_id)
            || self.buyers.may_contain(user_id)
    }

    /// Whether the buyer's bucket is served here.
    fn is_buyer_of_own_bucket(&self, user_id: UserId) -> bool {
        let Some(bucket) = self.terms.buckets.number_of(self.terms.item_id, user_id) else {
            return true;
        };
        self.own_buckets.load(Ordering::Acquire) & (1 << (bucket % 64)) != 0
    }

    /// Takes in an item as it durably is in one of its shards, which is served here.
    pub(super) fn show(&self, item: &ItemState) {
        self.take_in(item, None);
    }

    /// Takes in an item as another node had it, which was asked at this instant.
    pub(super) fn show_seen(&self, item: &ItemState, asked_at: Timestamp) {
        self.take_in(item, Some(asked_at));
    }

    fn take_in(&self, item: &ItemState, seen_at: Option<Timestamp>) {
        match &item.exchange {
            None => self.publish(item.last_seq, item.phase, item.admission, item.counters),
            Some(exchange) => self.publish_bucket(Part {
                seq: item.last_seq,
                phase: item.phase,
                admission: item.admission,
                counters: item.counters,
                exchange: (**exchange).clone(),
                is_settled: item.settled,
                seen_at,
            }),
        }
    }

    /// Takes in what is durable of one of several buckets. Bucket 0 has the item's phase.
    pub(super) fn publish_bucket(&self, part: Part) {
        let mut facts = self.facts.lock();
        if let Some(parts) = &mut facts.parts {
            parts.update(part);
            self.sum_up(&mut facts);
        }
    }

    /// Takes over what an earlier gate of the item knows of its buckets.
    pub(super) fn learn_from(&self, earlier: &Self) {
        let known = earlier.parts();
        for part in known.iter().flat_map(Parts::known) {
            self.publish_bucket(part.clone());
        }
    }

    /// Says of the item what its buckets come to. What is not whole any more stays as it last was.
    fn sum_up(&self, facts: &mut Facts) {
        let Some(parts) = &facts.parts else { return };
        let own = || parts.known().filter(|part| part.seen_at.is_none());
        if let Some(first) = parts.get(0) {
            self.phase.store(first.phase);
        }
        // What buyers meet here is what their own buckets are, which follow the first one.
        let guarded = own().find(|part| part.admission.buy_token);
        if let Some(part) = guarded.or_else(|| own().next()).or_else(|| parts.get(0)) {
            self.admission.store(part.admission.number(), Ordering::Release);
        }
        let phase = own().next().map_or(ItemPhase::Open, |part| part.phase);
        let is_same = own().all(|part| part.phase == phase);
        self.own_phase.store(if is_same { phase } else { ItemPhase::Open });
        if parts.are_settled() {
            self.settled.store(true, Ordering::Release);
        }
        self.sold_out.store(parts.are_sold_out(), Ordering::Release);
        self.own_buckets.store(parts.own_buckets(), Ordering::Release);
        self.believed_until.store(parts.believed_until().0, Ordering::Release);
        let is_whole = parts.are_known() && parts.agree();
        if is_whole || !facts.are_whole {
            (facts.counters, facts.are_whole) = (parts.counters(), is_whole);
        }
    }

    /// Units that could come to the bucket which has exchanged this, as of the last durable facts; none if that is
    /// not known.
    pub(super) fn units_elsewhere(&self, own: &Exchange, now: Timestamp) -> Option<u32> {
        self.facts.lock().parts.as_ref()?.elsewhere(own, now)
    }

    /// How many of the item's buckets nothing is known of at this instant: the nodes that have them do not answer.
    pub(super) fn buckets_away(&self, now: Timestamp) -> usize {
        self.facts.lock().parts.as_ref().map_or(0, |parts| parts.away(now))
    }

    /// Waits for the turn to have the other buckets follow the first one.
    pub(super) async fn follow_in_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.following.lock().await
    }

    /// What is durably known of the item's buckets; none if it has one.
    pub(super) fn parts(&self) -> Option<Parts> {
        self.facts.lock().parts.as_deref().cloned()
    }

    /// The transfers between the item's buckets that are not settled.
    pub fn open_transfers(&self) -> Vec<Transfer> {
        let facts = self.facts.lock();
        facts.parts.as_ref().map_or(Vec::new(), |parts| parts.open(self.terms.item_id))
    }

    /// Units that the item's buckets which are served here have sent and that have not arrived.
    pub fn units_under_way(&self) -> u32 {
        self.facts.lock().parts.as_ref().map_or(0, |parts| parts.units_under_way())
    }

    /// Notes that a bucket of the item is settled; true if all are now.
    pub(super) fn settle_bucket(&self, bucket: u8) -> bool {
        self.facts.lock().parts.as_mut().is_some_and(|parts| parts.settle(bucket))
    }

    /// Notes that one of the item's shards goes; true if no other one of its shards is served here.
    pub(super) fn forget(&self, shard: ShardId) -> bool {
        let bucket = self.terms.buckets.number_in(shard);
        let mut facts = self.facts.lock();
        match (bucket, &mut facts.parts) {
            (Some(bucket), Some(parts)) => {
                let is_gone = parts.forget(bucket);
                self.sum_up(&mut facts);
                is_gone
            }
            _ => true,
        }
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
        (facts.seq, facts.counters) = (seq, counters);
        self.phase.store(phase);
        self.own_phase.store(phase);
        self.admission.store(admission.number(), Ordering::Release);
        self.sold_out.store(counters.available == 0, Ordering::Release);
    }

    /// Looks at what [`Self::add_buyer`] will change, as [`Stock::warm`](domain::Stock::warm) does.
    pub(super) fn warm(&self, user_id: UserId) -> u64 {
        u64::from(self.buyers.may_contain(user_id))
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
            own_phase: AtomicCell::new(self.own_phase.load()),
            admission: AtomicU64::new(self.admission().number()),
            sold_out: AtomicBool::new(self.sold_out.load(Ordering::Acquire)),
            believed_until: AtomicU64::new(self.believed_until.load(Ordering::Acquire)),
            own_buckets: AtomicU64::new(self.own_buckets.load(Ordering::Acquire)),
            quarantined: AtomicBool::new(self.is_quarantined()),
            settled: AtomicBool::new(true),
            stale: AtomicBool::new(self.stale.load(Ordering::Acquire)),
            lease: self.lease.clone(),
            facts: Mutex::new(facts.clone()),
            buyers: BloomFilter::for_members(0),
            rate_cell: AtomicU64::new(self.rate_cell.load(Ordering::Relaxed)),
            following: tokio::sync::Mutex::default(),
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
    use domain::{Buckets, Currency, ItemId, SaleId};

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
                buckets: Buckets::ONE,
                payment_window_milliseconds: 1_000,
            },
            phase: ItemPhase::Open,
            counters: ItemCounters { allotted, available: allotted, reserved: 0, sold: 0 },
            admission: Admission::OPEN,
            settled: false,
            exchange: None,
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
