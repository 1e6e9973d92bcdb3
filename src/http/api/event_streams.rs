//! How many event streams are open, in all and of each buyer.

use crate::http::problem::{Code, Problem};
use dashmap::DashMap;
use domain::UserId;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The open event streams.
#[derive(Debug)]
pub struct EventStreams {
    open: AtomicUsize,
    of_buyers: DashMap<UserId, usize>,
    max: usize,
    of_buyer_max: usize,
}

/// Counts an event stream as open until it is dropped.
#[derive(Debug)]
pub struct OpenEventStream {
    streams: Arc<EventStreams>,
    user_id: UserId,
}

impl EventStreams {
    /// Makes the count, at none, with its bounds.
    pub fn new(max: usize, of_buyer_max: usize) -> Self {
        Self { open: AtomicUsize::default(), of_buyers: DashMap::new(), max, of_buyer_max }
    }

    /// Returns how many are open.
    pub fn count(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Opens a stream of this buyer.
    ///
    /// # Errors
    /// Returns a `too_many_event_streams` problem if the buyer has as many as one may have, and an
    /// `overloaded` one if all have.
    pub fn open(self: &Arc<Self>, user_id: UserId) -> Result<OpenEventStream, Problem> {
        let more = |open: usize| (open < self.max).then_some(open + 1);
        if self.open.try_update(Relaxed, Relaxed, more).is_err() {
            return Err(Problem::new(Code::Overloaded, "too many event streams are open"));
        }
        *self.of_buyers.entry(user_id).or_default() += 1;
        let opened = OpenEventStream { streams: Arc::clone(self), user_id };
        if self.of_buyers.get(&user_id).is_some_and(|count| *count > self.of_buyer_max) {
            let of_buyer_max = self.of_buyer_max;
            let detail = format!("one buyer may have {of_buyer_max} event streams: close another");
            return Err(Problem::new(Code::TooManyEventStreams, detail));
        }
        Ok(opened)
    }
}

impl Drop for OpenEventStream {
    fn drop(&mut self) {
        if let Some(mut count) = self.streams.of_buyers.get_mut(&self.user_id) {
            *count -= 1;
        }
        self.streams.of_buyers.remove_if(&self.user_id, |_, count| *count == 0);
        self.streams.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_buyer_cannot_take_all() {
        let streams = Arc::new(EventStreams::new(3, 2));
        let code = |user| streams.open(UserId(user)).map_err(|problem| problem.code);
        let (first, second) = (code(1).expect("room"), code(1).expect("room"));
        assert_eq!(code(1).err(), Some(Code::TooManyEventStreams));
        assert_eq!(streams.count(), 2);
        let other = code(2).expect("room");
        assert_eq!(code(3).err(), Some(Code::Overloaded));
        drop(first);
        assert_eq!(code(3).err(), None);
        drop((second, other));
        assert_eq!((streams.count(), streams.of_buyers.len()), (0, 0));
    }
}
