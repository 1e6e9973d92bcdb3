//! What the order store holds, as an audit reads it.

use crate::store::database::StoreError;
use crate::store::orders::{OrderStore, Sealed, ShardProgress, StoredPayment};
use domain::{Order, OrderId, PaymentId, Record, ShardId};
use std::collections::{BTreeMap, HashMap};

/// What the order store holds.
pub(super) struct Stored {
    /// Each order, and the number of the record that its row was made of.
    pub(super) orders: HashMap<OrderId, (Order, u64)>,
    /// Each payment that is stored.
    pub(super) payments: BTreeMap<PaymentId, StoredPayment>,
    /// Each record of an item.
    pub(super) items: BTreeMap<(ShardId, u64), Record>,
    /// How far it was with each shard.
    pub(super) progress: BTreeMap<ShardId, u64>,
    /// What was sealed of each shard, where it was.
    pub(super) seals: BTreeMap<ShardId, Sealed>,
}

impl Stored {
    /// Reads all of it, its progress first.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the order store does not answer.
    pub(super) async fn read(orders: &OrderStore) -> Result<Self, StoreError> {
        const PAGE: usize = 10_000;
        let (mut progress, mut seals) = (BTreeMap::new(), BTreeMap::new());
        for ShardProgress { shard, applied_seq, sealed } in orders.shard_progress().await? {
            progress.insert(shard, applied_seq);
            // A shard that is being filled again is sealed beyond its progress.
            seals.extend(
                sealed.filter(|sealed| sealed.seq == applied_seq).map(|sealed| (shard, sealed)),
            );
        }
        let mut all = HashMap::new();
        let mut after = OrderId(0);
        loop {
            let page = orders.scan(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.order.order_id;
            all.extend(page.into_iter().map(|row| (row.order.order_id, (row.order, row.version))));
        }
        let mut payments: BTreeMap<PaymentId, StoredPayment> = BTreeMap::new();
        loop {
            let after = payments.last_key_value().map(|(id, _)| *id);
            let page = orders.scan_payments(after, PAGE).await?;
            if page.is_empty() {
                break;
            }
            payments.extend(page.into_iter().map(|row| (row.payment.id, row)));
        }
        let records = orders.item_records().await?.into_iter();
        let items = records.map(|record| ((record.shard, record.seq), record)).collect();
        Ok(Self { orders: all, payments, items, progress, seals })
    }

    /// The shard's last record that was stored when this was read.
    pub(super) fn reached(&self, shard: ShardId) -> u64 {
        self.progress.get(&shard).copied().unwrap_or(0)
    }

    /// The order's row, and the number of the record that it was made of.
    pub(super) fn row(&self, order_id: OrderId) -> Option<(&Order, u64)> {
        self.orders.get(&order_id).map(|(order, version)| (order, *version))
    }

    /// The order's payments, by ascending number.
    pub(super) fn payments_of(&self, order_id: OrderId) -> impl Iterator<Item = &StoredPayment> {
        let id = |number| PaymentId { order_id, number };
        self.payments.range(id(0)..=id(u16::MAX)).map(|(_, row)| row)
    }

    /// Each order as of its row.
    pub(super) fn orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values().map(|(order, _)| order)
    }
}
