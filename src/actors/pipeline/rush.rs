//! Waiting behind a rush: its first seconds need the whole machine.

use crate::actors::engine::Engine;
use std::time::Duration;

/// How long a batch gathers: the sale does not wait for it, and each transaction of the order store is
/// a sync that competes with the journal's own.
const GATHER: Duration = Duration::from_millis(50);
/// So many records while a batch gathers are a rush.
const RUSH_RECORDS: u64 = 1_000;
/// How long a rush may keep records from being sent.
const RUSH_MAX: Duration = Duration::from_secs(5);

/// Waits while a batch gathers, and while a rush lasts that has left fewer than `records_max` behind.
pub(in crate::actors) async fn gather(engine: &Engine, records_max: u64) {
    let journal = &engine.context().journal;
    let passed = async {
        loop {
            let before = journal.figures().records;
            tokio::time::sleep(GATHER).await;
            let is_rush = journal.figures().records - before >= RUSH_RECORDS;
            if !is_rush || engine.pipeline_status().backlog(journal) >= records_max {
                break;
            }
        }
    };
    // A rush that lasts longer shares the machine from now on.
    let _ = tokio::time::timeout(RUSH_MAX, passed).await;
}
