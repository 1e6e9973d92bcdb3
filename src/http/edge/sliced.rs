//! A body handed over in slices, so that a connection never copies much of it at a time.
//!
//! Answers are copied behind their heads (`server.rs`), and the copy stays in memory until the client
//! reads it. Without slices there would be a whole copy of a large file for every client that reads
//! slowly or not at all.

use super::unread::Unread;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The largest slice, in bytes.
const SLICE_BYTES_MAX: usize = 16 << 10;

/// An extension of an answer whose bytes are the same for all clients, and are not kept for one that reads
/// slowly.
#[derive(Clone, Copy, Debug)]
pub struct SharedBytes;

/// The body within, in slices that share its memory.
#[derive(Debug)]
pub struct Sliced<B> {
    body: B,
    /// The bytes that were taken from the body and not yet handed over.
    rest: Bytes,
    /// Counts the body's bytes, until they are taken from it.
    unread: Option<Unread>,
}

impl<B> Sliced<B> {
    /// Makes a body that hands `body` over in slices; `unread` counts its bytes as long as one of them is
    /// kept.
    pub const fn new(body: B, unread: Option<Unread>) -> Self {
        Self { body, rest: Bytes::new(), unread }
    }
}

/// Bytes that are counted as unread until the last slice of them is dropped.
struct Kept {
    bytes: Bytes,
    _unread: Unread,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
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
                    Ok(bytes) => {
                        this.rest = match this.unread.take() {
                            Some(unread) => Bytes::from_owner(Kept { bytes, _unread: unread }),
                            None => bytes,
                        }
                    }
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
    use crate::http::edge::unread::{Unread, UnreadBytesMax};
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use hyper::body::Body;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_large_body_comes_in_slices_of_its_own_memory() {
        let whole = Bytes::from_owner(vec![7; 3 * SLICE_BYTES_MAX + 5]);
        let mut body = Sliced::new(Full::new(whole.clone()), None);
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
    async fn bytes_are_unread_until_their_last_slice_is_dropped() {
        let (connection, all) = (Arc::default(), Arc::default());
        let max = UnreadBytesMax { connection: 1, all: 1 };
        let size = SLICE_BYTES_MAX + 1;
        let unread = Unread::reserve(size, &connection, &all, max);
        let mut body = Sliced::new(Full::new(Bytes::from(vec![7; size])), unread);
        let frame = body.frame().await.expect("there is more").expect("it cannot fail");
        let slice = frame.into_data().expect("it is data");
        assert_eq!(slice.len(), SLICE_BYTES_MAX);
        drop(body);
        assert_eq!((connection.count(), all.count()), (size, size));
        drop(slice);
        assert_eq!((connection.count(), all.count()), (0, 0));
    }

    #[tokio::test]
    async fn trailers_and_an_empty_body_pass() {
        let trailers = async { Some(Ok(hyper::HeaderMap::new())) };
        let body = Full::new(Bytes::from_static(b"x")).with_trailers(Box::pin(trailers));
        let collected = Sliced::new(body, None).collect().await.expect("it cannot fail");
        assert!(collected.trailers().is_some());
        assert_eq!(collected.to_bytes(), "x");
        let empty = Sliced::new(Full::new(Bytes::new()), None);
        assert!(empty.is_end_stream());
        assert_eq!(empty.collect().await.expect("it cannot fail").to_bytes(), "");
    }
}
