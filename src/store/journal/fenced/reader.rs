//! Follows the durable batches of the shards that a node owns: from memory while it keeps up, and from
//! the log itself where it begins or has fallen behind.

use super::batch::StoredBatch;
use super::owned::{Found, OwnedShards, Recent};
use super::{FencedLog, LogError};
use crate::store::journal::log::{JournalError, LogReader};
use crate::store::journal::status::LogStatus;
use domain::ShardId;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How many batches are read from the log at a time.
const PAGE_BATCHES: usize = 32;
/// How long a read waits that the log did not answer.
const PAUSE: Duration = Duration::from_millis(200);

/// A follower's place in each shard.
pub(super) struct FencedReader<L> {
    log: Arc<L>,
    owned: Arc<OwnedShards>,
    status: Arc<LogStatus>,
    /// Each followed shard's next batch.
    next: HashMap<ShardId, u64>,
    /// Shards that are read from the log up to a batch, before memory is looked at again.
    behind: Vec<(ShardId, u64)>,
    /// What was read from the log and not given out yet.
    read: VecDeque<(ShardId, StoredBatch)>,
    /// The place among the newest batches.
    place: u64,
    current: Option<(ShardId, StoredBatch)>,
}

impl<L: FencedLog> FencedReader<L> {
    /// Follows the shards that this node owns now, each from the batch that holds the record behind
    /// `after`.
    pub(super) fn new(
        log: Arc<L>,
        owned: Arc<OwnedShards>,
        status: Arc<LogStatus>,
        after: &[u64],
    ) -> Self {
        // First, so that a batch that becomes durable meanwhile is seen in memory at the latest.
        let place = owned.recent_end();
        let (mut next, mut behind) = (HashMap::new(), Vec::new());
        for shard in owned.shards() {
            let after = after.get(shard.index()).copied().unwrap_or(0);
            // The caller's sign that nothing of the shard is wanted.
            if after == u64::MAX {
                continue;
            }
            if let Some((first, last)) = owned.batches_behind(shard, after) {
                next.insert(shard, first);
                behind.push((shard, last));
            }
        }
        Self { log, owned, status, next, behind, read: VecDeque::new(), place, current: None }
    }

    /// The next batch, wherever it is.
    async fn find(&mut self) -> Result<Option<(ShardId, StoredBatch)>, JournalError> {
        loop {
            if let Some(found) = self.read.pop_front() {
                return Ok(Some(found));
            }
            if let Some((shard, last)) = self.behind.last().copied() {
                self.catch_up(shard, last).await?;
                continue;
            }
            match self.owned.recent(self.place) {
                Found::Nothing => return Ok(None),
                Found::Behind => self.fall_behind(),
                Found::Batch(recent) => {
                    if let Some(found) = self.accept(recent)? {
                        return Ok(Some(found));
                    }
                }
            }
        }
    }

    /// Reads a page of a shard's log; the shard has caught up once batch `last` was read.
    async fn catch_up(&mut self, shard: ShardId, last: u64) -> Result<(), JournalError> {
        let next = self.next.get(&shard).copied().unwrap_or(1);
        if next > last {
            self.behind.pop();
            return Ok(());
        }
        let found = match self.log.read(shard, next - 1, PAGE_BATCHES).await {
            Ok(found) => found,
            Err(LogError::Unavailable(_)) => {
                tokio::time::sleep(PAUSE).await;
                return Ok(());
            }
            Err(error) => {
                if let LogError::Damaged(place) = &error {
                    self.status.set_damaged(place);
                }
                return Err(JournalError(error.into()));
            }
        };
        let page: Vec<StoredBatch> =
            found.into_iter().filter(|batch| batch.batch <= last).collect();
        match page.last() {
            // All of it was trimmed meanwhile: the follower finds its records missing.
            None => {
                self.next.insert(shard, last + 1);
            }
            Some(end) => {
                self.next.insert(shard, end.batch + 1);
                self.read.extend(page.into_iter().map(|batch| (shard, batch)));
            }
        }
        Ok(())
    }

    /// A batch from memory, if it is the shard's next. One behind a gap sends the shard to the log.
    fn accept(&mut self, recent: Recent) -> Result<Option<(ShardId, StoredBatch)>, JournalError> {
        let shard = recent.shard;
        let Some(next) = self.next.get_mut(&shard) else {
            self.place += 1;
            return Ok(None);
        };
        if recent.batch > *next {
            self.behind.push((shard, recent.batch - 1));
            return Ok(None);
        }
        self.place += 1;
        if recent.batch < *next {
            return Ok(None);
        }
        *next += 1;
        let batch = StoredBatch::decode(recent.bytes.to_vec());
        batch.map(|batch| Some((shard, batch))).map_err(|error| JournalError(error.into()))
    }

    /// Reads everything from the log that is durable now, and goes on in memory behind it.
    fn fall_behind(&mut self) {
        self.place = self.owned.recent_end();
        for shard in self.next.keys() {
            if let Some(last) = self.owned.last_batch(*shard) {
                self.behind.push((*shard, last));
            }
        }
    }
}

impl<L: FencedLog> LogReader for FencedReader<L> {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<&[u8]>, JournalError>> {
        async move {
            self.current = self.find().await?;
            Ok(self.current.as_ref().map(|(_, batch)| batch.records()))
        }
        .boxed()
    }

    fn refuse(&mut self, why: &str) -> JournalError {
        let place = match &self.current {
            Some((shard, batch)) => format!("batch {} of shard {shard}", batch.batch),
            None => "an unknown batch".to_owned(),
        };
        self.status.set_damaged(&place);
        JournalError(format!("the cluster's log is damaged at {place}: {why}").into())
    }
}
