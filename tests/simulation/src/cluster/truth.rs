//! What really happened, as the log knows it, and whether what nodes and clients were told agrees with it.
//!
//! Sees every append at the instant at which it lands. Shares nothing with the nodes but the invariants.

use super::question::{Answered, Kind, Reply};
use super::shop::{HOT, shards_of, terms};
use crate::finding::Finding;
use domain::invariants::{Invariant, Ledger};
use domain::parts::BELIEVED;
use domain::{
    ItemId, Order, OrderId, OrderStatus, Outcome, Record, Refusal, RequestId, ShardId, Stock,
    UserId,
};
use seckill::store::journal::fenced::{Base, Entry, StoredBatch};
use seckill::store::journal::record::each_record;
use std::collections::BTreeMap;

/// A value that changes: by which record it became what, and when that landed.
#[derive(Debug)]
struct Timeline<T>(Vec<(u64, u64, T)>);

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Timeline<T> {
    /// Whether it was so at some instant of a span. A value may be told from when its record landed, until
    /// the next one is known to have: between the two nobody has heard of that.
    fn was(&self, span: &Span<'_>, is_so: impl Fn(&T) -> bool) -> bool {
        let ends = self.0.iter().skip(1).map(|(seq, _, _)| span.known_at(*seq)).chain([u64::MAX]);
        let mut values = self.0.iter().zip(ends);
        values.any(|((_, begin, value), end)| *begin <= span.to && end >= span.from && is_so(value))
    }
}

/// When something was asked and answered, and since when which records of the shard were known to be in
/// its log.
struct Span<'a> {
    from: u64,
    to: u64,
    known: &'a [(u64, u64)],
}

impl Span<'_> {
    /// When the record was first known to be in the log.
    fn known_at(&self, seq: u64) -> u64 {
        let place = self.known.partition_point(|(known, _)| *known < seq);
        self.known.get(place).map_or(u64::MAX, |(_, at)| *at)
    }
}

#[derive(Default)]
pub struct Truth {
    ledger: Ledger,
    /// The end of each shard's log, and the newest claim's epoch.
    ends: BTreeMap<ShardId, Base>,
    epochs: BTreeMap<ShardId, u64>,
    /// Who appended each batch: by shard and number, the epoch and its records' last number.
    batches: BTreeMap<(ShardId, u64), (u64, u64)>,
    /// Each shard's records that an owner has known to be in its log, and when first; both grow.
    known: BTreeMap<ShardId, Vec<(u64, u64)>>,
    /// By the shards that have the item.
    available: BTreeMap<(ItemId, ShardId), Timeline<i64>>,
    statuses: BTreeMap<OrderId, Timeline<Option<OrderStatus>>>,
    live_units: BTreeMap<(ItemId, UserId), Timeline<u32>>,
    /// When an owner's lease ended that had not run out.
    ended_wrongly: BTreeMap<(ShardId, u64), u64>,
    requests: BTreeMap<(UserId, RequestId), OrderId>,
    /// How long a wrongly ended lease may be believed in.
    lease: u64,
}

impl Truth {
    pub fn new(lease: u64) -> Self {
        Self { lease, ..Self::default() }
    }

    /// An owner knows that its shard's log has all up to this record.
    pub fn known(&mut self, shard: ShardId, seq: u64, now: u64) {
        let known = self.known.entry(shard).or_default();
        if known.last().is_none_or(|(last, _)| *last < seq) {
            known.push((seq, now));
        }
    }

    /// The log has taken a claim.
    pub fn claimed(&mut self, shard: ShardId, epoch: u64) {
        self.epochs.insert(shard, epoch);
    }

    /// An owner's lease was ended that had not run out.
    pub fn ended_wrongly(&mut self, shard: ShardId, epoch: u64, now: u64) {
        self.ended_wrongly.insert((shard, epoch), now);
    }

