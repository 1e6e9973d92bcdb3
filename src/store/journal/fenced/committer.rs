//! A fenced log as the journal's writer sees it: batches of many shards in, one transaction at a time.
//!
//! There is no second transaction while one is open, and none is given up whose outcome is unknown: it is
//! sent again, word for word, until the log says what became of it. Callers are answered at their own
//! deadlines meanwhile.

use super::batch::StoredBatch;
use super::head::{BatchId, Head};
use super::owned::OwnedShards;
use super::reader::FencedReader;
use super::{Appended, Entry, FencedLog, LogError};
use crate::store::journal::log::{Batch, Log, LogHandle, LogReader, Part};
use crate::store::journal::record;
use crate::store::journal::status::LogStatus;
use crate::telemetry::metrics::{JOURNAL_RESUBMISSIONS_TOTAL, SHARDS_FENCED_TOTAL};
use domain::ShardId;
use rand::RngExt;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// The most shards that one transaction changes: two operations each, of the 128 that etcd allows.
const TRANSACTION_SHARDS_MAX: usize = 60;
/// The most record bytes that one transaction carries, far below the 1.5 MiB that etcd allows. What one
/// `append` of a shard brings may be more, and goes in pieces then.
const TRANSACTION_BYTES_MAX: usize = 512 << 10;
/// How long a transaction may be unknown before nothing more is admitted behind it.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// How a committer works.
#[derive(Clone, Copy, Debug)]
pub struct CommitterOptions {
    /// How long it waits before it sends a transaction again whose outcome is unknown.
    pub pause: Duration,
}

impl Default for CommitterOptions {
    fn default() -> Self {
        Self { pause: Duration::from_millis(50) }
    }
}

/// The writing half of a fenced log.
pub struct Committer<L> {
    shared: Arc<SharedHalf<L>>,
    runtime: Handle,
    options: CommitterOptions,
}

struct SharedHalf<L> {
    log: Arc<L>,
    owned: Arc<OwnedShards>,
    status: Arc<LogStatus>,
    finishing: AtomicBool,
}

/// What one transaction appends to one shard.
#[derive(Default)]
struct Joined {
    first_seq: u64,
    last_seq: u64,
    records: Vec<u8>,
}

/// Records of a part that fit into one transaction.
struct Piece<'a> {
    shard: ShardId,
    first_seq: u64,
    last_seq: u64,
    records: &'a [u8],
}

/// What a head says of an entry that was refused.
#[derive(PartialEq, Eq, Debug)]
enum Verdict {
    /// The entry is durable, and the shard still this node's.
    Landed,
    /// The entry is durable, but another node has claimed the shard since.
    LandedAndLost,
    /// The shard is as the entry expected it: another shard of the transaction was not.
    Waits,
    /// Another node owns the shard, and has gone on behind what this one knew.
    Overtaken,
}

impl<L: FencedLog> Committer<L> {
    /// A committer to the shards that are, and will be, open in `owned`. `runtime` is where the log's
    /// calls run; the thread that commits must not be one of its own.
    pub fn new(
        log: Arc<L>,
        owned: Arc<OwnedShards>,
        runtime: Handle,
        options: CommitterOptions,
    ) -> Self {
        let shared =
            SharedHalf { log, owned, status: Arc::default(), finishing: AtomicBool::new(false) };
        Self { shared: Arc::new(shared), runtime, options }
    }

    /// Makes a batch durable as [`Log::commit`] does, for a caller that has no thread to block: appends what
    /// its parts hold of shards that this node owns, in as many transactions as the limits ask for. One batch
    /// at a time. Returns the shards whose parts are not durable.
    ///
    /// # Errors
    /// Returns the log's error if it is not known what became of the batch.
    pub async fn commit_batch(&self, Batch { bytes, parts }: &Batch) -> io::Result<Vec<ShardId>> {
        let mut fenced = Vec::new();
        let mut joined: BTreeMap<ShardId, Joined> = BTreeMap::new();
        let mut joined_bytes = 0;
        let parts = parts.iter().filter(|part| part.has_records());
        for piece in parts.flat_map(|part| pieces(part, bytes)) {
            let has_room = joined_bytes + piece.records.len() <= TRANSACTION_BYTES_MAX
                && (joined.len() < TRANSACTION_SHARDS_MAX || joined.contains_key(&piece.shard));
            if !has_room && !joined.is_empty() {
                self.commit_joined(std::mem::take(&mut joined), &mut fenced).await?;
                joined_bytes = 0;
            }
            joined_bytes += piece.records.len();
            let own = joined.entry(piece.shard).or_default();
            if own.records.is_empty() {
                own.first_seq = piece.first_seq;
            }
            own.last_seq = piece.last_seq;
            own.records.extend_from_slice(piece.records);
        }
        if !joined.is_empty() {
            self.commit_joined(joined, &mut fenced).await?;
        }
        Ok(fenced)
    }

