//! Generations: the spans of time between two changes of sales.

use std::sync::atomic::{AtomicU64, Ordering};

/// The span of time between two changes of sales, by number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Generation(pub(super) u64);

/// The present generation of this process. It begins with one of its own, at a random number, and goes on with the
/// catalogue's, which all processes have in common, until it changes something itself.
#[derive(Debug)]
pub(super) struct Generations(AtomicU64);

/// A change of sales under way. Its end, however the change went, ends the generation, so that
/// nothing that was read before is valid any more.
#[derive(Debug)]
#[must_use = "the generation ends when this is dropped"]
pub struct Changing<'a>(&'a AtomicU64);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.store(rand::random(), Ordering::SeqCst);
    }
}

impl Generations {
    pub(super) fn begin() -> Self {
        Self(AtomicU64::new(rand::random()))
    }

    pub(super) fn current(&self) -> Generation {
        Generation(self.0.load(Ordering::SeqCst))
    }

    /// Goes on with the catalogue's generation, which was asked for under `before`, unless that has ended meanwhile:
    /// then the answer may be older than the change that ended it.
    pub(super) fn go_on(&self, before: Generation, catalogue: Generation) {
        let (before, next) = (before.0, catalogue.0);
        // Another one is in force otherwise, and the next look follows.
        let _ = self.0.compare_exchange(before, next, Ordering::SeqCst, Ordering::SeqCst);
    }

    pub(super) fn changing(&self) -> Changing<'_> {
        Changing(&self.0)
    }
}
