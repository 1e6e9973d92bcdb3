//! Auditing a data directory: the journal against itself, the checkpoints, the order store, the dead
//! letters and what clients were told.
//!
//! Reads only, and takes no lock: the process may be serving meanwhile. So all that is made from the
//! journal is read first and the journal last, which then holds whatever the others may know. Orders
//! are compared as of the record that the order store said it had reached; what came later waits.

use super::checkpoints::Checkpoints;
use super::deleted::assume_what_was_deleted;
use super::error::AuditError;
use super::findings::{Findings, Judged, OrderCounts};
use super::journal::{self, OnRecord};
use super::stored::Stored;
use crate::store::broker::dead_letters::DeadLetter;
use crate::store::catalogue::Catalogue;
use crate::store::checkpoint::CheckpointStore;
use crate::store::data_dir::DataDir;
use crate::store::database::StoreError;
use crate::store::journal::file::disk::{Disk, RealDisk};
use crate::store::journal::file::{ReadError, Scan, base};
use crate::store::orders::OrderStore;
use domain::invariants::{self, Invariant, Ledger, Rule};
use domain::{OrderId, ShardId};
use std::collections::BTreeMap;
use std::time::Duration;

/// What to audit with.
pub struct AuditOptions {
    /// The directory that holds the journal.
    pub data_dir: DataDir,
    /// The checkpoints, if there are any.
    pub checkpoints: Option<CheckpointStore>,
    /// The order store, if there is one.
    pub orders: Option<OrderStore>,
    /// The dead letters, if there is a place for them.
    pub dead_letters: Option<Vec<DeadLetter>>,
    /// Orders that clients saw confirmed.
    pub confirmations: Option<Vec<OrderId>>,
    /// How long to wait for the order store to reach what is on record when the audit begins: for a
    /// shop that is selling.
    pub wait: Option<Duration>,
}

/// How often a journal that cannot be read is read again: the process that writes it may have been
/// at that very place, or deleted a segment. Damage stays where it is.
const READS_MAX: usize = 3;

/// Audits.
///
/// # Errors
/// Returns [`AuditError`] if something cannot be read; what was read and found wrong is among the
/// findings.
pub async fn run(options: AuditOptions) -> Result<Findings, AuditError> {
    let directory = options.data_dir.journal();
    if !directory.is_dir() {
        return Err(AuditError::NoJournal(options.data_dir.path().to_owned()));
    }
    let disk = RealDisk::open(&directory).map_err(AuditError::Journal)?;
    if let (Some(wait), Some(orders)) = (options.wait, &options.orders) {
        check_owner(orders, &options.data_dir).await?;
        // Whether it was reached is judged below, as always.
        let _ = tokio::time::timeout(wait, reached(&disk, orders)).await;
    }
    let mut reads = 1;
    loop {
        let (findings, whole) = judge(&options, &disk).await?;
        if whole || reads == READS_MAX {
            return Ok(findings);
        }
        reads += 1;
    }
}

