//! Rates: how often something may happen, as arithmetic.
//!
//! A quota is a bucket that fills at a steady rate. All that has to be remembered of a bucket is one
//! instant: when it will be full again (the *theoretical arrival time* of the generic cell rate
//! algorithm, ITU-T I.371). An instant in the past is a full bucket, so nothing has to be refilled, and
//! one that was forgotten is as good as new. Must not know where the instants are kept, nor what they
//! are of; time comes in as ticks since any fixed moment.

use std::num::NonZeroU32;

/// How often something may happen: so many at once, and then one in so many ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    burst: NonZeroU32,
    /// Ticks in which one comes back, at least 1.
    interval: u64,
}

/// What a quota says to one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// When the bucket will be full, if the request is admitted; `None` if it is refused, which costs
    /// nothing.
    pub full_at: Option<u64>,
    /// How many more would be admitted at once.
    pub remaining: u32,
    /// Ticks until one more than that would be.
    pub wait: u64,
}

impl Quota {
    /// Makes a quota of `burst` at once and of `count` in each `period`, in ticks. No quota if one of
    /// them is 0.
    ///
    /// The interval is rounded up to whole ticks, so that the rate is never more than was asked for.
    pub fn new(count: u32, period: u64, burst: u32) -> Option<Self> {
        let count = NonZeroU32::new(count)?;
        let interval = period.div_ceil(u64::from(count.get())).max(1);
        Some(Self { burst: NonZeroU32::new(burst)?, interval })
    }

    /// Makes a quota of `burst` at once, of which one comes back in `interval` ticks. No quota if one of them
    /// is 0.
    #[inline]
    pub fn of_interval(interval: u64, burst: u32) -> Option<Self> {
        let burst = NonZeroU32::new(burst)?;
        (interval > 0).then_some(Self { burst, interval })
    }

    /// Returns the quota of so many together.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        let factor = factor.max(1);
        let burst = self.burst.saturating_mul(NonZeroU32::new(factor).unwrap_or(NonZeroU32::MIN));
        Self { burst, interval: (self.interval / u64::from(factor)).max(1) }
    }

    /// How many are admitted at once.
    pub fn burst(self) -> u32 {
        self.burst.get()
    }

    /// Ticks in which one comes back.
    pub fn interval(self) -> u64 {
        self.interval
    }

    /// Ticks in which an empty bucket fills.
    pub fn window(self) -> u64 {
        self.interval.saturating_mul(u64::from(self.burst.get()))
    }

    /// Decides about one request at `now`, of a bucket that will be full at `full_at`.
    #[inline]
    pub fn decide(self, full_at: u64, now: u64) -> Decision {
        let owed = full_at.saturating_sub(now);
        let free = self.window().saturating_sub(owed);
        match free.checked_sub(self.interval) {
            Some(left) => Decision {
                full_at: Some(full_at.max(now).saturating_add(self.interval)),
                remaining: self.whole(left),
                wait: self.interval - left % self.interval,
            },
            None => Decision {
                full_at: None,
                remaining: 0,
                // What was inherited may be more than this quota's whole window.
                wait: owed.saturating_add(self.interval).saturating_sub(self.window()),
            },
        }
    }

    fn whole(self, ticks: u64) -> u32 {
        u32::try_from(ticks / self.interval).unwrap_or(u32::MAX)
    }
}

impl Decision {
    /// Whether the request is admitted.
    pub fn is_admitted(self) -> bool {
        self.full_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A bucket that is counted out tick by tick, in fractions of one.
    struct Model {
        quota: Quota,
        /// What is in the bucket, in ticks: `interval` of them are one.
        level: u64,
        at: u64,
    }

    impl Model {
        fn ask(&mut self, now: u64) -> bool {
            self.level = (self.level + (now - self.at)).min(self.quota.window());
            self.at = now;
            match self.level.checked_sub(self.quota.interval) {
                Some(rest) => {
                    self.level = rest;
                    true
                }
                None => false,
            }
        }
    }

    fn quotas() -> impl Strategy<Value = Quota> {
        (1_u32..50, 1_u64..1_000, 1_u32..30)
            .prop_map(|(count, period, burst)| Quota::new(count, period, burst).expect("a quota"))
    }

    proptest! {
        #[test]
        fn a_bucket_admits_what_its_model_does(
            quota in quotas(),
            pauses in proptest::collection::vec(0_u64..60, 1..300),
        ) {
            let mut model = Model { quota, level: quota.window(), at: 7 };
            let (mut now, mut full_at) = (7, 0);
            for pause in pauses {
                now += pause;
                let decision = quota.decide(full_at, now);
                prop_assert_eq!(decision.is_admitted(), model.ask(now));
                prop_assert_eq!(u64::from(decision.remaining), model.level / quota.interval);
                full_at = decision.full_at.unwrap_or(full_at);
            }
        }

        #[test]
        fn after_the_wait_there_is_one_more_and_not_before(
            quota in quotas(),
            full_at in 0_u64..100_000,
            now in 0_u64..100_000,
        ) {
            let decision = quota.decide(full_at, now);
            let full_at = decision.full_at.unwrap_or(full_at);
            // What is there at an instant: what is admitted then, one after the other.
            let available = |at: u64| {
                let mut full_at = full_at;
                let mut count = 0;
                while let Some(next) = quota.decide(full_at, at).full_at {
                    full_at = next;
                    count += 1;
                }
                count
            };
            prop_assert!(decision.wait > 0);
            prop_assert_eq!(available(now), decision.remaining);
            prop_assert_eq!(available(now + decision.wait - 1), decision.remaining);
            prop_assert_eq!(available(now + decision.wait), decision.remaining + 1);
        }
    }

    #[test]
    fn a_quota_of_nothing_is_none_and_extremes_hold() {
        assert_eq!(Quota::new(0, 16_000, 20), None);
        assert_eq!(Quota::new(10, 16_000, 0), None);
        assert_eq!((Quota::of_interval(0, 1), Quota::of_interval(1, 0)), (None, None));
        let quota = Quota::new(10, 16_000, 20).expect("a quota");
        assert_eq!((quota.burst(), quota.window()), (20, 32_000));
        assert_eq!(Quota::of_interval(quota.interval(), 20), Some(quota));
        let eight = quota.times(8);
        assert_eq!((eight.burst(), eight.window()), (160, 32_000));
        let fastest = Quota::new(u32::MAX, 1, u32::MAX).expect("a quota");
        assert!(fastest.decide(0, u64::MAX).is_admitted());
        let refused = quota.decide(u64::MAX, 0);
        assert_eq!((refused.full_at, refused.wait), (None, u64::MAX - 32_000));
        let slowest = Quota::new(1, u64::MAX, u32::MAX).expect("a quota");
        assert!(slowest.decide(0, 0).is_admitted());
    }
}
