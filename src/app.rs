//! The composition root: recovers, starts the parts, binds, and drains them in reverse.
//!
//! The only module that sees all others. Owns the order in which parts start and stop, and what the
//! configuration chooses.

mod error;
mod figures;
mod options;
pub mod recover;

pub use error::AppError;

use crate::actors::{Backends, Engine, RecoveryError, StartError};
use crate::config::Config;
use crate::demo;
use crate::descriptors;
use crate::http;
use crate::listening::{self, ReservedAddress};
use crate::opening::{self, OpenError};
use crate::sales::Sales;
use crate::sales::lifecycle;
use crate::sales::preheat::preheat_approved;
use crate::secrets;
use crate::store::catalogue::CatalogueError;
use crate::store::checkpoint::CheckpointStore;
use crate::store::data_dir::DataDir;
use crate::store::journal::file::disk::RealDisk;
use crate::store::journal::file::{self, FileLog};
use crate::store::journal::{JournalId, NotOwner};
use crate::store::orders::OrderStore;
use crate::store::orders::ownership::OwnershipError;
use metrics_exporter_prometheus::PrometheusHandle;
use rustix::process::Resource;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The running product.
pub struct App {
    engine: Engine,
    sales: Sales,
    backends: Option<Backends>,
    lifecycle: JoinHandle<()>,
    _background: Background,
    address: SocketAddr,
    operations_address: SocketAddr,
    signer: http::Signer,
    shutdown: CancellationToken,
    server: JoinHandle<io::Result<()>>,
    drain_limit: Duration,
    orders: OrderStore,
    checkpoints: CheckpointStore,
    _data_dir: Arc<DataDir>,
}

