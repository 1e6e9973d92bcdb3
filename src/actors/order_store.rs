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
        ownership::own_progress(orders, context.journal_id, || self.judged_seqs()).await
    }

    /// Checks that the order store is this engine's and holds all that was deleted from the journal.
    ///
    /// # Errors
    /// Returns [`OwnershipError`] as [`Self::stored_progress`] does, or if the store lacks some of it.
    pub async fn check_order_store(&self, orders: &OrderStore) -> Result<(), OwnershipError> {
        let context = self.context();
        let (durable, base) = (self.judged_seqs(), context.journal.base_seqs());
        ownership::check(orders, context.journal_id, &durable, &base).await?;
        self.stored_progress(orders).await.map(drop)
    }

    /// Each shard's last record that the order store may hold: any of a shard that is not served here.
    fn judged_seqs(&self) -> Vec<u64> {
        let journal = &self.context().journal;
        let durable = (0..).map(ShardId).zip(journal.durable_seqs());
        let judged = |(shard, seq)| journal.owner(shard).map_or(u64::MAX, |_| seq);
        durable.map(judged).collect()
    }

    /// What [`Self::stored_progress`] returns, as each shard's last record: 0 where there is none, also of a
    /// shard that none of these stores holds.
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
