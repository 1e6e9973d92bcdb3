//! `POST /api/v1/visits`: a page was viewed. Browsers send it by themselves when they show one.

use crate::http::address::ClientAddress;
use crate::http::pages::visits::{View, VisitorId};
use crate::http::problem::Problem;
use crate::http::request::extract::JsonObject;
use crate::http::request::fields::{Body, body};
use crate::http::request::rules::{self, Characters, Rule};
use crate::http::state::Edge;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::ItemId;
use domain::catalogue::Day;
use hyper::StatusCode;
use hyper::header::{ACCEPT_LANGUAGE, HeaderMap, HeaderName, USER_AGENT};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

/// The header with a number by which the browser may be told from others.
static VISITOR: HeaderName = HeaderName::from_static("visitor");

body! {
    /// A view of a page.
    pub struct VisitRequest {
        /// The item that the page is about. One that is not on sale is not counted.
        Optional item: ItemNumber,
        /// The number from the header `Visitor` of the answer to an earlier view.
        Optional visitor: VisitorNumber,
    }
}

/// An item's identity.
pub struct ItemNumber;

impl ItemNumber {
    const CHARACTERS: Characters = Characters(&['0'..='9']);
}

impl Rule for ItemNumber {
    type Value = Option<ItemId>;

    fn schema() -> RefOr<Schema> {
        let pattern = Self::CHARACTERS.pattern(1, 20);
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
    }

    fn read(value: Value) -> Result<Option<ItemId>, Cow<'static, str>> {
        let text = rules::string(value)?;
        let is_number = (1..=20).contains(&text.len())
            && text.chars().all(|digit| Self::CHARACTERS.contains(digit));
        // A number that no item can have is none that is on sale.
        if is_number { Ok(text.parse().ok()) } else { Err("must be an item's identity".into()) }
    }
}

/// The number of a visitor.
pub struct VisitorNumber;

impl VisitorNumber {
    const DIGITS: usize = 16;
    const CHARACTERS: Characters = Characters(&['0'..='9', 'a'..='f']);
}

impl Rule for VisitorNumber {
    type Value = u64;

    fn schema() -> RefOr<Schema> {
        let pattern = Self::CHARACTERS.pattern(Self::DIGITS, Self::DIGITS);
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
    }

    fn read(value: Value) -> Result<u64, Cow<'static, str>> {
        let text = rules::string(value)?;
        let is_number = text.len() == Self::DIGITS
            && text.chars().all(|digit| Self::CHARACTERS.contains(digit));
        let number = u64::from_str_radix(&text, 16).ok().filter(|_| is_number);
        number.ok_or_else(|| "must be 16 characters, each one of 0 to 9 and a to f".into())
    }
}

/// Counts a view of a page.
///
/// Views and about how many different visitors there are, for those who run the shop. A browser that
/// sends `Sec-GPC: 1` or `DNT: 1` is never given a number.
#[utoipa::path(
    post, path = "/api/v1/visits", tag = "sales",
    request_body(content = VisitRequest, content_type = "application/json",
        example = json!({ "item": super::example::ITEM_ID })),
    responses(
        (status = 204, description = "It is counted, unless too many come at once",
            headers(("Visitor" = String, description = "A number for the next view, for who may be \
                told apart and has none"))),
    )
)]
pub async fn count(
    State(edge): State<Arc<Edge>>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    JsonObject(body): JsonObject,
) -> Result<Response, Problem> {
    let VisitRequest { item, visitor } = VisitRequest::parse(body)?;
    let is_known =
        |item: &ItemId| edge.engine.gate(*item).is_some() || edge.engine.is_elsewhere(*item);
    let item = item.flatten().filter(is_known);
    let day = Day::of(edge.engine.now());
    let (visitor, given) = match edge.options.visitor_id {
        VisitorId::Off => (None, None),
        VisitorId::Random if !wants_privacy(&headers) => match visitor {
            Some(visitor) => (Some(visitor), None),
            None => {
                let drawn: u64 = rand::random();
                (Some(drawn), Some(format!("{drawn:016x}")))
            }
        },
        VisitorId::Random | VisitorId::DailyHash => {
            let value = |name| headers.get(name).map_or(&b""[..], |value| value.as_bytes());
            let subscriber = address.subscriber().bits().to_be_bytes();
            let values = [&subscriber[..], value(USER_AGENT), value(ACCEPT_LANGUAGE)];
            (Some(edge.visits.daily_hash(day, &values)), None)
        }
    };
    edge.visits.view(View { item, visitor });
    let given = given.map(|number| [(VISITOR.clone(), number)]);
    Ok(match given {
        Some(given) => (StatusCode::NO_CONTENT, given).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Whether the browser says that its user does not want to be tracked.
fn wants_privacy(headers: &HeaderMap) -> bool {
    ["sec-gpc", "dnt"].iter().any(|name| headers.get(*name).is_some_and(|value| value == "1"))
}
