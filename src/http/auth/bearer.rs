//! Who calls, from the `Authorization` header: verified before a handler runs and before a body is
//! read.

use super::token::Principal;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use axum::extract::FromRequestParts;
use domain::UserId;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use std::sync::Arc;

/// Returns who calls.
///
/// # Errors
/// Returns an `unauthenticated` problem if there is no token or if it is not accepted.
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
        .verify(token, edge.clock.token_time())
        .map_err(|error| Problem::new(Code::Unauthenticated, error.to_string()))
}

/// Returns the calling buyer.
///
/// # Errors
/// Returns an `unauthenticated` problem if the token is not accepted, and a `forbidden` one if it is
/// an operator's.
pub fn authenticate_buyer(edge: &Edge, headers: &HeaderMap) -> Result<UserId, Problem> {
    match authenticate(edge, headers)? {
        Principal::Buyer(user_id) => Ok(user_id),
        Principal::Operator { .. } => {
            Err(Problem::new(Code::Forbidden, "this is for buyers, and the token is an operator's"))
        }
    }
}

/// The buyer who calls a handler.
#[derive(Clone, Copy, Debug)]
pub struct Buyer(pub UserId);

impl FromRequestParts<Arc<Edge>> for Buyer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        authenticate_buyer(edge, &parts.headers).map(Self)
    }
}

/// The operator who calls a handler.
#[derive(Clone, Debug)]
pub struct Operator {
    /// The operator's name, as the operators' log has it.
    pub name: String,
    /// Whether the operator may approve sales.
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
