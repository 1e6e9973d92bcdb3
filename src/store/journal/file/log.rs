//! The file log: one frame a batch, one `fdatasync` a frame. It has one owner and fences none.

use super::active::ActiveSegment;
use super::disk::{Disk, DiskFile};
use super::frame::{self, FRAME_HEADER_LENGTH, FRAME_PAYLOAD_MAX, Link, SegmentHeader};
use super::preparer;
use super::progress::ReadProgress;
use super::reader::{self, ReadError, Scan, TornTail, header_length};
use super::segments::{
    Durable, Options, Position, Prepared, Ready, Sealed, Segments, segment_name,
};
use super::tail::Tail;
use crate::crash::crash_point;
use crate::store::journal::log::{
    Batch, BoxError, JournalError, Log, LogHandle, LogReader, NotOwner, OpenedLog, Replayed,
};
use crate::store::journal::record::each_record;
use crate::store::journal::status::LogStatus;
use domain::{Record, ShardId};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A directory of segments, found and not read yet.
#[derive(Clone)]
pub struct OpenedFiles {
    disk: Arc<dyn Disk>,
    options: Options,
    progress: Arc<ReadProgress>,
}

impl OpenedFiles {
    /// How far it is read, for those who wait until it is.
    pub fn progress(&self) -> Arc<ReadProgress> {
        Arc::clone(&self.progress)
    }
}

/// A record that does not follow its shard's last one.
#[derive(Debug, thiserror::Error)]
#[error("record {seq} of shard {shard} follows record {last}")]
struct OutOfOrder {
    shard: ShardId,
    seq: u64,
    last: u64,
}

/// Each shard's last record so far, and as of the end of each segment that is full.
struct Seqs {
    shards: Vec<u64>,
    segment: u64,
    sealed: VecDeque<Sealed>,
}

impl Seqs {
    /// Notes that the next frame is in `segment`.
    fn enter(&mut self, segment: u64) {
        if self.segment != 0 && self.segment != segment {
            self.sealed.push_back(Sealed { number: self.segment, seqs: self.shards.clone() });
        }
        self.segment = segment;
    }

    /// Notes a record. I5: each shard's records are dense.
    fn follow(&mut self, found: &Record) -> Result<(), OutOfOrder> {
        let index = found.shard.index();
        if index >= self.shards.len() {
            self.shards.resize(index + 1, 0);
        }
        let last = self.shards[index];
        if found.seq != last + 1 {
            return Err(OutOfOrder { shard: found.shard, seq: found.seq, last });
        }
        self.shards[index] = found.seq;
        Ok(())
    }
}

impl OpenedLog for OpenedFiles {
    type Log = FileLog;

    fn base(&self) -> Result<Vec<u64>, JournalError> {
        Ok(reader::base(self.disk.as_ref())?)
    }

    fn replay(
        self,
        after: &[u64],
        mut visit: impl FnMut(&Record) -> Result<(), BoxError>,
    ) -> Result<Replayed<FileLog>, JournalError> {
        let base = reader::base(self.disk.as_ref())?;
        let mut seqs = Seqs { shards: base, segment: 0, sealed: VecDeque::new() };
        seqs.shards.resize(seqs.shards.len().max(after.len()), 0);
        let progress = self.progress;
        progress.found(reader::segment_numbers(self.disk.as_ref())?.len());
        let scan = reader::scan(self.disk.as_ref(), |position, _, payload| {
            if position.segment != seqs.segment {
                progress.begin_segment();
            }
            seqs.enter(position.segment);
            let mut records = 0;
            for found in each_record(payload) {
                let found = found?;
                records += 1;
                seqs.follow(&found)?;
                if found.seq > after.get(found.shard.index()).copied().unwrap_or(0) {
                    visit(&found)?;
                }
            }
            progress.read_records(records);
            Ok(())
        })?;
        // The last segment may have a header and no whole frame yet.
        seqs.enter(scan.end.segment);
        let active = lock_last(self.disk.as_ref(), scan.end.segment)?;
        let Seqs { mut shards, sealed, .. } = seqs;
        shards.truncate(after.len());
        let (last_epoch, epoch) = (scan.last.epoch, scan.last.epoch + 1);
        let log = FileLog::new(self.disk, self.options, scan, sealed, shards.clone(), active);
        Ok(Replayed { log, seqs: shards, last_epoch, epoch })
    }
}

