//! Checkpoints: a shard's state as of a record, kept so that recovery need not replay the whole
//! journal.
//!
//! A checkpoint is written in increments whose cost is proportional to what changed. Each names the
//! [`Mark`] it builds on, because a store may lose what it had (Redis emptied, or back from an old
//! dump): an increment on top of the wrong state would be a wrong state, so it is refused and the
//! caller writes everything instead. Marks never go back (I11): a command that timed out may still
//! run later, and a deposed owner may wake up.
//!
//! Marks of two journals say nothing about each other. A store that several shops can reach keeps
//! the [`JournalId`] beside the mark, and neither gives a checkpoint to another journal nor takes one
//! from it; a file lies in its journal's data directory.
//!
//! Owns the port, both implementations and their bytes. Must not know actors or the journal's
//! files. The journal stays the truth: a checkpoint that is missing, old or corrupt makes recovery
//! slower, never wrong.

mod format;
mod redis;
mod scripts;
mod sqlite;

pub use self::redis::{RedisCheckpoints, SCRIPT_BYTES_MAX};
pub use sqlite::SqliteCheckpoints;

use crate::store::journal::JournalId;
use crate::store::redis_connection::RedisAddress;
use domain::ShardId;
use domain::stock::{Changes, Snapshot};
use std::fmt;
use std::path::Path;

/// How far a checkpoint reaches. Ordered: a later epoch is later, whatever its seq.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mark {
    /// The epoch of the shard's owner that wrote it.
    pub epoch: u64,
    /// State as of this record, 0 for none.
    pub seq: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "epoch {} seq {}", self.epoch, self.seq)
    }
}

/// What became of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Written {
    /// The store holds the shard as of this mark: what the next increment builds on.
    Stored(Mark),
    /// The store holds a later mark already, and nothing was changed.
    Stale {
        /// What it holds.
        stored: Mark,
    },
    /// The store does not hold what the increment builds on, and nothing was changed: write
    /// everything, with [`whole`] and no base.
    BaseMissing {
        /// What it holds, if anything.
        stored: Option<Mark>,
    },
}

/// Why a store did not answer. None of them stops a sale.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be reached or does not answer in time. A write may or may not have happened.
    #[error("checkpoint store is not available: {0}")]
    Unavailable(String),
    /// It answered that it will not: credentials, rights, no room, a read-only replica.
    #[error("checkpoint store refused: {0}")]
    Refused(String),
    /// What it holds is not what was written. Recovery does without it.
    #[error("checkpoint is corrupt: {0}")]
    Corrupt(String),
    /// It was made from another journal. Neither read nor written.
    #[error(
        "the checkpoint of shard {shard} was made from journal {owner}, and this is journal {ours}: \
         another shop keeps its checkpoints there, or the data directory is not the one that it was \
         made from"
    )]
    Foreign {
        /// Whose.
        shard: ShardId,
        /// The journal that it was made from.
        owner: JournalId,
        /// The journal that asks.
        ours: JournalId,
    },
    /// The store cannot be opened as configured.
    #[error("checkpoint store cannot be opened: {0}")]
    Configuration(String),
}

/// Where checkpoints are kept. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub enum CheckpointStore {
    /// A file of this process, the embedded default.
    Sqlite(SqliteCheckpoints),
    /// A Redis, which may forget.
    Redis(RedisCheckpoints),
}

impl CheckpointStore {
    /// Opens the file, creating it if it is not there. Its directory must exist.
    ///
    /// # Errors
    /// [`CheckpointError::Corrupt`] where the file is no database of ours,
    /// [`CheckpointError::Configuration`] where it cannot be opened or written.
    pub async fn open_sqlite(path: &Path) -> Result<Self, CheckpointError> {
        SqliteCheckpoints::open(path).await.map(Self::Sqlite)
    }

    /// Prepares the connection to a Redis, which need not be up, for the checkpoints of `journal`.
    /// Must be called within a Tokio runtime. `&SecretString` converts into an address without a certificate of one's own.
    ///
    /// # Errors
    /// [`CheckpointError::Configuration`] where the address is none.
    pub fn open_redis(
        address: impl Into<RedisAddress>,
        journal: JournalId,
    ) -> Result<Self, CheckpointError> {
        RedisCheckpoints::open(&address.into(), journal).map(Self::Redis)
    }

