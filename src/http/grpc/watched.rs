//! The body of an answer that has no end of its own: it has a place among a bounded number of such answers,
//! and ends with the server.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

/// The body within, until the server ends.
pub struct Watched {
    body: tonic::body::Body,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
    has_ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Watched {
    /// Makes a body that ends when `end` is cancelled, and gives its place back when it is dropped.
    pub fn new(
        body: tonic::body::Body,
        end: CancellationToken,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { body, end: Box::pin(end.cancelled_owned()), has_ended: false, _place: place }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        if this.end.as_mut().poll(context).is_ready() {
            this.has_ended = true;
            let mut trailers = HeaderMap::new();
            let status = Status::unavailable("the server is stopping");
            return Poll::Ready(Some(
                status.add_header(&mut trailers).map(|()| Frame::trailers(trailers)),
            ));
        }
        Pin::new(&mut this.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }
}
