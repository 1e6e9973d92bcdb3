//! A journal begun anew where the old one is lost: from what order store and checkpoints hold.
//!
//! Each shard begins behind the last record that the order store holds. Where its checkpoint is ahead,
//! what that knows besides is written down once more, as records with new numbers; so the order store
//! gets it from the new journal as it gets everything else. In the end every item that still sells is
//! paused: what was lost is for a person to judge. Must not know where the journal is written.

use super::recovery::{RecoveryError, from_checkpoint, from_orders};
use crate::store::checkpoint::{CheckpointError, CheckpointStore};
use crate::store::journal::JournalId;
use crate::store::orders::OrderStore;
use crate::store::orders::ownership;
use domain::stock::Violation;
use domain::{
    Event, ItemAction, ItemId, ItemPhase, Operation, Order, OrderStatus, Record, ShardId, Stock,
    Timestamp,
};

/// The shards as they begin anew.
#[derive(Debug)]
pub struct Renewal {
    /// Each shard, by number.
    pub shards: Vec<RenewedShard>,
    /// The last owner that wrote a checkpoint; the new journal's owner is above it (I15).
    pub last_epoch: u64,
}

/// A shard that begins anew.
#[derive(Debug)]
pub struct RenewedShard {
    /// Its state after the records.
    pub stock: Stock,
    /// The last record that the order store holds: the journal begins behind it.
    pub base_seq: u64,
    /// What the new journal begins with.
    pub records: Vec<Record>,
    /// How many of them the checkpoint alone knew.
    pub from_checkpoint: usize,
}

/// Makes the shards from the order store, and from the checkpoints that are ahead of it. Changes neither.
/// `now` is the wall clock's time.
///
/// # Errors
/// Returns [`RecoveryError`] if a store does not answer, is another journal's, or contradicts itself.
pub async fn renew(
    journal_id: JournalId,
    checkpoints: Option<&CheckpointStore>,
    orders: &OrderStore,
    shards: u16,
    now: Timestamp,
) -> Result<Renewal, RecoveryError> {
    ownership::check_owner(orders, journal_id).await?;
    let last_epoch = match checkpoints {
        None => 0,
        Some(checkpoints) => {
            let marks = checkpoints.marks(shards).await.map_err(refused)?;
            marks.iter().map(|(_, mark)| mark.epoch).max().unwrap_or(0)
        }
    };
    let all: Vec<ShardId> = (0..shards).map(ShardId).collect();
    let mut renewed = Vec::with_capacity(all.len());
    for stock in from_orders(orders, &all, &[]).await? {
        let newer = match checkpoints {
            None => None,
            Some(checkpoints) => newer_checkpoint(checkpoints, &stock).await?,
        };
        let shard = Writer::of(stock, now).finish(newer.as_ref());
        renewed.push(shard.map_err(RecoveryError::Sales)?);
    }
    Ok(Renewal { shards: renewed, last_epoch })
}

/// The shard as its checkpoint has it, if that is ahead of `stock`.
async fn newer_checkpoint(
    checkpoints: &CheckpointStore,
    stock: &Stock,
) -> Result<Option<Stock>, RecoveryError> {
    let shard = stock.shard();
    match from_checkpoint(checkpoints, shard).await {
        Ok(found) => Ok(found.map(|(newer, _)| newer).filter(|newer| newer.seq() > stock.seq())),
        Err(error @ CheckpointError::Corrupt(_)) => {
            tracing::warn!(%shard, %error, "beginning anew without the checkpoint");
            Ok(None)
        }
        Err(error) => Err(refused(error)),
    }
}

fn refused(error: CheckpointError) -> RecoveryError {
    match error {
        error @ CheckpointError::Foreign { .. } => RecoveryError::ForeignCheckpoint(error),
        error => RecoveryError::Checkpoints(error),
    }
}

/// Writes the records that lead a shard's state on.
struct Writer {
    stock: Stock,
    base_seq: u64,
    records: Vec<Record>,
    at: Timestamp,
}

