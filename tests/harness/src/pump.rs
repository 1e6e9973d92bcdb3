//! Moves the bytes of one direction of a proxied connection, late or not at all as ordered.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::fault::{Orders, Sender, Shared, Trap};

const CHUNK_BYTES_MAX: usize = 64 * 1_024;
/// Under way in one direction of one connection.
const QUEUE_BYTES_MAX: usize = 1_024 * 1_024;

/// Why a connection has to be reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// One of its ends is gone, or an order cut it.
    Broken,
    Trapped,
}

/// One direction of one connection.
pub(crate) struct Pump<'a> {
    sender: Sender,
    orders: watch::Receiver<Orders>,
    /// How many half closes were ordered before this connection was open.
    half_closes: u64,
    shared: &'a Shared,
    /// Set when the next answer is the one to lose; both directions of a connection look at it.
    answer_lost: &'a AtomicBool,
    queue: VecDeque<Chunk>,
    queue_bytes: usize,
    /// The end of what was searched for a pattern, which may go on in the next chunk.
    searched_tail: Vec<u8>,
    /// The sender says no more.
    finished: bool,
    /// A trap was sprung: the connection is reset once the queue has been sent.
    trapped: bool,
    /// The receiver was told that the stream has ended; bytes are dropped.
    half_closed: bool,
}

struct Chunk {
    /// None for one that is not delayed.
    due: Option<Instant>,
    bytes: Vec<u8>,
    sent: usize,
}

enum Event {
    OrdersChanged,
    Sent(usize),
    Received(usize),
}

impl<'a> Pump<'a> {
    pub(crate) fn new(
        sender: Sender,
        orders: watch::Receiver<Orders>,
        half_closes: u64,
        shared: &'a Shared,
        answer_lost: &'a AtomicBool,
    ) -> Self {
        Self {
            sender,
            orders,
            half_closes,
            shared,
            answer_lost,
            queue: VecDeque::new(),
            queue_bytes: 0,
            searched_tail: Vec::new(),
            finished: false,
            trapped: false,
            half_closed: false,
        }
    }

    /// Runs until the sender has ended its stream and all of it has been passed on.
    pub(crate) async fn run(
        mut self,
        mut reader: ReadHalf<'_>,
        mut writer: WriteHalf<'_>,
    ) -> Result<(), End> {
        let mut buffer = vec![0; CHUNK_BYTES_MAX];
        loop {
            let orders = *self.orders.borrow_and_update();
            let up = orders.link.passes(self.sender);
            if orders.half_closes != self.half_closes
                && self.sender == Sender::Server
                && !self.half_closed
            {
                self.half_closed = true;
                self.queue.clear();
                self.queue_bytes = 0;
                writer.shutdown().await?;
            }
            if self.queue.is_empty() && self.trapped {
                return Err(End::Trapped);
            }
            if self.queue.is_empty() && self.finished {
                if !self.half_closed {
                    writer.shutdown().await?;
                }
                return Ok(());
            }
            let room = self.queue_bytes < QUEUE_BYTES_MAX;
            let event = tokio::select! {
                biased;
                changed = self.orders.changed() => {
                    changed.map_err(|_| End::Broken)?;
                    Event::OrdersChanged
                }
                sent = send_first(&self.queue, &mut writer), if up && !self.queue.is_empty() => {
                    Event::Sent(sent?)
                }
                received = reader.read(&mut buffer),
                    if up && room && !self.finished && !self.trapped =>
                {
                    Event::Received(received?)
                }
            };
            match event {
                Event::OrdersChanged => {}
                Event::Sent(0) => return Err(End::Broken),
                Event::Sent(bytes) => self.sent(bytes),
                Event::Received(0) => self.finished = true,
                Event::Received(bytes) => self.received(&buffer[..bytes], &orders),
            }
        }
    }

    fn sent(&mut self, bytes: usize) {
        self.queue_bytes -= bytes;
        if let Some(first) = self.queue.front_mut() {
            first.sent += bytes;
            if first.sent == first.bytes.len() {
                self.queue.pop_front();
            }
        }
    }

    fn received(&mut self, bytes: &[u8], orders: &Orders) {
        let passed = self.spring_trap(bytes);
        self.trapped = passed.is_some();
        let bytes = &bytes[..passed.unwrap_or(bytes.len())];
        if bytes.is_empty() || self.half_closed {
            return;
        }
        let due = (!orders.delay.is_zero()).then(|| Instant::now() + orders.delay);
        self.queue_bytes += bytes.len();
        self.queue.push_back(Chunk { due, bytes: bytes.to_owned(), sent: 0 });
    }

    /// Looks whether `bytes` are those a trap waits for: then, how many of them may still pass.
    fn spring_trap(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.sender == Sender::Server && self.answer_lost.load(Ordering::Relaxed) {
            return Some(0);
        }
        let mut state = self.shared.lock();
        match &mut state.trap {
            Some(Trap::After { sender, bytes_left }) if *sender == self.sender => {
                let length = bytes.len() as u64;
                if length < *bytes_left {
                    *bytes_left -= length;
                    return None;
                }
                let passed = usize::try_from(*bytes_left).unwrap_or(bytes.len());
                state.trap = None;
                Some(passed)
            }
            Some(Trap::AnswerTo { pattern }) if self.sender == Sender::Client => {
                self.searched_tail.extend_from_slice(bytes);
                if self.searched_tail.windows(pattern.len()).any(|window| window == pattern) {
                    self.answer_lost.store(true, Ordering::Relaxed);
                    state.trap = None;
                    self.searched_tail.clear();
                } else {
                    let searched = (self.searched_tail.len() + 1).saturating_sub(pattern.len());
                    self.searched_tail.drain(..searched);
                }
                None
            }
            _ => None,
        }
    }
}

/// Sends from the first chunk once it is due; returns how much was sent.
async fn send_first(queue: &VecDeque<Chunk>, writer: &mut WriteHalf<'_>) -> io::Result<usize> {
    let Some(first) = queue.front() else { return Ok(0) };
    if let Some(due) = first.due {
        sleep_until(due).await;
    }
    writer.write(&first.bytes[first.sent..]).await
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}
