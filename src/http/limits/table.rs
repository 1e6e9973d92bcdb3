//! Buckets in a fixed amount of memory: of users, of addresses, of whatever asks.
//!
//! A map of buckets grows with those who ask, and one that forgets the oldest lets an attacker wash off
//! a debt by asking as many strangers. Here each key has eight places in one line of memory. If all are
//! taken by others, it takes that of the smallest debt *and the debt*. So no place ever owes less than
//! before, nobody gains by being forgotten, and a stranger is hurt only where eight others in his line
//! are exhausted. Must not know whose the keys are.

use domain::rate::{Decision, Quota};
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Ticks of a second: a table counts time in sixteenths of a millisecond.
pub const TICKS_PER_SECOND: u64 = 16_000;
/// Places of a line.
const PLACES: usize = 8;
/// Bits of a place that hold when its bucket will be full: enough for 8 years of ticks.
const TIME_BITS: u32 = 42;
const TIME_MAX: u64 = (1 << TIME_BITS) - 1;

/// A line of the processor's cache: places that one look-up sees together. The upper bits of each are a
/// tag, which tells the keys of a line apart; an empty one is a full bucket of nobody.
#[repr(align(64))]
#[derive(Default)]
struct Line([AtomicU64; PLACES]);

/// A table of buckets.
pub struct RateTable {
    lines: Box<[Line]>,
    /// Keyed by chance, so that nobody can choose whose line to share.
    hasher: RandomState,
}

impl fmt::Debug for RateTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RateTable of {} lines", self.lines.len())
    }
}

/// The place of a key, found and not taken yet. Who finds the places of several keys before taking any waits
/// for their lines of memory at the same time, and not for one after the other.
#[derive(Debug)]
pub struct Found<'a> {
    places: &'a [AtomicU64; PLACES],
    tag: u64,
    place: &'a AtomicU64,
    kept: u64,
}

/// Returns a time since the start in ticks.
#[inline]
pub fn ticks(elapsed: Duration) -> u64 {
    const TICK_NANOSECONDS: u64 = 1_000_000_000 / TICKS_PER_SECOND;
    let rest = u64::from(elapsed.subsec_nanos()) / TICK_NANOSECONDS;
    elapsed.as_secs().saturating_mul(TICKS_PER_SECOND).saturating_add(rest)
}

impl RateTable {
    /// Makes a table of at most so many bytes, and one line at least.
    pub fn of_bytes(bytes: usize) -> Self {
        let lines = (bytes / size_of::<Line>()).max(1);
        let lines = 1 << lines.ilog2();
        Self { lines: (0..lines).map(|_| Line::default()).collect(), hasher: RandomState::new() }
    }

    /// Returns what [`Self::take`] would, and takes nothing.
    pub fn look(&self, key: impl Hash, quota: Quota, now: u64) -> Decision {
        quota.decide(self.find(key).kept & TIME_MAX, now)
    }

    /// Finds the place of `key`.
    #[inline]
    pub fn find(&self, key: impl Hash) -> Found<'_> {
        let hash = self.hasher.hash_one(key);
        let Line(places) = &self.lines[hash as usize & (self.lines.len() - 1)];
        let tag = hash >> TIME_BITS;
        let (place, kept) = find(places, tag);
        Found { places, tag, place, kept }
    }

    /// Takes one from the bucket of `key`, if the quota has one at `now`, in ticks since the start.
    #[inline]
    pub fn take(&self, key: impl Hash, quota: Quota, now: u64) -> Decision {
        self.find(key).take(quota, now)
    }
}

impl Found<'_> {
    /// Takes one from the key's bucket, as [`RateTable::take`] does.
    #[inline]
    pub fn take(mut self, quota: Quota, now: u64) -> Decision {
        loop {
            let decision = quota.decide(self.kept & TIME_MAX, now);
            let Some(full_at) = decision.full_at else { return decision };
            let taken = (self.tag << TIME_BITS) | full_at.min(TIME_MAX);
            // If another took from the same place meanwhile, one of both got on.
            if self.place.compare_exchange(self.kept, taken, Relaxed, Relaxed).is_ok() {
                return decision;
            }
            (self.place, self.kept) = find(self.places, self.tag);
        }
    }
}

