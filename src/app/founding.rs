//! How a cluster begins that is not new: from the journal of a shop that has sold alone, or from order store
//! and checkpoints where etcd is lost for good.

use super::recover::{set_events_back, write_checkpoints};
use crate::actors::{RecoveryError, renew};
use crate::clock;
use crate::config::Config;
use crate::opening::{self, EtcdOpenError, OpenError};
use crate::store::checkpoint::CheckpointError;
use crate::store::data_dir::{DataDir, DataDirError};
use crate::store::database::StoreError;
use crate::store::journal::fenced::{EtcdLog, Founding, FoundingError};
use crate::store::journal::file::disk::RealDisk;
use crate::store::journal::file::{self, ReadError};
use crate::store::journal::record::each_record;
use crate::store::journal::{BoxError, JournalId};
use crate::store::orders::{OrderStore, ownership};
use crate::store::registry::{Cluster, EtcdRegistry, FORMAT, Registry, RegistryError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinError;

/// How long a call to etcd may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// What the journal of a shop that has sold alone is called once its shop is a cluster.
const KEPT_JOURNAL: &str = "journal-before-cluster";

/// Why no cluster was begun.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// etcd cannot be used as configured.
    #[error(transparent)]
    Address(#[from] EtcdOpenError),
    /// A store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// etcd does not answer, or holds what it should not.
    #[error("etcd: {0}")]
    Registry(#[from] RegistryError),
    /// The log cannot be begun.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// There is a cluster.
    #[error("etcd holds shop {0} under this prefix")]
    ClusterThere(String),
    /// There is no journal.
    #[error("{path} holds no journal with an identity", path = .0.display())]
    NoJournal(PathBuf),
    /// The journal cannot be read to its end.
    #[error(transparent)]
    Journal(#[from] ReadError),
    /// A file or directory cannot be read or moved.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// The place of it.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The order store does not answer.
    #[error("the order store: {0}")]
    Orders(#[from] StoreError),
    /// The order store is not the shop's.
    #[error("the order store was filled by {}, and this is shop {own}", owner_words(.owner))]
    ForeignOrders {
        /// The shop that filled it, if one did.
        owner: Option<JournalId>,
        /// The shop that was to become a cluster.
        own: JournalId,
    },
    /// No shop has ever filled the order store.
    #[error("the order store was filled by no shop: nothing was ever sold")]
    NothingThere,
    /// The shop was made with another number of shards.
    #[error("the shop was made with {recorded} shards, and engine.shards is {configured}")]
    Shards {
        /// The shop's number, or the least that it can have had.
        recorded: u16,
        /// The configured one.
        configured: u16,
    },
    /// The stores cannot be read, or contradict each other.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The checkpoints cannot be read or written.
    #[error("the checkpoints: {0}")]
    Checkpoints(#[from] CheckpointError),
    /// A task of this process failed.
    #[error("a task failed: {0}")]
    Task(#[from] JoinError),
}

/// A cluster that has begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Founded {
    /// The shop's identity, as before.
    pub identity: JournalId,
    /// The records in its log.
    pub records: u64,
    /// Where the journal of before is kept.
    pub kept: PathBuf,
}

/// A cluster that was brought back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restored {
    /// The shop's identity, as before.
    pub identity: JournalId,
    /// The orders that its shards hold.
    pub orders: usize,
    /// The items that were selling and are paused now.
    pub paused_items: usize,
    /// The records that the checkpoints alone knew.
    pub from_checkpoints: usize,
}

/// The cluster that is to be.
struct Place {
    log: EtcdLog,
    registry: EtcdRegistry,
}

/// Makes a cluster of a shop that has sold alone, with its journal. No process may serve meanwhile, which the
/// data directory's lock holds.
///
/// # Errors
/// Returns [`FoundError`] if there is a cluster, the journal is damaged, a store does not answer, or one is
/// another shop's.
pub async fn init(config: &Config, from: &Path) -> Result<Founded, FoundError> {
    let no_journal = || FoundError::NoJournal(from.to_owned());
    if !DataDir::look(from).journal().is_dir() {
        return Err(no_journal());
    }
    let data_dir = DataDir::lock(from)?;
    let identity = data_dir.recorded_identity()?.ok_or_else(no_journal)?;
    let recorded = data_dir.recorded_shards()?.unwrap_or(0);
    if recorded != config.engine.shards {
        return Err(FoundError::Shards { recorded, configured: config.engine.shards });
    }
    let place = Place::open(config).await?;
    let orders = opening::orders(config, &data_dir).await?;
    orders.migrate().await?;
    match orders.owner().await? {
        Some(owner) if owner == identity => {}
        owner => return Err(FoundError::ForeignOrders { owner, own: identity }),
    }
    ownership::check_owner(&orders, identity).await.map_err(RecoveryError::from)?;
    let checkpoints = opening::checkpoints(config, &data_dir, identity).await?;
    let marks = checkpoints.marks(config.engine.shards).await?;
    let disk = RealDisk::open(&data_dir.journal())
        .map_err(|source| FoundError::File { path: data_dir.journal(), source })?;
    // All of it is read before anything is written.
    let scan = file::scan(&disk, |_, _, payload| {
        for found in each_record(payload) {
            found?;
        }
        Ok(())
    })?;
    let epoch = marks.iter().map(|(_, mark)| mark.epoch).fold(scan.last.epoch, u64::max);
    let mut base = scan.base;
    base.resize(usize::from(recorded), 0);
    let founding = place.log.begin(&base, epoch).await?;
    let founding = copy(disk, founding).await?;
    let records = place.finish(founding, identity, recorded).await?;
    // Nobody is to sell from it again.
    let kept = from.join(KEPT_JOURNAL);
    std::fs::rename(data_dir.journal(), &kept)
        .map_err(|source| FoundError::File { path: data_dir.journal(), source })?;
    Ok(Founded { identity, records, kept })
}

/// Copies every record of the journal. The journal is read by a thread that may wait.
async fn copy(disk: RealDisk, founding: Founding) -> Result<Founding, FoundError> {
    let handle = Handle::current();
    let copied = tokio::task::spawn_blocking(move || {
        let mut founding = founding;
        file::scan(&disk, |_, _, payload| {
            for found in each_record(payload) {
                let added = handle.block_on(founding.add(&found?));
                added.map_err(|error| BoxError::from(error.to_string()))?;
            }
            Ok(())
        })?;
        Ok::<_, ReadError>(founding)
    });
    Ok(copied.await??)
}

/// Brings a cluster back whose etcd is lost for good, from what the order store holds and the checkpoints that
/// are ahead of it. No node may serve meanwhile.
///
/// # Errors
/// Returns [`FoundError`] if there is a cluster, a store does not answer, or one is another shop's.
pub async fn restore(config: &Config) -> Result<Restored, FoundError> {
    let place = Place::open(config).await?;
    let data_dir = DataDir::look(&config.data.dir);
    let orders = opening::orders(config, &data_dir).await?;
    orders.migrate().await?;
    let identity = orders.owner().await?.ok_or(FoundError::NothingThere)?;
    let shards = config.engine.shards;
    check_shards(&orders, &data_dir, shards).await?;
    let checkpoints = opening::checkpoints(config, &data_dir, identity).await?;
    let renewal = renew(identity, Some(&checkpoints), &orders, shards, clock::wall_now()).await?;
    set_events_back(&orders, &renewal).await?;
    let base: Vec<u64> = renewal.shards.iter().map(|shard| shard.base_seq).collect();
    let epoch = renewal.last_epoch + 1;
    let mut founding = place.log.begin(&base, epoch).await?;
    for found in renewal.shards.iter().flat_map(|shard| &shard.records) {
        founding.add(found).await?;
    }
    // Before there is a cluster, so that this may be repeated if it fails.
    write_checkpoints(&checkpoints, epoch, &renewal).await?;
    place.finish(founding, identity, shards).await?;
    let from_checkpoints = renewal.shards.iter().map(|shard| shard.from_checkpoint).sum();
    Ok(Restored {
        identity,
        orders: renewal.shards.iter().map(|shard| shard.stock.order_count()).sum(),
        paused_items: renewal.paused_items(),
        from_checkpoints,
    })
}

/// Refuses a number of shards that cannot be the lost cluster's.
async fn check_shards(
    orders: &OrderStore,
    data_dir: &DataDir,
    configured: u16,
) -> Result<(), FoundError> {
    let progress = orders.progress().await?;
    let least = progress.iter().map(|(shard, _)| shard.0 + 1).max().unwrap_or(0);
    let recorded = data_dir.recorded_shards()?.unwrap_or(configured);
    if recorded != configured || least > configured {
        return Err(FoundError::Shards { recorded: recorded.max(least), configured });
    }
    Ok(())
}

impl Place {
    /// The place of the cluster that is to be, where none is.
    async fn open(config: &Config) -> Result<Self, FoundError> {
        let etcd = opening::etcd(config, CALL_TIMEOUT)?;
        let prefix = config.cluster.prefix.as_str();
        let registry = EtcdRegistry::new(etcd.clone(), prefix, CALL_TIMEOUT);
        match registry.cluster().await? {
            Some(cluster) => Err(FoundError::ClusterThere(cluster.identity)),
            None => Ok(Self { log: EtcdLog::new(etcd, prefix), registry }),
        }
    }

    /// Founds the cluster whose log was written. Returns how many records that has.
    async fn finish(
        &self,
        founding: Founding,
        identity: JournalId,
        shards: u16,
    ) -> Result<u64, FoundError> {
        let records = founding.finish().await?;
        let cluster = Cluster { identity: identity.to_string(), shards, format: FORMAT };
        let found = self.registry.found(&cluster).await?;
        if found != cluster {
            return Err(FoundError::ClusterThere(found.identity));
        }
        self.log.end_founding().await?;
        Ok(records)
    }
}

fn owner_words(owner: &Option<JournalId>) -> String {
    owner.map_or_else(|| "no shop yet".to_owned(), |owner| format!("shop {owner}"))
}

impl From<DataDirError> for FoundError {
    fn from(error: DataDirError) -> Self {
        Self::Open(error.into())
    }
}
