//! Shards on their way from one node to another: claimed, recovered and served; or shut and given back.
//!
//! A claim comes first, and nothing older can land from then on. What is behind it is read once, checked,
//! and served. A shard that cannot be recovered is given back, and stays shut until some node can. Must not
//! decide which shard moves.

use crate::actors::engine::Engine;
use crate::actors::moving::{ArrivedShard, Departure};
use crate::actors::shard::{RecoveryError, TakenOver, take_over};
use crate::store::checkpoint::CheckpointStore;
use crate::store::journal::fenced::{Claim, ClaimError, FencedLog, LogError, OwnedShards, Session};
use crate::store::orders::OrderStore;
use crate::store::orders::ownership::{self, OwnershipError};
use crate::telemetry::metrics::SHARD_TAKEOVERS_TOTAL;
use domain::ShardId;
use std::sync::Arc;
use std::time::Duration;

/// Why a shard was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// It was not claimed.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// It was claimed, cannot be recovered here, and was given back.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// It was claimed and given back, because the clock of this node is wrong, or the last owner's was.
    #[error(
        "shard {shard}: its newest record was made {ahead_milliseconds} ms after what this node's clock says"
    )]
    ClockBehind {
        /// The shard that was claimed.
        shard: ShardId,
        /// How far its newest record is ahead.
        ahead_milliseconds: u64,
    },
}

/// What moves shards to an engine and away from it. One shard moves at a time in each direction; the same
/// shard is not moved twice at once.
pub struct Takeover<L> {
    /// The engine that serves them.
    pub engine: Engine,
    /// The log that they are claimed from,
    pub log: Arc<L>,
    /// and the part of it that this node owns, as the journal's committer sees it.
    pub owned: Arc<OwnedShards>,
    /// Where checkpoints are found.
    pub checkpoints: CheckpointStore,
    /// What a shard is rebuilt from whose checkpoint is gone.
    pub orders: OrderStore,
    /// How far a shard's newest record may be ahead of this node's clock.
    pub clock_ahead_max: Duration,
}

impl<L: FencedLog> Takeover<L> {
    /// Makes a shard this node's that nobody owns, recovers it and serves it.
    ///
    /// # Errors
    /// Returns [`TakeoverError`] if it is another node's, or cannot be served here.
    pub async fn take(&self, session: &Session, shard: ShardId) -> Result<(), TakeoverError> {
        let claim = self.log.claim(session, shard).await?;
        match self.recover(&claim).await {
            Ok(TakenOver { stock, mark, ends }) => {
                let epoch = claim.epoch;
                self.owned.open(claim, ends);
                self.engine.open_shard(ArrivedShard { stock, epoch, mark }).await;
                metrics::counter!(SHARD_TAKEOVERS_TOTAL).increment(1);
                tracing::info!(%shard, epoch, "the shard is served here now");
                Ok(())
            }
            Err(error) => {
                if let Err(error) = self.log.release(&claim).await {
                    tracing::warn!(%shard, %error, "the shard could not be given back");
                }
                Err(error)
            }
        }
    }

    /// Gives a shard away that is served here: another node may claim it once this returns.
    ///
    /// # Errors
    /// Returns [`LogError`] if it is not known whether the log has taken it back: it stays this session's
    /// of record until that ends, or until it is claimed again.
    pub async fn hand_over(&self, shard: ShardId) -> Result<(), LogError> {
        self.engine.shut_shard(shard, Departure::HandedOver).await;
        match self.owned.shut(shard) {
            Some(claim) => self.log.release(&claim).await,
            // It was lost on the way.
            None => Ok(()),
        }
    }

    /// Serves a shard no longer that may be another node's already. Waits until the log has said what
    /// became of what was under way.
    pub async fn let_go(&self, shard: ShardId) {
        self.engine.shut_shard(shard, Departure::Lost).await;
        self.owned.shut(shard);
    }

    /// The claimed shard, as what is stored has it.
    async fn recover(&self, claim: &Claim) -> Result<TakenOver, TakeoverError> {
        let (journal_id, log) = (self.engine.journal_id(), Arc::clone(&self.log));
        let taken = take_over(journal_id, log, claim, &self.checkpoints, &self.orders).await?;
        let (shard, shards) = (claim.shard, usize::from(self.engine.shards()));
        let (mut seqs, mut base_seqs) = (vec![u64::MAX; shards], vec![0; shards]);
        seqs[shard.index()] = claim.head.seq;
        base_seqs[shard.index()] = claim.base.seq;
        let orders = self.orders.holding(&[shard]);
        match ownership::check(&orders, journal_id, &seqs, &base_seqs).await {
            // One that does not answer is checked before it is written to.
            Ok(()) | Err(OwnershipError::Store(_)) => {}
            Err(error) => return Err(RecoveryError::from(error).into()),
        }
        let ahead_milliseconds = taken.stock.at().0.saturating_sub(self.engine.now().0);
        if Duration::from_millis(ahead_milliseconds) > self.clock_ahead_max {
            return Err(TakeoverError::ClockBehind { shard, ahead_milliseconds });
        }
        Ok(taken)
    }
}
