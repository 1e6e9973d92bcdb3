//! The segments of a file journal: which are on disk, up to where they are durable, and which are
//! ready to be written.
//!
//! Shared by the log, the preparer and the readers. Must not know frames' content, nor what made a
//! record old enough to be deleted.

use super::disk::{Disk, DiskFile};
use super::frame::{FRAME_PAYLOAD_MAX, frame_length};
use crate::store::journal::status::LogStatus;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

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

/// The smallest segment in bytes: room for a header and a frame of the largest size.
pub const SEGMENT_BYTES_MIN: u64 = 2 * FRAME_PAYLOAD_MAX as u64;

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, segments_ahead: 2, prepare_retry: Duration::from_secs(1) }
    }
}

/// A place in the journal: the start of a frame, or its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position {
    /// The segment's number, from 1; 0 while there is no segment.
    pub segment: u64,
    /// Bytes from the segment's start.
    pub offset: u64,
}

/// The name of a segment's file.
pub fn segment_name(number: u64) -> String {
    format!("{number:012}.segment")
}

/// The number of a segment's file, if it is one.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(".segment").filter(|digits| digits.len() == 12)?.parse().ok()
}

/// A segment that is written no more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sealed {
    pub(super) number: u64,
    /// Each shard's last record in the segment or before it.
    pub(super) seqs: Vec<u64>,
}

/// What is durable on disk.
#[derive(Debug)]
pub(super) struct Durable {
    /// The end of the last durable frame.
    pub(super) end: Position,
    /// Sealed segments, oldest first.
    pub(super) sealed: VecDeque<Sealed>,
    /// Each shard's last record before the oldest segment.
    pub(super) base: Vec<u64>,
}

/// A segment that is ready to be written.
pub(super) struct Ready {
    pub(super) number: u64,
    /// Its file, open: when the segment is needed, there may be no descriptor left.
    pub(super) file: Box<dyn DiskFile>,
}

/// The segments that are ready to be written.
pub(super) struct Prepared {
    /// They themselves, by ascending number.
    pub(super) ready: VecDeque<Ready>,
    /// The number of the next one to be prepared.
    pub(super) next: u64,
    /// Nothing more is appended: a log that finds no segment does not wait for one.
    pub(super) finishing: bool,
    /// The preparer is to end.
    pub(super) closed: bool,
    /// Why the next one could not be prepared.
    pub(super) obstacle: Option<String>,
}

/// All segments of a running file journal.
pub(super) struct Segments {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: Options,
    pub(super) status: Arc<LogStatus>,
    pub(super) durable: Mutex<Durable>,
    pub(super) prepared: Mutex<Prepared>,
    pub(super) prepared_changed: Condvar,
}

impl Segments {
    /// The next segment that is ready, waiting for one if need be.
    pub(super) fn take_ready(&self) -> io::Result<Ready> {
        let mut prepared = self.prepared.lock();
        let ready = loop {
            if self.drop_missing(&mut prepared) {
                self.prepared_changed.notify_all();
            }
            if let Some(ready) = prepared.ready.pop_front() {
                break ready;
            }
            if let Some(obstacle) = prepared.obstacle.as_ref().filter(|_| prepared.finishing) {
                return Err(io::Error::other(format!("no segment is prepared: {obstacle}")));
            }
            self.prepared_changed.wait(&mut prepared);
        };
        drop(prepared);
        self.prepared_changed.notify_all();
        Ok(ready)
    }

