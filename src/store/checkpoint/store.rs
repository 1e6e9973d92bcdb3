//! The port: checkpoints in either store.

use super::error::CheckpointError;
use super::mark::{Mark, Written};
use super::redis::RedisCheckpoints;
use super::sqlite::SqliteCheckpoints;
use crate::store::journal::JournalId;
use crate::store::redis_connection::RedisAddress;
use domain::stock::{Changes, Snapshot};
use domain::{OrderPayments, ShardId};
use std::path::Path;

/// A handle to the store of checkpoints. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub enum CheckpointStore {
    /// A SQLite file of this process, the embedded default.
    Sqlite(SqliteCheckpoints),
    /// A Redis, which may lose what it holds.
    Redis(RedisCheckpoints),
}

impl CheckpointStore {
    /// Opens the SQLite file at `path`, creating it if it does not exist. Its directory must exist.
    ///
    /// # Errors
    /// Returns [`CheckpointError::Corrupt`] if the file is not a SQLite database,
    /// [`CheckpointError::Configuration`] if it cannot be opened or written.
    pub async fn open_sqlite(path: &Path) -> Result<Self, CheckpointError> {
        SqliteCheckpoints::open(path).await.map(Self::Sqlite)
    }

    /// Prepares the connection to a Redis, which need not be up, for the checkpoints of `journal`.
    /// Must be called within a Tokio runtime. A `&SecretString` converts into an address without a
    /// private certificate authority.
    ///
    /// # Errors
    /// Returns [`CheckpointError::Configuration`] if the address cannot be used.
    pub fn open_redis(
        address: impl Into<RedisAddress>,
        journal: JournalId,
    ) -> Result<Self, CheckpointError> {
        RedisCheckpoints::open(&address.into(), journal).map(Self::Redis)
    }

    /// The implementation's name in metrics and readiness: `sqlite` or `redis`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Redis(_) => "redis",
        }
    }

    /// Writes an increment, atomically: `changes` on top of `base`, which is the mark that
    /// [`Self::load`] returned or the last write stored. Without a base `changes` are everything (see
    /// [`whole`]) and replace what the store holds.
    ///
    /// A write that failed may have happened; the next one, whose changes include those of the failed
    /// one, is right either way.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if the store cannot be reached or refuses;
    /// [`CheckpointError::Foreign`] if it holds another journal's checkpoint of this shard, and
    /// nothing was changed.
    pub async fn write(
        &self,
        epoch: u64,
        base: Option<Mark>,
        changes: &Changes,
    ) -> Result<Written, CheckpointError> {
        match self {
            Self::Sqlite(store) => store.write(epoch, base, changes).await,
            Self::Redis(store) => store.write(epoch, base, changes).await,
        }
    }

    /// Returns the shard's checkpoint, if there is one.
    ///
    /// # Errors
    /// Returns [`CheckpointError::Corrupt`] if it is not what was written,
    /// [`CheckpointError::Foreign`] if it is another journal's, another error if the store cannot be
    /// read.
    pub async fn load(&self, shard: ShardId) -> Result<Option<(Mark, Snapshot)>, CheckpointError> {
        match self {
            Self::Sqlite(store) => store.load(shard).await,
            Self::Redis(store) => store.load(shard).await,
        }
    }

    /// Returns how far each shard's checkpoint reaches, without reading it: ascending by shard, shards
    /// without a checkpoint left out. `shards` is the number of shards.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if the store cannot be read; [`CheckpointError::Foreign`] if one of
    /// the checkpoints is another journal's.
    pub async fn marks(&self, shards: u16) -> Result<Vec<(ShardId, Mark)>, CheckpointError> {
        match self {
            Self::Sqlite(store) => store.marks(shards).await,
            Self::Redis(store) => store.marks(shards).await,
        }
    }

    /// Makes what was written so far survive a power cut, as far as the store can. To be called
    /// before journal segments that checkpoints cover are deleted.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if the store cannot promise it.
    pub async fn harden(&self) -> Result<(), CheckpointError> {
        match self {
            Self::Sqlite(store) => store.harden().await,
            // Redis' own settings decide. A checkpoint that is lost is noticed by its mark, and the
            // shard is rebuilt from the journal.
            Self::Redis(_) => Ok(()),
        }
    }

    /// Closes the connections, after those in use have been returned: a SQLite file is whole by itself
    /// then.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            // Its connection holds nothing back.
            Self::Redis(_) => {}
        }
    }
}

/// Makes a whole snapshot an increment without a base: for a first checkpoint, and after
/// [`Written::BaseMissing`]. Chunks are shared, not copied.
pub fn whole(shard: ShardId, snapshot: Snapshot) -> Changes {
    let by_order = |payments: OrderPayments| (payments.order.order_id, Some(payments));
    Changes {
        shard,
        seq: snapshot.seq,
        at: snapshot.at,
        last_order_id: snapshot.last_order_id,
        items: (0..).zip(snapshot.items).collect(),
        chunks: (0..).zip(snapshot.chunks).collect(),
        payment_count: snapshot.payments.len(),
        payments: snapshot.payments.into_iter().map(by_order).collect(),
    }
}
