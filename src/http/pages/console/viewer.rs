//! Who may watch the shop: everybody who may see the console at all, by their session there or, as a
//! program, by an operator's token.

use super::visit::Visit;
use crate::http::auth::bearer::Operator;
use crate::http::identity::operators::identify;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use domain::OperatorRole;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use std::sync::Arc;

/// The caller may watch.
#[derive(Clone, Debug)]
pub struct MayWatch(Parts);

impl MayWatch {
    /// Checks that the caller would still be let in.
    ///
    /// # Errors
    /// Returns why not: the session or token is over, or the account was disabled or may less now. Where
    /// that cannot be read, who was let in stays.
    pub async fn check_again(&mut self, edge: &Arc<Edge>) -> Result<(), Problem> {
        match Self::from_request_parts(&mut self.0, edge).await {
            Err(problem) if matches!(problem.code, Code::Unauthenticated | Code::Forbidden) => {
                Err(problem)
            }
            _ => Ok(()),
        }
    }
}

impl FromRequestParts<Arc<Edge>> for MayWatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        if parts.headers.contains_key(AUTHORIZATION) {
            return Operator::from_request_parts(parts, edge).await.map(|_| Self(parts.clone()));
        }
        let unknown = || Problem::new(Code::Unauthenticated, "log in to the console");
        identify(edge, parts).await?.ok_or_else(unknown)?.require(OperatorRole::Viewer)?;
        Ok(Self(parts.clone()))
    }
}

/// Somebody who looks at a page of figures: an operator at a browser, or a program of one. Who has not
/// logged in is led to where that is done.
#[derive(Clone, Debug)]
pub struct Looker(pub Option<Visit>);

impl FromRequestParts<Arc<Edge>> for Looker {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Response> {
        if parts.headers.contains_key(AUTHORIZATION) {
            let operator = Operator::from_request_parts(parts, edge).await;
            return operator.map(|_| Self(None)).map_err(IntoResponse::into_response);
        }
        let visit = Visit::from_request_parts(parts, edge).await?;
        visit.user.require(OperatorRole::Viewer).map_err(IntoResponse::into_response)?;
        Ok(Self(Some(visit)))
    }
}