/// Refuses an order store that another journal has claimed: there is nothing in it to compare.
async fn check_owner(orders: &OrderStore, data_dir: &DataDir) -> Result<(), AuditError> {
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

/// Returns once the order store has reached what is on record now.
async fn reached(disk: &dyn Disk, orders: &OrderStore) {
    const LOOK: Duration = Duration::from_millis(100);
    let mut ends: BTreeMap<ShardId, u64> = BTreeMap::new();
    // What cannot be read is found again by the pass that judges.
    let _ = journal::read(
        disk,
        |_| (),
        |found| {
            ends.insert(found.shard, found.seq);
        },
    );
    loop {
        if let Ok(progress) = orders.progress().await {
            let progress: BTreeMap<ShardId, u64> = progress.into_iter().collect();
            if ends.iter().all(|(shard, end)| progress.get(shard).is_some_and(|seq| seq >= end)) {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The findings, and whether the journal could be read from its begin to its end.
async fn judge(options: &AuditOptions, disk: &dyn Disk) -> Result<(Findings, bool), AuditError> {
    let shards = options.data_dir.recorded_shards()?.unwrap_or(0);
    let checkpoints = match &options.checkpoints {
        Some(checkpoints) => Checkpoints::read(checkpoints, shards).await?,
        None => Checkpoints::default(),
    };
    let stored = match &options.orders {
        Some(orders) => {
            check_owner(orders, &options.data_dir).await?;
            Some(Stored::read(orders).await?)
        }
        None => None,
    };
    let base = base(disk).unwrap_or_default();
    let mut pass = Pass::default();
    if base.iter().any(|seq| *seq > 0)
        && let (Some(stored), Some(orders)) = (&stored, &options.orders)
    {
        assume_what_was_deleted(disk, stored, orders, &base, &mut pass.ledger).await?;
    }
    let read = pass.read(disk, stored.as_ref());
    if let Some(confirmations) = &options.confirmations {
        pass.judge_confirmations(confirmations);
    }
    if let Some(stored) = &stored {
        let letters = options.dead_letters.as_deref().unwrap_or_default();
        pass.behind =
            stored.compare(&mut pass.ledger, &pass.on_record, &base, letters, &checkpoints);
    }
    checkpoints.compare(disk, &base, &mut pass.ledger);
    let mut findings = pass.findings(options, shards, read.as_ref().err());
    if let Some(orders) = &options.orders {
        findings.unknown_items = Some(unknown_items(orders, &pass.ledger).await?);
    }
    // Segments may have been deleted since the first look.
    let whole = read.is_ok_and(|scan| scan.base.iter().eq(&base));
    Ok((findings, whole))
}

/// The items on record that the catalogue beside the orders does not know.
async fn unknown_items(orders: &OrderStore, ledger: &Ledger) -> Result<Vec<u64>, StoreError> {
    let catalogue = Catalogue::new(orders.database());
    let terms = ledger.items().values().map(|item| &item.terms);
    let missing = catalogue.missing_items(terms).await?;
    Ok(missing.into_iter().map(|item_id| item_id.0).collect())
}

/// One pass over the journal and what is compared with it.
#[derive(Default)]
struct Pass {
    ledger: Ledger,
    records: u64,
    frames: u64,
    epochs: u64,
    on_record: OnRecord,
    /// What the order store has not reached, in words.
    behind: Option<String>,
}

impl Pass {
    fn read(&mut self, disk: &dyn Disk, stored: Option<&Stored>) -> Result<Scan, ReadError> {
        let Self { ledger, records, frames, epochs, on_record, .. } = self;
        let mut last_epoch = 0;
        journal::read(
            disk,
            |epoch| {
                *frames += 1;
                *epochs += u64::from(epoch != last_epoch);
                last_epoch = epoch;
            },
            |found| {
                *records += 1;
                if let Some(stored) = stored {
                    on_record.add(&found, stored.reached(found.shard));
                }
                ledger.record(&found);
            },
        )
    }

    /// I3: each order that a client saw confirmed is on record.
    fn judge_confirmations(&mut self, confirmations: &[OrderId]) {
        for order_id in confirmations {
            let on_record = |order_id| self.ledger.orders().contains_key(&order_id);
            let verdict = invariants::i3_confirmed([order_id], on_record);
            self.ledger.judge(Invariant::I3, "confirmations", verdict);
        }
    }

    fn findings(&self, options: &AuditOptions, shards: u16, read: Option<&ReadError>) -> Findings {
        let mut orders = OrderCounts::default();
        for order in self.ledger.orders().values() {
            orders.add(order.status);
        }
        let form = self.ledger.finding(Rule::Form);
        let form = (form.broken > 0).then(|| Judged::new(Rule::Form, form));
        let invariants = Invariant::ALL.map(|invariant| self.judged(invariant, options, read));
        Findings {
            data_dir: options.data_dir.path().to_owned(),
            shards: u64::from(shards),
            records: self.records,
            items: self.ledger.items().len() as u64,
            orders,
            dead_letters: options.dead_letters.as_ref().map(|letters| letters.len() as u64),
            unknown_items: None,
            judged: form.into_iter().chain(invariants).collect(),
        }
    }

    fn judged(
        &self,
        invariant: Invariant,
        options: &AuditOptions,
        read: Option<&ReadError>,
    ) -> Judged {
        let mut finding = self.ledger.finding(invariant);
        match invariant {
            Invariant::I3 if options.confirmations.is_none() => {
                return Judged::not_judged(invariant, "needs --confirmations");
            }
            Invariant::I4 | Invariant::I13 if options.orders.is_none() => {
                return Judged::not_judged(invariant, "the order store was not given");
            }
            Invariant::I9 | Invariant::I11 if options.checkpoints.is_none() => {
                return Judged::not_judged(invariant, "the checkpoints were not given");
            }
            Invariant::I8 => {
                let reason = "only a running engine can break it; see I3";
                return Judged::not_judged(invariant, reason);
            }
            Invariant::I16 => {
                let reason = "only clients can tell; the load laboratory does";
                return Judged::not_judged(invariant, reason);
            }
            Invariant::I4 if finding.first.is_none() => finding.first.clone_from(&self.behind),
            Invariant::I5 => {
                finding.checked += self.frames;
                if let Some(error) = read {
                    finding.broken += 1;
                    finding.first = Some(error.to_string());
                }
            }
            // The scan refuses a frame of an older owner behind a newer one's.
            Invariant::I15 => finding.checked = self.epochs,
            _ => {}
        }
        Judged::new(invariant, finding)
    }
}
