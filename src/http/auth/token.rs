//! Tokens: who calls. Compact JWS with HMAC-SHA-256, and nothing else: the header is compared with
//! the one that is written here, so that no token chooses its own algorithm.
//!
//! Every purchase verifies one, which allocates nothing for a buyer. Must not know HTTP, nor where
//! the secret is kept.

use super::operator_name;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{OperatorRole, OperatorRoles, Timestamp, UserId};
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
/// How long a buyer may be logged in without giving the password again.
pub const SESSION_SECONDS_MAX: u64 = 12 * 3_600;
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
    /// Gives and takes the accounts of operators, and changes rules and settings.
    Admin,
}

/// Who calls, from a verified token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Principal {
    /// A buyer, by its identity.
    Buyer(UserId),
    /// An operator, by name.
    Operator {
        /// The operator's name, as the audit log has it.
        name: String,
        /// What this one may do.
        roles: OperatorRoles,
        /// When the token was made, in whole seconds.
        issued_at: Timestamp,
    },
}

/// What a verified token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// Who calls, as the token says.
    pub principal: Principal,
    /// When the token was made, in whole seconds.
    pub issued_at: Timestamp,
    /// The first instant at which it is no longer good.
    pub expires_at: Timestamp,
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
    /// When the password was given, in a token that was renewed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
}

