//! The consumer: brings records into the order store, many to a transaction.
//!
//! Commit, then acknowledge; whatever is delivered again changes nothing. A failure that time may
//! heal is tried again for as long as it takes, with growing pauses, since the records are safe in
//! the journal. A record that contradicts the books is set aside with an alarm, never swallowed.

use super::engine::Engine;
use super::relay::Continue;
use crate::crash::crash_point;
use crate::domain::{Record, ShardId, Timestamp};
use crate::store::orders::OrderStore;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;

/// The actor.
pub(super) struct Consumer;

/// What it starts with.
pub(super) struct ConsumerArguments {
    pub(super) engine: Engine,
    pub(super) orders: OrderStore,
    pub(super) batches: mpsc::Receiver<Vec<Record>>,
    /// Records of one transaction.
    pub(super) transaction_records: usize,
}

/// What it keeps.
pub(super) struct ConsumerState {
    arguments: ConsumerArguments,
    migrated: bool,
}

const IDLE: Duration = Duration::from_millis(500);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Actor for Consumer {
    type Msg = Continue;
    type State = ConsumerState;
    type Arguments = ConsumerArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Continue>,
        arguments: ConsumerArguments,
    ) -> Result<ConsumerState, ActorProcessingErr> {
        myself.cast(Continue)?;
        Ok(ConsumerState { arguments, migrated: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<Continue>,
        _: Continue,
        state: &mut ConsumerState,
    ) -> Result<(), ActorProcessingErr> {
        if let Ok(Some(mut records)) =
            tokio::time::timeout(IDLE, state.arguments.batches.recv()).await
        {
            while records.len() < state.arguments.transaction_records {
                let Ok(mut more) = state.arguments.batches.try_recv() else { break };
                records.append(&mut more);
            }
            state.store(&records).await;
        }
        myself.cast(Continue)?;
        Ok(())
    }
}

impl ConsumerState {
    /// Stores the records, however long it takes.
    async fn store(&mut self, records: &[Record]) {
        let kind = self.arguments.orders.database().kind();
        let mut last: BTreeMap<ShardId, (u64, Timestamp)> = BTreeMap::new();
        for record in records {
            last.insert(record.shard, (record.seq, record.at));
        }
        let progress: Vec<(ShardId, u64)> =
            last.iter().map(|(shard, (seq, _))| (*shard, *seq)).collect();
        let status = self.arguments.engine.pipeline_status();
        let mut pause = PAUSE_FIRST;
        loop {
            crash_point("consumer-before-apply");
            let applied = match self.migrated {
                true => self.arguments.orders.apply(records, &progress).await,
                // The tables may not have been reachable at the start.
                false => match self.arguments.orders.migrate().await {
                    Ok(()) => {
                        self.migrated = true;
                        self.arguments.orders.apply(records, &progress).await
                    }
                    Err(error) => Err(error),
                },
            };
            match applied {
                Ok(applied) => {
                    crash_point("consumer-after-apply");
                    for conflict in &applied.conflicts {
                        metrics::counter!("seckill_order_store_conflicts_total").increment(1);
                        tracing::error!(
                            shard = %conflict.record.shard,
                            seq = conflict.record.seq,
                            reason = %conflict.reason,
                            "a record contradicts the order store and was set aside; run `seckill audit`"
                        );
                    }
                    metrics::counter!("seckill_order_store_records_total")
                        .increment(records.len() as u64);
                    for (shard, (seq, at)) in &last {
                        status.stored(*shard, *seq, *at);
                    }
                    status.report("order_store", kind, true, "orders arrive behind the sale");
                    return;
                }
                Err(error) => {
                    metrics::counter!("seckill_order_store_failures_total").increment(1);
                    let meaning =
                        format!("orders wait in the journal, none is lost; trying again: {error}");
                    status.report("order_store", kind, false, meaning);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
}
