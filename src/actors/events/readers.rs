//! The readers that run: added and taken away while the shop runs.

use super::buyers::Buyers;
use super::cloud_event::EventMaker;
use super::present::Present;
use super::rabbitmq::{self, RabbitMqSink};
use super::reader::{Ground, Reader};
use super::sink::{EventSink, ReaderStanding};
use super::standing::Standing;
use super::types::EventType;
use crate::actors::engine::Engine;
use crate::actors::holds::Hold;
use crate::store::broker::BrokerAddress;
use crate::store::catalogue::Catalogue;
use crate::store::database::StoreError;
use crate::store::events::EventPositions;
use crate::store::orders::OrderStore;
use crate::telemetry::metrics::{
    EVENTS_LAG_RECORDS, EVENTS_LAG_SECONDS, EVENTS_LOST_TOTAL, EVENTS_TOLD_TOTAL,
    EVENTS_UNROUTED_TOTAL,
};
use domain::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How events are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReaderOptions {
    /// What events have as their `source`: which shop it is.
    pub source: String,
    /// How much of the journal is kept at most for sinks that are behind, in bytes.
    pub retain_bytes: u64,
    /// Records that a rush may leave behind before they are told all the same.
    pub rush_records_max: u64,
}

/// From when on a sink is told, or told again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// What happens from now on.
    Now,
    /// What happened from this time on, as far as the journal has it.
    At(Timestamp),
    /// All that the journal has.
    Oldest,
}

/// The readers of an engine's journal. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct EventReaders(Arc<Inner>);

struct Inner {
    ground: Ground,
    /// Where the readers run.
    runtime: Handle,
    running: Mutex<HashMap<String, Running>>,
}

struct Running {
    task: JoinHandle<()>,
    standing: Arc<Standing>,
    ending: CancellationToken,
    ended: CancellationToken,
}

