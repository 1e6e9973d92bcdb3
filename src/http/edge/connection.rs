//! One connection as the sweeper sees it: what it is waiting for and since when.
//!
//! No request sets a timer. Each connection counts what passes through it, and one sweep over all
//! of them, a few times a second, finds those that make no progress: a head that does not end, a
//! body that does not arrive, a response that the client does not read, or no request at all. Must
//! not know what the requests are.

use crate::http::options::Options;
use futures_util::task::AtomicWaker;
use hyper::Version;
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection's task has been told to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Instruction {
    /// Serve the requests that come.
    Serve = 0,
    /// Answer the open requests and take no new one.
    Finish = 1,
    /// Drop the open requests and close.
    Abort = 2,
}

/// Why the sweeper closed a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stall {
    /// The head of a request did not end in time.
    Head,
    /// The client did not read a response in time.
    Response,
    /// No request came in time.
    Idle,
}

/// A connection's counters and its instruction. Counters wrap, and only their change matters.
#[derive(Debug, Default)]
pub struct Connection {
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    write_blocked: AtomicBool,
    multiplexed: AtomicBool,
    requests: AtomicU64,
    in_flight: AtomicU32,
    /// `bytes_read` when the last request was answered: what came since belongs to the next head.
    bytes_answered: AtomicU64,
    bodies_awaited: AtomicU32,
    body_expired: AtomicBool,
    instruction: AtomicU8,
    waker: AtomicWaker,
    seen: Mutex<Seen>,
}

/// What the last sweep saw, and when that began to be so.
#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    bytes_written: u64,
    waiting_since: Duration,
    body_since: Option<(u64, Duration)>,
    write_since: Option<Duration>,
    mid_head: bool,
}

impl Connection {
    /// Makes the connection that was accepted at `now`, counted from the start of the server.
    pub fn new(now: Duration) -> Self {
        let seen = Seen { waiting_since: now, ..Seen::default() };
        Self { seen: Mutex::new(seen), ..Self::default() }
    }

    /// Notes that a request's head has arrived; it counts as open until the guard is dropped.
    pub fn begin_request(&self, version: Version) -> RequestGuard<'_> {
        if version == Version::HTTP_2 {
            self.multiplexed.store(true, Relaxed);
        }
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        RequestGuard(self)
    }

    /// Returns whether the bodies that are awaited have taken too long.
    pub fn body_expired(&self) -> bool {
        self.body_expired.load(Relaxed)
    }

    /// Notes that a body is awaited, until the guard is dropped.
    pub fn begin_body(&self) -> BodyGuard<'_> {
        self.bodies_awaited.fetch_add(1, Relaxed);
        BodyGuard(self)
    }

    /// Returns what the connection's task has to do, and wakes the task when that changes.
    pub fn instruction(&self, context: &Context<'_>) -> Instruction {
        self.waker.register(context.waker());
        match self.instruction.load(Relaxed) {
            0 => Instruction::Serve,
            1 => Instruction::Finish,
            _ => Instruction::Abort,
        }
    }

    /// Tells the connection's task what to do. It never goes back to an earlier instruction.
    pub fn tell(&self, instruction: Instruction) {
        if self.instruction.fetch_max(instruction as u8, Relaxed) < instruction as u8 {
            self.waker.wake();
        }
    }

    /// Closes the connection if it has made no progress for longer than `options` allow, and returns
    /// why.
    pub fn sweep(&self, now: Duration, options: &Options) -> Option<Stall> {
        let mut seen = self.seen.lock();
        let stall = self
            .sweep_response(&mut seen, now, options)
            .or_else(|| self.sweep_head(&mut seen, now, options));
        self.sweep_body(&mut seen, now, options);
        match stall {
            Some(Stall::Idle) => self.tell(Instruction::Finish),
            Some(Stall::Head | Stall::Response) => self.tell(Instruction::Abort),
            None => {}
        }
        stall
    }

    fn sweep_response(&self, seen: &mut Seen, now: Duration, options: &Options) -> Option<Stall> {
        let written = self.bytes_written.load(Relaxed);
        if !self.write_blocked.load(Relaxed) || written != seen.bytes_written {
            seen.bytes_written = written;
            seen.write_since = None;
            return None;
        }
        let since = *seen.write_since.get_or_insert(now);
        (now.saturating_sub(since) >= options.write_timeout).then_some(Stall::Response)
    }

    fn sweep_head(&self, seen: &mut Seen, now: Duration, options: &Options) -> Option<Stall> {
        let requests = self.requests.load(Relaxed);
        // Over HTTP/2 bytes arrive outside of requests too.
        let mid_head = !self.multiplexed.load(Relaxed)
            && self.bytes_read.load(Relaxed) != self.bytes_answered.load(Relaxed);
        let busy = self.in_flight.load(Relaxed) > 0;
        if busy || requests != seen.requests || mid_head != seen.mid_head {
            seen.requests = requests;
            seen.mid_head = mid_head;
            seen.waiting_since = now;
            return None;
        }
        let waited = now.saturating_sub(seen.waiting_since);
        if mid_head {
            (waited >= options.header_timeout).then_some(Stall::Head)
        } else {
            (waited >= options.idle_timeout).then_some(Stall::Idle)
        }
    }

    /// Lets the body expire that one and the same request has awaited for longer than allowed.
    fn sweep_body(&self, seen: &mut Seen, now: Duration, options: &Options) {
        if self.bodies_awaited.load(Relaxed) == 0 {
            seen.body_since = None;
            return;
        }
        let requests = self.requests.load(Relaxed);
        match seen.body_since {
            Some((request, since)) if request == requests => {
                if now.saturating_sub(since) >= options.body_timeout {
                    self.body_expired.store(true, Relaxed);
                    self.waker.wake();
                }
            }
            _ => seen.body_since = Some((requests, now)),
        }
    }
}

