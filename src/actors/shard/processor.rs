//! A shard at work: envelopes in, records and effects out.
//!
//! The synchronous heart of the shard's actor. Decides in the order of arrival, appends in the order
//! of decision, applies, and hands the journal one buffer a batch; there is no await between decide
//! and append (rule 3). A panic is contained here: deciding is pure, so nothing is lost by it;
//! applying may leave the state half-changed, so the processor stops and asks to be rebuilt (rule 9).

use super::effects::{Effect, EffectSink, NotDelivered, Reply};
use super::idempotency::IdempotencyKeys;
use super::mailbox::{Envelope, PendingCommand};
use super::quarantine::Quarantine;
use crate::actors::gate::Gate;
use crate::crash::crash_point;
use crate::store::journal::{Journal, record};
use crate::telemetry::metrics::SHARD_PANICS_TOTAL;
use domain::stock::Decision;
use domain::{Command, Event, ItemId, OrderStatus, Outcome, Record, Stock, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Times that deciding one request may panic before its item is put in quarantine.
const PANICS_MAX: u8 = 3;

/// See the module.
pub(in crate::actors) struct ShardProcessor {
    stock: Stock,
    journal: Arc<Journal<Effect>>,
    effect_sink: EffectSink,
    idempotency_keys: IdempotencyKeys,
    quarantine: Quarantine,
    gates: HashMap<ItemId, Arc<Gate>, foldhash::fast::RandomState>,
    bytes: Vec<u8>,
    records: u64,
    effects: Vec<Effect>,
    touched: Vec<ItemId>,
    /// Up to here expiries were decided; the next ones wait until it is durable.
    expired_up_to: u64,
    /// The last record that was encoded: the state's own number may be damaged.
    last_seq: u64,
}

/// The state may be half-changed: it must be rebuilt before anything else is decided.
pub(in crate::actors) struct Damaged {
    /// The request that did it, to be tried again unless it was answered.
    pub(in crate::actors) retry: Option<Box<Envelope>>,
}

impl ShardProcessor {
    pub(in crate::actors) fn new(
        stock: Stock,
        journal: Arc<Journal<Effect>>,
        effect_sink: EffectSink,
        idempotency_keys: IdempotencyKeys,
    ) -> Self {
        let mut processor = Self {
            stock,
            journal,
            effect_sink,
            idempotency_keys,
            quarantine: Quarantine::default(),
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
        self.show_all();
    }

    /// Shows every item's state at its gate, once it is durable.
    pub(in crate::actors) fn show_all(&mut self) {
        self.touched = self.stock.items().iter().map(|item| item.terms.item_id).collect();
        self.hand_over();
    }

    /// The last record that was handed to the journal.
    pub(in crate::actors) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Works through the batch. On damage the envelopes behind the one that did it stay in `batch`.
    pub(in crate::actors) fn work(
        &mut self,
        now: Timestamp,
        batch: &mut VecDeque<Envelope>,
    ) -> Result<(), Damaged> {
        while let Some(envelope) = batch.pop_front() {
            let done = match envelope {
                Envelope::Command(decide) => self.decide(now, decide),
                read => {
                    self.read(read);
                    Ok(())
                }
            };
            if let Err(damaged) = done {
                self.hand_over_undamaged();
                return Err(damaged);
            }
        }
        self.hand_over();
        Ok(())
    }

    /// Expires up to `limit` orders that are due, once the expiries before are durable.
    pub(in crate::actors) fn expire(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<(), Damaged> {
        let durable = self.journal.durable_seq(self.stock.shard());
        if durable < self.expired_up_to || !self.journal.has_room() {
            return Ok(());
        }
        for order_id in self.stock.due(now, limit) {
            let Decision { event: Some(event), .. } =
                self.stock.decide(now, &Command::Expire { order_id })
            else {
                continue;
            };
            let expired = matches!(&event, Event::Order(_)).then(|| event.clone());
            let committed = catch_unwind(AssertUnwindSafe(|| self.commit(now, event)));
            if !matches!(committed, Ok(Ok(()))) {
                self.hand_over_undamaged();
                return Err(Damaged { retry: None });
            }
            if let Some(Event::Order(order)) = expired {
                self.effects.push(Effect::NotifyWatchers { order });
            }
        }
        self.expired_up_to = self.stock.seq();
        self.hand_over();
        Ok(())
    }

    /// Lets items whose quarantine is over be tried again.
    pub(in crate::actors) fn end_quarantines(&mut self, now: Timestamp) {
        for item_id in self.quarantine.over(now) {
            if let Some(gate) = self.gates.get(&item_id) {
                gate.set_quarantined(false);
            }
        }
    }

    fn decide(&mut self, now: Timestamp, mut envelope: PendingCommand) -> Result<(), Damaged> {
        let item_id = envelope.item_id().or_else(|| match &envelope.command {
            Command::Pay { order_id, .. } | Command::Cancel { order_id, .. } => {
                self.stock.order(*order_id).map(|order| order.item_id)
            }
            _ => None,
        });
        if let Some(item_id) = item_id
            && self.quarantine.holds(item_id, now)
        {
            envelope.reply_sender.answer(Reply::NotDelivered(NotDelivered::Quarantined));
            return Ok(());
        }
        let decision = loop {
            let decided = catch_unwind(AssertUnwindSafe(|| {
                poison("shard-decide", item_id);
                self.stock.decide(now, &envelope.command)
            }));
            match decided {
                Ok(decision) => break decision,
                // Nothing was changed: deciding only looks.
                Err(_) if !self.has_panicked(&mut envelope, item_id, now) => {}
                Err(_) => return Ok(()),
            }
        };
        crash_point("shard-after-decide");
        let Decision { event, outcome } = decision;
        let changes_item = event.is_some();
        if let Some(event) = event {
            let change = match &event {
                Event::Order(order) if order.status == OrderStatus::Reserved => {
                    // Before the answer, so that a repeat never meets a gate that has forgotten.
                    if let Some(gate) = self.gates.get(&order.item_id) {
                        gate.add_buyer(order.user_id);
                    }
                    if envelope.keyed {
                        self.idempotency_keys.record_granted(order.user_id, order.request_id);
                    }
                    None
                }
                Event::Order(order) => Some(*order),
                _ => None,
            };
            let committed = catch_unwind(AssertUnwindSafe(|| {
                poison("shard-apply", item_id);
                self.commit(now, event)
            }));
            if !matches!(committed, Ok(Ok(()))) {
                let answered = self.has_panicked(&mut envelope, item_id, now);
                return Err(Damaged {
                    retry: (!answered).then(|| Box::new(Envelope::Command(envelope))),
                });
            }
            if let Some(order) = change {
                self.effects.push(Effect::NotifyWatchers { order });
            }
        }
        if let Command::Open(terms) = &envelope.command
            && changes_item
        {
            self.open_gate(terms.item_id);
        }
        self.answer(outcome, envelope);
        Ok(())
    }

    /// Encodes the record and applies it. On failure the record is taken back; the state may be
    /// half-changed.
    fn commit(&mut self, now: Timestamp, event: Event) -> Result<(), ()> {
        let record = Record {
            shard: self.stock.shard(),
            seq: self.stock.seq() + 1,
            at: now.max(self.stock.at()),
            event,
        };
        if let Err(violation) = self.stock.apply(&record) {
            tracing::error!(%violation, "a decision contradicts the state; rebuilding the shard");
            return Err(());
        }
        record::encode(&record, &mut self.bytes);
        self.records += 1;
        self.last_seq = record.seq;
        if let Event::ItemSettled(item_id) = &record.event
            && let Some(gate) = self.gates.get(item_id)
        {
            gate.set_settled();
        }
        let item_id = match &record.event {
            Event::Order(order) => order.item_id,
            Event::ItemOpened(terms) => terms.item_id,
            Event::ItemRestocked { item_id, .. }
            | Event::ItemPaused(item_id)
            | Event::ItemResumed(item_id)
            | Event::ItemEnded(item_id)
            | Event::ItemSettled(item_id) => *item_id,
        };
        // A repeat is harmless, so only the likeliest ones are looked for.
        if self.touched.last() != Some(&item_id)
            && !self.touched.iter().take(8).any(|t| *t == item_id)
        {
            self.touched.push(item_id);
        }
        Ok(())
    }

    /// Counts a panic; true if the item went into quarantine and the request was answered.
    fn has_panicked(
        &mut self,
        envelope: &mut PendingCommand,
        item_id: Option<ItemId>,
        now: Timestamp,
    ) -> bool {
        envelope.panics += 1;
        metrics::counter!(SHARD_PANICS_TOTAL).increment(1);
        if envelope.panics < PANICS_MAX {
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
                "deciding for this item keeps panicking; it is in quarantine and is tried again \
                 later, other items sell on"
            );
        }
        envelope.reply_sender.answer(Reply::NotDelivered(NotDelivered::Quarantined));
        true
    }

    fn answer(&mut self, outcome: Outcome, envelope: PendingCommand) {
        let PendingCommand { reply_sender, permit, admitted_at, .. } = envelope;
        self.effects.push(Effect::Reply { outcome, reply_sender, permit, admitted_at });
    }

    fn read(&mut self, envelope: Envelope) {
        match envelope {
            Envelope::Command(_) => {}
            Envelope::ReadOrder { order_id, answer } => {
                let order = self.stock.order(order_id);
                self.after(move || {
                    // Whoever asked may have gone.
                    let _ = answer.send(order);
                });
            }
            Envelope::ReadOrdersOf { user_id, before, limit, answer } => {
                let orders = self.stock.orders_of(user_id, before, limit);
                self.after(move || {
                    // Whoever asked may have gone.
                    let _ = answer.send(orders);
                });
            }
            Envelope::FindRequest { user_id, request_id, answer } => {
                let order = self.stock.order_of_request(user_id, request_id);
                self.after(move || {
                    // Whoever asked may have gone.
                    let _ = answer.send(order);
                });
            }
            Envelope::TakeChanges { answer } => {
                let changes = self.stock.take_changes();
                if let Err(changes) = answer.send(changes) {
                    self.stock.put_back(&changes);
                }
            }
            Envelope::PutBack { changes } => self.stock.put_back(&changes),
            Envelope::ReadAll { answer } => {
                let _ = answer.send(self.stock.snapshot());
            }
        }
    }

    fn after(&mut self, run: impl FnOnce() + Send + 'static) {
        self.effects.push(Effect::Call(Box::new(run)));
    }

    fn open_gate(&mut self, item_id: ItemId) {
        if let Some(item) = self.stock.item(item_id) {
            let gate = Arc::new(Gate::new(item, self.stock.shard()));
            self.gates.insert(item_id, Arc::clone(&gate));
            self.effects.push(Effect::OpenGate { gate });
        }
    }

    fn find_gates(&mut self) {
        for item in self.stock.items() {
            let item_id = item.terms.item_id;
            if let Some(gate) = self.effect_sink.gates.get(&item_id) {
                self.gates.insert(item_id, Arc::clone(&gate));
            }
        }
    }

    /// What was decided before the damage stands; what the state shows now does not.
    fn hand_over_undamaged(&mut self) {
        self.touched.clear();
        self.hand_over();
    }

    /// Gives the batch to the journal, or lets it go at once if all it rests on is durable.
    fn hand_over(&mut self) {
        // Gates first: whoever has an answer may look at the item at once.
        let mut effects: Vec<Effect> = Vec::with_capacity(self.touched.len() + self.effects.len());
        for item_id in self.touched.drain(..) {
            if let (Some(item), Some(gate)) = (self.stock.item(item_id), self.gates.get(&item_id)) {
                effects.push(Effect::UpdateGate {
                    gate: Arc::clone(gate),
                    seq: item.last_seq,
                    phase: item.phase,
                    counters: item.counters,
                });
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

/// A place where a test may make one item panic, for ever.
fn poison(name: &'static str, item_id: Option<ItemId>) {
    let _ = (name, item_id);
    fail::fail_point!(name, |argument| {
        let poisoned = argument.and_then(|text| text.parse().ok());
        assert!(item_id.is_none() || item_id != poisoned, "injected panic");
    });
}
