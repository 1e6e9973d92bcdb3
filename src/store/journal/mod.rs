//! The journal: every fact of every shard, in files, durable before anyone hears of it.
//!
//! Each shard's log is its own dense sequence; this implementation multiplexes all of them into one
//! file for one sync. [`scan`] reads it back (recovery, audit), [`Journal`] appends with group
//! commit, [`Tail`] follows the durable end. Knows bytes and sequence numbers; what a record means is
//! the domain's business, what an effect is the caller's.

pub mod disk;
pub mod frame;
mod id;
mod reader;
pub mod record;
mod writer;

pub use id::{JournalId, NoJournalId};
pub use reader::{Position, ReadError, Scan, Tail, TornTail, base, scan, segment_name};

use disk::Disk;
use domain::ShardId;
use frame::{FRAME_PAYLOAD_MAX, frame_length};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use writer::{Durable, Pending, Prepared, Preparer, Shared, Writer};

/// How the journal uses its disk.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Length of a segment in bytes, at least [`SEGMENT_BYTES_MIN`].
    pub segment_bytes: u64,
    /// Segments kept ready ahead of the writer, at least 1.
    pub segments_ahead: usize,
    /// How long to wait before trying again to prepare a segment on a full disk.
    pub prepare_retry: Duration,
}

/// The smallest segment: room for a header and a frame of the largest size.
pub const SEGMENT_BYTES_MIN: u64 = 2 * FRAME_PAYLOAD_MAX as u64;

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, segments_ahead: 2, prepare_retry: Duration::from_secs(1) }
    }
}

/// Where a journal is taken up: what a scan found, and each sealed segment's last records.
pub struct Resumption {
    /// What the scan found.
    pub scan: Scan,
    /// Each shard's last record.
    pub seqs: Vec<u64>,
    /// For each segment before the last: each shard's last record in or before it.
    pub sealed: VecDeque<(u64, Vec<u64>)>,
}

/// Cuts the torn tail that `scan` found, so that appending may go on there.
///
/// # Errors
/// Where the file system fails.
pub fn cut_torn_tail(disk: &dyn Disk, scan: &mut Scan) -> io::Result<()> {
    if let Some(torn) = scan.torn.take() {
        let file = disk.open(&segment_name(torn.position.segment))?;
        let zeros = vec![0; usize::try_from(torn.bytes).map_err(io::Error::other)?];
        file.write_at(torn.position.offset, &zeros)?;
        file.sync_data()?;
    }
    Ok(())
}

