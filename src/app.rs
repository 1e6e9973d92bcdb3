//! The composition root: recovers, starts the parts, binds, and drains them in reverse.
//!
//! The only place that sees everything. Owns the order of things, and what is chosen by
//! configuration.

use crate::actors::{BackendOptions, Backends, Engine, EngineOptions, RecoveryError, StartError};
use crate::config::{Config, WhenExceeded};
use crate::demo;
use crate::http;
use crate::sales::Sales;
use crate::sales::lifecycle::keep_sale_lifecycle;
use crate::sales::preheat::preheat_approved;
use crate::secrets;
use crate::store::broker::BrokerAddress;
use crate::store::checkpoint::{CheckpointError, CheckpointStore};
use crate::store::data_dir::{DataDir, DataDirError};
use crate::store::database::{Database, StoreError};
use crate::store::journal;
use crate::store::journal::disk::{Disk, RealDisk};
use crate::store::orders::OrderStore;
use crate::store::orders::ownership::OwnershipError;
use crate::store::read_cache::ReadCache;
use crate::store::redis_connection::RedisAddress;
use crate::telemetry;
use metrics::{counter, gauge};
use metrics_exporter_prometheus::PrometheusHandle;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Why the process cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The signing secret.
    #[error(transparent)]
    Secret(#[from] secrets::Error),
    /// The signing secret is no good.
    #[error(transparent)]
    Signer(#[from] http::SecretTooShort),
    /// The journal's directory.
    #[error("the journal's directory cannot be opened: {0}")]
    Journal(#[source] io::Error),
    /// The checkpoints.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointError),
    /// The read cache's address.
    #[error("checkpoint.redis_url: {0}")]
    ReadCache(String),
    /// The order store.
    #[error("the order store cannot be opened: {0}")]
    Orders(#[from] StoreError),
    /// The engine.
    #[error(transparent)]
    Engine(StartError),
    /// The checkpoints are another shop's.
    #[error(transparent)]
    ForeignCheckpoint(StartError),
    /// The order store is another shop's, or holds what the journal has lost.
    #[error(transparent)]
    ForeignOrders(StartError),
    /// The certificate that the configuration names.
    #[error("{path}: {source}", path = .path.display())]
    Certificate {
        /// Which file.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The threads.
    #[error("the threads cannot be started: {0}")]
    Threads(#[source] io::Error),
    /// The socket.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl From<StartError> for AppError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Recovery(RecoveryError::ForeignCheckpoint(_)) => {
                Self::ForeignCheckpoint(error)
            }
            StartError::Recovery(RecoveryError::ForeignOrders(_)) => Self::ForeignOrders(error),
            error => Self::Engine(error),
        }
    }
}

/// How often the catalogue is looked through for sales that are over.
const CLOSING_PERIOD: Duration = Duration::from_secs(10);

/// The running product.
pub struct App {
    engine: Engine,
    sales: Sales,
    backends: Option<Backends>,
    closing: JoinHandle<()>,
    _background: Background,
    address: SocketAddr,
    signer: http::Signer,
    shutdown: CancellationToken,
    server: JoinHandle<io::Result<()>>,
    drain_limit: Duration,
    _data_dir: DataDir,
}

impl App {
    /// Takes up what the data directory holds and serves. A journal that fails ends the process
    /// with code 74: nothing can be confirmed any more.
    ///
    /// # Errors
    /// Where a part cannot start. Nothing listens then.
    pub async fn start(config: &Config, metrics: PrometheusHandle) -> Result<Self, AppError> {
        let data_dir = DataDir::lock(&config.data.dir)?;
        data_dir.agree_on_shards(config.engine.shards)?;
        let journal_id = data_dir.agree_on_identity()?;
        let secret = secrets::signing_secret(data_dir.path())?;
        let signer = http::Signer::new(secret.expose())?;
        let disk: Arc<dyn Disk> =
            Arc::new(RealDisk::open(&data_dir.journal()).map_err(AppError::Journal)?);

        let background = Background::start().map_err(AppError::Threads)?;
        let (orders_path, checkpoints_path) = (data_dir.orders(), data_dir.checkpoints());
        let mysql_url = config.orders.mysql_url.clone();
        let connections = config.orders.connections;
        let redis = redis_address(config)?;
        let redis_of_reads = redis.clone();
        let opened = background.handle().spawn(async move {
            let database = match mysql_url {
                Some(url) => Database::open_mysql(url.secret(), connections)?,
                None => Database::open_sqlite(&orders_path).await?,
            };
            let checkpoints = match redis {
                Some(address) => CheckpointStore::open_redis(address, journal_id)?,
                None => CheckpointStore::open_sqlite(&checkpoints_path).await?,
            };
            // Here too, because a connection's thread has the priority of whoever opened it.
            let orders = OrderStore::new(&database);
            let migrated = orders.migrate().await;
            match &migrated {
                Ok(()) => {}
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "the order store is not there yet; orders wait in the journal");
                }
                Err(error) => return Err(error.clone().into()),
            }
            Ok::<_, AppError>((orders, migrated.is_ok(), checkpoints))
        });
        let (orders, reachable, checkpoints) =
            opened.await.map_err(|error| AppError::Threads(io::Error::other(error)))??;

        let options = engine_options(config);
        let engine =
            Engine::start(options, journal_id, disk, checkpoints.clone(), &orders, stop_process)
                .await?;
        if reachable {
            check_owner(&engine, &orders).await?;
        }
        let started = {
            let (engine, orders) = (engine.clone(), orders.clone());
            let (options, broker) = (backend_options(config), broker_address(config)?);
            background.handle().spawn(async move {
                Backends::start(&engine, options, checkpoints, broker, orders).await
            })
        };
        let backends = started
            .await
            .map_err(|error| AppError::Threads(io::Error::other(error)))?
            .map_err(StartError::Actors)?;
        // On the edge's own threads: readers wait for it.
        let read_cache =
            ReadCache::new(redis_of_reads.as_ref(), engine.clock()).map_err(AppError::ReadCache)?;
        let sales = Sales::new(orders, read_cache);
        match preheat_approved(&engine, &sales).await {
            Ok(_) if config.demo.enabled => {
                if let Err(error) = demo::set_up(&engine, &sales).await {
                    tracing::warn!(%error, "the demo's sales could not be set up");
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "approved sales wait for their preheat; approve again to go on");
            }
        }

        let closing = background.handle().spawn(keep_sale_lifecycle(
            engine.clone(),
            sales.clone(),
            CLOSING_PERIOD,
        ));
        let listener = TcpListener::bind(config.http.listen)
            .await
            .map_err(|source| AppError::Listen { address: config.http.listen, source })?;
        let address = listener
            .local_addr()
            .map_err(|source| AppError::Listen { address: config.http.listen, source })?;
        let shutdown = CancellationToken::new();
        let observed = engine.clone();
        let state = http::AppState {
            engine: engine.clone(),
            sales: sales.clone(),
            signer: signer.clone(),
            clock: engine.clock(),
            render_metrics: Arc::new(move || {
                observe(&observed);
                metrics.run_upkeep();
                metrics.render()
            }),
        };
        let server =
            tokio::spawn(http::serve(listener, state, shutdown.clone(), http_options(config)));
        Ok(Self {
            engine,
            sales,
            backends: Some(backends),
            closing,
            _background: background,
            address,
            signer,
            shutdown,
            server,
            drain_limit: Duration::from_millis(config.engine.drain_timeout_ms),
            _data_dir: data_dir,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Orders, sales and users.
    pub fn sales(&self) -> &Sales {
        &self.sales
    }

    /// What makes tokens that this process accepts.
    pub fn signer(&self) -> &http::Signer {
        &self.signer
    }

    /// Drains: no new connections, then no new requests, everything admitted answered and durable,
    /// the order store brought up to date as far as the limit allows.
    pub async fn stop(mut self) {
        tracing::info!("draining");
        self.shutdown.cancel();
        if let Err(error) = (&mut self.server).await {
            tracing::error!(%error, "the server ended badly");
        }
        self.closing.abort();
        if let Some(backends) = self.backends.take() {
            backends.stop(&self.engine, self.drain_limit).await;
        }
        self.engine.drain(self.drain_limit).await;
        tracing::info!("stopped");
    }
}

/// Refuses an order store of another journal. One that does not answer is asked again before anything
/// is sent to it or preheated from it.
async fn check_owner(engine: &Engine, orders: &OrderStore) -> Result<(), StartError> {
    match engine.stored_progress(orders).await {
        Ok(_) => Ok(()),
        Err(OwnershipError::Store(error)) => {
            tracing::warn!(%error, "the order store is gone again; orders wait in the journal");
            Ok(())
        }
        Err(error) => Err(RecoveryError::from(error).into()),
    }
}

/// The backends' runtime. Dropping a runtime blocks, which an async task must not, neither when the
/// product stops nor when it fails to start; so this one is let go without waiting.
struct Background(Option<Runtime>);

impl Background {
    /// One thread of low priority: what the sale leaves over.
    fn start() -> io::Result<Self> {
        const NICENESS: i32 = 19;
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("seckill-behind")
            .enable_all()
            .on_thread_start(|| {
                // On Linux this is the calling thread's priority. Without the right to lower it the
                // backends compete with the sale, which is slower and not wrong.
                if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                    tracing::warn!(%error, "the backends' thread keeps its priority");
                }
            })
            .build()
            .map(|runtime| Self(Some(runtime)))
    }

    fn handle(&self) -> &Handle {
        self.0.as_ref().expect("held until the drop").handle()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn stop_process(error: io::Error) {
    tracing::error!(
        %error,
        "the journal failed: nothing more can be confirmed, the process stops; confirmed orders are \
         safe, requests under way have an unknown outcome; mend the disk and start again"
    );
    // EX_IOERR of sysexits.h.
    std::process::exit(74);
}

fn engine_options(config: &Config) -> EngineOptions {
    EngineOptions {
        shards: config.engine.shards,
        virtual_nodes: config.engine.virtual_nodes,
        permits: config.engine.permits as usize,
        reply_timeout: Duration::from_millis(config.engine.reply_timeout_ms),
        journal: journal::Options {
            segment_bytes: config.journal.segment_bytes,
            segments_ahead: usize::from(config.journal.segments_ahead),
            ..journal::Options::default()
        },
    }
}

/// Where checkpoints go, if not to a file of this process.
fn redis_address(config: &Config) -> Result<Option<RedisAddress>, AppError> {
    let Some(url) = &config.checkpoint.redis_url else { return Ok(None) };
    let root_certificate = match &config.checkpoint.redis_ca_file {
        None => None,
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|source| AppError::Certificate { path: path.clone(), source })?,
        ),
    };
    Ok(Some(RedisAddress { url: url.secret().clone(), root_certificate }))
}

/// What lies between journal and order store, if not a channel in this process.
fn broker_address(config: &Config) -> Result<Option<BrokerAddress>, AppError> {
    let Some(url) = &config.broker.amqp_url else { return Ok(None) };
    let root_certificate = match &config.broker.amqp_ca_file {
        None => None,
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|source| AppError::Certificate { path: path.clone(), source })?,
        ),
    };
    let confirm_timeout = Duration::from_millis(config.broker.confirm_timeout_ms);
    Ok(Some(BrokerAddress { url: url.secret().clone(), root_certificate, confirm_timeout }))
}

