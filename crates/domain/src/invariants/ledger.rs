//! An independent, plain model of a journal's orders and items: maps and sums, written for being
//! obviously right.

use super::catalogue::{Invariant, Rule};
use super::checks::{
    UnitCounts, Verdict, i1_balance, i2_not_below_zero, i5_dense, i6_limit, i7_granted_once,
    i10_ends_once, i14_price, i17_balance, i17_pays,
};
use super::money::Money;
use super::requests::Requests;
use super::transfers::Transfers;
use crate::event::{Event, Record};
use crate::exchange::Exchange;
use crate::ids::{ItemId, OrderId, RequestId, ShardId, UserId};
use crate::operation::{ItemAction, OPERATIONS_REMEMBERED, Operation};
use crate::order::{Order, OrderStatus};
use crate::payment::{Payment, PaymentId, PaymentRecord};
use crate::sale::{ALLOTTED_MAX, ItemPhase, ItemTerms, SPARE_ATTEMPTS};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// The model. It is fed every record and judges its form and I1, I2, I5, I6, I7, I10, I14 and I17. It
/// shares no code with the state machine but the invariants' functions.
#[derive(Debug, Default)]
pub struct Ledger {
    shards: BTreeMap<ShardId, u64>,
    last_order_ids: HashMap<ShardId, OrderId>,
    items: HashMap<ItemId, LedgerItem>,
    transfers: Transfers,
    money: Money,
    orders: HashMap<OrderId, Order>,
    requests: Requests,
    buyers: HashMap<(ItemId, UserId), Buyer>,
    findings: BTreeMap<Rule, Finding>,
}

/// An item in the ledger.
#[derive(Clone, Debug)]
pub struct LedgerItem {
    /// The terms under which it was opened.
    pub terms: ItemTerms,
    /// Units of all its buckets that were put on sale.
    allotted: i64,
    /// By the shards that have one: one alone, if nothing was said of buckets.
    buckets: BTreeMap<ShardId, Bucket>,
}

/// An item's part in one shard.
#[derive(Clone, Debug)]
struct Bucket {
    /// By the ledger's own arithmetic.
    counters: UnitCounts,
    phase: ItemPhase,
    is_settled: bool,
    /// Requests of the latest operations.
    requests: VecDeque<RequestId>,
}

/// One buyer's orders of one item.
#[derive(Clone, Copy, Debug, Default)]
struct Buyer {
    live_units: u32,
    attempts: u16,
}

/// How often a rule was judged and what first broke it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Times it was judged.
    pub checked: u64,
    /// Times it did not hold.
    pub broken: u64,
    /// The first place where it did not, in words.
    pub first: Option<String>,
}

impl Finding {
    /// Counts a verdict reached at `place`.
    pub fn add(&mut self, place: &str, verdict: Verdict) {
        self.checked += 1;
        if let Err(detail) = verdict {
            self.broken += 1;
            self.first.get_or_insert_with(|| format!("{place}: {detail}"));
        }
    }
}

impl LedgerItem {
    /// The counters of all its buckets together; units under way between two are in none.
    pub fn counters(&self) -> UnitCounts {
        self.buckets.values().fold(UnitCounts::default(), |sum, bucket| {
            let UnitCounts { allotted, available, reserved, sold } = bucket.counters;
            UnitCounts {
                allotted: sum.allotted + allotted,
                available: sum.available + available,
                reserved: sum.reserved + reserved,
                sold: sum.sold + sold,
            }
        })
    }
}

impl LedgerItem {
    /// The counters of what the item has in one shard; none if it has nothing there.
    pub fn counters_in(&self, shard: ShardId) -> Option<UnitCounts> {
        self.buckets.get(&shard).map(|bucket| bucket.counters)
    }
}

impl Bucket {
    fn new(allotted: i64) -> Self {
        Self {
            counters: UnitCounts { allotted, available: allotted, reserved: 0, sold: 0 },
            phase: ItemPhase::Open,
            is_settled: false,
            requests: VecDeque::new(),
        }
    }

    /// Adds units to what is allotted and available.
    fn add(&mut self, units: i64) {
        self.counters.allotted += units;
        self.counters.available += units;
    }

