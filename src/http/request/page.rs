//! How much of a list a query asks for.

use super::rules::{Identity, Integer, Rule};
use crate::http::api::example;
use crate::http::problem::Problem;
use domain::catalogue::Day;
use serde::Deserialize;
use std::str::FromStr;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema};

/// Entries of a page if the caller does not say how many.
const LIMIT_DEFAULT: u64 = 20;
/// The most entries of a page.
const LIMIT_MAX: u64 = 100;

type Limit = Integer<usize, 1, LIMIT_MAX>;

/// The page of a list that a query asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct PageQuery {
    /// The most entries to return.
    pub limit: Option<String>,
    /// The last entry of the page before.
    pub starting_after: Option<String>,
}

impl PageQuery {
    /// Returns the most entries to return, and the entry to start after.
    ///
    /// # Errors
    /// Returns an `invalid_field` problem if one of them is not valid.
    pub fn read<T: FromStr>(&self) -> Result<(usize, Option<T>), Problem> {
        let limit = match &self.limit {
            None => LIMIT_DEFAULT.into(),
            Some(text) => text.parse::<u64>().map_or_else(|_| text.as_str().into(), Into::into),
        };
        let limit = Limit::read(limit).map_err(|detail| Problem::field("limit", detail))?;
        Ok((limit, place(self.starting_after.as_deref())?))
    }
}

/// The parameter that says where a list goes on.
pub const PLACE: &str = "starting_after";

/// Reads the entry that a list goes on after.
///
/// # Errors
/// Returns an `invalid_field` problem if it is no identity.
pub fn place<T: FromStr>(starting_after: Option<&str>) -> Result<Option<T>, Problem> {
    let read = |text: &str| {
        let detail = "must be an identity, as a list shows it";
        text.parse().map_err(|_| Problem::field(PLACE, detail))
    };
    starting_after.map(read).transpose()
}

impl IntoParams for PageQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            query_parameter(
                "limit",
                "The most entries to return; 20 if it is absent.",
                Limit::schema(),
                LIMIT_DEFAULT.into(),
            ),
            query_parameter(
                PLACE,
                "The last entry of the page before: the list goes on after it.",
                Identity::schema(),
                example::SALE_ID.into(),
            ),
        ]
    }
}

/// Returns an optional parameter of a query.
pub fn query_parameter(
    name: &str,
    description: &str,
    schema: RefOr<Schema>,
    example: serde_json::Value,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .example(Some(example))
        .build()
}

/// The sales that a query asks for: a page of them, or those of a day.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct SalesQuery {
    /// The most entries to return.
    pub limit: Option<String>,
    /// The last entry of the page before.
    pub starting_after: Option<String>,
    /// A day in UTC, such as `2026-11-21`.
    pub date: Option<String>,
}

impl SalesQuery {
    /// Returns the day whose sales are asked for, if one is.
    ///
    /// # Errors
    /// Returns an `invalid_field` problem if it is not a day, or if a page is asked for as well.
    pub fn day(&self) -> Result<Option<Day>, Problem> {
        let Some(text) = &self.date else { return Ok(None) };
        for (name, value) in [("limit", &self.limit), (PLACE, &self.starting_after)] {
            if value.is_some() {
                return Err(Problem::field(name, "not together with date"));
            }
        }
        let day = text.parse().map_err(|_| {
            Problem::field("date", "must be a day as 2026-11-21, from 1970-01-01 to 9999-12-31")
        })?;
        Ok(Some(day))
    }

    /// Returns the page that is asked for if no day is.
    pub fn page(self) -> PageQuery {
        PageQuery { limit: self.limit, starting_after: self.starting_after }
    }
}

impl IntoParams for SalesQuery {
    fn into_params(provider: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let day = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)));
        let mut parameters = PageQuery::into_params(provider);
        parameters.push(query_parameter(
            "date",
            "A day in UTC: the sales whose window touches it, ordered by their start, at most a \
             hundred and in one page. Not together with `limit` or `starting_after`.",
            day.into(),
            example::DAY.into(),
        ));
        parameters
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
            query.read::<OrderId>().map_err(|problem| problem.errors.shown[0].pointer.clone())
        };
        assert_eq!(read(None, None), Ok((20, None)));
        assert_eq!(read(Some("100"), Some("7")), Ok((100, Some(OrderId(7)))));
        for limit in ["0", "101", "-1", "x", "", "1e2"] {
            assert_eq!(read(Some(limit), None), Err("limit".to_owned()), "{limit}");
        }
        assert_eq!(read(None, Some("-7")), Err("starting_after".to_owned()));
    }
}
