//! Cookies: their names, how each is set, and how one is read.
//!
//! A cookie belongs to a host whatever the port, so its name carries the port: else two shops on one host
//! log each other's visitors out. Over HTTPS the prefixes `__Host-` and `__Secure-` keep other hosts of
//! the same domain from planting one.

use super::site::Place;
use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue};

/// Whether a cookie comes with requests that other sites' pages lead to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SameSite {
    /// Only when such a page is left for this one.
    Lax,
    /// Never, not even then.
    Strict,
}

/// A cookie of this shop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cookie {
    /// What its name ends with.
    suffix: &'static str,
    /// The paths that it is sent to: this one and those below.
    path: &'static str,
    same_site: SameSite,
    /// Whether scripts cannot read it.
    is_hidden: bool,
}

/// The buyer's session: a token, which no script can read.
pub const SESSION: Cookie =
    Cookie { suffix: "", path: "/", same_site: SameSite::Lax, is_hidden: true };
/// Who the buyer is, as `name.identity.expiry`, for scripts to greet with. Nothing believes it.
pub const WHO: Cookie =
    Cookie { suffix: "_who", path: "/", same_site: SameSite::Lax, is_hidden: false };
/// The language that the visitor chose.
pub const LANGUAGE: Cookie =
    Cookie { suffix: "_language", path: "/", same_site: SameSite::Lax, is_hidden: false };
/// What the next page says once: the key of a message.
pub const FLASH: Cookie =
    Cookie { suffix: "_flash", path: "/", same_site: SameSite::Lax, is_hidden: true };
/// The operator's session.
pub const CONSOLE: Cookie =
    Cookie { suffix: "_console", path: "/console", same_site: SameSite::Strict, is_hidden: true };

impl Cookie {
    /// Returns its name where a browser sees the shop at `place`.
    pub fn name(self, place: Place<'_>) -> String {
        let prefix = match (place.is_secure, self.path) {
            (false, _) => "",
            (true, "/") => "__Host-",
            (true, _) => "__Secure-",
        };
        let (separator, port) = place.port().map_or(("", ""), |port| ("_", port));
        format!("{prefix}seckill{separator}{port}{}", self.suffix)
    }

    /// Returns its value in the request. A cookie that is there twice is as good as none: one of the two
    /// was planted.
    pub fn read<'a>(self, headers: &'a HeaderMap, place: Place<'_>) -> Option<&'a str> {
        let name = self.name(place);
        let mut values = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(found, _)| *found == name)
            .map(|(_, value)| value);
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// Returns the `Set-Cookie` that gives it this value for `seconds`; none if the value cannot stand in
    /// a cookie.
    pub fn set(self, place: Place<'_>, value: &str, seconds: u64) -> Option<HeaderValue> {
        let is_plain =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
        if !value.bytes().all(is_plain) {
            return None;
        }
        let name = self.name(place);
        let same_site = match self.same_site {
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
        };
        let hidden = if self.is_hidden { "; HttpOnly" } else { "" };
        let secure = if place.is_secure { "; Secure" } else { "" };
        let path = self.path;
        let text = format!(
            "{name}={value}; Path={path}; Max-Age={seconds}; SameSite={same_site}{hidden}{secure}"
        );
        HeaderValue::from_str(&text).ok()
    }

    /// Returns the `Set-Cookie` that takes it away.
    pub fn clear(self, place: Place<'_>) -> Option<HeaderValue> {
        self.set(place, "", 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Place<'_> = Place { is_secure: false, authority: "localhost:8080" };
    const SECURE: Place<'_> = Place { is_secure: true, authority: "shop.example" };

    fn sent(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn names_carry_the_port_and_the_strictest_prefix() {
        for (cookie, place, name) in [
            (SESSION, PLAIN, "seckill_8080"),
            (WHO, PLAIN, "seckill_8080_who"),
            (SESSION, SECURE, "__Host-seckill"),
            (WHO, SECURE, "__Host-seckill_who"),
            (CONSOLE, PLAIN, "seckill_8080_console"),
            (CONSOLE, SECURE, "__Secure-seckill_console"),
        ] {
            assert_eq!(cookie.name(place), name);
        }
    }

    #[test]
    fn what_is_set_cannot_be_read_by_scripts_unless_it_is_meant_to() {
        let text = |cookie: Cookie, place| {
            cookie.set(place, "v", 60).unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(
            text(SESSION, SECURE),
            "__Host-seckill=v; Path=/; Max-Age=60; SameSite=Lax; HttpOnly; Secure"
        );
        assert_eq!(text(WHO, PLAIN), "seckill_8080_who=v; Path=/; Max-Age=60; SameSite=Lax");
        assert_eq!(
            text(CONSOLE, PLAIN),
            "seckill_8080_console=v; Path=/console; Max-Age=60; SameSite=Strict; HttpOnly"
        );
        for value in ["a;b", "a b", "a\r\nb", "名", "a\"", "a,b", "a\\b"] {
            assert_eq!(SESSION.set(PLAIN, value, 1), None, "{value:?}");
        }
    }

    #[test]
    fn one_value_is_read_and_two_are_not() {
        for (lines, expected) in [
            (&["seckill_8080=v"][..], Some("v")),
            (&["a=b; seckill_8080=v; c=d"], Some("v")),
            (&["a=b", "seckill_8080=v"], Some("v")),
            (&["seckill_8081=v; seckill=w; xseckill_8080=x"], None),
            (&["seckill_8080=v; seckill_8080=w"], None),
            (&["seckill_8080=v", "seckill_8080=v"], None),
            (&["seckill_8080"], None),
            (&[], None),
        ] {
            assert_eq!(SESSION.read(&sent(lines), PLAIN), expected, "{lines:?}");
        }
    }
}
