//! The users' tokens: JSON web tokens signed with HS256, verified as a peer's own users
//! would. The comparison can also sign its own, for contenders without the engine.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::{Error, Result};

const VALID_FOR: Duration = Duration::from_secs(24 * 3600);
/// The header of every token: `{"alg":"HS256","typ":"JWT"}`
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// Verifies the tokens that the engine signed.
#[derive(Clone)]
pub struct Verifier {
    keyed: Hmac<Sha256>,
}

#[derive(Deserialize)]
struct TokenClaims<'a> {
    sub: &'a str,
    exp: u64,
}

impl Verifier {
    /// A verifier with this secret.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self { keyed: Hmac::new_from_slice(secret).expect("any length is a key") }
    }

    /// A verifier with the secret in a file.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let secret =
            std::fs::read(path).map_err(Error::io(format!("reading {}", path.display())))?;
        Ok(Self::new(&secret))
    }

    /// The user of a token that is signed, well formed and not expired.
    #[must_use]
    pub fn user(&self, token: &str) -> Option<u64> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (_, payload) = signed.split_once('.')?;
        let mut given = [0_u8; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut given).ok()?;
        let mut mac = self.keyed.clone();
        mac.update(signed.as_bytes());
        mac.verify_slice(given.get(..length)?).ok()?;
        let claims = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let claims: TokenClaims<'_> = serde_json::from_slice(&claims).ok()?;
        if claims.exp <= now() { None } else { claims.sub.parse().ok() }
    }

    /// A line as `seckill mint` prints it, for a user of this number.
    #[must_use]
    pub fn mint(&self, user: u64) -> String {
        let issued = now();
        let expires = issued + VALID_FOR.as_secs();
        let claims = format!(r#"{{"sub":"{user}","role":"buyer","exp":{expires},"iat":{issued}}}"#);
        let signed = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(claims));
        let mut mac = self.keyed.clone();
        mac.update(signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        format!(r#"{{"user_id":"{user}","token":"{signed}.{signature}"}}"#)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_signed_with_the_secret_is_believed() {
        let verifier = Verifier::new(b"secret");
        let line: serde_json::Value =
            serde_json::from_str(&verifier.mint(77)).expect("a minted line is JSON");
        let token = line["token"].as_str().expect("a token");
        assert_eq!(verifier.user(token), Some(77));
        assert_eq!(Verifier::new(b"other").user(token), None);
        assert_eq!(verifier.user(&token[..token.len() - 1]), None);
        assert_eq!(verifier.user("a.b.c"), None);
    }
}
