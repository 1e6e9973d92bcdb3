//! The body of an answer as the connection sends it: its request is open for as long as it is there.

use super::connection::RequestGuard;
use super::sliced::Sliced;
use super::unread::Age;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// What is sent: whole if it is made here, and in slices if it comes from the router.
pub type Content = Either<Full<Bytes>, Sliced<axum::body::Body>>;

/// The body of an answer.
#[derive(Debug)]
pub struct AnswerBody {
    content: Content,
    open: RequestGuard,
    /// Since when a part of it waits for the client. Only over HTTP/2, where hyper asks for the next part
    /// once the client has room for the one before; over HTTP/1 the socket tells.
    waiting: Option<Age>,
}

impl AnswerBody {
    /// Makes the body of the answer to the request that `open` counts.
    pub fn new(content: Content, open: RequestGuard) -> Self {
        let mut body = Self { content, open, waiting: None };
        if !body.content.is_end_stream() {
            body.begin_to_wait();
        }
        body
    }

    fn begin_to_wait(&mut self) {
        let connection = self.open.connection();
        if connection.is_multiplexed() {
            self.waiting = Some(connection.waiting().begin());
        }
    }

    fn end_to_wait(&mut self) {
        if let Some(age) = self.waiting.take() {
            self.open.connection().waiting().end(age);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        this.end_to_wait();
        let frame = match &mut this.content {
            Either::Left(whole) => {
                Pin::new(whole).poll_frame(context).map_err(|never| match never {})
            }
            Either::Right(sliced) => Pin::new(sliced).poll_frame(context),
        };
        if let Poll::Ready(Some(Ok(_))) = frame {
            this.begin_to_wait();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.end_to_wait();
    }
}
