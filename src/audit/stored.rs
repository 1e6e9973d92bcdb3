//! The order store against the journal: its owner, its orders, its records of items, its progress.

use super::run::AuditError;
use crate::store::broker::dead_letters::DeadLetter;
use crate::store::data_dir::DataDir;
use crate::store::database::StoreError;
use crate::store::journal::file::disk::Disk;
use crate::store::journal::file::scan;
use crate::store::journal::record::each_record;
use crate::store::orders::OrderStore;
use domain::invariants::Ledger;
use domain::{Event, Order, OrderId, OrderStatus, Record, ShardId};
use std::collections::{BTreeMap, HashMap};

/// What the journal tells, as far as the order store can be compared with it.
#[derive(Default)]
pub(super) struct Told {
    orders: HashMap<OrderId, ToldOrder>,
    /// Records that are not of an order.
    items: BTreeMap<(ShardId, u64), Record>,
}

/// An order's status by its records' numbers.
#[derive(Clone, Copy)]
struct ToldOrder {
    /// As of the record that the order store has reached, if the order was placed by then.
    reached: Option<(u64, OrderStatus)>,
    /// As of the last record.
    last: (u64, OrderStatus),
}

impl Told {
    /// Takes a record in; records of one shard come in their order.
    pub(super) fn record(&mut self, record: &Record, stored: &Stored) {
        let Event::Order(order) = &record.event else {
            self.items.insert((record.shard, record.seq), record.clone());
            return;
        };
        let last = (record.seq, order.status);
        let none_yet = ToldOrder { reached: None, last };
        let told = self.orders.entry(order.order_id).or_insert(none_yet);
        told.last = last;
        if record.seq <= stored.reached(record.shard) {
            told.reached = Some(last);
        }
    }
}

/// The order store's side.
pub(super) struct Stored {
    orders: HashMap<OrderId, (Order, u64)>,
    items: BTreeMap<(ShardId, u64), Record>,
    progress: BTreeMap<ShardId, u64>,
    behind: std::sync::OnceLock<String>,
}

