//! Visits: views of pages and about how many different visitors, counted without knowing anybody again.
//!
//! A view is put into a channel with a bound and forgotten where that is full, because a crowd must not
//! wait for a count. A task adds views up, and writes the sums down each half minute. A visitor is a random
//! number that their browser keeps, or a hash that is another one each day; who asks not to be tracked
//! is never the former.

use crate::actors::Engine;
use crate::sales::{Sales, Tally};
use crate::telemetry::metrics::{PAGE_VIEWS_DROPPED_TOTAL, PAGE_VIEWS_TOTAL};
use crate::telemetry::text::header;
use domain::catalogue::Day;
use domain::{ItemId, Timestamp};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Views that wait to be added up; one more is dropped.
const WAITING_MAX: usize = 8_192;
/// Views that are taken out at once.
const BATCH_MAX: usize = 1_024;
/// Visitors of a subject that Redis is still to be told of; those beyond it are told when they come again.
const UNTOLD_MAX: usize = 2 * BATCH_MAX;
/// Items and days whose views are added up at the same time.
const SUBJECTS_MAX: usize = 512;
/// The time between two looks at what came.
const LOOK: Duration = Duration::from_secs(1);
/// The time between two writes.
const WRITE: Duration = Duration::from_secs(30);
/// No count is known yet.
const UNKNOWN: u64 = u64::MAX;

/// How different visitors are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum VisitorId {
    /// By a random number that their browser keeps, unless it says that they do not want that.
    #[default]
    Random,
    /// By a hash of what their browser sends anyway, which is another one each day.
    DailyHash,
    /// They are not told apart: only views are counted.
    Off,
}

/// A view of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// The item that the page is about, if it is.
    pub item: Option<ItemId>,
    /// Who viewed it, if visitors are told apart.
    pub visitor: Option<u64>,
}

/// The views and visitors of the shop.
#[derive(Debug)]
pub struct Visits {
    sender: Sender<View>,
    receiver: Mutex<Option<Receiver<View>>>,
    views: AtomicU64,
    dropped: AtomicU64,
    visitors: AtomicU64,
    salt: [u8; 32],
    tallies: Mutex<Tallies>,
}

/// What was added up and is not stored, or is and may still grow.
#[derive(Debug, Default)]
struct Tallies(HashMap<String, Counting>);

#[derive(Debug, Default)]
struct Counting {
    /// Views that are not stored, and all visitors that are known here.
    tally: Tally,
    /// Visitors that Redis has not been told of.
    untold: Vec<u64>,
    /// How many Redis knows, about: those of all processes.
    elsewhere: u64,
    is_changed: bool,
}

impl Counting {
    /// How many different visitors there are, about. Redis may have forgotten some, and this process
    /// does not know the others' of now.
    fn visitors(&self) -> u64 {
        self.tally.visitors.estimate().max(self.elsewhere)
    }

    /// Keeps visitors for Redis, as many as there is room for.
    fn keep_untold(&mut self, visitors: impl IntoIterator<Item = u64>) {
        let room = UNTOLD_MAX.saturating_sub(self.untold.len());
        self.untold.extend(visitors.into_iter().take(room));
    }
}

impl Default for Visits {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
            views: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            visitors: AtomicU64::new(UNKNOWN),
            salt: rand::random(),
            tallies: Mutex::default(),
        }
    }
}

impl Visits {
    /// Counts a view, or that it could not be counted.
    pub fn view(&self, view: View) {
        match self.sender.try_send(view) {
            Ok(()) => self.views.fetch_add(1, Relaxed),
            Err(_) => self.dropped.fetch_add(1, Relaxed),
        };
    }

    /// Views since the process began.
    pub fn views(&self) -> u64 {
        self.views.load(Relaxed)
    }

    /// Views that could not be counted.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// The different visitors of the day, about; none if that is not known.
    pub fn visitors(&self) -> Option<u64> {
        Some(self.visitors.load(Relaxed)).filter(|visitors| *visitors != UNKNOWN)
    }