/// A token that goes on from another one.
#[derive(Clone, PartialEq, Eq)]
pub struct Renewed {
    /// The token to go on with.
    pub token: String,
    /// The first instant at which it is no longer good.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Renewed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Renewed")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Signs tokens and verifies them. Holds the secret only in the hash's keyed state.
#[derive(Clone)]
pub struct Signer {
    key: hmac::Key,
    /// What was signed with the secret before still counts.
    previous: Option<Box<Signer>>,
}

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
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), previous: None })
    }

    /// Makes it accept what was signed with this secret before, too.
    ///
    /// # Errors
    /// Returns [`SecretTooShort`] if the secret has fewer than 32 bytes.
    pub fn with_previous(self, secret: &[u8]) -> Result<Self, SecretTooShort> {
        let previous = Some(Box::new(Self::new(secret)?));
        Ok(Self { previous, ..self })
    }

    /// Returns the signer of the secret before, if there is one.
    pub fn previous(&self) -> Option<&Self> {
        self.previous.as_deref()
    }

    /// Returns a key for another purpose, which the parts name together. The first of them must tell the
    /// purposes apart, and must not begin as a token does.
    pub fn derive(&self, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(part);
        }
        let mut derived = [0; SIGNATURE_BYTES];
        derived.copy_from_slice(context.sign().as_ref());
        derived
    }

    /// Makes a token for `subject`, a buyer's identity or an operator's name, that is valid for
    /// `lifetime_seconds`.
    pub fn mint(&self, subject: &str, role: Role, now: Timestamp, lifetime_seconds: u64) -> String {
        let issued_at = now.0 / 1000;
        let expires_at = issued_at.saturating_add(lifetime_seconds);
        self.sign(&TokenClaims {
            sub: subject,
            role,
            exp: expires_at,
            iat: issued_at,
            auth_time: None,
        })
    }

    /// Makes a token as [`Self::mint`] does, of a session that cannot be renewed beyond `ends_at_seconds`
    /// since 1970, because what it was got for ends then.
    pub fn mint_within(
        &self,
        subject: &str,
        role: Role,
        now: Timestamp,
        lifetime_seconds: u64,
        ends_at_seconds: u64,
    ) -> String {
        let issued_at = now.0 / 1000;
        let expires_at = issued_at.saturating_add(lifetime_seconds).min(ends_at_seconds);
        // As if the password had been given so long ago that twelve hours end then.
        let began_at = issued_at.min(ends_at_seconds.saturating_sub(SESSION_SECONDS_MAX));
        self.sign(&TokenClaims {
            sub: subject,
            role,
            exp: expires_at,
            iat: issued_at,
            auth_time: Some(began_at),
        })
    }

    fn sign(&self, claims: &TokenClaims<'_>) -> String {
        // Text and numbers always have a JSON form.
        let claims = serde_json::to_vec(claims).unwrap_or_default();
        let mut token = String::with_capacity(HEADER.len() + claims.len() * 4 / 3 + 48);
        token.push_str(HEADER);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&claims, &mut token);
        let signature = hmac::sign(&self.key, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// Whether the token has the header of those that are made here, so that nobody else can have made it
    /// for this shop.
    pub fn is_of_this_shop(token: &str) -> bool {
        token.strip_prefix(HEADER).is_some_and(|rest| rest.starts_with('.'))
    }

    /// Returns `text` and a MAC over it, in characters that a URL and a cookie can hold. It proves nothing
    /// beyond that this secret's holder made it for `purpose`, so expiry and use are up to the text.
    pub fn seal(&self, purpose: &str, text: &str) -> String {
        let mac = self.mac(purpose, text);
        format!("{}.{}", URL_SAFE_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(mac))
    }

    /// Returns the text that was sealed for `purpose`, if `sealed` is what [`Self::seal`] makes of it.
    pub fn open(&self, purpose: &str, sealed: &str) -> Option<String> {
        if sealed.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (text, mac) = sealed.split_once('.')?;
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        let signed = Self::sealed_bytes(purpose, &text);
        let mut signers = [Some(self), self.previous.as_deref()].into_iter().flatten();
        signers.any(|signer| hmac::verify(&signer.key, &signed, &mac).is_ok()).then_some(text)
    }

    fn mac(&self, purpose: &str, text: &str) -> hmac::Tag {
        hmac::sign(&self.key, &Self::sealed_bytes(purpose, text))
    }

    /// What is signed: no token begins with a purpose, because a token begins with its header.
    fn sealed_bytes(purpose: &str, text: &str) -> Vec<u8> {
        [purpose.as_bytes(), b"\0", text.as_bytes()].concat()
    }

    /// Returns who the bearer of `token` is at `now`.
    ///
    /// # Errors
    /// Returns [`TokenError`] if the token was not made with this secret or has expired.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, TokenError> {
        self.read(token, now).map(|verified| verified.principal)
    }

    /// Returns what `token` says at `now`.
    ///
    /// # Errors
    /// Returns [`TokenError`] as [`Self::verify`] does.
    pub fn read(&self, token: &str, now: Timestamp) -> Result<Verified, TokenError> {
        let mut bytes = [0; TOKEN_BYTES_MAX];
        let claims = self.claims(token, now, &mut bytes)?;
        Ok(Verified {
            principal: principal(&claims)?,
            issued_at: Timestamp(claims.iat.saturating_mul(1000)),
            expires_at: Timestamp(claims.exp.saturating_mul(1000)),
        })
    }

    /// Returns a token for the same buyer that is valid for `lifetime_seconds` from `now`, though never
    /// beyond twelve hours from when the password was given. A token of which more than half that time is
    /// left, or which cannot be valid for longer, is returned as it is.
    ///
    /// # Errors
    /// Returns [`TokenError`] if the token was not made with this secret, has expired, or is an
    /// operator's.
    pub fn renew(
        &self,
        token: &str,
        now: Timestamp,
        lifetime_seconds: u64,
    ) -> Result<Renewed, TokenError> {
        let mut bytes = [0; TOKEN_BYTES_MAX];
        let claims = self.claims(token, now, &mut bytes)?;
        if claims.role != Role::Buyer {
            return Err(TokenError::Invalid);
        }
        let issued_at = now.0 / 1000;
        let began_at = claims.auth_time.unwrap_or(claims.iat);
        let exp = issued_at
            .saturating_add(lifetime_seconds)
            .min(began_at.saturating_add(SESSION_SECONDS_MAX));
        let is_young = claims.exp - issued_at > lifetime_seconds / 2;
        let renewed = TokenClaims { exp, iat: issued_at, auth_time: Some(began_at), ..claims };
        let (token, exp) = if is_young || exp <= claims.exp {
            (token.to_owned(), claims.exp)
        } else {
            (self.sign(&renewed), exp)
        };
        Ok(Renewed { token, expires_at: Timestamp(exp.saturating_mul(1000)) })
    }

    /// Returns what the token says, read into `bytes`.
    fn claims<'a>(
        &self,
        token: &str,
        now: Timestamp,
        bytes: &'a mut [u8; TOKEN_BYTES_MAX],
    ) -> Result<TokenClaims<'a>, TokenError> {
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
        let is_of = |signer: &Self| hmac::verify(&signer.key, signed, &signature_bytes).is_ok();
        if !is_of(self) && !self.previous().is_some_and(is_of) {
            return Err(TokenError::Invalid);
        }

        let length = URL_SAFE_NO_PAD
            .decode_slice(claims, bytes.as_mut_slice())
            .map_err(|_| TokenError::Invalid)?;
        let claims: TokenClaims<'_> =
            serde_json::from_slice(&bytes[..length]).map_err(|_| TokenError::Invalid)?;
        if now.0 / 1000 >= claims.exp {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}

