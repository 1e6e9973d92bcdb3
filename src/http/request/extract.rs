//! What handlers take out of a request, with every mistake told as a [`Problem`].

use super::body::{self, BodyBytesMax};
use super::json;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use hyper::body::Body as _;
use hyper::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The JSON object that is the request's body.
#[derive(Debug)]
pub struct JsonObject(pub Map<String, Value>);

impl FromRequest<Arc<Edge>> for JsonObject {
    type Rejection = Problem;

    async fn from_request(request: Request, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if body.is_end_stream() {
            return Err(Problem::new(Code::MalformedJson, "a JSON object is needed as the body"));
        }
        json::require_json(&parts.headers)?;
        let bytes = body::read(body, bytes_max(&parts, edge), edge.options.body_timeout).await?;
        json::parse_object(&bytes).map(Self)
    }
}

/// The JSON object that is the request's body; an empty object if there is no body.
#[derive(Debug)]
pub struct OptionalJsonObject(pub Map<String, Value>);

impl FromRequest<Arc<Edge>> for OptionalJsonObject {
    type Rejection = Problem;

    async fn from_request(request: Request, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = body::read(body, bytes_max(&parts, edge), edge.options.body_timeout).await?;
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        json::require_json(&parts.headers)?;
        json::parse_object(&bytes).map(Self)
    }
}

fn bytes_max(parts: &Parts, edge: &Edge) -> usize {
    let said = parts.extensions.get().map(|BodyBytesMax(bytes_max)| *bytes_max);
    said.unwrap_or_else(|| edge.live_options.body_bytes_max())
}

/// The parameters of the request's query.
#[derive(Debug)]
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Edge>> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let Query(parameters) = Query::<T>::from_request_parts(parts, edge)
            .await
            .map_err(|_| Problem::field("query", "must be pairs of a name and a value"))?;
        Ok(Self(parameters))
    }
}