    /// The log has taken an append.
    pub fn landed(&mut self, now: u64, entries: &[Entry]) -> Result<(), Finding> {
        for entry in entries {
            let (shard, bytes) = (entry.shard, entry.bytes.clone());
            let batch = StoredBatch::decode(bytes)
                .map_err(|error| Finding::of(Invariant::I5, error.to_string()))?;
            let end = self.ends.get(&shard).copied().unwrap_or_default();
            let newest = self.epochs.get(&shard).copied().unwrap_or(0);
            if batch.epoch < newest {
                let text = format!("a batch of owner {} behind {newest}'s claim", batch.epoch);
                return Err(Finding::of(Invariant::I15, text));
            }
            if !batch.follows(shard, (end.batch, end.seq, end.chain)) {
                let text = format!("batch {} of shard {shard} follows {end:?}", batch.batch);
                return Err(Finding::of(Invariant::I5, text));
            }
            self.ends.insert(shard, batch.end());
            self.batches.insert((shard, batch.batch), (batch.epoch, batch.last_seq));
            for found in each_record(batch.records()) {
                let found = found.map_err(|error| Finding::of(Invariant::I5, error.to_string()))?;
                self.ledger.record(&found);
                self.note(now, &found);
            }
        }
        Finding::first_of(&self.ledger)
    }

    /// Adds to the timelines.
    fn note(&mut self, now: u64, found: &Record) {
        let (seq, item_id) = (found.seq, found.event.item_id());
        let item = self.ledger.items().get(&item_id);
        if let Some(counters) = item.and_then(|item| item.counters_in(found.shard)) {
            let line = self.available.entry((item_id, found.shard)).or_default();
            line.0.push((seq, now, counters.available));
        }
        let Some(order) = found.event.changed_order() else { return };
        let statuses = self.statuses.entry(order.order_id);
        let statuses = statuses.or_insert_with(|| Timeline(vec![(0, 0, None)]));
        statuses.0.push((seq, now, Some(order.status)));
        let own = |other: &&Order| other.item_id == item_id && other.user_id == order.user_id;
        let live = self.ledger.orders().values().filter(own);
        let live = live.filter(|own| own.status.is_live()).map(|own| u32::from(own.quantity)).sum();
        let units = self.live_units.entry((item_id, order.user_id));
        units.or_insert_with(|| Timeline(vec![(0, 0, 0)])).0.push((seq, now, live));
    }

