//! From what is stored to the shards' state: checkpoint, then the journal behind it.
//!
//! A checkpoint that is missing, old or damaged makes this slower, never wrong. Where older records
//! were retired and no checkpoint reaches up to what is left, the order store gives the state back
//! (I13: nothing is retired that it does not hold). A checkpoint ahead of the journal means that the
//! journal has lost what was confirmed: then nothing starts. Nor does it where checkpoint or order
//! store were made from another journal, whose stock would be sold as this one's.

use super::effects::Effect;
use super::replay::{processors, replay};
use crate::store::checkpoint::{CheckpointError, CheckpointStore, Mark};
use crate::store::database::StoreError;
use crate::store::journal::fenced::{self, BatchEnd, Claim, FencedLog};
use crate::store::journal::{Journal, JournalError, JournalId, OpenedLog, Replayed};
use crate::store::orders::ownership::{self, OwnershipError};
use crate::store::orders::{OrderStore, SetAside, StoredItem, StoredOrder, StoredPayment};
use domain::stock::{ItemState, Violation};
use domain::{ItemCounters, OrderId, OrderPayments, ShardId, Stock, Timestamp};
use futures_util::{StreamExt, stream};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;

/// Payments as the order store has them, by their orders.
type PaymentRows = HashMap<OrderId, Vec<StoredPayment>>;

/// Why the engine cannot start, or a shard not be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A checkpoint and the journal contradict each other.
    #[error(
        "the checkpoint of shard {shard} is at record {checkpoint_seq} of owner {checkpoint_epoch}, \
         but the journal ends at record {journal_seq} of owner {journal_epoch}: the journal has \
         lost records, or the checkpoint is of other data"
    )]
    CheckpointAhead {
        /// The checkpoint's shard.
        shard: ShardId,
        /// The last record that the checkpoint holds.
        checkpoint_seq: u64,
        /// The owner that wrote the checkpoint.
        checkpoint_epoch: u64,
        /// The shard's last record in the journal.
        journal_seq: u64,
        /// The owner that wrote the journal's last batch.
        journal_epoch: u64,
    },
    /// A checkpoint was made from another journal: [`CheckpointError::Foreign`].
    #[error(transparent)]
    ForeignCheckpoint(CheckpointError),
    /// The order store was filled from another journal, or holds what this one has lost.
    #[error(transparent)]
    ForeignOrders(OwnershipError),
    /// Neither checkpoint nor order store reach up to what is left of the journal.
    #[error(
        "shard {shard}: the journal starts behind record {base_seq}, and {lack}; bring the \
         checkpoint store or the order store back"
    )]
    NothingBeneath {
        /// The shard that cannot be rebuilt.
        shard: ShardId,
        /// Its last record that was retired from the journal.
        base_seq: u64,
        /// What is missing.
        lack: Lack,
    },
    /// The state that a store gave back contradicts itself.
    #[error("what the order store gave back contradicts itself: {0}")]
    Sales(#[source] Violation),
    /// The checkpoints cannot be read.
    #[error("the checkpoints cannot be read: {0}")]
    Checkpoints(#[source] CheckpointError),
    /// The order store cannot be read.
    #[error("the order store cannot be read: {0}")]
    Orders(#[source] StoreError),
    /// The runtime stopped before the journal was read.
    #[error("recovery was cut short")]
    CutShort,
}

/// What a shard lacks that the journal's retired records could be replaced by.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Lack {
    /// The checkpoint is too old or missing, and the order store is not asked while the engine runs.
    #[error("the checkpoint does not reach it")]
    Checkpoint,
    /// The order store does not hold all that was retired.
    #[error("the order store only reaches record {stored_seq}")]
    Progress {
        /// The last record up to which it holds all.
        stored_seq: u64,
    },
    /// The order store lacks a record that it has set aside: its units would be sold once more.
    #[error(
        "record {seq} is a dead letter of the order store, to be mended and replayed with \
         `seckill dead-letters`: {reason}"
    )]
    DeadLetter {
        /// The record's sequence number.
        seq: u64,
        /// What it contradicted, in words.
        reason: String,
    },
    /// The order store holds an order ahead of its own progress.
    #[error(
        "order {order_id} is stored as of record {version}, ahead of the store's progress \
         {stored_seq}"
    )]
    OrderAhead {
        /// The order's id.
        order_id: OrderId,
        /// The record that its row is made of.
        version: u64,
        /// The last record up to which the order store holds all.
        stored_seq: u64,
    },
}

