//! A replica of an order store, from which lists are read while it is near enough to the order store itself.
//!
//! How near that is, is for others to say: each shard has a record up to which a list has to be complete, because
//! the shards have released what is before it or because it was stored a while ago. A replica that does not hold
//! all of these is not read from, nor one of which nobody has said that it is this order store's. Nobody waits
//! for it: what it does not answer, the order store is asked for.

use super::place::Owner;
use super::tables::OrderTables;
use crate::store::database::{Database, StoreError};
use domain::ShardId;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A replica of one order store. Clones share what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    tables: OrderTables,
    /// Whether the journal keeps records until they are here.
    pub(super) is_awaited: bool,
    standing: Arc<Standing>,
}

/// What is known of a replica, and asked of it.
#[derive(Debug)]
struct Standing {
    /// Whether it was found to be this order store's, and to answer.
    is_usable: AtomicBool,
    /// Each shard's record up to which a list has to be complete.
    needed: Box<[AtomicU64]>,
    /// Lists that were read from it, and those that were not because it was behind, or away.
    reads: [AtomicU64; 3],
}

/// For how many lists a replica was asked, and what came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReplicaReads {
    /// They were read from it.
    pub read: u64,
    /// It lacked something that they need.
    pub behind: u64,
    /// It did not answer, or may not be read from.
    pub away: u64,
}

/// The places of these among the counts.
const READ: usize = 0;
const BEHIND: usize = 1;
const AWAY: usize = 2;

/// What a replica says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaLook {
    /// Which journal it is made from, and of which order store it is a replica; none if it has nothing yet.
    pub owner: Option<Owner>,
    /// Up to which record each shard's log is in it.
    pub progress: Vec<(ShardId, u64)>,
}

impl Replica {
    /// A replica that is not used before it was found to be one.
    pub(super) fn new(database: &Database, is_awaited: bool) -> Self {
        let needed = (0..ShardId::COUNT_MAX).map(|_| AtomicU64::new(0)).collect();
        let reads = std::array::from_fn(|_| AtomicU64::new(0));
        let standing = Standing { is_usable: AtomicBool::new(false), needed, reads };
        Self { tables: OrderTables::new(database), is_awaited, standing: Arc::new(standing) }
    }

    /// Lists have to hold the shard's records up to `seq` from now on.
    pub(super) fn need(&self, shard: ShardId, seq: u64) {
        if let Some(needed) = self.standing.needed.get(shard.index()) {
            needed.fetch_max(seq, Ordering::AcqRel);
        }
    }

    /// Whether it may be read from.
    pub(super) fn set_usable(&self, is_usable: bool) {
        self.standing.is_usable.store(is_usable, Ordering::Release);
    }

    /// What came of the lists that it was asked for.
    pub(super) fn reads(&self) -> ReplicaReads {
        let [read, behind, away] =
            [READ, BEHIND, AWAY].map(|what| self.standing.reads[what].load(Ordering::Relaxed));
        ReplicaReads { read, behind, away }
    }

    fn count(&self, what: usize) {
        self.standing.reads[what].fetch_add(1, Ordering::Relaxed);
    }

    /// Closes all connections to it.
    pub(super) async fn close(&self) {
        self.tables.database().close().await;
    }

    /// Asks it for a sign of life, whose it is and how far it is.
    ///
    /// # Errors
    /// Returns [`StoreError`] if it does not answer.
    pub(super) async fn look(&self) -> Result<ReplicaLook, StoreError> {
        let tables = &self.tables;
        tables.database().ping().await?;
        let progress = tables.shard_progress().await?;
        let progress = progress.iter().map(|progress| (progress.shard, progress.seq())).collect();
        Ok(ReplicaLook { owner: tables.owner().await?, progress })
    }

    /// Reads a list as of one moment; nothing if the replica may not be read from, does not hold all that a
    /// list needs at that moment, or does not answer.
    pub(super) async fn read<T, Read: Future<Output = Result<T, StoreError>>>(
        &self,
        read: impl FnOnce(OrderTables) -> Read,
    ) -> Option<T> {
        if !self.standing.is_usable.load(Ordering::Acquire) {
            self.count(AWAY);
            return None;
        }
        match self.try_to_read(read).await {
            Ok(list) => {
                self.count(if list.is_some() { READ } else { BEHIND });
                list
            }
            Err(error) => {
                tracing::debug!(%error, "a list is read from the order store, because its replica does not answer");
                self.count(AWAY);
                None
            }
        }
    }

    async fn try_to_read<T, Read: Future<Output = Result<T, StoreError>>>(
        &self,
        read: impl FnOnce(OrderTables) -> Read,
    ) -> Result<Option<T>, StoreError> {
        // Before the moment: what is released later was there then, or is in memory still.
        let needed: Vec<u64> =
            self.standing.needed.iter().map(|seq| seq.load(Ordering::Acquire)).collect();
        let tables = self.tables.at_one_moment().await?;
        let progress: HashMap<ShardId, u64> =
            tables.shard_progress().await?.iter().map(|own| (own.shard, own.seq())).collect();
        let holds = |(shard, needed): (ShardId, &u64)| {
            progress.get(&shard).copied().unwrap_or(0) >= *needed
        };
        if !(0..).map(ShardId).zip(&needed).all(holds) {
            tables.end().await?;
            return Ok(None);
        }
        let list = read(tables.clone()).await?;
        tables.end().await?;
        Ok(Some(list))
    }
}
