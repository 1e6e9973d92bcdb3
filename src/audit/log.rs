//! The log that is audited, wherever it is: the journal of a data directory, or what the nodes of a cluster
//! share in etcd. Hands it over record by record, and says the same of both.

use super::error::AuditError;
use super::findings::AuditedLog;
use crate::store::data_dir::DataDir;
use crate::store::journal::JournalId;
use crate::store::journal::fenced::{EtcdLog, LogLook, LookError};
use crate::store::journal::file::disk::{Disk, RealDisk};
use crate::store::journal::file::{self, ReadError, base};
use crate::store::journal::record::each_record;
use domain::{Record, ShardId};
use std::collections::BTreeMap;

/// Which log to audit.
pub enum LogSource {
    /// The journal of this data directory.
    Directory(DataDir),
    /// The log that the nodes of a cluster share.
    Cluster(ClusterLog),
}

/// The log of a cluster.
pub struct ClusterLog {
    /// The log itself.
    pub log: EtcdLog,
    /// Where in etcd it is.
    pub prefix: String,
    /// The cluster's identity.
    pub identity: JournalId,
    /// The number of shards that it was founded with.
    pub shards: u16,
}

/// A log that can be read.
pub(super) enum OpenedLog<'a> {
    Directory(RealDisk),
    Cluster(&'a ClusterLog),
}

/// A log as it is at one moment; a journal in files may grow and lose its oldest segments meanwhile.
pub(super) enum Look<'a> {
    Directory(&'a dyn Disk, Vec<u64>),
    Cluster(LogLook),
}

/// One reading of a log.
pub(super) struct Reading {
    /// Each shard's last record that was deleted when it was read.
    pub(super) base: Vec<u64>,
    /// Where the log is not what was written, or cannot be read, in words: each place, as far as others
    /// could be read.
    pub(super) damage: Vec<String>,
    /// How many ends of shards were found where their heads say, beside what each batch says.
    pub(super) ends: u64,
    /// Whether another look may find it whole.
    pub(super) is_passing: bool,
}

impl LogSource {
    /// Opens it.
    ///
    /// # Errors
    /// Returns [`AuditError`] if there is no log, or its directory cannot be read.
    pub(super) fn open(&self) -> Result<OpenedLog<'_>, AuditError> {
        let data_dir = match self {
            Self::Cluster(cluster) => return Ok(OpenedLog::Cluster(cluster)),
            Self::Directory(data_dir) => data_dir,
        };
        let directory = data_dir.journal();
        if !directory.is_dir() {
            return Err(AuditError::NoJournal(data_dir.path().to_owned()));
        }
        let disk = RealDisk::open(&directory).map_err(AuditError::Journal)?;
        Ok(OpenedLog::Directory(disk))
    }

    /// Which one it is, in words.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Directory(data_dir) => data_dir.path().display().to_string(),
            Self::Cluster(cluster) => format!("etcd under {}", cluster.prefix),
        }
    }

    /// The number of shards that it was made with, 0 if it does not say.
    ///
    /// # Errors
    /// Returns [`AuditError::DataDir`] if the data directory cannot be read.
    pub(super) fn shards(&self) -> Result<u16, AuditError> {
        match self {
            Self::Directory(data_dir) => Ok(data_dir.recorded_shards()?.unwrap_or(0)),
            Self::Cluster(cluster) => Ok(cluster.shards),
        }
    }

    /// The identity that checkpoints and order store must name, if it is on record.
    ///
    /// # Errors
    /// Returns [`AuditError::DataDir`] if the data directory cannot be read.
    pub(super) fn identity(&self) -> Result<Option<JournalId>, AuditError> {
        match self {
            Self::Directory(data_dir) => Ok(data_dir.recorded_identity()?),
            Self::Cluster(cluster) => Ok(Some(cluster.identity)),
        }
    }

    /// What the findings call it.
    pub(super) fn audited(&self, look: &Look<'_>) -> AuditedLog {
        match (self, look) {
            (Self::Cluster(cluster), Look::Cluster(look)) => {
                AuditedLog::Cluster { prefix: cluster.prefix.clone(), revision: look.revision() }
            }
            (Self::Directory(data_dir), _) => AuditedLog::Directory(data_dir.path().to_owned()),
            (Self::Cluster(cluster), Look::Directory(..)) => {
                AuditedLog::Cluster { prefix: cluster.prefix.clone(), revision: 0 }
            }
        }
    }
}

