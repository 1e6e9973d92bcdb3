//! From the configuration to opened stores: the data directory with its journal's identity, the order
//! store, the checkpoint store, the read cache, the cluster's etcd, and the broker's address.
//!
//! The serving process and the command line open their stores here, so that both get the same ones.
//! Must not know what is done with them.

mod etcd;

pub use etcd::{EtcdOpenError, etcd};

use crate::clock::Clock;
use crate::config::{Config, ORDER_STORES_MAX, SecretUrl};
use crate::store::broker::{BrokerAddress, OrdersQueue};
use crate::store::checkpoint::{CheckpointError, CheckpointStore};
use crate::store::data_dir::{DataDir, DataDirError};
use crate::store::database::{Database, StoreError};
use crate::store::journal::JournalId;
use crate::store::orders::{OrderStore, STORES_MAX};
use crate::store::private_files::make_private;
use crate::store::read_cache::ReadCache;
use crate::store::redis_connection::{RedisAddress, RedisAddressError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a store cannot be opened as configured.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A certificate that the configuration names cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The checkpoint store cannot be opened.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointError),
    /// The order store cannot be opened.
    #[error("the order store cannot be opened: {0}")]
    Orders(#[from] StoreError),
    /// The file of the order store is there and is no database, or is damaged.
    #[error("{path} is not a database that can be read: {source}", path = .path.display())]
    OrdersDamaged {
        /// The order store's file.
        path: PathBuf,
        /// What SQLite says.
        source: StoreError,
    },
    /// The read cache's Redis cannot be used.
    #[error("checkpoint.redis_url: {0}")]
    ReadCache(#[from] RedisAddressError),
}

/// The identity of a data directory's journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Identity {
    /// The one that is recorded there.
    Recorded(JournalId),
    /// One that was drawn because none is, and is to be recorded once all has been checked.
    Drawn(JournalId),
}

impl Identity {
    /// The identity itself.
    pub fn journal(self) -> JournalId {
        match self {
            Self::Recorded(journal) | Self::Drawn(journal) => journal,
        }
    }
}

/// Locks the data directory for this process, creating it if needed, and returns it with its
/// journal's identity. Records nothing there: [`record`] does, once all has been checked.
///
/// # Errors
/// Returns [`OpenError::DataDir`] if another process serves from it, if it was made with more shards,
/// or if it cannot be made or read.
pub fn lock_data_dir(config: &Config) -> Result<(DataDir, Identity), OpenError> {
    let data_dir = DataDir::lock(&config.data.dir)?;
    if let Err(error) = make_private(data_dir.path(), &data_dir.journal()) {
        tracing::warn!(%error, "others may be able to read the data directory");
    }
    data_dir.check_shards(config.engine.shards)?;
    let recorded = data_dir.recorded_identity()?;
    let identity =
        recorded.map_or_else(|| Identity::Drawn(JournalId::random()), Identity::Recorded);
    Ok((data_dir, identity))
}

/// Records the number of shards and the journal's identity in the data directory.
///
/// # Errors
/// Returns [`OpenError::DataDir`] if it cannot be written.
pub fn record(config: &Config, data_dir: &DataDir, identity: Identity) -> Result<(), OpenError> {
    data_dir.agree_on_shards(config.engine.shards)?;
    if let Identity::Drawn(journal) = identity {
        data_dir.adopt_identity(journal)?;
    }
    Ok(())
}

const _: () = assert!(ORDER_STORES_MAX == STORES_MAX, "what may be configured can be opened");

/// Opens the order stores: those in MySQL that are configured, otherwise the file in `data_dir`, which is
/// created if needed.
///
/// # Errors
/// Returns [`OpenError::Orders`] if it cannot be opened. A MySQL is first connected to when it is
/// used.
pub async fn orders(config: &Config, data_dir: &DataDir) -> Result<OrderStore, OpenError> {
    if config.orders.are_in_file() {
        let store = OrderStore::open_sqlite(&data_dir.orders()).await;
        return store.map_err(|error| orders_error(config, data_dir, error));
    }
    let open = |url: &SecretUrl| Database::open_mysql(url.secret(), config.orders.connections);
    let databases: Result<Vec<Database>, StoreError> =
        config.orders.urls().iter().map(open).collect();
    let replicas: Result<Vec<Database>, StoreError> =
        config.orders.replicas().iter().map(open).collect();
    let store = OrderStore::over(&databases?)?;
    Ok(store.with_replicas(&replicas?, config.orders.keep_until_replicated))
}

