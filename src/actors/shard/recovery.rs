//! From what is on disk to the shards' state: checkpoint, then the journal behind it.
//!
//! A checkpoint that is missing, old or damaged makes this slower, never wrong. Where older segments
//! were deleted and no checkpoint reaches up to what is left, the order store gives the state back;
//! rule 13 saw to it that it can. A checkpoint ahead of the journal means that the journal has lost
//! what was confirmed: then nothing starts. Nor does it where checkpoint or order store were made from
//! another journal: what is theirs would be sold as ours.

use super::effects::Effect;
use crate::store::checkpoint::{CheckpointError, CheckpointStore, Mark};
use crate::store::database::StoreError;
use crate::store::journal::disk::Disk;
use crate::store::journal::{self, Journal, JournalId, Position, ReadError, Resumption, record};
use crate::store::orders::ownership::{self, OwnershipError};
use crate::store::orders::{OrderStore, SetAside, StoredOrder};
use domain::stock::{ItemState, Violation};
use domain::{ItemCounters, ShardId, Stock, Timestamp};
use futures_util::{StreamExt, stream};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why the engine cannot start, or a shard not be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] ReadError),
    /// The journal's torn tail cannot be cut.
    #[error("the journal's torn tail cannot be cut: {0}")]
    Cut(#[source] io::Error),
    /// A checkpoint and the journal contradict each other.
    #[error(
        "the checkpoint of shard {shard} is at record {checkpoint_seq} of owner {checkpoint_epoch}, \
         but the journal ends at record {journal_seq} of owner {journal_epoch}: the journal has \
         lost records, or the checkpoint is of other data"
    )]
    CheckpointAhead {
        /// Whose.
        shard: ShardId,
        /// Where the checkpoint is.
        checkpoint_seq: u64,
        /// Who wrote it.
        checkpoint_epoch: u64,
        /// Where the journal ends.
        journal_seq: u64,
        /// Who wrote that.
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
        "shard {shard}: the journal starts behind record {base_seq}, and {reason}; bring the \
         checkpoint store or the order store back"
    )]
    NothingBeneath {
        /// Whose.
        shard: ShardId,
        /// Where the journal starts.
        base_seq: u64,
        /// What is missing.
        reason: String,
    },
    /// The state that a store gave back contradicts itself.
    #[error("what the order store gave back contradicts itself: {0}")]
    Sales(#[source] Violation),
    /// The order store cannot be read.
    #[error("the order store cannot be read: {0}")]
    Orders(#[source] StoreError),
    /// The work was cut short.
    #[error("recovery was cut short")]
    CutShort,
}

/// The shards as they were, and where the journal goes on.
pub(in crate::actors) struct Recovered {
    pub(in crate::actors) stocks: Vec<Stock>,
    pub(in crate::actors) resumption: Resumption,
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

/// Recovers all shards of the journal on `disk`.
pub(in crate::actors) async fn recover(
    journal_id: JournalId,
    disk: Arc<dyn Disk>,
    checkpoints: &CheckpointStore,
    orders: &OrderStore,
    shards: u16,
) -> Result<Recovered, RecoveryError> {
    let base = journal::base(disk.as_ref())?;
    let mut stocks = Vec::with_capacity(usize::from(shards));
    let mut marks = Vec::with_capacity(usize::from(shards));
    let reachable = AtomicBool::new(true);
    let load = async |shard| {
        // Nobody waits once more, for each shard, for a store that does not answer.
        if !reachable.load(Ordering::Relaxed) {
            return (shard, Ok(None));
        }
        let kept = from_checkpoint(checkpoints, shard).await;
        if matches!(kept, Err(CheckpointError::Unavailable(_))) {
            reachable.store(false, Ordering::Relaxed);
        }
        (shard, kept)
    };
    let mut loads = pin!(stream::iter((0..shards).map(ShardId)).map(load).buffered(LOADS_MAX));
    while let Some((shard, kept)) = loads.next().await {
        if let Err(foreign @ CheckpointError::Foreign { .. }) = kept {
            return Err(RecoveryError::ForeignCheckpoint(foreign));
        }
        let (stock, mark) = or_empty(shard, kept);
        stocks.push(stock);
        marks.push(mark);
    }
    let lacking: Vec<ShardId> = stocks
        .iter()
        .filter(|stock| stock.seq() < base.get(stock.shard().index()).copied().unwrap_or(0))
        .map(Stock::shard)
        .collect();
    if !lacking.is_empty() {
        tracing::warn!(shards = lacking.len(), "rebuilding shards from the order store");
        ownership::check_owner(orders, journal_id).await?;
        for stock in from_orders(orders, &lacking, &base).await? {
            let index = stock.shard().index();
            marks[index] = None;
            stocks[index] = stock;
        }
    }
    let replayed = tokio::task::spawn_blocking(move || replay(disk.as_ref(), stocks, &base));
    let (stocks, resumption) = replayed.await.map_err(|_| RecoveryError::CutShort)??;
    for (stock, mark) in stocks.iter().zip(&marks) {
        let journal_seq = resumption.seqs[stock.shard().index()];
        let journal_epoch = resumption.scan.last.epoch;
        if let Some(mark) = mark
            && (stock.seq() > journal_seq || mark.epoch > journal_epoch)
        {
            return Err(RecoveryError::CheckpointAhead {
                shard: stock.shard(),
                checkpoint_seq: mark.seq,
                checkpoint_epoch: mark.epoch,
                journal_seq,
                journal_epoch,
            });
        }
    }
    Ok(Recovered { stocks, resumption, marks })
}

/// The state of one shard while the others go on. Everything handed to the journal for it is
/// durable.
pub(in crate::actors) async fn rebuild(
    checkpoints: &CheckpointStore,
    journal: &Journal<Effect>,
    shard: ShardId,
) -> Result<Stock, RecoveryError> {
    let end = journal.durable_end();
    let mut tail = journal.follow(Position { segment: journal.oldest_segment(), offset: 0 });
    let base = journal::base(journal.disk().as_ref())?.get(shard.index()).copied().unwrap_or(0);
    let (mut stock, _) = or_empty(shard, from_checkpoint(checkpoints, shard).await);
    if stock.seq() < base {
        let reason = "the checkpoint does not reach it".to_owned();
        return Err(RecoveryError::NothingBeneath { shard, base_seq: base, reason });
    }
    let replayed = tokio::task::spawn_blocking(move || {
        while let Some(payload) = tail.next(end)? {
            apply_payload(payload, |found| {
                if found.shard == shard && found.seq > stock.seq() {
                    stock.apply(found).map_err(|violation| violation.to_string())?;
                }
                Ok(())
            })
            .map_err(|detail| ReadError::Refused {
                file: journal::segment_name(tail.position().segment),
                offset: tail.position().offset,
                detail,
            })?;
        }
        Ok::<Stock, ReadError>(stock)
    });
    Ok(replayed.await.map_err(|_| RecoveryError::CutShort)??)
}

/// The shard as its checkpoint has it, if there is one.
async fn from_checkpoint(
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
    kept: Result<Option<(Stock, Mark)>, CheckpointError>,
) -> (Stock, Option<Mark>) {
    match kept {
        Ok(Some((stock, mark))) => (stock, Some(mark)),
        Ok(None) => (Stock::new(shard), None),
        Err(error) => {
            tracing::warn!(%shard, %error, "recovering without the checkpoint, from the journal alone");
            (Stock::new(shard), None)
        }
    }
}

fn replay(
    disk: &dyn Disk,
    mut stocks: Vec<Stock>,
    base: &[u64],
) -> Result<(Vec<Stock>, Resumption), RecoveryError> {
    let mut seqs = base.to_vec();
    seqs.resize(stocks.len().max(seqs.len()), 0);
    let mut sealed: VecDeque<(u64, Vec<u64>)> = VecDeque::new();
    let mut segment = 0;
    let mut scan = journal::scan(disk, |position, _, payload| {
        if segment != 0 && position.segment != segment {
            sealed.push_back((segment, seqs.clone()));
        }
        segment = position.segment;
        apply_payload(payload, |found| {
            let Some(stock) = stocks.get_mut(found.shard.index()) else {
                return Err(format!(
                    "a record of shard {}, but only {} shards are configured: raise engine.shards",
                    found.shard,
                    stocks.len()
                ));
            };
            if found.seq > stock.seq() {
                stock.apply(found).map_err(|violation| violation.to_string())?;
            }
            seqs[found.shard.index()] = found.seq;
            Ok(())
        })
    })?;
    if let Some(torn) = &scan.torn {
        tracing::warn!(
            file = journal::segment_name(torn.position.segment),
            offset = torn.position.offset,
            bytes = torn.bytes,
            "cutting the journal's torn tail: a batch that a crash interrupted and nobody was told of"
        );
    }
    // The last segment may have a header and no whole frame yet.
    if segment != 0 && scan.end.segment != segment {
        sealed.push_back((segment, seqs.clone()));
    }
    journal::cut_torn_tail(disk, &mut scan).map_err(RecoveryError::Cut)?;
    seqs.truncate(stocks.len());
    seqs.resize(stocks.len(), 0);
    Ok((stocks, Resumption { scan, seqs, sealed }))
}

fn apply_payload(
    mut payload: &[u8],
    mut apply: impl FnMut(&domain::Record) -> Result<(), String>,
) -> Result<(), String> {
    while !payload.is_empty() {
        let found = record::decode(&mut payload).map_err(|error| error.to_string())?;
        apply(&found)?;
    }
    Ok(())
}

/// The states of `shards` as the order store has them.
async fn from_orders(
    orders: &OrderStore,
    shards: &[ShardId],
    base: &[u64],
) -> Result<Vec<Stock>, RecoveryError> {
    const PAGE: usize = 10_000;
    let progress: HashMap<ShardId, u64> =
        orders.progress().await.map_err(RecoveryError::Orders)?.into_iter().collect();
    let stored_items = orders.items().await.map_err(RecoveryError::Orders)?;
    let set_aside = orders.set_aside(usize::MAX).await.map_err(RecoveryError::Orders)?;
    let mut rows: HashMap<ShardId, Vec<StoredOrder>> = HashMap::new();
    let mut after = domain::OrderId(0);
    loop {
        let page = orders.scan(after, PAGE).await.map_err(RecoveryError::Orders)?;
        let Some(last) = page.last() else { break };
        after = last.order.order_id;
        for row in page {
            let shard = row.order.order_id.shard();
            if shards.contains(&shard) {
                rows.entry(shard).or_default().push(row);
            }
        }
    }
    let mut stocks = Vec::with_capacity(shards.len());
    for shard in shards.iter().copied() {
        let seq = progress.get(&shard).copied().unwrap_or(0);
        let base_seq = base.get(shard.index()).copied().unwrap_or(0);
        let lacks = |reason: String| RecoveryError::NothingBeneath { shard, base_seq, reason };
        if seq < base_seq {
            return Err(lacks(format!("the order store only reaches record {seq}")));
        }
        // Its stock would be sold once more.
        if let Some(SetAside { record, reason }) =
            set_aside.iter().find(|set_aside| set_aside.record.shard == shard)
        {
            return Err(lacks(format!(
                "record {} is a dead letter of the order store, to be mended and replayed with \
                 `seckill dead-envelopes`: {reason}",
                record.seq
            )));
        }
        let rows = rows.remove(&shard).unwrap_or_default();
        if let Some(ahead) = rows.iter().find(|row| row.version > seq) {
            return Err(lacks(format!(
                "order {} is stored as of record {}, ahead of the store's progress {seq}",
                ahead.order.order_id, ahead.version
            )));
        }
        let items: Vec<ItemState> = stored_items
            .iter()
            .filter(|item| item.shard == shard && item.opened_seq <= seq)
            .map(|item| ItemState {
                terms: item.terms.clone(),
                phase: item.phase,
                counters: ItemCounters {
                    allotted: item.allotted,
                    available: item.allotted,
                    reserved: 0,
                    sold: 0,
                },
                settled: item.settled,
                last_seq: item.last_seq,
            })
            .collect();
        let at = stored_items.iter().filter(|item| item.shard == shard).map(|item| item.last_at);
        let at = at.max().unwrap_or(Timestamp(0));
        let orders = rows.iter().map(|row| (row.order, row.version));
        stocks.push(
            Stock::from_order_store(shard, seq, at, items, orders).map_err(RecoveryError::Sales)?,
        );
    }
    Ok(stocks)
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
            let records = [record(5, amount)];
            orders.apply(&records, &[(SHARD, 5)], Conflicts::Kept).await.expect("applied");
        }
        let error = from_orders(&orders, &[SHARD], &[0, 3]).await.expect_err("refused");
        assert!(error.to_string().contains("and record 5 is a dead letter"), "{error}");
        // The other shards are whole.
        assert!(from_orders(&orders, &[ShardId(0)], &[0, 3]).await.is_ok());
    }
}