    /// Whether an operation can follow; if so, it does.
    fn operate(&mut self, operation: &Operation) -> Verdict {
        let item_id = operation.item_id;
        if let Some(request_id) = operation.request.as_ref().and_then(|request| request.request_id)
        {
            if self.requests.contains(&request_id) {
                return Err(format!("an operation on item {item_id} was done twice"));
            }
            if self.requests.len() == OPERATIONS_REMEMBERED {
                self.requests.pop_front();
            }
            self.requests.push_back(request_id);
        }
        let units = i64::from(operation.action.units());
        match operation.action {
            ItemAction::Restock(_) => {
                let allotted = self.counters.allotted + units;
                if allotted > i64::from(ALLOTTED_MAX) {
                    return Err(format!("item {item_id} has {allotted} units allotted"));
                }
                self.add(units);
            }
            ItemAction::Reduce(_) => self.add(-units),
            ItemAction::Admit(_) => {}
            _ if self.phase == ItemPhase::Ended => {
                return Err(format!("item {item_id} had ended"));
            }
            ItemAction::Pause => self.phase = ItemPhase::Paused,
            ItemAction::Resume => self.phase = ItemPhase::Open,
            ItemAction::End => self.phase = ItemPhase::Ended,
        }
        Ok(())
    }
}

impl Ledger {
    /// A ledger of a log that several nodes share: I7 is judged for each item by itself, because two nodes may sell
    /// to one request at once. [`Ledger::reuses`] says how often they did.
    pub fn of_several_nodes() -> Self {
        Self { requests: Requests::by_item(), ..Self::default() }
    }

    /// How many orders were placed by requests that had got one of another item: 0 but of several nodes, where else
    /// I7 is broken by that.
    pub fn reuses(&self) -> u64 {
        self.requests.reuses()
    }

    /// Takes a record in, judging as it goes. Records of one shard come in their order.
    ///
    /// A record of the wrong form changes nothing; one that breaks an invariant counts as it is.
    pub fn record(&mut self, record: &Record) {
        let place = format!("shard {} record {}", record.shard, record.seq);
        let last = self.shards.insert(record.shard, record.seq);
        // A journal that was cut starts where its checkpoint ends: only what follows must be dense.
        if let Some(last) = last {
            self.judge(Invariant::I5, &place, i5_dense(last, record.seq));
        }
        match &record.event {
            Event::Order(order) if order.status == OrderStatus::Reserved => {
                self.grant(&place, record.shard, order);
            }
            Event::Order(order) => {
                self.money.order_changed(record.shard, order);
                self.change(&place, record.shard, order);
            }
            Event::Payment(paid) => self.pay(&place, record.shard, paid),
            event => {
                let verdict = self.operate(record.shard, event);
                self.judge(Rule::Form, &place, verdict);
                if let Some(bucket) = self.bucket(event.item_id(), record.shard) {
                    let available = bucket.counters.available;
                    let verdict = i2_not_below_zero("available", available);
                    self.judge(Invariant::I2, &place, verdict);
                }
            }
        }
    }

    /// Takes an item's part in a shard as given, with nothing sold: its preheat is no longer on record. Of an item
    /// of several buckets, with what this one has exchanged with the others.
    pub fn assume_item(
        &mut self,
        shard: ShardId,
        terms: ItemTerms,
        allotted: i64,
        exchange: Option<&Exchange>,
    ) {
        let item_id = terms.item_id;
        let whole = exchange.map_or(allotted, |exchange| i64::from(exchange.allotted));
        let is_kept_here = exchange.is_none_or(|exchange| exchange.bucket == 0);
        let item = self.items.entry(item_id).or_insert_with(|| LedgerItem {
            terms,
            allotted: whole,
            buckets: BTreeMap::new(),
        });
        if is_kept_here {
            item.allotted = whole;
        }
        item.buckets.insert(shard, Bucket::new(allotted));
        if let Some(exchange) = exchange {
            self.transfers.assume(item_id, exchange);
        }
    }

