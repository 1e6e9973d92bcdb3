//! The journal's one writer: group commit without a timer.
//!
//! A batch is what arrived while the last sync was under way. It is written, synced, and only then
//! are its effects (replies, publications) let go, so that nothing can leave before it is durable
//! (rule 5, I8). A write or sync that fails ends the journal for good: no effect of that batch
//! leaves, and the process is expected to stop (rule 6).
//!
//! Segments are filled with zeros ahead of time by a second thread, because a sync that need not
//! move the end of a file is half as expensive.

use super::Options;
use super::disk::{Disk, DiskFile};
use super::frame::{self, FRAME_HEADER_LENGTH, Link, SegmentHeader};
use super::reader::{Position, segment_name};
use crate::crash::crash_point;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// State shared by appenders, writer, preparer and followers.
pub(super) struct Shared<E> {
    pub(super) pending: Mutex<Pending<E>>,
    pub(super) arrived: Condvar,
    /// Effects of the batch that is being written, where a deadline can still reach them.
    pub(super) in_flight: Mutex<Vec<E>>,
    pub(super) durable: Mutex<Durable>,
    /// The owner of the last durable frame.
    pub(super) durable_epoch: AtomicU64,
    /// Each shard's last durable record.
    pub(super) durable_seqs: Box<[AtomicU64]>,
    pub(super) prepared: Mutex<Prepared>,
    pub(super) prepared_changed: Condvar,
    pub(super) has_room: AtomicBool,
    pub(super) failed: AtomicBool,
    pub(super) syncs: AtomicU64,
    pub(super) sync_nanoseconds: AtomicU64,
    pub(super) written_bytes: AtomicU64,
    pub(super) written_records: AtomicU64,
}

/// What waits for the next sync.
pub(super) struct Pending<E> {
    /// Starts with room for a frame's header.
    pub(super) bytes: Vec<u8>,
    pub(super) records: u64,
    pub(super) effects: Vec<E>,
    /// Each shard's last record, in the order of arrival; a shard may come more than once.
    pub(super) last_seqs: Vec<(u16, u64)>,
    pub(super) writer_waits: bool,
    pub(super) closed: bool,
}

/// What is on disk.
pub(super) struct Durable {
    pub(super) end: Position,
    /// Sealed segments, oldest first: number and each shard's last record in or before it.
    pub(super) sealed: VecDeque<(u64, Vec<u64>)>,
}

/// Segments that are ready to be written.
pub(super) struct Prepared {
    pub(super) ready: VecDeque<u64>,
    pub(super) next: u64,
    /// No more will be appended: whoever cannot get a segment now does not wait for better times.
    pub(super) closing: bool,
    pub(super) closed: bool,
    /// Why no more could be prepared, for the operator.
    pub(super) obstacle: Option<String>,
}

impl<E> Shared<E> {
    pub(super) fn seqs(&self) -> Vec<u64> {
        self.durable_seqs.iter().map(|seq| seq.load(Ordering::Acquire)).collect()
    }
}

impl Prepared {
    /// Whether what is admitted now will find room: purchases are refused before the space for what
    /// is already under way runs out. A segment that is only late is not one that cannot be made.
    fn has_room(&self, end: Position, segment_bytes: u64) -> bool {
        let reserve = 2 * frame::frame_length(frame::FRAME_PAYLOAD_MAX) as u64;
        self.obstacle.is_none()
            || !self.ready.is_empty()
            || segment_bytes.saturating_sub(end.offset) >= reserve
    }
}

impl<E> Pending<E> {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; FRAME_HEADER_LENGTH],
            records: 0,
            effects: Vec::new(),
            last_seqs: Vec::new(),
            writer_waits: false,
            closed: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.records == 0
    }
}

/// The thread that writes.
pub(super) struct Writer<E> {
    pub(super) shared: Arc<Shared<E>>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: Options,
    pub(super) epoch: u64,
    pub(super) last: Link,
    pub(super) end: Position,
    /// Where the segment's frames start; 0 while it has no header.
    pub(super) frames_start: u64,
    pub(super) file: Option<Box<dyn DiskFile>>,
    pub(super) on_durable: Box<dyn FnMut(Vec<E>) + Send>,
}