/// The shards as they were, and the journal to go on with.
pub(in crate::actors) struct Recovered<L> {
    pub(in crate::actors) stocks: Vec<Stock>,
    pub(in crate::actors) journal: Replayed<L>,
    /// What each shard's checkpoint holds.
    pub(in crate::actors) marks: Vec<Option<Mark>>,
}

impl From<OwnershipError> for RecoveryError {
    fn from(error: OwnershipError) -> Self {
        match error {
            OwnershipError::Store(error) => Self::Orders(error),
            error => Self::ForeignOrders(error),
        }
    }
}

/// Checkpoints loaded at the same time: a store that takes its time is waited for once, not for each
/// shard.
const LOADS_MAX: usize = 16;

/// Recovers all shards of a journal.
pub(in crate::actors) async fn recover<O: OpenedLog>(
    journal_id: JournalId,
    opened: O,
    checkpoints: &CheckpointStore,
    orders: &OrderStore,
    shards: u16,
) -> Result<Recovered<O::Log>, RecoveryError> {
    let base = opened.base()?;
    let (mut stocks, mut marks) = load_checkpoints(checkpoints, shards).await?;
    let lacking: Vec<ShardId> = stocks
        .iter()
        .filter(|stock| stock.seq() < base.get(stock.shard().index()).copied().unwrap_or(0))
        .map(Stock::shard)
        .collect();
    if !lacking.is_empty() {
        tracing::warn!(shards = lacking.len(), "rebuilding shards from the order store");
        // Another order store may be away.
        let orders = orders.holding(&lacking);
        ownership::check_owner(&orders, journal_id).await?;
        for stock in from_orders(&orders, &lacking, &base).await? {
            let index = stock.shard().index();
            marks[index] = None;
            stocks[index] = stock;
        }
    }
    let replayed = tokio::task::spawn_blocking(move || replay(opened, stocks, processors()));
    let (stocks, journal) = replayed.await.map_err(|_| RecoveryError::CutShort)??;
    for (stock, mark) in stocks.iter().zip(&marks) {
        let journal_seq = journal.seqs[stock.shard().index()];
        if let Some(mark) = mark
            && (stock.seq() > journal_seq || mark.epoch > journal.last_epoch)
        {
            return Err(RecoveryError::CheckpointAhead {
                shard: stock.shard(),
                checkpoint_seq: mark.seq,
                checkpoint_epoch: mark.epoch,
                journal_seq,
                journal_epoch: journal.last_epoch,
            });
        }
    }
    Ok(Recovered { stocks, journal, marks })
}

/// Each shard as its checkpoint has it, and what that holds; empty where there is none that can be
/// used.
async fn load_checkpoints(
    checkpoints: &CheckpointStore,
    shards: u16,
) -> Result<(Vec<Stock>, Vec<Option<Mark>>), RecoveryError> {
    let mut stocks = Vec::with_capacity(usize::from(shards));
    let mut marks = Vec::with_capacity(usize::from(shards));
    let reachable = AtomicBool::new(true);
    let mut tells = true;
    let load = async |shard| {
        // A store that does not answer is not waited for once more for each shard.
        if !reachable.load(Ordering::Relaxed) {
            return (shard, Ok(None));
        }
        let loaded = from_checkpoint(checkpoints, shard).await;
        if matches!(loaded, Err(CheckpointError::Unavailable(_))) {
            reachable.store(false, Ordering::Relaxed);
        }
        (shard, loaded)
    };
    let mut loads = pin!(stream::iter((0..shards).map(ShardId)).map(load).buffered(LOADS_MAX));
    while let Some((shard, loaded)) = loads.next().await {
        if let Err(foreign @ CheckpointError::Foreign { .. }) = loaded {
            return Err(RecoveryError::ForeignCheckpoint(foreign));
        }
        let loaded = match loaded {
            // Of one that does not answer once is enough, however many shards asked.
            Err(error @ CheckpointError::Unavailable(_)) if std::mem::take(&mut tells) => {
                Err(error)
            }
            Err(CheckpointError::Unavailable(_)) => Ok(None),
            loaded => loaded,
        };
        let (stock, mark) = or_empty(shard, loaded);
        stocks.push(stock);
        marks.push(mark);
    }
    Ok((stocks, marks))
}

