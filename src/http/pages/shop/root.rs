//! `/`: leads to the home page in the visitor's language; `/language/{language}`: the visitor's choice.

use super::visit::Visit;
use crate::http::identity::cookie::LANGUAGE;
use crate::http::pages::form::own_path;
use crate::http::pages::headers::{Keep, add_cookie};
use crate::http::pages::language::Language;
use crate::http::problem::Problem;
use crate::http::request::path::{Id, Segment};
use crate::http::state::Edge;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use domain::OrderId;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue, LOCATION, VARY};
use serde::Deserialize;
use std::sync::Arc;

/// How long a choice of language is kept: a year.
const CHOICE_SECONDS: u64 = 31_536_000;

/// Leads to the home page in the visitor's language.
pub async fn show(State(edge): State<Arc<Edge>>, visit: Visit) -> Response {
    let language = Language::preferred(&visit.headers, visit.place(&edge));
    let headers = [
        (LOCATION, HeaderValue::try_from(format!("/{}/", language.name()))),
        (CACHE_CONTROL, Ok(HeaderValue::from_static(Keep::Nobody.value()))),
        (VARY, Ok(HeaderValue::from_static("accept-language, cookie"))),
    ];
    let mut response = StatusCode::FOUND.into_response();
    for (name, value) in headers {
        if let Ok(value) = value {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Leads from `/zh` to `/zh/`.
pub async fn home_of_language(visit: Visit) -> Redirect {
    Redirect::permanent(&visit.href("/"))
}

/// Leads to an order in the visitor's language: providers know no language.
pub async fn order(Id(order_id): Id<OrderId>, visit: Visit) -> Redirect {
    Redirect::to(&visit.href(format_args!("/orders/{order_id}")))
}

/// Where to go on to.
#[derive(Debug, Deserialize)]
pub struct Onward {
    /// A path of this shop.
    #[serde(default)]
    pub to: String,
}

/// Keeps the visitor's choice of language, and leads back to the page that it was made on.
pub async fn choose_language(
    State(edge): State<Arc<Edge>>,
    Segment(name): Segment,
    onward: Result<Query<Onward>, axum::extract::rejection::QueryRejection>,
    visit: Visit,
) -> Result<Response, Problem> {
    let language = Language::from_name(&name).ok_or_else(Problem::not_found)?;
    let to = onward.map(|Query(Onward { to })| to).unwrap_or_default();
    let home = format!("/{}/", language.name());
    let mut response = Redirect::to(own_path(&to).unwrap_or(&home)).into_response();
    let cookie = LANGUAGE.set(visit.place(&edge), language.name(), CHOICE_SECONDS);
    add_cookie(response.headers_mut(), cookie);
    Ok(response)
}
