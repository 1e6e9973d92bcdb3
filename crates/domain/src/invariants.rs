//! The numbered invariants as functions, called by the state machine's own checks, the tests, the
//! simulation, `seckill audit` and the load laboratory alike.
//!
//! Each returns what it found wrong, in words.

use crate::event::{Event, Record};
use crate::ids::{ItemId, OrderId, RequestId, ShardId, UserId};
use crate::order::{Order, OrderStatus};
use crate::sale::{ItemCounters, ItemTerms};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What an invariant found: nothing, or the difference in words.
pub type Verdict = Result<(), String>;

/// I1: allotted = available + reserved + sold.
///
/// # Errors
/// Where it does not hold.
pub fn i1_balance(counters: &ItemCounters) -> Verdict {
    let ItemCounters { allotted, available, reserved, sold } = *counters;
    if u64::from(allotted) == u64::from(available) + u64::from(reserved) + u64::from(sold) {
        return Ok(());
    }
    Err(format!("allotted {allotted} ≠ available {available} + reserved {reserved} + sold {sold}"))
}

/// I5: numbers within a shard are dense.
///
/// # Errors
/// Where `next` does not follow `last`.
pub fn i5_dense(last: u64, next: u64) -> Verdict {
    if last.checked_add(1) == Some(next) {
        return Ok(());
    }
    Err(format!("record {next} follows record {last}"))
}

/// I6: no more live units per buyer and item than its limit.
///
/// # Errors
/// Where there are more.
pub fn i6_limit(limit: u16, live_units: u16) -> Verdict {
    if live_units <= limit {
        return Ok(());
    }
    Err(format!("{live_units} live units, limit {limit}"))
}

/// I10: an order ends once.
///
/// # Errors
/// Where an order may not go from `before` to `after`.
pub fn i10_ends_once(before: OrderStatus, after: OrderStatus) -> Verdict {
    if before.may_become(after) {
        return Ok(());
    }
    Err(format!("{} became {}", before.name(), after.name()))
}

/// I14: an order's amount is the price in force times its quantity.
///
/// # Errors
/// Where it is not.
pub fn i14_price(price: u64, quantity: u16, amount: u64) -> Verdict {
    if price.checked_mul(u64::from(quantity)) == Some(amount) {
        return Ok(());
    }
    Err(format!("amount {amount} for {quantity} at {price}"))
}

/// I3: each confirmation that a client saw has exactly one record.
///
/// # Errors
/// Names the first confirmation without a record.
pub fn i3_confirmed<'a>(
    confirmations: impl IntoIterator<Item = &'a OrderId>,
    is_on_record: impl Fn(OrderId) -> bool,
) -> Verdict {
    match confirmations.into_iter().find(|order_id| !is_on_record(**order_id)) {
        None => Ok(()),
        Some(order_id) => Err(format!("order {order_id} was confirmed and is not on record")),
    }
}

/// I11: a checkpoint is never ahead of what is durable.
///
/// # Errors
/// Where it is.
pub fn i11_checkpoint(checkpoint_seq: u64, durable_seq: u64) -> Verdict {
    if checkpoint_seq <= durable_seq {
        return Ok(());
    }
    Err(format!("checkpoint at {checkpoint_seq}, durable up to {durable_seq}"))
}

/// An independent, plain model of the books: maps and sums, written for being obviously right. It is
/// fed every record and judges I1, I2, I5, I6, I7, I10 and I14 at each.
#[derive(Debug, Default)]
pub struct Ledger {
    seqs: BTreeMap<ShardId, u64>,
    items: HashMap<ItemId, LedgerItem>,
    orders: HashMap<OrderId, Order>,
    requests: HashSet<(UserId, RequestId)>,
    live_units: HashMap<(ItemId, UserId), u32>,
    findings: BTreeMap<&'static str, Finding>,
}

/// An item in the ledger.
#[derive(Clone, Debug)]
pub struct LedgerItem {
    /// Its terms.
    pub terms: ItemTerms,
    /// Its counters, by the ledger's own arithmetic.
    pub counters: ItemCounters,
}

/// How often an invariant was looked at and what first broke it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Times it was judged.
    pub checked: u64,
    /// Times it did not hold.
    pub broken: u64,
    /// The first place where it did not, in words.
    pub first: Option<String>,
}

impl Ledger {
    /// Takes a record in, judging as it goes. Records of one shard come in their order.
    pub fn record(&mut self, record: &Record) {
        let place = format_args!("shard {} record {}", record.shard, record.seq).to_string();
        let last = self.seqs.get(&record.shard).copied();
        // A journal that was cut starts where its checkpoint ends: only what follows must be dense.
        if let Some(last) = last {
            self.judge("I5", &place, i5_dense(last, record.seq));
        }
        self.seqs.insert(record.shard, record.seq);
        match &record.event {
            Event::ItemOpened(terms) => {
                let item = LedgerItem { terms: terms.clone(), counters: terms.counters() };
                let twice = self.items.insert(terms.item_id, item).is_some();
                let verdict = if twice { Err("item opened twice".to_owned()) } else { Ok(()) };
                self.judge("I1", &place, verdict);
            }
            Event::ItemRestocked { item_id, units } => {
                if let Some(item) = self.items.get_mut(item_id) {
                    item.counters.allotted += units;
                    item.counters.available += units;
                }
            }
            Event::Order(order) if order.status == OrderStatus::Reserved => {
                self.grant(&place, order);
            }
            Event::Order(order) => self.change(&place, order),
            Event::ItemPaused(_)
            | Event::ItemResumed(_)
            | Event::ItemEnded(_)
            | Event::ItemSettled(_) => {}
        }
    }

