//! One keep-alive HTTP/1.1 connection, driven by the task that uses it: no spawned
//! driver, no wake-ups between tasks, one coarse deadline timer for its whole life.
//!
//! It tells *not delivered* (safe to repeat) from *outcome unknown*.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ETAG, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// Bodies longer than this are an error; the answers of this API are far shorter.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Requests carry their whole body.
pub type Outgoing = Request<Full<Bytes>>;

/// Status and the headers the generator looks at; the body stays in the [`Link`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The answer's HTTP status.
    pub status: u16,
    /// `Retry-After` in seconds, if it was given as a number.
    pub retry_after_seconds: Option<u32>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The request never left this process.
    NotDelivered,
    /// It may have been carried out.
    ConnectionLost,
    /// It may have been carried out, or be so later.
    TimedOut,
}

/// The head of an answer, or why there is none.
pub type Answer = std::result::Result<Head, Failure>;

/// A connection that is opened when it is needed and again when it was lost.
pub struct Link {
    address: SocketAddr,
    timeout: Duration,
    open: Option<Open>,
    body: Vec<u8>,
    version: Option<HeaderValue>,
    deadline: Instant,
    alarm: Pin<Box<Sleep>>,
}

type Connection = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
}

/// Moves bytes in both directions.
struct Driver(Option<Pin<Box<Connection>>>);

impl Driver {
    /// Moves them as far as they go. A connection that has ended is dropped at once: what was given to it and it
    /// has not written comes back only then.
    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && connection.as_mut().poll(context).is_ready()
        {
            self.0 = None;
        }
    }
}

enum Attempt {
    Answered(Head),
    /// The connection had gone before the request was written.
    Returned(Box<Outgoing>),
    Failed(Failure),
}

impl Link {
    /// A link to `address` that is not opened yet; each request may take `timeout`.
    #[must_use]
    pub fn new(address: SocketAddr, timeout: Duration) -> Self {
        let deadline = Instant::now() + timeout;
        Self {
            address,
            timeout,
            open: None,
            body: Vec::with_capacity(1024),
            version: None,
            deadline,
            alarm: Box::pin(tokio::time::sleep_until(deadline)),
        }
    }

    /// The body of the last answer.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The `ETag` of the last answer, if it had one.
    #[must_use]
    pub fn version(&self) -> Option<&HeaderValue> {
        self.version.as_ref()
    }

    /// Opens the connection now, so that the first request does not pay for it.
    ///
    /// # Errors
    /// Returns [`Failure::NotDelivered`] or [`Failure::TimedOut`] if nothing listens there.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        self.deadline = Instant::now() + self.timeout;
        self.open().await
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// What is known about the request's fate.
    pub async fn send(&mut self, mut request: Outgoing) -> Answer {
        self.deadline = Instant::now() + self.timeout;
        // A kept-alive connection may have been closed since; one fresh one may not.
        for _ in 0..2 {
            if self.open.is_none() {
                self.open().await.map_err(|_| Failure::NotDelivered)?;
            }
            match self.attempt(request).await {
                Attempt::Answered(head) => return Ok(head),
                Attempt::Returned(unsent) => {
                    self.open = None;
                    request = *unsent;
                }
                Attempt::Failed(failure) => {
                    self.open = None;
                    return Err(failure);
                }
            }
        }
        Err(Failure::NotDelivered)
    }

