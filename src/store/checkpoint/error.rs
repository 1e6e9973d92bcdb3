//! What can go wrong with checkpoints.

use crate::store::journal::JournalId;
use crate::store::redis_connection::{RedisAddressError, RedisFailure};
use domain::ShardId;

/// Why a checkpoint store did not do what it was asked. None of these errors stops a sale.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be reached or does not answer in time. A write may or may not have happened.
    #[error("checkpoint store is not available: {0}")]
    Unavailable(String),
    /// It refused: wrong credentials, missing rights, no room, a read-only replica.
    #[error("checkpoint store refused: {0}")]
    Refused(String),
    /// It holds other bytes than were written. Recovery goes on without the checkpoint.
    #[error("checkpoint is corrupt: {0}")]
    Corrupt(String),
    /// The checkpoint was made from another journal, so it is neither read nor written.
    #[error(
        "the checkpoint of shard {shard} was made from journal {owner}, and this is journal {ours}: \
         another shop keeps its checkpoints there, or the data directory is not the one that it was \
         made from"
    )]
    Foreign {
        /// The shard whose checkpoint it is.
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

impl From<RedisFailure> for CheckpointError {
    fn from(failure: RedisFailure) -> Self {
        match failure {
            RedisFailure::Unavailable(why) => Self::Unavailable(why),
            RedisFailure::Refused(why) => Self::Refused(why),
            RedisFailure::Unexpected(why) => Self::Corrupt(format!(
                "{why}; a key of this program holds what it never writes: delete those that \
                 `redis-cli --scan --pattern 'seckill::checkpoint::*'` lists, a checkpoint holds \
                 nothing that its journal does not"
            )),
        }
    }
}

impl From<RedisAddressError> for CheckpointError {
    fn from(error: RedisAddressError) -> Self {
        Self::Configuration(error.to_string())
    }
}