fn principal(claims: &TokenClaims<'_>) -> Result<Principal, TokenError> {
    let role = match claims.role {
        Role::Buyer => {
            return claims.sub.parse().map(Principal::Buyer).map_err(|_| TokenError::Invalid);
        }
        Role::Operator => OperatorRole::Operator,
        Role::Approver => OperatorRole::Approver,
        Role::Admin => OperatorRole::Admin,
    };
    let name = operator_name::canonical(claims.sub).map_err(|_| TokenError::Invalid)?;
    let issued_at = Timestamp(claims.iat.saturating_mul(1000));
    Ok(Principal::Operator { name, roles: role.into(), issued_at })
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
        for (role, roles) in [
            (Role::Operator, OperatorRole::Operator),
            (Role::Approver, OperatorRole::Approver),
            (Role::Admin, OperatorRole::Admin),
        ] {
            let token = signer.mint("王 \"Wei\"", role, NOW, 60);
            // An escaped name cannot be borrowed, so names with quotes are refused.
            assert_eq!(signer.verify(&token, NOW), Err(TokenError::Invalid));
            let token = signer.mint("王伟", role, NOW, 60);
            let name = "王伟".to_owned();
            let expected = Principal::Operator { name, roles: roles.into(), issued_at: NOW };
            assert_eq!(signer.verify(&token, NOW), Ok(expected));
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
    fn what_is_sealed_is_opened_for_its_purpose_alone() {
        let signer = signer(7);
        let sealed = signer.seal("link", "eva|operator|1");
        assert_eq!(signer.open("link", &sealed).as_deref(), Some("eva|operator|1"));
        assert_eq!(signer.open("session", &sealed), None);
        assert_eq!(super::tests::signer(8).open("link", &sealed), None);
        assert_eq!(signer.verify(&sealed, NOW), Err(TokenError::Invalid));
        let token = signer.mint("123", Role::Buyer, NOW, 60);
        assert_eq!(signer.open("link", &token), None);
        for place in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(signer.open("link", &forged), None, "byte {place}");
        }
        assert_eq!(signer.open("link", &"A".repeat(10_000)), None);
    }

    #[test]
    fn the_secret_of_before_still_verifies_and_signs_no_more() {
        let old = signer(7).mint("123", Role::Buyer, NOW, 60);
        let renewed = signer(8).with_previous(&[7; 32]).unwrap();
        assert_eq!(renewed.verify(&old, NOW), Ok(Principal::Buyer(UserId(123))));
        let new = renewed.mint("123", Role::Buyer, NOW, 60);
        assert_eq!(signer(7).verify(&new, NOW), Err(TokenError::Invalid));
        assert_eq!(
            renewed.verify(&signer(9).mint("1", Role::Buyer, NOW, 60), NOW),
            Err(TokenError::Invalid)
        );
        assert_ne!(renewed.derive(&[b"a", b"b"]), renewed.derive(&[b"a", b"c"]));
        assert_ne!(renewed.derive(&[b"a"]), signer(7).derive(&[b"a"]));
        assert_eq!(renewed.with_previous(&[1; 31]).err(), Some(SecretTooShort));
    }

    #[test]
    fn a_token_is_renewed_in_its_second_half_and_for_twelve_hours_at_most() {
        let signer = signer(7);
        let first = signer.mint("123", Role::Buyer, NOW, 3_600);
        let early = signer.renew(&first, NOW.plus_milliseconds(1_799_000), 3_600).unwrap();
        assert_eq!(early.token, first);
        let (mut token, mut now, mut renewals) = (first, NOW, 0);
        let end = loop {
            now = now.plus_milliseconds(1_800_000);
            let renewed = signer.renew(&token, now, 3_600).unwrap();
            if renewed.token == token {
                break renewed.expires_at;
            }
            assert_eq!(signer.verify(&renewed.token, now), Ok(Principal::Buyer(UserId(123))));
            (token, renewals) = (renewed.token, renewals + 1);
        };
        assert_eq!((end.0 - NOW.0, renewals), (12 * 3_600_000, 22));
        assert_eq!(signer.renew(&token, end, 3_600).err(), Some(TokenError::Expired));
        let operator = signer.mint("ann", Role::Operator, NOW, 60);
        let refused = signer.renew(&operator, NOW.plus_milliseconds(50_000), 60);
        assert_eq!(refused.err(), Some(TokenError::Invalid));
    }

    #[test]
    fn a_session_that_was_got_for_another_token_is_not_renewed_beyond_it() {
        let signer = signer(7);
        let seconds = NOW.0 / 1000;
        for (ends_in, first, last) in
            [(600, 600, 600), (7_200, 3_600, 7_200), (90_000, 3_600, 43_200)]
        {
            let ends_at = seconds + ends_in;
            let mut token = signer.mint_within("123", Role::Buyer, NOW, 3_600, ends_at);
            let mut end = NOW.plus_milliseconds(first * 1000);
            assert!(signer.verify(&token, Timestamp(end.0 - 1)).is_ok(), "{ends_in}");
            assert_eq!(signer.verify(&token, end), Err(TokenError::Expired), "{ends_in}");
            while let Ok(renewed) = signer.renew(&token, Timestamp(end.0 - 1000), 3_600) {
                if renewed.expires_at == end {
                    break;
                }
                (token, end) = (renewed.token, renewed.expires_at);
            }
            assert_eq!(end.0 - NOW.0, last * 1000, "{ends_in}");
        }
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert_eq!(Signer::new(&[1; 31]).err(), Some(SecretTooShort));
    }
}
