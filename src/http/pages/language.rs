//! The languages of the pages, and which one a visitor gets.

use crate::http::identity::cookie::LANGUAGE;
use crate::http::identity::site::Place;
use hyper::header::ACCEPT_LANGUAGE;
use hyper::{HeaderMap, Uri};

/// A language that pages are written in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Language {
    /// Chinese in simplified characters.
    Chinese,
    /// English, for everybody else.
    English,
}

impl Language {
    /// All languages that there are.
    pub const ALL: [Self; 2] = [Self::Chinese, Self::English];

    /// Returns its tag (BCP 47), for `lang` attributes.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh-CN",
            Self::English => "en",
        }
    }

    /// Returns its name in paths and in the cookie.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chinese => "zh",
            Self::English => "en",
        }
    }

    /// Returns what it calls itself.
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::Chinese => "中文",
            Self::English => "English",
        }
    }

    /// Returns the language of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.name() == name)
    }

    /// Returns the language that a path begins with, and the rest of the path.
    pub fn of_path(uri: &Uri) -> Option<(Self, &str)> {
        let path = uri.path().strip_prefix('/')?;
        let (name, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        Some((Self::from_name(name)?, rest))
    }

    /// Returns the language that the visitor chose or, without a choice, whose browser asks for first.
    pub fn preferred(headers: &HeaderMap, place: Place<'_>) -> Self {
        LANGUAGE
            .read(headers, place)
            .and_then(Self::from_name)
            .or_else(|| Self::accepted(headers))
            .unwrap_or(Self::English)
    }

    /// Returns the language of the request's path, or else the visitor's.
    pub fn of_request(headers: &HeaderMap, uri: &Uri, place: Place<'_>) -> Self {
        Self::of_path(uri).map_or_else(|| Self::preferred(headers, place), |(language, _)| language)
    }

    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|line| line.to_str().ok());
        let mut best: Option<(Self, u16)> = None;
        for range in lines.flat_map(|line| line.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let Some(language) = Self::of_range(tag) else { continue };
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1_000, weight);
            if weight > best.map_or(0, |(_, weight)| weight) {
                best = Some((language, weight));
            }
        }
        best.map(|(language, _)| language)
    }

    fn of_range(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| language.name().eq_ignore_ascii_case(primary))
    }
}

/// Returns a weight of `Accept-Language` in thousandths; 0 if it is none.
fn weight(text: &str) -> u16 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_weight = matches!(whole, "0" | "1") && part.len() <= 3;
    let Some(part) = is_weight.then(|| format!("{part:0<3}").parse::<u16>().ok()).flatten() else {
        return 0;
    };
    if whole == "1" { 1_000 } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{COOKIE, HeaderValue};

    const PLACE: Place<'_> = Place { is_secure: false, authority: "localhost:8080" };

    #[test]
    fn the_choice_counts_before_the_browsers_wish() {
        for (accept, cookie, expected) in [
            ("", "", Language::English),
            ("zh-CN,zh;q=0.9,en;q=0.8", "", Language::Chinese),
            ("fr, en;q=0.7, zh;q=0.71", "", Language::Chinese),
            ("en-GB;q=0.5, zh;q=0.5", "", Language::English),
            ("zh;q=0, en;q=0.001", "", Language::English),
            ("zh;q=7", "", Language::English),
            ("ZH-hant", "", Language::Chinese),
            ("fr", "", Language::English),
            ("en", "seckill_8080_language=zh", Language::Chinese),
            ("zh", "seckill_8080_language=fr", Language::Chinese),
            ("en", "seckill_8081_language=zh", Language::English),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(accept));
            headers.insert(COOKIE, HeaderValue::from_static(cookie));
            assert_eq!(Language::preferred(&headers, PLACE), expected, "{accept:?} {cookie:?}");
        }
    }

    #[test]
    fn a_path_begins_with_its_language() {
        for (path, expected) in [
            ("/zh/", Some((Language::Chinese, "/"))),
            ("/en/items/7", Some((Language::English, "/items/7"))),
            ("/en", Some((Language::English, ""))),
            ("/english/", None),
            ("/", None),
        ] {
            assert_eq!(Language::of_path(&Uri::from_static(path)), expected, "{path}");
        }
    }
}
