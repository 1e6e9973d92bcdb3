//! How the shop proves to others that it calls, and they to it: signatures as the Standard Webhooks specification has
//! them (<https://www.standardwebhooks.com>), for which most languages have a library.
//!
//! ```text
//! webhook-id: 385085134191251456-1
//! webhook-timestamp: 1790000000
//! webhook-signature: v1,<base64 of HMAC-SHA-256 over id.timestamp.body>
//! ```
//!
//! Must not know what is signed, nor where the secret is kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use hyper::HeaderMap;
use hyper::header::HeaderName;
use ring::hmac;
use std::fmt;

/// The header that names a message.
pub static WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// The header that says when a message was signed, in whole seconds since 1970.
pub static WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The header with the signatures, of which one has to be right.
pub static WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// How far apart the clocks of both sides may be, and how long a message may be under way, in seconds.
pub const TOLERANCE_SECONDS: u64 = 300;
/// The longest name of a message, in bytes.
const ID_BYTES_MAX: usize = 256;
/// Signatures of one message that are looked at. A sender that changes its secret sends two.
const SIGNATURES_MAX: usize = 8;
/// What a signature of this scheme begins with.
const SCHEME: &str = "v1,";

/// Why a message is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotBelieved {
    /// One of the three headers is missing, or there are several of it, or it is not what it has to be.
    #[error("webhook-id, webhook-timestamp and webhook-signature are needed, each once")]
    Unsigned,
    /// It was signed too long ago, or will be.
    #[error("webhook-timestamp is more than five minutes from now")]
    OutOfTime,
    /// No signature is one of the secret's.
    #[error("no signature in webhook-signature is the secret's")]
    WrongSignature,
}

/// What the text of a secret begins with.
const SECRET_PREFIX: &str = "whsec_";

/// Returns the text of a secret of these bytes, as libraries take it.
pub fn secret_text(bytes: &[u8]) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes))
}

/// The secret that both sides share, and the one of before.
#[derive(Clone)]
pub struct SharedSecret {
    current: hmac::Key,
    previous: Option<hmac::Key>,
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SharedSecret")
    }
}

impl SharedSecret {
    /// Makes the secret of these bytes. What was signed with `previous` is still believed.
    pub fn new(current: &[u8], previous: Option<&[u8]>) -> Self {
        let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
        Self { current: key(current), previous: previous.map(key) }
    }

