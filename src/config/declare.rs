//! The macro that declares a setting once: its key, type, default, rule and words.
//!
//! Owns the macro and the rules. Must not know any particular setting.

use super::secret_url::{SecretUrl, SecretUrls};
use super::texts::is_place;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What values a setting may have, beyond its type.
pub trait Rule<T> {
    /// Whether the value is allowed.
    fn allows(&self, value: &T) -> bool;

    /// What is allowed, in words that complete "allowed is …".
    fn words(&self) -> String;

    /// The words that are allowed, if there are but a few.
    fn choices(&self) -> &'static [&'static str] {
        &[]
    }

    /// The least and the greatest number that is allowed, if it is one.
    fn bounds(&self) -> Option<(String, String)> {
        None
    }

    /// An example value, for a setting that is unset by default.
    fn example(&self) -> Option<&'static str> {
        None
    }

    /// Whether the value must never be shown, and may come from a file.
    fn is_secret(&self) -> bool {
        false
    }
}

/// Numbers from the first to the second, both included.
pub struct Within<T>(pub T, pub T);

impl<T: PartialOrd + Display> Rule<T> for Within<T> {
    fn allows(&self, value: &T) -> bool {
        *value >= self.0 && *value <= self.1
    }

    fn words(&self) -> String {
        format!("a whole number from {} to {}", self.0, self.1)
    }

    fn bounds(&self) -> Option<(String, String)> {
        Some((self.0.to_string(), self.1.to_string()))
    }
}

/// One of these words, which are all that the type has.
pub struct OneOf(pub &'static [&'static str]);

impl<T> Rule<T> for OneOf {
    fn allows(&self, _value: &T) -> bool {
        true
    }

    fn words(&self) -> String {
        let quoted: Vec<String> = self.0.iter().map(|word| format!("\"{word}\"")).collect();
        match quoted.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => quoted.concat(),
        }
    }

    fn choices(&self) -> &'static [&'static str] {
        self.0
    }
}

/// Every value of the type, described in these words.
pub struct AnyOf(pub &'static str);

impl<T> Rule<T> for AnyOf {
    fn allows(&self, _value: &T) -> bool {
        true
    }

    fn words(&self) -> String {
        self.0.to_owned()
    }
}

/// The values that the function accepts, described in these words.
pub struct Such<T>(pub fn(&T) -> bool, pub &'static str);

impl<T> Rule<T> for Such<T> {
    fn allows(&self, value: &T) -> bool {
        (self.0)(value)
    }

    fn words(&self) -> String {
        self.1.to_owned()
    }
}

/// A URL that may be unset, with one of these schemes and a host.
pub struct Url {
    /// The allowed schemes, without `://`.
    pub schemes: &'static [&'static str],
    /// What its path has to name, if anything.
    pub path_names: Option<&'static str>,
    /// Whether it may be empty, which is as if it were unset.
    pub or_empty: bool,
    /// An example of such a URL.
    pub example: &'static str,
}

impl Url {
    /// Whether it is such a URL.
    fn takes(&self, url: &SecretUrl) -> bool {
        if url.is_empty() {
            return self.or_empty;
        }
        let (scheme, rest) = url.expose().split_once("://").unwrap_or_default();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let place = authority.rsplit('@').next().unwrap_or_default();
        let path = rest[authority.len()..].split(['?', '#']).next().unwrap_or_default();
        let has_path = self.path_names.is_none() || path.len() > 1;
        let is_visible = !rest.contains(|any: char| any.is_whitespace() || any.is_control());
        self.schemes.contains(&scheme) && is_place(place) && has_path && is_visible
    }
}

impl Rule<Option<SecretUrl>> for Url {
    fn allows(&self, value: &Option<SecretUrl>) -> bool {
        value.as_ref().is_none_or(|url| self.takes(url))
    }

    fn words(&self) -> String {
        let schemes = self.schemes.join(":// or ");
        match self.path_names {
            None => format!("a URL that begins with {schemes}://"),
            Some(name) => {
                format!("a URL that begins with {schemes}:// and names {name} in its path")
            }
        }
    }

    fn example(&self) -> Option<&'static str> {
        Some(self.example)
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// Several such URLs that may be unset, each another one, with an example.
pub struct Urls(pub Url, pub u16, pub &'static str);

impl Rule<Option<SecretUrls>> for Urls {
    fn allows(&self, value: &Option<SecretUrls>) -> bool {
        value.as_ref().is_none_or(|urls| {
            let urls = urls.each();
            let is_new = |(place, url)| !urls[..place].contains(url);
            (1..=usize::from(self.1)).contains(&urls.len())
                && urls.iter().all(|url| self.0.takes(url))
                && urls.iter().enumerate().all(is_new)
        })
    }

    fn words(&self) -> String {
        let one = Rule::<Option<SecretUrl>>::words(&self.0);
        format!("1 to {} different URLs with spaces between them, each {one}", self.1)
    }

    fn example(&self) -> Option<&'static str> {
        Some(self.2)
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// A path that may be unset, with an example.
pub struct PathSuchAs(pub &'static str);

impl Rule<Option<PathBuf>> for PathSuchAs {
    fn allows(&self, value: &Option<PathBuf>) -> bool {
        value.as_ref().is_none_or(|path| !path.as_os_str().is_empty())
    }

    fn words(&self) -> String {
        "a path".to_owned()
    }

    fn example(&self) -> Option<&'static str> {
        Some(self.0)
    }
}

/// A text that may be unset, of those that the function accepts, with an example.
pub struct TextSuchAs(pub fn(&str) -> bool, pub &'static str, pub &'static str);

impl Rule<Option<String>> for TextSuchAs {
    fn allows(&self, value: &Option<String>) -> bool {
        value.as_ref().is_none_or(|text| (self.0)(text))
    }

    fn words(&self) -> String {
        self.1.to_owned()
    }

    fn example(&self) -> Option<&'static str> {
        Some(self.2)
    }
}

/// An origin that may be unset, with an example.
pub struct OriginSuchAs(pub &'static str);

impl Rule<Option<String>> for OriginSuchAs {
    fn allows(&self, value: &Option<String>) -> bool {
        value.as_deref().is_none_or(super::texts::is_origin)
    }

    fn words(&self) -> String {
        "an origin: scheme, host, and port if it has one, without a path".to_owned()
    }

    fn example(&self) -> Option<&'static str> {
        Some(self.0)
    }
}

/// An address to listen on that may be unset, with an example.
pub struct AddressSuchAs(pub &'static str);

impl Rule<Option<SocketAddr>> for AddressSuchAs {
    fn allows(&self, _value: &Option<SocketAddr>) -> bool {
        true
    }

    fn words(&self) -> String {
        "an address and a port".to_owned()
    }

    fn example(&self) -> Option<&'static str> {
        Some(self.0)
    }
}

/// A setting as declared.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The key within its section.
    pub key: &'static str,
    /// Its description, one element per line.
    pub doc: &'static [&'static str],
    /// What is allowed, in words.
    pub allowed: String,
    /// The words that are allowed, if there are but a few.
    pub choices: &'static [&'static str],
    /// The least and the greatest number that is allowed, if it is one.
    pub bounds: Option<(String, String)>,
    /// An example value; only settings that are unset by default have one.
    pub example: Option<&'static str>,
    /// Whether its value must never be shown, and may come from a file.
    pub is_secret: bool,
}

