//! The stream below a connection: counts the bytes that pass, notices a close that hyper does not look
//! for, and gives what hyper answers by itself the body of a problem.
//!
//! Must not know what a request is about.

use super::connection::{Connection, Instruction};
use super::refusal;
use super::rewound::OverTcp;
use crate::http::state::Edge;
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that counts in its connection the bytes that pass.
#[derive(Debug)]
pub struct Counted<S> {
    stream: S,
    connection: Arc<Connection>,
    edge: Arc<Edge>,
    heads: Heads,
    /// What is left to write in place of an answer that hyper made.
    instead: Option<Bytes>,
}

impl<S: OverTcp> Counted<S> {
    /// Makes a stream that counts in `connection`.
    pub fn new(stream: S, connection: Arc<Connection>, edge: Arc<Edge>) -> Self {
        Self { stream, connection, edge, heads: Heads::default(), instead: None }
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(bytes)) => self.connection.wrote(Some(*bytes)),
            Poll::Pending => self.connection.wrote(None),
            Poll::Ready(Err(_)) => {}
        }
        result
    }

    /// Writes what is to stand in place of `bytes`, and then says that these were written.
    fn poll_write_instead(
        &mut self,
        context: &mut Context<'_>,
        mut instead: Bytes,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        while instead.has_remaining() {
            let result = Pin::new(&mut self.stream).poll_write(context, &instead);
            match self.wrote(result) {
                Poll::Ready(Ok(written)) => instead.advance(written),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.instead = Some(instead);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    /// Ends the connection if the client has closed it. hyper does not read while it answers, because
    /// a client may close its own half after its request; but one that follows events does not. One that says
    /// goodbye by TLS first is noticed at the next event.
    fn look_for_close(&mut self, context: &mut Context<'_>) {
        let mut byte = [0];
        let mut peeked = ReadBuf::new(&mut byte);
        match self.stream.tcp().poll_peek(context, &mut peeked) {
            Poll::Ready(Ok(0) | Err(_)) => self.connection.tell(Instruction::Abort),
            Poll::Ready(Ok(_)) | Poll::Pending => {}
        }
    }
}

/// Where heads end in what a client sends, as far as that can be told without parsing it: at an empty line.
#[derive(Debug, Default)]
struct Heads {
    /// The last two bytes.
    last: [u8; 2],
    bytes_behind: u64,
}

impl Heads {
    const END: &[u8] = b"\n\r\n";

    /// Takes in what was read, and returns how many bytes came behind the end of the last head.
    fn bytes_behind(&mut self, read: &[u8]) -> u64 {
        // From its end on, because that is where most heads end.
        let end = read.windows(Self::END.len()).rposition(|bytes| bytes == Self::END);
        let end = end.map(|place| place + Self::END.len()).or_else(|| self.end_across(read));
        self.bytes_behind = match end {
            Some(end) => (read.len() - end) as u64,
            None => self.bytes_behind + read.len() as u64,
        };
        self.last = match *read {
            [.., before, last] => [before, last],
            [only] => [self.last[1], only],
            [] => self.last,
        };
        self.bytes_behind
    }

    /// How many of the bytes read belong to an end that began in what was read before.
    fn end_across(&self, read: &[u8]) -> Option<usize> {
        (1..=2).rev().find(|count| {
            self.last[*count - 1..].iter().chain(&read[..*count.min(&read.len())]).eq(Self::END)
        })
    }
}

impl<S: OverTcp> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            let behind_head = match self.connection.is_multiplexed() {
                true => 0,
                false => self.heads.bytes_behind(read),
            };
            self.connection.read(read.len(), behind_head);
        }
        result
    }
}

impl<S: OverTcp> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(instead) = self.instead.take() {
            return self.poll_write_instead(context, instead, bytes);
        }
        let mut bytes_of_ours = bytes;
        if !self.connection.is_multiplexed()
            && let Some((ours, status)) = refusal::split_off_hypers(bytes)
        {
            if ours.is_empty() {
                let instead = refusal::instead_of_hypers(&self.edge, status);
                return self.poll_write_instead(context, instead, bytes);
            }
            bytes_of_ours = ours;
        }
        let result = Pin::new(&mut self.stream).poll_write(context, bytes_of_ours);
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
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if self.connection.awaits_close() {
            self.look_for_close(context);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_behind_a_head_is_counted_however_it_is_cut() {
        for (sent, behind) in [
            ("GET / HTTP/1.1\r\n\r\n", 0),
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\nGET", 3),
            ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 0),
            ("POST / HTTP/1.1\r\n\r\n{\"quantity\":1}", 14),
            ("GET / HTTP/1.1\r\n\r", 17),
            ("\n\r\nG", 1),
        ] {
            for cut in 0..sent.len() {
                for second in cut..sent.len() {
                    let mut heads = Heads::default();
                    let sent = sent.as_bytes();
                    let parts = [&sent[..cut], &sent[cut..second], &sent[second..]];
                    let found = parts.map(|part| match part {
                        [] => heads.bytes_behind,
                        part => heads.bytes_behind(part),
                    });
                    assert_eq!(found[2], behind, "{sent:?} {cut} {second}");
                }
            }
        }
    }
}
