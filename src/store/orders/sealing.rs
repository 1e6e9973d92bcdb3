//! Seals of what a version without them has stored. Must not know how a seal is summed up.

use super::progress::{Sealed, ShardProgress};
use super::seal::Seal;
use super::tables::{OrderTables, SCAN_ROWS_MAX};
use crate::store::database::StoreError;
use domain::{OrderId, ShardId};
use std::collections::HashMap;

impl OrderTables {
    /// Seals the shards of which a version stored records that kept no seals, by the rows that there
    /// are. A shard with rows beyond its progress, or of which more is stored meanwhile, is left for the
    /// next time.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn seal_what_is_stored(&self) -> Result<(), StoreError> {
        let mut unsealed = self.shard_progress().await?;
        unsealed.retain(|progress| progress.sealed.is_none());
        if unsealed.is_empty() {
            return Ok(());
        }
        tracing::info!(shards = unsealed.len(), "sealing what is in the order store");
        let is_unsealed = |shard| unsealed.iter().any(|progress| progress.shard == shard);
        let payments = self.payments_by_order(is_unsealed).await?;
        let mut found: HashMap<ShardId, (u64, Seal)> = HashMap::new();
        let mut after = OrderId(0);
        loop {
            let page = self.scan(after, SCAN_ROWS_MAX).await?;
            let Some(last) = page.last() else { break };
            after = last.order.order_id;
            for row in page {
                let order_id = row.order.order_id;
                let payments = payments.get(&order_id).map_or(&[][..], Vec::as_slice);
                let (seq, seal) = found.entry(order_id.shard()).or_default();
                let last = payments.iter().map(|row| row.version).fold(row.version, u64::max);
                *seq = last.max(*seq);
                *seal += Seal::of_order(&row.order, payments.iter().map(|row| &row.payment));
            }
        }
        for record in self.item_records().await? {
            let (seq, seal) = found.entry(record.shard).or_default();
            *seq = record.seq.max(*seq);
            *seal += Seal::of_record(&record);
        }
        for progress in unsealed {
            let (seq, seal) = found.get(&progress.shard).copied().unwrap_or_default();
            if seq <= progress.applied_seq {
                let sealed = Sealed { seq: progress.applied_seq, seal, conflicts: 0 };
                let sealed = ShardProgress { sealed: Some(sealed), ..progress };
                match self {
                    Self::Sqlite(store) => store.seal(sealed).await?,
                    Self::MySql(store) => store.seal(sealed).await?,
                }
            }
        }
        Ok(())
    }
}
