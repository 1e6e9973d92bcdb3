//! A cluster, looked at and steered from the command line, by a process that is no node of it.

use super::live::FileRules;
use crate::config::Loaded;
use crate::opening::{self, EtcdOpenError};
use domain::ShardId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub use crate::actors::cluster::{NodeStanding, ShardStanding, Standing, Steering, SteeringError};
pub use crate::opening::EtcdOpenError as SteeringOpenError;

/// How long a call to etcd may take. A node is in more of a hurry.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The time between two looks at what the nodes do.
const LOOK: Duration = Duration::from_millis(100);

/// What became of shards that were to move.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MoveOutcome {
    /// Those that are where they were wished.
    pub moved: usize,
    /// Those of which the wish is over, and that are elsewhere.
    pub stayed: usize,
    /// Those of which it is not.
    pub open: usize,
}

/// The configured cluster. Must be called within a Tokio runtime.
///
/// # Errors
/// Returns [`EtcdOpenError`] if the address or a certificate cannot be used.
pub fn open(loaded: &Loaded) -> Result<Steering, EtcdOpenError> {
    let etcd = opening::etcd(&loaded.config, CALL_TIMEOUT)?;
    // As a node judges its settings.
    let rules = Arc::new(FileRules::new(loaded));
    Ok(Steering::new(etcd, &loaded.config.cluster.prefix, rules.judge()))
}

/// How far a node that is drained has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrainOutcome {
    /// The shards that it serves yet.
    pub left: usize,
    /// The shards that nobody serves.
    pub unowned: usize,
}

/// Waits, `limit` at most, until a node serves no shard and each has an owner.
///
/// # Errors
/// Returns [`SteeringError`] if etcd does not answer.
pub async fn drained(
    steering: &Steering,
    node: &str,
    limit: Duration,
) -> Result<DrainOutcome, SteeringError> {
    let until = Instant::now() + limit;
    let shards = usize::from(steering.shards().await?);
    loop {
        let view = steering.view().await?;
        let left = view.owners.values().filter(|owner| owner.node == node).count();
        let unowned = shards.saturating_sub(view.owners.len());
        if left + unowned == 0 || Instant::now() >= until {
            return Ok(DrainOutcome { left, unowned });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits, `limit` at most, until the wishes that these shards move are over, and says what became of them.
///
/// # Errors
/// Returns [`SteeringError`] if etcd does not answer.
pub async fn moved(
    steering: &Steering,
    moves: &[(ShardId, String)],
    limit: Duration,
) -> Result<MoveOutcome, SteeringError> {
    let until = Instant::now() + limit;
    loop {
        let view = steering.view().await?;
        let mut outcome = MoveOutcome::default();
        for (shard, to) in moves {
            let is_there = view.owners.get(shard).is_some_and(|owner| owner.node == *to);
            match (is_there, view.wishes.moves.contains_key(shard)) {
                (true, _) => outcome.moved += 1,
                (false, true) => outcome.open += 1,
                (false, false) => outcome.stayed += 1,
            }
        }
        if outcome.open == 0 || Instant::now() >= until {
            return Ok(outcome);
        }
        tokio::time::sleep(LOOK).await;
    }
}