    /// The visitor of whom a browser sends these values, for this day. The salt is this process's, so
    /// that nobody can tell later who it was.
    pub fn daily_hash(&self, day: Day, values: &[&[u8]]) -> u64 {
        let mut digest = Sha256::new();
        digest.update(self.salt);
        digest.update(day.to_string());
        for value in values {
            digest.update((value.len() as u64).to_le_bytes());
            digest.update(value);
        }
        let bytes: [u8; 32] = digest.finalize().into();
        bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }

    /// The counts in Prometheus' text form.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for (name, count) in
            [(PAGE_VIEWS_TOTAL, self.views()), (PAGE_VIEWS_DROPPED_TOTAL, self.dropped())]
        {
            header(&mut out, name);
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name} {count}");
        }
        out
    }

    /// Adds views up.
    fn add(&self, views: &[View], day: &str) {
        let mut tallies = self.tallies.lock();
        for view in views {
            tallies.add(day, view.visitor);
            if let Some(item) = view.item {
                tallies.add(&format!("item:{item}"), view.visitor);
            }
        }
        self.note(&tallies, day);
    }

    fn note(&self, tallies: &Tallies, day: &str) {
        if let Some(counting) = tallies.0.get(day) {
            self.visitors.store(counting.visitors(), Relaxed);
        }
    }

    /// Stores what was added up and is not stored. What cannot be is kept for the next time. Days that
    /// are over are forgotten here.
    pub async fn write(&self, sales: &Sales, now: Timestamp) {
        let day = subject_of(now);
        let changed: Vec<(String, Tally)> = {
            let mut tallies = self.tallies.lock();
            tallies.0.entry(day.clone()).or_default();
            let changed = tallies.0.iter_mut().filter(|(subject, counting)| {
                counting.is_changed || (**subject == day && self.visitors().is_none())
            });
            let take = |(subject, counting): (&String, &mut Counting)| {
                counting.is_changed = false;
                let views = std::mem::take(&mut counting.tally.views);
                (subject.clone(), Tally { views, visitors: counting.tally.visitors.clone() })
            };
            changed.map(take).collect()
        };
        for (subject, tally) in changed {
            let stored = sales.add_visits(&subject, &tally, now).await;
            let mut tallies = self.tallies.lock();
            let Some(counting) = tallies.0.get_mut(&subject) else { continue };
            match stored {
                Ok(stored) => counting.tally.visitors.merge(&stored.visitors),
                Err(error) => {
                    tracing::debug!(%error, subject, "visits wait for the catalogue");
                    counting.tally.views += tally.views;
                    counting.is_changed = true;
                }
            }
        }
        let mut tallies = self.tallies.lock();
        tallies.0.retain(|subject, counting| {
            !subject.starts_with("day:") || *subject == day || counting.is_changed
        });
        self.note(&tallies, &day);
    }

    /// Tells Redis of the visitors that it does not know, and asks how many of the day it knows: those of
    /// all processes together. Whom it could not be told of wait for the next time.
    async fn tell_redis(&self, sales: &Sales, day: &str) {
        if !sales.counts_in_redis() {
            self.tallies.lock().0.values_mut().for_each(|counting| counting.untold = Vec::new());
            return;
        }
        let untold: Vec<(String, Vec<u64>)> = {
            let mut tallies = self.tallies.lock();
            let asked = tallies
                .0
                .iter_mut()
                .filter(|(subject, counting)| *subject == day || !counting.untold.is_empty());
            asked
                .map(|(subject, counting)| (subject.clone(), std::mem::take(&mut counting.untold)))
                .collect()
        };
        for (subject, visitors) in untold {
            let count = sales.count_visitors(&subject, &visitors).await;
            let mut tallies = self.tallies.lock();
            let Some(counting) = tallies.0.get_mut(&subject) else { continue };
            match count {
                Some(count) => counting.elsewhere = counting.elsewhere.max(count),
                None => counting.keep_untold(visitors),
            }
        }
        self.note(&self.tallies.lock(), day);
    }
}

