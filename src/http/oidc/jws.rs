//! A compact JWS (RFC 7515) as another issuer makes it, taken apart and not yet believed.
//!
//! Of its header only the algorithm, the key's name and the kind of token are looked at: a header that
//! brings its own key, or says where to get it, is no different from one that does not. Must not know keys,
//! nor what the claims mean.

use super::rejected::Rejected;
use crate::http::request::json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A signature's algorithm, by its name in RFC 7518 and RFC 8037.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// EdDSA on the curve Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Returns the algorithm of this name, if it is one of these.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A token taken apart.
#[derive(Debug)]
pub struct Unverified<'a> {
    /// What its header says that it was signed with.
    pub algorithm: Algorithm,
    /// The name of the key, if its header has one.
    pub key_id: Option<String>,
    /// What it claims.
    pub claims: Map<String, Value>,
    /// What was signed: header and claims as they came.
    pub signed: &'a [u8],
    /// The signature in bytes.
    pub signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// Returns [`Rejected`] if it is none, or of a kind that nothing here may believe.
    pub fn of(token: &'a str) -> Result<Self, Rejected> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Rejected::Form);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Rejected::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(Rejected::Form)?;
        // One more part would be another kind of token, and a point is no letter of base64url.
        let header = object(header)?;
        let name = header.get("alg").and_then(Value::as_str).ok_or(Rejected::Form)?;
        let algorithm = Algorithm::from_name(name).ok_or(Rejected::Algorithm)?;
        if header.contains_key("crit") {
            return Err(Rejected::Critical);
        }
        check_kind(header.get("typ"))?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(key_id)) => Some(key_id.clone()),
            Some(_) => return Err(Rejected::Form),
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Rejected::Form)?;
        Ok(Self {
            algorithm,
            key_id,
            claims: object(claims)?,
            signed: signed.as_bytes(),
            signature,
        })
    }
}

/// Refuses tokens that are made for something else, such as to announce a log-out (RFC 8725, 3.11).
fn check_kind(kind: Option<&Value>) -> Result<(), Rejected> {
    let kind = match kind {
        None => return Ok(()),
        Some(Value::String(kind)) => kind.to_ascii_lowercase(),
        Some(_) => return Err(Rejected::Form),
    };
    match kind.strip_prefix("application/").unwrap_or(&kind) {
        "jwt" | "at+jwt" => Ok(()),
        _ => Err(Rejected::Kind),
    }
}

/// The JSON object in base64url, without repeated keys.
fn object(text: &str) -> Result<Map<String, Value>, Rejected> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Rejected::Form)?;
    json::parse_object(&bytes).map_err(|_| Rejected::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", encode(header), encode(claims), encode("signature"))
    }

    #[test]
    fn headers_choose_nothing_but_a_known_algorithm_and_a_key() {
        for (header, expected) in [
            (r#"{"alg":"RS256"}"#, Ok((Algorithm::Rs256, None))),
            (r#"{"alg":"ES256","kid":"k","typ":"JWT"}"#, Ok((Algorithm::Es256, Some("k")))),
            (r#"{"alg":"EdDSA","kid":"","typ":"at+jwt"}"#, Ok((Algorithm::EdDsa, Some("")))),
            (r#"{"alg":"RS256","typ":"application/AT+JWT"}"#, Ok((Algorithm::Rs256, None))),
            (
                r#"{"alg":"RS256","jku":"https://evil","x5u":"https://evil","jwk":{"kty":"oct"},"x5c":["x"]}"#,
                Ok((Algorithm::Rs256, None)),
            ),
            (r#"{"alg":"none"}"#, Err(Rejected::Algorithm)),
            (r#"{"alg":"None"}"#, Err(Rejected::Algorithm)),
            (r#"{"alg":""}"#, Err(Rejected::Algorithm)),
            (r#"{"alg":"HS256"}"#, Err(Rejected::Algorithm)),
            (r#"{"alg":"rs256"}"#, Err(Rejected::Algorithm)),
            (r#"{"alg":"RS512"}"#, Err(Rejected::Algorithm)),
            (r#"{"alg":"PS256"}"#, Err(Rejected::Algorithm)),
            (r#"{"alg":["RS256"]}"#, Err(Rejected::Form)),
            (r#"{"typ":"JWT"}"#, Err(Rejected::Form)),
            (r#"{"alg":"RS256","alg":"ES256"}"#, Err(Rejected::Form)),
            (r#"{"alg":"RS256","kid":7}"#, Err(Rejected::Form)),
            (r#"{"alg":"RS256","typ":"logout+jwt"}"#, Err(Rejected::Kind)),
            (r#"{"alg":"RS256","typ":"dpop+jwt"}"#, Err(Rejected::Kind)),
            (r#"{"alg":"RS256","typ":1}"#, Err(Rejected::Form)),
            (r#"{"alg":"RS256","crit":["exp"]}"#, Err(Rejected::Critical)),
            (r#"{"alg":"RS256","crit":[]}"#, Err(Rejected::Critical)),
            (r#"{"alg":"RS256","crit":["b64"],"b64":false}"#, Err(Rejected::Critical)),
            (r#"["RS256"]"#, Err(Rejected::Form)),
            ("", Err(Rejected::Form)),
        ] {
            let token = token(header, r#"{"sub":"1"}"#);
            let found = Unverified::of(&token).map(|found| (found.algorithm, found.key_id));
            let expected =
                expected.map(|(algorithm, key_id)| (algorithm, key_id.map(str::to_owned)));
            assert_eq!(found, expected, "{header}");
        }
    }

    #[test]
    fn what_is_no_compact_form_is_refused() {
        let good = token(r#"{"alg":"RS256"}"#, r#"{"sub":"1"}"#);
        assert!(Unverified::of(&good).is_ok());
        let (head, tail) = good.split_at(20);
        for bad in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            format!("{good}.{good}"),
            format!("{good}.x.y"),
            format!("{good}="),
            format!("{good} "),
            format!("{head}\n{tail}"),
            token(r#"{"alg":"RS256"}"#, r#"[1]"#),
            token(r#"{"alg":"RS256"}"#, r#"{"a":1,"a":2}"#),
            token(r#"{"alg":"RS256"}"#, &format!(r#"{{"a":"{}"}}"#, "x".repeat(TOKEN_BYTES_MAX))),
            token(r#"{"alg":"RS256"}"#, &format!("{}{}", "[".repeat(2_000), "]".repeat(2_000))),
        ] {
            assert_eq!(Unverified::of(&bad).err(), Some(Rejected::Form), "{bad:.60}");
        }
    }
}