/// Returns the place with this tag, or the one of the smallest debt; and what it holds.
fn find(places: &[AtomicU64; PLACES], tag: u64) -> (&AtomicU64, u64) {
    let mut smallest = (&places[0], u64::MAX);
    for place in places {
        let kept = place.load(Relaxed);
        if kept >> TIME_BITS == tag {
            return (place, kept);
        }
        if kept & TIME_MAX < smallest.1 & TIME_MAX || smallest.1 == u64::MAX {
            smallest = (place, kept);
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    const QUOTA: fn() -> Quota = || Quota::new(10, TICKS_PER_SECOND, 5).expect("a quota");

    /// What is asked: a key, and how much later than the request before. Twelve keys ask for more than
    /// they may, in a line with eight places.
    fn requests() -> impl Strategy<Value = Vec<(u64, u64)>> {
        proptest::collection::vec((0_u64..12, 0_u64..100), 1..600)
    }

    proptest! {
        /// However many keys share a line: what the table admits, a bucket of its own for each key would
        /// have admitted too.
        #[test]
        fn nobody_gets_more_than_a_bucket_of_their_own(requests in requests()) {
            let table = RateTable::of_bytes(64);
            let mut own: HashMap<u64, u64> = HashMap::new();
            let mut now = 0;
            for (key, pause) in requests {
                now += pause;
                if table.take(key, QUOTA(), now).is_admitted() {
                    let full_at = own.entry(key).or_default();
                    let allowed = QUOTA().decide(*full_at, now);
                    prop_assert!(allowed.is_admitted(), "{key} at {now}");
                    *full_at = allowed.full_at.unwrap_or_default();
                }
            }
        }

        /// As many keys as a line has places: each has a bucket of its own, exactly.
        #[test]
        fn keys_that_have_room_are_counted_exactly(requests in requests()) {
            let table = RateTable::of_bytes(64);
            let mut own: HashMap<u64, u64> = HashMap::new();
            let tags: HashSet<u64> =
                (0..8_u64).map(|key| table.hasher.hash_one(key) >> TIME_BITS).collect();
            prop_assume!(tags.len() == 8);
            let mut now = 0;
            for (key, pause) in requests {
                let key = key % 8;
                now += pause;
                let full_at = own.entry(key).or_default();
                let expected = QUOTA().decide(*full_at, now);
                *full_at = expected.full_at.unwrap_or(*full_at);
                prop_assert_eq!(table.take(key, QUOTA(), now), expected);
            }
        }
    }

    #[test]
    fn one_bucket_under_many_threads_admits_its_burst() {
        let table = RateTable::of_bytes(1 << 12);
        let quota = Quota::new(1, TICKS_PER_SECOND, 1_000_000).expect("a quota");
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        (0..300_000).filter(|_| table.take(7, quota, 0).is_admitted()).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
        });
        assert_eq!(admitted, 1_000_000);
    }

    #[test]
    fn a_line_of_eight_exhausted_strangers_is_what_it_takes_to_be_hurt() {
        let table = RateTable::of_bytes(64);
        let exhaust = |key: u64| while table.take(key, QUOTA(), 0).is_admitted() {};
        (0..7).for_each(exhaust);
        assert!(table.take(100, QUOTA(), 0).is_admitted(), "one place is left");
        exhaust(100);
        let refused = table.take(101, QUOTA(), 0);
        assert!(!refused.is_admitted());
        for _ in 0..2 {
            assert!(table.look(101, QUOTA(), refused.wait).is_admitted(), "and not for long");
        }
        assert!(table.take(101, QUOTA(), refused.wait).is_admitted());
    }

    #[test]
    fn sizes_are_powers_of_two_and_time_does_not_overflow_into_tags() {
        for (bytes, lines) in [(0, 1), (64, 1), (200, 2), (8 << 20, 1 << 17), (9 << 20, 1 << 17)] {
            assert_eq!(RateTable::of_bytes(bytes).lines.len(), lines, "{bytes}");
        }
        assert_eq!(size_of::<Line>(), 64);
        let table = RateTable::of_bytes(64);
        assert!(table.take(1, QUOTA(), TIME_MAX).is_admitted());
        assert!(table.take(1, QUOTA(), u64::MAX).is_admitted());
        assert_eq!(ticks(Duration::from_millis(1_500)), 24_000);
        assert_eq!(ticks(Duration::from_nanos(1_000_062_499)), 16_000);
        assert_eq!(ticks(Duration::MAX), u64::MAX);
    }
}