    async fn open(&mut self) -> Result<(), Failure> {
        let connect = async {
            let stream = TcpStream::connect(self.address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            http1::handshake(TokioIo::new(stream)).await.ok()
        };
        match tokio::time::timeout_at(self.deadline, connect).await {
            Err(_) => Err(Failure::TimedOut),
            Ok(None) => Err(Failure::NotDelivered),
            Ok(Some((sender, connection))) => {
                let driver = Driver(Some(Box::pin(connection)));
                self.open = Some(Open { sender, driver });
                Ok(())
            }
        }
    }

    async fn attempt(&mut self, request: Outgoing) -> Attempt {
        let Self { open, body, version, deadline, alarm, .. } = self;
        let Some(Open { sender, driver }) = open else {
            return Attempt::Returned(Box::new(request));
        };
        let deadline = *deadline;

        let ready = poll_fn(|context| {
            driver.drive(context);
            match sender.poll_ready(context) {
                Poll::Ready(ready) => Poll::Ready(ready.is_ok()),
                Poll::Pending if late(alarm, deadline, context) => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        });
        if !ready.await {
            return Attempt::Returned(Box::new(request));
        }

        let mut answer = pin!(sender.try_send_request(request));
        let answer = poll_fn(|context| {
            driver.drive(context);
            match answer.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending if late(alarm, deadline, context) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        let mut response = match answer.await {
            None => return Attempt::Failed(Failure::TimedOut),
            Some(Ok(response)) => response,
            Some(Err(mut error)) => {
                return match error.take_message() {
                    Some(unsent) => Attempt::Returned(Box::new(unsent)),
                    None => Attempt::Failed(Failure::ConnectionLost),
                };
            }
        };

        body.clear();
        *version = response.headers().get(ETAG).cloned();
        let read = poll_fn(|context| match read_body(&mut response, body, driver, context) {
            Poll::Ready(whole) => Poll::Ready(whole),
            Poll::Pending if late(alarm, deadline, context) => Poll::Ready(Err(Failure::TimedOut)),
            Poll::Pending => Poll::Pending,
        });
        match read.await {
            Ok(()) => Attempt::Answered(head(&response)),
            Err(failure) => Attempt::Failed(failure),
        }
    }
}

/// Reads what is there of the body. The driver runs before each look, because it
/// supplies the next piece only when something waits for it.
fn read_body(
    response: &mut Response<Incoming>,
    body: &mut Vec<u8>,
    driver: &mut Driver,
    context: &mut Context<'_>,
) -> Poll<Result<(), Failure>> {
    let mut driven = false;
    loop {
        match Pin::new(response.body_mut()).poll_frame(context) {
            Poll::Ready(None) => return Poll::Ready(Ok(())),
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Failure::ConnectionLost)),
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(piece) = frame.data_ref() {
                    if body.len() + piece.len() > BODY_BYTES_MAX {
                        return Poll::Ready(Err(Failure::ConnectionLost));
                    }
                    body.extend_from_slice(piece);
                }
                if response.body().is_end_stream() {
                    return Poll::Ready(Ok(()));
                }
                driven = false;
            }
            Poll::Pending if driven => return Poll::Pending,
            Poll::Pending => {
                driver.drive(context);
                driven = true;
            }
        }
    }
}

/// True when the deadline has passed. The alarm is set again only when it rings, not
/// for each request, so a request costs no timer operation.
fn late(alarm: &mut Pin<Box<Sleep>>, deadline: Instant, context: &mut Context<'_>) -> bool {
    while alarm.as_mut().poll(context).is_ready() {
        if Instant::now() >= deadline {
            return true;
        }
        alarm.as_mut().reset(deadline);
    }
    false
}

fn head(response: &Response<Incoming>) -> Head {
    let retry_after_seconds = if response.status().is_success() {
        None
    } else {
        let value = response.headers().get(hyper::header::RETRY_AFTER);
        value.and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok())
    };
    Head { status: response.status().as_u16(), retry_after_seconds }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_was_closed_between_two_requests_is_opened_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("an address");
        let (closed, is_closed) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let mut closed = Some(closed);
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = [0; 1024];
                let read = stream.read(&mut request).await.expect("a request");
                assert!(read > 0, "it asks");
                let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                stream.write_all(answer).await.expect("written");
                drop(stream);
                if let Some(closed) = closed.take() {
                    let _ = closed.send(());
                }
            }
        });
        // Longer than the test runner's patience: a request that is lost is not answered late, but never.
        let mut link = Link::new(address, Duration::from_secs(3_600));
        let ask = || {
            let mut request = Outgoing::new(Full::new(Bytes::new()));
            *request.uri_mut() = "/".parse().expect("a path");
            request
        };
        assert_eq!(link.send(ask()).await.map(|head| head.status), Ok(204));
        is_closed.await.expect("closed");
        let again = tokio::time::timeout(Duration::from_secs(60), link.send(ask())).await;
        assert_eq!(again.expect("an answer").map(|head| head.status), Ok(204));
    }
}