impl<E: Send + 'static> Writer<E> {
    /// Runs until the journal is closed and drained, or fails.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut batch = Pending::new();
        while self.take(&mut batch) {
            if batch.records > 0 {
                *self.shared.in_flight.lock() = std::mem::take(&mut batch.effects);
                if let Err(error) = self.commit(&mut batch) {
                    self.shared.failed.store(true, Ordering::Release);
                    return Err(error);
                }
                batch.effects = std::mem::take(&mut *self.shared.in_flight.lock());
            }
            crash_point("journal-before-release");
            (self.on_durable)(std::mem::take(&mut batch.effects));
            crash_point("journal-after-release");
            batch.bytes.truncate(FRAME_HEADER_LENGTH);
            batch.records = 0;
            batch.last_seqs.clear();
        }
        Ok(())
    }

    /// Takes what has arrived, waiting for it; false once closed and empty.
    fn take(&self, batch: &mut Pending<E>) -> bool {
        let mut pending = self.shared.pending.lock();
        while pending.is_empty() {
            if pending.closed {
                return false;
            }
            pending.writer_waits = true;
            self.shared.arrived.wait(&mut pending);
            pending.writer_waits = false;
        }
        std::mem::swap(&mut pending.bytes, &mut batch.bytes);
        std::mem::swap(&mut pending.effects, &mut batch.effects);
        std::mem::swap(&mut pending.last_seqs, &mut batch.last_seqs);
        batch.records = std::mem::take(&mut pending.records);
        true
    }

    fn commit(&mut self, batch: &mut Pending<E>) -> io::Result<()> {
        let length = frame::frame_length(batch.bytes.len() - FRAME_HEADER_LENGTH) as u64;
        // A segment without a frame is never left: what was sealed before it may be deleted.
        let has_frames = self.end.offset > self.frames_start;
        let is_full = self.end.offset + length > self.options.segment_bytes;
        if self.file.is_none() || (is_full && has_frames) {
            self.roll()?;
        }
        let Some(file) = &self.file else {
            return Err(io::Error::other("no segment is open"));
        };
        let number = self.last.number + 1;
        let crc = frame::seal(&mut batch.bytes, number, self.epoch, self.last.crc);
        if self.end.offset == 0 {
            let header = SegmentHeader {
                number: self.end.segment,
                first_frame: number,
                chain: self.last.crc,
                epoch: self.last.epoch,
                marks: self.shared.seqs(),
            };
            // Durable before the frame is written: a crash cannot leave a frame without its header,
            // so a header that is not readable before a frame was damaged.
            file.write_at(0, &header.encode())?;
            self.sync(file.as_ref())?;
            self.end.offset = header.length() as u64;
            self.frames_start = self.end.offset;
        }
        crash_point("journal-before-write");
        file.write_at(self.end.offset, &batch.bytes)?;
        crash_point("journal-after-write");
        self.sync(file.as_ref())?;
        crash_point("journal-after-sync");
        self.last = Link { number, crc, epoch: self.epoch };
        self.end.offset += length;
        self.shared.written_bytes.fetch_add(length, Ordering::Relaxed);
        self.shared.written_records.fetch_add(batch.records, Ordering::Relaxed);
        self.shared.durable.lock().end = self.end;
        self.shared.durable_epoch.store(self.epoch, Ordering::Release);
        for (shard, seq) in &batch.last_seqs {
            self.shared.durable_seqs[usize::from(*shard)].store(*seq, Ordering::Release);
        }
        // Told under the lock: the preparer's good news must not be overwritten by older bad news.
        let prepared = self.shared.prepared.lock();
        let room = prepared.has_room(self.end, self.options.segment_bytes);
        self.shared.has_room.store(room, Ordering::Release);
        drop(prepared);
        Ok(())
    }

    fn sync(&self, file: &dyn DiskFile) -> io::Result<()> {
        fail::fail_point!("journal-sync", |_| Err(io::Error::other("injected sync error")));
        let timer = crate::clock::Stopwatch::start();
        file.sync_data()?;
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        self.shared.sync_nanoseconds.fetch_add(timer.nanoseconds(), Ordering::Relaxed);
        Ok(())
    }

    /// Goes on in the next prepared segment, waiting for one if need be.
    fn roll(&mut self) -> io::Result<()> {
        let number = {
            let mut prepared = self.shared.prepared.lock();
            loop {
                if let Some(number) = prepared.ready.pop_front() {
                    break number;
                }
                if let Some(obstacle) = prepared.obstacle.as_ref().filter(|_| prepared.closing) {
                    return Err(io::Error::other(format!("no segment is prepared: {obstacle}")));
                }
                self.shared.prepared_changed.wait(&mut prepared);
            }
        };
        self.shared.prepared_changed.notify_all();
        self.file = Some(self.disk.open(&segment_name(number))?);
        let seqs = self.shared.seqs();
        let before = self.end.segment;
        self.end = Position { segment: number, offset: 0 };
        self.frames_start = 0;
        let mut durable = self.shared.durable.lock();
        durable.end = self.end;
        if before != 0 {
            durable.sealed.push_back((before, seqs));
        }
        Ok(())
    }
}

