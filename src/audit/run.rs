//! Auditing a data directory: the journal against itself, the checkpoints, the order store, the dead
//! letters and what clients were told.
//!
//! Reads only, and takes no lock: the process may be serving meanwhile. So all that is made from the
//! journal is read first and the journal last, which then holds whatever the others may know. Orders
//! are compared as of the record that the order store said it had reached; what came later waits.

use super::report::{Check, INVARIANTS, OrderCounts, Report};
use crate::domain::invariants::{self, Finding, Ledger};
use crate::domain::{Event, Order, OrderId, OrderStatus, Record, ShardId, Stock};
use crate::store::broker::BrokerError;
use crate::store::broker::dead_letters::DeadLetter;
use crate::store::checkpoint::{CheckpointError, CheckpointStore, Mark};
use crate::store::data_dir::{DataDir, DataDirError};
use crate::store::database::StoreError;
use crate::store::journal::disk::{Disk, RealDisk};
use crate::store::journal::{self, JournalId, ReadError, Scan, record};
use crate::store::orders::OrderStore;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;

/// What to audit with.
pub struct AuditOptions {
    /// Where the journal is.
    pub data_dir: DataDir,
    /// Where checkpoints are, if they can be reached.
    pub checkpoints: Option<CheckpointStore>,
    /// Where orders are, if it can be reached.
    pub orders: Option<OrderStore>,
    /// The dead letters, if there is a place for them.
    pub dead_letters: Option<Vec<DeadLetter>>,
    /// Orders that clients saw confirmed.
    pub confirmations: Option<Vec<OrderId>>,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The data directory cannot be read.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The journal's files cannot be read at all.
    #[error("the journal cannot be read: {0}")]
    Journal(#[source] io::Error),
    /// Nothing was ever written there.
    #[error("{0} holds no journal")]
    NoJournal(PathBuf),
    /// The order store cannot be read.
    #[error("the order store cannot be read: {0}")]
    Orders(#[from] StoreError),
    /// The order store was filled from another journal.
    #[error("the order store was filled from journal {owner}, but {path} holds {held}", path = .path.display())]
    ForeignOrders {
        /// The journal that it was filled from.
        owner: JournalId,
        /// What was to be audited.
        path: PathBuf,
        /// Which journal that is, in words.
        held: String,
    },
    /// The checkpoints cannot be read.
    #[error("the checkpoints cannot be read: {0}")]
    Checkpoints(#[from] CheckpointError),
    /// The dead letters cannot be read.
    #[error("the dead letters cannot be read: {0}")]
    DeadLetters(#[from] BrokerError),
}

/// How often a journal that cannot be read is read again: the process that writes it may have been
/// at that very place, or deleted a segment. Damage stays where it is.
const READS_MAX: usize = 3;

/// Audits.
///
/// # Errors
/// Where something cannot be read; what was read and found wrong is in the report.
pub async fn run(options: AuditOptions) -> Result<Report, AuditError> {
    let directory = options.data_dir.journal();
    if !directory.is_dir() {
        return Err(AuditError::NoJournal(options.data_dir.path().to_owned()));
    }
    let disk = RealDisk::open(&directory).map_err(AuditError::Journal)?;
    let mut reads = 1;
    loop {
        let (report, whole) = judge(&options, &disk).await?;
        if whole || reads == READS_MAX {
            return Ok(report);
        }
        reads += 1;
    }
}

/// The verdict, and whether the journal could be read from its begin to its end.
async fn judge(options: &AuditOptions, disk: &dyn Disk) -> Result<(Report, bool), AuditError> {
    let shards = options.data_dir.recorded_shards()?.unwrap_or(0);
    let kept = match &options.checkpoints {
        Some(checkpoints) => Kept::read(checkpoints, shards).await?,
        None => Kept::default(),
    };
    let stored = match &options.orders {
        Some(orders) => {
            must_belong(orders, &options.data_dir).await?;
            Some(Stored::read(orders).await?)
        }
        None => None,
    };
    let base = journal::base(disk).unwrap_or_default();
    let mut ledger = Ledger::default();
    if base.iter().any(|seq| *seq > 0)
        && let (Some(stored), Some(orders)) = (&stored, &options.orders)
    {
        assume_what_was_deleted(disk, stored, orders, &base, &mut ledger).await?;
    }
    let mut audit = Audit::default();
    let read = audit.read(disk, &mut ledger, stored.as_ref());
    if let Some(confirmations) = &options.confirmations {
        for order_id in confirmations {
            let on_record = |order_id| ledger.orders().contains_key(&order_id);
            let verdict = invariants::i3_confirmed([order_id], on_record);
            ledger.judge("I3", "confirmations", verdict);
        }
    }
    if let Some(stored) = &stored {
        let letters = options.dead_letters.as_deref().unwrap_or_default();
        stored.compare(&mut ledger, &audit, &base, letters);
    }
    kept.compare(disk, &base, &mut ledger);
    let report = audit.report(options, shards, ledger, read.as_ref().err(), stored.as_ref());
    // Segments may have been deleted since the first look.
    let whole = read.is_ok_and(|scan| scan.base.iter().eq(&base));
    Ok((report, whole))
}

/// Refuses an order store that another journal has claimed: there is nothing in it to compare.
async fn must_belong(orders: &OrderStore, data_dir: &DataDir) -> Result<(), AuditError> {
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

/// What a pass over the journal noted beside the ledger.
#[derive(Default)]
struct Audit {
    records: u64,
    frames: u64,
    epochs: u64,
    /// What the journal tells of each order.
    told: HashMap<OrderId, Told>,
}

/// An order's status by its records' numbers.
#[derive(Clone, Copy)]
struct Told {
    /// As of the record that the order store has reached, if the order was placed by then.
    reached: Option<(u64, OrderStatus)>,
    /// As of the last record.
    last: (u64, OrderStatus),
}

impl Audit {
    fn read(
        &mut self,
        disk: &dyn Disk,
        ledger: &mut Ledger,
        stored: Option<&Stored>,
    ) -> Result<Scan, ReadError> {
        let mut epoch = 0;
        journal::scan(disk, |_, link, payload| {
            self.frames += 1;
            if link.epoch != epoch {
                epoch = link.epoch;
                self.epochs += 1;
            }
            each_record(payload, |found| {
                self.records += 1;
                if let Event::Order(order) = &found.event {
                    let last = (found.seq, order.status);
                    let told =
                        self.told.entry(order.order_id).or_insert(Told { reached: None, last });
                    told.last = last;
                    if stored.is_some_and(|stored| found.seq <= stored.reached(found.shard)) {
                        told.reached = Some(last);
                    }
                }
                ledger.record(&found);
            })
        })
    }

    fn report(
        &self,
        options: &AuditOptions,
        shards: u16,
        ledger: Ledger,
        read: Option<&ReadError>,
        stored: Option<&Stored>,
    ) -> Report {
        let mut orders = OrderCounts::default();
        for order in ledger.orders().values() {
            orders.add(order.status);
        }
        let checks = INVARIANTS
            .iter()
            .map(|(number, _)| self.check(number, options, &ledger, read, stored))
            .collect();
        Report {
            data_dir: options.data_dir.path().to_owned(),
            shards: u64::from(shards),
            records: self.records,
            items: ledger.items().len() as u64,
            orders,
            dead_letters: options.dead_letters.as_ref().map(|letters| letters.len() as u64),
            checks,
        }
    }

    fn check(
        &self,
        number: &'static str,
        options: &AuditOptions,
        ledger: &Ledger,
        read: Option<&ReadError>,
        stored: Option<&Stored>,
    ) -> Check {
        let mut finding = ledger.findings().get(number).cloned().unwrap_or_default();
        match number {
            "I3" if options.confirmations.is_none() => {
                Check::not_judged(number, "needs --confirmations")
            }
            "I4" | "I13" if stored.is_none() => {
                Check::not_judged(number, "the order store was not given")
            }
            "I4" if finding.first.is_none() => {
                finding.first = stored.and_then(Stored::behind);
                Check::of(number, &finding)
            }
            "I5" => {
                finding.checked += self.frames;
                if let Some(error) = read {
                    finding.broken += 1;
                    finding.first = Some(error.to_string());
                }
                Check::of(number, &finding)
            }
            // The scan refuses a frame of an older owner behind a newer one's.
            "I15" => Check::of(number, &Finding { checked: self.epochs, ..finding }),
            "I8" => Check::not_judged(number, "only a running engine can break it; see I3"),
            "I9" | "I11" if options.checkpoints.is_none() => {
                Check::not_judged(number, "the checkpoints were not given")
            }
            "I16" => Check::not_judged(number, "only clients can tell; the load laboratory does"),
            _ => Check::of(number, &finding),
        }
    }
}

/// The order store's side.
struct Stored {
    orders: HashMap<OrderId, (Order, u64)>,
    progress: BTreeMap<ShardId, u64>,
    behind: std::sync::OnceLock<String>,
}

impl Stored {
    async fn read(orders: &OrderStore) -> Result<Self, StoreError> {
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
        Ok(Self { orders: all, progress, behind: std::sync::OnceLock::new() })
    }

    /// The shard's last record that was stored when this was read.
    fn reached(&self, shard: ShardId) -> u64 {
        self.progress.get(&shard).copied().unwrap_or(0)
    }

    /// What is wrong with the row of an order; nothing to say of what the store had not reached.
    fn judge_row(&self, order: &Order, told: Option<Told>) -> Option<Result<(), String>> {
        let order_id = order.order_id;
        let Some((row, version)) = self.orders.get(&order_id) else {
            return match told {
                Some(Told { reached: None, .. }) => None,
                _ => Some(Err(format!("order {order_id} is not in the order store"))),
            };
        };
        if !row.same_purchase(order) {
            return Some(Err(format!("order {order_id} has other content in the order store")));
        }
        // What only the order store remembers was taken from there.
        let Some(Told { reached, last }) = told else { return Some(Ok(())) };
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
    fn compare(&self, ledger: &mut Ledger, audit: &Audit, base: &[u64], letters: &[DeadLetter]) {
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
            match self.judge_row(order, audit.told.get(order_id).copied()) {
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

    fn behind(&self) -> Option<String> {
        self.behind.get().cloned()
    }
}

/// Gives the ledger the state before the oldest segment that is left: what the order store holds,
/// less what the journal still tells.
async fn assume_what_was_deleted(
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
    let _ = journal::scan(disk, |_, _, payload| {
        each_record(payload, |found| match found.event {
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
        })
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

/// The checkpoints' side.
#[derive(Default)]
struct Kept(BTreeMap<ShardId, (Mark, Option<Result<Stock, String>>)>);

impl Kept {
    async fn read(checkpoints: &CheckpointStore, shards: u16) -> Result<Self, AuditError> {
        let mut all = BTreeMap::new();
        for (shard, mark) in checkpoints.marks(shards).await? {
            let kept = match checkpoints.load(shard).await {
                Ok(None) => (mark, None),
                Ok(Some((mark, snapshot))) => {
                    let stock = Stock::restore(shard, snapshot);
                    (mark, Some(stock.map_err(|violation| violation.to_string())))
                }
                Err(error) => (mark, Some(Err(error.to_string()))),
            };
            all.insert(shard, kept);
        }
        Ok(Self(all))
    }

    /// I9 and I11: each checkpoint, brought forward by the journal, against the journal alone.
    fn compare(self, disk: &dyn Disk, base: &[u64], ledger: &mut Ledger) {
        let whole = base.iter().all(|seq| *seq == 0);
        let mut pairs: BTreeMap<ShardId, (Mark, Stock, Stock)> = BTreeMap::new();
        for (shard, (mark, stock)) in self.0 {
            let place = format!("shard {shard}");
            let end = ledger.seqs().get(&shard).copied().unwrap_or(0);
            let end = end.max(base.get(shard.index()).copied().unwrap_or(0));
            ledger.judge("I11", &place, invariants::i11_checkpoint(mark.seq, end));
            match stock {
                Some(Ok(stock)) => drop(pairs.insert(shard, (mark, stock, Stock::new(shard)))),
                Some(Err(wrong)) => ledger.judge("I9", &place, Err(wrong)),
                None => {}
            }
        }
        if !whole {
            return;
        }
        let scan = journal::scan(disk, |_, _, payload| {
            each_record(payload, |found| {
                if let Some((_, kept, replayed)) = pairs.get_mut(&found.shard) {
                    // What cannot be applied shows as a difference below.
                    if found.seq > kept.seq() {
                        let _ = kept.apply(&found);
                    }
                    let _ = replayed.apply(&found);
                }
            })
        });
        // A journal that is damaged, or was cut meanwhile, leads to no state to compare with.
        if !scan.is_ok_and(|scan| scan.base.iter().all(|seq| *seq == 0)) {
            return;
        }
        for (shard, (mark, kept, replayed)) in pairs {
            let same = kept.seq() == replayed.seq()
                && kept.items() == replayed.items()
                && kept.orders().eq(replayed.orders());
            let verdict = match same {
                true => Ok(()),
                false => {
                    Err(format!("the checkpoint of {mark} does not lead to the journal's state"))
                }
            };
            ledger.judge("I9", &format!("shard {shard}"), verdict);
        }
    }
}

fn each_record(mut payload: &[u8], mut each: impl FnMut(Record)) -> Result<(), String> {
    while !payload.is_empty() {
        each(record::decode(&mut payload).map_err(|error| error.to_string())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Currency, ItemId, RequestId, SaleId, Timestamp, UserId};

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
            let stored = Stored { orders, progress, behind: std::sync::OnceLock::new() };
            let mut ledger = Ledger::default();
            row.iter().for_each(|(order, _)| ledger.assume_order(*order));
            ledger.assume_seq(shard, 9);
            let letters = std::slice::from_ref(&letter);
            stored.compare(&mut ledger, &Audit::default(), &[0, 9], letters);
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
