//! The `Idempotency-Key`: the client's name for a request, which makes repeating it safe.

use super::rules::Characters;
use crate::actors::KeyOrigin;
use crate::http::problem::Problem;
use domain::{RequestId, UserId};
use hyper::HeaderMap;
use hyper::header::HeaderName;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Required, Schema};

/// The header's name.
pub static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header that says that an order is the one that the same request got before.
pub static IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The most characters of a key.
const LENGTH_MAX: usize = 255;
/// The characters of a key: those of ASCII that are visible.
const VISIBLE: Characters = Characters(&['!'..='~']);

/// The header as the OpenAPI document shows it.
#[derive(Clone, Copy, Debug)]
pub struct IdempotencyKey;

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(LENGTH_MAX))
            .pattern(Some(VISIBLE.pattern(1, LENGTH_MAX)));
        vec![
            ParameterBuilder::new()
                .name("Idempotency-Key")
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "Your name for this request, at most 255 visible ASCII characters such as a \
                     UUID. Repeating a request with its key answers with what came of it and \
                     never does it again; without a key each request is one of its own.",
                ))
                .schema(Some(Schema::Object(schema.build())))
                .example(Some("0c1f2b9e-8a54-4a0b-9a58-6f3f4a7f8a11".into()))
                .build(),
        ]
    }
}

/// Returns the request's identity within its buyer's requests: a digest of the `Idempotency-Key`, or
/// `unique` if there is none.
///
/// # Errors
/// Returns an `invalid_field` problem if the key is not one header of 1 to 255 visible ASCII
/// characters.
pub fn idempotency_key(
    headers: &HeaderMap,
    user_id: UserId,
    unique: u64,
) -> Result<(RequestId, KeyOrigin), Problem> {
    Ok(named_by(key_in(headers)?, user_id, unique))
}

fn named_by(key: Option<&[u8]>, user_id: UserId, unique: u64) -> (RequestId, KeyOrigin) {
    match key {
        Some(key) => (digest(key, user_id.0), KeyOrigin::Client),
        None => (RequestId(unique), KeyOrigin::Edge),
    }
}

/// Returns the request's identity as [`idempotency_key`] does, by a key that is a field of the message and
/// empty if there is none.
///
/// # Errors
/// Returns an `invalid_field` problem if it is not at most 255 visible ASCII characters.
pub fn of_message(
    key: &str,
    user_id: UserId,
    unique: u64,
) -> Result<(RequestId, KeyOrigin), Problem> {
    if !key.is_empty() && !is_key(key.as_bytes()) {
        let detail = "must be at most 255 visible ASCII characters";
        return Err(Problem::field("/idempotency_key", detail));
    }
    Ok(named_by((!key.is_empty()).then_some(key.as_bytes()), user_id, unique))
}

/// Whether a key has the length and the characters of one.
fn is_key(key: &[u8]) -> bool {
    (1..=LENGTH_MAX).contains(&key.len())
        && key.iter().all(|byte| VISIBLE.contains(char::from(*byte)))
}

/// Returns the request's identity within the operator's requests: a digest of the `Idempotency-Key`,
/// if there is one.
///
/// # Errors
/// Returns an `invalid_field` problem as [`idempotency_key`] does.
pub fn operator_key(headers: &HeaderMap, operator: &str) -> Result<Option<RequestId>, Problem> {
    Ok(key_in(headers)?.map(|key| digest(key, operator_scope(operator))))
}

fn operator_scope(operator: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(operator.as_bytes())
}

/// Returns a key for a form that is shown, by which sending it twice does what it says once.
pub fn form_key() -> String {
    format!("form-{:032x}", rand::random::<u128>())
}

/// Returns the request's identity within the operator's requests by the key that a form carries; none if
/// it carries none that could be one.
pub fn named_key(key: &str, operator: &str) -> Option<RequestId> {
    is_key(key.as_bytes()).then(|| digest(key.as_bytes(), operator_scope(operator)))
}

/// Checks the `Idempotency-Key` of a request that is the same for every key, because what it asks for
/// can be done only once.
///
/// # Errors
/// Returns an `invalid_field` problem as [`idempotency_key`] does.
pub fn check(headers: &HeaderMap) -> Result<(), Problem> {
    key_in(headers).map(drop)
}

fn digest(key: &[u8], scope: u64) -> RequestId {
    RequestId(xxhash_rust::xxh3::xxh3_64_with_seed(key, scope).max(1))
}

fn key_in(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    let mut keys = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let key = key.as_bytes();
    if !is_key(key) || keys.next().is_some() {
        return Err(Problem::field(
            IDEMPOTENCY_KEY.as_str(),
            "must be one header of 1 to 255 visible ASCII characters",
        ));
    }
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Code;
    use hyper::header::HeaderValue;

    fn keyed(keys: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(&IDEMPOTENCY_KEY, HeaderValue::from_str(key).unwrap());
        }
        headers
    }

    #[test]
    fn a_key_belongs_to_one_buyer() {
        let of = |user: u64, key| idempotency_key(&keyed(&[key]), UserId(user), 9).unwrap();
        assert_eq!(of(1, "k"), of(1, "k"));
        assert_ne!(of(1, "k"), of(2, "k"));
        assert_ne!(of(1, "k"), of(1, "l"));
        assert_eq!(of(1, "k").1, KeyOrigin::Client);
    }

    #[test]
    fn without_a_key_the_request_stands_for_itself() {
        let made = idempotency_key(&HeaderMap::new(), UserId(1), 9);
        assert_eq!(made, Ok((RequestId(9), KeyOrigin::Edge)));
    }

    #[test]
    fn keys_have_bounds() {
        let long = "k".repeat(256);
        for keys in [vec![""], vec!["a b"], vec![long.as_str()], vec!["a", "b"]] {
            let refused = idempotency_key(&keyed(&keys), UserId(1), 9).unwrap_err();
            assert_eq!(refused.code, Code::InvalidField, "{keys:?}");
        }
        assert!(idempotency_key(&keyed(&["k".repeat(255).as_str()]), UserId(1), 9).is_ok());
    }
}
