//! Whatever bytes a stranger sends as a token, or a broken issuer as its keys, nothing panics; and what is
//! accepted was asked for.

use super::claims::Expected;
use super::jws::{Algorithm, Unverified};
use super::keys::KeySet;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Any JSON value, small and not deep.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("RS256"),
            Just("ES256"),
            Just("EdDSA"),
            Just("none"),
            Just("RSA"),
            Just("EC"),
            Just("OKP"),
            Just("P-256"),
            Just("Ed25519"),
            Just("sig"),
            Just("verify"),
            Just("AQAB"),
            Just("JWT"),
            Just("iss"),
            Just("aud"),
        ]
        .prop_map(Value::from),
        vec(any::<u8>(), 0..520).prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes).into()),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((".{0,6}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// An object with some of these names.
fn object(names: &'static [&'static str]) -> impl Strategy<Value = Map<String, Value>> {
    vec((proptest::sample::select(names), value()), 0..8).prop_map(|members| {
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    })
}

fn expected() -> Expected {
    Expected {
        issuer: "iss".to_owned(),
        audience: "aud".to_owned(),
        operator_claim: "roles.of".to_owned(),
        operator_value: Some("sig".to_owned()),
        approver_value: Some("verify".to_owned()),
        operator_name_claim: "sub".to_owned(),
    }
}

const HEADER: &[&str] = &["alg", "kid", "typ", "crit", "jku", "jwk", "b64"];
const CLAIMS: &[&str] = &["iss", "aud", "sub", "exp", "nbf", "iat", "roles"];
const KEY: &[&str] = &["kty", "crv", "n", "e", "x", "y", "d", "use", "alg", "kid", "key_ops"];

proptest! {
    #[test]
    fn bytes_that_are_no_token_and_no_set(bytes in vec(any::<u8>(), 0..3_000)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = Unverified::of(&text);
        let _ = Unverified::of(&format!("{0}.{0}.{0}", URL_SAFE_NO_PAD.encode(&bytes)));
        let _ = KeySet::parse(&bytes);
    }

    #[test]
    fn objects_that_are_nearly_tokens(header in object(HEADER), claims in object(CLAIMS), now: u64) {
        let encode = |object: &Map<String, Value>| {
            URL_SAFE_NO_PAD.encode(Value::Object(object.clone()).to_string())
        };
        let token = format!("{}.{}.{}", encode(&header), encode(&claims), encode(&header));
        if let Ok(found) = Unverified::of(&token) {
            prop_assert!(["RS256", "ES256", "EdDSA"].iter().any(|name| header["alg"] == **name));
            prop_assert!(!header.contains_key("crit"));
            prop_assert_eq!(found.signed.len() + 1 + encode(&header).len(), token.len());
        }
        if let Ok(found) = expected().check(&claims, Timestamp(now)) {
            prop_assert_eq!(&claims["iss"], "iss");
            prop_assert!(claims["aud"] == "aud" || claims["aud"].as_array().is_some());
            prop_assert_eq!(claims["sub"].as_str(), Some(found.subject.as_str()));
            prop_assert!(now / 1000 < found.expires_at_seconds.saturating_add(60));
        }
    }

    #[test]
    fn sets_that_are_nearly_of_keys(keys in vec(object(KEY), 0..6), signature in vec(any::<u8>(), 0..300)) {
        let set = json!({ "keys": keys }).to_string();
        if let Ok(found) = KeySet::parse(set.as_bytes()) {
            for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
                prop_assert!(found.verify(algorithm, None, b"text", &signature).is_err());
            }
        }
    }
}