    /// Judges what a node says to a client (I3, I7, I8), and whether a refusal or a read was true at some
    /// instant since it was asked for.
    pub fn answered(&mut self, now: u64, answered: &Answered) -> Result<(), Finding> {
        let Answered { question, reply, shard, epoch } = answered;
        let wrongly = self.ended_wrongly.get(&(*shard, *epoch)).copied();
        let wrongly = wrongly.filter(|ended| now <= ended + self.lease);
        let from = wrongly.map_or(question.asked_at, |ended| ended.min(question.asked_at));
        let known = self.known.get(shard).map_or(&[][..], Vec::as_slice);
        let span = Span { from, to: now, known };
        match (reply, question.kind) {
            (Reply::Decided(Outcome::Placed(order) | Outcome::Replayed(order)), Kind::Buy(buy)) => {
                let request = (buy.user_id, buy.request_id);
                let first = *self.requests.entry(request).or_insert(order.order_id);
                if first != order.order_id || request != (order.user_id, order.request_id) {
                    let text = format!("one request was told of order {first}, then {order:?}");
                    return Err(Finding::of(Invariant::I7, text));
                }
                self.is_on_record(order)?;
                self.had_status(&span, order)
            }
            (Reply::Decided(Outcome::Order(order)), _)
            | (Reply::Decided(Outcome::Refused(Refusal::OrderClosed(order))), _)
            | (Reply::Read(Some(order)), _) => {
                self.is_on_record(order)?;
                self.had_status(&span, order)
            }
            (Reply::Decided(Outcome::Payment(paid)), Kind::Note { .. }) => {
                let on_record = self.ledger.payments().get(&paid.id);
                if !on_record.is_some_and(|payment| payment.state.has_money()) {
                    let text = format!("told of {paid:?}, on record is {on_record:?}");
                    return Err(Finding::of(Invariant::I8, text));
                }
                self.is_on_record(&paid.order)?;
                self.had_status(&span, &paid.order)
            }
            (Reply::Decided(Outcome::Refused(Refusal::SoldOut)), Kind::Buy(buy)) => {
                let is_dry = |shard: &ShardId| {
                    let span = match buy.item_id {
                        HOT => self.span_of_bucket(now, *shard, question.asked_at),
                        _ => Span { from, to: now, known },
                    };
                    let available = self.available.get(&(buy.item_id, *shard));
                    let quantity = i64::from(buy.quantity);
                    available.is_some_and(|line| line.was(&span, |available| *available < quantity))
                };
                let is_true = shards_of(buy.item_id).iter().all(is_dry);
                self.must(is_true, answered, "units were left all the time")
            }
            (Reply::Decided(Outcome::Refused(Refusal::LimitReached)), Kind::Buy(buy)) => {
                let live = self.live_units.get(&(buy.item_id, buy.user_id));
                let is_true = live.is_some_and(|line| line.was(&span, |live| *live > 0));
                self.must(is_true, answered, "the buyer had nothing all the time")
            }
            (
                Reply::Decided(Outcome::Refused(Refusal::OrderNotFound)) | Reply::Read(None),
                Kind::Cancel { order_id, .. }
                | Kind::Read { order_id }
                | Kind::Note { order: Order { order_id, .. }, .. },
            ) => {
                let statuses = self.statuses.get(&order_id);
                if statuses.is_some_and(|line| line.was(&span, Option::is_none)) {
                    return Ok(());
                }
                let text = format!("a confirmed order is unknown: {answered:?}");
                Err(Finding::of(Invariant::I3, text))
            }
            (Reply::Decided(Outcome::Refused(Refusal::ItemNotFound)), Kind::Buy(buy)) => {
                let known = self.available.get(&(buy.item_id, *shard));
                let is_true = known.is_none_or(|line| {
                    line.0.first().is_none_or(|(seq, ..)| span.known_at(*seq) >= from)
                });
                self.must(is_true, answered, "the item was open all the time")
            }
            (Reply::Decided(_) | Reply::Read(None), _) => {
                Err(Finding::of(Invariant::I16, format!("never to be said: {answered:?}")))
            }
            (Reply::NotDelivered | Reply::HeldBack | Reply::Unknown, _) => Ok(()),
        }
    }

