//! Auditing a log: against itself, the checkpoints, the order store, the dead letters and what clients were
//! told.
//!
//! Reads only, and takes no lock: a process, or the nodes of a cluster, may be serving meanwhile. So all that
//! is made from the log is read first and the log last, which then holds whatever the others may know. Orders
//! are compared as of the record that the order store said it had reached; what came later waits.

use super::checkpoints::Checkpoints;
use super::deleted::assume_what_was_deleted;
use super::error::AuditError;
use super::findings::{AuditedLog, Findings, Judged, OrderCounts, PaymentCounts, Source, Unasked};
use super::log::{LogSource, Look, OpenedLog, Reading};
use super::on_record::OnRecord;
use super::stored::Stored;
use crate::store::broker::dead_letters::DeadLetter;
use crate::store::catalogue::Catalogue;
use crate::store::checkpoint::{CheckpointError, CheckpointStore};
use crate::store::database::StoreError;
use crate::store::orders::{OrderStore, Owner};
use domain::invariants::Finding;
use domain::invariants::{self, Invariant, Ledger, Rule};
use domain::{OrderId, Record, ShardId};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

/// What to audit with.
pub struct AuditOptions {
    /// The log that is audited.
    pub log: LogSource,
    /// The checkpoints, if there are any.
    pub checkpoints: Option<CheckpointStore>,
    /// The order store, if there is one.
    pub orders: Option<OrderStore>,
    /// The dead letters, if there is a place for them.
    pub dead_letters: Option<Vec<DeadLetter>>,
    /// What the configuration names beside these, and could not be opened or asked.
    pub unasked: Vec<Unasked>,
    /// Orders that clients saw confirmed.
    pub confirmations: Option<Vec<OrderId>>,
    /// How long to wait for the order store to reach what is on record when the audit begins: for a
    /// shop that is selling.
    pub wait: Option<Duration>,
}

/// How often a log that cannot be read is read again: the process that writes it may have been at that very
/// place, or deleted a segment; etcd may have forgotten the revision. Damage stays where it is.
const READS_MAX: usize = 3;

