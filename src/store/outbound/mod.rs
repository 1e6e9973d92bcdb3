//! Requests that this process makes of others' servers: bounded in time, in number and in bytes, and not
//! made at all for a while once they keep failing.
//!
//! TLS by rustls on ring, with the public authorities or one of the server's own; no redirect is followed. Where
//! somebody may name any server, `guard` says which may be asked and `guarded` asks no other. `signature` is how both
//! sides prove who they are, and `breaker` leaves alone who keeps failing. Must not know what is asked, nor what an
//! answer means.

mod breaker;
mod guard;
mod guarded;
pub mod signature;

pub use breaker::Breaker;
pub use guard::{Guard, NotAllowed, Target, URL_BYTES_MAX};
pub use guarded::{GuardedOptions, GuardedOutbound, Heard, Resolve, SystemResolver};

use crate::clock::Clock;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Builder;
use hyper::http::uri::Authority;
use hyper::{Request, Uri};
use hyper_rustls::builderstates::WantsSchemes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Connections that are kept open for the next request.
const IDLE_CONNECTIONS_MAX: usize = 16;

/// The bounds of requests to one server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutboundOptions {
    /// How long a request may take in all, its connection included.
    pub timeout: Duration,
    /// Requests under way at the same time.
    pub in_flight_max: usize,
    /// Failures in a row after which no request is made.
    pub failures_max: u32,
    /// For how long none is made then.
    pub pause: Duration,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OutboundError {
    /// As many requests are under way as may be.
    #[error("too many requests are under way")]
    Busy,
    /// The requests before failed, and this one was not made.
    #[error("not asked, because it failed before")]
    Paused,
    /// The answer did not come in time.
    #[error("no answer in time")]
    TimedOut,
    /// No request may go there.
    #[error("the URL {0}")]
    NotAllowed(NotAllowed),
    /// There was no connection, or it broke off.
    #[error("no answer: {0}")]
    Broken(String),
    /// The answer is longer than it may be, or broke off.
    #[error("the answer is too long or broke off")]
    Unreadable,
}

/// The answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Its HTTP status.
    pub status: u16,
    /// Its body, whole.
    pub body: Bytes,
}

/// Makes requests of one server.
pub struct Outbound {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    /// What its URL says of who asks.
    credentials: Option<HeaderValue>,
    timeout: Duration,
    in_flight: Semaphore,
    breaker: Breaker,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Outbound").field("host", &self.uri.host()).finish_non_exhaustive()
    }
}

impl Outbound {
    /// Makes a client of the server at this URL, with these bounds. User and password of the URL are sent as
    /// HTTP's basic credentials.
    ///
    /// # Errors
    /// Returns an error if the URL is not one of `http` or `https`.
    pub fn new(url: &str, options: OutboundOptions, clock: Clock) -> io::Result<Self> {
        Self::trusting(None, url, options, clock)
    }

