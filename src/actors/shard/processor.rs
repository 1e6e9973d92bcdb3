//! A shard at work: envelopes in, records and effects out.
//!
//! The synchronous heart of the shard's actor. Decides in the order of arrival, applies each record to
//! the state, and only then encodes it: one that contradicts the state never reaches the journal. At
//! the end of a batch the journal gets all its records in one buffer, with what waits for them. There
//! is no await in between, so the journal's order is the order of the decisions, and what the state
//! is ahead of the journal shows in effects alone, which wait until it is durable (I8).
//!
//! A panic is contained here: deciding is pure, so nothing is lost by it; applying may leave the state
//! half-changed, so the processor stops and asks to be rebuilt.

mod dry_buckets;
mod reads;

use super::effects::{Effect, EffectSink, NotDelivered, Reply};
use super::figures::{BatchFigures, ShardFigures};
use super::idempotency::IdempotencyKeys;
use super::look_ahead::LookAhead;
use super::mailbox::{Envelope, PendingCommand};
use super::parked::{Parked, units_taken};
use super::quarantine::{Quarantine, poison};
use crate::actors::gate::Gate;
use crate::crash::crash_point;
use crate::store::journal::{Journal, record};
use crate::telemetry::metrics::SHARD_PANICS_TOTAL;
use domain::stock::Decision;
use domain::{
    Command, Event, ItemId, Order, OrderStatus, Outcome, Record, Refusal, Stock, Timestamp,
};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Times that deciding one request may panic before its item is put in quarantine.
const PANICS_MAX: u8 = 3;

/// The state of one shard and the batch that is worked on.
pub(in crate::actors) struct ShardProcessor {
    stock: Stock,
    journal: Arc<Journal<Effect>>,
    effect_sink: EffectSink,
    idempotency_keys: IdempotencyKeys,
    quarantine: Quarantine,
    /// What waits for units of other buckets, and the items of which units have come.
    parked: Parked,
    replenished: Vec<ItemId>,
    /// The shard's cell, and what the batch adds to it.
    figures: Arc<ShardFigures>,
    batch: BatchFigures,
    gates: HashMap<ItemId, Arc<Gate>, foldhash::fast::RandomState>,
    /// The batch's records, encoded.
    bytes: Vec<u8>,
    /// The number of records in `bytes`.
    records: u64,
    /// The batch's effects, without those that update gates.
    effects: Vec<Effect>,
    /// The items that the batch has changed.
    touched: Vec<ItemId>,
    /// Up to here expiries were decided; the next ones wait until it is durable.
    expired_up_to: u64,
    /// The last record that was encoded: the state's own number may be damaged.
    last_seq: u64,
}

/// The state may be half-changed: it must be rebuilt before anything else is decided.
pub(in crate::actors) struct Damaged {
    /// The command that did it, to be tried again unless it was answered.
    pub(in crate::actors) retry: Option<Box<Envelope>>,
}

/// The record contradicts the state.
struct Contradiction;

impl ShardProcessor {
    pub(in crate::actors) fn new(
        stock: Stock,
        figures: Arc<ShardFigures>,
        journal: Arc<Journal<Effect>>,
        effect_sink: EffectSink,
        idempotency_keys: IdempotencyKeys,
        parked: Parked,
    ) -> Self {
        let mut processor = Self {
            stock,
            journal,
            effect_sink,
            idempotency_keys,
            quarantine: Quarantine::default(),
            parked,
            replenished: Vec::new(),
            figures,
            batch: BatchFigures::default(),
            gates: HashMap::default(),
            bytes: Vec::new(),
            records: 0,
            effects: Vec::new(),
            touched: Vec::new(),
            expired_up_to: 0,
            last_seq: 0,
        };
        processor.last_seq = processor.stock.seq();
        processor.find_gates();
        processor
    }

    /// Goes on with a rebuilt state.
    pub(in crate::actors) fn replace(&mut self, stock: Stock) {
        self.stock = stock;
        self.last_seq = self.stock.seq();
        self.find_gates();
        self.update_all_gates();
    }