    /// Makes one transaction's entries and commits them.
    async fn commit_joined(
        &self,
        joined: BTreeMap<ShardId, Joined>,
        fenced: &mut Vec<ShardId>,
    ) -> io::Result<()> {
        let mut entries = Vec::with_capacity(joined.len());
        for (shard, joined) in joined {
            let claim = self.shared.owned.claim(shard).filter(|_| !fenced.contains(&shard));
            let Some(claim) = claim else {
                fenced.push(shard);
                continue;
            };
            let (expected, seqs) = (claim.head, (joined.first_seq, joined.last_seq));
            assert_eq!(
                joined.first_seq,
                expected.seq + 1,
                "I5: shard {shard} skips or repeats in its log"
            );
            let id = BatchId(rand::rng().random());
            let (next, bytes) =
                StoredBatch::follow(&expected, shard, &claim.session, seqs, id, &joined.records);
            entries.push(Entry { shard, expected, next, bytes });
        }
        self.commit_entries(entries, fenced).await
    }

    /// Sends a transaction until it is known what became of each entry.
    async fn commit_entries(
        &self,
        mut entries: Vec<Entry>,
        fenced: &mut Vec<ShardId>,
    ) -> io::Result<()> {
        let silence = Instant::now();
        while !entries.is_empty() {
            let took = Instant::now();
            let why = match self.shared.log.append(&entries).await {
                Appended::Done => {
                    self.shared.count(&entries, &took);
                    for entry in entries.drain(..) {
                        self.shared.owned.advance(entry);
                    }
                    break;
                }
                Appended::Refused(heads) => {
                    let before = entries.len();
                    entries = self.settle_refused(entries, heads, fenced).await?;
                    if entries.len() < before {
                        continue;
                    }
                    "the log refused what it then said was as expected".to_owned()
                }
                Appended::Full => {
                    self.shared.status.set_has_room(false);
                    "the log's database is full: compact and defragment it, or raise \
                                   its quota, and take its alarm back"
                        .to_owned()
                }
                Appended::Unknown(why) => why,
            };
            self.wait(&silence, why).await?;
            metrics::counter!(JOURNAL_RESUBMISSIONS_TOTAL).increment(1);
        }
        self.shared.status.set_has_room(true);
        self.shared.status.set_unreachable(false);
        if self.shared.status.set_obstacle(None) {
            tracing::info!("the cluster's log answers again");
        }
        Ok(())
    }

    /// Sorts the entries of a refused transaction by their heads. Returns those that have to be sent
    /// again, without the ones that are durable or fenced.
    async fn settle_refused(
        &self,
        entries: Vec<Entry>,
        heads: Vec<Option<Head>>,
        fenced: &mut Vec<ShardId>,
    ) -> io::Result<Vec<Entry>> {
        let mut waiting = Vec::new();
        for (entry, head) in entries.into_iter().zip(heads) {
            let shard = entry.shard;
            let mut verdict = judge(&entry, head);
            if verdict == Verdict::Overtaken && self.is_on_record(&entry).await? {
                verdict = Verdict::LandedAndLost;
            }
            match verdict {
                Verdict::Waits => waiting.push(entry),
                Verdict::Landed => self.shared.owned.advance(entry),
                Verdict::LandedAndLost => {
                    self.shared.owned.advance(entry);
                    self.shared.owned.lose(shard);
                }
                Verdict::Overtaken => {
                    tracing::warn!(
                        shard = shard.0,
                        "another node owns this shard now: what waited here is not on record"
                    );
                    metrics::counter!(SHARDS_FENCED_TOTAL).increment(1);
                    self.shared.owned.lose(shard);
                    fenced.push(shard);
                }
            }
        }
        Ok(waiting)
    }

