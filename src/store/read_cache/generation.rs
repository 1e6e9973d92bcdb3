//! Generations: the spans of time between two changes of sales.

use std::sync::atomic::{AtomicU64, Ordering};

/// The span of time between two changes of sales, by number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Generation(pub(super) u64);

/// The counter of generations. Begins at a random number, so that no two processes share one.
#[derive(Debug)]
pub(super) struct Generations(AtomicU64);

/// A change of sales under way. Its end, however the change went, ends the generation, so that
/// nothing that was read before is valid any more.
#[derive(Debug)]
#[must_use = "the generation ends when this is dropped"]
pub struct Changing<'a>(&'a AtomicU64);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Generations {
    pub(super) fn begin() -> Self {
        Self(AtomicU64::new(rand::random()))
    }

    pub(super) fn current(&self) -> Generation {
        Generation(self.0.load(Ordering::SeqCst))
    }

    pub(super) fn changing(&self) -> Changing<'_> {
        Changing(&self.0)
    }
}
