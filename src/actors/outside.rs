//! What another server says, kept here and fetched again: for as long as it is away, what it said last
//! counts.
//!
//! Owns when to fetch. One task fetches, so that those who need a newer one share it, and none of them can
//! call it off by leaving. Must not know what is kept, nor how it is fetched.

use crate::clock::Clock;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// When to fetch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeptOptions {
    /// The time from one fetch to the next while all is well.
    pub every: Duration,
    /// The time from one fetch to the next after one that failed.
    pub retry: Duration,
    /// The least time between two fetches of which the second is asked for.
    pub pause: Duration,
    /// For how long the last one counts while it cannot be fetched again.
    pub stale_max: Duration,
    /// How long those wait who ask for a newer one.
    pub patience: Duration,
}

/// Something that is kept. Cheap to clone; clones share it.
pub struct Kept<T>(Arc<Inner<T>>);

struct Inner<T> {
    name: &'static str,
    options: KeptOptions,
    clock: Clock,
    state: Mutex<State<T>>,
    asked: Notify,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
}

struct State<T> {
    held: Option<Held<T>>,
    schedule: Schedule,
    /// Why the last fetch failed, if it did.
    trouble: Option<String>,
}

/// What is held, and since when.
struct Held<T> {
    value: Arc<T>,
    /// Grows whenever another value comes.
    generation: u64,
    fetched_at: Duration,
}

/// When the next fetch is due: times are those since the start of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Schedule {
    began_at: Option<Duration>,
    is_under_way: bool,
    has_failed: bool,
    /// Whether it is known that another fetch would bring something new.
    is_outdated: bool,
}

/// What becomes of the wish for a newer one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    /// It begins a fetch.
    Begins,
    /// A fetch is under way, and will do.
    Joins,
    /// The last one is too recent: another would bring nothing new, or this is a flood.
    TooSoon,
}

impl Schedule {
    fn wish(&mut self, now: Duration, options: &KeptOptions) -> Wish {
        if self.is_under_way {
            return Wish::Joins;
        }
        let is_recent = self.began_at.is_some_and(|began_at| now < began_at + options.pause);
        if is_recent && !self.is_outdated {
            return Wish::TooSoon;
        }
        self.begin(now);
        Wish::Begins
    }

    fn begin(&mut self, now: Duration) {
        self.began_at = Some(now);
        self.is_under_way = true;
        self.is_outdated = false;
    }

    fn end(&mut self, has_failed: bool) {
        self.is_under_way = false;
        self.has_failed = has_failed;
    }

    /// Asks for a fetch that begins after now.
    fn outdate(&mut self) {
        self.is_outdated = true;
    }

    /// When a fetch is due by itself.
    fn due_at(&self, options: &KeptOptions) -> Duration {
        let period = match (self.has_failed, self.is_outdated) {
            (true, _) => options.retry,
            (false, true) => Duration::ZERO,
            (false, false) => options.every,
        };
        self.began_at.map_or(Duration::ZERO, |began_at| began_at + period)
    }
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kept").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl<T: PartialEq + Send + Sync + 'static> Kept<T> {
    /// Makes the place for something of this name, which is empty until [`Self::keep`] runs.
    pub fn new(name: &'static str, options: KeptOptions, clock: Clock) -> Self {
        let state = State {
            held: None,
            schedule: Schedule::default(),
            trouble: Some("not asked yet".into()),
        };
        Self(Arc::new(Inner {
            name,
            options,
            clock,
            state: Mutex::new(state),
            asked: Notify::new(),
            ended: watch::Sender::new(0),
        }))
    }

    /// Returns what is held and its generation, which is another one whenever the value is; none if there is
    /// nothing, or it is older than it may be.
    pub fn current(&self) -> Option<(Arc<T>, u64)> {
        let now = self.0.clock.elapsed();
        let state = self.0.state.lock();
        let held = state.held.as_ref()?;
        let is_too_old = now.saturating_sub(held.fetched_at) > self.0.options.stale_max;
        (!is_too_old).then(|| (Arc::clone(&held.value), held.generation))
    }

