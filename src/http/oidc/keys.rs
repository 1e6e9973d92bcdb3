//! An issuer's public keys, from its JWK set (RFC 7517), and the signatures that they verify.
//!
//! A key verifies one algorithm alone, that of its type: a token cannot have an RSA key read as the secret
//! of a MAC, or as a point on a curve. Signatures are ring's. Must not know where a set comes from.

use super::jws::Algorithm;
use super::rejected::Rejected;
use crate::http::request::json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde_json::{Map, Value};

/// The most keys of a set that are kept; an issuer has two or three.
const KEYS_MAX: usize = 64;
/// The bits of an RSA key's modulus: fewer are too weak, more take too long.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
const COORDINATE_BYTES: usize = 32;
/// What an elliptic curve's point begins with if both its coordinates follow.
const UNCOMPRESSED: u8 = 4;

/// Why a text is no set of keys.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadKeys {
    /// It is no JSON object with a list of keys.
    #[error("the answer is no JWK set")]
    Form,
    /// None of its keys can be used: a set that admits nobody is taken for a mistake.
    #[error("the JWK set has no RSA key of 2048 to 8192 bits, P-256 or Ed25519 key for signatures")]
    NoneOfUse,
}

/// An issuer's keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeySet(Vec<Key>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Key {
    key_id: Option<String>,
    material: Material,
}

/// A public key, by its type.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The point, uncompressed.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl KeySet {
    /// Reads a JWK set. Keys that are of no use here are left out.
    ///
    /// # Errors
    /// Returns [`BadKeys`] if it is no such set, or no key of it is of use.
    pub fn parse(text: &[u8]) -> Result<Self, BadKeys> {
        let set = json::parse_object(text).map_err(|_| BadKeys::Form)?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(BadKeys::Form)?;
        let keys = keys.iter().filter_map(Value::as_object).filter_map(key);
        let keys: Vec<Key> = keys.take(KEYS_MAX).collect();
        if keys.is_empty() { Err(BadKeys::NoneOfUse) } else { Ok(Self(keys)) }
    }

    /// Verifies a signature with the key of this name; without a name, with the only key of its type.
    ///
    /// # Errors
    /// Returns `Rejected::Key` if there is no such key, and `Rejected::Signature` if it did not make the
    /// signature.
    pub fn verify(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), Rejected> {
        let is_meant = |key: &&Key| {
            key.material.algorithm() == algorithm
                && (key_id.is_none() || key.key_id.as_deref() == key_id)
        };
        let mut meant = self.0.iter().filter(is_meant);
        let key = meant.next().ok_or(Rejected::Key)?;
        if meant.next().is_some() {
            return Err(Rejected::Key);
        }
        key.material.verify(signed, signature)
    }
}

impl Material {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), Rejected> {
        let verified = match self {
            Self::Rsa { modulus, exponent } => RsaPublicKeyComponents { n: modulus, e: exponent }
                .verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature),
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(signed, signature),
        };
        verified.map_err(|_| Rejected::Signature)
    }
}

/// The key of a JWK, if it is one for signatures that are accepted here.
fn key(jwk: &Map<String, Value>) -> Option<Key> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let coordinate = |name: &str| bytes(name).filter(|bytes| bytes.len() == COORDINATE_BYTES);
    let material = match (text("kty")?, text("crv")) {
        ("RSA", _) => {
            let modulus = without_leading_zeros(bytes("n")?);
            let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
            let exponent = without_leading_zeros(bytes("e")?);
            RSA_BITS.contains(&bits).then_some(Material::Rsa { modulus, exponent })?
        }
        ("EC", Some("P-256")) => {
            let point = [&[UNCOMPRESSED][..], &coordinate("x")?, &coordinate("y")?].concat();
            Material::P256(point)
        }
        ("OKP", Some("Ed25519")) => Material::Ed25519(coordinate("x")?),
        _ => return None,
    };
    let algorithm = text("alg").map(Algorithm::from_name);
    let is_of_its_type = algorithm.is_none_or(|named| named == Some(material.algorithm()));
    let is_for_signatures = jwk.get("use").is_none_or(|of_use| of_use == "sig");
    let verifies = jwk.get("key_ops").is_none_or(|operations| {
        operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"))
    });
    // A private key that is there for all to read signs for nobody.
    let is_public = !jwk.contains_key("d");
    if !is_public {
        tracing::warn!("the issuer publishes a private key, which is not used");
    }
    let is_of_use = is_of_its_type && is_for_signatures && verifies && is_public;
    is_of_use.then(|| Key { key_id: text("kid").map(str::to_owned), material })
}

