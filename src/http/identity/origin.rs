//! Whether a request that changes something comes from a page of this shop. A browser sends cookies with
//! whatever another site's page makes it send, so a cookie alone says nothing about who wants it.

use super::site::{Place, Site};
use hyper::header::{HeaderName, ORIGIN};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The request comes from a page of another origin, or does not say where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the request does not come from a page of this shop")]
pub struct CrossOrigin;

/// Checks where a request with a cookie comes from. One that changes nothing may come from anywhere: its
/// sender cannot read the answer.
///
/// # Errors
/// Returns [`CrossOrigin`] if it may change something and does not come from a page of the same origin.
pub fn check(site: &Site, parts: &Parts) -> Result<(), CrossOrigin> {
    if is_safe(&parts.method) {
        return Ok(());
    }
    let place = site.place(&parts.headers, &parts.uri);
    if is_same(&parts.headers, site, place) { Ok(()) } else { Err(CrossOrigin) }
}

/// Returns whether a request of this method changes nothing.
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn is_same(headers: &HeaderMap, site: &Site, place: Place<'_>) -> bool {
    let once = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let value = values.next();
        if values.next().is_some() { None } else { value }
    };
    if headers.contains_key(&SEC_FETCH_SITE) {
        return once(&SEC_FETCH_SITE).is_some_and(|site| site == "same-origin");
    }
    // Browsers leave that header out where the page came over plain HTTP from another machine.
    let Some(origin) = once(&ORIGIN).and_then(|origin| origin.to_str().ok()) else { return false };
    match site.public_url() {
        Some(url) => origin == url,
        // A proxy may have taken the TLS away, so the scheme is not known.
        None => origin.split_once("://").is_some_and(|(scheme, authority)| {
            matches!(scheme, "http" | "https")
                && !authority.is_empty()
                && authority.eq_ignore_ascii_case(place.authority)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn check_with(public_url: Option<&str>, method: Method, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri("/zh/logout");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&Site::new(public_url), &parts).is_ok()
    }

    #[test]
    fn what_changes_something_comes_from_the_same_origin() {
        let host = ("host", "localhost:8080");
        for (headers, accepted) in [
            (&[host, ("sec-fetch-site", "same-origin")][..], true),
            (&[host, ("sec-fetch-site", "same-site")], false),
            (&[host, ("sec-fetch-site", "cross-site")], false),
            (&[host, ("sec-fetch-site", "none")], false),
            (&[host, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
            (&[host, ("sec-fetch-site", "cross-site"), ("origin", "http://localhost:8080")], false),
            (&[host, ("origin", "http://localhost:8080")], true),
            (&[host, ("origin", "https://localhost:8080")], true),
            (&[host, ("origin", "http://localhost:8081")], false),
            (&[host, ("origin", "http://localhost")], false),
            (&[host, ("origin", "http://evil.example")], false),
            (&[host, ("origin", "null")], false),
            (&[host, ("origin", "http://localhost:8080"), ("origin", "http://x")], false),
            (&[("host", ""), ("origin", "http://")], false),
            (&[host], false),
        ] {
            assert_eq!(check_with(None, Method::POST, headers), accepted, "{headers:?}");
            assert!(check_with(None, Method::GET, headers), "{headers:?}");
        }
    }

    #[test]
    fn a_public_url_is_the_only_origin() {
        let url = Some("https://shop.example");
        for (origin, accepted) in [
            ("https://shop.example", true),
            ("http://shop.example", false),
            ("https://10.0.0.7:8080", false),
        ] {
            let headers = [("host", "10.0.0.7:8080"), ("origin", origin)];
            assert_eq!(check_with(url, Method::POST, &headers), accepted, "{origin}");
        }
    }
}