    /// Returns the headers of a message that is sent now.
    pub fn headers(
        &self,
        id: &str,
        now: Timestamp,
        body: &[u8],
    ) -> [(&'static HeaderName, String); 3] {
        signed_headers(std::iter::once(&self.current), id, now, body)
    }

    /// Returns the headers of a message that is sent now, signed with the secret of before as well, if there
    /// is one, for a receiver that does not know the present one yet.
    pub fn headers_of_both(
        &self,
        id: &str,
        now: Timestamp,
        body: &[u8],
    ) -> [(&'static HeaderName, String); 3] {
        signed_headers(std::iter::once(&self.current).chain(&self.previous), id, now, body)
    }

    /// Checks that a message with these headers and this body was signed with the secret, within five minutes of
    /// `now`.
    ///
    /// # Errors
    /// Returns `NotBelieved` if it was not.
    pub fn verify(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
        body: &[u8],
    ) -> Result<(), NotBelieved> {
        let id = only(headers, &WEBHOOK_ID)?;
        let timestamp = only(headers, &WEBHOOK_TIMESTAMP)?;
        let signatures = only(headers, &WEBHOOK_SIGNATURE)?;
        if !(1..=ID_BYTES_MAX).contains(&id.len()) {
            return Err(NotBelieved::Unsigned);
        }
        let seconds: u64 = timestamp.parse().map_err(|_| NotBelieved::Unsigned)?;
        if seconds.abs_diff(now.0 / 1000) > TOLERANCE_SECONDS {
            return Err(NotBelieved::OutOfTime);
        }
        let message = signed(id, timestamp, body);
        let candidates = signatures.split(' ').filter_map(|text| text.strip_prefix(SCHEME));
        let mut tags =
            candidates.take(SIGNATURES_MAX).filter_map(|text| STANDARD.decode(text).ok());
        let is_ours = |tag: &[u8]| {
            let mut keys = std::iter::once(&self.current).chain(&self.previous);
            keys.any(|key| hmac::verify(key, &message, tag).is_ok())
        };
        if tags.any(|tag| is_ours(&tag)) { Ok(()) } else { Err(NotBelieved::WrongSignature) }
    }
}

/// The headers of a message that is signed with each of these.
fn signed_headers<'a>(
    keys: impl Iterator<Item = &'a hmac::Key>,
    id: &str,
    now: Timestamp,
    body: &[u8],
) -> [(&'static HeaderName, String); 3] {
    let timestamp = (now.0 / 1000).to_string();
    let message = signed(id, &timestamp, body);
    let sign = |key| format!("{SCHEME}{}", STANDARD.encode(hmac::sign(key, &message)));
    let signatures: Vec<String> = keys.map(sign).collect();
    [
        (&WEBHOOK_ID, id.to_owned()),
        (&WEBHOOK_TIMESTAMP, timestamp),
        (&WEBHOOK_SIGNATURE, signatures.join(" ")),
    ]
}

/// The bytes that are signed.
fn signed(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

/// The header's value if it is there once, in visible characters of ASCII.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, NotBelieved> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| NotBelieved::Unsigned),
        _ => Err(NotBelieved::Unsigned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    const NOW: Timestamp = Timestamp(1_614_265_330_000);
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn secret(text: &str) -> SharedSecret {
        SharedSecret::new(&STANDARD.decode(text).unwrap(), None)
    }

    /// The example of the specification's own libraries.
    fn example() -> (SharedSecret, HeaderMap) {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (&WEBHOOK_ID, "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            (&WEBHOOK_TIMESTAMP, "1614265330"),
            (&WEBHOOK_SIGNATURE, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        (secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), headers)
    }

    #[test]
    fn a_message_is_believed_as_the_specification_signs_it() {
        let (secret, headers) = example();
        assert_eq!(secret.verify(&headers, NOW, BODY), Ok(()));
        let made = secret.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", NOW, BODY);
        for (name, value) in made {
            assert_eq!(headers[name], value.as_str());
        }
    }

    #[test]
    fn nothing_else_is_believed() {
        let (secret, headers) = example();
        let check = |change: &dyn Fn(&mut HeaderMap), now, body, expected| {
            let mut headers = headers.clone();
            change(&mut headers);
            assert_eq!(secret.verify(&headers, now, body), expected);
        };
        let unchanged = |_: &mut HeaderMap| {};
        let after = |seconds: u64| Timestamp(NOW.0 + seconds * 1000);
        check(&unchanged, after(TOLERANCE_SECONDS), BODY, Ok(()));
        check(&unchanged, after(TOLERANCE_SECONDS + 1), BODY, Err(NotBelieved::OutOfTime));
        let before = Timestamp(NOW.0 - (TOLERANCE_SECONDS + 1) * 1000);
        check(&unchanged, before, BODY, Err(NotBelieved::OutOfTime));
        check(&unchanged, NOW, b"{}", Err(NotBelieved::WrongSignature));
        let set = |name: &'static HeaderName, value: &'static str| {
            move |headers: &mut HeaderMap| {
                headers.insert(name, HeaderValue::from_static(value));
            }
        };
        let wrong = Err(NotBelieved::WrongSignature);
        check(&set(&WEBHOOK_ID, "msg_2"), NOW, BODY, wrong);
        check(&set(&WEBHOOK_TIMESTAMP, "1614265331"), NOW, BODY, wrong);
        check(&set(&WEBHOOK_SIGNATURE, "v1,AAAA"), NOW, BODY, wrong);
        check(&set(&WEBHOOK_SIGNATURE, "v2,g0hM9SsE"), NOW, BODY, wrong);
        check(&set(&WEBHOOK_SIGNATURE, ""), NOW, BODY, wrong);
        let unsigned = Err(NotBelieved::Unsigned);
        check(&set(&WEBHOOK_ID, ""), NOW, BODY, unsigned);
        check(&set(&WEBHOOK_TIMESTAMP, "now"), NOW, BODY, unsigned);
        for name in [&WEBHOOK_ID, &WEBHOOK_TIMESTAMP, &WEBHOOK_SIGNATURE] {
            let without = move |headers: &mut HeaderMap| drop(headers.remove(name));
            check(&without, NOW, BODY, unsigned);
            let twice = move |headers: &mut HeaderMap| {
                let value = headers[name].clone();
                headers.append(name, value);
            };
            check(&twice, NOW, BODY, unsigned);
        }
    }

    #[test]
    fn the_secret_of_before_still_counts_and_one_of_several_signatures_is_enough() {
        let (old, headers) = example();
        let new = SharedSecret::new(&[7; 32], None);
        assert_eq!(new.verify(&headers, NOW, BODY), Err(NotBelieved::WrongSignature));
        let both = SharedSecret { previous: Some(old.current.clone()), ..new.clone() };
        assert_eq!(both.verify(&headers, NOW, BODY), Ok(()));
        let mut headers = headers;
        let [_, _, (_, signature)] = new.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", NOW, BODY);
        let several = format!("{signature} {}", headers[&WEBHOOK_SIGNATURE].to_str().unwrap());
        headers.insert(&WEBHOOK_SIGNATURE, HeaderValue::try_from(several).unwrap());
        assert_eq!(new.verify(&headers, NOW, BODY), Ok(()));
        assert_eq!(old.verify(&headers, NOW, BODY), Ok(()));
        let [_, _, (_, by_both)] = both.headers_of_both("msg_p5jXN8AQM9LWM0D4loKWxJek", NOW, BODY);
        assert_eq!(headers[&WEBHOOK_SIGNATURE], by_both.as_str());
        let [_, _, (_, alone)] = new.headers_of_both("msg_p5jXN8AQM9LWM0D4loKWxJek", NOW, BODY);
        assert_eq!(alone, signature);
    }

    #[test]
    fn a_secret_has_a_text() {
        let bytes = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(secret_text(&bytes), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    }
}