/// Counts a body as awaited until it is dropped.
#[derive(Debug)]
pub struct BodyGuard<'a>(&'a Connection);

impl Drop for BodyGuard<'_> {
    fn drop(&mut self) {
        self.0.bodies_awaited.fetch_sub(1, Relaxed);
    }
}

/// Counts a request as open until it is dropped.
#[derive(Debug)]
pub struct RequestGuard<'a>(&'a Connection);

impl Drop for RequestGuard<'_> {
    fn drop(&mut self) {
        self.0.bytes_answered.store(self.0.bytes_read.load(Relaxed), Relaxed);
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A stream that counts in its connection the bytes that pass.
#[derive(Debug)]
pub struct Counted<S> {
    stream: S,
    connection: Arc<Connection>,
}

impl<S> Counted<S> {
    /// Makes a stream that counts in `connection`.
    pub fn new(stream: S, connection: Arc<Connection>) -> Self {
        Self { stream, connection }
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(bytes)) => {
                self.connection.bytes_written.fetch_add(*bytes as u64, Relaxed);
                if self.connection.write_blocked.load(Relaxed) {
                    self.connection.write_blocked.store(false, Relaxed);
                }
            }
            Poll::Pending => self.connection.write_blocked.store(true, Relaxed),
            Poll::Ready(Err(_)) => {}
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            self.connection.bytes_read.fetch_add(bytes as u64, Relaxed);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn options() -> Options {
        Options {
            header_timeout: 2 * SECOND,
            body_timeout: 2 * SECOND,
            write_timeout: 2 * SECOND,
            idle_timeout: 5 * SECOND,
            ..Options::default()
        }
    }

    /// The first second at which a sweep, one a second, closes the connection.
    fn closed_at(connection: &Connection, from: u32) -> Option<(u32, Stall)> {
        (from..from + 20).find_map(|second| {
            connection.sweep(second * SECOND, &options()).map(|stall| (second, stall))
        })
    }

    #[test]
    fn a_connection_without_a_request_is_idle() {
        let connection = Connection::new(Duration::ZERO);
        assert_eq!(closed_at(&connection, 0), Some((5, Stall::Idle)));
    }

    #[test]
    fn a_head_that_trickles_does_not_gain_time() {
        let connection = Connection::new(Duration::ZERO);
        let closed = (0..20).find_map(|second| {
            connection.bytes_read.fetch_add(1, Relaxed);
            connection.sweep(second * SECOND, &options()).map(|stall| (second, stall))
        });
        assert_eq!(closed, Some((2, Stall::Head)));
    }

    #[test]
    fn an_open_request_may_take_its_time() {
        let connection = Connection::new(Duration::ZERO);
        let guard = connection.begin_request(Version::HTTP_11);
        assert_eq!(closed_at(&connection, 0), None);
        drop(guard);
        assert_eq!(closed_at(&connection, 20), Some((24, Stall::Idle)));
    }

    #[test]
    fn a_response_that_is_not_read_is_dropped_while_its_request_is_open() {
        let connection = Connection::new(Duration::ZERO);
        let _guard = connection.begin_request(Version::HTTP_11);
        connection.write_blocked.store(true, Relaxed);
        assert_eq!(closed_at(&connection, 0), Some((2, Stall::Response)));
    }

    #[test]
    fn a_body_that_does_not_come_expires_and_the_next_request_has_its_own_time() {
        let connection = Connection::new(Duration::ZERO);
        let guard = connection.begin_request(Version::HTTP_11);
        let body = connection.begin_body();
        assert_eq!(connection.sweep(SECOND, &options()), None);
        drop((body, guard));
        let _guard = connection.begin_request(Version::HTTP_11);
        let _body = connection.begin_body();
        assert_eq!(connection.sweep(3 * SECOND, &options()), None);
        assert!(!connection.body_expired());
        assert_eq!(connection.sweep(5 * SECOND, &options()), None);
        assert!(connection.body_expired());
    }
}
