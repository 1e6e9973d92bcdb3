//! The consumer: brings records into the order store, many to a transaction.
//!
//! Commit, then acknowledge; a repeated delivery changes nothing. A failure that time may heal is
//! tried again for as long as it takes, with growing pauses, since the records are safe in the
//! journal. A record that contradicts the order store is set aside with an alarm, never dropped: by
//! the broker where there is one, otherwise by the order store in the same transaction.

use super::message::Continue;
use super::progress::ContiguousProgress;
use super::source::{Arrival, RecordSource};
use crate::actors::engine::Engine;
use crate::crash::crash_point;
use crate::store::orders::ownership::OwnershipError;
use crate::store::orders::{Conflict, OrderStore};
use crate::telemetry::metrics::{
    ORDER_STORE_CONFLICTS_TOTAL, ORDER_STORE_FAILURES_TOTAL, STORED_RECORDS_TOTAL,
};
use domain::{Record, ShardId, Timestamp};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::HashMap;
use std::time::Duration;

/// The consumer's actor.
pub(in crate::actors) struct Consumer;

/// What the consumer starts with.
pub(in crate::actors) struct ConsumerArguments {
    pub(in crate::actors) engine: Engine,
    pub(in crate::actors) orders: OrderStore,
    pub(in crate::actors) source: RecordSource,
    /// Records of one transaction.
    pub(in crate::actors) transaction_records: usize,
}

/// What the consumer keeps between two messages.
pub(in crate::actors) struct ConsumerState {
    arguments: ConsumerArguments,
    /// Whether the order store's tables are up to date and its progress is known.
    ready: bool,
    /// Whether the broker is yet to be reported as working, at first or since it failed.
    broker_missed: bool,
    /// How far the order store is with each shard.
    progress: ContiguousProgress,
}

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
        let broker_missed = matches!(arguments.source, RecordSource::RabbitMq(_));
        Ok(ConsumerState {
            arguments,
            ready: false,
            broker_missed,
            progress: ContiguousProgress::default(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Continue>,
        _: Continue,
        state: &mut ConsumerState,
    ) -> Result<(), ActorProcessingErr> {
        fail::fail_point!("consumer-handle", |_| Err("injected death".into()));
        let records_max = state.arguments.transaction_records;
        match state.arguments.source.receive(records_max).await {
            Ok(arrival) => {
                if std::mem::take(&mut state.broker_missed) {
                    state.report_broker(true, "orders travel behind the sale".to_owned());
                }
                if !arrival.records.is_empty() {
                    state.take(arrival).await;
                }
            }
            Err(error) => {
                state.broker_missed = true;
                let meaning = format!("orders wait in the broker or the journal: {error}");
                state.report_broker(false, meaning);
            }
        }
        myself.cast(Continue)?;
        Ok(())
    }
}

impl ConsumerState {
    fn report_broker(&self, healthy: bool, meaning: String) {
        let status = self.arguments.engine.pipeline_status();
        status.report("broker", "rabbitmq", healthy, meaning);
    }

    /// Stores the arrival, however long it takes, and acknowledges it.
    async fn take(&mut self, arrival: Arrival) {
        let conflicts = self.store(&arrival.records).await;
        crash_point("consumer-before-ack");
        if let Err(error) = self.arguments.source.acknowledge(arrival, &conflicts).await {
            tracing::warn!(%error, "what was stored could not be acknowledged and comes again");
        }
    }

    /// Stores the records, trying again until it succeeds. Returns those that were set aside.
    async fn store(&mut self, records: &[Record]) -> Vec<Conflict> {
        let kind = self.arguments.orders.database().kind();
        let mut pause = PAUSE_FIRST;
        loop {
            crash_point("consumer-before-apply");
            match self.try_to_store(records).await {
                Ok(conflicts) => {
                    crash_point("consumer-after-apply");
                    self.arguments.engine.pipeline_status().report(
                        "order_store",
                        kind,
                        true,
                        "orders arrive behind the sale",
                    );
                    return conflicts;
                }
                Err(error) => {
                    metrics::counter!(ORDER_STORE_FAILURES_TOTAL).increment(1);
                    let meaning =
                        format!("orders wait in the journal, none is lost; trying again: {error}");
                    let status = self.arguments.engine.pipeline_status();
                    status.report("order_store", kind, false, meaning);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn try_to_store(&mut self, records: &[Record]) -> Result<Vec<Conflict>, OwnershipError> {
        let orders = &self.arguments.orders;
        if !self.ready {
            // The tables may not have been reachable at the start.
            orders.migrate().await?;
            for (shard, seq) in self.arguments.engine.stored_progress(orders).await? {
                self.progress.advance_to(shard, seq);
            }
            self.ready = true;
        }
        let progress = self.progress.take(records);
        let applied = orders.apply(records, &progress, self.arguments.source.conflicts()).await?;
        let at: HashMap<ShardId, Timestamp> =
            records.iter().map(|record| (record.shard, record.at)).collect();
        for (shard, seq) in progress {
            let at = at.get(&shard).copied().unwrap_or_default();
            self.arguments.engine.pipeline_status().stored(shard, seq, at);
        }
        metrics::counter!(STORED_RECORDS_TOTAL).increment(records.len() as u64);
        for conflict in &applied.conflicts {
            metrics::counter!(ORDER_STORE_CONFLICTS_TOTAL).increment(1);
            tracing::error!(
                shard = %conflict.record.shard,
                seq = conflict.record.seq,
                reason = %conflict.reason,
                "a record contradicts the order store and was set aside; run `seckill audit`"
            );
        }
        Ok(applied.conflicts)
    }
}
