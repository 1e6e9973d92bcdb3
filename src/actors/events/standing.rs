//! How far a reader is, shared by its task, which writes it, and by those who look.

use super::sink::ReaderStanding;
use crate::actors::engine::Engine;
use crate::actors::holds::Hold;
use crate::telemetry::metrics::{EVENTS_LAG_RECORDS, EVENTS_LAG_SECONDS};
use domain::{ShardId, Timestamp};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time between two looks at the figures.
const LOOK: Duration = Duration::from_secs(1);

/// What is known of a reader.
pub(super) struct Standing {
    /// Each shard's confirmed position, as it is kept in the database.
    pub(super) hold: Arc<Hold>,
    /// When the oldest event happened that may wait, or a time at which none did.
    waiting_since: AtomicU64,
    lost: AtomicU64,
    obstacle: Mutex<Option<String>>,
}

impl Standing {
    pub(super) fn new(hold: Arc<Hold>, now: Timestamp) -> Self {
        Self {
            hold,
            waiting_since: AtomicU64::new(now.0),
            lost: AtomicU64::new(0),
            obstacle: Mutex::default(),
        }
    }

    /// Notes that nothing older waits than what happened at `since`.
    pub(super) fn waits_since(&self, since: Timestamp) {
        self.waiting_since.store(since.0, Ordering::Release);
    }

    /// Notes how many records were lost that the sink has not got over.
    pub(super) fn set_lost(&self, records: u64) {
        self.lost.store(records, Ordering::Release);
    }

    /// Sets what keeps the reader from reading, or that nothing does. Logs the first of a series.
    pub(super) fn set_obstacle(&self, sink: &str, obstacle: Option<String>) {
        let before = std::mem::replace(&mut *self.obstacle.lock(), obstacle.clone());
        match (before, obstacle) {
            (None, Some(why)) => {
                tracing::warn!(sink, why, "events wait in the journal");
            }
            (Some(_), None) => tracing::info!(sink, "events are told again"),
            _ => {}
        }
    }

    /// How far the reader is at this moment.
    pub(super) fn now(&self, engine: &Engine) -> ReaderStanding {
        let journal = &engine.context().journal;
        let ends = (0..).map(ShardId).zip(journal.durable_seqs()).zip(journal.base_seqs());
        let lag = |((shard, durable), base): ((ShardId, u64), u64)| {
            durable.saturating_sub(base.max(self.hold.seq(shard)))
        };
        let lag_records = ends.map(lag).sum();
        let waited = engine.now().0.saturating_sub(self.waiting_since.load(Ordering::Acquire));
        ReaderStanding {
            lag_records,
            lag_seconds: if lag_records > 0 { waited as f64 / 1e3 } else { 0.0 },
            lost_records: self.lost.load(Ordering::Acquire),
            obstacle: self.obstacle.lock().clone(),
        }
    }

    /// Shows it in the metrics, for as long as it is polled.
    pub(super) async fn show(&self, engine: &Engine, sink: &str) {
        loop {
            let standing = self.now(engine);
            let label = || [("sink", sink.to_owned())];
            metrics::gauge!(EVENTS_LAG_RECORDS, &label()).set(standing.lag_records as f64);
            metrics::gauge!(EVENTS_LAG_SECONDS, &label()).set(standing.lag_seconds);
            tokio::time::sleep(LOOK).await;
        }
    }
}
