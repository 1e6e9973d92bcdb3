//! The bound in front of the mailboxes: so many requests may be under way, and no more.
//!
//! A permit travels with its command and comes back when the answer has left, so it also bounds what
//! waits for the disk. Counted in one number; there is no queue for permits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The permits of an engine. Clones share one count.
#[derive(Clone, Debug)]
pub(in crate::actors) struct Permits(Arc<Count>);

#[derive(Debug)]
struct Count {
    used: AtomicUsize,
    limit: AtomicUsize,
}

/// Allows one request to be under way; given back when dropped.
#[derive(Debug)]
pub(in crate::actors) struct Permit(Arc<Count>);

impl Permits {
    /// Makes `limit` permits.
    pub(in crate::actors) fn new(limit: usize) -> Self {
        Self(Arc::new(Count { used: AtomicUsize::new(0), limit: AtomicUsize::new(limit) }))
    }

    /// A permit, if one is left.
    pub(in crate::actors) fn take(&self) -> Option<Permit> {
        if self.0.used.fetch_add(1, Ordering::AcqRel) < self.limit() {
            return Some(Permit(Arc::clone(&self.0)));
        }
        self.0.used.fetch_sub(1, Ordering::AcqRel);
        None
    }

    /// A permit beyond the limit, for the engine's own work, which is bounded elsewhere.
    pub(in crate::actors) fn take_own(&self) -> Permit {
        self.0.used.fetch_add(1, Ordering::AcqRel);
        Permit(Arc::clone(&self.0))
    }

    /// Number of permits in use.
    pub(in crate::actors) fn used(&self) -> usize {
        self.0.used.load(Ordering::Acquire)
    }

    /// Number of all permits.
    pub(in crate::actors) fn limit(&self) -> usize {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// Changes the number of permits. Those that are in use beyond it come back as they would.
    pub(in crate::actors) fn set_limit(&self, limit: usize) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_comes_back() {
        let permits = Permits::new(2);
        let (first, second) = (permits.take(), permits.take());
        assert!(first.is_some() && second.is_some() && permits.take().is_none());
        drop(first);
        assert!(permits.take().is_some());
        drop(second);
        assert_eq!(permits.used(), 0);
        permits.set_limit(1);
        let only = permits.take();
        assert!(only.is_some() && permits.take().is_none());
        permits.set_limit(2);
        assert!(permits.take().is_some());
    }
}
