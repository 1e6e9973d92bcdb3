//! One connection as the sweeper sees it: what it is waiting for and since when.
//!
//! No request sets a timer. Each connection counts what passes through it, and one sweep over all
//! of them, a few times a second, finds those that make no progress: a head that does not end, a
//! body that does not arrive, a response that the client does not read, or no request at all. Must
//! not know what the requests are.

use super::unread::{AnswersByAge, UnreadBytes};
use crate::http::options::Options;
use domain::Address;
use futures_util::task::AtomicWaker;
use hyper::Version;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::Context;
use std::time::Duration;

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
    /// The head of a request did not end in time, or the first one did not begin.
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
    /// Bytes that came behind the end of the last head: its body, and what follows that.
    bytes_behind_head: AtomicU64,
    /// Whether a head had begun behind the last request when that was answered.
    head_begun: AtomicBool,
    bodies_awaited: AtomicU32,
    body_expired: AtomicBool,
    event_streams: AtomicU32,
    unread: Arc<UnreadBytes>,
    waiting: AnswersByAge,
    instruction: AtomicU8,
    waker: AtomicWaker,
    seen: Mutex<Seen>,
    /// Where it comes from.
    peer: OnceLock<Address>,
}

/// What the last sweep saw, and when that began to be so.
#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    bytes_written: u64,
    waiting_since: Duration,
    body_since: Option<(u64, Duration)>,
    write_since: Option<Duration>,
    answers_aged_at: Duration,
    mid_head: bool,
    /// Since when the connection has been told to close, so that it is counted once.
    closing_since: Option<Duration>,
}

impl Connection {
    /// Makes the connection that was accepted at `now`, counted from the start of the server.
    pub fn new(now: Duration) -> Self {
        let seen = Seen { waiting_since: now, answers_aged_at: now, ..Seen::default() };
        Self { seen: Mutex::new(seen), ..Self::default() }
    }

    /// Notes where the connection comes from, once that is known.
    pub fn set_peer(&self, peer: Address) {
        // It is said once; what is said again changes nothing.
        let _ = self.peer.set(peer);
    }

    /// Where the connection comes from: its other end, or what a proxy in front of it said.
    pub fn peer(&self) -> Option<Address> {
        self.peer.get().copied()
    }

    /// Notes that a request's head has arrived, whose body has `body_bytes`, or 0 if that is not known; it
    /// counts as open until the guard is dropped, which the answer's body holds.
    pub fn begin_request(self: &Arc<Self>, version: Version, body_bytes: u64) -> RequestGuard {
        if version == Version::HTTP_2 {
            self.multiplexed.store(true, Relaxed);
        }
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        RequestGuard { connection: Arc::clone(self), body_bytes }
    }

    /// Counts bytes that came from the client, of which so many are behind the end of the last head.
    pub fn read(&self, bytes: usize, behind_head: u64) {
        self.bytes_read.fetch_add(bytes as u64, Relaxed);
        self.bytes_behind_head.store(behind_head, Relaxed);
    }

    /// Counts bytes that the client's side took, of which `None` is none for now.
    pub fn wrote(&self, bytes: Option<usize>) {
        if let Some(bytes) = bytes {
            self.bytes_written.fetch_add(bytes as u64, Relaxed);
        }
        if self.write_blocked.load(Relaxed) != bytes.is_none() {
            self.write_blocked.store(bytes.is_none(), Relaxed);
        }
    }