    /// Shows every item's state at its gate, once it is durable.
    pub(in crate::actors) fn update_all_gates(&mut self) {
        self.touched = self.stock.items().iter().map(|item| item.terms.item_id).collect();
        self.hand_over();
    }

    /// The last record that was handed to the journal.
    pub(in crate::actors) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Works through the batch.
    ///
    /// # Errors
    /// Returns [`Damaged`] if the state must be rebuilt. The envelopes behind the one that did it stay
    /// in `batch`.
    pub(in crate::actors) fn work(
        &mut self,
        now: Timestamp,
        batch: &mut VecDeque<Envelope>,
    ) -> Result<(), Damaged> {
        let mut ahead = LookAhead::default();
        while let Some(envelope) = ahead.next(&self.stock, &self.gates, batch) {
            let done = match envelope {
                Envelope::Command(pending) => self.decide(now, pending),
                Envelope::LookAgain { item_id, are_away } => {
                    self.look_again(now, (item_id, are_away), batch);
                    Ok(())
                }
                read => {
                    self.read(read);
                    Ok(())
                }
            };
            if let Err(damaged) = done {
                self.hand_over_undamaged();
                return Err(damaged);
            }
            while let Some(item_id) = self.replenished.pop() {
                self.serve(item_id, None, batch);
            }
        }
        self.hand_over();
        Ok(())
    }