    /// Takes an order of a known item as given: its grant is no longer on record.
    pub fn assume_order(&mut self, order: Order) {
        self.enter(&order);
        let units = i64::from(order.quantity);
        if let Some(bucket) = self.bucket(order.item_id, order.order_id.shard())
            && order.status.is_live()
        {
            bucket.counters.available -= units;
            match order.status {
                OrderStatus::Paid => bucket.counters.sold += units,
                _ => bucket.counters.reserved += units,
            }
            let available = bucket.counters.available;
            let verdict = i2_not_below_zero("available", available);
            self.judge(Invariant::I2, "order store", verdict);
        }
    }

    /// Takes a payment of a known order as given: its records are no longer there.
    pub fn assume_payment(&mut self, payment: Payment) {
        if let Some(order) = self.orders.get(&payment.id.order_id) {
            self.money.assume(payment, order);
        }
    }

    /// Each payment as of its last record.
    pub fn payments(&self) -> &HashMap<PaymentId, Payment> {
        self.money.payments()
    }

    /// Judges what can be told of a sale's money only when all of its shards were read (I17).
    pub fn judge_money(&mut self) {
        for (place, counts) in self.money.counts(self.orders.values()) {
            self.judge(Invariant::I17, &place, i17_balance(counts));
        }
    }

    fn pay(&mut self, place: &str, shard: ShardId, record: &PaymentRecord) {
        let PaymentRecord { payment, order, status_before } = record;
        let is_settled = self.bucket(order.item_id, shard).is_some_and(|bucket| bucket.is_settled);
        let before = self.orders.get(&order.order_id).copied();
        let form = match before.filter(|_| order.order_id.shard() == shard) {
            None => Err(format!("order {} was never granted", order.order_id)),
            Some(before) if !before.same_purchase(order) => {
                Err(format!("order {} changed its content", order.order_id))
            }
            Some(before) if is_settled && before.status != order.status => {
                Err(format!("item {} was settled", order.item_id))
            }
            Some(before) if before.status != *status_before => {
                Err(format!("order {} was {}", order.order_id, before.status.name()))
            }
            Some(before) => {
                let verdict = i17_pays(payment, &before, order);
                self.judge(Invariant::I17, place, verdict);
                let verdict = self.money.counted_once(payment);
                self.judge(Invariant::I17, place, verdict);
                self.money.enter(shard, payment, order)
            }
        };
        let is_of_right_form = form.is_ok();
        self.judge(Rule::Form, place, form);
        if is_of_right_form && before.is_some_and(|before| before.status != order.status) {
            self.change(place, shard, order);
        }
    }

    /// Takes a shard's records up to `seq` as given.
    pub fn assume_seq(&mut self, shard: ShardId, seq: u64) {
        self.shards.insert(shard, seq);
    }

    /// What each rule that was judged came to.
    pub fn findings(&self) -> &BTreeMap<Rule, Finding> {
        &self.findings
    }

    /// What the rule came to; all zeros if it was never judged.
    pub fn finding(&self, rule: impl Into<Rule>) -> Finding {
        self.findings.get(&rule.into()).cloned().unwrap_or_default()
    }

    /// Each order as of the last record.
    pub fn orders(&self) -> &HashMap<OrderId, Order> {
        &self.orders
    }

    /// Each item as of the last record.
    pub fn items(&self) -> &HashMap<ItemId, LedgerItem> {
        &self.items
    }

    /// The last record's number of each shard.
    pub fn seqs(&self) -> &BTreeMap<ShardId, u64> {
        &self.shards
    }

    /// Adds a verdict on a rule at a place.
    pub fn judge(&mut self, rule: impl Into<Rule>, place: &str, verdict: Verdict) {
        self.findings.entry(rule.into()).or_default().add(place, verdict);
    }