    /// Whether the entry is in the shard's log though another node has gone on behind it. What is trimmed
    /// already counts as not: its caller learns that the outcome is unknown, which is true.
    async fn is_on_record(&self, entry: &Entry) -> io::Result<bool> {
        let silence = Instant::now();
        loop {
            match self.shared.log.read(entry.shard, entry.expected.batch, 1).await {
                Ok(found) => {
                    return Ok(found.first().is_some_and(|batch| batch.id == entry.next.id));
                }
                Err(LogError::Unavailable(why)) => self.wait(&silence, why).await?,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    /// Pauses before the next attempt, and says how it is once that is worth saying.
    ///
    /// # Errors
    /// Returns why there is no answer if the journal is finishing.
    async fn wait(&self, silence: &Instant, why: String) -> io::Result<()> {
        if self.shared.finishing.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        if silence.elapsed() >= SILENCE_MAX {
            // What is full answers: it is another trouble.
            self.shared.status.set_unreachable(self.shared.status.has_room());
            let seconds = silence.elapsed().as_secs();
            let text = format!("the cluster's log has confirmed nothing for {seconds} s: {why}");
            if !self.shared.status.set_obstacle(Some(text)) {
                tracing::warn!(
                    why,
                    "the cluster's log does not confirm: nothing more is sold until it does"
                );
            }
        }
        if !self.options.pause.is_zero() {
            tokio::time::sleep(self.options.pause).await;
        }
        Ok(())
    }
}

/// The records of a part, cut between records where they are too many for one transaction.
fn pieces<'a>(part: &Part, bytes: &'a [u8]) -> Vec<Piece<'a>> {
    let (shard, mut first_seq) = (part.shard, part.first_seq);
    let mut rest = &bytes[part.bytes.clone()];
    let mut pieces = Vec::new();
    while rest.len() > TRANSACTION_BYTES_MAX {
        let (mut end, mut count) = (0, 0);
        while let Some(length) = record::length(&rest[end..])
            && end + length <= TRANSACTION_BYTES_MAX
        {
            end += length;
            count += 1;
        }
        assert!(count > 0, "a record is far shorter than a transaction may be");
        let (records, behind) = rest.split_at(end);
        pieces.push(Piece { shard, first_seq, last_seq: first_seq + count - 1, records });
        (first_seq, rest) = (first_seq + count, behind);
    }
    pieces.push(Piece { shard, first_seq, last_seq: part.last_seq, records: rest });
    pieces
}

/// What a shard's present head says of an entry that was not appended just now.
fn judge(entry: &Entry, head: Option<Head>) -> Verdict {
    let Some(head) = head else { return Verdict::Overtaken };
    if head == entry.expected {
        return Verdict::Waits;
    }
    if head.id == entry.next.id && head.batch == entry.next.batch {
        let is_own = head.epoch == entry.next.epoch;
        return if is_own { Verdict::Landed } else { Verdict::LandedAndLost };
    }
    Verdict::Overtaken
}

impl<L> SharedHalf<L> {
    fn count(&self, entries: &[Entry], took: &Instant) {
        let bytes: usize = entries.iter().map(|entry| entry.bytes.len()).sum();
        self.status.count_bytes(bytes as u64);
        self.status.count_sync(u64::try_from(took.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
}

impl<L: FencedLog> Log for Committer<L> {
    fn start(&mut self) -> io::Result<Arc<dyn LogHandle>> {
        let (shared, runtime) = (Arc::clone(&self.shared), self.runtime.clone());
        Ok(Arc::new(FencedHandle { shared, runtime }))
    }

    fn commit(&mut self, batch: &mut Batch) -> io::Result<Vec<ShardId>> {
        self.runtime.block_on(self.commit_batch(batch))
    }
}

/// The half that all threads share.
struct FencedHandle<L> {
    shared: Arc<SharedHalf<L>>,
    runtime: Handle,
}

impl<L: FencedLog> LogHandle for FencedHandle<L> {
    fn kind(&self) -> &'static str {
        "cluster"
    }

    fn status(&self) -> Arc<LogStatus> {
        Arc::clone(&self.shared.status)
    }

    fn base(&self) -> Vec<u64> {
        self.shared.owned.base_seqs()
    }

    fn read(&self, after: &[u64]) -> Box<dyn LogReader> {
        let shared = &self.shared;
        let (log, owned) = (Arc::clone(&shared.log), Arc::clone(&shared.owned));
        Box::new(FencedReader::new(log, owned, Arc::clone(&shared.status), after))
    }

    fn beyond(&self, bytes: u64) -> Vec<u64> {
        self.shared.owned.beyond(bytes)
    }

    fn can_retire(&self, covered: &[u64]) -> bool {
        let each = covered.iter().enumerate();
        each.filter_map(|(index, covered)| Some((shard_of(index)?, *covered)))
            .any(|(shard, covered)| self.shared.owned.trimmable(shard, covered).is_some())
    }

    fn retire(&self, covered: &[u64]) -> io::Result<usize> {
        let mut count = 0;
        for (index, covered) in covered.iter().enumerate() {
            let Some(shard) = shard_of(index) else { break };
            let Some((claim, base)) = self.shared.owned.trimmable(shard, *covered) else {
                continue;
            };
            match self.runtime.block_on(self.shared.log.trim(&claim, base)) {
                Ok(()) => count += self.shared.owned.trimmed(shard, base),
                Err(LogError::NotOwner(shard)) => self.shared.owned.lose(shard),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(count)
    }

    fn finish(&self) {
        self.shared.finishing.store(true, Ordering::Release);
    }
}

fn shard_of(index: usize) -> Option<ShardId> {
    u16::try_from(index).ok().map(ShardId)
}