    /// Drops the segments that are ready and whose files are in the directory no longer, with those behind
    /// them, so that they are made anew. Returns whether there were any. One that was written is never
    /// among them.
    pub(super) fn drop_missing(&self, prepared: &mut Prepared) -> bool {
        let is_missing = |ready: &Ready| {
            let found = self.disk.open(&segment_name(ready.number));
            found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        let Some(index) = prepared.ready.iter().position(is_missing) else { return false };
        let number = prepared.ready[index].number;
        tracing::warn!(
            segment = number,
            "a segment that was ready for the journal is gone from its directory and is made anew; it held \
             nothing yet: leave the files of the data directory alone"
        );
        prepared.ready.truncate(index);
        prepared.next = number;
        true
    }

    /// Goes on in segment `number`, behind those up to `seqs`.
    pub(super) fn begin(&self, number: u64, seqs: &[u64]) -> Position {
        let mut durable = self.durable.lock();
        let before = durable.end.segment;
        if before != 0 {
            durable.sealed.push_back(Sealed { number: before, seqs: seqs.to_vec() });
        }
        durable.end = Position { segment: number, offset: 0 };
        durable.end
    }

    /// Notes that everything up to `end` is durable.
    pub(super) fn advance(&self, end: Position) {
        {
            let mut durable = self.durable.lock();
            debug_assert!(durable.end < end, "the durable end never goes back");
            durable.end = end;
        }
        // Set under the lock: the preparer's newer news must not be overwritten by older ones.
        let prepared = self.prepared.lock();
        self.status.set_has_room(self.has_room(&prepared, end));
    }

    /// Whether what is admitted now will find room: purchases are refused before the space for what
    /// is already under way runs out. A segment that is only late is not one that cannot be made.
    pub(super) fn has_room(&self, prepared: &Prepared, end: Position) -> bool {
        let reserve = 2 * frame_length(FRAME_PAYLOAD_MAX) as u64;
        prepared.obstacle.is_none()
            || !prepared.ready.is_empty()
            || self.options.segment_bytes.saturating_sub(end.offset) >= reserve
    }

    /// The end of what is durable.
    pub(super) fn durable_end(&self) -> Position {
        self.durable.lock().end
    }

    /// The oldest segment with a record that `seqs` (a sequence number a shard) does not reach.
    pub(super) fn first_beyond(&self, seqs: &[u64]) -> u64 {
        let durable = self.durable.lock();
        let beyond = durable.sealed.iter().find(|sealed| !is_covered(&sealed.seqs, seqs));
        // Segments are numbered from 1; before the first commit there is none.
        beyond.map_or(durable.end.segment, |sealed| sealed.number).max(1)
    }

    /// The oldest segment, if it is sealed and all of it is covered.
    pub(super) fn oldest_covered(&self, covered: &[u64]) -> Option<u64> {
        let durable = self.durable.lock();
        // Until the segment behind it has a header, the last sealed one alone tells where the journal
        // is.
        let is_followed = durable.end.offset > 0 || durable.sealed.len() > 1;
        let oldest = durable.sealed.front()?;
        (is_followed && is_covered(&oldest.seqs, covered)).then_some(oldest.number)
    }

    /// Each shard's last record in the newest sealed segment that does not fit into `bytes` with those behind it.
    pub(super) fn beyond(&self, bytes: u64) -> Vec<u64> {
        let durable = self.durable.lock();
        // The one that is being written counts as full: so it is on the disk.
        let kept = usize::try_from(bytes / self.options.segment_bytes.max(1)).unwrap_or(usize::MAX);
        let sealed = durable.sealed.len().saturating_sub(kept.saturating_sub(1));
        match sealed.checked_sub(1).and_then(|last| durable.sealed.get(last)) {
            Some(last) => last.seqs.clone(),
            None => durable.base.clone(),
        }
    }

    /// Deletes the sealed segments at the front that are covered. Returns how many.
    pub(super) fn retire(&self, covered: &[u64]) -> io::Result<usize> {
        let mut retired = 0;
        while let Some(oldest) = self.oldest_covered(covered) {
            self.disk.remove(&segment_name(oldest))?;
            self.disk.sync_directory()?;
            let mut durable = self.durable.lock();
            if let Some(sealed) = durable.sealed.pop_front() {
                // I13: the caller covers what is deleted, and segments are deleted in their order.
                assert_eq!(sealed.number, oldest, "only the oldest segment is deleted");
                durable.base = sealed.seqs;
            }
            retired += 1;
        }
        Ok(retired)
    }
}

fn is_covered(seqs: &[u64], covered: &[u64]) -> bool {
    seqs.iter().enumerate().all(|(shard, seq)| *seq <= covered.get(shard).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::file::disk::RealDisk;

    #[test]
    fn the_oldest_segment_goes_only_once_every_shard_is_covered() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = RealDisk::open(directory.path()).expect("a disk");
        for number in 1..=2 {
            disk.create(&segment_name(number)).expect("a file");
        }
        let sealed = |number, seqs: [u64; 2]| Sealed { number, seqs: seqs.to_vec() };
        let segments = Segments {
            disk: Arc::new(disk),
            options: Options::default(),
            status: Arc::default(),
            durable: Mutex::new(Durable {
                end: Position { segment: 3, offset: 0 },
                sealed: [sealed(1, [5, 0]), sealed(2, [5, 7])].into(),
                base: vec![0, 0],
            }),
            prepared: Mutex::new(Prepared {
                ready: VecDeque::new(),
                next: 4,
                finishing: false,
                closed: false,
                obstacle: None,
            }),
            prepared_changed: Condvar::new(),
        };
        let table: [(&[u64], u64, Option<u64>); 6] = [
            (&[], 1, None),
            (&[4, u64::MAX], 1, None),
            (&[5], 2, Some(1)),
            (&[5, 6], 2, Some(1)),
            (&[5, 7], 3, Some(1)),
            (&[u64::MAX, u64::MAX], 3, Some(1)),
        ];
        for (seqs, first_beyond, oldest_covered) in table {
            assert_eq!(segments.first_beyond(seqs), first_beyond, "{seqs:?}");
            assert_eq!(segments.oldest_covered(seqs), oldest_covered, "{seqs:?}");
        }
        for (bytes, beyond) in
            [(u64::MAX, [0, 0]), (3 << 26, [0, 0]), (2 << 26, [5, 0]), (0, [5, 7])]
        {
            assert_eq!(segments.beyond(bytes), beyond, "{bytes} bytes");
        }
        // The third has no header yet, so the second alone tells where the journal is.
        assert_eq!(segments.retire(&[u64::MAX; 2]).expect("a disk"), 1);
        assert_eq!(segments.durable.lock().base, [5, 0]);
        segments.advance(Position { segment: 3, offset: 96 });
        assert_eq!(segments.retire(&[u64::MAX; 2]).expect("a disk"), 1);
        assert_eq!(segments.durable.lock().base, [5, 7]);
        assert_eq!(segments.retire(&[u64::MAX; 2]).expect("a disk"), 0);
    }
}
