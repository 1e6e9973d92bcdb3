//! A shard that a node serves: its state, ahead of what is durable, and the gates of its items.

use super::message::{Message, part_of};
use super::plant::Plant;
use super::question::{Kind, Question, Reply};
use super::shop::{HOT, items_of, terms};
use domain::{
    Command, Event, ItemCounters, ItemId, Order, OrderStatus, Outcome, Part, Parts, PaymentId,
    PaymentNotice, PaymentReference, PaymentResult, ProviderName, Record, Refusal, RequestId,
    ShardId, Stock, Timestamp, Transfer, UserId,
};
use seckill::store::journal::record;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Something that waits until the records that it rests on are durable.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Answers. What has no record of its own is answered only while nobody else can have the shard.
    Reply { question: Question, reply: Reply, is_on_record: bool },
    /// Shows an item's new counters at its gate.
    Gate { item_id: ItemId, seq: u64, counters: ItemCounters },
    /// Shows what a bucket has.
    Bucket(Box<Part>),
    /// Writes to another node.
    Message { message: Message, is_on_record: bool },
}

/// What a shard has decided since it was asked last.
#[derive(Default)]
pub struct Decided {
    pub bytes: Vec<u8>,
    pub records: u64,
    pub effects: Vec<Effect>,
}

/// What may be known of an item without its shard.
#[derive(Default)]
struct Gate {
    seq: u64,
    counters: ItemCounters,
}

/// A shard that is served.
pub struct Served {
    pub stock: Stock,
    pub epoch: u64,
    pub durable_seq: u64,
    /// Whether questions are taken in.
    pub is_open: bool,
    pub mailbox: VecDeque<Question>,
    /// As the last checkpoint that this node wrote has it.
    pub checkpoint_seq: u64,
    /// Up to which batch of the log the order store certainly has all.
    pub relayed_batch: u64,
    /// What other nodes want of the item's bucket here, and what it writes to them.
    pub inbox: VecDeque<Message>,
    pub outbox: Vec<Message>,
    /// What waits for units of other buckets, and when these are asked again.
    pub parked: VecDeque<Question>,
    pub next_ask: u64,
    /// The bucket as of its last durable record.
    pub part: Option<Part>,
    /// Transfers that are not led on, for a bug that is planted.
    pub forgotten: Vec<Transfer>,
    gates: BTreeMap<ItemId, Gate>,
    /// Who may have an order of an item, as of what is decided.
    buyers: BTreeSet<(ItemId, UserId)>,
    plant: Option<Plant>,
    /// The last order that has ended, for a bug that is planted.
    ended: Option<Order>,
}

impl Served {
    pub fn new(stock: Stock, epoch: u64, plant: Option<Plant>) -> Self {
        let part = part_of(&stock);
        let forgets = plant == Some(Plant::TransferForgotten);
        let open = part.iter().filter(|_| forgets).flat_map(|part| part.exchange.open(HOT));
        let gates = stock
            .items()
            .iter()
            .map(|item| (item.terms.item_id, Gate { seq: stock.seq(), counters: item.counters }));
        Self {
            gates: gates.collect(),
            inbox: VecDeque::new(),
            outbox: Vec::new(),
            parked: VecDeque::new(),
            next_ask: 0,
            forgotten: open.collect(),
            part,
            buyers: stock.orders().map(|order| (order.item_id, order.user_id)).collect(),
            durable_seq: stock.seq(),
            stock,
            epoch,
            is_open: true,
            mailbox: VecDeque::new(),
            checkpoint_seq: 0,
            relayed_batch: 0,
            plant,
            ended: None,
        }
    }

    /// What the gates show.
    pub fn shown(&self) -> impl Iterator<Item = ItemCounters> {
        self.gates.values().map(|gate| gate.counters)
    }

    /// What the gate refuses without the shard, by what is known of the item that has several buckets.
    pub fn refusal(&self, now: u64, question: &Question, known: &Parts) -> Option<Reply> {
        let Kind::Buy(buy) = question.kind else { return None };
        let gate = self.gates.get(&buy.item_id).filter(|_| self.is_open)?;
        let may_have_bought = self.buyers.contains(&(buy.item_id, buy.user_id));
        let is_sold_out = match buy.item_id {
            HOT => known.are_sold_out() && now < known.believed_until().0,
            _ => gate.counters.available == 0,
        };
        let is_refused = is_sold_out && !may_have_bought;
        is_refused.then_some(Reply::Decided(Outcome::Refused(Refusal::SoldOut)))
    }

    /// Takes in a durable fact.
    pub fn publish(&mut self, item_id: ItemId, seq: u64, mut counters: ItemCounters) {
        let gate = self.gates.entry(item_id).or_default();
        if seq < gate.seq {
            return;
        }
        if self.plant == Some(Plant::GateMiscounts) {
            counters.reserved = counters.reserved.max(gate.counters.reserved);
        }
        (gate.seq, gate.counters) = (seq, counters);
    }

