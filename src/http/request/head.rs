//! What a request's head must be before anything is made of it: said once, with few headers, and in a
//! way that no other server in front of this one can read differently.

use crate::http::problem::{Code, Problem};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, TRANSFER_ENCODING};
use hyper::http::uri::Authority;
use hyper::{Request, Version};

/// Checks a request's head.
///
/// # Errors
/// Returns a `headers_too_large` problem if it has more than `headers_max` headers, and a `bad_request`
/// one if it names no host or two, two callers, or a transfer coding that is not known here.
pub fn check<B>(request: &Request<B>, headers_max: usize) -> Result<(), Problem> {
    let headers = request.headers();
    if headers.len() > headers_max {
        let detail = format!("a request may have {headers_max} headers");
        return Err(Problem::new(Code::HeadersTooLarge, detail));
    }
    check_host(request).map_err(|detail| Problem::new(Code::BadRequest, detail))?;
    if headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
        return Err(Problem::new(Code::BadRequest, "send one Authorization header"));
    }
    check_transfer_coding(headers)
}

/// RFC 9112 section 3.2: a request over HTTP/1.1 has one `Host`. Over HTTP/2 `:authority` can stand for
/// it (RFC 9113 section 8.3.1), and HTTP/1.0 did not know it.
fn check_host<B>(request: &Request<B>) -> Result<(), &'static str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        let is_named = match request.version() {
            Version::HTTP_11 => false,
            Version::HTTP_2 => request.uri().authority().is_some(),
            _ => true,
        };
        return if is_named { Ok(()) } else { Err("send a Host header") };
    };
    if hosts.next().is_some() {
        return Err("send one Host header");
    }
    let is_host = host.is_empty()
        || Authority::try_from(host.as_bytes()).is_ok_and(|host| !host.as_str().contains('@'));
    if is_host { Ok(()) } else { Err("the Host header must be a host, and a port if it has one") }
}

/// Refuses transfer codings below `chunked`, which hyper would hand on as if they were the content.
fn check_transfer_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = codings
        .next()
        .is_none_or(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"));
    if is_chunked && codings.next().is_none() {
        return Ok(());
    }
    Err(Problem::new(Code::BadRequest, "the only Transfer-Encoding that is known here is chunked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let host = ("host", "shop");
        for (version, headers, accepted) in [
            (Version::HTTP_11, &[host][..], true),
            (Version::HTTP_11, &[("host", "shop.example:8080")], true),
            (Version::HTTP_11, &[("host", "[::1]:8080")], true),
            (Version::HTTP_11, &[("host", "")], true),
            (Version::HTTP_11, &[], false),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_2, &[], false),
            (Version::HTTP_11, &[host, host], false),
            (Version::HTTP_10, &[host, host], false),
            (Version::HTTP_11, &[("host", "a b")], false),
            (Version::HTTP_11, &[("host", "user@shop")], false),
            (Version::HTTP_11, &[("host", "shop/path")], false),
            (Version::HTTP_11, &[host, ("authorization", "a")], true),
            (Version::HTTP_11, &[host, ("authorization", "a"), ("authorization", "a")], false),
            (Version::HTTP_11, &[host, ("transfer-encoding", "Chunked")], true),
            (Version::HTTP_11, &[host, ("transfer-encoding", "gzip, chunked")], false),
            (
                Version::HTTP_11,
                &[host, ("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")],
                false,
            ),
        ] {
            let mut request = Request::builder().version(version).uri("/");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let outcome = check(&request.body(()).unwrap(), 64);
            assert_eq!(outcome.is_ok(), accepted, "{version:?} {headers:?} {outcome:?}");
            if let Err(problem) = outcome {
                assert_eq!(problem.code, Code::BadRequest);
            }
        }
        let request = Request::builder().version(Version::HTTP_2).uri("http://shop/").body(());
        assert_eq!(check(&request.unwrap(), 64), Ok(()));
    }
}
