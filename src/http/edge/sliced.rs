//! A body handed over in slices, so that a connection never copies much of it at a time.
//!
//! Answers are copied behind their heads (`server.rs`), and the copy stays in memory until the client
//! reads it. Without slices there would be a whole copy of a large file for every client that reads
//! slowly or not at all.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The largest slice, in bytes.
const SLICE_BYTES_MAX: usize = 16 << 10;

/// The body within, in slices that share its memory.
#[derive(Debug)]
pub struct Sliced<B> {
    body: B,
    /// The bytes that were taken from the body and not yet handed over.
    rest: Bytes,
}

impl<B> Sliced<B> {
    /// Makes a body that hands `body` over in slices.
    pub const fn new(body: B) -> Self {
        Self { body, rest: Bytes::new() }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Sliced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let slice = this.rest.split_to(this.rest.len().min(SLICE_BYTES_MAX));
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(body.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::{SLICE_BYTES_MAX, Sliced};
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use hyper::body::Body;
    use std::future::poll_fn;
    use std::pin::Pin;

    #[tokio::test]
    async fn a_large_body_comes_in_slices_of_its_own_memory() {
        let whole = Bytes::from_owner(vec![7; 3 * SLICE_BYTES_MAX + 5]);
        let mut body = Sliced::new(Full::new(whole.clone()));
        let mut position = 0;
        while position < whole.len() {
            assert_eq!(body.size_hint().exact(), Some((whole.len() - position) as u64));
            assert!(!body.is_end_stream());
            let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
            let slice = frame.expect("there is more").expect("it cannot fail");
            let slice = slice.into_data().expect("it is data");
            assert!(!slice.is_empty() && slice.len() <= SLICE_BYTES_MAX);
            assert_eq!(slice.as_ptr(), whole[position..].as_ptr(), "nothing is copied");
            position += slice.len();
        }
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn trailers_and_an_empty_body_pass() {
        let trailers = async { Some(Ok(hyper::HeaderMap::new())) };
        let body = Full::new(Bytes::from_static(b"x")).with_trailers(Box::pin(trailers));
        let collected = Sliced::new(body).collect().await.expect("it cannot fail");
        assert!(collected.trailers().is_some());
        assert_eq!(collected.to_bytes(), "x");
        let empty = Sliced::new(Full::new(Bytes::new()));
        assert!(empty.is_end_stream());
        assert_eq!(empty.collect().await.expect("it cannot fail").to_bytes(), "");
    }
}