    /// Asks for a newer one, and waits for it. Returns at once if one was fetched too recently for
    /// another.
    pub async fn renew(&self) {
        let inner = &*self.0;
        let mut ended = {
            let mut state = inner.state.lock();
            let wish = state.schedule.wish(inner.clock.elapsed(), &inner.options);
            if wish == Wish::TooSoon {
                return;
            }
            // Before the lock is given back, so that no end is missed.
            let mut ended = inner.ended.subscribe();
            ended.mark_unchanged();
            if wish == Wish::Begins {
                inner.asked.notify_one();
            }
            ended
        };
        // Who has waited long enough goes on with what there is.
        let _ = tokio::time::timeout(inner.options.patience, ended.changed()).await;
    }

    /// Says what is wrong, and since when what is held is as it is; none if all is well.
    pub fn trouble(&self) -> Option<String> {
        let now = self.0.clock.elapsed();
        let state = self.0.state.lock();
        let trouble = state.trouble.as_ref()?;
        Some(match &state.held {
            None => trouble.clone(),
            Some(held) => {
                let seconds = now.saturating_sub(held.fetched_at).as_secs();
                format!("{trouble}; what it said {seconds} s ago counts")
            }
        })
    }

    /// Says that what is held is another one by now: it is fetched again at once.
    pub fn outdate(&self) {
        self.0.state.lock().schedule.outdate();
        self.0.asked.notify_one();
    }

    /// Fetches for as long as it is polled: at once, then by the clock, by wish, and when it is outdated.
    pub async fn keep<F>(self, fetch: impl Fn() -> F)
    where
        F: Future<Output = Result<T, String>>,
    {
        let inner = &*self.0;
        loop {
            self.until_due().await;
            self.note(fetch().await);
            inner.ended.send_modify(|ended| *ended += 1);
        }
    }

    async fn until_due(&self) {
        let inner = &*self.0;
        loop {
            let wait = {
                let mut state = inner.state.lock();
                if state.schedule.is_under_way {
                    return;
                }
                let now = inner.clock.elapsed();
                let due_at = state.schedule.due_at(&inner.options);
                if due_at <= now {
                    state.schedule.begin(now);
                    return;
                }
                due_at - now
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = inner.asked.notified() => {}
            }
        }
    }

