//! How far a journal is read at a start, for those who wait for it.

use std::sync::atomic::{AtomicU64, Ordering};

/// How far a journal is read. All figures only grow.
#[derive(Debug, Default)]
pub struct ReadProgress {
    records: AtomicU64,
    segment: AtomicU64,
    segments: AtomicU64,
}

impl ReadProgress {
    /// Records read so far.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Segments that were begun, of [`Self::segments`].
    pub fn segment(&self) -> u64 {
        self.segment.load(Ordering::Relaxed)
    }

    /// Segments that there are, also those that are prepared and hold nothing yet; 0 before the first is
    /// read.
    pub fn segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }

    /// There are so many segments.
    pub(super) fn found(&self, segments: usize) {
        self.segments.store(segments as u64, Ordering::Relaxed);
    }

    /// Another segment is read.
    pub(super) fn begin_segment(&self) {
        self.segment.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more records were read.
    pub(super) fn read_records(&self, count: u64) {
        self.records.fetch_add(count, Ordering::Relaxed);
    }
}