impl App {
    /// Recovers what the data directory holds, then binds and serves. A journal that fails later ends
    /// the process with code 74, because nothing can be confirmed any more. `clock_ahead_max` is how far
    /// the journal's newest record may be ahead of the wall clock.
    ///
    /// # Errors
    /// Returns [`AppError`] if a part cannot start. Nothing listens then.
    pub async fn start(
        config: &Config,
        clock_ahead_max: Duration,
        metrics: PrometheusHandle,
    ) -> Result<Self, AppError> {
        // Before anything is made on the disk: an address that is taken leaves nothing behind.
        let api = ReservedAddress::bind("http.listen", config.http.listen)?;
        let operations = listening::reserve_operations(config.operations.listen)?;
        // Before a file is opened that counts.
        let connections_max = descriptors::connections_max(config.http.connections_max);
        let (data_dir, journal_id) = opening::lock_data_dir(config)?;
        let data_dir = Arc::new(data_dir);
        let secret = secrets::signing_secret(data_dir.path())?;
        let signer = http::Signer::new(secret.expose())?;
        check_file_size_limit(config.journal.segment_bytes)?;
        let disk = RealDisk::open(&data_dir.journal()).map_err(AppError::Journal)?;
        file::check_versions(&disk)?;
        let journal = FileLog::open(Arc::new(disk), options::journal(config));

        let background = Background::start().map_err(AppError::Threads)?;
        let stores = Stores::open(config.clone(), Arc::clone(&data_dir), journal_id);
        let stores = background.run(stores).await??;
        let checkpoints = stores.checkpoints.clone();
        let options = options::engine(config, clock_ahead_max);
        let engine =
            Engine::start(options, journal_id, journal, checkpoints, &stores.orders, stop_process)
                .await?;
        if stores.is_migrated {
            check_owner(&engine, &stores.orders).await?;
        }
        let backends = start_backends(&background, config, &engine, &stores).await?;
        // On the edge's own threads, because readers wait for it.
        let read_cache = opening::read_cache(config, engine.clock())?;
        let (orders, checkpoints) = (stores.orders.clone(), stores.checkpoints);
        let sales = Sales::new(stores.orders, read_cache);
        let preheated = preheat(config.demo.enabled, &engine, &sales).await;
        if !preheated {
            tracing::warn!("approved sales wait for the catalogue; the rest goes on");
        }
        let later = (!preheated).then_some(config.demo.enabled);
        let lifecycle = keep_lifecycle(&background, &engine, &sales, later);

        let (api, address) = api.listen()?;
        let (operations, operations_address) = listening::listen_for_operations(operations)?;
        let shutdown = CancellationToken::new();
        let state = edge_state(&engine, &sales, &signer, metrics);
        let listeners = http::Listeners { api, operations };
        let options = options::http(config, connections_max);
        let server = tokio::spawn(http::serve(listeners, state, shutdown.clone(), options));
        Ok(Self {
            engine,
            sales,
            backends: Some(backends),
            lifecycle,
            _background: background,
            address,
            operations_address,
            signer,
            shutdown,
            server,
            drain_limit: Duration::from_millis(config.engine.drain_timeout_ms),
            orders,
            checkpoints,
            _data_dir: data_dir,
        })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address that it listens on for those who run the shop.
    pub fn operations_address(&self) -> SocketAddr {
        self.operations_address
    }

    /// The engine, which owns the stock.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Orders, sales and users.
    pub fn sales(&self) -> &Sales {
        &self.sales
    }

    /// The signer of tokens that this process accepts.
    pub fn signer(&self) -> &http::Signer {
        &self.signer
    }

    /// Drains: accepts no new connections, then no new requests, answers all that was admitted once it
    /// is durable, and brings the order store up to date as far as the time limit allows.
    pub async fn stop(mut self) {
        tracing::info!("draining");
        self.shutdown.cancel();
        if let Err(error) = (&mut self.server).await {
            tracing::error!(%error, "the server ended badly");
        }
        self.lifecycle.abort();
        if let Some(backends) = self.backends.take() {
            backends.stop(&self.engine, self.drain_limit).await;
        }
        self.engine.drain(self.drain_limit).await;
        // A file that was closed is whole by itself.
        let database = self.orders.database();
        let closed = async {
            tokio::join!(database.close(), self.checkpoints.close());
        };
        if tokio::time::timeout(self.drain_limit, closed).await.is_err() {
            tracing::warn!("the stores did not close in time");
        }
        tracing::info!("stopped");
    }
}

/// Refuses a limit of the size of files (`ulimit -f`) that the journal would meet in the midst of a sale.
fn check_file_size_limit(segment: u64) -> Result<(), AppError> {
    match rustix::process::getrlimit(Resource::Fsize).current {
        Some(limit) if limit < segment => Err(AppError::FileSizeLimit { limit, segment }),
        _ => Ok(()),
    }
}

/// The opened stores that engine and backends share.
struct Stores {
    orders: OrderStore,
    /// Whether the order store answered and its tables are up to date.
    is_migrated: bool,
    checkpoints: CheckpointStore,
}

impl Stores {
    /// Opens the stores. To be run on the background threads, because a connection's thread inherits
    /// the priority of the thread that opened it.
    async fn open(
        config: Config,
        data_dir: Arc<DataDir>,
        journal_id: JournalId,
    ) -> Result<Self, OpenError> {
        let orders = opening::orders(&config, &data_dir).await?;
        let checkpoints = opening::checkpoints(&config, &data_dir, journal_id).await?;
        let is_migrated = match orders.migrate().await {
            Ok(_) => true,
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "the order store is not there yet; orders wait in the journal");
                false
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self { orders, is_migrated, checkpoints })
    }
}

/// Starts relay, consumer and checkpointer on the background threads.
async fn start_backends(
    background: &Background,
    config: &Config,
    engine: &Engine,
    stores: &Stores,
) -> Result<Backends, AppError> {
    let (engine, orders) = (engine.clone(), stores.orders.clone());
    let checkpoints = stores.checkpoints.clone();
    let (options, broker) = (options::backend(config), opening::broker_address(config)?);
    background
        .run(async move { Backends::start(&engine, options, checkpoints, broker, orders) })
        .await
}