impl Stored {
    pub(super) async fn read(orders: &OrderStore) -> Result<Self, StoreError> {
        const PAGE: usize = 10_000;
        let progress = orders.progress().await?.into_iter().collect();
        let mut all = HashMap::new();
        let mut after = OrderId(0);
        loop {
            let page = orders.scan(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.order.order_id;
            all.extend(page.into_iter().map(|row| (row.order.order_id, (row.order, row.version))));
        }
        let records = orders.item_records().await?.into_iter();
        let items = records.map(|record| ((record.shard, record.seq), record)).collect();
        Ok(Self { orders: all, items, progress, behind: std::sync::OnceLock::new() })
    }

    /// The shard's last record that was stored when this was read.
    fn reached(&self, shard: ShardId) -> u64 {
        self.progress.get(&shard).copied().unwrap_or(0)
    }

    /// What is wrong with the row of an order; nothing to say of what the store had not reached.
    fn judge_row(&self, order: &Order, told: Option<ToldOrder>) -> Option<Result<(), String>> {
        let order_id = order.order_id;
        let Some((row, version)) = self.orders.get(&order_id) else {
            return match told {
                Some(ToldOrder { reached: None, .. }) => None,
                _ => Some(Err(format!("order {order_id} is not in the order store"))),
            };
        };
        if !row.same_purchase(order) {
            return Some(Err(format!("order {order_id} has other content in the order store")));
        }
        // What only the order store remembers was taken from there.
        let Some(ToldOrder { reached, last }) = told else { return Some(Ok(())) };
        let as_of = [Some(last), reached].into_iter().flatten().find(|(seq, _)| seq == version);
        match as_of {
            Some((_, status)) if status == row.status => (*version == last.0).then_some(Ok(())),
            Some((seq, status)) => Some(Err(format!(
                "order {order_id} is {} on record and {} in the order store as of record {seq}",
                status.name(),
                row.status.name()
            ))),
            None if *version > last.0 => Some(Err(format!(
                "order {order_id} is stored as of record {version}, but its last is {}",
                last.0
            ))),
            None if reached.is_some_and(|(seq, _)| *version < seq) => Some(Err(format!(
                "order {order_id} is stored as of record {version}, although record {} was stored",
                reached.map_or(0, |(seq, _)| seq)
            ))),
            // Changed between the look at the store's progress and the look at the row.
            None => None,
        }
    }

    /// Whether the order is stored, as of the record `seq` or a later one.
    fn holds(&self, order: &Order, seq: u64) -> Result<(), String> {
        let order_id = order.order_id;
        match self.orders.get(&order_id) {
            None => Err(format!("order {order_id} is not in the order store")),
            Some((row, _)) if !row.same_purchase(order) => {
                Err(format!("order {order_id} has other content in the order store"))
            }
            Some((_, version)) if *version < seq => {
                Err(format!("order {order_id} is stored as of record {version}, before {seq}"))
            }
            Some(_) => Ok(()),
        }
    }

    /// I4, I12 and I13: what the journal granted against what the store and the dead letters hold.
    pub(super) fn compare(
        &self,
        ledger: &mut Ledger,
        told: &Told,
        base: &[u64],
        letters: &[DeadLetter],
    ) {
        self.compare_items(ledger, told, base);
        let mut set_aside = HashMap::new();
        let mut deleted = Vec::new();
        for letter in letters {
            for record in letter.records.iter().flatten() {
                let cut = base.get(record.shard.index()).copied().unwrap_or(0);
                if let Event::Order(order) = &record.event {
                    set_aside.insert(order.order_id, letter);
                    if record.seq <= cut {
                        deleted.push((order, record.seq));
                    }
                }
                let end = ledger.seqs().get(&record.shard).copied().unwrap_or(0).max(cut);
                let known = match record.seq > end {
                    true => Err(format!(
                        "dead letter {} has record {}, the journal ends at {end}",
                        letter.message_id, record.seq
                    )),
                    false => Ok(()),
                };
                ledger.judge("I12", &format!("shard {}", record.shard), known);
            }
        }
        let with_letter = |order_id: &OrderId, wrong: String| match set_aside.get(order_id) {
            None => wrong,
            Some(DeadLetter { message_id, reason, .. }) => {
                format!("{wrong}; dead letter {message_id} has it: {reason}")
            }
        };
        let mut waiting = 0_u64;
        let mut verdicts = Vec::new();
        for (order_id, order) in ledger.orders() {
            match self.judge_row(order, told.orders.get(order_id).copied()) {
                None => waiting += 1,
                Some(verdict) => {
                    verdicts.push(verdict.map_err(|wrong| with_letter(order_id, wrong)))
                }
            }
        }
        // The journal tells of these no longer, so the letter has to.
        for (order, seq) in deleted {
            let verdict = self.holds(order, seq);
            verdicts.push(verdict.map_err(|wrong| with_letter(&order.order_id, wrong)));
        }
        for order_id in self.orders.keys() {
            if !ledger.orders().contains_key(order_id) {
                verdicts.push(Err(format!("order {order_id} is in the order store alone")));
            }
        }
        for verdict in verdicts {
            ledger.judge("I4", "order store", verdict);
        }
        if waiting > 0 {
            let _ = self
                .behind
                .set(format!("{waiting} orders wait in the journal for the order store"));
        }
        let ends: Vec<(ShardId, u64)> =
            ledger.seqs().iter().map(|(shard, seq)| (*shard, *seq)).collect();
        for (shard, end) in ends {
            let stored = self.reached(shard);
            let cut = base.get(shard.index()).copied().unwrap_or(0);
            let ahead = match stored > end.max(cut) {
                true => Err(format!("the order store is at record {stored}, the journal at {end}")),
                false => Ok(()),
            };
            ledger.judge("I12", &format!("shard {shard}"), ahead);
            let kept = match cut > stored {
                true => Err(format!("records {stored} to {cut} were deleted unstored")),
                false => Ok(()),
            };
            ledger.judge("I13", &format!("shard {shard}"), kept);
        }
    }

    /// I12: each record of an item that the store has passed is in it, and none that the journal does
    /// not tell.
    fn compare_items(&self, ledger: &mut Ledger, told: &Told, base: &[u64]) {
        for (place, record) in &told.items {
            let (shard, seq) = *place;
            let verdict = match self.items.get(place) {
                Some(stored) if stored == record => Ok(()),
                Some(_) => Err("the order store holds another record of an item here".to_owned()),
                None if seq > self.reached(shard) => continue,
                None => {
                    Err("the order store has passed this record and does not hold it".to_owned())
                }
            };
            ledger.judge("I12", &format!("shard {shard} record {seq}"), verdict);
        }
        for (shard, seq) in self.items.keys() {
            let cut = base.get(shard.index()).copied().unwrap_or(0);
            if *seq > cut && !told.items.contains_key(&(*shard, *seq)) {
                let wrong = "this record of an item is in the order store alone".to_owned();
                ledger.judge("I12", &format!("shard {shard} record {seq}"), Err(wrong));
            }
        }
    }

    pub(super) fn behind(&self) -> Option<String> {
        self.behind.get().cloned()
    }
}

/// Gives the ledger the state before the oldest segment that is left: what the order store holds,
/// less what the journal still tells.
pub(super) async fn assume_what_was_deleted(
    disk: &dyn Disk,
    stored: &Stored,
    orders: &OrderStore,
    base: &[u64],
    ledger: &mut Ledger,
) -> Result<(), AuditError> {
    let mut granted_later = HashMap::new();
    let mut first_change: HashMap<OrderId, OrderStatus> = HashMap::new();
    let mut restocked_later: HashMap<_, u32> = HashMap::new();
    // What is unreadable is found again, and reported, by the pass that judges.
    let _ = scan(disk, |_, _, payload| {
        for found in each_record(payload) {
            match found?.event {
                Event::Order(order) if order.status == OrderStatus::Reserved => {
                    granted_later.insert(order.order_id, ());
                }
                Event::Order(order) => {
                    first_change.entry(order.order_id).or_insert(order.status);
                }
                Event::ItemRestocked { item_id, units } => {
                    *restocked_later.entry(item_id).or_default() += units;
                }
                _ => {}
            }
        }
        Ok(())
    });
    for item in orders.items().await? {
        if item.opened_seq <= base.get(item.shard.index()).copied().unwrap_or(0) {
            let later = restocked_later.get(&item.terms.item_id).copied().unwrap_or(0);
            ledger.assume_item(item.terms, item.allotted.saturating_sub(later));
        }
    }
    for (order_id, (order, _)) in &stored.orders {
        if !granted_later.contains_key(order_id) {
            let status = match first_change.get(order_id) {
                None => order.status,
                Some(_) => OrderStatus::Reserved,
            };
            ledger.assume_order(Order { status, ..*order });
        }
    }
    for (shard, seq) in base.iter().enumerate().filter(|(_, seq)| **seq > 0) {
        ledger.assume_seq(ShardId(shard as u16), *seq);
    }
    Ok(())
}

/// Refuses an order store that another journal has claimed: there is nothing in it to compare.
pub(super) async fn check_owner(orders: &OrderStore, data_dir: &DataDir) -> Result<(), AuditError> {
    let held = data_dir.recorded_identity()?;
    match orders.owner().await? {
        Some(owner) if held != Some(owner) => Err(AuditError::ForeignOrders {
            owner,
            path: data_dir.path().to_owned(),
            held: held.map_or_else(|| "one without an identity".to_owned(), |id| id.to_string()),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Currency, ItemId, RequestId, SaleId, Timestamp, UserId};

    #[test]
    fn a_dead_letter_speaks_for_the_record_that_the_journal_has_no_longer() {
        let order = Order {
            order_id: OrderId(1 << 12),
            item_id: ItemId(7),
            sale_id: SaleId(3),
            user_id: UserId(1),
            request_id: RequestId(1),
            attempt: 1,
            quantity: 1,
            amount: 10,
            currency: Currency::parse("CNY").expect("a code"),
            status: OrderStatus::Reserved,
            expires_at: Timestamp(0),
        };
        let shard = ShardId(1);
        let record = Record { shard, seq: 5, at: Timestamp(0), event: Event::Order(order) };
        let letter = DeadLetter {
            message_id: "1-5".to_owned(),
            reason: "conflict".to_owned(),
            length: 0,
            records: Ok(vec![record]),
        };
        let check = |row: Option<(Order, u64)>, expected: Option<&str>| {
            let orders = row.map(|row| (order.order_id, row)).into_iter().collect();
            let progress = BTreeMap::from([(shard, 9)]);
            let (items, behind) = (BTreeMap::new(), std::sync::OnceLock::new());
            let stored = Stored { orders, items, progress, behind };
            let mut ledger = Ledger::default();
            row.iter().for_each(|(order, _)| ledger.assume_order(*order));
            ledger.assume_seq(shard, 9);
            let letters = std::slice::from_ref(&letter);
            stored.compare(&mut ledger, &Told::default(), &[0, 9], letters);
            let found = ledger.findings().get("I4").and_then(|finding| finding.first.clone());
            let has = found.as_deref().zip(expected).is_some_and(|(found, words)| {
                found.contains(words) && found.ends_with("dead letter 1-5 has it: conflict")
            });
            assert_eq!(has, expected.is_some(), "{found:?}");
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
        };
        check(None, Some("is not in the order store"));
        check(Some((Order { amount: 11, ..order }, 5)), Some("has other content"));
        check(Some((order, 4)), Some("is stored as of record 4, before 5"));
        check(Some((order, 5)), None);
        check(Some((order, 6)), None);
    }
}
