//! One engine of several, as a node of a cluster would run it.

use domain::{ShardId, Timestamp};
use seckill::actors::cluster::Takeover;
use seckill::actors::{BackendOptions, Backends, Engine, EngineOptions};
use seckill::store::checkpoint::CheckpointStore;
use seckill::store::database::Database;
use seckill::store::journal::JournalId;
use seckill::store::journal::fenced::{
    Committer, CommitterOptions, FencedLog, MemoryLog, OwnedShards, Session,
};
use seckill::store::orders::OrderStore;
use seckill::store::registry::NodeRecord;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use support::engine;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

static LEASES: AtomicI64 = AtomicI64::new(1);

/// What all nodes of a cluster share.
#[derive(Clone)]
pub struct Stores {
    pub log: MemoryLog,
    pub checkpoints: CheckpointStore,
    pub orders: OrderStore,
    journal_id: JournalId,
}

impl Stores {
    /// Stores in a directory, and an empty log.
    pub async fn open(directory: &Path) -> Self {
        Self::with_order_stores(directory, 1).await
    }

    /// The same with so many order stores, among which the orders are divided.
    pub async fn with_order_stores(directory: &Path, count: u16) -> Self {
        let mut databases = Vec::new();
        for place in 0..count {
            let path = directory.join(format!("orders-{place}.db"));
            databases.push(Database::open_sqlite(&path).await.expect("a database"));
        }
        let orders = OrderStore::over(&databases).expect("a few");
        orders.migrate().await.expect("tables");
        let checkpoints = CheckpointStore::open_sqlite(&directory.join("checkpoints.db")).await;
        let checkpoints = checkpoints.expect("checkpoints");
        let log = MemoryLog::default();
        Self { log, checkpoints, orders, journal_id: JournalId::random() }
    }
}

/// Starts an engine without shards, whose appends go through `log`, with what is behind it.
pub async fn start<L: FencedLog>(
    stores: &Stores,
    (appends, log): (L, L),
    checkpoint_interval: Duration,
    on_failure: impl FnOnce(io::Error) + Send + 'static,
) -> (Takeover<L>, Backends) {
    let owned: Arc<OwnedShards> = Arc::default();
    let pause = Duration::from_millis(1);
    let committer = Committer::new(
        Arc::new(appends),
        Arc::clone(&owned),
        Handle::current(),
        CommitterOptions { pause },
    );
    // Longer than a test waits: who is answered while the log is silent is answered for its silence.
    let reply_timeout = Duration::from_secs(600);
    let options = EngineOptions { permits: 256, reply_timeout, ..engine::options() };
    let (journal_id, checkpoints) = (stores.journal_id, stores.checkpoints.clone());
    let engine =
        Engine::start_without_shards(options, journal_id, committer, checkpoints, on_failure);
    let engine = engine.await.expect("an engine");
    let options = BackendOptions {
        checkpoint_interval,
        journal_check_interval: Duration::from_millis(50),
        retention: Duration::from_secs(3_600),
        batch_records: 64,
        transaction_records: 64,
        backlog_records_max: 1 << 30,
        refuse_beyond_backlog: false,
    };
    let (checkpoints, orders) = (stores.checkpoints.clone(), stores.orders.clone());
    let backends = Backends::start(&engine, options, checkpoints, None, orders);
    let takeover = Takeover {
        engine,
        log: Arc::new(log),
        owned,
        checkpoints: stores.checkpoints.clone(),
        orders: stores.orders.clone(),
        clock_ahead_max: Duration::from_secs(1),
    };
    (takeover, backends)
}

/// A node whose shards a test moves.
pub struct Node {
    pub name: String,
    pub takeover: Takeover<MemoryLog>,
    backends: Backends,
    /// Held while a shard moves: the session that it moves by.
    session: Mutex<Session>,
}

impl Node {
    /// A node without shards, whose appends meet the fates of `log`.
    pub async fn start(
        name: &str,
        stores: &Stores,
        log: MemoryLog,
        checkpoint_interval: Duration,
    ) -> Self {
        let logs = (log, stores.log.clone());
        let failed = |error| panic!("the journal failed: {error}");
        let (takeover, backends) = start(stores, logs, checkpoint_interval, failed).await;
        let session = begin(&stores.log, name);
        // The lease that answers rest on is not what these tests are about.
        takeover.engine.lease().extend(Timestamp::MAX);
        let session = Mutex::new(session);
        Self { name: name.to_owned(), takeover, backends, session }
    }

    /// The node's engine.
    pub fn engine(&self) -> &Engine {
        &self.takeover.engine
    }

    /// Takes a shard that nobody owns.
    pub async fn take(&self, shard: ShardId) {
        let session = self.session.lock().await;
        // What it lost and has not let go yet is in its way.
        self.let_go_if_served(shard).await;
        self.takeover.take(&session, shard).await.expect("a shard that nobody owns");
    }

    /// Gives a shard away, if it still has it.
    pub async fn hand_over(&self, shard: ShardId) {
        let _moving = self.session.lock().await;
        self.takeover.hand_over(shard).await.expect("given back");
    }

    /// Notes, late, that a shard is another node's.
    pub async fn let_go(&self, shard: ShardId) {
        let _moving = self.session.lock().await;
        self.let_go_if_served(shard).await;
    }

    async fn let_go_if_served(&self, shard: ShardId) {
        let is_own = self.takeover.log.owner(shard).is_some_and(|(node, _)| node == self.name);
        if !is_own && self.engine().served_shards().contains(&shard) {
            self.takeover.let_go(shard).await;
        }
    }

    /// Lets go what its journal finds to be another node's, for ever.
    pub async fn watch(&self) {
        loop {
            let lost = self.engine().next_lost_shard().await;
            self.let_go(lost).await;
        }
    }

    /// The node's lease ends wrongly, and `shard` with it; the node takes all else back at once.
    pub async fn lose_lease_over(&self, shard: ShardId) {
        let mut session = self.session.lock().await;
        let (takeover, log) = (&self.takeover, &self.takeover.log);
        log.expire(session.lease);
        *session = begin(log, &self.name);
        for kept in takeover.owned.shards().into_iter().filter(|kept| *kept != shard) {
            let claim = takeover.owned.claim(kept).expect("its own");
            log.renew(&session, &claim).await.expect("nobody claimed it");
        }
    }

    /// Stops, once everything durable is in the order store.
    pub async fn stop(self) {
        const LIMIT: Duration = Duration::from_secs(20);
        self.takeover.engine.drain(LIMIT).await;
        self.backends.stop(&self.takeover.engine, LIMIT).await;
    }
}

/// A new session of a node, whose lease lives.
fn begin(log: &MemoryLog, node: &str) -> Session {
    let lease = LEASES.fetch_add(1, Ordering::Relaxed);
    let session = Session { node: node.to_owned(), incarnation: 1, lease };
    log.grant(&session);
    session
}

/// What a node says of itself that is asked nothing by others.
pub fn record(incarnation: u64) -> NodeRecord {
    NodeRecord {
        incarnation,
        peer_address: String::new(),
        http_address: String::new(),
        version: String::new(),
        secret_fingerprint: String::new(),
        config_version: 0,
        is_draining: false,
        unable: Vec::new(),
    }
}