/// Takes the last segment over that was written, before anything of it is changed; none if there is
/// none yet.
fn lock_last(disk: &dyn Disk, number: u64) -> Result<Option<ActiveSegment>, ReadError> {
    if number == 0 {
        return Ok(None);
    }
    let name = segment_name(number);
    let locked = disk.open(&name).and_then(|file| ActiveSegment::lock(Ready { number, file }));
    match locked {
        Ok(None) => Err(ReadError::InUse { file: name }),
        Ok(active) => Ok(active),
        Err(source) => Err(ReadError::Io { file: name, source }),
    }
}

/// Cuts off a torn tail, so that appending may go on there.
fn cut_torn_tail(file: &dyn DiskFile, torn: &TornTail) -> io::Result<()> {
    tracing::warn!(
        file = segment_name(torn.position.segment),
        offset = torn.position.offset,
        bytes = torn.bytes,
        "cutting the journal's torn tail: a batch that a crash interrupted and that was never \
         confirmed"
    );
    let zeros = vec![0; usize::try_from(torn.bytes).map_err(io::Error::other)?];
    file.write_at(torn.position.offset, &zeros)?;
    file.sync_data()
}

/// The writing half of a file journal.
pub struct FileLog {
    segments: Arc<Segments>,
    epoch: u64,
    last: Link,
    /// Where the next frame is written.
    end: Position,
    /// Where the segment's frames start; 0 while it has no header.
    frames_start: u64,
    /// The segment that is written; none before the first one.
    active: Option<ActiveSegment>,
    /// What a crash left behind the last whole frame, until the log is started.
    torn: Option<TornTail>,
    /// The numbers of the segments that were found prepared, until they are opened.
    found_prepared: Vec<u64>,
    /// Each shard's last durable record.
    seqs: Vec<u64>,
    preparer: Option<JoinHandle<()>>,
}

impl FileLog {
    /// The journal on `disk`, which is not read before it is replayed.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> OpenedFiles {
        OpenedFiles { disk, options, progress: Arc::default() }
    }

    fn new(
        disk: Arc<dyn Disk>,
        options: Options,
        scan: Scan,
        sealed: VecDeque<Sealed>,
        seqs: Vec<u64>,
        active: Option<ActiveSegment>,
    ) -> Self {
        let Scan { last, end, segments, prepared, torn, base, .. } = scan;
        let newest = [prepared.last(), segments.last()].into_iter().flatten().max();
        let segments = Arc::new(Segments {
            disk,
            options,
            status: Arc::default(),
            durable: Mutex::new(Durable { end, sealed, base }),
            prepared: Mutex::new(Prepared {
                ready: VecDeque::new(),
                next: newest.copied().unwrap_or(0).max(end.segment) + 1,
                finishing: false,
                closed: false,
                obstacle: None,
            }),
            prepared_changed: Condvar::new(),
        });
        Self {
            segments,
            epoch: last.epoch + 1,
            last,
            // A journal written with larger segments goes on in a new one of the present size.
            end: Position { offset: end.offset.min(options.segment_bytes), ..end },
            frames_start: 0,
            active,
            torn,
            found_prepared: prepared,
            seqs,
            preparer: None,
        }
    }

    /// Goes on in the next segment that is ready, waiting for one if need be.
    fn roll(&mut self) -> io::Result<()> {
        let ready = self.segments.take_ready()?;
        let number = ready.number;
        let Some(active) = ActiveSegment::lock(ready)? else {
            let what = format!("{} is written by another process", segment_name(number));
            return Err(NotOwner(what).into());
        };
        self.active = Some(active);
        self.end = self.segments.begin(number, &self.seqs);
        self.frames_start = 0;
        Ok(())
    }

    /// Writes the segment's header, in front of frame `first_frame`.
    fn write_header(&mut self, file: &dyn DiskFile, first_frame: u64) -> io::Result<()> {
        let header = SegmentHeader {
            number: self.end.segment,
            first_frame,
            chain: self.last.crc,
            epoch: self.last.epoch,
            marks: self.seqs.clone(),
        };
        // Durable before the frame is written: a crash cannot leave a frame without its header,
        // so a header that is not readable before a frame was damaged.
        file.write_at(0, &header.encode())?;
        self.sync(file)?;
        self.end.offset = header.length() as u64;
        self.frames_start = self.end.offset;
        Ok(())
    }

    fn write_frame(&mut self, active: &ActiveSegment, batch: &mut Batch) -> io::Result<()> {
        let last = (self.end.offset > self.frames_start).then_some(self.last.number);
        active.check_own(self.segments.disk.as_ref(), self.end, last)?;
        let (file, number) = (active.file(), self.last.number + 1);
        if self.end.offset == 0 {
            self.write_header(file, number)?;
        }
        let crc = frame::seal(&mut batch.bytes, number, self.epoch, self.last.crc);
        crash_point("journal-before-write");
        file.write_at(self.end.offset, &batch.bytes)?;
        crash_point("journal-after-write");
        self.sync(file)?;
        crash_point("journal-after-sync");
        self.last = Link { number, crc, epoch: self.epoch };
        self.end.offset += batch.bytes.len() as u64;
        self.segments.status.count_bytes(batch.bytes.len() as u64);
        Ok(())
    }

    fn sync(&self, file: &dyn DiskFile) -> io::Result<()> {
        fail::fail_point!("journal-sync", |_| Err(io::Error::other("injected sync error")));
        let timer = crate::clock::Stopwatch::start();
        file.sync_data()?;
        self.segments.status.count_sync(timer.nanoseconds());
        Ok(())
    }
}