impl Writer {
    fn of(stock: Stock, now: Timestamp) -> Self {
        let (base_seq, at) = (stock.seq(), now.max(stock.at()));
        Self { stock, base_seq, records: Vec::new(), at }
    }

    /// Leads on to `newer`, if there is one, and pauses what still sells; what has several buckets, it ends.
    fn finish(mut self, newer: Option<&Stock>) -> Result<RenewedShard, Violation> {
        if let Some(newer) = newer {
            self.at = self.at.max(newer.at());
            self.open_items(newer)?;
            for order in newer.orders() {
                self.follow(&order)?;
            }
            self.follow_phases(newer)?;
        }
        let from_checkpoint = self.records.len();
        let selling = self.stock.items().to_vec();
        for item in selling {
            let item_id = item.terms.item_id;
            match item.phase {
                _ if item.settled => {}
                ItemPhase::Ended => {}
                // Of units that were between its buckets each shard may know something else.
                _ if item.exchange.is_some() => self.operate(item_id, ItemAction::End)?,
                ItemPhase::Open => self.operate(item_id, ItemAction::Pause)?,
                ItemPhase::Paused => {}
            }
        }
        let Self { stock, base_seq, records, .. } = self;
        Ok(RenewedShard { stock, base_seq, records, from_checkpoint })
    }

    fn open_items(&mut self, newer: &Stock) -> Result<(), Violation> {
        for item in newer.items() {
            let item_id = item.terms.item_id;
            if self.stock.item(item_id).is_none() {
                self.write(Event::ItemOpened(item.terms.clone()))?;
            }
            let allotted = self.stock.item(item_id).map_or(0, |item| item.counters.allotted);
            let units = item.counters.allotted.saturating_sub(allotted);
            if units > 0 {
                self.operate(item_id, ItemAction::Restock(units))?;
            }
        }
        Ok(())
    }

    /// Leads an order on to its newer state, by the steps that a record has each.
    fn follow(&mut self, order: &Order) -> Result<(), Violation> {
        let mut known = self.stock.order(order.order_id).map(|order| order.status);
        if known.is_none() {
            self.write_order(order, OrderStatus::Reserved)?;
            known = Some(OrderStatus::Reserved);
        }
        if known == Some(OrderStatus::Reserved) && order.status == OrderStatus::RefundDue {
            self.write_order(order, OrderStatus::Expired)?;
        }
        if known != Some(order.status) {
            self.write_order(order, order.status)?;
        }
        Ok(())
    }

    /// Takes back, guards, ends and settles what the newer state has so. A pause comes anyway.
    fn follow_phases(&mut self, newer: &Stock) -> Result<(), Violation> {
        for item in newer.items() {
            let item_id = item.terms.item_id;
            let Some(own) = self.stock.item(item_id).cloned() else { continue };
            let units = own.counters.allotted.saturating_sub(item.counters.allotted);
            if units > 0 {
                self.operate(item_id, ItemAction::Reduce(units))?;
            }
            if item.admission != own.admission {
                self.operate(item_id, ItemAction::Admit(item.admission))?;
            }
            if item.phase == ItemPhase::Ended && own.phase != ItemPhase::Ended {
                self.operate(item_id, ItemAction::End)?;
            }
            if item.settled && !own.settled {
                self.write(Event::ItemSettled(item_id))?;
            }
        }
        Ok(())
    }

    fn operate(&mut self, item_id: ItemId, action: ItemAction) -> Result<(), Violation> {
        self.write(Event::ItemOperated(Operation::unattributed(item_id, action)))
    }

    fn write_order(&mut self, order: &Order, status: OrderStatus) -> Result<(), Violation> {
        self.write(Event::Order(Order { status, ..*order }))
    }

    fn write(&mut self, event: Event) -> Result<(), Violation> {
        let seq = self.stock.seq() + 1;
        let record = Record { shard: self.stock.shard(), seq, at: self.at, event };
        self.stock.apply(&record)?;
        self.records.push(record);
        Ok(())
    }
}
