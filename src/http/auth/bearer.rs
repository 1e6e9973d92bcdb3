//! Who calls, from the `Authorization` header or, where there is none, from the session's cookie: verified
//! before a handler runs and before a body is read.

use super::token::{Principal, Signer, Verified};
use crate::http::identity::cookie::SESSION;
use crate::http::identity::origin;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use crate::sales::operators::Found;
use axum::extract::FromRequestParts;
use domain::{OperatorRole, OperatorRoles, Timestamp, UserId};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use std::sync::Arc;
use std::time::Duration;

/// The token that a request carries, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carried<'a> {
    /// In the `Authorization` header, which only a program sets.
    Header(&'a str),
    /// In the session's cookie, which a browser sends by itself.
    Cookie(&'a str),
}

impl<'a> Carried<'a> {
    /// Returns the token.
    pub fn token(self) -> &'a str {
        match self {
            Self::Header(token) | Self::Cookie(token) => token,
        }
    }
}

/// Returns the token that the request carries.
///
/// # Errors
/// Returns an `unauthenticated` problem if there is none, and a `forbidden` one if it is in a cookie, the
/// request may change something, and it does not come from a page of this shop.
pub fn carried<'a>(edge: &'a Edge, parts: &'a Parts) -> Result<Carried<'a>, Problem> {
    if parts.headers.contains_key(AUTHORIZATION) {
        return in_header(&parts.headers);
    }
    let place = edge.site.place(&parts.headers, &parts.uri);
    let token = SESSION.read(&parts.headers, place).ok_or_else(nothing_sent)?;
    origin::check(&edge.site, parts)
        .map_err(|error| Problem::new(Code::Forbidden, error.to_string()))?;
    Ok(Carried::Cookie(token))
}

/// Returns the token in the `Authorization` header.
///
/// # Errors
/// Returns an `unauthenticated` problem if there is none.
pub fn in_header(headers: &HeaderMap) -> Result<Carried<'_>, Problem> {
    headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_at_checked(7))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer "))
        .map(|(_, token)| Carried::Header(token.trim_start()))
        .ok_or_else(nothing_sent)
}

fn nothing_sent() -> Problem {
    Problem::new(Code::Unauthenticated, "send Authorization: Bearer and a token")
}

/// Returns who the bearer of this token is: it is the shop's, or its issuer's if it has one.
///
/// # Errors
/// Returns an `unauthenticated` problem if it is not accepted, and what [`Oidc::principal`] does of an
/// issuer's.
///
/// [`Oidc::principal`]: crate::http::oidc::Oidc::principal
pub async fn accept(edge: &Edge, token: &str) -> Result<Principal, Problem> {
    match &edge.oidc {
        // On the heap, so that a purchase with a token of the shop is no larger for it.
        Some(oidc) if !Signer::is_of_this_shop(token) => {
            let now = edge.clock.token_time();
            Box::pin(oidc.principal(token, now, &edge.sales)).await
        }
        _ => read(edge, token).map(|verified| verified.principal),
    }
}

/// Returns what a token of the shop says.
///
/// # Errors
/// Returns an `unauthenticated` problem if it is not accepted, or its session was ended.
pub fn read(edge: &Edge, token: &str) -> Result<Verified, Problem> {
    let verified = edge
        .signer
        .read(token, edge.clock.token_time())
        .map_err(|error| Problem::new(Code::Unauthenticated, error.to_string()))?;
    match verified.principal {
        Principal::Buyer(user_id) if edge.ended_sessions.has(user_id, verified.issued_at) => {
            Err(Problem::new(Code::Unauthenticated, PASSWORD_CHANGED))
        }
        _ => Ok(verified),
    }
}

const PASSWORD_CHANGED: &str = "the password was changed since: log in again";

/// Returns the calling buyer.
///
/// # Errors
/// Returns an `unauthenticated` problem if no token is accepted, and a `forbidden` one if it is an
/// operator's, or comes in a cookie from elsewhere.
pub async fn authenticate_buyer(edge: &Edge, parts: &Parts) -> Result<UserId, Problem> {
    buyer_of(edge, carried(edge, parts)?).await
}

/// Returns the buyer whose token is in the `Authorization` header, for callers that are no browsers.
///
/// # Errors
/// Returns an `unauthenticated` problem if no token is accepted, and a `forbidden` one if it is an
/// operator's.
pub async fn buyer_in_header(edge: &Edge, headers: &HeaderMap) -> Result<UserId, Problem> {
    buyer_of(edge, in_header(headers)?).await
}

async fn buyer_of(edge: &Edge, carried: Carried<'_>) -> Result<UserId, Problem> {
    buyer(match carried {
        Carried::Header(token) => accept(edge, token).await?,
        // Only the shop sets it.
        Carried::Cookie(token) => read(edge, token)?.principal,
    })
}

fn buyer(principal: Principal) -> Result<UserId, Problem> {
    match principal {
        Principal::Buyer(user_id) => Ok(user_id),
        Principal::Operator { .. } => {
            Err(Problem::new(Code::Forbidden, "this is for buyers, and the token is an operator's"))
        }
    }
}

/// The session of the buyer who calls a handler that goes on after it has answered.
#[derive(Clone, Copy, Debug)]
pub struct BuyerSession {
    /// Whose session it is: the buyer's number.
    pub user_id: UserId,
    issued_at: Timestamp,
    ends_at: Timestamp,
}

