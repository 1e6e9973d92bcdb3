//! Tokens: who calls. Compact JWS with HMAC-SHA-256, and nothing else: the header is compared with
//! the one that is written here, so that no token chooses its own algorithm.
//!
//! Every purchase verifies one, which allocates nothing for a buyer. Must not know HTTP, nor where
//! the secret is kept.

use super::operator_name;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Timestamp, UserId};
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::fmt;

/// `{"alg":"HS256","typ":"JWT"}` in base64url.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
/// The longest token that is verified, in bytes.
const TOKEN_BYTES_MAX: usize = 512;
const SIGNATURE_BYTES: usize = 32;
const SIGNATURE_TEXT_BYTES: usize = 43;
/// The shortest secret in bytes: as long as the hash, as RFC 7518 section 3.2 asks.
pub const SECRET_BYTES_MIN: usize = 32;
/// What the bearer of a token may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Buys, and sees the own orders.
    Buyer,
    /// Writes and runs sales.
    Operator,
    /// Is an operator who may also approve sales that another one submitted.
    Approver,
}

/// Who calls, from a verified token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Principal {
    /// A buyer, by its identity.
    Buyer(UserId),
    /// An operator, who may be an approver.
    Operator {
        /// The operator's name, as the audit log has it.
        name: String,
        /// Whether this one may approve sales.
        may_approve: bool,
    },
}

/// Why a token was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// It is not of the form that this server makes, or its signature is wrong.
    #[error("the token is not valid")]
    Invalid,
    /// It was valid until its expiry.
    #[error("the token has expired")]
    Expired,
}

/// The secret is shorter than 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the signing secret is shorter than 32 bytes")]
pub struct SecretTooShort;

/// The JWT claims of a token.
#[derive(Serialize, Deserialize)]
struct TokenClaims<'a> {
    sub: &'a str,
    role: Role,
    exp: u64,
    iat: u64,
}

/// Signs tokens and verifies them. Holds the secret only in the hash's keyed state.
#[derive(Clone)]
pub struct Signer(hmac::Key);

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Signer")
    }
}

impl Signer {
    /// Makes a signer with this secret.
    ///
    /// # Errors
    /// Returns [`SecretTooShort`] if the secret has fewer than 32 bytes.
    pub fn new(secret: &[u8]) -> Result<Self, SecretTooShort> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(SecretTooShort);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// Makes a token for `subject`, a buyer's identity or an operator's name, that is valid for
    /// `lifetime_seconds`.
    pub fn mint(&self, subject: &str, role: Role, now: Timestamp, lifetime_seconds: u64) -> String {
        let issued_at = now.0 / 1000;
        let expires_at = issued_at.saturating_add(lifetime_seconds);
        let claims = TokenClaims { sub: subject, role, exp: expires_at, iat: issued_at };
        // Text and numbers always have a JSON form.
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let mut token = String::with_capacity(HEADER.len() + claims.len() * 4 / 3 + 48);
        token.push_str(HEADER);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&claims, &mut token);
        let signature = hmac::sign(&self.0, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// Returns who the bearer of `token` is at `now`.
    ///
    /// # Errors
    /// Returns [`TokenError`] if the token was not made with this secret or has expired.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, TokenError> {
        let token = token.as_bytes();
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let (signed, signature) = token
            .len()
            .checked_sub(SIGNATURE_TEXT_BYTES + 1)
            .and_then(|end| token.split_at_checked(end))
            .ok_or(TokenError::Invalid)?;
        let signature = signature.strip_prefix(b".").ok_or(TokenError::Invalid)?;
        let claims = signed
            .strip_prefix(HEADER.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"."))
            .ok_or(TokenError::Invalid)?;

        let mut signature_bytes = [0; SIGNATURE_BYTES];
        match URL_SAFE_NO_PAD.decode_slice(signature, &mut signature_bytes) {
            Ok(SIGNATURE_BYTES) => {}
            _ => return Err(TokenError::Invalid),
        }
        hmac::verify(&self.0, signed, &signature_bytes).map_err(|_| TokenError::Invalid)?;