fn backend_options(config: &Config) -> BackendOptions {
    BackendOptions {
        checkpoint_interval: Duration::from_millis(config.checkpoint.interval_ms),
        retention: Duration::from_secs(3_600),
        batch_records: config.broker.batch_records as usize,
        transaction_records: config.orders.batch_records as usize,
        backlog_records_max: config.backlog.records_max,
        refuse_beyond_backlog: config.backlog.when_exceeded == WhenExceeded::Refuse,
    }
}

fn http_options(config: &Config) -> http::Options {
    let milliseconds = Duration::from_millis;
    let settings = &config.http;
    http::Options {
        connections_max: settings.connections_max as usize,
        headers_max: settings.headers_max as usize,
        header_bytes_max: settings.header_bytes_max as usize,
        body_bytes_max: settings.body_bytes_max as usize,
        admin_body_bytes_max: settings.admin_body_bytes_max as usize,
        buy_body_bytes_max: settings.buy_body_bytes_max as usize,
        header_timeout: milliseconds(settings.header_timeout_ms),
        body_timeout: milliseconds(settings.body_timeout_ms),
        write_timeout: milliseconds(settings.write_timeout_ms),
        idle_timeout: milliseconds(settings.idle_timeout_ms),
        request_timeout: milliseconds(settings.request_timeout_ms),
        drain_timeout: milliseconds(settings.drain_timeout_ms),
        http2_streams_max: settings.max_http2_streams,
        http2_resets_max: settings.max_http2_resets as usize,
        event_streams_max: settings.event_streams_max as usize,
        event_heartbeat: milliseconds(settings.event_heartbeat_ms),
        password_hashes_max: settings.password_hashes_max as usize,
        password_queue_max: settings.password_queue_max as usize,
        token_lifetime_seconds: config.tokens.ttl_seconds,
        sandbox_payments: config.payments.sandbox,
        sandbox_delay_max: milliseconds(config.payments.sandbox_delay_ms_max),
    }
}

