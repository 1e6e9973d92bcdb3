//! What the next page says once, such as "you are logged out": a key, carried in a cookie that is taken
//! away when it is read. Each part of the site has words for its own keys and ignores others.

use super::headers::add_cookie;
use crate::http::identity::cookie::FLASH;
use crate::http::identity::site::Place;
use hyper::HeaderMap;

/// How long a key waits for the next page.
const SECONDS: u64 = 60;

/// Lets the next page say what the key stands for.
pub fn set(headers: &mut HeaderMap, place: Place<'_>, key: &str) {
    add_cookie(headers, FLASH.set(place, key, SECONDS));
}

/// Returns the key that this page is to say, if there is one.
pub fn read<'a>(asked: &'a HeaderMap, place: Place<'_>) -> Option<&'a str> {
    FLASH.read(asked, place).filter(|key| !key.is_empty())
}

/// Takes the key away, if the request brought one: it was said.
pub fn clear(asked: &HeaderMap, headers: &mut HeaderMap, place: Place<'_>) {
    if read(asked, place).is_some() {
        add_cookie(headers, FLASH.clear(place));
    }
}
