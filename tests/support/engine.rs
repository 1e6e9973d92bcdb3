//! An engine in the process on a real disk, asked as the edge asks: the gate first.

use domain::{
    Admission, Buckets, Buy, Challenge, Command, Currency, Event, ItemAction, ItemId, ItemTerms,
    Operation, Order, Outcome, RequestId, SaleId, Timestamp, UserId,
};
use seckill::actors::{Engine, EngineOptions, KeyOrigin, Reply, StartError};
use seckill::store::checkpoint::CheckpointStore;
use seckill::store::data_dir::DataDir;
use seckill::store::journal::file::disk::RealDisk;
use seckill::store::journal::file::{self, FileLog};
use seckill::store::journal::{JournalId, OpenedLog};
use seckill::store::orders::OrderStore;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The number of shards of every engine under test.
pub const SHARDS: u16 = 4;

/// How the engine of a test runs if the test has no wish of its own.
pub fn options() -> EngineOptions {
    EngineOptions {
        shards: SHARDS,
        virtual_nodes: 40,
        permits: 1_024,
        // A loaded machine is not the engine's fault.
        reply_timeout: Duration::from_secs(60),
        clock_ahead_max: Duration::MAX,
    }
}

/// An engine that has started, and the embedded stores of its directory.
pub struct Started {
    /// Its handle.
    pub engine: Engine,
    /// The order store.
    pub orders: OrderStore,
    /// The checkpoint store.
    pub checkpoints: CheckpointStore,
}

/// Starts an engine on a real disk below the directory, with the smallest segments.
///
/// # Panics
/// If it does not start, and on the journal's thread if the journal fails later.
pub async fn start(directory: &Path, options: EngineOptions) -> Started {
    let disk = RealDisk::open(&directory.join("journal")).expect("journal directory");
    let segments = file::Options {
        segment_bytes: file::SEGMENT_BYTES_MIN,
        segments_ahead: 1,
        ..file::Options::default()
    };
    let log = FileLog::open(Arc::new(disk), segments);
    let failed = |error| panic!("the journal failed: {error}");
    start_on(log, directory, options, failed).await.expect("the engine starts")
}

/// Starts an engine on this journal, with the embedded stores of the directory.
///
/// # Errors
/// Returns [`StartError`] if the engine does not start on what it finds.
///
/// # Panics
/// If the directory cannot be used.
pub async fn start_on(
    log: impl OpenedLog,
    directory: &Path,
    options: EngineOptions,
    on_failure: impl FnOnce(io::Error) + Send + 'static,
) -> Result<Started, StartError> {
    let data_dir = DataDir::look(directory);
    data_dir.agree_on_shards(options.shards).expect("recorded");
    let journal = match data_dir.recorded_identity().expect("an identity or none") {
        Some(recorded) => recorded,
        None => {
            let drawn = JournalId::random();
            data_dir.adopt_identity(drawn).expect("recorded");
            drawn
        }
    };
    let orders = OrderStore::open_sqlite(&data_dir.orders()).await.expect("order store");
    orders.migrate().await.expect("tables");
    let checkpoints =
        CheckpointStore::open_sqlite(&data_dir.checkpoints()).await.expect("checkpoints");
    let engine =
        Engine::start(options, journal, log, checkpoints.clone(), &orders, on_failure).await?;
    Ok(Started { engine, orders, checkpoints })
}

/// Terms of an item that opens at once and never ends, one unit a buyer.
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
        admission: Admission::OPEN,
        buckets: Buckets::ONE,
    }
}

/// How an item is guarded with this spread; not at all with a spread of 0.
pub fn guarded(spread_milliseconds: u32) -> Admission {
    match spread_milliseconds {
        0 => Admission::OPEN,
        _ => Admission {
            buy_token: true,
            challenge: Challenge::Proof,
            lead_seconds: 60,
            spread_milliseconds,
        },
    }
}

/// What a buyer asks of an engine.
#[expect(async_fn_in_trait, reason = "only engines implement it")]
pub trait Purchases {
    /// Buys one unit: by the gate's fast path if that decides it.
    async fn purchase(&self, item: u64, user: u64, request: u64, origin: KeyOrigin) -> Reply;

    /// Pays as the order's buyer.
    async fn pay(&self, order: &Order) -> Reply;

    /// Cancels as the order's buyer.
    async fn cancel(&self, order: &Order) -> Reply;
}

impl Purchases for Engine {
    async fn purchase(&self, item: u64, user: u64, request: u64, origin: KeyOrigin) -> Reply {
        let (item_id, user_id) = (ItemId(item), UserId(user));
        let gate = self.gate(item_id).expect("the item is open");
        if let Some(refusal) = gate.refusal(self.now(), user_id) {
            return Reply::Decided(Outcome::Refused(refusal));
        }
        let buy = Buy { item_id, user_id, request_id: RequestId(request), quantity: 1 };
        self.buy(&gate, buy, origin).await
    }

    async fn pay(&self, order: &Order) -> Reply {
        let Order { order_id, user_id, .. } = *order;
        self.decide_order(order_id, Command::Pay { order_id, user_id }).await
    }

    async fn cancel(&self, order: &Order) -> Reply {
        let Order { order_id, user_id, .. } = *order;
        self.decide_order(order_id, Command::Cancel { order_id, user_id }).await
    }
}

/// The order of a reply that placed one.
pub fn placed(reply: Reply) -> Option<Order> {
    match reply {
        Reply::Decided(Outcome::Placed(order)) => Some(order),
        _ => None,
    }
}

/// The command of an operation of which no request is known.
pub fn operate(item_id: ItemId, action: ItemAction) -> Command {
    Command::Operate(Operation::unattributed(item_id, action))
}

/// The fact of an operation of which no request is known.
pub fn operated(item_id: ItemId, action: ItemAction) -> Event {
    Event::ItemOperated(Operation::unattributed(item_id, action))
}
