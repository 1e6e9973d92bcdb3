//! The bytes of a request's body: how many are read, and how long that may take.
//!
//! Must not know what the bytes mean.

use crate::http::edge::connection::Connection;
use crate::http::problem::{Code, Problem};
use bytes::{Bytes, BytesMut};
use hyper::body::Body;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// How many bytes the body of this request may have: an extension of the request, set by the edge,
/// which alone knows the whole path.
#[derive(Clone, Copy, Debug)]
pub struct BodyBytesMax(pub usize);

/// Reads the whole body.
///
/// # Errors
/// Returns a problem if the body has more than `bytes_max` bytes, takes longer than `timeout`, or
/// breaks off.
pub async fn read<B>(body: B, bytes_max: usize, timeout: Duration) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
{
    tokio::time::timeout(timeout, collect(body, bytes_max, None)).await.unwrap_or_else(|_| {
        Err(Problem::new(Code::RequestTimeout, "the body did not arrive in time"))
    })
}

/// Reads a whole small body without a timer: the connection's sweep says when it has taken too long.
///
/// # Errors
/// Returns a problem if the body has more than `bytes_max` bytes, takes too long, or breaks off.
pub async fn read_swept<B>(
    body: B,
    bytes_max: usize,
    connection: &Connection,
) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
{
    let _guard = connection.begin_body();
    collect(body, bytes_max, Some(connection)).await
}

/// Checks the length that the request announces for its body.
///
/// # Errors
/// Returns a `body_too_large` problem if it is more than `bytes_max`.
pub fn check_length<B: Body>(body: &B, bytes_max: usize) -> Result<(), Problem> {
    if body.size_hint().lower() <= bytes_max as u64 {
        return Ok(());
    }
    Err(too_large(bytes_max))
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body may have {bytes_max} bytes"))
}

async fn collect<B>(
    body: B,
    bytes_max: usize,
    connection: Option<&Connection>,
) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
{
    check_length(&body, bytes_max)?;
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while !body.is_end_stream() {
        let frame = poll_fn(|context| {
            if connection.is_some_and(Connection::body_expired) {
                return Poll::Ready(Err(Problem::new(
                    Code::RequestTimeout,
                    "the body did not arrive in time",
                )));
            }
            body.as_mut().poll_frame(context).map(Ok)
        })
        .await?;
        let Some(frame) = frame else { break };
        let frame = frame
            .map_err(|_| Problem::new(Code::BadRequest, "the body broke off or is not framed"))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        // A small body arrives in one piece, which is handed on without a copy.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
            first = Bytes::new();
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_are_put_together_in_their_order() {
        for pieces in [&["one"][..], &["one", "two"], &["one", "", "two", "three", "four"]] {
            let frames = pieces
                .iter()
                .map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes())));
            let body = axum::body::Body::from_stream(futures_util::stream::iter(frames));
            let read = read(body, 100, Duration::from_secs(1)).await.unwrap();
            assert_eq!(read, pieces.concat().into_bytes(), "{pieces:?}");
        }
        let body = axum::body::Body::from("four");
        let refused = read(body, 3, Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(refused.code, Code::BodyTooLarge);
    }
}