/// The state of one shard while the others go on. Everything handed to the journal for it is
/// durable.
pub(in crate::actors) async fn rebuild(
    checkpoints: &CheckpointStore,
    journal: &Arc<Journal<Effect>>,
    shard: ShardId,
) -> Result<Stock, RecoveryError> {
    let (mut stock, _) = or_empty(shard, from_checkpoint(checkpoints, shard).await);
    let base_seq = journal.base_seq(shard);
    if stock.seq() < base_seq {
        return Err(RecoveryError::NothingBeneath { shard, base_seq, lack: Lack::Checkpoint });
    }
    let (journal, runtime) = (Arc::clone(journal), Handle::current());
    // Reading may take its time, which the other shards' thread does not have.
    let replayed = tokio::task::spawn_blocking(move || {
        let after = stock.seq();
        let replayed = journal.replay(shard, after, |found| Ok(stock.apply(found)?));
        runtime.block_on(replayed).map(|()| stock)
    });
    Ok(replayed.await.map_err(|_| RecoveryError::CutShort)??)
}

/// A shard that was claimed from a log that several nodes share.
pub(in crate::actors) struct TakenOver {
    /// Its state, up to the claim's head.
    pub(in crate::actors) stock: Stock,
    /// What its checkpoint holds, if that was used.
    pub(in crate::actors) mark: Option<Mark>,
    /// Where each batch of its log behind the base ends.
    pub(in crate::actors) ends: Vec<BatchEnd>,
}

/// Recovers the shard of a claim. Nothing is changed that is stored.
pub(in crate::actors) async fn take_over(
    journal_id: JournalId,
    log: Arc<impl FencedLog>,
    claim: &Claim,
    checkpoints: &CheckpointStore,
    orders: &OrderStore,
) -> Result<TakenOver, RecoveryError> {
    let (shard, base_seq) = (claim.shard, claim.base.seq);
    let loaded = from_checkpoint(checkpoints, shard).await;
    if let Err(foreign @ CheckpointError::Foreign { .. }) = loaded {
        return Err(RecoveryError::ForeignCheckpoint(foreign));
    }
    let (mut stock, mut mark) = or_empty(shard, loaded);
    if let Some(ahead) = mark.filter(|mark| mark.seq > claim.head.seq || mark.epoch > claim.epoch) {
        return Err(RecoveryError::CheckpointAhead {
            shard,
            checkpoint_seq: ahead.seq,
            checkpoint_epoch: ahead.epoch,
            journal_seq: claim.head.seq,
            journal_epoch: claim.epoch,
        });
    }
    if stock.seq() < base_seq {
        tracing::warn!(%shard, "rebuilding the shard from the order store");
        let orders = orders.holding(&[shard]);
        ownership::check_owner(&orders, journal_id).await?;
        let mut base = vec![0; shard.index() + 1];
        base[shard.index()] = base_seq;
        for rebuilt in from_orders(&orders, &[shard], &base).await? {
            (stock, mark) = (rebuilt, None);
        }
    }
    let (claim, runtime) = (claim.clone(), Handle::current());
    // Reading may take its time, which the other shards' thread does not have.
    let replayed = tokio::task::spawn_blocking(move || {
        let after = stock.seq();
        let replayed = fenced::replay(&*log, &claim, after, |found| Ok(stock.apply(found)?));
        runtime.block_on(replayed).map(|ends| (stock, ends))
    });
    let (stock, ends) = replayed.await.map_err(|_| RecoveryError::CutShort)??;
    Ok(TakenOver { stock, mark, ends })
}