impl Tallies {
    fn add(&mut self, subject: &str, visitor: Option<u64>) {
        if !self.0.contains_key(subject) {
            if self.0.len() >= SUBJECTS_MAX {
                return;
            }
            self.0.insert(subject.to_owned(), Counting::default());
        }
        let Some(counting) = self.0.get_mut(subject) else { return };
        counting.tally.views += 1;
        counting.is_changed = true;
        if let Some(visitor) = visitor {
            counting.tally.visitors.add(visitor);
            counting.keep_untold([visitor]);
        }
    }
}

/// The subject of the day.
fn subject_of(now: Timestamp) -> String {
    format!("day:{}", Day::of(now))
}

/// Adds up until `shutdown` and then waits for ever: what came before it is written by the server, once
/// nobody is served any more.
pub async fn run(visits: Arc<Visits>, sales: Sales, engine: Engine, shutdown: CancellationToken) {
    let Some(mut receiver) = visits.receiver.lock().take() else {
        return std::future::pending().await;
    };
    let mut write_at = Instant::now();
    let mut views = Vec::with_capacity(BATCH_MAX);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = receiver.recv_many(&mut views, BATCH_MAX) => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = engine.now();
        let day = subject_of(now);
        if !views.is_empty() {
            visits.add(&views, &day);
            views.clear();
            visits.tell_redis(&sales, &day).await;
        }
        if Instant::now() >= write_at {
            visits.write(&sales, now).await;
            // What other processes were told of since the last view here.
            visits.tell_redis(&sales, &day).await;
            write_at = Instant::now() + WRITE;
        }
    }
    while let Ok(view) = receiver.try_recv() {
        visits.add(&[view], &subject_of(engine.now()));
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_does_not_wait() {
        let visits = Visits::default();
        let view = View { item: None, visitor: Some(1) };
        (0..WAITING_MAX + 10).for_each(|_| visits.view(view));
        assert_eq!((visits.views(), visits.dropped()), (WAITING_MAX as u64, 10));
        assert!(visits.render().contains("seckill_page_views_dropped_total 10\n"));
    }

    #[test]
    fn views_are_added_up_by_day_and_item() {
        let visits = Visits::default();
        let view = |item, visitor| View { item: Some(ItemId(item)), visitor };
        visits.add(&[view(1, Some(7)), view(1, Some(7)), view(2, None)], "day:2026-11-11");
        assert_eq!(visits.visitors(), Some(1));
        let tallies = visits.tallies.lock();
        assert_eq!(tallies.0["day:2026-11-11"].tally.views, 3);
        assert_eq!(tallies.0["item:1"].tally.views, 2);
        assert!(tallies.0["item:2"].untold.is_empty());
        drop(tallies);
        let many: Vec<View> = (0..2_000).map(|item| view(item, None)).collect();
        visits.add(&many, "day:2026-11-11");
        assert_eq!(visits.tallies.lock().0.len(), SUBJECTS_MAX);
    }

    #[test]
    fn a_daily_hash_is_of_one_day_and_one_process() {
        let (visits, others) = (Visits::default(), Visits::default());
        let day = |text: &str| text.parse::<Day>().expect("a day");
        let today = visits.daily_hash(day("2026-11-11"), &[b"browser", b"zh"]);
        assert_eq!(today, visits.daily_hash(day("2026-11-11"), &[b"browser", b"zh"]));
        assert_ne!(today, visits.daily_hash(day("2026-11-12"), &[b"browser", b"zh"]));
        assert_ne!(today, visits.daily_hash(day("2026-11-11"), &[b"browserzh", b""]));
        assert_ne!(today, others.daily_hash(day("2026-11-11"), &[b"browser", b"zh"]));
    }
}