/// What the first error of an order store means: one of a file, if it is one, names the file.
pub fn orders_error(config: &Config, data_dir: &DataDir, error: StoreError) -> OpenError {
    let is_file = config.orders.are_in_file();
    let text = error.to_string();
    // SQLite's words for its codes 26 and 11.
    let is_damaged = ["not a database", "malformed"].iter().any(|words| text.contains(words));
    if is_file && is_damaged {
        return OpenError::OrdersDamaged { path: data_dir.orders(), source: error };
    }
    error.into()
}

/// Opens the order store as [`orders`] does, but creates no file: none if there is none.
///
/// # Errors
/// Returns [`OpenError::Orders`] if it cannot be opened.
pub async fn existing_orders(
    config: &Config,
    data_dir: &DataDir,
) -> Result<Option<OrderStore>, OpenError> {
    if config.orders.are_in_file() && !data_dir.orders().exists() {
        return Ok(None);
    }
    orders(config, data_dir).await.map(Some)
}

/// Opens the store of `journal`'s checkpoints: Redis if it is configured, otherwise the file in
/// `data_dir`, which is created if needed.
///
/// # Errors
/// Returns [`OpenError`] if the certificate cannot be read or the store cannot be opened. A Redis is
/// first connected to when it is used.
pub async fn checkpoints(
    config: &Config,
    data_dir: &DataDir,
    journal: JournalId,
) -> Result<CheckpointStore, OpenError> {
    Ok(match redis_address(config)? {
        Some(address) => CheckpointStore::open_redis(address, journal)?,
        None => CheckpointStore::open_sqlite(&data_dir.checkpoints()).await?,
    })
}

/// Opens the store of checkpoints as [`checkpoints`] does, but creates no file: none if there is
/// none.
///
/// # Errors
/// Returns [`OpenError`] if the data directory or a certificate cannot be read, or the store cannot
/// be opened.
pub async fn existing_checkpoints(
    config: &Config,
    data_dir: &DataDir,
) -> Result<Option<CheckpointStore>, OpenError> {
    if let Some(address) = redis_address(config)? {
        // Checkpoints in Redis name their journal: without an identity there are none of this one.
        let Some(journal) = data_dir.recorded_identity()? else { return Ok(None) };
        return Ok(Some(CheckpointStore::open_redis(address, journal)?));
    }
    let path = data_dir.checkpoints();
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(CheckpointStore::open_sqlite(&path).await?))
}

/// Opens the read cache, in the Redis of the checkpoints if one is configured. Must be called within
/// the Tokio runtime of its readers.
///
/// # Errors
/// Returns [`OpenError`] if the certificate cannot be read or the address cannot be used.
pub fn read_cache(config: &Config, clock: Clock) -> Result<ReadCache, OpenError> {
    Ok(ReadCache::new(redis_address(config)?.as_ref(), clock)?)
}

/// Returns the address of the broker between journal and order store; none if records are handed
/// over within the process.
///
/// # Errors
/// Returns [`OpenError::Certificate`] if the certificate cannot be read.
pub fn broker_address(config: &Config) -> Result<Option<BrokerAddress>, OpenError> {
    let Some(url) = &config.broker.amqp_url else { return Ok(None) };
    rabbitmq(config, url, config.broker.amqp_ca_file.as_deref()).map(Some)
}

/// Returns the address of the RabbitMQ at which events are announced, if they are.
///
/// # Errors
/// Returns [`OpenError::Certificate`] if the certificate cannot be read.
pub fn events_address(config: &Config) -> Result<Option<BrokerAddress>, OpenError> {
    let events = &config.events;
    match &events.amqp_url {
        _ if !events.amqp => Ok(None),
        Some(url) => rabbitmq(config, url, events.amqp_ca_file.as_deref()).map(Some),
        None => broker_address(config),
    }
}

fn rabbitmq(
    config: &Config,
    url: &SecretUrl,
    ca_file: Option<&Path>,
) -> Result<BrokerAddress, OpenError> {
    let read = |path: &Path| {
        std::fs::read_to_string(path)
            .map_err(|source| OpenError::Certificate { path: path.to_owned(), source })
    };
    let root_certificate = ca_file.map(read).transpose()?;
    let confirm_timeout = Duration::from_millis(config.broker.confirm_timeout_ms);
    let (url, queue) = (url.secret().clone(), OrdersQueue::default());
    Ok(BrokerAddress { url, root_certificate, confirm_timeout, queue })
}

/// The address of the Redis that keeps checkpoints and the read cache, if one is configured.
fn redis_address(config: &Config) -> Result<Option<RedisAddress>, OpenError> {
    let Some(url) = &config.checkpoint.redis_url else { return Ok(None) };
    let root_certificate = match &config.checkpoint.redis_ca_file {
        None => None,
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|source| OpenError::Certificate { path: path.clone(), source })?,
        ),
    };
    Ok(Some(RedisAddress { url: url.secret().clone(), root_certificate }))
}
