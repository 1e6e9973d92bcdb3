//! An engine on a real disk, asked as the edge asks: the gate first.

use domain::{
    Buy, Command, Currency, ItemId, ItemTerms, Order, Outcome, RequestId, SaleId, Timestamp, UserId,
};
use seckill::actors::{Engine, EngineOptions, KeyOrigin, Reply};
use seckill::store::checkpoint::CheckpointStore;
use seckill::store::journal::JournalId;
use seckill::store::journal::file::disk::RealDisk;
use seckill::store::journal::file::{self, FileLog};
use seckill::store::orders::OrderStore;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A running engine and where it keeps its data.
pub struct Shop {
    /// Its handle.
    pub engine: Engine,
    directory: TempDir,
}

/// How the engine of a test runs.
pub fn options() -> EngineOptions {
    EngineOptions {
        shards: 4,
        virtual_nodes: 40,
        permits: 1_024,
        reply_timeout: Duration::from_secs(60),
    }
}

/// Terms of an item that opens at once and closes never.
pub fn terms(item: u64, allotted: u32, window_milliseconds: u64) -> ItemTerms {
    ItemTerms {
        item_id: ItemId(item),
        sale_id: SaleId(1),
        product_id: format!("product-{item}").into(),
        price: 4_999,
        currency: Currency::CNY,
        allotted,
        limit_per_user: 1,
        payment_window_milliseconds: window_milliseconds,
        starts_at: Timestamp(0),
        ends_at: Timestamp::MAX,
    }
}

/// Lets others work until it is so: for what tells nobody.
pub async fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

impl Shop {
    /// An empty shop.
    pub async fn open(options: EngineOptions) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = start(&directory, options).await;
        Self { engine, directory }
    }

    /// Drains and starts again on the same data.
    pub async fn reopen(self, options: EngineOptions) -> Self {
        let Self { engine, directory } = self;
        engine.drain(Duration::from_secs(30)).await;
        let engine = start(&directory, options).await;
        Self { engine, directory }
    }

    /// Drains.
    pub async fn close(self) {
        self.engine.drain(Duration::from_secs(30)).await;
    }

    /// Buys one unit: by the gate's fast path if that decides it.
    pub async fn buy(&self, item: u64, user: u64, request: u64, origin: KeyOrigin) -> Reply {
        let (item_id, user_id) = (ItemId(item), UserId(user));
        let gate = self.engine.gate(item_id).expect("the item is open");
        if let Some(refusal) = gate.refusal(self.engine.now(), user_id) {
            return Reply::Decided(Outcome::Refused(refusal));
        }
        let buy = Buy { item_id, user_id, request_id: RequestId(request), quantity: 1 };
        self.engine.buy(&gate, buy, origin).await
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
}

async fn start(directory: &TempDir, options: EngineOptions) -> Engine {
    let directory = directory.path();
    let orders = OrderStore::open_sqlite(&directory.join("orders.db")).await.expect("order store");
    orders.migrate().await.expect("tables");
    let checkpoints =
        CheckpointStore::open_sqlite(&directory.join("checkpoints.db")).await.expect("checkpoints");
    let disk = RealDisk::open(&directory.join("journal")).expect("journal directory");
    let segments = file::Options {
        segment_bytes: file::SEGMENT_BYTES_MIN,
        segments_ahead: 1,
        ..file::Options::default()
    };
    Engine::start(
        options,
        JournalId(NonZeroU64::MIN),
        FileLog::open(Arc::new(disk), segments),
        checkpoints,
        &orders,
        |error| panic!("{error}"),
    )
    .await
    .expect("the engine starts")
}

/// The order of a reply that placed one.
pub fn placed(reply: Reply) -> Option<Order> {
    match reply {
        Reply::Decided(Outcome::Placed(order)) => Some(order),
        _ => None,
    }
}