/// A section as declared.
#[derive(Clone, Debug)]
pub struct Section {
    /// The section's name.
    pub name: &'static str,
    /// Its description, one element per line.
    pub doc: &'static [&'static str],
    /// Its settings, in the order of their declaration.
    pub settings: Vec<Setting>,
}

/// Declares every section as a struct, the whole configuration, and the catalogue of all settings.
macro_rules! configuration {
    ($(
        $(#[doc = $section_doc:literal])*
        $section:ident: $Section:ident {$(
            $(#[doc = $doc:literal])*
            $key:ident: $type:ty = $default:expr, $rule:expr;
        )*}
    )*) => {
        $(
            $(#[doc = $section_doc])*
            #[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
            #[serde(deny_unknown_fields, default)]
            pub struct $Section {
                $($(#[doc = $doc])* pub $key: $type,)*
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($key: $default,)* }
                }
            }
        )*

        /// The whole configuration, with one field per section.
        #[derive(Clone, Default, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Config {
            $($(#[doc = $section_doc])* pub $section: $Section,)*
        }

        impl Config {
            /// Every section and setting, as declared.
            pub fn catalogue() -> Vec<$crate::config::declare::Section> {
                use $crate::config::declare::{Rule, Section, Setting};
                vec![$(Section {
                    name: stringify!($section),
                    doc: &[$($section_doc),*],
                    settings: vec![$({
                        let rule: &dyn Rule<$type> = &$rule;
                        Setting {
                            key: stringify!($key),
                            doc: &[$($doc),*],
                            allowed: rule.words(),
                            choices: rule.choices(),
                            bounds: rule.bounds(),
                            example: rule.example(),
                            is_secret: rule.is_secret(),
                        }
                    }),*],
                }),*]
            }

            /// Returns the setting's value as JSON; none if it is no setting, or a secret.
            pub fn json(&self, section: &str, key: &str) -> Option<serde_json::Value> {
                use $crate::config::declare::Rule;
                match (section, key) {
                    $($(
                        (stringify!($section), stringify!($key)) => {
                            let rule: &dyn Rule<$type> = &$rule;
                            if rule.is_secret() {
                                return None;
                            }
                            serde_json::to_value(&self.$section.$key).ok()
                        }
                    )*)*
                    _ => None,
                }
            }

            /// Sets the setting to a JSON value. Returns false, and changes nothing, if there is no such
            /// setting or the value is not allowed by its rule.
            pub fn set_json(&mut self, section: &str, key: &str, value: serde_json::Value) -> bool {
                use $crate::config::declare::Rule;
                match (section, key) {
                    $($(
                        (stringify!($section), stringify!($key)) => {
                            let rule: &dyn Rule<$type> = &$rule;
                            let Ok(value) = serde_json::from_value::<$type>(value) else {
                                return false;
                            };
                            let is_allowed = rule.allows(&value);
                            if is_allowed {
                                self.$section.$key = value;
                            }
                            is_allowed
                        }
                    )*)*
                    _ => false,
                }
            }

            /// Whether the setting has another value there; false if there is no such setting.
            pub fn differs(&self, other: &Self, section: &str, key: &str) -> bool {
                match (section, key) {
                    $($(
                        (stringify!($section), stringify!($key)) => {
                            self.$section.$key != other.$section.$key
                        }
                    )*)*
                    _ => false,
                }
            }

            /// Whether the setting's value is allowed by its rule.
            pub(super) fn is_allowed(&self, section: &str, key: &str) -> bool {
                use $crate::config::declare::Rule;
                match (section, key) {
                    $($(
                        (stringify!($section), stringify!($key)) => {
                            let rule: &dyn Rule<$type> = &$rule;
                            rule.allows(&self.$section.$key)
                        }
                    )*)*
                    _ => false,
                }
            }
        }
    };
}

pub(super) use configuration;
