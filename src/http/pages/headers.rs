//! The headers that pages and their files are sent with: what may run in them, and who may keep them.

use crate::http::edge::sliced::SharedBytes;
use crate::http::identity::site::Site;
use crate::http::problem::Problem;
use axum::Extension;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY,
    RETRY_AFTER, STRICT_TRANSPORT_SECURITY, VARY,
};
use hyper::{StatusCode, header};

/// What a page may load and run: what this shop serves, and nothing else. No style and no script stands in
/// the page itself.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'; worker-src 'self'; \
     frame-src 'self'; manifest-src 'self'; require-trusted-types-for 'script'; trusted-types worker",
);
/// Not `no-referrer`, which makes browsers send `Origin: null`.
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// A year, as browsers ask for it.
const TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");
static OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Who may keep an answer, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nobody at all.
    Nobody,
    /// Nobody but the visitor's browser, and not for another visit.
    Visitor,
    /// Everybody for half a minute: lists.
    Briefly,
    /// Everybody for a minute: what is sold.
    Minute,
    /// Everybody for an hour: what hardly changes.
    Hour,
    /// Everybody for ever: its path changes when it does.
    Forever,
}

impl Keep {
    /// Returns the value of `Cache-Control`.
    pub const fn value(self) -> &'static str {
        match self {
            Self::Nobody => "no-store",
            Self::Visitor => "private, no-store",
            Self::Briefly => "public, max-age=30, stale-while-revalidate=600",
            Self::Minute => "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400",
            Self::Hour => "public, max-age=3600",
            Self::Forever => "public, max-age=31536000, immutable",
        }
    }
}

/// Bytes that are the same for every visitor, ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ready {
    /// As they are.
    pub plain: Bytes,
    /// Compressed with gzip.
    pub gzip: Bytes,
    /// Their entity tag, in quotes.
    pub etag: HeaderValue,
}

/// Adds to `headers` what every page is sent with.
pub fn of_page(headers: &mut HeaderMap, site: &Site, keep: Keep) {
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(REFERRER_POLICY, SAME_ORIGIN);
    headers.insert(OPENER_POLICY.clone(), SAME_ORIGIN);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep.value()));
    if site.is_secure() {
        headers.insert(STRICT_TRANSPORT_SECURITY, TRANSPORT_SECURITY);
    }
}

/// Makes the answer of a page that is one visitor's.
pub fn page(site: &Site, status: StatusCode, html: String, keep: Keep) -> Response {
    let mut response = (status, [(CONTENT_TYPE, HTML)], html).into_response();
    of_page(response.headers_mut(), site, keep);
    response
}

/// Adds to a page after how many seconds to try again, where that is of use.
pub fn wait(mut page: Response, problem: &Problem) -> Response {
    if let Some(seconds) = problem.retry_after_seconds() {
        page.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    page
}

/// Makes the answer of a page that this shop's own pages frame, in which the scripts of `sources` run.
///
/// # Errors
/// Returns a `not_found` problem if the sources do not make a header, so that nothing runs unguarded.
pub fn frame(site: &Site, html: String, keep: Keep, sources: &str) -> Result<Response, Problem> {
    let policy = format!(
        "default-src 'none'; script-src 'self' {sources}; style-src 'self' 'unsafe-inline' {sources}; \
         img-src 'self' data: {sources}; font-src {sources}; connect-src {sources}; \
         frame-src {sources}; worker-src blob:; form-action 'none'; frame-ancestors 'self'; \
         base-uri 'none'"
    );
    let policy = HeaderValue::try_from(policy).map_err(|_| Problem::not_found())?;
    let mut response = page(site, StatusCode::OK, html, keep);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

/// Makes the answer of a page that is the same for every visitor.
pub fn shared_page(site: &Site, asked: &HeaderMap, ready: &Ready, keep: Keep) -> Response {
    let mut response = ready_bytes(asked, ready, HTML);
    of_page(response.headers_mut(), site, keep);
    response.headers_mut().insert(ETAG, ready.etag.clone());
    response
}

/// Makes the answer of bytes that are the same for every visitor: compressed where the browser takes it,
/// and without them where it has them.
pub fn ready_bytes(asked: &HeaderMap, ready: &Ready, content_type: HeaderValue) -> Response {
    if has(asked, &ready.etag) {
        let headers =
            [(ETAG, ready.etag.clone()), (VARY, HeaderValue::from_static("accept-encoding"))];
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let is_compressed = takes_gzip(asked) && ready.gzip.len() < ready.plain.len();
    let bytes = if is_compressed { ready.gzip.clone() } else { ready.plain.clone() };
    let mut response = (Extension(SharedBytes), bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if is_compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Returns whether the client has the representation of this entity tag already, which is there: `*` is any that is.
pub fn has(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    let lines = asked.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|tag| {
        let tag = tag.trim();
        // Proxies that compress make the tag a weak one.
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes()
    })
}

/// Returns whether the browser takes gzip.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let lines = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let mut codings = lines.flat_map(|line| line.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = matches!(parts.next(), Some("gzip" | "x-gzip" | "*"));
        is_gzip && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// Returns whether the sender of the request would rather have HTML than data: browsers name it.
pub fn prefers_html(asked: &HeaderMap) -> bool {
    let lines = asked.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let mut types = lines.flat_map(|line| line.split(','));
    types.any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html"))
}

/// Adds a `Set-Cookie`, if the value could be one.
pub fn add_cookie(headers: &mut HeaderMap, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        headers.append(header::SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn what_a_browser_takes_and_has_is_read_from_its_headers() {
        for (value, expected) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, gzip;q=0.8", true),
            ("*", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&asked(ACCEPT_ENCODING, value)), expected, "{value:?}");
        }
        let etag = HeaderValue::from_static("\"a\"");
        for (value, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("\"*\"", false),
            ("a", false),
        ] {
            assert_eq!(has(&asked(IF_NONE_MATCH, value), &etag), expected, "{value:?}");
        }
        assert!(!has(&HeaderMap::new(), &etag));
        for (value, expected) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", true),
            ("application/json", false),
            ("*/*", false),
        ] {
            assert_eq!(prefers_html(&asked(ACCEPT, value)), expected, "{value:?}");
        }
    }

    #[test]
    fn bytes_are_sent_once_and_compressed_where_that_is_less() {
        let ready = |gzip: &'static str| Ready {
            plain: Bytes::from_static(b"plain bytes"),
            gzip: Bytes::from_static(gzip.as_bytes()),
            etag: HeaderValue::from_static("\"a\""),
        };
        let site = Site::default();
        let gzip = asked(ACCEPT_ENCODING, "gzip");
        let sent = shared_page(&site, &gzip, &ready("short"), Keep::Minute);
        assert_eq!(sent.headers()[CONTENT_ENCODING], "gzip");
        let sent = shared_page(&site, &gzip, &ready("longer than plain"), Keep::Minute);
        assert!(!sent.headers().contains_key(CONTENT_ENCODING));
        let sent = shared_page(&site, &asked(IF_NONE_MATCH, "\"a\""), &ready(""), Keep::Minute);
        assert_eq!(sent.status(), StatusCode::NOT_MODIFIED);
        assert!(sent.headers().contains_key(CONTENT_SECURITY_POLICY));
        assert!(!sent.headers().contains_key(STRICT_TRANSPORT_SECURITY));
        let site = Site::new(Some("https://shop.example"));
        let sent = page(&site, StatusCode::OK, String::new(), Keep::Visitor);
        assert!(sent.headers().contains_key(STRICT_TRANSPORT_SECURITY));
    }
}