impl Log for FileLog {
    const HEADROOM: usize = FRAME_HEADER_LENGTH;

    fn start(&mut self) -> io::Result<Arc<dyn LogHandle>> {
        let segments = &self.segments;
        {
            let mut prepared = segments.prepared.lock();
            for number in std::mem::take(&mut self.found_prepared) {
                let file = segments.disk.open(&segment_name(number))?;
                prepared.ready.push_back(Ready { number, file });
            }
            if self.end.segment == 0 && prepared.ready.is_empty() {
                let number = prepared.next;
                let length = segments.options.segment_bytes;
                let file = preparer::prepare(segments.disk.as_ref(), number, length)?;
                prepared.ready.push_back(Ready { number, file });
                prepared.next += 1;
            }
        }
        if let (Some(active), Some(torn)) = (&self.active, self.torn.take()) {
            cut_torn_tail(active.file(), &torn)?;
        }
        if let Some(active) = &self.active
            && self.end.offset > 0
        {
            self.frames_start = header_length(active.file())?;
        }
        self.preparer = Some(preparer::spawn(Arc::clone(segments))?);
        Ok(Arc::new(FileHandle(Arc::clone(segments))))
    }

    fn commit(&mut self, batch: &mut Batch) -> io::Result<Vec<ShardId>> {
        let payload = batch.bytes.len() - FRAME_HEADER_LENGTH;
        if payload > FRAME_PAYLOAD_MAX {
            return Err(io::Error::other(format!("a batch of {payload} bytes fits no frame")));
        }
        let length = frame::frame_length(payload) as u64;
        // A segment without a frame is never left: what was sealed before it may be deleted.
        let has_frames = self.end.offset > self.frames_start;
        let is_full = self.end.offset + length > self.segments.options.segment_bytes;
        if self.active.is_none() || (is_full && has_frames) {
            self.roll()?;
        }
        let Some(active) = self.active.take() else {
            return Err(io::Error::other("no segment is open"));
        };
        self.write_frame(&active, batch)?;
        self.active = Some(active);
        for part in batch.parts.iter().filter(|part| part.has_records()) {
            self.seqs[part.shard.index()] = part.last_seq;
        }
        self.segments.advance(self.end);
        Ok(Vec::new())
    }
}

impl Drop for FileLog {
    fn drop(&mut self) {
        self.segments.prepared.lock().closed = true;
        self.segments.prepared_changed.notify_all();
        if let Some(preparer) = self.preparer.take() {
            // The preparer reports its troubles while it runs.
            let _ = preparer.join();
        }
    }
}

/// The half of a file journal that all threads share.
struct FileHandle(Arc<Segments>);

impl LogHandle for FileHandle {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn status(&self) -> Arc<LogStatus> {
        Arc::clone(&self.0.status)
    }

    fn base(&self) -> Vec<u64> {
        self.0.durable.lock().base.clone()
    }

    fn read(&self, after: &[u64]) -> Box<dyn LogReader> {
        Box::new(Tail::new(Arc::clone(&self.0), self.0.first_beyond(after)))
    }

    fn beyond(&self, bytes: u64) -> Vec<u64> {
        self.0.beyond(bytes)
    }

    fn can_retire(&self, covered: &[u64]) -> bool {
        self.0.oldest_covered(covered).is_some()
    }

    fn retire(&self, covered: &[u64]) -> io::Result<usize> {
        self.0.retire(covered)
    }

    fn finish(&self) {
        self.0.prepared.lock().finishing = true;
        self.0.prepared_changed.notify_all();
    }
}