    /// Makes a client of the server at this URL, whose certificate this authority signed and no other: a
    /// certificate in PEM, or none for the public authorities.
    ///
    /// # Errors
    /// Returns an error if the URL is not one of `http` or `https`, or the authority is no certificate.
    pub fn trusting(
        authority: Option<&[u8]>,
        url: &str,
        options: OutboundOptions,
        clock: Clock,
    ) -> io::Result<Self> {
        let (uri, credentials) = without_credentials(url.parse().map_err(io::Error::other)?)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(io::Error::other("a URL of http or https is needed"));
        }
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(options.timeout));
        let connector =
            trusting(authority)?.https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        let in_flight = Semaphore::new(options.in_flight_max);
        let breaker = Breaker::new(options.failures_max, options.pause, clock);
        Ok(Self { client, uri, credentials, timeout: options.timeout, in_flight, breaker })
    }

    /// Posts a body of this type, and returns the answer whatever its status.
    ///
    /// # Errors
    /// Returns [`OutboundError`] if there is no answer.
    pub async fn post(
        &self,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Result<Reply, OutboundError> {
        let request = Request::post(&self.uri).header(CONTENT_TYPE, content_type);
        self.send(request, body.into()).await
    }

    /// Posts a body of this type with these headers, and returns the answer whatever its status.
    ///
    /// # Errors
    /// Returns [`OutboundError`] if there is no answer.
    pub async fn post_with(
        &self,
        content_type: &'static str,
        headers: &[(&'static HeaderName, String)],
        body: String,
    ) -> Result<Reply, OutboundError> {
        let request = Request::post(&self.uri).header(CONTENT_TYPE, content_type);
        let add = |request: Builder, (name, value): &(&'static HeaderName, String)| {
            request.header(*name, value)
        };
        self.send(headers.iter().fold(request, add), body.into()).await
    }

    /// Gets what is there, and returns the answer whatever its status.
    ///
    /// # Errors
    /// Returns [`OutboundError`] if there is no answer.
    pub async fn get(&self) -> Result<Reply, OutboundError> {
        self.send(Request::get(&self.uri), Bytes::new()).await
    }

    async fn send(&self, request: Builder, body: Bytes) -> Result<Reply, OutboundError> {
        if !self.breaker.lets_pass() {
            return Err(OutboundError::Paused);
        }
        let _permit = self.in_flight.try_acquire().map_err(|_| OutboundError::Busy)?;
        let answer = tokio::time::timeout(self.timeout, self.ask(request, body));
        let answer = answer.await.unwrap_or(Err(OutboundError::TimedOut));
        // A server that fails by itself is as little worth asking as one that is away.
        self.breaker.note(answer.as_ref().is_ok_and(|reply| reply.status < 500));
        answer
    }

    /// Notes that an answer was of no use, which only the caller can tell.
    pub fn note_failure(&self) {
        self.breaker.note(false);
    }

    /// Returns how long ago a request failed last, if one has.
    pub fn failed_ago(&self) -> Option<Duration> {
        self.breaker.failed_ago()
    }

    async fn ask(&self, request: Builder, body: Bytes) -> Result<Reply, OutboundError> {
        let request = match &self.credentials {
            Some(credentials) => request.header(AUTHORIZATION, credentials),
            None => request,
        };
        let request = request
            .header(ACCEPT, "application/json")
            .body(Full::new(body))
            .map_err(|error| broken(&error))?;
        let response = self.client.request(request).await.map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|_| OutboundError::Unreadable)?.to_bytes();
        Ok(Reply { status, body })
    }
}

/// Takes user and password out of a URL, for a header of their own: a client names its URLs in the log.
fn without_credentials(uri: Uri) -> io::Result<(Uri, Option<HeaderValue>)> {
    let authority = uri.authority().map(Authority::as_str);
    let Some((credentials, place)) = authority.and_then(|authority| authority.rsplit_once('@'))
    else {
        return Ok((uri, None));
    };
    let mut credentials: Vec<u8> = percent_decode_str(credentials).collect();
    if !credentials.contains(&b':') {
        // A user without a password.
        credentials.push(b':');
    }
    let basic = format!("Basic {}", STANDARD.encode(credentials));
    let mut basic = HeaderValue::try_from(basic).map_err(io::Error::other)?;
    basic.set_sensitive(true);
    let place = place.parse().map_err(io::Error::other)?;
    let mut parts = uri.into_parts();
    parts.authority = Some(place);
    Ok((Uri::from_parts(parts).map_err(io::Error::other)?, Some(basic)))
}

/// Says what an error rests on, which alone tells a refused connection from a bad certificate.
fn broken(error: &dyn std::error::Error) -> OutboundError {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    OutboundError::Broken(root.to_string())
}

/// What connects to servers whose certificate this authority signed and no other: a certificate in PEM, or none for
/// the public authorities.
///
/// # Errors
/// Returns an error if the authority is no certificate.
fn trusting(authority: Option<&[u8]>) -> io::Result<HttpsConnectorBuilder<WantsSchemes>> {
    let provider = rustls::crypto::ring::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let Some(authority) = authority else {
        return builder.with_provider_and_webpki_roots(provider).map_err(io::Error::other);
    };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots(authority)?)
        .with_no_client_auth();
    Ok(builder.with_tls_config(config))
}

/// The authorities in this text of PEM, at least one.
fn roots(authority: &[u8]) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        Err(io::Error::other("there is no certificate in it"))
    } else {
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_no_part_of_the_url_that_is_asked() {
        let url = "http://user:p%40ss@127.0.0.1:4318/v1/traces?key=a";
        let (uri, credentials) = without_credentials(url.parse().expect("a URL")).expect("usable");
        assert_eq!(uri, "http://127.0.0.1:4318/v1/traces?key=a");
        let credentials = credentials.expect("there are some");
        assert!(credentials.is_sensitive());
        let (_, encoded) = credentials.to_str().expect("text").split_once(' ').expect("Basic");
        assert_eq!(STANDARD.decode(encoded).expect("base 64"), b"user:p@ss");
        let (uri, none) = without_credentials(uri).expect("usable");
        assert_eq!((uri.host(), none), (Some("127.0.0.1"), None));
    }
}