/// Ends and settles sales that are over, for as long as the engine runs. Before that, `later`, it
/// preheats as soon as the catalogue answers, and sets the demo up if it says so.
fn keep_lifecycle(
    background: &Background,
    engine: &Engine,
    sales: &Sales,
    later: Option<bool>,
) -> JoinHandle<()> {
    let (tasks, engine, sales) = (engine.tasks().clone(), engine.clone(), sales.clone());
    let _runtime = background.handle().enter();
    tasks.keep_running("sale lifecycle", move || {
        let (engine, sales) = (engine.clone(), sales.clone());
        async move {
            match later {
                Some(sets_up_demo) => preheat_later(sets_up_demo, engine, sales).await,
                None => lifecycle::run(engine, sales).await,
            }
        }
    })
}

/// Loads approved sales into their shards, then sets up the demo's sales if they are configured.
/// Returns false if the catalogue does not answer, so that this is to be done once it does.
async fn preheat(sets_up_demo: bool, engine: &Engine, sales: &Sales) -> bool {
    match preheat_approved(engine, sales).await {
        Ok(_) if sets_up_demo => match demo::set_up(engine, sales).await {
            Err(demo::DemoError::Catalogue(CatalogueError::Store(error)))
                if error.is_transient() =>
            {
                false
            }
            Err(error) => {
                tracing::warn!(%error, "the demo's sales could not be set up");
                true
            }
            Ok(()) => true,
        },
        Ok(_) => true,
        Err(_) => false,
    }
}

/// Preheats once the catalogue answers, and then ends sales that are over, for as long as the engine
/// runs.
async fn preheat_later(sets_up_demo: bool, engine: Engine, sales: Sales) {
    const LOOK: Duration = Duration::from_secs(1);
    while !preheat(sets_up_demo, &engine, &sales).await {
        tokio::time::sleep(LOOK).await;
    }
    tracing::info!("the catalogue answers: approved sales are in their shards");
    lifecycle::run(engine, sales).await;
}

fn edge_state(
    engine: &Engine,
    sales: &Sales,
    signer: &http::Signer,
    metrics: PrometheusHandle,
) -> http::AppState {
    let observed = engine.clone();
    http::AppState {
        engine: engine.clone(),
        sales: sales.clone(),
        signer: signer.clone(),
        clock: engine.clock(),
        render_metrics: Arc::new(move || {
            figures::observe(&observed);
            metrics.run_upkeep();
            metrics.render() + &figures::render(&observed)
        }),
    }
}

/// Refuses an order store of another journal, or one that has lost what only it held. One that does not
/// answer is checked again before anything is sent to it or preheated from it.
async fn check_owner(engine: &Engine, orders: &OrderStore) -> Result<(), StartError> {
    match engine.check_order_store(orders).await {
        Ok(()) => Ok(()),
        Err(OwnershipError::Store(error)) => {
            tracing::warn!(%error, "the order store does not answer any more; orders wait in the journal");
            Ok(())
        }
        Err(error) => Err(RecoveryError::from(error).into()),
    }
}

/// The backends' runtime. Dropping a runtime blocks, which an async task must not, neither when the
/// product stops nor when it fails to start; so this one is shut down without waiting.
struct Background(Option<Runtime>);

impl Background {
    /// Starts one thread of low priority, which uses the processor time that the sale leaves.
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

    /// Runs `work` on the runtime and waits for it.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, AppError> {
        let done = self.handle().spawn(work).await;
        done.map_err(|error| AppError::Threads(io::Error::other(error)))
    }

    fn handle(&self) -> &Handle {
        self.0.as_ref().expect("taken by the drop only").handle()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Ends the process after the journal failed.
fn stop_process(error: io::Error) {
    if error.get_ref().is_some_and(|inner| inner.is::<NotOwner>()) {
        tracing::error!(
            %error,
            "this process is not the shop any more and stops: another one serves from its data, or the \
             data directory was moved or replaced beneath it; what it confirmed is in the journal that \
             it wrote, requests under way were not confirmed; let one process serve, from one directory"
        );
    } else {
        tracing::error!(
            %error,
            "the journal failed: nothing more can be confirmed, the process stops; confirmed orders are \
             safe, requests under way have an unknown outcome; mend the disk and start again"
        );
    }
    // EX_IOERR of sysexits.h.
    std::process::exit(74);
}