    /// Takes an item as given, with nothing sold: its preheat is no longer on record.
    pub fn assume_item(&mut self, terms: ItemTerms, allotted: u32) {
        let counters = ItemCounters { allotted, available: allotted, reserved: 0, sold: 0 };
        self.items.insert(terms.item_id, LedgerItem { terms, counters });
    }

    /// Takes an order of a known item as given: its grant is no longer on record.
    pub fn assume_order(&mut self, order: Order) {
        self.requests.insert((order.user_id, order.request_id));
        self.orders.insert(order.order_id, order);
        let units = u32::from(order.quantity);
        if order.status.is_live() {
            *self.live_units.entry((order.item_id, order.user_id)).or_default() += units;
        }
        if let Some(item) = self.items.get_mut(&order.item_id)
            && order.status.is_live()
        {
            let available = item.counters.available.checked_sub(units);
            item.counters.available = available.unwrap_or(0);
            match order.status {
                OrderStatus::Paid => item.counters.sold += units,
                _ => item.counters.reserved += units,
            }
            let verdict = available.map(drop).ok_or_else(|| "oversold".to_owned());
            self.judge("I2", "order store", verdict);
        }
    }

    /// Takes a shard's records up to `seq` as given.
    pub fn assume_seq(&mut self, shard: ShardId, seq: u64) {
        self.seqs.insert(shard, seq);
    }

    /// What each invariant came to.
    pub fn findings(&self) -> &BTreeMap<&'static str, Finding> {
        &self.findings
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
        &self.seqs
    }

    /// Adds a verdict on an invariant at a place.
    pub fn judge(&mut self, invariant: &'static str, place: &str, verdict: Verdict) {
        let finding = self.findings.entry(invariant).or_default();
        finding.checked += 1;
        if let Err(detail) = verdict {
            finding.broken += 1;
            finding.first.get_or_insert_with(|| format!("{place}: {detail}"));
        }
    }

    fn grant(&mut self, place: &str, order: &Order) {
        let units = u32::from(order.quantity);
        let once = self.requests.insert((order.user_id, order.request_id));
        let unique = self.orders.insert(order.order_id, *order).is_none();
        let verdict = match (once, unique) {
            (true, true) => Ok(()),
            (false, _) => Err(format!("a second order for request {}", order.request_id)),
            (_, false) => Err(format!("order {} granted twice", order.order_id)),
        };
        self.judge("I7", place, verdict);
        let live = self.live_units.entry((order.item_id, order.user_id)).or_default();
        *live += units;
        let live = *live;
        let Some(item) = self.items.get_mut(&order.item_id) else {
            self.judge("I1", place, Err(format!("item {} was never opened", order.item_id)));
            return;
        };
        let enough = item.counters.available.checked_sub(units);
        item.counters.available = enough.unwrap_or(0);
        item.counters.reserved += units;
        let (counters, terms) = (item.counters, item.terms.clone());
        self.judge("I2", place, enough.map(drop).ok_or_else(|| "oversold".to_owned()));
        self.judge("I1", place, i1_balance(&counters));
        let live = u16::try_from(live).unwrap_or(u16::MAX);
        self.judge("I6", place, i6_limit(terms.limit_per_user, live));
        self.judge("I14", place, i14_price(terms.price, order.quantity, order.amount));
    }

    fn change(&mut self, place: &str, order: &Order) {
        let Some(before) = self.orders.insert(order.order_id, *order) else {
            self.judge("I10", place, Err(format!("order {} was never granted", order.order_id)));
            return;
        };
        let verdict = if before.same_purchase(order) {
            i10_ends_once(before.status, order.status)
        } else {
            Err(format!("order {} changed its content", order.order_id))
        };
        self.judge("I10", place, verdict);
        let units = u32::from(order.quantity);
        if before.status.is_live() && !order.status.is_live() {
            let live = self.live_units.entry((order.item_id, order.user_id)).or_default();
            *live = live.saturating_sub(units);
        }
        let Some(item) = self.items.get_mut(&order.item_id) else { return };
        if before.status == OrderStatus::Reserved {
            let reserved = item.counters.reserved.checked_sub(units);
            item.counters.reserved = reserved.unwrap_or(0);
            if order.status == OrderStatus::Paid {
                item.counters.sold += units;
            } else {
                item.counters.available += units;
            }
            let counters = item.counters;
            self.judge("I2", place, reserved.map(drop).ok_or_else(|| "not reserved".to_owned()));
            self.judge("I1", place, i1_balance(&counters));
        }
    }
}
