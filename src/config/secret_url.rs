//! A URL that may hold a password, or several, of which only scheme, host and path are ever shown.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A server's URL. Debug, display and serialised forms leave out user, password and parameters.
#[derive(Clone)]
pub struct SecretUrl(SecretString);

impl SecretUrl {
    /// Wraps the URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self(SecretString::from(url.into()))
    }

    /// The URL, still wrapped, for the store that connects to it.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    /// The URL as text.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.expose().split_once("://") else {
            return formatter.write_str("***");
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        match rest.rsplit_once('@') {
            Some((_, place)) => write!(formatter, "{scheme}://***@{place}"),
            None => write!(formatter, "{scheme}://{rest}"),
        }
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl PartialEq for SecretUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Several servers' URLs, with spaces between them; shown as one by itself is.
#[derive(Clone, PartialEq)]
pub struct SecretUrls(Vec<SecretUrl>);

impl SecretUrls {
    /// Reads the URLs.
    pub fn new(urls: &str) -> Self {
        Self(urls.split_ascii_whitespace().map(SecretUrl::new).collect())
    }

    /// Each of them, in the order in which they were written.
    pub fn each(&self) -> &[SecretUrl] {
        &self.0
    }
}

impl fmt::Display for SecretUrls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, url) in self.0.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(formatter, "{space}{url}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SecretUrls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for SecretUrls {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretUrls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|urls| Self::new(&urls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_shows_the_password() {
        let check = |url: &str, shown: &str| {
            let url = SecretUrl::new(url);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(serde_json::json!(url), shown);
        };
        check("mysql://u:p@ss@db:3306/shop?ssl-key=x", "mysql://***@db:3306/shop");
        check("redis://cache:6379/0", "redis://cache:6379/0");
        check("redis://cache?password=p", "redis://cache");
        check("hunter2", "***");
        let several = SecretUrls::new(" mysql://u:p@a/shop  mysql://b/shop\n");
        assert_eq!(several.to_string(), "mysql://***@a/shop mysql://b/shop");
        assert_eq!(several.each().len(), 2);
    }
}