    /// Whether an operator's record can follow; if so, it does.
    fn operate(&mut self, shard: ShardId, event: &Event) -> Verdict {
        let item_id = event.item_id();
        if let Event::ItemOpened(terms) = event {
            return self.open(shard, terms);
        }
        let Some(item) = self.items.get_mut(&item_id) else {
            return Err(format!("item {item_id} was never opened"));
        };
        let Some(bucket) = item.buckets.get_mut(&shard) else {
            return Err(format!("item {item_id} was never opened in shard {shard}"));
        };
        match event {
            Event::ItemOperated(operation) => {
                bucket.operate(operation)?;
                item.allotted += match operation.action {
                    ItemAction::Reduce(units) => -i64::from(units),
                    action => i64::from(action.units()),
                };
            }
            Event::ItemSettled(_) if bucket.counters.reserved > 0 => {
                return Err(format!("item {item_id} was settled with reserved units"));
            }
            Event::ItemSettled(_) => bucket.is_settled = true,
            Event::UnitsSent(transfer) => {
                self.transfers.sent(transfer, item.terms.buckets.number_in(shard))?;
                bucket.add(-i64::from(transfer.units));
            }
            Event::UnitsReceived(transfer) => {
                self.transfers.received(transfer, item.terms.buckets.number_in(shard))?;
                bucket.add(i64::from(transfer.units));
            }
            Event::TransferSettled(transfer) => {
                self.transfers.settled(transfer, item.terms.buckets.number_in(shard))?;
            }
            Event::ItemOpened(_) | Event::Order(_) | Event::Payment(_) => {}
        }
        Ok(())
    }

    fn open(&mut self, shard: ShardId, terms: &ItemTerms) -> Verdict {
        let item_id = terms.item_id;
        let allotted = terms.counters_in(shard).map(|counters| counters.allotted);
        let Some(allotted) = allotted else {
            return Err(format!("item {item_id} has no bucket in shard {shard}"));
        };
        let item = self.items.entry(item_id).or_insert_with(|| LedgerItem {
            terms: terms.clone(),
            allotted: terms.allotted.into(),
            buckets: BTreeMap::new(),
        });
        let is_another = terms.buckets.is_one() && !item.buckets.is_empty();
        if is_another || item.buckets.contains_key(&shard) {
            return Err(format!("item {item_id} was opened twice"));
        }
        if item.terms != *terms {
            return Err(format!("the buckets of item {item_id} were opened with other terms"));
        }
        item.buckets.insert(shard, Bucket::new(allotted.into()));
        Ok(())
    }

    fn bucket(&mut self, item_id: ItemId, shard: ShardId) -> Option<&mut Bucket> {
        self.items.get_mut(&item_id)?.buckets.get_mut(&shard)
    }

    /// Judges what can be told of several shards only when all of them were read: what was sent was received
    /// once, and the units of all buckets and those between them are the item's (I1).
    pub fn judge_transfers(&mut self) {
        let mut verdicts = Vec::new();
        for (item_id, item) in &self.items {
            // A bucket that was never opened has sold nothing: its preheat was cut short.
            if item.buckets.len() < usize::from(item.terms.buckets.count()).max(2) {
                continue;
            }
            let allotted = self
                .transfers
                .under_way(*item_id)
                .map(|under_way| (item.counters().allotted + under_way, under_way));
            verdicts.push(allotted.and_then(|(sum, under_way)| match sum == item.allotted {
                true => Ok(()),
                false => Err(format!(
                    "item {item_id} has {} units allotted ≠ {sum} in its buckets, of which \
                     {under_way} are under way",
                    item.allotted
                )),
            }));
        }
        for verdict in verdicts {
            self.judge(Invariant::I1, "buckets", verdict);
        }
    }

    /// Units that were sent by a bucket and received by none, of all items.
    pub fn units_under_way(&self) -> i64 {
        self.items.keys().filter_map(|item| self.transfers.under_way(*item).ok()).sum()
    }

    fn grant(&mut self, place: &str, shard: ShardId, order: &Order) {
        let earlier = self.requests.earlier(order);
        let verdict = i7_granted_once(earlier, order.order_id);
        self.judge(Invariant::I7, place, verdict);
        let form = self.form_of_grant(shard, order);
        if form.is_err() {
            // The same grant again is named already.
            if earlier.is_none() {
                self.judge(Rule::Form, place, form);
            }
            return;
        }
        self.judge(Rule::Form, place, form);
        self.enter(order);
        let live_units = self.buyer(order).live_units;
        let Some(item) = self.items.get_mut(&order.item_id) else { return };
        let Some(bucket) = item.buckets.get_mut(&shard) else { return };
        bucket.counters.available -= i64::from(order.quantity);
        bucket.counters.reserved += i64::from(order.quantity);
        let (counters, price) = (bucket.counters, item.terms.price);
        let limit = u32::from(item.terms.limit_per_user);
        self.judge(Invariant::I2, place, i2_not_below_zero("available", counters.available));
        self.judge(Invariant::I1, place, i1_balance(counters));
        self.judge(Invariant::I6, place, i6_limit(limit, live_units));
        self.judge(Invariant::I14, place, i14_price(price, order.quantity, order.amount));
    }