impl OpenedLog<'_> {
    /// Looks at the log as it is now.
    ///
    /// # Errors
    /// Returns [`AuditError`] if etcd does not answer.
    pub(super) async fn look(&self) -> Result<Look<'_>, AuditError> {
        match self {
            Self::Directory(disk) => Ok(Look::Directory(disk, base(disk).unwrap_or_default())),
            Self::Cluster(cluster) => {
                Ok(Look::Cluster(cluster.log.look(cluster.shards).await.map_err(unread)?))
            }
        }
    }
}

impl Look<'_> {
    /// Each shard's last record that was deleted.
    pub(super) fn base(&self) -> Vec<u64> {
        match self {
            Self::Directory(_, base) => base.clone(),
            Self::Cluster(look) => look.base_seqs(),
        }
    }

    /// Each shard's last record.
    pub(super) async fn ends(&self) -> Result<BTreeMap<ShardId, u64>, AuditError> {
        let mut ends = BTreeMap::new();
        if let Self::Cluster(look) = self {
            let seqs = look.end_seqs().into_iter().enumerate();
            ends.extend(seqs.map(|(shard, seq)| (ShardId(shard as u16), seq)));
        } else {
            // What cannot be read is found again by the pass that judges.
            let each = |found: Record| {
                ends.insert(found.shard, found.seq);
            };
            self.read(|_, _| (), each).await?;
        }
        Ok(ends)
    }

    /// Hands over each record, batch by batch, after telling of the batch by the epoch that wrote it; and by
    /// its shard, where each shard has an owner of its own.
    ///
    /// # Errors
    /// Returns [`AuditError`] if etcd does not answer or has forgotten the revision. Damage is no error.
    pub(super) async fn read(
        &self,
        mut batch: impl FnMut(Option<ShardId>, u64),
        mut each: impl FnMut(Record),
    ) -> Result<Reading, AuditError> {
        let look = match self {
            Self::Directory(disk, base) => return Ok(read_files(*disk, base, batch, each)),
            Self::Cluster(look) => look,
        };
        let base = look.base_seqs();
        let (mut ends, mut damage) = (0, Vec::new());
        for shard in (0..base.len()).map(|shard| ShardId(shard as u16)) {
            match look.read(shard, |epoch| batch(Some(shard), epoch), &mut each).await {
                Ok(()) => ends += 1,
                Err(LookError::Damaged(why)) => damage.push(why),
                Err(error) => return Err(unread(error)),
            }
        }
        Ok(Reading { base, damage, ends, is_passing: false })
    }
}

fn read_files(
    disk: &dyn Disk,
    seen: &[u64],
    mut batch: impl FnMut(Option<ShardId>, u64),
    mut each: impl FnMut(Record),
) -> Reading {
    let scanned: Result<_, ReadError> = file::scan(disk, |_, link, payload| {
        batch(None, link.epoch);
        for found in each_record(payload) {
            each(found?);
        }
        Ok(())
    });
    match scanned {
        // Segments may have been deleted since the look.
        Ok(scan) => {
            let is_passing = scan.base.iter().ne(seen);
            Reading { base: scan.base, damage: Vec::new(), ends: 0, is_passing }
        }
        // The process that writes it may have been at that very place.
        Err(error) => {
            let damage = vec![error.to_string()];
            Reading { base: seen.to_vec(), damage, ends: 0, is_passing: true }
        }
    }
}

fn unread(error: LookError) -> AuditError {
    match error {
        LookError::Compacted(revision) => AuditError::Compacted(revision),
        error => AuditError::Etcd(error),
    }
}