/// Some write a zero in front, which is not in the number.
fn without_leading_zeros(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|digit| **digit == 0).count();
    number.drain(..zeros);
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    };
    use serde_json::json;

    fn encode(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn ed25519() -> (Ed25519KeyPair, Value) {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let jwk =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) });
        (pair, jwk)
    }

    fn p256() -> (EcdsaKeyPair, Value) {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).unwrap();
        let point = pair.public_key().as_ref();
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]),
        });
        (pair, jwk)
    }

    fn rsa(bits: usize) -> Value {
        let mut modulus = vec![0xff; bits / 8];
        modulus[0] = 0x80;
        json!({ "kty": "RSA", "n": encode(&modulus), "e": "AQAB" })
    }

    fn with(mut jwk: Value, name: &str, value: Value) -> Value {
        jwk[name] = value;
        jwk
    }

    fn set(keys: &[Value]) -> Result<KeySet, BadKeys> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn a_key_signs_with_its_own_algorithm_alone() {
        let (pair, jwk) = ed25519();
        let (ec_pair, ec_jwk) = p256();
        let keys = set(&[with(jwk, "kid", json!("a")), with(ec_jwk, "kid", json!("b"))]).unwrap();
        let signature = pair.sign(b"text");
        let ec_signature = ec_pair.sign(&SystemRandom::new(), b"text").unwrap();
        for (algorithm, key_id, text, signature, expected) in [
            (Algorithm::EdDsa, Some("a"), &b"text"[..], signature.as_ref(), Ok(())),
            (Algorithm::EdDsa, None, b"text", signature.as_ref(), Ok(())),
            (Algorithm::Es256, Some("b"), b"text", ec_signature.as_ref(), Ok(())),
            (Algorithm::EdDsa, Some("a"), b"texT", signature.as_ref(), Err(Rejected::Signature)),
            (Algorithm::EdDsa, Some("a"), b"text", b"", Err(Rejected::Signature)),
            (Algorithm::EdDsa, Some("b"), b"text", signature.as_ref(), Err(Rejected::Key)),
            (Algorithm::Es256, Some("a"), b"text", signature.as_ref(), Err(Rejected::Key)),
            (Algorithm::Rs256, Some("a"), b"text", signature.as_ref(), Err(Rejected::Key)),
            (Algorithm::EdDsa, Some("c"), b"text", signature.as_ref(), Err(Rejected::Key)),
            (Algorithm::EdDsa, Some(""), b"text", signature.as_ref(), Err(Rejected::Key)),
        ] {
            let found = keys.verify(algorithm, key_id, text, signature);
            assert_eq!(found, expected, "{algorithm:?} {key_id:?}");
        }
    }

    #[test]
    fn without_a_name_a_key_must_be_the_only_one() {
        let ((pair, jwk), (_, other)) = (ed25519(), ed25519());
        let keys = set(&[jwk, other]).unwrap();
        let signature = pair.sign(b"text");
        let found = keys.verify(Algorithm::EdDsa, None, b"text", signature.as_ref());
        assert_eq!(found, Err(Rejected::Key));
    }

    #[test]
    fn keys_of_no_use_are_left_out() {
        let (_, ed) = ed25519();
        let (_, ec) = p256();
        for (jwk, is_of_use) in [
            (rsa(2_048), true),
            (rsa(8_192), true),
            (rsa(1_024), false),
            (rsa(2_040), false),
            (rsa(8_200), false),
            (with(rsa(2_048), "alg", json!("RS256")), true),
            (with(rsa(2_048), "alg", json!("PS256")), false),
            (with(rsa(2_048), "alg", json!("HS256")), false),
            (with(rsa(2_048), "alg", json!("ES256")), false),
            (with(rsa(2_048), "use", json!("enc")), false),
            (with(rsa(2_048), "use", json!("sig")), true),
            (with(rsa(2_048), "key_ops", json!(["verify"])), true),
            (with(rsa(2_048), "key_ops", json!(["encrypt"])), false),
            (with(rsa(2_048), "key_ops", json!("verify")), false),
            (with(rsa(2_048), "d", json!("AQAB")), false),
            (with(rsa(2_048), "n", json!("")), false),
            (with(rsa(2_048), "n", json!("AAAA")), false),
            (with(rsa(2_048), "n", json!(7)), false),
            (with(rsa(2_048), "e", json!("=")), false),
            (json!({ "kty": "oct", "k": "c2VjcmV0" }), false),
            (ed.clone(), true),
            (with(ed.clone(), "x", json!("AQAB")), false),
            (with(ed, "crv", json!("Ed448")), false),
            (ec.clone(), true),
            (with(ec.clone(), "y", json!("AQAB")), false),
            (with(ec, "crv", json!("secp256k1")), false),
            (json!({}), false),
            (json!("key"), false),
        ] {
            let found = set(std::slice::from_ref(&jwk)).map(drop);
            let expected = if is_of_use { Ok(()) } else { Err(BadKeys::NoneOfUse) };
            assert_eq!(found, expected, "{jwk:.100}");
            // Beside a good one it does no harm.
            assert_eq!(set(&[jwk, rsa(4_096)]).unwrap().0.len(), 1 + usize::from(is_of_use));
        }
        let many = vec![rsa(2_048); 1_000];
        assert_eq!(set(&many).unwrap().0.len(), KEYS_MAX);
    }

    #[test]
    fn what_is_no_set_is_told() {
        for text in ["", "{}", "[]", "<html>", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert_eq!(KeySet::parse(text.as_bytes()).err(), Some(BadKeys::Form), "{text}");
        }
        assert_eq!(KeySet::parse(br#"{"keys":[]}"#).err(), Some(BadKeys::NoneOfUse));
    }
}
