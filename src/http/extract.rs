//! What handlers take out of a request, with every mistake told as a [`Problem`].

use super::body;
use super::edge::Edge;
use super::error::{Code, Problem};
use super::options::Options;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use domain::catalogue::Day;
use hyper::body::Body as _;
use hyper::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A JSON object as the body.
#[derive(Debug)]
pub struct JsonObject(pub Map<String, Value>);

impl FromRequest<Arc<Edge>> for JsonObject {
    type Rejection = Problem;

    async fn from_request(request: Request, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if body.is_end_stream() {
            return Err(Problem::new(Code::MalformedJson, "a JSON object is needed as the body"));
        }
        body::require_json(&parts.headers)?;
        let options = &edge.options;
        let bytes = body::read(body, bytes_max(&parts, options), options.body_timeout).await?;
        body::parse_object(&bytes).map(Self)
    }
}

/// A JSON object as the body, or no body at all.
#[derive(Debug)]
pub struct OptionalJsonObject(pub Map<String, Value>);

impl FromRequest<Arc<Edge>> for OptionalJsonObject {
    type Rejection = Problem;

    async fn from_request(request: Request, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let options = &edge.options;
        let bytes = body::read(body, bytes_max(&parts, options), options.body_timeout).await?;
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        body::require_json(&parts.headers)?;
        body::parse_object(&bytes).map(Self)
    }
}

/// How long the body of this request may be: told by the edge, which alone knows its whole path.
#[derive(Clone, Copy, Debug)]
pub struct BodyBytesMax(pub usize);

fn bytes_max(parts: &Parts, options: &Options) -> usize {
    parts.extensions.get().map_or(options.body_bytes_max, |BodyBytesMax(bytes_max)| *bytes_max)
}

/// The query's parameters.
#[derive(Debug)]
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Edge>> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let Query(parameters) = Query::<T>::from_request_parts(parts, edge)
            .await
            .map_err(|rejection| Problem::field("query", rejection.body_text()))?;
        Ok(Self(parameters))
    }
}

/// How much of a list, as the query says it.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Entries at most, 1 to 100; 20 if absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub limit: Option<String>,
    /// The last entry of the page before.
    #[param(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub starting_after: Option<String>,
}

/// Entries of a page where the client does not say.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

impl PageQuery {
    /// The limit and the entry to start after.
    ///
    /// # Errors
    /// Where one of them is not valid.
    pub fn read<T: std::str::FromStr>(&self) -> Result<(usize, Option<T>), Problem> {
        let limit = match &self.limit {
            None => LIMIT_DEFAULT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
                .ok_or_else(|| Problem::field("limit", "must be an integer from 1 to 100"))?,
        };
        let starting_after = match &self.starting_after {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                Problem::field("starting_after", "must be an identity, as a list shows it")
            })?),
        };
        Ok((limit, starting_after))
    }
}

/// Which sales, as the query says it.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SalesQuery {
    /// Entries at most, 1 to 100; 20 if absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub limit: Option<String>,
    /// The last entry of the page before.
    #[param(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub starting_after: Option<String>,
    /// A day in UTC, as `2026-11-21`: the sales whose window touches it, by their start, at most a
    /// hundred and in one page. Not together with the other two.
    #[param(format = Date)]
    pub date: Option<String>,
}

impl SalesQuery {
    /// The day whose sales are asked for, if one is.
    ///
    /// # Errors
    /// Where it is none, or a page is asked for as well.
    pub fn day(&self) -> Result<Option<Day>, Problem> {
        let Some(text) = &self.date else { return Ok(None) };
        for (name, value) in [("limit", &self.limit), ("starting_after", &self.starting_after)] {
            if value.is_some() {
                return Err(Problem::field(name, "not together with date"));
            }
        }
        let day = text.parse().map_err(|_| {
            Problem::field("date", "must be a day as 2026-11-21, from 1970-01-01 to 9999-12-31")
        })?;
        Ok(Some(day))
    }

    /// The page that is asked for otherwise.
    pub fn page(self) -> PageQuery {
        PageQuery { limit: self.limit, starting_after: self.starting_after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::OrderId;

    #[test]
    fn pages_have_bounds() {
        let read = |limit: Option<&str>, after: Option<&str>| {
            let query = PageQuery {
                limit: limit.map(str::to_owned),
                starting_after: after.map(str::to_owned),
            };
            query.read::<OrderId>().map_err(|problem| problem.errors[0].pointer.clone())
        };
        assert_eq!(read(None, None), Ok((20, None)));
        assert_eq!(read(Some("100"), Some("7")), Ok((100, Some(OrderId(7)))));
        for limit in ["0", "101", "-1", "x", "", "1e2"] {
            assert_eq!(read(Some(limit), None), Err("limit".to_owned()), "{limit}");
        }
        assert_eq!(read(None, Some("-7")), Err("starting_after".to_owned()));
    }
}
