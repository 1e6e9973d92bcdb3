//! A log's state and figures: set by the log and the writer, read by everyone, without a lock on the
//! way of a purchase.

use crate::telemetry::text::Histogram;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// What hinders a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// A commit failed. Nothing is confirmed any more, and the process has to stop.
    Failed,
    /// What was durable cannot be read back. The text names the place.
    Damaged(String),
    /// There is no room for what would be admitted now. The text says why.
    Full(String),
    /// The log confirms nothing at the moment, and may again. The text says why.
    Unreachable(String),
    /// No more room can be made ready, but some is left. The text says why.
    NearlyFull(String),
}

/// Figures of a journal since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriterFigures {
    /// Syncs done so far.
    pub syncs: u64,
    /// Bytes written, framing included.
    pub bytes: u64,
    /// Records written so far.
    pub records: u64,
}

/// The state and figures of a running log.
#[derive(Debug)]
pub struct LogStatus {
    has_room: AtomicBool,
    is_unreachable: AtomicBool,
    has_failed: AtomicBool,
    is_damaged: AtomicBool,
    /// The first place that was found damaged.
    damage: Mutex<Option<String>>,
    damage_found: Notify,
    /// Why no more room can be made ready.
    obstacle: Mutex<Option<String>>,
    syncs: AtomicU64,
    sync_durations: Histogram,
    batch_records: Histogram,
    bytes: AtomicU64,
    records: AtomicU64,
}

impl Default for LogStatus {
    fn default() -> Self {
        Self {
            has_room: AtomicBool::new(true),
            is_unreachable: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            is_damaged: AtomicBool::new(false),
            damage: Mutex::default(),
            damage_found: Notify::new(),
            obstacle: Mutex::default(),
            syncs: AtomicU64::new(0),
            sync_durations: Histogram::of_durations(),
            batch_records: Histogram::of_counts(),
            bytes: AtomicU64::new(0),
            records: AtomicU64::new(0),
        }
    }
}

impl LogStatus {
    /// Whether what is admitted now will find room.
    pub fn has_room(&self) -> bool {
        self.has_room.load(Ordering::Acquire)
    }

    /// Sets whether what is admitted now will find room.
    pub fn set_has_room(&self, has_room: bool) {
        self.has_room.store(has_room, Ordering::Release);
    }

    /// Whether the log confirms nothing at the moment.
    pub fn is_unreachable(&self) -> bool {
        self.is_unreachable.load(Ordering::Acquire)
    }

    /// Sets whether the log confirms nothing at the moment.
    pub fn set_unreachable(&self, is_unreachable: bool) {
        self.is_unreachable.store(is_unreachable, Ordering::Release);
    }

    /// Sets why no more room can be made ready, or that it can. Returns whether there was an obstacle
    /// before.
    pub fn set_obstacle(&self, obstacle: Option<String>) -> bool {
        std::mem::replace(&mut *self.obstacle.lock(), obstacle).is_some()
    }

    /// Whether a commit has failed.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Notes that a commit failed. There is no way back.
    pub fn set_failed(&self) {
        self.has_failed.store(true, Ordering::Release);
    }

    /// Whether something that was durable could not be read back.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Acquire)
    }

    /// Notes that something durable cannot be read back, with its place. There is no way back.
    pub fn set_damaged(&self, place: &str) {
        {
            let mut damage = self.damage.lock();
            if damage.is_some() {
                return;
            }
            *damage = Some(place.to_owned());
            self.is_damaged.store(true, Ordering::Release);
        }
        tracing::error!(
            place,
            "the journal is damaged on its disk: nothing more is sold, and the state in memory is \
             written to the checkpoints now; leave the process running until it has, and do not \
             delete anything"
        );
        self.damage_found.notify_waiters();
    }

    /// Waits until damage is found.
    pub async fn damaged(&self) {
        loop {
            // Made before the look, so that no notice falls between the two.
            let found = self.damage_found.notified();
            if self.is_damaged() {
                return;
            }
            found.await;
        }
    }

    /// What hinders the log, if anything does.
    pub fn trouble(&self) -> Option<Trouble> {
        if self.has_failed() {
            return Some(Trouble::Failed);
        }
        if let Some(place) = self.damage.lock().clone() {
            return Some(Trouble::Damaged(place));
        }
        let obstacle = self.obstacle.lock().clone()?;
        Some(if self.is_unreachable() {
            Trouble::Unreachable(obstacle)
        } else if self.has_room() {
            Trouble::NearlyFull(obstacle)
        } else {
            Trouble::Full(obstacle)
        })
    }

    /// Counts a sync and the time it took.
    pub fn count_sync(&self, nanoseconds: u64) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_durations.observe(Duration::from_nanos(nanoseconds), 1);
    }

    /// How long the syncs took.
    pub fn sync_durations(&self) -> &Histogram {
        &self.sync_durations
    }

    /// Counts bytes that were written.
    pub fn count_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts the records of a batch that became durable.
    pub fn count_records(&self, records: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.batch_records.count(records, 1);
    }

    /// How many records became durable at once.
    pub fn batch_records(&self) -> &Histogram {
        &self.batch_records
    }

    /// The figures since the start.
    pub fn figures(&self) -> WriterFigures {
        WriterFigures {
            syncs: self.syncs.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
        }
    }
}