/// The thread that prepares segments: zeros, synced, then given their name.
pub(super) struct Preparer<E> {
    pub(super) shared: Arc<Shared<E>>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: Options,
}

impl<E> Preparer<E> {
    /// Runs until the journal is closed.
    pub(super) fn run(self) {
        loop {
            let number = {
                let mut prepared = self.shared.prepared.lock();
                loop {
                    if prepared.closed {
                        return;
                    }
                    if prepared.ready.len() < self.options.segments_ahead {
                        break prepared.next;
                    }
                    self.shared.prepared_changed.wait(&mut prepared);
                }
            };
            let outcome = prepare(self.disk.as_ref(), number, self.options.segment_bytes);
            let mut prepared = self.shared.prepared.lock();
            match outcome {
                Ok(()) => {
                    prepared.ready.push_back(number);
                    prepared.next += 1;
                    if prepared.obstacle.take().is_some() {
                        tracing::info!(segment = number, "journal has room again");
                    }
                    self.shared.has_room.store(true, Ordering::Release);
                    self.shared.prepared_changed.notify_all();
                }
                Err(error) => {
                    if prepared.obstacle.is_none() {
                        tracing::error!(
                            segment = number,
                            %error,
                            "journal cannot prepare its next segment; purchases are refused before \
                             the current one is full: make room on the disk"
                        );
                    }
                    prepared.obstacle = Some(error.to_string());
                    self.shared.prepared_changed.notify_all();
                    let end = self.shared.durable.lock().end;
                    let room = prepared.has_room(end, self.options.segment_bytes);
                    self.shared.has_room.store(room, Ordering::Release);
                    self.shared
                        .prepared_changed
                        .wait_for(&mut prepared, self.options.prepare_retry);
                }
            }
        }
    }
}

/// Creates the file of a segment, full of zeros, so that it survives a crash whole or not at all.
pub(super) fn prepare(disk: &dyn Disk, number: u64, length: u64) -> io::Result<()> {
    const STEP: u64 = 1 << 20;
    const UNFINISHED: &str = "unfinished.segment";
    let write = || -> io::Result<()> {
        let file = disk.create(UNFINISHED)?;
        let zeros = vec![0; STEP as usize];
        let mut offset = 0;
        while offset < length {
            let step = STEP.min(length - offset);
            file.write_at(offset, &zeros[..step as usize])?;
            // In small steps: a large one would hold up the syncs of the sale.
            file.sync_data()?;
            offset += step;
        }
        disk.rename(UNFINISHED, &segment_name(number))?;
        disk.sync_directory()
    };
    write().inspect_err(|_| {
        // Best effort: gives the space back, and the next attempt replaces the file anyway.
        let _ = disk.remove(UNFINISHED);
    })
}