    /// Expires up to `limit` orders that are due, once the expiries before are durable.
    ///
    /// # Errors
    /// Returns [`Damaged`] if the state must be rebuilt.
    pub(in crate::actors) fn expire(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<(), Damaged> {
        let durable = self.journal.durable_seq(self.stock.shard());
        let takes_records = self.journal.has_room() && !self.journal.is_damaged();
        if durable < self.expired_up_to || !takes_records {
            return Ok(());
        }
        for order_id in self.stock.due(now, limit) {
            let Decision { event: Some(event), .. } =
                self.stock.decide(now, &Command::Expire { order_id })
            else {
                continue;
            };
            let committed = catch_unwind(AssertUnwindSafe(|| self.commit(now, event)));
            if !matches!(committed, Ok(Ok(()))) {
                self.hand_over_undamaged();
                return Err(Damaged { retry: None });
            }
        }
        self.expired_up_to = self.stock.seq();
        let mut served = VecDeque::new();
        while let Some(item_id) = self.replenished.pop() {
            self.serve(item_id, None, &mut served);
        }
        // What a defect leaves in it was not decided, and its callers are told that they cannot know.
        self.work(now, &mut served)
    }

    /// Answers what waits for units and was admitted before `deadline`.
    pub(in crate::actors) fn answer_overdue(&mut self, deadline: Timestamp) -> u64 {
        self.parked.answer_overdue(deadline)
    }

    /// Whether anything may become due by time alone: an unpaid order, or the end of a quarantine.
    pub(in crate::actors) fn may_be_due(&self) -> bool {
        let has_unpaid = self.stock.items().iter().any(|item| item.counters.reserved > 0);
        has_unpaid || self.quarantine.is_waiting() || !self.parked.is_empty()
    }

    /// Lets items whose quarantine is over be tried again.
    pub(in crate::actors) fn end_quarantines(&mut self, now: Timestamp) {
        for item_id in self.quarantine.over(now) {
            if let Some(gate) = self.gates.get(&item_id) {
                gate.set_quarantined(false);
            }
        }
    }

    fn decide(&mut self, now: Timestamp, mut pending: PendingCommand) -> Result<(), Damaged> {
        pending.reply_sender.note_taken();
        let of_order = || Some(self.stock.order(pending.order_id()?)?.item_id);
        let item_id = pending.item_id().or_else(of_order);
        if let Some(item_id) = item_id
            && self.quarantine.holds(item_id, now)
        {
            pending.reply_sender.send(Reply::NotDelivered(NotDelivered::Quarantined));
            return Ok(());
        }
        if let Command::SendUnits(wanted) = &mut pending.command {
            wanted.buyers_wait = self.parked.waits(wanted.item_id);
        }
        let Some(Decision { event, mut outcome }) = self.decision(now, &mut pending, item_id)
        else {
            return Ok(());
        };
        if let Outcome::Refused(refusal @ (Refusal::SoldOut | Refusal::FewerAvailable { .. })) =
            &mut outcome
            && let Some(units) = units_taken(&pending.command)
            && let Some(item_id) = item_id
            && self.may_come(now, item_id, units, refusal)
        {
            self.park(item_id, pending);
            return Ok(());
        }
        crash_point("shard-after-decide");
        self.batch.purchases += u64::from(matches!(pending.command, Command::Buy(_)));
        let (changes_item, shard) = (event.is_some(), self.stock.shard());
        pending.reply_sender.note_decided(shard, changes_item.then_some(self.last_seq + 1));
        if let Some(event) = event {
            self.note_grant(&event, pending.keyed);
            let committed = catch_unwind(AssertUnwindSafe(|| {
                poison("shard-apply", item_id);
                self.commit(now, event)?;
                self.give_away(now, &mut outcome)
            }));
            if !matches!(committed, Ok(Ok(()))) {
                let answered = self.count_panic(&mut pending, item_id, now);
                return Err(Damaged {
                    retry: (!answered).then(|| Box::new(Envelope::Command(pending))),
                });
            }
        }
        if let Command::Open(terms) = &pending.command
            && changes_item
        {
            self.open_gate(terms.item_id);
        }
        self.reply(outcome, pending, changes_item);
        Ok(())
    }

    /// Decides the command, again if it panics; none if it was answered without a decision.
    fn decision(
        &mut self,
        now: Timestamp,
        pending: &mut PendingCommand,
        item_id: Option<ItemId>,
    ) -> Option<Decision> {
        loop {
            let decided = catch_unwind(AssertUnwindSafe(|| {
                poison("shard-decide", item_id);
                self.stock.decide(now, &pending.command)
            }));
            match decided {
                Ok(decision) => return Some(decision),
                // Nothing was changed: deciding only reads.
                Err(_) if !self.count_panic(pending, item_id, now) => {}
                Err(_) => return None,
            }
        }
    }

    /// Notes a new order at its gate and among the keys, before it is answered, so that a repeat never
    /// meets a gate that does not know it.
    fn note_grant(&self, event: &Event, keyed: bool) {
        let Event::Order(order) = event else { return };
        if order.status == OrderStatus::Reserved {
            if let Some(gate) = self.gates.get(&order.item_id) {
                gate.add_buyer(order.user_id);
            }
            if keyed {
                self.idempotency_keys.record_granted(order.user_id, order.request_id);
            }
        }
    }

    /// Pays an order that costs nothing as soon as it is placed.
    fn give_away(&mut self, now: Timestamp, outcome: &mut Outcome) -> Result<(), Contradiction> {
        let Outcome::Placed(order) = outcome else { return Ok(()) };
        if order.amount > 0 {
            return Ok(());
        }
        let Order { order_id, user_id, .. } = *order;
        let decision = self.stock.decide(now, &Command::Pay { order_id, user_id });
        if let Decision { event: Some(event), outcome: Outcome::Order(paid) } = decision {
            self.commit(now, event)?;
            *order = paid;
        }
        Ok(())
    }

    /// Makes the event the shard's next record, applies that to the state and encodes it for the journal.
    ///
    /// Applied first, so that a failure leaves no record. A panic may leave the state half-changed.
    fn commit(&mut self, now: Timestamp, event: Event) -> Result<(), Contradiction> {
        let record = Record {
            shard: self.stock.shard(),
            seq: self.stock.seq() + 1,
            at: now.max(self.stock.at()),
            event,
        };
        if let Err(violation) = self.stock.apply(&record) {
            tracing::error!(%violation, "a decision contradicts the state; rebuilding the shard");
            return Err(Contradiction);
        }
        debug_assert_eq!(record.seq, self.last_seq + 1, "I5: each record follows the one before");
        if let Event::Payment(paid) = &record.event {
            self.batch.count_payment(paid.payment.state);
        }
        if let Some(order) = record.event.changed_order().copied() {
            self.batch.count_order(order.status);
            if order.status != OrderStatus::Reserved {
                self.effects.push(Effect::NotifyWatchers { order });
            }
        }
        if self.parked.waits(record.event.item_id()) {
            self.replenished.push(record.event.item_id());
        }
        record::encode(&record, &mut self.bytes);
        self.records += 1;
        self.last_seq = record.seq;
        let item_id = record.event.item_id();
        // A repeat is harmless, so only the likeliest ones are searched.
        if self.touched.last() != Some(&item_id)
            && !self.touched.iter().take(8).any(|touched| *touched == item_id)
        {
            self.touched.push(item_id);
        }
        Ok(())
    }

    /// Counts a panic; true if the item went into quarantine and the command was answered.
    fn count_panic(
        &mut self,
        pending: &mut PendingCommand,
        item_id: Option<ItemId>,
        now: Timestamp,
    ) -> bool {
        pending.panics += 1;
        metrics::counter!(SHARD_PANICS_TOTAL).increment(1);
        if pending.panics < PANICS_MAX {
            return false;
        }
        if let Some(item_id) = item_id {
            let pause = self.quarantine.put(item_id, now);
            if let Some(gate) = self.gates.get(&item_id) {
                gate.set_quarantined(true);
            }
            tracing::error!(
                %item_id,
                pause_milliseconds = pause,
                trace_id = pending.reply_sender.trace_id().map(tracing::field::display),
                "deciding for this item keeps panicking; it is in quarantine and is tried again \
                 later, other items sell on"
            );
        }
        pending.reply_sender.send(Reply::NotDelivered(NotDelivered::Quarantined));
        true
    }

    fn reply(&mut self, outcome: Outcome, pending: PendingCommand, is_on_record: bool) {
        let PendingCommand { reply_sender, permit, admitted_at, .. } = pending;
        let reply = Effect::Reply { outcome, is_on_record, reply_sender, permit, admitted_at };
        self.effects.push(reply);
    }

    fn open_gate(&mut self, item_id: ItemId) {
        if let Some(item) = self.stock.item(item_id) {
            let gate = self.effect_sink.gate(item, self.stock.shard());
            self.gates.insert(item_id, Arc::clone(&gate));
            self.effects.push(Effect::OpenGate { gate });
        }
    }

    fn find_gates(&mut self) {
        for item in self.stock.items() {
            let item_id = item.terms.item_id;
            if let Some(gate) = self.effect_sink.gates.get(&item_id)
                && !gate.is_settled()
            {
                self.gates.insert(item_id, Arc::clone(&gate));
            }
        }
    }

    /// Hands over what was decided before the damage. The gates are not updated from the damaged state.
    fn hand_over_undamaged(&mut self) {
        self.touched.clear();
        self.hand_over();
    }

    /// Gives the batch to the journal, or releases it at once if all it rests on is durable.
    fn hand_over(&mut self) {
        self.figures.add(&mut self.batch);
        // Gates first: a caller that has its answer may look at the item at once.
        let mut effects: Vec<Effect> = Vec::with_capacity(self.touched.len() + self.effects.len());
        for item_id in self.touched.drain(..) {
            if let (Some(item), Some(gate)) = (self.stock.item(item_id), self.gates.get(&item_id)) {
                effects.push(Effect::of_item(gate, item));
                if item.settled {
                    let bucket = item.exchange.as_ref().map(|exchange| exchange.bucket);
                    effects.push(Effect::SettleGate { gate: Arc::clone(gate), bucket });
                    // Units that were on their way to a bucket may come to it later.
                    if bucket.is_none() {
                        self.gates.remove(&item_id);
                    }
                }
            }
        }
        effects.append(&mut self.effects);
        let shard = self.stock.shard();
        if self.records == 0 && self.journal.durable_seq(shard) >= self.last_seq {
            self.effect_sink.release(effects);
        } else if self.records > 0 || !effects.is_empty() {
            let records = std::mem::take(&mut self.records);
            crash_point("shard-before-append");
            self.journal.append(shard, self.last_seq, records, &mut self.bytes, &mut effects);
        }
    }
}
