//! Auditing a data directory: the journal against itself, the checkpoints, the order store and what
//! clients were told.
//!
//! Reads only. The process may be serving meanwhile; then what it has not finished is not judged.

use super::report::{Check, INVARIANTS, OrderCounts, Report};
use crate::domain::invariants::{self, Finding, Ledger};
use crate::domain::{Event, Order, OrderId, OrderStatus, Record, ShardId, Stock};
use crate::store::checkpoint::{CheckpointError, CheckpointStore, Mark};
use crate::store::data_dir::{DataDir, DataDirError};
use crate::store::database::StoreError;
use crate::store::journal::disk::{Disk, RealDisk};
use crate::store::journal::{self, ReadError, record};
use crate::store::orders::OrderStore;
use std::collections::{BTreeMap, HashMap};
use std::io;

/// What to audit with.
pub struct AuditOptions {
    /// Where the journal is.
    pub data_dir: DataDir,
    /// Where checkpoints are, if they can be reached.
    pub checkpoints: Option<CheckpointStore>,
    /// Where orders are, if it can be reached.
    pub orders: Option<OrderStore>,
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
    NoJournal(std::path::PathBuf),
    /// The order store cannot be read.
    #[error("the order store cannot be read: {0}")]
    Orders(#[from] StoreError),
    /// The checkpoints cannot be read.
    #[error("the checkpoints cannot be read: {0}")]
    Checkpoints(#[from] CheckpointError),
}

/// Audits.
///
/// # Errors
/// Where something cannot be read; what was read and found wrong is in the report.
pub async fn run(options: AuditOptions) -> Result<Report, AuditError> {
    let path = options.data_dir.path().to_owned();
    let directory = options.data_dir.journal();
    if !directory.is_dir() {
        return Err(AuditError::NoJournal(path));
    }
    let disk = RealDisk::open(&directory).map_err(AuditError::Journal)?;
    let base = journal::base(&disk).unwrap_or_default();
    let stored = match &options.orders {
        Some(orders) => Some(Stored::read(orders).await?),
        None => None,
    };
    let mut ledger = Ledger::default();
    if base.iter().any(|seq| *seq > 0)
        && let (Some(stored), Some(orders)) = (&stored, &options.orders)
    {
        assume_what_was_deleted(&disk, stored, orders, &base, &mut ledger).await?;
    }
    let mut audit = Audit { records: 0, frames: 0, epochs: 0, granted: HashMap::new() };
    let read = audit.read(&disk, &mut ledger);
    if let Some(confirmations) = &options.confirmations {
        for order_id in confirmations {
            let on_record = |order_id| ledger.orders().contains_key(&order_id);
            let verdict = invariants::i3_confirmed([order_id], on_record);
            ledger.judge("I3", "confirmations", verdict);
        }
    }
    if let Some(stored) = &stored {
        stored.compare(&mut ledger, &audit, &base);
    }
    let shards = options.data_dir.recorded_shards()?.unwrap_or(0);
    if let Some(checkpoints) = &options.checkpoints {
        compare_checkpoints(checkpoints, &disk, shards, &base, &mut ledger).await?;
    }
    Ok(audit.report(&options, shards, ledger, read.err(), stored.as_ref()))
}

/// What a pass over the journal noted beside the ledger.
struct Audit {
    records: u64,
    frames: u64,
    epochs: u64,
    /// The shard and record of each grant: what the order store must hold, and from when.
    granted: HashMap<OrderId, (ShardId, u64)>,
}

impl Audit {
    fn read(&mut self, disk: &dyn Disk, ledger: &mut Ledger) -> Result<(), ReadError> {
        let mut epoch = 0;
        let scan = journal::scan(disk, |_, link, payload| {
            self.frames += 1;
            if link.epoch != epoch {
                epoch = link.epoch;
                self.epochs += 1;
            }
            each_record(payload, |found| {
                self.records += 1;
                if let Event::Order(order) = &found.event
                    && order.status == OrderStatus::Reserved
                {
                    self.granted.insert(order.order_id, (found.shard, found.seq));
                }
                ledger.record(&found);
            })
        });
        scan.map(drop)
    }

    fn report(
        &self,
        options: &AuditOptions,
        shards: u16,
        ledger: Ledger,
        read: Option<ReadError>,
        stored: Option<&Stored>,
    ) -> Report {
        let mut orders = OrderCounts::default();
        for order in ledger.orders().values() {
            orders.add(order.status);
        }
        let checks = INVARIANTS
            .iter()
            .map(|(number, _)| self.check(number, options, &ledger, read.as_ref(), stored))
            .collect();
        Report {
            data_dir: options.data_dir.path().to_owned(),
            shards: u64::from(shards),
            records: self.records,
            items: ledger.items().len() as u64,
            orders,
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

    /// I4, I12 and I13: what the journal granted against what the store holds.
    fn compare(&self, ledger: &mut Ledger, audit: &Audit, base: &[u64]) {
        let mut waiting = 0_u64;
        let mut verdicts = Vec::new();
        for (order_id, order) in ledger.orders() {
            let granted = audit.granted.get(order_id);
            let reached = |(shard, seq): &(ShardId, u64)| {
                self.progress.get(shard).is_some_and(|progress| progress >= seq)
            };
            verdicts.push(match self.orders.get(order_id) {
                None if granted.is_some_and(|place| !reached(place)) => {
                    waiting += 1;
                    continue;
                }
                None => Err(format!("order {order_id} is not in the order store")),
                Some((row, _)) if !row.same_purchase(order) => {
                    Err(format!("order {order_id} has other content in the order store"))
                }
                Some((row, version)) if row.status != order.status => {
                    let shard = order_id.shard();
                    if self.progress.get(&shard).copied().unwrap_or(0)
                        < ledger.seqs().get(&shard).copied().unwrap_or(0)
                    {
                        waiting += 1;
                        continue;
                    }
                    Err(format!(
                        "order {order_id} is {} on record and {} in the order store as of record \
                         {version}",
                        order.status.name(),
                        row.status.name()
                    ))
                }
                Some(_) => Ok(()),
            });
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
            let stored = self.progress.get(&shard).copied().unwrap_or(0);
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

/// I9 and I11: each checkpoint, brought forward by the journal, against the journal alone.
async fn compare_checkpoints(
    checkpoints: &CheckpointStore,
    disk: &dyn Disk,
    shards: u16,
    base: &[u64],
    ledger: &mut Ledger,
) -> Result<(), AuditError> {
    let whole = base.iter().all(|seq| *seq == 0);
    let mut pairs: BTreeMap<ShardId, (Mark, Stock, Stock)> = BTreeMap::new();
    for (shard, mark) in checkpoints.marks(shards).await? {
        let place = format!("shard {shard}");
        let end = ledger.seqs().get(&shard).copied().unwrap_or(0);
        let end = end.max(base.get(shard.index()).copied().unwrap_or(0));
        ledger.judge("I11", &place, invariants::i11_checkpoint(mark.seq, end));
        match checkpoints.load(shard).await {
            Ok(Some((mark, snapshot))) => match Stock::restore(shard, snapshot) {
                Ok(stock) => {
                    pairs.insert(shard, (mark, stock, Stock::new(shard)));
                }
                Err(violation) => ledger.judge("I9", &place, Err(violation.to_string())),
            },
            Ok(None) => {}
            Err(error) => ledger.judge("I9", &place, Err(error.to_string())),
        }
    }
    if !whole {
        return Ok(());
    }
    let _ = journal::scan(disk, |_, _, payload| {
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
    for (shard, (mark, kept, replayed)) in pairs {
        let same = kept.seq() == replayed.seq()
            && kept.items() == replayed.items()
            && kept.orders().eq(replayed.orders());
        let verdict = match same {
            true => Ok(()),
            false => Err(format!("the checkpoint of {mark} does not lead to the journal's state")),
        };
        ledger.judge("I9", &format!("shard {shard}"), verdict);
    }
    Ok(())
}

fn each_record(mut payload: &[u8], mut each: impl FnMut(Record)) -> Result<(), String> {
    while !payload.is_empty() {
        each(record::decode(&mut payload).map_err(|error| error.to_string())?);
    }
    Ok(())
}
