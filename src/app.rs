//! The composition root: recovers, starts the parts, binds, and drains them in reverse.
//!
//! The only module that sees all others. Owns the order in which parts start and stop, and what the
//! configuration chooses.

mod background;
pub mod backup;
mod beginnings;
mod carrier;
mod clocks;
mod cluster;
mod error;
mod events;
pub mod export;
mod external;
mod figures;
pub mod founding;
pub mod gateway;
pub mod issuer;
mod journal_failure;
mod kept_files;
pub mod live;
mod options;
mod peers;
mod progress;
mod provider;
pub mod recover;
mod settings;
mod signer;
pub mod steering;
mod stores;
mod tls;
mod traces;
mod webhooks;

pub use cluster::ClusterError;
pub use error::AppError;
pub use signer::signer;

use crate::actors::{Backends, Engine, EventReaders, RecoveryError, StartError};
use crate::config::{Config, Invalid, Loaded};
use crate::demo;
use crate::descriptors;
use crate::http;
use crate::listening::{self, ListenError, PassedSockets, ReservedAddress};
use crate::opening::{self, Identity};
use crate::sales::Sales;
use crate::sales::preheat::preheat_approved;
use crate::sales::{completeness, lifecycle};
use crate::secrets;
use crate::service_manager::ServiceManager;
use crate::store::catalogue::CatalogueError;
use crate::store::data_dir::DataDir;
use crate::store::journal::JournalId;
use crate::store::orders::OrderStore;
use crate::store::orders::ownership::OwnershipError;
use crate::store::settings::SettingsStore;
use background::Background;
use beginnings::Beginnings;
use carrier::Carrier;
use cluster::{ClusterNode, SharedLog};
use journal_failure::stop_process;
use kept_files::KeptFiles;
use live::FileRules;
use metrics_exporter_prometheus::PrometheusHandle;
use settings::Settings;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stores::{Stores, close};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a start that is refused waits until the stores are closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// What a start is given beside the configuration.
pub struct StartOptions {
    /// How far the journal's newest record may be ahead of the wall clock.
    pub clock_ahead_max: Duration,
    /// What renders the metrics.
    pub metrics: PrometheusHandle,
    /// Sockets that listen already.
    pub sockets: PassedSockets,
    /// Who is told how far the recovery is.
    pub service_manager: ServiceManager,
}

/// The running product.
pub struct App {
    engine: Engine,
    sales: Sales,
    backends: Option<Backends>,
    events: EventReaders,
    cluster: Option<ClusterNode>,
    lifecycle: JoinHandle<()>,
    catalogue_watch: JoinHandle<()>,
    directory_watch: JoinHandle<()>,
    certificate_watch: Option<JoinHandle<()>>,
    issuer: Option<JoinHandle<()>>,
    webhooks: JoinHandle<()>,
    settings: Settings,
    _background: Background,
    address: SocketAddr,
    operations_address: SocketAddr,
    tls: Option<http::Tls>,
    signer: http::Signer,
    has_new_secret: bool,
    shutdown: CancellationToken,
    server: JoinHandle<io::Result<()>>,
    drain_limit: Duration,
    stores: Stores,
    board: Arc<http::Board>,
    data_dir: Arc<DataDir>,
}

