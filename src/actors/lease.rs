//! For how long nobody else can be the owner of what this node serves.
//!
//! A confirmation rests on its record, which the log took from the owner and from nobody else. A refusal or
//! a read has no record: it is true while no other node can have gone on, which is what a lease says. A
//! process that was stopped for a while and wakes finds it over. Must not know how a lease is renewed.

use crate::clock::Clock;
use domain::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A lease. Clones share its end. The default one never ends: it is that of a node which shares its log
/// with nobody.
#[derive(Clone, Debug, Default)]
pub struct Lease(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    live_until: AtomicU64,
}

impl Lease {
    /// A lease that has not begun.
    pub(super) fn ended(clock: Clock) -> Self {
        Self(Some(Arc::new(Inner { clock, live_until: AtomicU64::new(0) })))
    }

    /// Whether it lasts still.
    pub fn is_live(&self) -> bool {
        let Some(inner) = &self.0 else { return true };
        inner.clock.now().0 < inner.live_until.load(Ordering::Acquire)
    }

    /// Lets it last until then, if it would have ended earlier.
    pub fn extend(&self, until: Timestamp) {
        if let Some(inner) = &self.0 {
            inner.live_until.fetch_max(until.0, Ordering::AcqRel);
        }
    }

    /// Ends the lease at once.
    pub(super) fn end(&self) {
        if let Some(inner) = &self.0 {
            inner.live_until.store(0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lasts_until_it_ends_and_no_longer() {
        assert!(Lease::default().is_live(), "a node alone");
        let clock = Clock::start(Timestamp(0));
        let lease = Lease::ended(clock.clone());
        assert!(!lease.is_live(), "not begun");
        let later = clock.now().plus_milliseconds(600_000);
        lease.extend(later);
        lease.extend(clock.now());
        assert!(lease.is_live(), "the later end counts");
        lease.end();
        assert!(!lease.is_live());
        lease.extend(Timestamp(clock.now().0 - 1));
        assert!(!lease.is_live(), "over already");
    }
}
