//! The stream below a connection: counts the bytes that pass, notices a close that hyper does not look
//! for, and gives what hyper answers by itself the body of a problem.
//!
//! Must not know what a request is about.

use super::connection::{Connection, Instruction};
use super::refusal;
use crate::http::state::Edge;
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A stream that counts in its connection the bytes that pass.
#[derive(Debug)]
pub struct Counted {
    stream: TcpStream,
    connection: Arc<Connection>,
    edge: Arc<Edge>,
    /// What is left to write in place of an answer that hyper made.
    instead: Option<Bytes>,
}

impl Counted {
    /// Makes a stream that counts in `connection`.
    pub fn new(stream: TcpStream, connection: Arc<Connection>, edge: Arc<Edge>) -> Self {
        Self { stream, connection, edge, instead: None }
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
    /// a client may close its own half after its request; but one that follows events does not.
    fn look_for_close(&mut self, context: &mut Context<'_>) {
        let mut byte = [0];
        let mut peeked = ReadBuf::new(&mut byte);
        match self.stream.poll_peek(context, &mut peeked) {
            Poll::Ready(Ok(0) | Err(_)) => self.connection.tell(Instruction::Abort),
            Poll::Ready(Ok(_)) | Poll::Pending => {}
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            self.connection.read(bytes);
        }
        result
    }
}

impl AsyncWrite for Counted {
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
