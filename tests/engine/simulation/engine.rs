//! The engine in the process on a simulated disk, with embedded stores in a directory of its own.

use domain::{Command, ItemId, Order};
use seckill::actors::{
    BackendOptions, Backends, Engine, EngineOptions, KeyOrigin, Reply, StartError,
};
use seckill::store::journal::file::{self, FileLog};
use simulation::disk::SimulatedDisk;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::Purchases;
use support::engine::{self, Started};

/// A running engine.
pub struct House {
    /// Its handle.
    pub engine: Engine,
    /// Times it said that its journal failed.
    pub failures: Arc<AtomicUsize>,
    backends: Option<Backends>,
}

/// How the engine of a test runs.
pub fn options() -> EngineOptions {
    EngineOptions { permits: 256, reply_timeout: Duration::from_secs(120), ..engine::options() }
}

impl House {
    /// Starts an engine on what is there, with relay, consumer and checkpointer if wanted.
    pub async fn start(
        disk: &SimulatedDisk,
        directory: &Path,
        segment_bytes: u64,
        options: EngineOptions,
        with_backends: bool,
    ) -> Result<Self, StartError> {
        let failures = Arc::new(AtomicUsize::new(0));
        let failed = Arc::clone(&failures);
        let journal = file::Options {
            segment_bytes,
            segments_ahead: 1,
            prepare_retry: Duration::from_millis(1),
        };
        let log = FileLog::open(Arc::new(disk.clone()), journal);
        let started = engine::start_on(log, directory, options, move |_| {
            failed.fetch_add(1, Ordering::AcqRel);
        });
        let Started { engine, orders, checkpoints } = started.await?;
        let backends = if with_backends {
            let options = BackendOptions {
                checkpoint_interval: Duration::from_millis(3),
                journal_check_interval: Duration::from_millis(50),
                retention: Duration::from_secs(3_600),
                batch_records: 64,
                transaction_records: 64,
                backlog_records_max: 1 << 30,
                refuse_beyond_backlog: false,
            };
            Some(Backends::start(&engine, options, checkpoints, None, orders))
        } else {
            None
        };
        Ok(Self { engine, failures, backends })
    }

    /// Drains, giving up after `limit`.
    pub async fn stop(self, limit: Duration) {
        self.engine.drain(limit).await;
        if let Some(backends) = self.backends {
            backends.stop(&self.engine, limit).await;
        }
    }

    /// Buys, by way of the gate, as the edge does.
    pub async fn buy(&self, item: u64, user: u64, request: u64) -> Reply {
        self.engine.purchase(item, user, request, KeyOrigin::Client).await
    }

    /// Pays as the order's buyer.
    pub async fn pay(&self, order: &Order) -> Reply {
        self.engine.pay(order).await
    }

    /// Cancels as the order's buyer.
    pub async fn cancel(&self, order: &Order) -> Reply {
        self.engine.cancel(order).await
    }

    /// Decides an operation on an item.
    pub async fn operate(&self, item: u64, command: Command) -> Reply {
        let gate = self.engine.gate(ItemId(item)).expect("the item is open");
        self.engine.decide_item(&gate, command).await
    }
}
