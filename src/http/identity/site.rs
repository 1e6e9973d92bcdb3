//! Where browsers find this shop: scheme, host and port.
//!
//! Cookies belong to a host whatever the port, so their names carry it; and a request with a cookie has to
//! come from a page of the same origin. Both need to know what the browser calls this server.

use hyper::header::HOST;
use hyper::{HeaderMap, Uri};

/// Where browsers find the shop, if it was told; otherwise each request's `Host` says it.
#[derive(Clone, Debug, Default)]
pub struct Site {
    public_url: Option<String>,
}

/// The place at which a browser sees the shop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    /// Whether the browser speaks HTTPS, be it with a proxy in front of this server.
    pub is_secure: bool,
    /// Host, and port if it is not the scheme's own, such as `shop.example:8443`.
    pub authority: &'a str,
}

impl Site {
    /// Makes the site of this public URL, an origin such as `https://shop.example`; `None` if requests
    /// are to say it.
    pub fn new(public_url: Option<&str>) -> Self {
        let without_port = |url: &str| {
            let own = if url.starts_with("https:") { ":443" } else { ":80" };
            url.strip_suffix(own).unwrap_or(url).to_owned()
        };
        Self { public_url: public_url.map(without_port) }
    }

    /// Returns the public URL, if it was told: an origin without a path.
    pub fn public_url(&self) -> Option<&str> {
        self.public_url.as_deref()
    }

    /// Returns whether browsers are known to speak HTTPS to the shop.
    pub fn is_secure(&self) -> bool {
        self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }

    /// Returns the place at which the sender of a request with this head sees the shop.
    pub fn place<'a>(&'a self, headers: &'a HeaderMap, uri: &'a Uri) -> Place<'a> {
        if let Some((scheme, authority)) =
            self.public_url.as_deref().and_then(|url| url.split_once("://"))
        {
            return Place { is_secure: scheme == "https", authority };
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = host.or_else(|| uri.authority().map(|authority| authority.as_str()));
        Place { is_secure: false, authority: authority.unwrap_or_default() }
    }
}

impl<'a> Place<'a> {
    /// Returns the port, if it is named.
    pub fn port(self) -> Option<&'a str> {
        let (_, port) = self.authority.rsplit_once(':')?;
        (!port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn a_place_is_what_was_told_or_what_the_request_names() {
        for (public_url, host, secure, authority, port) in [
            (None, "localhost:8080", false, "localhost:8080", Some("8080")),
            (None, "[::1]:8080", false, "[::1]:8080", Some("8080")),
            (None, "[::1]", false, "[::1]", None),
            (None, "shop.example", false, "shop.example", None),
            (Some("https://shop.example"), "10.0.0.7:8080", true, "shop.example", None),
            (Some("https://shop.example:443"), "x", true, "shop.example", None),
            (Some("http://shop.example:81"), "x", false, "shop.example:81", Some("81")),
        ] {
            let site = Site::new(public_url);
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            let uri = Uri::from_static("/");
            let place = site.place(&headers, &uri);
            assert_eq!(place, Place { is_secure: secure, authority }, "{public_url:?} {host}");
            assert_eq!(place.port(), port, "{host}");
        }
    }

    #[test]
    fn over_http_2_the_authority_names_the_host() {
        let uri = Uri::from_static("http://shop.example:8080/zh/");
        let (site, headers) = (Site::default(), HeaderMap::new());
        assert_eq!(site.place(&headers, &uri).authority, "shop.example:8080");
    }
}