    /// When a bucket must have been so as it was said: another node may have seen it a moment before it was asked,
    /// or of an owner whose lease had ended wrongly.
    fn span_of_bucket(&self, now: u64, shard: ShardId, asked_at: u64) -> Span<'_> {
        let wrongly = self.ended_wrongly.range((shard, 0)..=(shard, u64::MAX)).map(|(_, at)| *at);
        let wrongly = wrongly.filter(|ended| now <= ended + self.lease + BELIEVED).min();
        let from = wrongly.unwrap_or(u64::MAX).min(asked_at).saturating_sub(BELIEVED);
        Span { from, to: now, known: self.known.get(&shard).map_or(&[][..], Vec::as_slice) }
    }

    fn must(&self, is_true: bool, answered: &Answered, why: &str) -> Result<(), Finding> {
        if is_true {
            return Ok(());
        }
        Err(Finding::of(Invariant::I16, format!("a false refusal, for {why}: {answered:?}")))
    }

    fn is_on_record(&self, order: &Order) -> Result<(), Finding> {
        let on_record = self.ledger.orders().get(&order.order_id);
        if on_record.is_some_and(|on_record| on_record.same_purchase(order)) {
            return Ok(());
        }
        Err(Finding::of(Invariant::I8, format!("told of {order:?}, on record is {on_record:?}")))
    }

    fn had_status(&self, span: &Span<'_>, order: &Order) -> Result<(), Finding> {
        let statuses = self.statuses.get(&order.order_id);
        let is_so = |status: &Option<OrderStatus>| *status == Some(order.status);
        if statuses.is_some_and(|line| line.was(span, is_so)) {
            return Ok(());
        }
        let (from, to) = (span.from, span.to);
        let text = format!("told of {order:?} between {from} and {to}, it went {statuses:?}");
        Err(Finding::of(Invariant::I3, text))
    }

    /// Judges what a committer says of records that it could not append: they are not in the log, unless
    /// they are trimmed already, and somebody else has the shard.
    pub fn given_up(
        &self,
        shard: ShardId,
        (epoch, last_seq): (u64, u64),
        base: Base,
    ) -> Result<(), Finding> {
        if self.epochs.get(&shard).is_none_or(|newest| *newest <= epoch) {
            let text = format!("shard {shard} was given up by its owner {epoch}");
            return Err(Finding::of(Invariant::I16, text));
        }
        let own = self.batches.range((shard, base.batch + 1)..=(shard, u64::MAX));
        let mut own = own.filter(|(_, (owner, seq))| *owner == epoch && *seq == last_seq);
        match own.next() {
            None => Ok(()),
            Some(((_, batch), _)) => {
                let text = format!("batch {batch} of shard {shard} landed and was given up");
                Err(Finding::of(Invariant::I3, text))
            }
        }
    }

    /// A shard that was taken over is what its records lead to (I9), unless another node has it already.
    pub fn taken_over(&self, stock: &Stock, epoch: u64) -> Result<(), Finding> {
        let shard = stock.shard();
        if !self.is_newest(shard, epoch) {
            return Ok(());
        }
        if self.seq(shard) != stock.seq() {
            let text = format!("shard {shard} ends at {}, not {}", stock.seq(), self.seq(shard));
            return Err(Finding::of(Invariant::I9, text));
        }
        for item in stock.items() {
            let counted = self.ledger.items().get(&item.terms.item_id);
            let counted = counted.and_then(|counted| counted.counters_in(shard));
            if counted != Some((&item.counters).into()) {
                let text = format!("shard {shard} has {:?}, on record {counted:?}", item.counters);
                return Err(Finding::of(Invariant::I9, text));
            }
        }
        let orders = self.ledger.orders();
        for order in stock.orders() {
            if orders.get(&order.order_id) != Some(&order) {
                let text = format!("shard {shard} has {order:?}");
                return Err(Finding::of(Invariant::I9, text));
            }
        }
        for payment in stock.payments().into_iter().flat_map(|kept| &kept.payments) {
            if self.ledger.payments().get(&payment.id) != Some(payment) {
                let text = format!("shard {shard} has {payment:?}");
                return Err(Finding::of(Invariant::I9, text));
            }
        }
        Ok(())
    }

    /// Whether this is the newest claim of a shard.
    pub fn is_newest(&self, shard: ShardId, epoch: u64) -> bool {
        self.epochs.get(&shard) == Some(&epoch)
    }

    /// A checkpoint of a shard as of this record was written (I11).
    pub fn checkpointed(&self, shard: ShardId, seq: u64) -> Result<(), Finding> {
        domain::invariants::i11_checkpoint(seq, self.seq(shard))
            .map_err(|text| Finding::of(Invariant::I11, text))
    }

    /// What the order store holds in the end is what is on record (I4), money is where it came to (I17), and so are
    /// units that went from bucket to bucket (I1).
    pub fn stored(&mut self, stored: &BTreeMap<OrderId, Order>) -> Result<(), Finding> {
        self.ledger.judge_money();
        self.ledger.judge_transfers();
        Finding::first_of(&self.ledger)?;
        for order in self.ledger.orders().values() {
            let same = stored.get(&order.order_id).map(|row| row == order);
            domain::invariants::i4_stored(order.order_id, same)
                .map_err(|text| Finding::of(Invariant::I4, text))?;
        }
        Ok(())
    }

    /// A shard's last record.
    pub fn seq(&self, shard: ShardId) -> u64 {
        self.ends.get(&shard).map_or(0, |end| end.seq)
    }

    /// An item's units that can be bought.
    pub fn available(&self, item_id: ItemId) -> i64 {
        let item = self.ledger.items().get(&item_id);
        item.map_or(terms(item_id).allotted.into(), |item| item.counters().available)
    }
}
