//! Starts and stops the actors behind the sale (relay, consumer and checkpointer), and watches the
//! backlog.
//!
//! They run on a runtime of their own with one thread of low priority, so that bringing the backends
//! up to date takes what the sale leaves over, and never the other way round.

use super::checkpointer::{Checkpointer, CheckpointerArguments};
use super::consumer::{Consumer, ConsumerArguments};
use super::relay::{Relay, RelayArguments};
use super::sink::{BATCHES_BETWEEN, RabbitMq, RecordSink, Transport};
use super::source::RecordSource;
use crate::actors::engine::Engine;
use crate::store::broker::{BrokerAddress, RabbitMqConsumer, RabbitMqPublisher};
use crate::store::checkpoint::CheckpointStore;
use crate::store::orders::OrderStore;
use ractor::{Actor, ActorCell};
use std::time::Duration;
use tokio::sync::mpsc;

/// How the backends are brought up to date.
#[derive(Clone, Copy, Debug)]
pub struct BackendOptions {
    /// Time between two rounds of checkpoints.
    pub checkpoint_interval: Duration,
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

/// The running actors behind the sale.
pub struct Backends {
    actors: Vec<ActorCell>,
    watch: tokio::task::JoinHandle<()>,
}

impl Backends {
    /// Starts the actors on the current runtime.
    ///
    /// # Errors
    /// Returns [`ractor::SpawnErr`] if an actor does not start.
    pub async fn start(
        engine: &Engine,
        options: BackendOptions,
        checkpoints: CheckpointStore,
        broker: Option<BrokerAddress>,
        orders: OrderStore,
    ) -> Result<Self, ractor::SpawnErr> {
        let status = engine.pipeline_status().clone();
        let (transport, source) = match broker {
            None => {
                status.report("broker", "in-process", true, "records go straight to the consumer");
                let (batches, to_store) = mpsc::channel(BATCHES_BETWEEN);
                (Transport::InProcess(batches), RecordSource::InProcess(to_store))
            }
            Some(address) => {
                let epoch = engine.context().journal.epoch();
                let publisher = RabbitMqPublisher::new(address.clone());
                let consumer = RabbitMqConsumer::new(address, PREFETCH_MESSAGES);
                (
                    Transport::RabbitMq(Box::new(RabbitMq::new(
                        publisher,
                        epoch,
                        options.batch_records,
                    ))),
                    RecordSource::RabbitMq(Box::new(consumer)),
                )
            }
        };
        let relay = RelayArguments {
            engine: engine.clone(),
            sink: RecordSink { transport, orders: orders.clone(), status, migrated: false },
            batch_records: options.transaction_records,
            rush_records_max: options.backlog_records_max / 2,
        };
        let consumer = ConsumerArguments {
            engine: engine.clone(),
            orders,
            source,
            transaction_records: options.transaction_records,
        };
        let checkpointer = CheckpointerArguments {
            engine: engine.clone(),
            checkpoints,
            interval: options.checkpoint_interval,
            retention: options.retention,
        };
        let actors = vec![
            Actor::spawn(None, Relay, relay).await?.0.get_cell(),
            Actor::spawn(None, Consumer, consumer).await?.0.get_cell(),
            Actor::spawn(None, Checkpointer, checkpointer).await?.0.get_cell(),
        ];
        let watch = tokio::spawn(watch_backlog(engine.clone(), options));
        Ok(Self { actors, watch })
    }

    /// Waits until the order store holds everything durable, but not longer than `limit`; then stops
    /// the actors. The next start goes on with what is left.
    pub async fn stop(self, engine: &Engine, limit: Duration) {
        const LOOK: Duration = Duration::from_millis(10);
        let journal = &engine.context().journal;
        let emptied = async {
            while engine.pipeline_status().backlog(journal) > 0 {
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
        self.watch.abort();
        for actor in self.actors {
            actor.stop(Some("draining".to_owned()));
        }
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
        let max = options.backlog_records_max;
        // Lowered at nine tenths, so that it does not flicker.
        let beyond = backlog > if raised { max - max / 10 } else { max };
        if beyond != raised {
            raised = beyond;
            status.set_refuses(raised && options.refuse_beyond_backlog);
            if raised {
                tracing::error!(
                    backlog,
                    max,
                    refusing = options.refuse_beyond_backlog,
                    "the backlog is beyond its threshold: orders are safe in the journal, but reach \
                     the order store late; look at broker and order store"
                );
            } else {
                tracing::info!(backlog, "the backlog is below its threshold again");
            }
        }
    }
}