    fn note(&self, fetched: Result<T, String>) {
        let inner = &*self.0;
        let now = inner.clock.elapsed();
        let mut state = inner.state.lock();
        state.schedule.end(fetched.is_err());
        let value = match fetched {
            Ok(value) => value,
            Err(trouble) => {
                if state.trouble.as_ref() != Some(&trouble) {
                    let has_one = state.held.is_some();
                    tracing::warn!(what = inner.name, %trouble, has_one, "cannot be fetched");
                }
                state.trouble = Some(trouble);
                return;
            }
        };
        state.trouble = None;
        match &mut state.held {
            Some(held) if *held.value == value => held.fetched_at = now,
            held => {
                let generation = held.as_ref().map_or(1, |held| held.generation + 1);
                tracing::info!(what = inner.name, generation, "fetched");
                *held = Some(Held { value: Arc::new(value), generation, fetched_at: now });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;
    use futures_util::FutureExt as _;
    use std::sync::atomic::{AtomicU64, Ordering};

    const OPTIONS: KeptOptions = KeptOptions {
        every: Duration::from_secs(600),
        retry: Duration::from_secs(30),
        pause: Duration::from_secs(30),
        stale_max: Duration::from_secs(24 * 3_600),
        patience: Duration::from_secs(60),
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_flood_of_wishes_is_one_fetch_in_thirty_seconds() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.due_at(&OPTIONS), seconds(0), "at once");
        schedule.begin(seconds(1));
        assert_eq!(schedule.wish(seconds(2), &OPTIONS), Wish::Joins);
        schedule.end(false);
        assert_eq!(schedule.due_at(&OPTIONS), seconds(601));
        let mut begun = 0;
        for second in 2..=61 {
            match schedule.wish(seconds(second), &OPTIONS) {
                Wish::Begins => {
                    begun += 1;
                    for _ in 0..10_000 {
                        assert_eq!(schedule.wish(seconds(second), &OPTIONS), Wish::Joins);
                    }
                    schedule.end(false);
                }
                wish => assert_eq!(wish, Wish::TooSoon, "{second}"),
            }
        }
        assert_eq!(begun, 2, "at 31 s and at 61 s");
        schedule.outdate();
        assert_eq!(schedule.due_at(&OPTIONS), seconds(61), "what is known to be old is fetched");
        assert_eq!(schedule.wish(seconds(62), &OPTIONS), Wish::Begins);
        schedule.outdate();
        schedule.end(false);
        assert_eq!(schedule.due_at(&OPTIONS), seconds(62), "it had begun before");
        schedule.begin(seconds(63));
        assert_eq!(schedule.wish(seconds(63), &OPTIONS), Wish::Joins);
        schedule.end(true);
        assert_eq!(schedule.due_at(&OPTIONS), seconds(93), "a failure is tried again soon");
        schedule.outdate();
        assert_eq!(schedule.due_at(&OPTIONS), seconds(93), "and no sooner for being outdated");
    }

    /// A place that has something to fetch from, and how often it was asked.
    fn kept() -> (Kept<u64>, Arc<AtomicU64>) {
        (Kept::new("a number", OPTIONS, Clock::start(Timestamp(0))), Arc::default())
    }

    #[tokio::test]
    async fn what_was_said_last_counts_while_the_server_is_away_and_not_for_ever() {
        let (kept, _) = kept();
        assert_eq!(kept.current(), None);
        assert_eq!(kept.trouble().as_deref(), Some("not asked yet"));
        kept.note(Ok(7));
        assert_eq!(kept.current(), Some((Arc::new(7), 1)));
        assert_eq!(kept.trouble(), None);
        kept.note(Err("away".to_owned()));
        assert_eq!(kept.current(), Some((Arc::new(7), 1)));
        assert_eq!(kept.trouble().as_deref(), Some("away; what it said 0 s ago counts"));
        kept.note(Ok(7));
        assert_eq!(kept.current(), Some((Arc::new(7), 1)), "the same again is no other one");
        kept.note(Ok(8));
        assert_eq!(kept.current(), Some((Arc::new(8), 2)));
        // As if it had been away for longer than what it said may count.
        let mut options = OPTIONS;
        options.stale_max = Duration::ZERO;
        let strict = Kept::new("a number", options, Clock::start(Timestamp(0)));
        strict.note(Ok(7));
        while strict.0.clock.elapsed() <= strict.0.state.lock().held.as_ref().unwrap().fetched_at {
            std::hint::spin_loop();
        }
        assert_eq!(strict.current(), None);
    }

    #[tokio::test]
    async fn those_who_wait_share_one_fetch_and_cannot_call_it_off() {
        let (kept, fetches) = kept();
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let task = {
            let (kept, fetches, gate) = (kept.clone(), Arc::clone(&fetches), Arc::clone(&gate));
            tokio::spawn(kept.keep(move || {
                let (fetches, gate) = (Arc::clone(&fetches), Arc::clone(&gate));
                async move {
                    let number = fetches.fetch_add(1, Ordering::Relaxed);
                    gate.acquire().await.expect("open").forget();
                    Ok(number)
                }
            }))
        };
        while fetches.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        // One gives up.
        let mut impatient = Box::pin(kept.renew());
        assert!((&mut impatient).now_or_never().is_none());
        drop(impatient);
        let waiting: Vec<_> = (0..1_000)
            .map(|_| {
                tokio::spawn({
                    let kept = kept.clone();
                    async move { kept.renew().await }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        gate.add_permits(1);
        for one in waiting {
            one.await.expect("it lives");
        }
        assert_eq!(kept.current(), Some((Arc::new(0), 1)));
        assert_eq!(fetches.load(Ordering::Relaxed), 1);
        // And so soon afterwards there is no other.
        kept.renew().await;
        assert_eq!(fetches.load(Ordering::Relaxed), 1);
        // Unless what is held is known to be old.
        kept.outdate();
        while fetches.load(Ordering::Relaxed) == 1 {
            tokio::task::yield_now().await;
        }
        task.abort();
    }

    #[tokio::test]
    async fn a_fetch_that_dies_is_made_again() {
        let (kept, _) = kept();
        let dying = tokio::spawn(kept.clone().keep(|| async { panic!("a defect") }));
        assert!(dying.await.is_err());
        assert!(kept.0.state.lock().schedule.is_under_way);
        let again = tokio::spawn(kept.clone().keep(|| async { Ok(1) }));
        // What it left undone is done first.
        kept.renew().await;
        assert_eq!(kept.current(), Some((Arc::new(1), 1)));
        again.abort();
    }
}
