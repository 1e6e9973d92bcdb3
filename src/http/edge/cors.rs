//! Which pages of other origins may use the API (the CORS protocol of the Fetch standard).
//!
//! Tokens travel in a header that only a script sets, so no credentials are allowed, and an answer may be
//! read by each origin that is allowed.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::{Method, Request};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, if-match, last-event-id, usertoken, x-request-id",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "allow, etag, idempotent-replayed, location, retry-after, x-request-id",
);
/// How long a browser may remember what is allowed.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages may use the API.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(Vec<HeaderValue>);

/// A request of a page, as far as it matters to the answer.
#[derive(Clone, Debug)]
pub struct PageRequest {
    origin: Option<HeaderValue>,
    is_preflight: bool,
}

impl AllowedOrigins {
    /// Makes the list from origins such as `https://shop.example`, with white space between them.
    pub fn new(origins: &str) -> Self {
        Self(origins.split_ascii_whitespace().filter_map(|origin| origin.parse().ok()).collect())
    }

    /// Returns what the answer to this request needs, if any page is allowed at all.
    pub fn look<B>(&self, request: &Request<B>) -> Option<PageRequest> {
        if self.0.is_empty() {
            return None;
        }
        let headers = request.headers();
        let origin = headers.get(ORIGIN).filter(|origin| self.0.contains(origin));
        Some(PageRequest {
            origin: origin.cloned(),
            is_preflight: request.method() == Method::OPTIONS
                && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
        })
    }
}

impl PageRequest {
    /// Adds to the answer's headers what lets the page read it.
    pub fn allow(self, headers: &mut HeaderMap) {
        // A cache must not hand one origin's answer to another.
        headers.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = self.origin else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.is_preflight {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS);
        } else {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}
