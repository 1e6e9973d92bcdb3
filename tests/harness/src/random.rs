//! Numbers that a printed seed brings back.

use std::hash::{BuildHasher, RandomState};

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers that are the same for the same seed, on every machine.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From `SECKILL_SEED`, or from chance; prints which, so that a failure of this test can be run
    /// again.
    ///
    /// # Panics
    ///
    /// If `SECKILL_SEED` is no number.
    pub fn of(test: &str) -> Self {
        let given = std::env::var("SECKILL_SEED").ok();
        let seed = match given {
            Some(text) => text.parse().expect("SECKILL_SEED is a number"),
            None => RandomState::new().hash_one(0),
        };
        println!("{test}: SECKILL_SEED={seed}");
        Self(seed)
    }

    /// A generator of its own for another task that draws at the same time.
    pub fn fork(&mut self) -> Self {
        Self(self.any())
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below `end`, which is at least 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.any() % end
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these; none if there are none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(of.len()).ok().filter(|count| *count > 0)?;
        of.get(usize::try_from(self.below(count)).ok()?)
    }
}