    /// Which implementation serves, as metrics and readiness name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Redis(_) => "redis",
        }
    }

    /// Writes an increment, atomically: `changes` on top of `base`, what [`Self::load`] gave or the
    /// last write stored. Without a base `changes` are everything (see [`whole`]) and replace what
    /// the store holds.
    ///
    /// A write that failed may have happened; the next one, which has its changes put back, is
    /// right either way.
    ///
    /// # Errors
    /// Where the store cannot be reached or refuses; [`CheckpointError::Foreign`] where it holds
    /// another journal's checkpoint of this shard, and nothing was changed.
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

    /// The shard's checkpoint, if there is one.
    ///
    /// # Errors
    /// [`CheckpointError::Corrupt`] where it is not what was written, [`CheckpointError::Foreign`]
    /// where it is another journal's; the others where the store cannot be read.
    pub async fn load(&self, shard: ShardId) -> Result<Option<(Mark, Snapshot)>, CheckpointError> {
        match self {
            Self::Sqlite(store) => store.load(shard).await,
            Self::Redis(store) => store.load(shard).await,
        }
    }

    /// How far each shard's checkpoint reaches, without reading it: ascending by shard, shards
    /// without a checkpoint left out. `shards` is how many there may be.
    ///
    /// # Errors
    /// Where the store cannot be read; [`CheckpointError::Foreign`] where one is another journal's.
    pub async fn marks(&self, shards: u16) -> Result<Vec<(ShardId, Mark)>, CheckpointError> {
        match self {
            Self::Sqlite(store) => store.marks(shards).await,
            Self::Redis(store) => store.marks(shards).await,
        }
    }

    /// Makes what was written so far survive a power cut, as far as the store can: to be called
    /// before journal segments that checkpoints cover are deleted.
    ///
    /// # Errors
    /// Where the store cannot promise it.
    pub async fn harden(&self) -> Result<(), CheckpointError> {
        match self {
            Self::Sqlite(store) => store.harden().await,
            // Redis' own settings decide, and a checkpoint that is lost is noticed (rule 10).
            Self::Redis(_) => Ok(()),
        }
    }
}

/// Everything as an increment on nothing: for a first checkpoint, and after
/// [`Written::BaseMissing`]. Chunks are shared, not copied.
pub fn whole(shard: ShardId, snapshot: Snapshot) -> Changes {
    Changes {
        shard,
        seq: snapshot.seq,
        at: snapshot.at,
        last_order_id: snapshot.last_order_id,
        items: (0..).zip(snapshot.items).collect(),
        chunks: (0..).zip(snapshot.chunks).collect(),
    }
}

/// Whether an increment from `base` to `mark` may be applied to what is stored. Anything stored
/// between the two will do: it was made from the same journal, and the increment holds all that changed
/// since `base`.
fn refusal(stored: Option<Mark>, base: Option<Mark>, mark: Mark) -> Option<Written> {
    match (stored, base) {
        (Some(stored), _) if stored > mark => Some(Written::Stale { stored }),
        (_, Some(base)) if stored.is_none_or(|stored| stored < base) => {
            Some(Written::BaseMissing { stored })
        }
        _ => None,
    }
}

/// One more than the largest number, 0 where there is none: how many rows a whole checkpoint has.
fn count<T>(numbered: &[(u32, T)]) -> u32 {
    numbered.iter().map(|(number, _)| number + 1).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_never_go_back_and_increments_need_their_base() {
        let mark = |epoch, seq| Mark { epoch, seq };
        let stale = |stored| Some(Written::Stale { stored });
        let missing = |stored| Some(Written::BaseMissing { stored });
        #[rustfmt::skip]
        let table = [
            // stored            base              new           refusal
            (None,               None,             mark(1, 5),   None),
            (None,               Some(mark(1, 5)), mark(1, 9),   missing(None)),
            (Some(mark(1, 4)),   Some(mark(1, 5)), mark(1, 9),   missing(Some(mark(1, 4)))),
            (Some(mark(1, 5)),   Some(mark(1, 5)), mark(1, 9),   None),
            (Some(mark(1, 7)),   Some(mark(1, 5)), mark(1, 9),   None),
            (Some(mark(1, 9)),   Some(mark(1, 5)), mark(1, 9),   None),
            (Some(mark(1, 10)),  Some(mark(1, 5)), mark(1, 9),   stale(mark(1, 10))),
            (Some(mark(1, 10)),  None,             mark(1, 9),   stale(mark(1, 10))),
            (Some(mark(2, 1)),   Some(mark(1, 5)), mark(1, 9),   stale(mark(2, 1))),
            (Some(mark(1, 10)),  None,             mark(2, 9),   None),
            (Some(mark(1, 5)),   Some(mark(1, 5)), mark(2, 5),   None),
        ];
        for (stored, base, new, expected) in table {
            assert_eq!(refusal(stored, base, new), expected, "{stored:?} {base:?} {new:?}");
        }
    }
}
