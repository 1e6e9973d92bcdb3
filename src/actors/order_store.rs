//! What the engine believes of the order store: only what that says of itself, and only once it is known
//! to be filled from this engine's journal.

use super::engine::Engine;
use crate::store::orders::OrderStore;
use crate::store::orders::ownership::{self, OwnershipError};
use domain::ShardId;

impl Engine {
    /// How far the order store is with each shard's records, once it is known to be filled from this
    /// engine's journal. A new order store belongs to this journal from now on.
    ///
    /// # Errors
    /// Returns [`OwnershipError`] if it belongs to another journal, is ahead of this one, or cannot be
    /// read.
    pub async fn stored_progress(
        &self,
        orders: &OrderStore,
    ) -> Result<Vec<(ShardId, u64)>, OwnershipError> {
        let context = self.context();
        ownership::own_progress(orders, context.journal_id, || context.journal.durable_seqs()).await
    }

    /// Checks that the order store is this engine's and holds all that was deleted from the journal.
    ///
    /// # Errors
    /// Returns [`OwnershipError`] as [`Self::stored_progress`] does, or if the store lacks some of it.
    pub async fn check_order_store(&self, orders: &OrderStore) -> Result<(), OwnershipError> {
        let stored_seqs = self.stored_seqs(orders).await?;
        let base_seqs = self.context().journal.base_seqs();
        for (shard, (stored_seq, base_seq)) in
            (0..).map(ShardId).zip(stored_seqs.into_iter().zip(base_seqs))
        {
            if stored_seq < base_seq {
                return Err(OwnershipError::Behind { shard, stored_seq, base_seq });
            }
        }
        Ok(())
    }

    /// What [`Self::stored_progress`] returns, as each shard's last record: 0 where there is none.
    ///
    /// # Errors
    /// Returns [`OwnershipError`] as [`Self::stored_progress`] does.
    pub(super) async fn stored_seqs(
        &self,
        orders: &OrderStore,
    ) -> Result<Vec<u64>, OwnershipError> {
        let mut seqs = vec![0; self.context().router.shards().count()];
        for (shard, seq) in self.stored_progress(orders).await? {
            if let Some(own) = seqs.get_mut(shard.index()) {
                *own = seq;
            }
        }
        Ok(seqs)
    }
}
