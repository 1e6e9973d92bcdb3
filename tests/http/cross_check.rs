//! Tokens judged by another's code as well: what the shop accepts, the crate `jsonwebtoken` accepts.
//!
//! It is here for these tests alone, in its last version on ring: later ones would bring a second library of
//! cryptography with them.

use crate::oidc::{Node, PATIENT};
use harness::{Issuer, SigningKey};
use jsonwebtoken::jwk::{JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use seckill::http::{Role, Signer};
use serde_json::{Value, json};
use support::Shop;

fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = 60;
    validation.validate_nbf = true;
    validation
}

/// Whether the other code accepts a token of this issuer, with the algorithm that its key is for.
fn others_accept(keys: &JwkSet, issuer: &str, token: &str) -> bool {
    let Ok(header) = decode_header(token) else { return false };
    let Some(key) = header.kid.as_deref().and_then(|kid| keys.find(kid)) else { return false };
    let algorithm = match key.common.key_algorithm {
        Some(KeyAlgorithm::RS256) => Algorithm::RS256,
        Some(KeyAlgorithm::ES256) => Algorithm::ES256,
        Some(KeyAlgorithm::EdDSA) => Algorithm::EdDSA,
        _ => return false,
    };
    let mut validation = validation(algorithm);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&["seckill"]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let key = DecodingKey::from_jwk(key).expect("a key");
    decode::<Value>(token, &key, &validation).is_ok()
}

/// The token with one of its letters, or its points, replaced.
fn spoilt(token: &str, random: &mut harness::Random) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=";
    let mut below = |bound: usize| usize::try_from(random.below(bound as u64)).expect("small");
    let mut bytes = token.as_bytes().to_vec();
    let place = below(bytes.len());
    bytes[place] = LETTERS[below(LETTERS.len())];
    String::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn an_issuers_tokens_are_judged_alike() {
    let keys = [Some(SigningKey::ed25519("a")), Some(SigningKey::p256("b")), SigningKey::rsa("c")];
    let keys: Vec<&SigningKey> = keys.iter().flatten().collect();
    let issuer = Issuer::publishing(&keys).await;
    let node = Node::open(&issuer, PATIENT).await.ready().await;
    let set: JwkSet = serde_json::from_str(&harness::jwk_set(&keys)).expect("a set of keys");
    let mut random = harness::Random::of("tokens judged twice");
    let now = node.shop.engine.now().0 / 1000;
    let (mut accepted, mut refused) = (0, 0);
    for (key, kid) in keys.iter().zip(["a", "b", "c"]) {
        let claims = node.claims(&issuer, "u-1");
        let header = json!({ "alg": key.algorithm(), "kid": kid });
        let with = |of: &Value, name: &str, value: Value| {
            let mut changed = of.clone();
            changed[name] = value;
            changed
        };
        let good = key.token(&claims);
        let mut tokens = vec![good.clone()];
        for (name, value) in [
            ("aud", json!(["other", "seckill"])),
            ("aud", json!("other")),
            ("aud", json!([])),
            ("iss", json!("https://elsewhere.example")),
            ("exp", json!(now - 30)),
            ("exp", json!(now - 90)),
            ("exp", Value::Null),
            ("exp", json!("tomorrow")),
            ("nbf", json!(now + 30)),
            ("nbf", json!(now + 90)),
            ("sub", json!("another")),
        ] {
            tokens.push(key.token(&with(&claims, name, value)));
        }
        for alg in ["RS256", "ES256", "EdDSA", "HS256", "RS384", "PS256", "none"] {
            tokens.push(key.token_with(&with(&header, "alg", json!(alg)), &claims));
        }
        for kid in ["a", "b", "c", "d"] {
            tokens.push(key.token_with(&with(&header, "kid", json!(kid)), &claims));
        }
        tokens.extend((0..100).map(|_| spoilt(&good, &mut random)));
        for token in tokens {
            let ours = node.shop.get("/api/v1/orders", Some(&token)).await.status == 200;
            assert_eq!(ours, others_accept(&set, &issuer.name(), &token), "{token}");
            if ours { accepted += 1 } else { refused += 1 }
        }
    }
    assert!(accepted >= 4 * keys.len() && refused > 50 * keys.len(), "{accepted}, {refused}");
}

#[tokio::test]
async fn the_shops_own_tokens_are_judged_alike() {
    const SECRET: [u8; 32] = [7; 32];
    let shop = Shop::open().await;
    let now = shop.engine.now();
    let signer = Signer::new(&SECRET).expect("a secret");
    let key = DecodingKey::from_secret(&SECRET);
    let mut validation = validation(Algorithm::HS256);
    // The shop's own clock is one, so nothing is added to an expiry.
    validation.leeway = 0;
    let theirs = |token: &str| decode::<Value>(token, &key, &validation);
    let token = signer.mint("7", Role::Buyer, now, 600);
    let claims = theirs(&token).expect("accepted").claims;
    let said = (&claims["sub"], &claims["role"], claims["exp"].as_u64());
    assert_eq!(said, (&json!("7"), &json!("buyer"), Some(now.0 / 1000 + 600)));
    let over = signer.mint("7", Role::Buyer, domain::Timestamp(now.0 - 3_600_000), 600);
    let strange = Signer::new(&[8; 32]).expect("a secret").mint("7", Role::Buyer, now, 600);
    let mut random = harness::Random::of("own tokens judged twice");
    let spoilt = (0..2_000).map(|_| spoilt(&token, &mut random));
    let mut refused = 0;
    for token in [token.clone(), over, strange].into_iter().chain(spoilt) {
        let ours = signer.verify(&token, now).is_ok();
        assert_eq!(ours, theirs(&token).is_ok(), "{token}");
        refused += u32::from(!ours);
    }
    assert!(refused > 1_900, "{refused} were refused");
}