/// Audits.
///
/// # Errors
/// Returns [`AuditError`] if something cannot be read; what was read and found wrong is among the
/// findings.
pub async fn run(options: AuditOptions) -> Result<Findings, AuditError> {
    let log = options.log.open()?;
    if let (Some(wait), Some(orders)) = (options.wait, &options.orders) {
        match check_owner(orders, &options.log).await {
            // Whether it was reached is judged below, as always.
            Ok(()) => drop(tokio::time::timeout(wait, reached(&log, orders)).await),
            // That it does not answer is found again below.
            Err(AuditError::Orders(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let mut reads = 1;
    loop {
        match judge(&options, &log).await {
            Ok((_, false)) | Err(AuditError::Compacted(_)) if reads < READS_MAX => {}
            judged => return judged.map(|(findings, _)| findings),
        }
        reads += 1;
    }
}

/// Refuses an order store that another journal has claimed, or that is another one of the shop's than it is named
/// as: there is nothing in it to compare.
async fn check_owner(orders: &OrderStore, log: &LogSource) -> Result<(), AuditError> {
    let held = log.identity()?;
    for store in orders.each() {
        let Some(Owner { journal: owner, place: found }) = store.owner_row().await? else {
            continue;
        };
        match (held, log) {
            (None, LogSource::Directory(data_dir)) => {
                return Err(AuditError::IdentityLost { owner, path: data_dir.identity() });
            }
            (Some(held), _) if held != owner => {
                return Err(AuditError::ForeignOrders { owner, place: log.place(), held });
            }
            _ if found != store.place() => {
                return Err(AuditError::MisplacedOrders { found, configured: store.place() });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns once the order store has reached what is on record now.
async fn reached(log: &OpenedLog<'_>, orders: &OrderStore) {
    const LOOK: Duration = Duration::from_millis(100);
    let ends = async { log.look().await?.ends().await };
    // That it cannot be read is found again by the pass that judges.
    let Ok(ends) = ends.await else { return };
    loop {
        if let Ok(progress) = orders.progress().await {
            let progress: BTreeMap<ShardId, u64> = progress.into_iter().collect();
            if ends.iter().all(|(shard, end)| progress.get(shard).copied().unwrap_or(0) >= *end) {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What the order store holds, or why it could not be asked.
///
/// # Errors
/// Returns [`AuditError`] if another journal has claimed it.
async fn read_orders(
    orders: &OrderStore,
    log: &LogSource,
) -> Result<Result<Stored, StoreError>, AuditError> {
    match check_owner(orders, log).await {
        Ok(()) => Ok(Stored::read(orders).await),
        Err(AuditError::Orders(error)) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

/// What the checkpoints hold, or why they could not be asked.
///
/// # Errors
/// Returns [`AuditError`] if they were made from another journal.
async fn read_checkpoints(
    checkpoints: &CheckpointStore,
    shards: u16,
) -> Result<Result<Checkpoints, CheckpointError>, AuditError> {
    match Checkpoints::read(checkpoints, shards).await {
        Err(error @ CheckpointError::Foreign { .. }) => Err(error.into()),
        read => Ok(read),
    }
}

/// The findings, and whether they stand: another look may find a log whole that could not be read.
async fn judge(
    options: &AuditOptions,
    log: &OpenedLog<'_>,
) -> Result<(Findings, bool), AuditError> {
    let shards = options.log.shards()?;
    let ledger = match &options.log {
        LogSource::Directory(_) => Ledger::default(),
        LogSource::Cluster(_) => Ledger::of_several_nodes(),
    };
    let mut pass = Pass { ledger, unasked: options.unasked.clone(), ..Pass::default() };
    let checkpoints = match &options.checkpoints {
        Some(store) => pass.asked(Source::Checkpoints, read_checkpoints(store, shards).await?),
        None => None,
    };
    let stored = match &options.orders {
        Some(store) => pass.asked(Source::OrderStore, read_orders(store, &options.log).await?),
        None => None,
    };
    let look = log.look().await?;
    let base = look.base();
    if base.iter().any(|seq| *seq > 0) {
        match &stored {
            Some(stored) => {
                assume_what_was_deleted(&look, stored, &base, &mut pass.ledger).await?;
            }
            None => pass.is_blind = true,
        }
    }
    let read = pass.read(&look, stored.as_ref()).await?;
    if !pass.is_blind {
        pass.ledger.judge_transfers();
        pass.ledger.judge_money();
    }
    if let Some(confirmations) = &options.confirmations {
        pass.judge_confirmations(confirmations);
    }
    let (has_checkpoints, checkpoints) = (checkpoints.is_some(), checkpoints.unwrap_or_default());
    if let Some(stored) = &stored {
        let letters = options.dead_letters.as_deref().unwrap_or_default();
        pass.behind =
            stored.compare(&mut pass.ledger, &pass.on_record, &base, letters, &checkpoints);
    }
    checkpoints.compare(&look, &base, &mut pass.ledger).await?;
    let unknown_items = match options.orders.as_ref().filter(|_| stored.is_some()) {
        Some(orders) => {
            let found = unknown_items(orders, &pass.ledger).await;
            pass.asked(Source::OrderStore, found)
        }
        None => None,
    };
    let there = There { orders: stored.is_some(), checkpoints: has_checkpoints };
    let log = options.log.audited(&look);
    let findings = pass.findings(options, there, (log, shards), &read);
    let findings = Findings { unknown_items, ..findings };
    Ok((findings, !read.is_passing))
}

/// What there was to compare the journal with.
#[derive(Clone, Copy)]
struct There {
    orders: bool,
    checkpoints: bool,
}

/// The items on record that the catalogue beside the orders does not know.
async fn unknown_items(orders: &OrderStore, ledger: &Ledger) -> Result<Vec<u64>, StoreError> {
    let catalogue = Catalogue::new(orders.database());
    let terms = ledger.items().values().map(|item| &item.terms);
    let missing = catalogue.missing_items(terms).await?;
    Ok(missing.into_iter().map(|item_id| item_id.0).collect())
}

/// I15: who wrote one batch after the other. A scan of files refuses a frame of an older owner behind a newer
/// one's; in a log with an owner for each shard it is found here.
#[derive(Default)]
struct Owners {
    last: Option<(Option<ShardId>, u64)>,
    finding: Finding,
}

impl Owners {
    fn note(&mut self, shard: Option<ShardId>, epoch: u64) {
        let last = self.last.replace((shard, epoch)).filter(|(other, _)| *other == shard);
        let verdict = match last {
            Some((_, last)) if last == epoch => return,
            Some((_, last)) if last > epoch => {
                Err(format!("a batch of epoch {epoch} is behind one of epoch {last}"))
            }
            _ => Ok(()),
        };
        let place = shard.map_or_else(|| "journal".to_owned(), |shard| format!("shard {shard}"));
        self.finding.add(&place, verdict);
    }
}

/// One pass over the log and what is compared with it.
#[derive(Default)]
struct Pass {
    ledger: Ledger,
    records: u64,
    frames: u64,
    owners: Owners,
    on_record: OnRecord,
    /// What the order store has not reached, in words.
    behind: Option<String>,
    /// What could not be asked.
    unasked: Vec<Unasked>,
    /// Whether the journal was cut and the order store, which knows what was before, is not there: what its
    /// records do to the stock cannot be judged then.
    is_blind: bool,
}

impl Pass {
    async fn read(
        &mut self,
        look: &Look<'_>,
        stored: Option<&Stored>,
    ) -> Result<Reading, AuditError> {
        let Self { ledger, records, frames, owners, on_record, is_blind, .. } = self;
        let each = |found: Record| {
            *records += 1;
            if let Some(stored) = stored {
                on_record.add(&found, stored.reached(found.shard));
            }
            match is_blind {
                true => ledger.assume_seq(found.shard, found.seq),
                false => ledger.record(&found),
            }
        };
        let batch = |shard, epoch| {
            *frames += 1;
            owners.note(shard, epoch);
        };
        look.read(batch, each).await
    }

    /// What was read of a store; none if it did not answer, which is noted.
    fn asked<T, E: Display>(&mut self, source: Source, read: Result<T, E>) -> Option<T> {
        read.map_err(|error| self.unasked.push(Unasked { source, why: error.to_string() })).ok()
    }

    /// I3: each order that a client saw confirmed is on record.
    fn judge_confirmations(&mut self, confirmations: &[OrderId]) {
        if self.is_blind {
            return;
        }
        for order_id in confirmations {
            let on_record = |order_id| self.ledger.orders().contains_key(&order_id);
            let verdict = invariants::i3_confirmed([order_id], on_record);
            self.ledger.judge(Invariant::I3, "confirmations", verdict);
        }
    }

    fn findings(
        &self,
        options: &AuditOptions,
        there: There,
        (log, shards): (AuditedLog, u16),
        read: &Reading,
    ) -> Findings {
        let mut orders = OrderCounts::default();
        for order in self.ledger.orders().values() {
            orders.add(order.status);
        }
        let mut payments = PaymentCounts::default();
        for payment in self.ledger.payments().values() {
            payments.add(payment.state);
        }
        let form = self.ledger.finding(Rule::Form);
        let form = (form.broken > 0).then(|| Judged::new(Rule::Form, form));
        let invariants =
            Invariant::ALL.map(|invariant| self.judged(invariant, options, there, read));
        Findings {
            log,
            shards: u64::from(shards),
            records: self.records,
            items: self.ledger.items().len() as u64,
            orders,
            payments,
            dead_letters: options.dead_letters.as_ref().map(|letters| letters.len() as u64),
            unknown_items: None,
            judged: form.into_iter().chain(invariants).collect(),
            unasked: self.unasked.clone(),
        }
    }

    fn judged(
        &self,
        invariant: Invariant,
        options: &AuditOptions,
        there: There,
        read: &Reading,
    ) -> Judged {
        let mut finding = self.ledger.finding(invariant);
        match invariant {
            Invariant::I3 if options.confirmations.is_none() => {
                return Judged::not_judged(invariant, "needs --confirmations");
            }
            Invariant::I4 | Invariant::I13 if !there.orders => {
                return self.without(Source::OrderStore, invariant);
            }
            Invariant::I9 | Invariant::I11 if !there.checkpoints => {
                return self.without(Source::Checkpoints, invariant);
            }
            Invariant::I8 => {
                let reason = "only a running engine can break it; see I3";
                return Judged::not_judged(invariant, reason);
            }
            Invariant::I16 => {
                let reason = "only clients can tell; the load laboratory does";
                return Judged::not_judged(invariant, reason);
            }
            Invariant::I7 if finding.first.is_none() => finding.first = self.reuses(),
            Invariant::I4 if finding.first.is_none() => finding.first.clone_from(&self.behind),
            Invariant::I5 => {
                finding.checked += self.frames + read.ends;
                finding.broken += read.damage.len() as u64;
                finding.first = read.damage.first().cloned().or(finding.first);
            }
            Invariant::I15 => finding = self.owners.finding.clone(),
            _ if self.is_blind && finding.checked == 0 => {
                let reason = "the journal was cut, and only the order store knows what was before";
                return Judged::not_judged(invariant, reason);
            }
            _ => {}
        }
        Judged::new(invariant, finding)
    }

    /// What is to be known of requests that got orders of several items, which breaks nothing in a cluster.
    fn reuses(&self) -> Option<String> {
        let reuses = Some(self.ledger.reuses()).filter(|reuses| *reuses > 0)?;
        Some(format!(
            "orders whose key had got one of another item: {reuses}; two nodes that sell at the same moment do not \
             see that"
        ))
    }

    /// What is not judged because this was not there, and whether anybody had reason to expect it.
    fn without(&self, source: Source, invariant: Invariant) -> Judged {
        let was_expected = self.unasked.iter().any(|unasked| unasked.source == source);
        let verb = if was_expected { "could not be asked" } else { "was not given" };
        Judged::not_judged(invariant, &format!("{}: {verb}", source.words()))
    }
}