impl App {
    /// Recovers what the data directory holds, then binds and serves. A journal that fails later ends
    /// the process with code 74, because nothing can be confirmed any more.
    ///
    /// # Errors
    /// Returns [`AppError`] if a part cannot start. Nothing is served then.
    pub async fn start(
        loaded @ Loaded { config, .. }: &Loaded,
        options: StartOptions,
    ) -> Result<Self, AppError> {
        let StartOptions { clock_ahead_max, metrics, sockets, service_manager } = options;
        // Before anything is made on the disk: an address that is taken leaves nothing behind.
        let reserved = reserve(config, sockets)?;
        let tls = tls::open(config)?;
        // Before a file is opened that counts.
        let connections_max = descriptors::connections_max(config.http.connections_max);
        let (data_dir, identity) = beginnings::lock(config).await?;
        let start = Beginnings::look(config, &data_dir, identity)?;
        let (log, identity) = Carrier::open(config, &data_dir, identity).await?;
        let background = Background::start().map_err(AppError::Threads)?;
        let stores = Stores::open(config.clone(), Arc::clone(&data_dir), identity.journal());
        let stores = background.run(stores).await??;
        let beginning = (data_dir.as_ref(), identity, start);
        let parts = (log, &stores, clock_ahead_max);
        let (engine, shared) = start_engine(config, beginning, parts, &service_manager).await?;
        let signer = signer::signer(&config.tokens, || secrets::signing_secret(data_dir.path()))?;
        let tracer = traces::tracer(config, engine.clock(), background.handle())?;
        engine.trace_with(tracer);
        // First, so that nothing is deleted from the journal that is still to be told.
        let events = events::start(&background, config, &engine, &stores.orders).await?;
        let ground = (&engine, &stores.orders, data_dir.path());
        let (webhooks, telling) =
            webhooks::start(&background, config, ground, events.clone()).await?;
        let backends = start_backends(&background, config, &engine, &stores).await?;
        // On the edge's own threads, because readers wait for it.
        let read_cache = opening::read_cache(config, engine.clock())?;
        let sales = Sales::new(stores.orders.clone(), read_cache)
            .with_broker(opening::broker_address(config)?);
        let catalogue_watch = watch_catalogue(&background, &engine, &sales);
        let directory_watch =
            watch_directory(&background, config, &data_dir, identity.journal(), &engine)?;
        let preheat = preheat_at_start(config, &engine, &sales).await;
        let lifecycle = keep_lifecycle(&background, &engine, &sales, preheat);

        let (oidc, issuer) = issuer::keep(config, &engine)?.unzip();
        let (listeners, address, operations_address) = listen(reserved, tls.clone())?;
        let certificate_watch = tls::keep(tls.as_ref(), &engine);
        let shutdown = CancellationToken::new();
        let board = Arc::new(figures::board(&data_dir, engine.now()));
        let settings =
            follow_settings(loaded, shared.as_deref(), &stores, &data_dir, &engine).await;
        let state = http::AppState {
            engine: engine.clone(),
            sales: sales.clone(),
            settings: settings.live.clone(),
            settings_rules: settings.rules.clone(),
            signer: signer.clone(),
            external: external::external(&config.challenge, engine.clock())?,
            provider: provider::provider(&config.payments, engine.clock())?,
            webhooks,
            oidc,
            clock: engine.clock(),
            render_metrics: renderer(&engine, &sales, &data_dir, metrics),
            board: Arc::clone(&board),
        };
        let ground = (&engine, &stores, &settings);
        let cluster = join(shared, config, ground, clock_ahead_max, address).await?;
        let options = options::http(config, connections_max);
        let server = tokio::spawn(http::serve(listeners, state, shutdown.clone(), options));
        Ok(Self {
            engine,
            sales,
            backends: Some(backends),
            events,
            cluster,
            lifecycle,
            catalogue_watch,
            directory_watch,
            certificate_watch,
            issuer,
            webhooks: telling,
            settings,
            _background: background,
            address,
            operations_address,
            tls,
            signer,
            shutdown,
            server,
            has_new_secret: start.has_lost_secret(),
            drain_limit: Duration::from_millis(config.engine.drain_timeout_ms),
            stores,
            board,
            data_dir,
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

    /// Whether what it serves at that address is encrypted.
    pub fn speaks_tls(&self) -> bool {
        self.tls.is_some()
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

    /// Whether the secret that signs tokens was gone, so that another one was made and no token of before is
    /// accepted.
    pub fn has_new_secret(&self) -> bool {
        self.has_new_secret
    }

    /// Reads the certificate again, if there is one, and tells log, metrics and readiness.
    pub fn reread_certificate(&self) {
        tls::reread(self.tls.as_ref(), &self.engine);
    }

    /// Takes in what the file of settings says now, as far as it counts without a restart, and tells the log.
    pub fn reread(&self, loaded: Result<Loaded, Invalid>) {
        settings::tell_reread(&self.settings.rules.reread(loaded));
    }

    /// Drains: accepts no new connections, then no new requests, answers all that was admitted once it
    /// is durable, and brings the order store up to date as far as the time limit allows.
    pub async fn stop(mut self) {
        tracing::info!("draining");
        self.shutdown.cancel();
        if let Err(error) = (&mut self.server).await {
            tracing::error!(%error, "the server ended badly");
        }
        figures::keep(&self.board, &self.data_dir);
        self.lifecycle.abort();
        self.catalogue_watch.abort();
        self.directory_watch.abort();
        self.certificate_watch.iter().for_each(JoinHandle::abort);
        if let Some(issuer) = &self.issuer {
            issuer.abort();
        }
        self.webhooks.abort();
        self.settings.stop();
        if let Some(cluster) = &self.cluster {
            cluster.hand_over(self.drain_limit).await;
        }
        self.engine.stop_expiring();
        if let Some(backends) = self.backends.take() {
            backends.stop(&self.engine, self.drain_limit).await;
        }
        self.engine.drain(self.drain_limit).await;
        events::stop(&self.events, self.drain_limit).await;
        if let Some(cluster) = self.cluster.take() {
            cluster.leave().await;
        }
        close(&self.stores.orders, &self.stores.checkpoints, self.drain_limit).await;
        traces::shut_down(self.engine.tracer().clone()).await;
        tracing::info!("stopped");
    }
}

/// Takes the address for buyers, and the one for those who run the shop.
fn reserve(
    config: &Config,
    PassedSockets { shop, operations }: PassedSockets,
) -> Result<(ReservedAddress, ReservedAddress), ListenError> {
    let api = ReservedAddress::take("http.listen", config.http.listen, shop)?;
    let operations = listening::reserve_operations(config.operations.listen, operations)?;
    Ok((api, operations))
}

/// Listens there, and returns where.
fn listen(
    (api, operations): (ReservedAddress, ReservedAddress),
    tls: Option<http::Tls>,
) -> Result<(http::Listeners, SocketAddr, SocketAddr), ListenError> {
    let (api, address) = api.listen()?;
    let (operations, operations_address) = listening::listen_for_operations(operations)?;
    Ok((http::Listeners { api, tls, operations }, address, operations_address))
}

/// Recovers the engine and starts it. Once everything is found in order, what the data directory lacks is
/// recorded there, and the order store is this journal's.
async fn start_engine(
    config: &Config,
    (data_dir, identity, start): (&DataDir, Identity, Beginnings),
    (log, stores, clock_ahead_max): (Carrier, &Stores, Duration),
    service_manager: &ServiceManager,
) -> Result<(Engine, Option<Box<SharedLog>>), AppError> {
    let started = match log {
        Carrier::Files(files) => {
            let options = options::engine(config, clock_ahead_max);
            let (journal, checkpoints) = (identity.journal(), stores.checkpoints.clone());
            let (orders, failed) = (&stores.orders, stop_process);
            let read = files.progress();
            let started = Engine::start(options, journal, files, checkpoints, orders, failed);
            progress::told(service_manager, &read, started).await.map(|engine| (engine, None))
        }
        Carrier::Shared(shared) => {
            let started = shared.start_engine(config, stores, clock_ahead_max, stop_process).await;
            started.map(|engine| (engine, Some(shared)))
        }
    };
    let (engine, shared) = match started {
        Ok(started) => started,
        Err(error) => {
            // What a refused start leaves must not be in the way of a copy that is brought back.
            close(&stores.orders, &stores.checkpoints, CLOSE_LIMIT).await;
            return Err(start.refusal(data_dir, error));
        }
    };
    opening::record(config, data_dir, identity)?;
    for store in &stores.migrated {
        check_owner(&engine, store).await?;
    }
    Ok((engine, shared))
}

/// Joins the cluster whose log was opened, if one was.
async fn join(
    shared: Option<Box<SharedLog>>,
    config: &Config,
    (engine, stores, settings): (&Engine, &Stores, &Settings),
    clock_ahead_max: Duration,
    address: SocketAddr,
) -> Result<Option<ClusterNode>, AppError> {
    let Some(shared) = shared else { return Ok(None) };
    let ground = (engine, stores, (settings.live.standing(), settings.rules.judge()));
    Ok(Some(shared.join(config, ground, clock_ahead_max, address).await?))
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

/// What is left to do of the preheat at a start.
#[derive(Clone, Copy)]
enum Preheat {
    /// Nothing: approved sales are in their shards.
    Done,
    /// All of it, with the demo's sales if they are configured: the catalogue does not answer.
    Waits { with_demo: bool },
}

/// Ends and settles sales that are over, for as long as the engine runs; before that, preheats as soon as
/// the catalogue answers, if that is left to do.
fn keep_lifecycle(
    background: &Background,
    engine: &Engine,
    sales: &Sales,
    left: Preheat,
) -> JoinHandle<()> {
    let (tasks, engine, sales) = (engine.tasks().clone(), engine.clone(), sales.clone());
    let _runtime = background.handle().enter();
    tasks.keep_running("sale lifecycle", move || {
        let (engine, sales) = (engine.clone(), sales.clone());
        async move {
            if let Preheat::Waits { with_demo } = left {
                preheat_later(with_demo, &engine, &sales).await;
            }
            lifecycle::run(engine, sales).await;
        }
    })
}

/// Watches the catalogue for as long as the engine runs.
fn watch_catalogue(background: &Background, engine: &Engine, sales: &Sales) -> JoinHandle<()> {
    completeness::expect(engine, sales);
    let (tasks, engine, sales) = (engine.tasks().clone(), engine.clone(), sales.clone());
    let _runtime = background.handle().enter();
    tasks
        .keep_running("catalogue watch", move || completeness::watch(engine.clone(), sales.clone()))
}

/// Watches the small files of the data directory for as long as the engine runs.
fn watch_directory(
    background: &Background,
    config: &Config,
    data_dir: &Arc<DataDir>,
    journal: JournalId,
    engine: &Engine,
) -> Result<JoinHandle<()>, AppError> {
    let secret = match &config.tokens.secret {
        None => Some(secrets::existing_signing_secret(data_dir.path())?),
        Some(_) => None,
    };
    let data_dir = Arc::clone(data_dir);
    let files = Arc::new(KeptFiles { data_dir, shards: config.engine.shards, journal, secret });
    let (tasks, engine) = (engine.tasks().clone(), engine.clone());
    let _runtime = background.handle().enter();
    let watch = move || Arc::clone(&files).watch(engine.clone());
    Ok(tasks.keep_running("data directory", watch))
}

/// Preheats what a shop of its own has at its start. The shards of a cluster are yet to come then.
async fn preheat_at_start(config: &Config, engine: &Engine, sales: &Sales) -> Preheat {
    if config.cluster.is_set() {
        return Preheat::Done;
    }
    preheat(config.demo.enabled, engine, sales).await
}

/// Loads approved sales into their shards, then sets up the demo's sales if they are configured.
async fn preheat(with_demo: bool, engine: &Engine, sales: &Sales) -> Preheat {
    let waits = Preheat::Waits { with_demo };
    if preheat_approved(engine, sales).await.is_err() {
        tracing::warn!("approved sales wait for the catalogue; the rest goes on");
        return waits;
    }
    if !with_demo {
        return Preheat::Done;
    }
    match demo::set_up(engine, sales).await {
        Ok(()) => Preheat::Done,
        Err(demo::DemoError::Catalogue(CatalogueError::Store(error))) => {
            tracing::warn!(%error, "the demo's sales wait for the catalogue");
            waits
        }
        Err(error) => {
            tracing::warn!(%error, "the demo's sales could not be set up");
            Preheat::Done
        }
    }
}

/// Preheats once the catalogue answers.
async fn preheat_later(with_demo: bool, engine: &Engine, sales: &Sales) {
    const LOOK: Duration = Duration::from_secs(1);
    loop {
        // What waits was said once; asking whether it must wait on says nothing.
        while sales.ping().await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
        let Preheat::Waits { .. } = preheat(with_demo, engine, sales).await else { break };
        tokio::time::sleep(LOOK).await;
    }
    tracing::info!("the catalogue answers: approved sales are in their shards");
}

/// Follows the settings that operators change while the shop runs, where they are: in the cluster's etcd, or in
/// the database.
async fn follow_settings(
    loaded: &Loaded,
    shared: Option<&SharedLog>,
    stores: &Stores,
    data_dir: &DataDir,
    engine: &Engine,
) -> Settings {
    let rules = Arc::new(FileRules::new(loaded));
    let database = stores.orders.database();
    let store = match shared {
        None => (SettingsStore::new(database), "table"),
        Some(shared) => {
            let centre = shared.centre(&loaded.config, rules.judge());
            (SettingsStore::with_centre(database, centre), "etcd")
        }
    };
    Settings::follow(rules, store, data_dir, engine).await
}

/// Returns what renders the metrics that are not the edge's own.
fn renderer(
    engine: &Engine,
    sales: &Sales,
    data_dir: &Arc<DataDir>,
    metrics: PrometheusHandle,
) -> Arc<dyn Fn() -> String + Send + Sync> {
    let (engine, sales, data_dir) = (engine.clone(), sales.clone(), Arc::clone(data_dir));
    Arc::new(move || {
        figures::observe(&engine);
        metrics.run_upkeep();
        metrics.render() + figures::render(&engine, &sales, &data_dir).as_str()
    })
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