/// The running journal. `E` is what waits for durability: replies, publications.
pub struct Journal<E> {
    shared: Arc<Shared<E>>,
    disk: Arc<dyn Disk>,
    epoch: u64,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Figures of the writer since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriterFigures {
    /// Syncs done.
    pub syncs: u64,
    /// Time spent in them, in seconds.
    pub sync_seconds: f64,
    /// Bytes written, framing included.
    pub bytes: u64,
    /// Records written.
    pub records: u64,
}

impl<E: Send + 'static> Journal<E> {
    /// Starts the writer behind what was read.
    ///
    /// `on_durable` gets the effects of each batch once it is on disk, in the order of `append`;
    /// `on_failure` is called once, when a write or sync failed and the process has to stop.
    ///
    /// # Errors
    /// Where a first segment cannot be prepared or a thread not be started.
    pub fn start(
        disk: Arc<dyn Disk>,
        options: Options,
        resumption: Resumption,
        on_durable: impl FnMut(Vec<E>) + Send + 'static,
        on_failure: impl FnOnce(io::Error) + Send + 'static,
    ) -> io::Result<Self> {
        let Resumption { scan, seqs, sealed } = resumption;
        let epoch = scan.last.epoch + 1;
        let mut ready: VecDeque<u64> = scan.prepared.iter().copied().collect();
        let last_segment = scan
            .prepared
            .last()
            .copied()
            .unwrap_or(0)
            .max(scan.end.segment)
            .max(scan.segments.last().copied().unwrap_or(0));
        let mut next = last_segment + 1;
        if scan.end.segment == 0 && ready.is_empty() {
            writer::prepare(disk.as_ref(), next, options.segment_bytes)?;
            ready.push_back(next);
            next += 1;
        }
        let file = match scan.end.segment {
            0 => None,
            segment => Some(disk.open(&segment_name(segment))?),
        };
        let frames_start = match &file {
            Some(file) if scan.end.offset > 0 => reader::header_length(file.as_ref())?,
            _ => 0,
        };
        // A journal written with larger segments goes on in a new one of the present size.
        let end = Position { offset: scan.end.offset.min(options.segment_bytes), ..scan.end };
        let shared = Arc::new(Shared {
            pending: Mutex::new(Pending::new()),
            arrived: Condvar::new(),
            in_flight: Mutex::new(Vec::new()),
            durable: Mutex::new(Durable { end: scan.end, sealed }),
            durable_epoch: AtomicU64::new(scan.last.epoch),
            durable_seqs: seqs.into_iter().map(AtomicU64::new).collect(),
            prepared: Mutex::new(Prepared {
                ready,
                next,
                closing: false,
                closed: false,
                obstacle: None,
            }),
            prepared_changed: Condvar::new(),
            has_room: AtomicBool::new(true),
            failed: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            sync_nanoseconds: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            written_records: AtomicU64::new(0),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            disk: Arc::clone(&disk),
            options,
            epoch,
            last: scan.last,
            end,
            frames_start,
            file,
            on_durable: Box::new(on_durable),
        };
        let preparer = Preparer { shared: Arc::clone(&shared), disk: Arc::clone(&disk), options };
        let threads = vec![
            std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
                if let Err(error) = writer.run() {
                    on_failure(error);
                }
            })?,
            std::thread::Builder::new()
                .name("journal-prepare".to_owned())
                .spawn(move || preparer.run())?,
        ];
        Ok(Self { shared, disk, epoch, threads: Mutex::new(threads) })
    }

    /// This owner's number: one more than the last one's (I15).
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The owner of the last durable frame: an earlier one until this one has written. What is kept
    /// elsewhere carries this number, so that it is never ahead of the journal.
    pub fn durable_epoch(&self) -> u64 {
        self.shared.durable_epoch.load(Ordering::Acquire)
    }

    /// Appends encoded records of one shard and what waits for them, in this order, without waiting
    /// for the disk. Both are moved out of the given buffers, which keep their room.
    ///
    /// Effects may come without records; they then wait for what was appended before.
    pub fn append(
        &self,
        shard: ShardId,
        last_seq: u64,
        records: u64,
        bytes: &mut Vec<u8>,
        effects: &mut Vec<E>,
    ) {
        let mut pending = self.shared.pending.lock();
        pending.bytes.extend_from_slice(bytes);
        debug_assert!(
            pending.bytes.len() <= frame_length(FRAME_PAYLOAD_MAX),
            "permits bound what waits for one sync"
        );
        pending.records += records;
        if records > 0 {
            pending.last_seqs.push((shard.0, last_seq));
        }
        pending.effects.append(effects);
        let wake = pending.writer_waits;
        drop(pending);
        bytes.clear();
        if wake {
            self.shared.arrived.notify_one();
        }
    }

    /// Gives `visit` every effect that still waits, oldest first. It may take out of an effect what a
    /// deadline answers; the effect itself stays until its batch is durable.
    pub fn visit_waiting(&self, mut visit: impl FnMut(&mut E)) {
        self.shared.in_flight.lock().iter_mut().for_each(&mut visit);
        self.shared.pending.lock().effects.iter_mut().for_each(&mut visit);
    }

    /// The end of what is durable.
    pub fn durable_end(&self) -> Position {
        self.shared.durable.lock().end
    }

    /// The last durable record of a shard.
    pub fn durable_seq(&self, shard: ShardId) -> u64 {
        let seq = self.shared.durable_seqs.get(shard.index());
        seq.map_or(0, |seq| seq.load(Ordering::Acquire))
    }

    /// Each shard's last durable record.
    pub fn durable_seqs(&self) -> Vec<u64> {
        self.shared.seqs()
    }

    /// The oldest segment that was not deleted.
    pub fn oldest_segment(&self) -> u64 {
        let durable = self.shared.durable.lock();
        durable.sealed.front().map_or(durable.end.segment, |(number, _)| *number).max(1)
    }

    /// The oldest segment with a record that `seqs` (a number a shard) does not reach.
    pub fn first_segment_beyond(&self, seqs: &[u64]) -> u64 {
        let durable = self.shared.durable.lock();
        let beyond = durable.sealed.iter().find(|(_, last)| !is_covered(last, seqs));
        // Segments are numbered from 1; before the first write there is none.
        beyond.map_or(durable.end.segment, |(number, _)| *number).max(1)
    }

    /// Follows the journal from `position`.
    pub fn follow(&self, position: Position) -> Tail {
        Tail::new(Arc::clone(&self.disk), position)
    }

    /// The disk beneath.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// Whether what is admitted now will find room on the disk.
    pub fn has_room(&self) -> bool {
        self.shared.has_room.load(Ordering::Acquire)
    }

    /// Why no segment could be prepared, if none could.
    pub fn obstacle(&self) -> Option<String> {
        self.shared.prepared.lock().obstacle.clone()
    }

    /// Whether a write or sync has failed. Nothing is ever confirmed after it.
    pub fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// Figures since the start.
    pub fn figures(&self) -> WriterFigures {
        let nanoseconds = self.shared.sync_nanoseconds.load(Ordering::Relaxed);
        WriterFigures {
            syncs: self.shared.syncs.load(Ordering::Relaxed),
            sync_seconds: Duration::from_nanos(nanoseconds).as_secs_f64(),
            bytes: self.shared.written_bytes.load(Ordering::Relaxed),
            records: self.shared.written_records.load(Ordering::Relaxed),
        }
    }

    /// Deletes the sealed segments of which `covered` holds: for each shard its last record in or
    /// before the segment is at most `covered[shard]` (rule 13: the caller gives what both a
    /// checkpoint and the order store hold). Returns how many were deleted.
    ///
    /// # Errors
    /// Where the file system fails; what was deleted stays deleted.
    pub fn retire(&self, covered: &[u64]) -> io::Result<usize> {
        let mut retired = 0;
        loop {
            let oldest = {
                let durable = self.shared.durable.lock();
                // Until the segment behind it has a header, the last sealed one alone tells where the
                // journal is.
                let is_followed = durable.end.offset > 0 || durable.sealed.len() > 1;
                match durable.sealed.front() {
                    Some((number, seqs)) if is_followed && is_covered(seqs, covered) => *number,
                    _ => break,
                }
            };
            self.disk.remove(&segment_name(oldest))?;
            self.disk.sync_directory()?;
            self.shared.durable.lock().sealed.pop_front();
            retired += 1;
        }
        Ok(retired)
    }

    /// Writes what waits and stops. Returns once the threads have ended. What finds no room on a full
    /// disk is not waited for: the journal fails then, and nobody is told of it.
    pub fn close(&self) {
        self.shared.pending.lock().closed = true;
        self.shared.arrived.notify_all();
        self.shared.prepared.lock().closing = true;
        self.shared.prepared_changed.notify_all();
        let mut threads = std::mem::take(&mut *self.threads.lock()).into_iter();
        // The writer may still need a segment, so the preparer ends after it.
        if let Some(writer) = threads.next() {
            let _ = writer.join();
        }
        self.shared.prepared.lock().closed = true;
        self.shared.prepared_changed.notify_all();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

fn is_covered(seqs: &[u64], covered: &[u64]) -> bool {
    seqs.iter().enumerate().all(|(shard, seq)| *seq <= covered.get(shard).copied().unwrap_or(0))
}
