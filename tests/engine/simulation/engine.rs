//! The engine in the process on a simulated disk, with embedded stores in a directory of its own.

use super::disk::SimulatedDisk;
use domain::{
    Buy, Command, Currency, ItemId, ItemTerms, Order, RequestId, SaleId, Timestamp, UserId,
};
use seckill::actors::{
    BackendOptions, Backends, Engine, EngineOptions, KeyOrigin, Reply, StartError,
};
use seckill::store::checkpoint::CheckpointStore;
use seckill::store::journal::JournalId;
use seckill::store::journal::file::{self, FileLog};
use seckill::store::orders::OrderStore;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Shards of the engines under test.
pub const SHARDS: u16 = 4;

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
    EngineOptions {
        shards: SHARDS,
        virtual_nodes: 40,
        permits: 256,
        // A loaded machine is not the engine's fault.
        reply_timeout: Duration::from_secs(120),
    }
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
        let (orders, checkpoints) = stores(directory).await;
        let failures = Arc::new(AtomicUsize::new(0));
        let failed = Arc::clone(&failures);
        let journal = file::Options {
            segment_bytes,
            segments_ahead: 1,
            prepare_retry: Duration::from_millis(1),
        };
        let engine = Engine::start(
            options,
            JournalId(NonZeroU64::MIN),
            FileLog::open(Arc::new(disk.clone()), journal),
            checkpoints.clone(),
            &orders,
            move |_| {
                failed.fetch_add(1, Ordering::AcqRel);
            },
        )
        .await?;
        let backends = if with_backends {
            let options = BackendOptions {
                checkpoint_interval: Duration::from_millis(3),
                retention: Duration::from_secs(3_600),
                batch_records: 64,
                transaction_records: 64,
                backlog_records_max: 1 << 30,
                refuse_beyond_backlog: false,
            };
            Some(Backends::start(&engine, options, checkpoints, None, orders).await?)
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
        let gate = self.engine.gate(ItemId(item)).expect("the item is open");
        let (item_id, user_id) = (ItemId(item), UserId(user));
        if let Some(refusal) = gate.refusal(self.engine.now(), user_id) {
            return Reply::Decided(domain::Outcome::Refused(refusal));
        }
        let buy = Buy { item_id, user_id, request_id: RequestId(request), quantity: 1 };
        self.engine.buy(&gate, buy, KeyOrigin::Client).await
    }

    /// Pays as the order's buyer.
    pub async fn pay(&self, order: &Order) -> Reply {
        let Order { order_id, user_id, .. } = *order;
        self.engine.decide_order(order_id, Command::Pay { order_id, user_id }).await
    }

    /// Cancels as the order's buyer.
    pub async fn cancel(&self, order: &Order) -> Reply {
        let Order { order_id, user_id, .. } = *order;
        self.engine.decide_order(order_id, Command::Cancel { order_id, user_id }).await
    }

    /// Decides an operation on an item.
    pub async fn operate(&self, item: u64, command: Command) -> Reply {
        let gate = self.engine.gate(ItemId(item)).expect("the item is open");
        self.engine.decide_item(&gate, command).await
    }
}

/// The embedded stores of a directory.
pub async fn stores(directory: &Path) -> (OrderStore, CheckpointStore) {
    let orders = OrderStore::open_sqlite(&directory.join("orders.db")).await.expect("order store");
    orders.migrate().await.expect("tables");
    let checkpoints =
        CheckpointStore::open_sqlite(&directory.join("checkpoints.db")).await.expect("checkpoints");
    (orders, checkpoints)
}

/// Terms of an item that opens at once and closes never.
pub fn terms(item: u64, allotted: u32, window_milliseconds: u64) -> ItemTerms {
    ItemTerms {
        item_id: ItemId(item),
        sale_id: SaleId(1),
        product_id: format!("product-{item}").into(),
        price: 100 + item,
        currency: Currency::CNY,
        allotted,
        limit_per_user: 1,
        payment_window_milliseconds: window_milliseconds,
        starts_at: Timestamp(0),
        ends_at: Timestamp::MAX,
    }
}
