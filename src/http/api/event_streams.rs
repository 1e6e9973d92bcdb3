//! Streams of server-sent events: how they are answered, how many are open, in all and of each buyer, and how
//! one ends whose caller may not go on.

use crate::http::problem::{Code, Problem};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dashmap::DashMap;
use domain::UserId;
use futures_util::{Stream, StreamExt as _};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use serde_json::json;
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Tells nginx not to gather events before it sends them.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
/// How long a client may wait before it comes back, in milliseconds: each another while, so that a server
/// that starts again is not asked by all of them at once.
const RETRY_MILLISECONDS: RangeInclusive<u32> = 1_000..=10_000;

/// Makes the answer that sends these events as they come.
pub fn answer(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let mut retry = Some(rand::random_range(RETRY_MILLISECONDS));
    let events = events.map(move |event| match retry.take() {
        Some(retry) => [format!("retry: {retry}\n").as_bytes(), &event].concat().into(),
        None => event,
    });
    let headers =
        [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store"), (UNBUFFERED, "no")];
    (headers, Body::from_stream(events.map(Ok::<Bytes, Infallible>))).into_response()
}

/// The open event streams.
#[derive(Debug)]
pub struct EventStreams {
    open: AtomicUsize,
    of_buyers: DashMap<UserId, usize>,
    max: AtomicUsize,
    of_buyer_max: AtomicUsize,
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
        let (max, of_buyer_max) = (max.into(), of_buyer_max.into());
        Self { open: AtomicUsize::default(), of_buyers: DashMap::new(), max, of_buyer_max }
    }

    /// Changes the bounds. Streams that are open stay open.
    pub fn set(&self, max: usize, of_buyer_max: usize) {
        self.max.store(max, Relaxed);
        self.of_buyer_max.store(of_buyer_max, Relaxed);
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
        let max = self.max.load(Relaxed);
        let more = |open: usize| (open < max).then_some(open + 1);
        if self.open.try_update(Relaxed, Relaxed, more).is_err() {
            return Err(Problem::new(Code::Overloaded, "too many event streams are open"));
        }
        *self.of_buyers.entry(user_id).or_default() += 1;
        let opened = OpenEventStream { streams: Arc::clone(self), user_id };
        let of_buyer_max = self.of_buyer_max.load(Relaxed);
        if self.of_buyers.get(&user_id).is_some_and(|count| *count > of_buyer_max) {
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

/// Returns the last event of a stream whose caller would not be let in any more, with the reason. It has no
/// identity, so that a client that comes back is sent what it missed.
pub fn last_event(code: Code, detail: &str) -> Bytes {
    format!("event: end\ndata: {}\n\n", json!({ "code": code.name(), "detail": detail })).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::collections::HashSet;

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
        streams.set(2, 1);
        assert_eq!(code(3).err(), Some(Code::Overloaded), "there are fewer now");
        drop((second, other));
        assert_eq!((streams.count(), streams.of_buyers.len()), (0, 0));
    }
    #[tokio::test]
    async fn each_stream_is_told_another_time_to_come_back() {
        let mut told = HashSet::new();
        for _ in 0..20 {
            let events = stream::iter(["data: 1\n\n", "data: 2\n\n"].map(Bytes::from));
            let sent = axum::body::to_bytes(answer(events).into_body(), 1_000).await.unwrap();
            let text = std::str::from_utf8(&sent).unwrap();
            let (retry, events) = text.split_once('\n').unwrap();
            let milliseconds: u32 = retry.strip_prefix("retry: ").unwrap().parse().unwrap();
            assert!((1_000..=10_000).contains(&milliseconds), "{retry}");
            assert_eq!(events, "data: 1\n\ndata: 2\n\n", "it is told once");
            told.insert(milliseconds);
        }
        assert!(told.len() > 10, "{told:?}");
    }
}