    /// Returns whether requests share the connection, as HTTP/2 lets them.
    pub fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Relaxed)
    }

    /// Bytes of answers that the client has not taken.
    pub fn unread(&self) -> &Arc<UnreadBytes> {
        &self.unread
    }

    /// The answers that wait for the client to take them.
    pub fn waiting(&self) -> &AnswersByAge {
        &self.waiting
    }

    /// Notes that an event stream is open, until the guard is dropped.
    pub fn begin_event_stream(self: &Arc<Self>) -> EventStreamGuard {
        self.event_streams.fetch_add(1, Relaxed);
        EventStreamGuard(Arc::clone(self))
    }

    /// Returns whether the client's close has to be looked for: a stream of events has no end of its
    /// own, and may have nothing to write for long.
    pub fn awaits_close(&self) -> bool {
        self.event_streams.load(Relaxed) > 0
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
        if let Some(since) = seen.closing_since {
            // A client that takes no part in an orderly end has none.
            if now.saturating_sub(since) >= options.write_timeout {
                self.tell(Instruction::Abort);
            }
            return None;
        }
        let stall = self
            .sweep_response(&mut seen, now, options)
            .or_else(|| self.sweep_answers(&mut seen, now, options))
            .or_else(|| self.sweep_head(&mut seen, now, options));
        self.sweep_body(&mut seen, now, options);
        seen.closing_since = stall.map(|_| now);
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

    /// Finds answers over HTTP/2 that the client has room for and takes nothing of: what it lets pass of
    /// one answer must not hold the others.
    fn sweep_answers(&self, seen: &mut Seen, now: Duration, options: &Options) -> Option<Stall> {
        if now.saturating_sub(seen.answers_aged_at) >= options.write_timeout / AnswersByAge::AGES {
            seen.answers_aged_at = now;
            self.waiting.grow_older();
        }
        self.waiting.any_too_old().then_some(Stall::Response)
    }

    fn sweep_head(&self, seen: &mut Seen, now: Duration, options: &Options) -> Option<Stall> {
        let requests = self.requests.load(Relaxed);
        // Over HTTP/2 bytes arrive outside of requests too.
        let mid_head = !self.multiplexed.load(Relaxed)
            && (self.head_begun.load(Relaxed)
                || self.bytes_read.load(Relaxed) != self.bytes_answered.load(Relaxed));
        let busy = self.in_flight.load(Relaxed) > 0;
        if busy || requests != seen.requests || mid_head != seen.mid_head {
            seen.requests = requests;
            seen.mid_head = mid_head;
            seen.waiting_since = now;
            return None;
        }
        let waited = now.saturating_sub(seen.waiting_since);
        // Until its first request a connection is one head that has not come.
        if mid_head || requests == 0 {
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

/// Counts an event stream as open until it is dropped.
#[derive(Debug)]
pub struct EventStreamGuard(Arc<Connection>);

impl Drop for EventStreamGuard {
    fn drop(&mut self) {
        self.0.event_streams.fetch_sub(1, Relaxed);
    }
}

/// Counts a request as open until it is dropped.
#[derive(Debug)]
pub struct RequestGuard {
    connection: Arc<Connection>,
    body_bytes: u64,
}

impl RequestGuard {
    /// The connection that the request came over.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let connection = &self.connection;
        // A client need not wait for its answer before it begins the next head.
        let behind = connection.bytes_behind_head.load(Relaxed);
        connection.head_begun.store(behind > self.body_bytes, Relaxed);
        connection.bytes_answered.store(connection.bytes_read.load(Relaxed), Relaxed);
        connection.in_flight.fetch_sub(1, Relaxed);
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

    fn connection() -> Arc<Connection> {
        Arc::new(Connection::new(Duration::ZERO))
    }

    #[test]
    fn a_connection_without_a_first_byte_has_the_time_of_a_head() {
        assert_eq!(closed_at(&connection(), 0), Some((2, Stall::Head)));
    }

    #[test]
    fn a_connection_is_idle_after_its_last_answer() {
        let connection = connection();
        connection.bytes_read.fetch_add(1, Relaxed);
        drop(connection.begin_request(Version::HTTP_11, 0));
        assert_eq!(closed_at(&connection, 0), Some((5, Stall::Idle)));
    }

    #[test]
    fn a_connection_that_is_closed_is_counted_once_and_does_not_outlive_its_end() {
        let connection = connection();
        drop(connection.begin_request(Version::HTTP_2, 0));
        assert_eq!(closed_at(&connection, 0), Some((5, Stall::Idle)));
        assert_eq!(connection.instruction.load(Relaxed), Instruction::Finish as u8);
        assert_eq!(closed_at(&connection, 6), None);
        assert_eq!(connection.instruction.load(Relaxed), Instruction::Abort as u8);
    }

    #[test]
    fn one_answer_that_is_not_taken_ends_the_connection_whatever_the_others_do() {
        let connection = connection();
        let _guard = connection.begin_request(Version::HTTP_2, 0);
        let _untaken = connection.waiting.begin();
        let closed = (0..20).find_map(|second| {
            connection.waiting.end(connection.waiting.begin());
            connection.bytes_written.fetch_add(1, Relaxed);
            connection.sweep(second * SECOND, &options()).map(|stall| (second, stall))
        });
        // Ages are half a second here, and the sweeps a second apart.
        assert_eq!(closed, Some((5, Stall::Response)));
    }

    #[test]
    fn a_head_that_trickles_does_not_gain_time() {
        let connection = connection();
        let closed = (0..20).find_map(|second| {
            connection.bytes_read.fetch_add(1, Relaxed);
            connection.sweep(second * SECOND, &options()).map(|stall| (second, stall))
        });
        assert_eq!(closed, Some((2, Stall::Head)));
    }

    #[test]
    fn a_head_that_has_begun_behind_a_request_has_the_time_of_a_head() {
        for (body_bytes, behind_head, expected) in [
            (0, 0, (5, Stall::Idle)),
            (0, 1, (2, Stall::Head)),
            (14, 14, (5, Stall::Idle)),
            (14, 15, (2, Stall::Head)),
        ] {
            let connection = connection();
            connection.read(100, behind_head);
            drop(connection.begin_request(Version::HTTP_11, body_bytes));
            assert_eq!(closed_at(&connection, 0), Some(expected), "{body_bytes} {behind_head}");
        }
    }

    #[test]
    fn an_open_request_may_take_its_time() {
        let connection = connection();
        let guard = connection.begin_request(Version::HTTP_11, 0);
        assert_eq!(closed_at(&connection, 0), None);
        drop(guard);
        assert_eq!(closed_at(&connection, 20), Some((24, Stall::Idle)));
    }

    #[test]
    fn a_response_that_is_not_read_is_dropped_while_its_request_is_open() {
        let connection = connection();
        let _guard = connection.begin_request(Version::HTTP_11, 0);
        connection.write_blocked.store(true, Relaxed);
        assert_eq!(closed_at(&connection, 0), Some((2, Stall::Response)));
    }

    #[test]
    fn a_body_that_does_not_come_expires_and_the_next_request_has_its_own_time() {
        let connection = connection();
        let guard = connection.begin_request(Version::HTTP_11, 0);
        let body = connection.begin_body();
        assert_eq!(connection.sweep(SECOND, &options()), None);
        drop((body, guard));
        let _guard = connection.begin_request(Version::HTTP_11, 0);
        let _body = connection.begin_body();
        assert_eq!(connection.sweep(3 * SECOND, &options()), None);
        assert!(!connection.body_expired());
        assert_eq!(connection.sweep(5 * SECOND, &options()), None);
        assert!(connection.body_expired());
    }
}
