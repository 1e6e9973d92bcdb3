//! The consumer: brings records into the order store, many to a transaction.
//!
//! Commit, then acknowledge; a repeated delivery changes nothing. A failure that time may heal is
//! tried again for as long as it takes, with growing pauses, since the records are safe in the
//! journal. Records that do not follow what the order store holds are refused, and the relay sends what
//! is missing before them. A record that contradicts the order store is set aside with an alarm, never
//! dropped: by the broker where there is one, otherwise by the order store in the same transaction.

use super::message::Continue;
use super::source::{Arrival, RecordSource};
use super::traced::Arrivals;
use crate::actors::engine::Engine;
use crate::actors::meaning::Meaning;
use crate::actors::status::order_store_name;
use crate::clock::Stopwatch;
use crate::crash::crash_point;
use crate::store::orders::ownership::OwnershipError;
use crate::store::orders::{ApplyError, Conflict, Gap, OrderStore};
use crate::telemetry::metrics::{
    ORDER_STORE_CONFLICTS_TOTAL, ORDER_STORE_FAILURES_TOTAL, STORED_RECORDS_TOTAL,
};
use domain::{Record, ShardId};
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
}

/// Why records were not stored.
#[derive(Debug, thiserror::Error)]
enum NotStored {
    #[error(transparent)]
    Gap(Gap),
    #[error(transparent)]
    Store(#[from] OwnershipError),
}

impl From<ApplyError> for NotStored {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Gap(gap) => Self::Gap(gap),
            ApplyError::Store(error) => Self::Store(error.into()),
        }
    }
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
        Ok(ConsumerState { arguments, ready: false, broker_missed })
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
                    state.report_broker(true, Meaning::BrokerWorks);
                }
                if !arrival.records.is_empty() {
                    state.take(arrival).await;
                }
            }
            Err(error) => {
                state.broker_missed = true;
                state.report_broker(false, Meaning::BrokerUnread(error.to_string()));
            }
        }
        myself.cast(Continue)?;
        Ok(())
    }
}

impl ConsumerState {
    fn report_broker(&self, healthy: bool, meaning: Meaning) {
        let status = self.arguments.engine.pipeline_status();
        status.report("broker", "rabbitmq", healthy, meaning);
    }

    /// Stores the arrival, however long it takes, and acknowledges it. One that is refused is
    /// acknowledged too: it comes again from the journal.
    async fn take(&mut self, arrival: Arrival) {
        let has_broker = matches!(self.arguments.source, RecordSource::RabbitMq(_));
        let tracer = self.arguments.engine.tracer();
        let mut arrivals = Arrivals::begin(tracer, &arrival.records, &arrival.traces, has_broker);
        let conflicts = self.store(&arrival.records, &mut arrivals).await;
        drop(arrivals);
        crash_point("consumer-before-ack");
        if let Err(error) = self.arguments.source.acknowledge(arrival, &conflicts).await {
            tracing::warn!(%error, "what was stored could not be acknowledged and comes again");
        }
    }

    /// Stores the records, trying again until it succeeds or they are refused. Returns those that were
    /// set aside.
    async fn store(&mut self, records: &[Record], arrivals: &mut Arrivals) -> Vec<Conflict> {
        let orders = &self.arguments.orders;
        let (name, kind) = (order_store_name(orders.place()), orders.database().kind());
        let mut pause = PAUSE_FIRST;
        loop {
            crash_point("consumer-before-apply");
            let stored = self.try_to_store(records, arrivals).await;
            let status = self.arguments.engine.pipeline_status();
            match stored {
                Ok(conflicts) => {
                    crash_point("consumer-after-apply");
                    status.report(name, kind, true, Meaning::OrdersArrive);
                    return conflicts;
                }
                Err(NotStored::Gap(gap)) => {
                    arrivals.fail("refused: records before these are not stored yet");
                    status.report(name, kind, true, Meaning::OrdersArrive);
                    status.note_gap(gap.shard, gap.stored_seq);
                    return Vec::new();
                }
                Err(NotStored::Store(error)) => {
                    // The tables may have to be made anew.
                    self.ready = false;
                    metrics::counter!(ORDER_STORE_FAILURES_TOTAL).increment(1);
                    let meaning = Meaning::OrdersTriedAgain(error.to_string());
                    status.report(name, kind, false, meaning);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn try_to_store(
        &mut self,
        records: &[Record],
        arrivals: &mut Arrivals,
    ) -> Result<Vec<Conflict>, NotStored> {
        let (engine, orders) = (&self.arguments.engine, &self.arguments.orders);
        if !self.ready {
            // The tables may not have been reachable at the start.
            orders.migrate().await.map_err(OwnershipError::from)?;
            engine.stored_progress(orders).await?;
            self.ready = true;
        }
        let mut last: HashMap<ShardId, &Record> = HashMap::new();
        for record in records {
            let last = last.entry(record.shard).or_insert(record);
            *last = if record.seq > last.seq { record } else { last };
        }
        let progress: Vec<(ShardId, u64)> =
            last.iter().map(|(shard, record)| (*shard, record.seq)).collect();
        let watch = Stopwatch::start();
        let mut insertions =
            arrivals.insert(engine.tracer(), orders.database().kind(), records.len());
        let applied = orders.apply(records, &progress, self.arguments.source.conflicts()).await?;
        let took = Duration::from_nanos(watch.nanoseconds());
        engine.pipeline_status().apply_durations().observe(took, 1);
        for (shard, record) in last {
            engine.pipeline_status().stored(shard, record.seq, record.at);
        }
        metrics::counter!(STORED_RECORDS_TOTAL).increment(records.len() as u64);
        for conflict in &applied.conflicts {
            let trace_id = insertions.conflict(&conflict.record);
            metrics::counter!(ORDER_STORE_CONFLICTS_TOTAL).increment(1);
            tracing::error!(
                shard = %conflict.record.shard,
                seq = conflict.record.seq,
                reason = %conflict.reason,
                trace_id = trace_id.map(tracing::field::display),
                "a record contradicts the order store and was set aside; run `seckill audit`"
            );
        }
        insertions.end();
        Ok(applied.conflicts)
    }
}