/// The shard as its checkpoint has it, if there is one.
pub(super) async fn from_checkpoint(
    checkpoints: &CheckpointStore,
    shard: ShardId,
) -> Result<Option<(Stock, Mark)>, CheckpointError> {
    let Some((mark, snapshot)) = checkpoints.load(shard).await? else { return Ok(None) };
    let stock = Stock::restore(shard, snapshot)
        .map_err(|violation| CheckpointError::Corrupt(violation.to_string()))?;
    Ok(Some((stock, mark)))
}

/// The shard as its checkpoint had it; without one that can be used, as it was before its first
/// record.
fn or_empty(
    shard: ShardId,
    loaded: Result<Option<(Stock, Mark)>, CheckpointError>,
) -> (Stock, Option<Mark>) {
    match loaded {
        Ok(Some((stock, mark))) => (stock, Some(mark)),
        Ok(None) => (Stock::new(shard), None),
        Err(error) => {
            tracing::warn!(%shard, %error, "recovering without the checkpoint, from the journal alone");
            (Stock::new(shard), None)
        }
    }
}

/// The states of `shards` as the order store has them.
pub(super) async fn from_orders(
    orders: &OrderStore,
    shards: &[ShardId],
    base: &[u64],
) -> Result<Vec<Stock>, RecoveryError> {
    let progress: HashMap<ShardId, u64> =
        orders.progress().await.map_err(RecoveryError::Orders)?.into_iter().collect();
    let items = orders.items().await.map_err(RecoveryError::Orders)?;
    let set_aside = orders.set_aside(usize::MAX).await.map_err(RecoveryError::Orders)?;
    let mut rows = rows_of(orders, shards).await.map_err(RecoveryError::Orders)?;
    let payments = orders.payments_by_order(|shard| shards.contains(&shard)).await;
    let payments = payments.map_err(RecoveryError::Orders)?;
    let mut stocks = Vec::with_capacity(shards.len());
    for shard in shards.iter().copied() {
        let seq = progress.get(&shard).copied().unwrap_or(0);
        let rows = rows.remove(&shard).unwrap_or_default();
        let base_seq = base.get(shard.index()).copied().unwrap_or(0);
        if let Some(lack) = lack_of(shard, base_seq, seq, &set_aside, (rows.as_slice(), &payments))
        {
            return Err(RecoveryError::NothingBeneath { shard, base_seq, lack });
        }
        stocks.push(from_rows(shard, seq, &items, &rows, &payments)?);
    }
    Ok(stocks)
}

/// All orders of `shards` that the order store holds.
async fn rows_of(
    orders: &OrderStore,
    shards: &[ShardId],
) -> Result<HashMap<ShardId, Vec<StoredOrder>>, StoreError> {
    const PAGE: usize = 10_000;
    let mut rows: HashMap<ShardId, Vec<StoredOrder>> = HashMap::new();
    let mut after = OrderId(0);
    loop {
        let page = orders.scan(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(rows) };
        after = last.order.order_id;
        for row in page {
            let shard = row.order.order_id.shard();
            if shards.contains(&shard) {
                rows.entry(shard).or_default().push(row);
            }
        }
    }
}