/// Keeps the journal for sinks that are yet to come.
pub struct JournalHold {
    _hold: Arc<Hold>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl EventReaders {
    /// No readers yet. They will run on the current runtime, and keep their positions beside the orders.
    pub fn new(engine: &Engine, orders: &OrderStore, options: &ReaderOptions) -> Self {
        engine.holds().set_retain_bytes(options.retain_bytes);
        // So that they are there before anything is told.
        begin_at_zero(rabbitmq::NAME);
        for kind in EventType::ALL {
            metrics::counter!(EVENTS_UNROUTED_TOTAL, "type" => kind.name()).increment(0);
        }
        let ground = Ground {
            engine: engine.clone(),
            orders: orders.clone(),
            positions: EventPositions::new(orders.database()),
            buyers: Buyers::new(Catalogue::new(orders.database())),
            maker: EventMaker::new(engine.journal_id(), &options.source),
            rush_records_max: options.rush_records_max,
        };
        let (runtime, running) = (Handle::current(), Mutex::default());
        Self(Arc::new(Inner { ground, runtime, running }))
    }

    /// Has a sink told, which `make` makes, again after a defect. `name` is 1 to 64 letters, digits, `-`, `_` and `:` and
    /// stays the same for ever: the positions in the database have it, and so have the metrics. One that was told
    /// before goes on where it is; a new one begins where `begin` says. A reader of the same name ends.
    ///
    /// In a cluster every node adds the sink, and tells it of the shards that it serves.
    pub fn add<S: EventSink>(
        &self,
        name: &str,
        begin: Begin,
        mut make: impl FnMut() -> S + Send + 'static,
    ) {
        let Inner { ground, runtime, running } = &*self.0;
        let engine = &ground.engine;
        begin_at_zero(name);
        let hold = engine.holds().add(usize::from(engine.shards()));
        let standing = Arc::new(Standing::new(hold, engine.now()));
        let (ending, ended) = (CancellationToken::new(), CancellationToken::new());
        let (shared, name_shared): (_, Arc<str>) = (ground.clone(), name.into());
        let first = self.time_of(begin);
        let parts = (Arc::clone(&standing), ending.clone(), ended.clone());
        let reader = move || {
            let (standing, ending, ended) = parts.clone();
            let (ground, name) = (shared.clone(), Arc::clone(&name_shared));
            let present = Present::default();
            Reader { ground, name, first, sink: make(), present, standing, ending, ended }.run()
        };
        let task = {
            let _runtime = runtime.enter();
            engine.tasks().keep_running(S::TASK, reader)
        };
        let started = Running { task, standing, ending, ended };
        running.lock().insert(name.to_owned(), started);
    }

    /// Keeps all of the journal, up to the limit, until what is returned is dropped: for sinks that are not known yet,
    /// because the store that has them does not answer. To be called before anything is deleted from the journal.
    pub fn hold(&self) -> JournalHold {
        let engine = &self.0.ground.engine;
        JournalHold { _hold: engine.holds().add(usize::from(engine.shards())) }
    }

    /// Has events announced at the exchange `seckill.events` of a RabbitMQ, from now on if that is new.
    pub fn announce_at(&self, address: BrokerAddress) {
        let engine = self.0.ground.engine.clone();
        self.add(rabbitmq::NAME, Begin::Now, move || RabbitMqSink::new(&engine, address.clone()));
    }

    /// Tells a sink no more. Its positions stay, so that it goes on from there when it is added again; the journal
    /// keeps nothing for it meanwhile.
    pub fn remove(&self, name: &str) {
        self.0.running.lock().remove(name);
        show_nothing(name);
    }

    /// Tells a sink no more, and forgets its positions.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer: they are there still.
    pub async fn forget(&self, name: &str) -> Result<(), StoreError> {
        self.remove(name);
        self.0.ground.positions.forget(name).await
    }

    /// Has a sink told again what happened since then, as far as the journal has it; at every node, within a second or
    /// so.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer. It may be told again all the same.
    pub async fn replay(&self, name: &str, begin: Begin) -> Result<(), StoreError> {
        self.0.ground.positions.begin_again(name, self.time_of(begin)).await.map(drop)
    }

    /// How far a sink's reader is; none if there is no such reader.
    pub fn standing(&self, name: &str) -> Option<ReaderStanding> {
        let running = self.0.running.lock();
        running.get(name).map(|reader| reader.standing.now(&self.0.ground.engine))
    }

    /// Ends all readers, each behind what it is delivering and once that is kept, but not later than `limit`.
    pub async fn stop(&self, limit: Duration) {
        let running = std::mem::take(&mut *self.0.running.lock());
        running.values().for_each(|reader| reader.ending.cancel());
        let ended = async {
            for reader in running.values() {
                reader.ended.cancelled().await;
            }
        };
        if tokio::time::timeout(limit, ended).await.is_err() {
            tracing::info!(
                "a receiver of events took too long: it is told again what it was being told"
            );
        }
    }

    fn time_of(&self, begin: Begin) -> Timestamp {
        match begin {
            Begin::Now => self.0.ground.engine.now(),
            // Behind a time to come it would tell nothing until then.
            Begin::At(at) => at.min(self.0.ground.engine.now()),
            Begin::Oldest => Timestamp::default(),
        }
    }
}

/// Lets a sink's figures exist before anything is counted.
fn begin_at_zero(sink: &str) {
    let label = || [("sink", sink.to_owned())];
    for name in [EVENTS_TOLD_TOTAL, EVENTS_LOST_TOTAL] {
        metrics::counter!(name, &label()).increment(0);
    }
    show_nothing(sink);
}

/// Nobody waits for anything.
fn show_nothing(sink: &str) {
    for name in [EVENTS_LAG_RECORDS, EVENTS_LAG_SECONDS] {
        metrics::gauge!(name, "sink" => sink.to_owned()).set(0.0);
    }
}
