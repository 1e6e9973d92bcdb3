//! Auditing a data directory: the journal against itself, the checkpoints, the order store, the dead
//! letters and what clients were told.
//!
//! Reads only, and takes no lock: the process may be serving meanwhile. So all that is made from the
//! journal is read first and the journal last, which then holds whatever the others may know. Orders
//! are compared as of the record that the order store said it had reached; what came later waits.

use super::kept::Kept;
use super::report::{Check, INVARIANTS, OrderCounts, Report};
use super::stored::{Stored, Told, assume_what_was_deleted, check_owner};
use crate::store::broker::BrokerError;
use crate::store::broker::dead_letters::DeadLetter;
use crate::store::checkpoint::{CheckpointError, CheckpointStore};
use crate::store::data_dir::{DataDir, DataDirError};
use crate::store::database::StoreError;
use crate::store::journal::JournalId;
use crate::store::journal::file::disk::{Disk, RealDisk};
use crate::store::journal::file::{self, ReadError, Scan};
use crate::store::journal::record::each_record;
use crate::store::orders::OrderStore;
use domain::invariants::{self, Finding, Ledger};
use domain::{OrderId, ShardId};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

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
    /// How long to wait for the order store to reach what is on record when the audit begins: for a
    /// shop that is selling.
    pub wait: Option<Duration>,
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
    if let (Some(wait), Some(orders)) = (options.wait, &options.orders) {
        check_owner(orders, &options.data_dir).await?;
        // Whether it was reached is judged below, as always.
        let _ = tokio::time::timeout(wait, reached(&disk, orders)).await;
    }
    let mut reads = 1;
    loop {
        let (report, whole) = judge(&options, &disk).await?;
        if whole || reads == READS_MAX {
            return Ok(report);
        }
        reads += 1;
    }
}

/// Returns once the order store has reached what is on record now.
async fn reached(disk: &dyn Disk, orders: &OrderStore) {
    const LOOK: Duration = Duration::from_millis(100);
    let mut ends: BTreeMap<ShardId, u64> = BTreeMap::new();
    // What cannot be read is found again by the pass that judges.
    let _ = file::scan(disk, |_, _, payload| {
        for found in each_record(payload) {
            let found = found?;
            ends.insert(found.shard, found.seq);
        }
        Ok(())
    });
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

/// The verdict, and whether the journal could be read from its begin to its end.
async fn judge(options: &AuditOptions, disk: &dyn Disk) -> Result<(Report, bool), AuditError> {
    let shards = options.data_dir.recorded_shards()?.unwrap_or(0);
    let kept = match &options.checkpoints {
        Some(checkpoints) => Kept::read(checkpoints, shards).await?,
        None => Kept::default(),
    };
    let stored = match &options.orders {
        Some(orders) => {
            check_owner(orders, &options.data_dir).await?;
            Some(Stored::read(orders).await?)
        }
        None => None,
    };
    let base = file::base(disk).unwrap_or_default();
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
        stored.compare(&mut ledger, &audit.told, &base, letters);
    }
    kept.compare(disk, &base, &mut ledger);
    let report = audit.report(options, shards, ledger, read.as_ref().err(), stored.as_ref());
    // Segments may have been deleted since the first look.
    let whole = read.is_ok_and(|scan| scan.base.iter().eq(&base));
    Ok((report, whole))
}

/// What a pass over the journal noted beside the ledger.
#[derive(Default)]
struct Audit {
    records: u64,
    frames: u64,
    epochs: u64,
    told: Told,
}

impl Audit {
    fn read(
        &mut self,
        disk: &dyn Disk,
        ledger: &mut Ledger,
        stored: Option<&Stored>,
    ) -> Result<Scan, ReadError> {
        let mut epoch = 0;
        file::scan(disk, |_, link, payload| {
            self.frames += 1;
            if link.epoch != epoch {
                epoch = link.epoch;
                self.epochs += 1;
            }
            for found in each_record(payload) {
                let found = found?;
                self.records += 1;
                if let Some(stored) = stored {
                    self.told.record(&found, stored);
                }
                ledger.record(&found);
            }
            Ok(())
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