/// What the order store lacks of a shard of which the journal has retired all up to `base_seq`.
fn lack_of(
    shard: ShardId,
    base_seq: u64,
    stored_seq: u64,
    set_aside: &[SetAside],
    (rows, payments): (&[StoredOrder], &PaymentRows),
) -> Option<Lack> {
    if stored_seq < base_seq {
        return Some(Lack::Progress { stored_seq });
    }
    if let Some(SetAside { record, reason }) =
        set_aside.iter().find(|set_aside| set_aside.record.shard == shard)
    {
        return Some(Lack::DeadLetter { seq: record.seq, reason: reason.clone() });
    }
    let mut versions = rows.iter().map(|row| (row.order.order_id, last_version(row, payments)));
    let (order_id, version) = versions.find(|(_, version)| *version > stored_seq)?;
    Some(Lack::OrderAhead { order_id, version, stored_seq })
}

/// The last record of an order or of one of its payments.
fn last_version(row: &StoredOrder, payments: &PaymentRows) -> u64 {
    let own = payments.get(&row.order.order_id).into_iter().flatten();
    own.map(|payment| payment.version).fold(row.version, u64::max)
}

/// A shard's state as of record `seq`, made of the order store's items, orders and payments.
fn from_rows(
    shard: ShardId,
    seq: u64,
    items: &[StoredItem],
    rows: &[StoredOrder],
    payments: &PaymentRows,
) -> Result<Stock, RecoveryError> {
    let own = || items.iter().filter(|item| item.shard == shard);
    let at = own().map(|item| item.last_at).max().unwrap_or(Timestamp(0));
    let items: Vec<ItemState> = own()
        .filter(|item| item.opened_seq <= seq)
        .map(|item| ItemState {
            terms: item.terms.clone(),
            phase: item.phase,
            counters: ItemCounters {
                allotted: item.allotted,
                available: item.allotted,
                reserved: 0,
                sold: 0,
            },
            admission: item.admission,
            settled: item.settled,
            exchange: item.exchange.clone(),
            last_seq: item.last_seq,
            operations: item.operations.clone(),
        })
        .collect();
    let orders = rows.iter().map(|row| (row.order, row.version));
    let paid = rows.iter().filter_map(|row| {
        let own = payments.get(&row.order.order_id)?.iter();
        let own = own.map(|stored| stored.payment.clone()).collect();
        let paid = OrderPayments { order: row.order, payments: own };
        Some((paid, last_version(row, payments)))
    });
    Stock::from_order_store(shard, seq, at, items, orders, paid).map_err(RecoveryError::Sales)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::orders::Conflicts;
    use domain::{
        Currency, Event, ItemId, Order, OrderId, OrderStatus, Record, RequestId, SaleId, UserId,
    };

    const SHARD: ShardId = ShardId(1);

    /// A record of the one order there is.
    fn record(seq: u64, amount: u64) -> Record {
        let order = Order {
            order_id: OrderId::next(OrderId(0), SHARD, Timestamp(1_790_000_000_000)),
            item_id: ItemId(7),
            sale_id: SaleId(3),
            user_id: UserId(1),
            request_id: RequestId(1),
            attempt: 1,
            quantity: 1,
            amount,
            currency: Currency::parse("CNY").expect("a code"),
            status: OrderStatus::Reserved,
            expires_at: Timestamp(1_790_000_600_000),
        };
        Record { shard: SHARD, seq, at: Timestamp(0), event: Event::Order(order) }
    }

    #[tokio::test]
    async fn nothing_is_rebuilt_from_an_order_store_that_has_set_a_record_aside() {
        let directory = tempfile::tempdir().expect("a directory");
        let orders = OrderStore::open_sqlite(&directory.path().join("orders.db")).await;
        let orders = orders.expect("the order store");
        orders.migrate().await.expect("tables");
        for amount in [1, 2] {
            let records: Vec<Record> = (1..=5).map(|seq| record(seq, amount)).collect();
            orders.apply(&records, &[(SHARD, 5)], Conflicts::Kept).await.expect("applied");
        }
        let error = from_orders(&orders, &[SHARD], &[0, 3]).await.expect_err("refused");
        assert!(error.to_string().contains("is a dead letter"), "{error}");
        // The other shards are whole.
        assert!(from_orders(&orders, &[ShardId(0)], &[0, 3]).await.is_ok());
    }
}
