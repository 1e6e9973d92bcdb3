//! This engine as a [`Decider`]: router, actors, journal and its sync, and nothing else:
//! no HTTP, no relay, no order store at work. The one file that knows the engine's code.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use domain::{
    Admission, Buckets, Buy, Currency, ItemId, ItemTerms, Outcome, RequestId, SaleId, Timestamp,
    UserId,
};
use seckill::actors::{Engine, EngineOptions, Gate, KeyOrigin, Reply};
use seckill::store::checkpoint::CheckpointStore;
use seckill::store::journal::JournalId;
use seckill::store::journal::file::disk::RealDisk;
use seckill::store::journal::file::{self, FileLog};
use seckill::store::orders::OrderStore;
use tempfile::TempDir;

use super::decider::Decider;
use crate::{Error, Result};

const DRAIN_MAX: Duration = Duration::from_secs(30);
/// More callers than any measurement has: none is refused for want of a permit.
const PERMITS: usize = 16_384;

/// An engine on a directory of its own.
pub struct InProcessEngine {
    engine: Engine,
    gates: Vec<Arc<Gate>>,
    _directory: TempDir,
}

impl InProcessEngine {
    /// Starts one whose `items` have `allotted` units each.
    ///
    /// # Errors
    /// Returns [`Error::Server`] with what the engine said.
    pub async fn start(items: u32, allotted: u32) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("seckill-in-process-")
            .tempdir()
            .map_err(Error::io("making a temporary directory"))?;
        let path = directory.path();
        let orders =
            OrderStore::open_sqlite(&path.join("orders.db")).await.map_err(engine_error)?;
        orders.migrate().await.map_err(engine_error)?;
        let checkpoints = CheckpointStore::open_sqlite(&path.join("checkpoints.db"))
            .await
            .map_err(engine_error)?;
        let disk = RealDisk::open(&path.join("journal")).map_err(engine_error)?;
        let options = EngineOptions {
            shards: 64,
            virtual_nodes: 160,
            permits: PERMITS,
            reply_timeout: Duration::from_secs(30),
            clock_ahead_max: Duration::MAX,
        };
        let engine = Engine::start(
            options,
            JournalId(NonZeroU64::MIN),
            FileLog::open(Arc::new(disk), file::Options::default()),
            checkpoints,
            &orders,
            journal_failed,
        )
        .await
        .map_err(engine_error)?;
        let mut gates = Vec::new();
        for number in 1..=u64::from(items) {
            let item_id = ItemId(number);
            let reply = engine.open_item(terms(item_id, allotted)?).await;
            let gate = engine.gate(item_id);
            let gate = gate.ok_or_else(|| Error::Server(format!("item not open: {reply:?}")))?;
            gates.push(gate);
        }
        Ok(Self { engine, gates, _directory: directory })
    }
}

impl Decider for InProcessEngine {
    async fn buy(&self, user: u64, item: u32) -> bool {
        let gate = &self.gates[item as usize];
        let user_id = UserId(user);
        if gate.refusal(self.engine.now(), user_id).is_some() {
            return false;
        }
        let item_id = ItemId(u64::from(item) + 1);
        let buy = Buy { item_id, user_id, request_id: RequestId(user), quantity: 1 };
        let reply = self.engine.buy(gate, buy, KeyOrigin::Edge).await;
        matches!(reply, Reply::Decided(Outcome::Placed(_)))
    }

    async fn stop(&self) {
        self.engine.drain(DRAIN_MAX).await;
    }
}

fn terms(item_id: ItemId, allotted: u32) -> Result<ItemTerms> {
    Ok(ItemTerms {
        item_id,
        sale_id: SaleId(1),
        product_id: format!("product-{item_id}").into(),
        price: 19_900,
        currency: Currency::parse("CNY").ok_or_else(|| engine_error("CNY is no currency"))?,
        allotted,
        limit_per_user: 1,
        payment_window_milliseconds: 3_600_000,
        starts_at: Timestamp(0),
        ends_at: Timestamp::MAX,
        admission: Admission::OPEN,
        buckets: Buckets::ONE,
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape the engine asks for")]
fn journal_failed(error: io::Error) {
    eprintln!("the journal failed: {error}");
    std::process::exit(74);
}

fn engine_error(error: impl std::fmt::Display) -> Error {
    Error::Server(format!("the engine in the process: {error}"))
}