    /// Takes in what is durable of the bucket.
    pub fn publish_bucket(&mut self, part: Part) {
        if self.part.as_ref().is_none_or(|known| known.seq <= part.seq) {
            self.part = Some(part);
        }
    }

    /// The bug that is planted, if there is one.
    pub fn plant(&self) -> Option<Plant> {
        self.plant
    }

    /// Decides what waits, what is due by itself, and the preheat of items that are not open yet.
    pub fn decide(&mut self, now: u64, is_live: bool, known: &Parts) -> Decided {
        let mut decided = Decided::default();
        self.wake_parked(now, &mut decided);
        for item_id in items_of(self.stock.shard()) {
            if self.stock.item(item_id).is_none() {
                self.command(now, &Command::Open(terms(item_id)), &mut decided);
            }
        }
        const DUE_MAX: usize = 4;
        for order_id in self.stock.due(Timestamp(now), DUE_MAX) {
            self.command(now, &Command::Expire { order_id }, &mut decided);
        }
        while let Some(question) = self.mailbox.pop_front() {
            let before = decided.records;
            let reply = match question.kind {
                Kind::Buy(mut buy) => {
                    if self.plant == Some(Plant::RequestsMixedUp) {
                        buy.request_id = RequestId(1);
                    }
                    let outcome = self.command(now, &Command::Buy(buy), &mut decided);
                    if self.waits(now, &question, &outcome, known) {
                        self.parked.push_back(question);
                        continue;
                    }
                    Reply::Decided(outcome)
                }
                Kind::Cancel { order_id, user_id } => {
                    let cancel = Command::Cancel { order_id, user_id };
                    Reply::Decided(self.command(now, &cancel, &mut decided))
                }
                Kind::Note { order, named } => {
                    let note = Command::NotePayment(Box::new(money(&order, named)));
                    Reply::Decided(self.command(now, &note, &mut decided))
                }
                Kind::Read { order_id } => {
                    let mut order = self.stock.order(order_id);
                    if let (Some(Plant::OldReads), Some(order)) = (self.plant, &mut order) {
                        order.status = OrderStatus::Reserved;
                    }
                    Reply::Read(order)
                }
            };
            let is_on_record = decided.records > before;
            decided.effects.push(Effect::Reply { question, reply, is_on_record });
        }
        self.exchange(now, is_live, &mut decided);
        decided
    }

    pub fn command(&mut self, now: u64, command: &Command, decided: &mut Decided) -> Outcome {
        let decision = self.stock.decide(Timestamp(now), command);
        let Some(event) = decision.event else { return decision.outcome };
        let at = Timestamp(now).max(self.stock.at());
        let (shard, seq) = (self.stock.shard(), self.stock.seq() + 1);
        let found = Record { shard, seq, at, event };
        self.stock.apply(&found).expect("a decision follows from the state");
        if let Event::Order(order) = &found.event
            && order.status == OrderStatus::Reserved
        {
            self.buyers.insert((order.item_id, order.user_id));
        }
        let item_id = found.event.item_id();
        record::encode(&self.written(found), &mut decided.bytes);
        decided.records += 1;
        let counters = self.stock.item(item_id).map(|item| item.counters).unwrap_or_default();
        decided.effects.push(Effect::Gate { item_id, seq, counters });
        let part = part_of(&self.stock).filter(|_| item_id == HOT);
        decided.effects.extend(part.map(|part| Effect::Bucket(Box::new(part))));
        decision.outcome
    }

    /// What goes into the log of a record: all of it, unless a bug is planted.
    fn written(&mut self, mut found: Record) -> Record {
        if let (Event::Payment(paid), Some(Plant::OtherMoney)) = (&mut found.event, self.plant) {
            paid.payment.amount += 1;
        }
        let Event::Order(order) = &mut found.event else { return found };
        let is_grant = order.status == OrderStatus::Reserved;
        match self.plant {
            Some(Plant::Oversold) if is_grant => order.quantity += 2,
            Some(Plant::OtherPrice) if is_grant => order.amount += 1,
            Some(Plant::OverLimit) if is_grant => {
                order.quantity += 1;
                order.amount *= 2;
            }
            Some(Plant::EndsTwice) if !is_grant => {
                let earlier = self.ended.replace(*order);
                if let Some(earlier) = earlier {
                    *order = Order { status: OrderStatus::Expired, ..earlier };
                }
            }
            _ => {}
        }
        found
    }

    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.stock.shard()
    }
}

/// What a provider tells of money that has come.
fn money(order: &Order, named: u64) -> PaymentNotice {
    let Order { order_id, amount, currency, .. } = *order;
    PaymentNotice {
        id: PaymentId { order_id, number: 1 },
        provider: ProviderName::sandbox(),
        reference: PaymentReference::parse(&format!("P{named}")).expect("a name"),
        result: PaymentResult::Captured { amount, currency },
        stored: None,
    }
}