/// Shows the engine's state as of now among the metrics.
fn observe(engine: &Engine) {
    let status = engine.status();
    gauge!(telemetry::PERMITS).set(status.permits as f64);
    gauge!(telemetry::PERMITS_USED).set(status.permits_used as f64);
    gauge!(telemetry::MAILBOX_DEPTH).set(status.mailbox_depth as f64);
    gauge!(telemetry::SHARDS).set(status.shards as f64);
    gauge!(telemetry::SHARDS_UP).set(status.shards_up as f64);
    gauge!(telemetry::ITEMS_QUARANTINED).set(status.quarantined_items.len() as f64);
    counter!(telemetry::JOURNAL_RECORDS_TOTAL).absolute(status.journal.records);
    counter!(telemetry::JOURNAL_BYTES_TOTAL).absolute(status.journal.bytes);
    counter!(telemetry::JOURNAL_SYNCS_TOTAL).absolute(status.journal.syncs);
    gauge!(telemetry::JOURNAL_SYNC_SECONDS_SUM).set(status.journal.sync_seconds);
    gauge!(telemetry::BACKLOG_RECORDS).set(status.backlog_records as f64);
    gauge!(telemetry::BACKLOG_AGE_SECONDS).set(status.backlog_age_seconds);
    gauge!(telemetry::CHECKPOINT_AGE_SECONDS).set(status.checkpoint_age_seconds);
    gauge!(telemetry::WALL_CLOCK_DRIFT_SECONDS).set(status.wall_drift_seconds);
    for dependency in &status.dependencies {
        let up = f64::from(u8::from(dependency.healthy));
        gauge!(telemetry::DEPENDENCY_UP, "name" => dependency.name, "kind" => dependency.kind)
            .set(up);
    }
    for gate in engine.gates() {
        let (item, counters) = (gate.terms().item_id.to_string(), gate.counters());
        for (state, units) in [
            ("allotted", counters.allotted),
            ("available", counters.available),
            ("reserved", counters.reserved),
            ("sold", counters.sold),
        ] {
            gauge!(telemetry::ITEM_UNITS, "item" => item.clone(), "state" => state)
                .set(f64::from(units));
        }
    }
}
