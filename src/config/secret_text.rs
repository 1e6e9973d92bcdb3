//! A text that is never shown: a key or a password.

use super::declare::Rule;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A secret text. Debug, display and serialised forms show nothing of it.
#[derive(Clone)]
pub struct SecretText(SecretString);

impl SecretText {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text, still wrapped, for the part that needs it.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl SecretText {
    /// The bytes of a secret that webhooks are signed with, if it is one: `whsec_` and 24 to 64 bytes in base64.
    pub fn webhook_key(&self) -> Option<Vec<u8>> {
        let text = self.0.expose_secret().strip_prefix("whsec_")?;
        let bytes = STANDARD.decode(text).ok()?;
        (24..=64).contains(&bytes.len()).then_some(bytes)
    }
}

impl fmt::Display for SecretText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// A secret of 32 bytes as 64 hexadecimal digits; may be unset.
pub struct SecretDigits;

impl Rule<Option<SecretText>> for SecretDigits {
    fn allows(&self, value: &Option<SecretText>) -> bool {
        value.as_ref().is_none_or(|text| {
            let text = text.secret().expose_secret();
            text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
        })
    }

    fn words(&self) -> String {
        "64 hexadecimal digits, as `openssl rand -hex 32` prints them".to_owned()
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// A secret that somebody else made; may be unset.
pub struct SecretOfOthers;

impl Rule<Option<SecretText>> for SecretOfOthers {
    fn allows(&self, value: &Option<SecretText>) -> bool {
        value.as_ref().is_none_or(|text| {
            let text = text.secret().expose_secret();
            (1..=512).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        })
    }

    fn words(&self) -> String {
        "1 to 512 visible ASCII characters".to_owned()
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// A secret that webhooks are signed with; may be unset.
pub struct SecretOfWebhooks;

impl Rule<Option<SecretText>> for SecretOfWebhooks {
    fn allows(&self, value: &Option<SecretText>) -> bool {
        value.as_ref().is_none_or(|text| text.webhook_key().is_some())
    }

    fn words(&self) -> String {
        "whsec_ and 24 to 64 bytes in base64, such as `echo whsec_$(openssl rand -base64 32)` prints".to_owned()
    }

    fn is_secret(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_are_signed_with_enough_bytes_in_base64() {
        let key = |text: &str| SecretText::new(text).webhook_key();
        assert_eq!(key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").map(|key| key.len()), Some(24));
        for wrong in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8G", "whsec_?"]
        {
            assert_eq!(key(wrong), None, "{wrong}");
            assert!(!SecretOfWebhooks.allows(&Some(SecretText::new(wrong))), "{wrong}");
        }
        assert!(SecretOfWebhooks.allows(&None));
    }

    #[test]
    fn no_form_shows_it_and_only_digits_are_taken() {
        let digits = "0123456789abcdefABCDEF0123456789".repeat(2);
        let secret = SecretText::new(digits.clone());
        assert_eq!((secret.to_string(), format!("{secret:?}")), ("***".into(), "***".into()));
        assert_eq!(serde_json::json!(secret), "***");
        let check = |text: &str| SecretDigits.allows(&Some(SecretText::new(text)));
        assert!(check(&digits) && SecretDigits.allows(&None));
        for wrong in ["", "hunter2", &digits[1..], &format!("{digits}0"), &"g".repeat(64)] {
            assert!(!check(wrong), "{wrong}");
        }
    }
}
