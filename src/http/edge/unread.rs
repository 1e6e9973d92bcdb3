//! What is answered and not yet taken by its client: how many bytes, and for how long.
//!
//! A client decides how fast it reads, and over HTTP/2 it may read nothing at all of an answer while its
//! socket takes everything. So the bytes of answers that wait are counted, of each connection and of
//! all, and a connection with an answer that has waited too long is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

/// Bytes of answers that are made and not yet taken.
#[derive(Debug, Default)]
pub struct UnreadBytes(AtomicUsize);

impl UnreadBytes {
    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Adds `bytes` unless there would be more than `max`; one answer alone may be as large as it is.
    fn try_add(&self, bytes: usize, max: usize) -> bool {
        let added = |waiting: usize| {
            let total = waiting.saturating_add(bytes);
            (waiting == 0 || total <= max).then_some(total)
        };
        self.0.try_update(Relaxed, Relaxed, added).is_ok()
    }

    fn subtract(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Relaxed);
    }
}

/// Counts an answer's bytes as unread, of its connection and of all, until it is dropped.
#[derive(Debug)]
pub struct Unread {
    bytes: usize,
    connection: Arc<UnreadBytes>,
    all: Arc<UnreadBytes>,
}

/// The most bytes that may be unread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnreadBytesMax {
    /// Of one connection.
    pub connection: usize,
    /// Of all connections.
    pub all: usize,
}

impl UnreadBytesMax {
    /// No bound, for an answer that has to be given.
    pub const NONE: Self = Self { connection: usize::MAX, all: usize::MAX };
}

impl Unread {
    /// Counts an answer of `bytes`, or returns `None` if there would be too many then.
    pub fn reserve(
        bytes: usize,
        connection: &Arc<UnreadBytes>,
        all: &Arc<UnreadBytes>,
        max: UnreadBytesMax,
    ) -> Option<Self> {
        if !connection.try_add(bytes, max.connection) {
            return None;
        }
        if !all.try_add(bytes, max.all) {
            connection.subtract(bytes);
            return None;
        }
        Some(Self { bytes, connection: Arc::clone(connection), all: Arc::clone(all) })
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.connection.subtract(self.bytes);
        self.all.subtract(self.bytes);
    }
}

/// A ring of counters has one for each age, and some more for answers that are too old.
const RING: usize = 8;

/// How many answers wait, by how long they do, without a clock or a list: each counts in the age in which
/// it began to wait, and the ages grow older together.
#[derive(Debug, Default)]
pub struct AnswersByAge {
    present: AtomicU32,
    waiting: [AtomicU32; RING],
}

/// The age in which an answer began to wait.
#[derive(Debug)]
pub struct Age(u32);

impl AnswersByAge {
    /// After this many ages an answer has waited too long.
    pub const AGES: u32 = 4;

    /// Notes that an answer waits from now on.
    pub fn begin(&self) -> Age {
        let present = self.present.load(Relaxed);
        self.of(present).fetch_add(1, Relaxed);
        Age(present)
    }

    /// Notes that the answer was taken, as a whole or in part.
    pub fn end(&self, Age(begun): Age) {
        self.of(begun).fetch_sub(1, Relaxed);
    }

    /// Begins the next age.
    pub fn grow_older(&self) {
        self.present.fetch_add(1, Relaxed);
    }

    /// Returns whether an answer has waited for [`Self::AGES`] whole ages.
    pub fn any_too_old(&self) -> bool {
        let present = self.present.load(Relaxed);
        // What is older than the ring was found before it got so old.
        let old = (Self::AGES + 1)..RING as u32;
        old.into_iter().any(|age| self.of(present.wrapping_sub(age)).load(Relaxed) > 0)
    }

    fn of(&self, age: u32) -> &AtomicU32 {
        &self.waiting[age as usize % RING]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_too_old_after_whole_ages_alone() {
        let answers = AnswersByAge::default();
        let first = answers.begin();
        for _ in 0..AnswersByAge::AGES {
            answers.grow_older();
            assert!(!answers.any_too_old());
        }
        let second = answers.begin();
        answers.grow_older();
        assert!(answers.any_too_old());
        answers.end(first);
        assert!(!answers.any_too_old());
        answers.end(second);
    }

    #[test]
    fn unread_bytes_have_two_bounds_and_one_answer_may_exceed_both() {
        let (one, other, all) = (Arc::default(), Arc::default(), Arc::default());
        let max = UnreadBytesMax { connection: 10, all: 15 };
        let reserve =
            |bytes, connection: &Arc<UnreadBytes>| Unread::reserve(bytes, connection, &all, max);
        let large = reserve(100, &one).expect("it is alone");
        assert!(reserve(1, &one).is_none() && reserve(1, &other).is_none());
        drop(large);
        let first = reserve(8, &one).expect("there is room");
        assert!(reserve(3, &one).is_none(), "the connection's bound");
        assert!(reserve(8, &other).is_none(), "the bound of all");
        let second = reserve(7, &other).expect("there is room");
        assert_eq!((one.count(), other.count(), all.count()), (8, 7, 15));
        drop((first, second));
        assert_eq!((one.count(), other.count(), all.count()), (0, 0, 0));
    }
}
