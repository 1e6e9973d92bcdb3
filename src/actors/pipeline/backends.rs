//! Starts and stops the actors behind the sale (relay, consumer and checkpointer), and watches the
//! backlog.
//!
//! They run on a runtime of their own with one thread of low priority, so that bringing the backends
//! up to date takes what the sale leaves over, and never the other way round.

use super::checkpointer::{Checkpointer, CheckpointerArguments};
use super::completeness;
use super::consumer::{Consumer, ConsumerArguments};
use super::journal_check::check_journal;
use super::relay::{Relay, RelayArguments};
use super::replica_watch;
use super::sink::{BATCHES_BETWEEN, RABBITMQ, RabbitMq, RecordSink, Transport};
use super::source::RecordSource;
use crate::actors::engine::Engine;
use crate::actors::meaning::Meaning;
use crate::actors::status::{order_replica_name, order_store_name};
use crate::actors::tasks::KilledOnDrop;
use crate::store::broker::{BrokerAddress, OrdersQueue, RabbitMqConsumer, RabbitMqPublisher};
use crate::store::checkpoint::CheckpointStore;
use crate::store::orders::OrderStore;
use crate::telemetry::metrics::ORDER_STORE_MISSING;
use futures_util::future::join_all;
use ractor::Actor;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How the backends are brought up to date.
#[derive(Clone, Copy, Debug)]
pub struct BackendOptions {
    /// Time between two rounds of checkpoints.
    pub checkpoint_interval: Duration,
    /// The pause before the journal is read again from its beginning, to find damage.
    pub journal_check_interval: Duration,
    /// How long after its end an item's orders stay in memory.
    pub retention: Duration,
    /// Records of one message to the broker.
    pub batch_records: usize,
    /// Records of one transaction in the order store.
    pub transaction_records: usize,
    /// Records of the backlog beyond which an alarm is raised.
    pub backlog_records_max: u64,
    /// Whether new purchases are refused beyond it.
    pub refuse_beyond_backlog: bool,
}

/// Messages that the broker may have delivered and that are not acknowledged yet.
const PREFETCH_MESSAGES: u16 = 64;

/// How long a process that stops waits for its checkpoints.
const CHECKPOINTS_WAIT_MAX: Duration = Duration::from_secs(2);

/// The running tasks behind the sale.
pub struct Backends {
    tasks: Vec<JoinHandle<()>>,
}

/// What the actors are made from, each time they are started.
#[derive(Clone)]
struct Parts {
    engine: Engine,
    options: BackendOptions,
    checkpoints: CheckpointStore,
    broker: Option<BrokerAddress>,
    orders: OrderStore,
}

impl Parts {
    /// Those for one order store, whose records have a queue of their own at the broker.
    fn of_store(&self, orders: OrderStore) -> Self {
        let queue = OrdersQueue::of_store(orders.place().place);
        let broker = self.broker.clone().map(|address| BrokerAddress { queue, ..address });
        Self { broker, orders, ..self.clone() }
    }
}

impl Backends {
    /// Starts the tasks on the current runtime. One that ends is run again.
    pub fn start(
        engine: &Engine,
        options: BackendOptions,
        checkpoints: CheckpointStore,
        broker: Option<BrokerAddress>,
        orders: OrderStore,
    ) -> Self {
        let status = engine.pipeline_status();
        status.set_order_stores(orders.place().stores);
        for store in orders.each() {
            let place = store.place();
            let label = place.place.to_string();
            metrics::gauge!(ORDER_STORE_MISSING, "store" => label).set(0.0);
            status.expect(order_store_name(place), store.database().kind());
            if store.has_replica() {
                status.expect(order_replica_name(place), store.database().kind());
            }
        }
        if orders.awaits_replica() {
            status.await_replicas();
        }
        status.expect("checkpoint", checkpoints.kind());
        if broker.is_some() {
            status.expect("broker", RABBITMQ);
        }
        let parts = Parts { engine: engine.clone(), options, checkpoints, broker, orders };
        let (keeping, checking, watching) = (parts.clone(), parts.clone(), parts.clone());
        let tasks = engine.tasks();
        let mut is_first = true;
        let mut running = vec![
            tasks.keep_running("checkpointer", move || {
                keep_checkpoints(keeping.clone(), std::mem::take(&mut is_first))
            }),
            tasks.keep_running("journal check", move || {
                let interval = checking.options.journal_check_interval;
                check_journal(checking.engine.clone(), interval)
            }),
            tasks.keep_running("backlog watch", move || {
                watch_backlog(watching.engine.clone(), watching.options)
            }),
        ];
        // None of them waits for another one's order store.
        for orders in parts.orders.each() {
            let moving = parts.of_store(orders);
            let counting = moving.clone();
            running.push(
                tasks.keep_running("relay and consumer", move || move_records(moving.clone())),
            );
            if counting.orders.has_replica() {
                let (engine, orders) = (counting.engine.clone(), counting.orders.clone());
                running.push(tasks.keep_running("replica watch", move || {
                    replica_watch::watch(engine.clone(), orders.clone())
                }));
            }
            running.push(tasks.keep_running("order store watch", move || {
                completeness::watch(counting.engine.clone(), counting.orders.clone())
            }));
        }
        Self { tasks: running }
    }

