//! Requests to servers whose URL somebody entered: each connection goes to an address that the guard has
//! checked, and to no other.
//!
//! The name is resolved once for a connection, and what is connected to is one of the addresses that were checked; no
//! library below resolves it again. No redirect is followed, and of an answer nothing is kept but its status and when
//! to come back. Must not know what is sent, nor when it is sent again.

use super::guard::{Guard, Host, NotAllowed, Target};
use super::{OutboundError, broken, trusting};
use crate::clock::Clock;
use bytes::Bytes;
use domain::Timestamp;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tower_service::Service;

/// How much of an answer's body is read, so that its connection can be used again, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// How long that may take.
const BODY_WAIT: Duration = Duration::from_millis(500);
/// The longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// The addresses of one name that are tried.
const ADDRESSES_TRIED_MAX: usize = 4;
/// How long a connection is kept for the next request.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// What the requests say that they come from.
const AGENT: &str = concat!("seckill/", env!("CARGO_PKG_VERSION"));

type BoxError = Box<dyn Error + Send + Sync>;

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// Returns all addresses of the name.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The bounds of requests to servers that somebody named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuardedOptions {
    /// How long a request may take in all, its connection included.
    pub timeout: Duration,
    /// Connections to one server that are kept for the next request.
    pub idle_max: usize,
}

/// What a server said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Its HTTP status.
    pub status: u16,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// Makes requests of servers whose URL somebody entered. Cheap to clone.
#[derive(Clone)]
pub struct GuardedOutbound {
    client: Client<HttpsConnector<PinnedConnector>, Full<Bytes>>,
    guard: Guard,
    timeout: Duration,
    clock: Clock,
}

impl fmt::Debug for GuardedOutbound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GuardedOutbound")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

impl GuardedOutbound {
    /// Makes a client that goes where `guard` lets it. Certificates are believed that this authority signed, a
    /// certificate in PEM, or the public ones if there is none.
    ///
    /// # Errors
    /// Returns an error if the authority is no certificate.
    pub fn new(
        guard: Guard,
        resolver: Arc<dyn Resolve>,
        authority: Option<&[u8]>,
        options: GuardedOptions,
        clock: Clock,
    ) -> io::Result<Self> {
        let connector =
            PinnedConnector { guard: guard.clone(), resolver, wait: options.timeout / 2 };
        let connector =
            trusting(authority)?.https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(options.idle_max)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        Ok(Self { client, guard, timeout: options.timeout, clock })
    }

    /// Reads a URL that somebody entered.
    ///
    /// # Errors
    /// Returns [`NotAllowed`] if no request may go there.
    pub fn target(&self, url: &str) -> Result<Target, NotAllowed> {
        self.guard.target(url)
    }

    /// Posts a body of this type with these headers, and returns what the server said.
    ///
    /// # Errors
    /// Returns [`OutboundError`] if it said nothing in time, or is not to be asked.
    pub async fn post(
        &self,
        target: &Target,
        content_type: &'static str,
        headers: &[(&'static HeaderName, String)],
        body: Bytes,
    ) -> Result<Heard, OutboundError> {
        let request = Request::post(target.uri())
            .header(CONTENT_TYPE, content_type)
            .header(USER_AGENT, AGENT);
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let request = request.body(Full::new(body)).map_err(|error| broken(&error))?;
        let answered = tokio::time::timeout(self.timeout, self.client.request(request)).await;
        let response =
            answered.map_err(|_| OutboundError::TimedOut)?.map_err(|error| failed(&error))?;
        let heard = Heard {
            status: response.status().as_u16(),
            retry_after: retry_after(response.headers(), self.clock.now()),
        };
        discard(response).await;
        Ok(heard)
    }
}

/// Reads what is left of an answer, as far as that is little and comes soon. Otherwise its connection is closed.
async fn discard(response: Response<Incoming>) {
    let mut body = response.into_body();
    let read = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > BODY_BYTES_MAX {
                break;
            }
        }
    };
    // Who sends no end loses the connection, and nothing else.
    let _ = tokio::time::timeout(BODY_WAIT, read).await;
}

/// When to come back, of an answer that says so in seconds or by a date (RFC 9110).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let at = u64::try_from(at.as_millisecond()).ok()?;
    Some(Duration::from_millis(at.saturating_sub(now.0)))
}

/// Why there is no answer: the guard's word, if it was the guard, or what the error rests on.
fn failed(error: &(dyn Error + 'static)) -> OutboundError {
    let mut cause = Some(error);
    while let Some(present) = cause {
        if let Some(refused) = present.downcast_ref::<NotAllowed>() {
            return OutboundError::NotAllowed(refused.clone());
        }
        cause = present.source();
    }
    broken(error)
}

/// Connects to addresses that were checked, and only to those.
#[derive(Clone)]
struct PinnedConnector {
    guard: Guard,
    resolver: Arc<dyn Resolve>,
    /// How long a connection may take, whichever of the addresses is tried.
    wait: Duration,
}

impl PinnedConnector {
    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, BoxError> {
        let target = self.guard.target_of(&uri)?;
        let addresses = match &target.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.resolver.resolve(name).await?,
        };
        self.guard.check_all(&target, &addresses)?;
        let mut failure: BoxError = NotAllowed::NoAddress.into();
        let tried = addresses.len().min(ADDRESSES_TRIED_MAX);
        let wait = self.wait / u32::try_from(tried).unwrap_or(1);
        for address in addresses.into_iter().take(tried) {
            let connecting = TcpStream::connect(SocketAddr::new(address, target.port));
            match tokio::time::timeout(wait, connecting).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error)) => failure = error.into(),
                Err(_) => failure = io::Error::from(io::ErrorKind::TimedOut).into(),
            }
        }
        Err(failure)
    }
}

impl Service<Uri> for PinnedConnector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<TokioIo<TcpStream>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn a_server_says_when_to_come_back_in_seconds_or_by_a_date() {
        let now = Timestamp(1_445_412_470_000);
        for (text, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(10)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