impl BuyerSession {
    /// Returns the session of this token.
    ///
    /// # Errors
    /// Returns an `unauthenticated` problem if it is not accepted, and a `forbidden` one if it is an
    /// operator's.
    pub async fn of(edge: &Edge, carried: Carried<'_>) -> Result<Self, Problem> {
        let verified = match (carried, &edge.oidc) {
            (Carried::Header(token), Some(oidc)) if !Signer::is_of_this_shop(token) => {
                let now = edge.clock.token_time();
                let found = oidc.bearer(token, now, &edge.sales).await?;
                Verified {
                    principal: found.principal,
                    // The issuer's users have no password here that could be changed.
                    issued_at: Timestamp(u64::MAX),
                    expires_at: Timestamp(found.expires_at_seconds.saturating_mul(1000)),
                }
            }
            (carried, _) => read(edge, carried.token())?,
        };
        let Verified { principal, issued_at, expires_at: ends_at } = verified;
        Ok(Self { user_id: buyer(principal)?, issued_at, ends_at })
    }

    /// Returns why the session is over; none while it is not.
    pub fn over(&self, edge: &Edge) -> Option<&'static str> {
        if edge.clock.token_time() >= self.ends_at {
            return Some("the token has expired: get a new one, then open the stream again");
        }
        edge.ended_sessions.has(self.user_id, self.issued_at).then_some(PASSWORD_CHANGED)
    }

    /// Returns how long its token is still good.
    pub fn left(&self, edge: &Edge) -> Duration {
        Duration::from_millis(self.ends_at.0.saturating_sub(edge.clock.token_time().0))
    }
}

impl FromRequestParts<Arc<Edge>> for BuyerSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        Self::of(edge, carried(edge, parts)?).await
    }
}

/// The token in the `Authorization` header of a request, not believed yet.
#[derive(Clone)]
pub struct BearerToken(pub String);

impl std::fmt::Debug for BearerToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("BearerToken(***)")
    }
}

impl FromRequestParts<Arc<Edge>> for BearerToken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Edge>) -> Result<Self, Problem> {
        in_header(&parts.headers).map(|carried| Self(carried.token().to_owned()))
    }
}

/// The buyer who calls a handler.
#[derive(Clone, Copy, Debug)]
pub struct Buyer(pub UserId);

impl FromRequestParts<Arc<Edge>> for Buyer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        authenticate_buyer(edge, parts).await.map(Self)
    }
}

/// The operator who calls a handler: one who may at least write sales.
#[derive(Clone, Debug)]
pub struct Operator {
    /// The operator's name, as the operators' log has it.
    pub name: String,
    /// What the operator may do.
    pub roles: OperatorRoles,
}

impl Operator {
    /// Checks that the operator may do what `role` may.
    ///
    /// # Errors
    /// Returns a `forbidden` problem if not.
    pub fn require(&self, role: OperatorRole) -> Result<(), Problem> {
        if self.roles.allow(role) {
            return Ok(());
        }
        Err(Problem::new(
            Code::Forbidden,
            format!("this is for the role {role}, and the token's is {}", self.roles),
        ))
    }
}

impl FromRequestParts<Arc<Edge>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let operator = authenticate_operator(edge, &parts.headers).await?;
        operator.require(OperatorRole::Operator)?;
        Ok(operator)
    }
}

/// The operator who looks at what operators and admins both see: limits, risk rules and lists, webhooks, the
/// operators' log.
#[derive(Clone, Debug)]
pub struct Reader;

impl FromRequestParts<Arc<Edge>> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let operator = authenticate_operator(edge, &parts.headers).await?;
        if operator.roles.allow_any(OperatorRole::READERS) {
            return Ok(Self);
        }
        // None of its roles allows it: what it lacks is said by the first of them.
        operator.require(OperatorRole::Operator).map(|()| Self)
    }
}

/// The operator who calls a handler that is for admins.
#[derive(Clone, Debug)]
pub struct Admin(pub Operator);

impl FromRequestParts<Arc<Edge>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let operator = authenticate_operator(edge, &parts.headers).await?;
        operator.require(OperatorRole::Admin)?;
        Ok(Self(operator))
    }
}

/// Never from a cookie: what operators do is for programs, and for the console, which has its own.
async fn authenticate_operator(edge: &Edge, headers: &HeaderMap) -> Result<Operator, Problem> {
    match accept(edge, in_header(headers)?.token()).await? {
        Principal::Operator { name, roles, issued_at } => {
            check_not_revoked(edge, &name, issued_at).await?;
            Ok(Operator { name, roles })
        }
        Principal::Buyer(_) => {
            Err(Problem::new(Code::Forbidden, "this is for operators, and the token is a buyer's"))
        }
    }
}

/// Checks that tokens of this name that were minted then are accepted. Where accounts cannot be read, what
/// is known of them counts, and the token alone if nothing is.
///
/// # Errors
/// Returns an `unauthenticated` problem if they were revoked.
pub async fn check_not_revoked(
    edge: &Edge,
    name: &str,
    issued_at: Timestamp,
) -> Result<(), Problem> {
    match edge.sales.operator(name, edge.engine.now()).await {
        Found::Account(account) | Found::LastKnown(account)
            // A token's time is in whole seconds: one of the same second is revoked with the others.
            if account.is_disabled || issued_at < account.tokens_from =>
        {
            let why = if account.is_disabled {
                "the operator's account is disabled: no token of this name is accepted until an admin \
                 enables it"
            } else {
                "the operator's tokens were revoked when the account was disabled: mint another one"
            };
            Err(Problem::new(Code::Unauthenticated, why))
        }
        _ => Ok(()),
    }
}