    /// Waits until the order store holds everything durable, but not longer than `limit`, and has the checkpoints
    /// written; then stops the tasks. The next start goes on with what is left.
    pub async fn stop(self, engine: &Engine, limit: Duration) {
        const LOOK: Duration = Duration::from_millis(10);
        let journal = &engine.context().journal;
        let emptied = async {
            // What is not durable yet, or was on its way into the journal at one look, counts at the next.
            let mut empty_looks = 0;
            while empty_looks < 2 {
                let mut waiting = 0;
                journal.visit_waiting(|_| waiting += 1);
                let is_empty = waiting == 0 && engine.pipeline_status().backlog(journal) == 0;
                empty_looks = if is_empty { empty_looks + 1 } else { 0 };
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(limit, emptied).await.is_err() {
            let left = engine.pipeline_status().backlog(journal);
            tracing::warn!(
                records = left,
                "stopping with a backlog; the next start goes on with it"
            );
        }
        let _ = tokio::time::timeout(limit.min(CHECKPOINTS_WAIT_MAX), checkpointed(engine)).await;
        for task in self.tasks {
            task.abort();
        }
    }
}

/// Brings the checkpoints of all shards up to date that are served here, so that the next start has nothing to replay
/// and finds none that was damaged.
async fn checkpointed(engine: &Engine) {
    let context = engine.context();
    let served = context.router.shards().filter(|shard| context.journal.owner(*shard).is_some());
    join_all(served.map(|shard| engine.checkpoint_requests().ask(shard))).await;
}

/// Runs relay and consumer with a transport between them until one of them ends. Neither goes on
/// without the other, because the transport in the process ends with either.
async fn move_records(parts: Parts) {
    let Parts { engine, options, broker, orders, .. } = parts;
    let status = engine.pipeline_status().clone();
    let (transport, source) = transport(&engine, options, broker);
    let relay = RelayArguments {
        engine: engine.clone(),
        sink: RecordSink {
            transport,
            orders: orders.clone(),
            status,
            migrated: false,
            tracer: engine.tracer().clone(),
        },
        batch_records: options.transaction_records,
        rush_records_max: options.backlog_records_max / 2,
    };
    let transaction_records = options.transaction_records;
    let consumer = ConsumerArguments { engine, orders, source, transaction_records };
    tokio::select! {
        () = run_actor(Relay, relay) => {}
        () = run_actor(Consumer, consumer) => {}
    }
}

/// The two ends of the transport between relay and consumer.
fn transport(
    engine: &Engine,
    options: BackendOptions,
    broker: Option<BrokerAddress>,
) -> (Transport, RecordSource) {
    let Some(address) = broker else {
        let status = engine.pipeline_status();
        status.report("broker", "in-process", true, Meaning::BrokerAbsent);
        let (batches, to_store) = mpsc::channel(BATCHES_BETWEEN);
        return (Transport::InProcess(batches), RecordSource::InProcess(to_store));
    };
    let epoch = engine.context().journal.epoch();
    let publisher = RabbitMqPublisher::new(address.clone());
    let consumer = RabbitMqConsumer::new(address, PREFETCH_MESSAGES);
    let broker = RabbitMq::new(publisher, epoch, options.batch_records);
    (Transport::RabbitMq(Box::new(broker)), RecordSource::RabbitMq(Box::new(consumer)))
}

/// Runs the checkpointer until it ends. One that is run again does not know which changes the last
/// one had taken from the shards and not written, so it begins with whole checkpoints.
async fn keep_checkpoints(parts: Parts, is_first: bool) {
    let Parts { engine, options, checkpoints, orders, .. } = parts;
    if !is_first {
        engine.context().router.shards().for_each(|shard| engine.set_mark(shard, None));
    }
    let arguments = CheckpointerArguments {
        engine,
        checkpoints,
        orders,
        interval: options.checkpoint_interval,
        retention: options.retention,
    };
    run_actor(Checkpointer, arguments).await;
}

/// Runs an actor until it ends. It is killed when this future is dropped.
async fn run_actor<A: Actor>(actor: A, arguments: A::Arguments) {
    match Actor::spawn(None, actor, arguments).await {
        Ok((actor, ended)) => {
            let _killed = KilledOnDrop(actor.get_cell());
            let _ = ended.await;
        }
        Err(error) => tracing::error!(%error, "an actor behind the sale does not start"),
    }
}

/// Raises the operator's alarm when the backlog passes the threshold, and lowers it again well below.
async fn watch_backlog(engine: Engine, options: BackendOptions) {
    const LOOK: Duration = Duration::from_millis(250);
    let status = engine.pipeline_status().clone();
    let mut raised = false;
    loop {
        tokio::time::sleep(LOOK).await;
        let backlog = status.backlog(&engine.context().journal);
        if backlog == 0 {
            status.note_empty(engine.now());
        }
        let at_start = (options.backlog_records_max, options.refuse_beyond_backlog);
        // What a replica lacks waits in the journal as well, if it is awaited.
        let backlog = backlog.max(status.unreplicated(&engine.context().journal));
        let (max, refuses) = status.backlog_limit().unwrap_or(at_start);
        // Lowered at nine tenths, so that it does not flicker.
        let beyond = backlog > if raised { max - max / 10 } else { max };
        status.set_refuses(beyond && refuses);
        if beyond != raised {
            raised = beyond;
            if raised {
                tracing::error!(
                    backlog,
                    max,
                    refusing = refuses,
                    "the backlog is beyond its threshold: orders are safe in the journal, but reach \
                     the order store late, or its replica; look at broker, order store and replica"
                );
            } else {
                tracing::info!(backlog, "the backlog is below its threshold again");
            }
        }
    }
}
