//! Who may come in: tokens, keys and the paths' identities, before any handler runs.

use super::edge::Edge;
use super::error::{Code, Problem};
use super::token::Principal;
use crate::actors::KeyOrigin;
use axum::extract::{FromRequestParts, Path};
use domain::{ItemId, OrderId, RequestId, SaleId, UserId};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName};
use hyper::http::request::Parts;
use std::str::FromStr;
use std::sync::Arc;

/// The client's name for a purchase, which makes a repeat safe.
pub static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;

/// Who is asking.
///
/// # Errors
/// Where there is no token, or not a good one.
pub fn authenticate(edge: &Edge, headers: &HeaderMap) -> Result<Principal, Problem> {
    let token = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_at_checked(7))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer "))
        .map(|(_, token)| token.trim_start())
        .ok_or_else(|| {
            Problem::new(Code::Unauthenticated, "send Authorization: Bearer and a token")
        })?;
    edge.signer
        .verify(token, edge.engine.now())
        .map_err(|error| Problem::new(Code::Unauthenticated, error.to_string()))
}

/// The asking buyer.
///
/// # Errors
/// Where the token is not accepted or is an operator's.
pub fn authenticate_buyer(edge: &Edge, headers: &HeaderMap) -> Result<UserId, Problem> {
    match authenticate(edge, headers)? {
        Principal::Buyer(user_id) => Ok(user_id),
        Principal::Operator { .. } => {
            Err(Problem::new(Code::Forbidden, "this is for buyers, and the token is an operator's"))
        }
    }
}

/// The request's identity within its buyer's requests: a digest of the `Idempotency-Key`, or
/// `unique` where there is none.
///
/// # Errors
/// Where the key is not 1 to 255 visible ASCII characters.
pub fn idempotency_key(
    headers: &HeaderMap,
    user_id: UserId,
    unique: u64,
) -> Result<(RequestId, KeyOrigin), Problem> {
    let mut keys = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else {
        return Ok((RequestId(unique), KeyOrigin::Edge));
    };
    let key = key.as_bytes();
    let visible = key.iter().all(u8::is_ascii_graphic);
    if !visible || !(1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&key.len()) || keys.next().is_some() {
        return Err(Problem::field(
            IDEMPOTENCY_KEY.as_str(),
            "must be one header of 1 to 255 visible ASCII characters",
        ));
    }
    let digest = xxhash_rust::xxh3::xxh3_64_with_seed(key, user_id.0);
    Ok((RequestId(digest.max(1)), KeyOrigin::Client))
}

/// A handler's asking buyer.
#[derive(Clone, Copy, Debug)]
pub struct Buyer(pub UserId);

impl FromRequestParts<Arc<Edge>> for Buyer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        authenticate_buyer(edge, &parts.headers).map(Self)
    }
}

/// A handler's asking operator.
#[derive(Clone, Debug)]
pub struct Operator {
    /// As the audit log has it.
    pub name: String,
    /// Whether this one may approve sales.
    pub may_approve: bool,
}

impl FromRequestParts<Arc<Edge>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        match authenticate(edge, &parts.headers)? {
            Principal::Operator { name, may_approve } => Ok(Self { name, may_approve }),
            Principal::Buyer(_) => Err(Problem::new(
                Code::Forbidden,
                "this is for operators, and the token is a buyer's",
            )),
        }
    }
}

/// What a path's identity names, and what to say where it names nothing.
pub trait Named: FromStr {
    /// There is none of this identity.
    fn missing() -> Problem;
}

impl Named for OrderId {
    fn missing() -> Problem {
        Problem::order_not_found()
    }
}

impl Named for ItemId {
    fn missing() -> Problem {
        Problem::item_not_found()
    }
}

impl Named for SaleId {
    fn missing() -> Problem {
        Problem::sale_not_found()
    }
}

/// The identity in a path with one.
#[derive(Clone, Copy, Debug)]
pub struct Id<T>(pub T);

impl<T: Named> FromRequestParts<Arc<Edge>> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let Path(text) =
            Path::<String>::from_request_parts(parts, edge).await.map_err(|_| T::missing())?;
        text.parse().map(Self).map_err(|_| T::missing())
    }
}

/// The sale and the item in a path with both.
#[derive(Clone, Copy, Debug)]
pub struct SaleAndItem(pub SaleId, pub ItemId);

impl FromRequestParts<Arc<Edge>> for SaleAndItem {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let Path((sale, item)) = Path::<(String, String)>::from_request_parts(parts, edge)
            .await
            .map_err(|_| Problem::sale_not_found())?;
        let sale = sale.parse().map_err(|_| Problem::sale_not_found())?;
        let item = item.parse().map_err(|_| Problem::item_not_found())?;
        Ok(Self(sale, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn keyed(keys: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(&IDEMPOTENCY_KEY, HeaderValue::from_str(key).unwrap());
        }
        headers
    }

    #[test]
    fn a_key_is_one_buyers_own() {
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