    fn form_of_grant(&mut self, shard: ShardId, order: &Order) -> Verdict {
        let item = self.items.get(&order.item_id);
        let Some((item, bucket)) = item.and_then(|item| Some((item, item.buckets.get(&shard)?)))
        else {
            return Err(format!("item {} was never opened", order.item_id));
        };
        let buckets = &item.terms.buckets;
        if buckets.shard_of(order.item_id, order.user_id).is_some_and(|own| own != shard) {
            return Err(format!("order {} is in another bucket than its buyer", order.order_id));
        }
        if bucket.is_settled {
            return Err(format!("item {} was settled", order.item_id));
        }
        if order.order_id.shard() != shard {
            return Err(format!("order {} is another shard's", order.order_id));
        }
        let attempts_max = item.terms.limit_per_user.saturating_add(SPARE_ATTEMPTS);
        let last = self.last_order_ids.get(&shard).copied().unwrap_or_default();
        if order.order_id <= last {
            return Err(format!("order {} follows order {last}", order.order_id));
        }
        let attempts = self.buyer(order).attempts;
        if attempts >= attempts_max || order.attempt != attempts + 1 {
            return Err(format!("attempt {} follows attempt {attempts}", order.attempt));
        }
        Ok(())
    }

    fn change(&mut self, place: &str, shard: ShardId, order: &Order) {
        let bucket = self.bucket(order.item_id, shard);
        let is_settled = bucket.is_some_and(|bucket| bucket.is_settled);
        let before = self.orders.get(&order.order_id).copied();
        let before = before.filter(|_| order.order_id.shard() == shard);
        let form = match before {
            None => Err(format!("order {} was never granted", order.order_id)),
            Some(_) if is_settled => Err(format!("item {} was settled", order.item_id)),
            Some(before) if !before.same_purchase(order) => {
                Err(format!("order {} changed its content", order.order_id))
            }
            Some(_) => Ok(()),
        };
        let is_of_right_form = form.is_ok();
        self.judge(Rule::Form, place, form);
        let Some(before) = before.filter(|_| is_of_right_form) else { return };
        let verdict = i10_ends_once(before.status, order.status);
        let is_allowed = verdict.is_ok();
        self.judge(Invariant::I10, place, verdict);
        // Its stock went where it belongs when it ended first.
        if !is_allowed {
            return;
        }
        self.orders.insert(order.order_id, *order);
        if before.status.is_live() && !order.status.is_live() {
            self.buyer(order).live_units -= u32::from(order.quantity);
        }
        let Some(bucket) = self.bucket(order.item_id, shard) else { return };
        if before.status == OrderStatus::Reserved {
            let units = i64::from(order.quantity);
            bucket.counters.reserved -= units;
            if order.status == OrderStatus::Paid {
                bucket.counters.sold += units;
            } else {
                bucket.counters.available += units;
            }
            let counters = bucket.counters;
            self.judge(Invariant::I2, place, i2_not_below_zero("reserved", counters.reserved));
            self.judge(Invariant::I1, place, i1_balance(counters));
        }
    }

    /// Enters an order everywhere but in its item's counters.
    fn enter(&mut self, order: &Order) {
        self.requests.enter(order);
        self.orders.insert(order.order_id, *order);
        let last = self.last_order_ids.entry(order.order_id.shard()).or_default();
        *last = order.order_id.max(*last);
        let buyer = self.buyer(order);
        buyer.attempts = buyer.attempts.max(order.attempt);
        if order.status.is_live() {
            buyer.live_units += u32::from(order.quantity);
        }
    }

    fn buyer(&mut self, order: &Order) -> &mut Buyer {
        self.buyers.entry((order.item_id, order.user_id)).or_default()
    }
}
