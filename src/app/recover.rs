//! The way back when the journal's disk is lost and the order store lives: a new journal behind what
//! that holds, with the same identity.

use crate::actors::{RecoveryError, Renewal, renew};
use crate::clock;
use crate::config::Config;
use crate::opening::{self, OpenError};
use crate::store::broker::{self, BrokerAddress, BrokerError, OrdersQueue};
use crate::store::checkpoint::{CheckpointError, CheckpointStore, whole};
use crate::store::data_dir::{DataDir, DataDirError};
use crate::store::database::StoreError;
use crate::store::events::EventPositions;
use crate::store::journal::file::disk::RealDisk;
use crate::store::journal::file::{self, FileLog};
use crate::store::journal::{BoxError, Journal, JournalError, JournalId, OpenedLog, record};
use crate::store::orders::OrderStore;
use domain::{Record, ShardId};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;

/// Why nothing could be recovered. What it says was there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is a journal.
    #[error("{path} has segments of a journal", path = .0.display())]
    JournalThere(PathBuf),
    /// There is no order store to recover from.
    #[error("there is no order store at {path}", path = .0.display())]
    NoOrderStore(PathBuf),
    /// Neither the data directory nor the order store names a journal.
    #[error(
        "neither the data directory nor the order store names a journal: nothing was ever sold"
    )]
    NoIdentity,
    /// The order store does not answer.
    #[error("the order store: {0}")]
    Orders(#[from] StoreError),
    /// The broker's queue cannot be emptied.
    #[error("the queue cannot be emptied: {0}")]
    Broker(#[from] BrokerError),
    /// The stores cannot be read, or are another shop's.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The new journal cannot be written.
    #[error("the new journal cannot be written: {0}")]
    Journal(#[from] io::Error),
    /// The new journal cannot be read back.
    #[error("the new journal cannot be read back: {0}")]
    ReadBack(#[from] JournalError),
    /// The checkpoints cannot be brought up to the new journal.
    #[error("the checkpoints cannot be written: {0}; with them moved away a start does without")]
    Checkpoints(#[from] CheckpointError),
}

/// What came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// The journal's identity, as before.
    pub journal_id: JournalId,
    /// Orders that the shards hold.
    pub orders: usize,
    /// Items that were selling and are paused now.
    pub paused_items: usize,
    /// Records that the checkpoints alone knew.
    pub from_checkpoints: usize,
}

/// Begins a new journal from the order store, and the checkpoints where they are ahead of it. No process
/// may serve meanwhile.
///
/// # Errors
/// Returns [`RecoverError`] if there is a journal, a store does not answer, or one is another shop's.
pub async fn recover(config: &Config) -> Result<Recovered, RecoverError> {
    let data_dir = DataDir::lock(&config.data.dir)?;
    let disk = RealDisk::open(&data_dir.journal())?;
    if file::has_segments(&disk)? {
        return Err(RecoverError::JournalThere(data_dir.journal()));
    }
    let orders = opening::existing_orders(config, &data_dir).await?;
    let orders = orders.ok_or_else(|| RecoverError::NoOrderStore(data_dir.orders()))?;
    orders.migrate().await?;
    let journal_id = identity(&data_dir, &orders).await?;
    data_dir.agree_on_shards(config.engine.shards)?;
    let checkpoints = opening::existing_checkpoints(config, &data_dir).await?;
    let shards = config.engine.shards;
    let renewal =
        renew(journal_id, checkpoints.as_ref(), &orders, shards, clock::wall_now()).await?;
    if let Some(address) = opening::broker_address(config)? {
        // What they hold was numbered by the lost journal.
        for store in orders.each() {
            let queue = OrdersQueue::of_store(store.place().place);
            broker::purge(BrokerAddress { queue, ..address.clone() }).await?;
        }
    }
    set_events_back(&orders, &renewal).await?;
    let epoch = write_journal(config, disk, &renewal)?;
    if let Some(checkpoints) = checkpoints {
        write_checkpoints(&checkpoints, epoch, &renewal).await?;
    }
    let from_checkpoints = renewal.shards.iter().map(|shard| shard.from_checkpoint).sum();
    Ok(Recovered {
        journal_id,
        orders: renewal.shards.iter().map(|shard| shard.stock.order_count()).sum(),
        paused_items: renewal.paused_items(),
        from_checkpoints,
    })
}

/// Has what is new in the journal told to those who had confirmed what was lost under the same numbers.
pub(super) async fn set_events_back(
    orders: &OrderStore,
    renewal: &Renewal,
) -> Result<(), StoreError> {
    let to: Vec<(ShardId, u64)> =
        renewal.shards.iter().map(|shard| (shard.stock.shard(), shard.base_seq)).collect();
    EventPositions::new(orders.database()).set_back(&to).await
}

/// The identity of the lost journal, which the data directory has from now on.
async fn identity(data_dir: &DataDir, orders: &OrderStore) -> Result<JournalId, RecoverError> {
    let recorded = data_dir.recorded_identity()?;
    let Some(journal_id) = recorded.or(orders.owner().await?) else {
        return Err(RecoverError::NoIdentity);
    };
    data_dir.adopt_identity(journal_id)?;
    Ok(journal_id)
}

/// Writes the journal. Returns the number of its owner.
fn write_journal(config: &Config, disk: RealDisk, renewal: &Renewal) -> Result<u64, RecoverError> {
    let base: Vec<u64> = renewal.shards.iter().map(|shard| shard.base_seq).collect();
    let options = super::options::journal(config);
    file::begin(&disk, options, &base, renewal.last_epoch)?;
    let opened = FileLog::open(Arc::new(disk), options);
    let replayed = opened.replay(&base, |_| Err(BoxError::from("it is not empty")))?;
    let (durable, became_durable) = mpsc::sync_channel::<Result<(), io::Error>>(1);
    let failed = durable.clone();
    let journal = Journal::start(
        replayed,
        move |_: Vec<()>| {
            // The other end waits for each.
            let _ = durable.send(Ok(()));
        },
        move |error| {
            let _ = failed.send(Err(error));
        },
    )?;
    for records in renewal.shards.iter().flat_map(|shard| shard.records.chunks(BATCH_RECORDS)) {
        append(&journal, records);
        became_durable.recv().map_err(io::Error::other)??;
    }
    journal.close();
    Ok(journal.epoch())
}

/// Records written at once, far below what one batch may have.
const BATCH_RECORDS: usize = 4_096;

fn append(journal: &Journal<()>, records: &[Record]) {
    let Some(last) = records.last() else { return };
    let mut bytes = Vec::new();
    for found in records {
        record::encode(found, &mut bytes);
    }
    journal.append(last.shard, last.seq, records.len() as u64, &mut bytes, &mut vec![()]);
}

/// Replaces the checkpoints, which are of the lost journal's numbers.
pub(super) async fn write_checkpoints(
    checkpoints: &CheckpointStore,
    epoch: u64,
    renewal: &Renewal,
) -> Result<(), CheckpointError> {
    for shard in &renewal.shards {
        let stock = &shard.stock;
        let _ = checkpoints.write(epoch, None, &whole(stock.shard(), stock.snapshot())).await?;
    }
    checkpoints.harden().await
}

impl From<DataDirError> for RecoverError {
    fn from(error: DataDirError) -> Self {
        Self::Open(error.into())
    }
}