        let mut claims_bytes = [0; TOKEN_BYTES_MAX];
        let length = URL_SAFE_NO_PAD
            .decode_slice(claims, &mut claims_bytes)
            .map_err(|_| TokenError::Invalid)?;
        let claims: TokenClaims<'_> =
            serde_json::from_slice(&claims_bytes[..length]).map_err(|_| TokenError::Invalid)?;
        if now.0 / 1000 >= claims.exp {
            return Err(TokenError::Expired);
        }
        principal(claims.sub, claims.role)
    }
}

fn principal(subject: &str, role: Role) -> Result<Principal, TokenError> {
    match role {
        Role::Buyer => subject.parse().map(Principal::Buyer).map_err(|_| TokenError::Invalid),
        Role::Operator | Role::Approver => {
            let name = operator_name::canonical(subject).map_err(|_| TokenError::Invalid)?;
            Ok(Principal::Operator { name, may_approve: role == Role::Approver })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn signer(byte: u8) -> Signer {
        Signer::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn a_token_names_its_bearer_until_it_expires() {
        let signer = signer(7);
        let token = signer.mint("123", Role::Buyer, NOW, 60);
        assert_eq!(signer.verify(&token, NOW), Ok(Principal::Buyer(UserId(123))));
        let last = NOW.plus_milliseconds(59_999);
        assert_eq!(signer.verify(&token, last), Ok(Principal::Buyer(UserId(123))));
        let over = NOW.plus_milliseconds(60_000);
        assert_eq!(signer.verify(&token, over), Err(TokenError::Expired));
    }

    #[test]
    fn operators_have_names_and_approvers_may_approve() {
        let signer = signer(7);
        for (role, may_approve) in [(Role::Operator, false), (Role::Approver, true)] {
            let token = signer.mint("王 \"Wei\"", role, NOW, 60);
            // An escaped name cannot be borrowed, so names with quotes are refused.
            assert_eq!(signer.verify(&token, NOW), Err(TokenError::Invalid));
            let token = signer.mint("王伟", role, NOW, 60);
            let name = "王伟".to_owned();
            assert_eq!(signer.verify(&token, NOW), Ok(Principal::Operator { name, may_approve }));
        }
    }

    #[test]
    fn the_form_is_the_one_that_others_read() {
        // As RFC 7515 has it, by hand: header, claims and a MAC over both.
        let token = signer(7).mint("1", Role::Buyer, Timestamp(1_000), 1);
        let mut parts = token.split('.');
        let mut decode = || URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
        assert_eq!(decode(), br#"{"alg":"HS256","typ":"JWT"}"#);
        assert_eq!(decode(), br#"{"sub":"1","role":"buyer","exp":2,"iat":1}"#);
        assert_eq!(decode().len(), 32);
    }

    #[test]
    fn a_token_with_any_byte_changed_is_refused() {
        let signer = signer(7);
        let token = signer.mint("123", Role::Buyer, NOW, 60);
        for place in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(signer.verify(&forged, NOW), Err(TokenError::Invalid), "byte {place}");
            assert_eq!(signer.verify(&token[..place], NOW), Err(TokenError::Invalid));
        }
        assert_eq!(super::tests::signer(8).verify(&token, NOW), Err(TokenError::Invalid));
        assert_eq!(signer.verify(&"A".repeat(10_000), NOW), Err(TokenError::Invalid));
    }

    #[test]
    fn a_token_cannot_choose_its_algorithm() {
        let signer = signer(7);
        let token = signer.mint("123", Role::Buyer, NOW, 60);
        let (_, rest) = token.split_once('.').unwrap();
        for header in [r#"{"alg":"none"}"#, r#"{"typ":"JWT","alg":"HS256"}"#] {
            let header = URL_SAFE_NO_PAD.encode(header);
            let forged = format!("{header}.{rest}");
            assert_eq!(signer.verify(&forged, NOW), Err(TokenError::Invalid));
        }
        let claims = rest.split_once('.').unwrap().0;
        let unsigned = format!("{HEADER}.{claims}.");
        assert_eq!(signer.verify(&unsigned, NOW), Err(TokenError::Invalid));
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert_eq!(Signer::new(&[1; 31]).err(), Some(SecretTooShort));
    }
}
