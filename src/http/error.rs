//! The one map from what went wrong to status and `application/problem+json` (RFC 9457).
//!
//! Owns the codes. A [`Problem`] is a value until the edge renders it, because only the edge knows
//! the request's id.

use super::timestamp;
use crate::actors::NotDelivered;
use crate::sales::preheat::PreheatError;
use crate::sales::{CatalogueError, ReadError, RecordsUnavailable};
use axum::response::{IntoResponse, Response};
use domain::{Order, Refusal, StepRefused, Timestamp};
use hyper::StatusCode;
use std::borrow::Cow;

/// Declares the codes: name in the program, status, name in JSON, title, meaning.
macro_rules! codes {
    ($(#[doc = $meaning:literal] $variant:ident $status:literal $name:literal $title:literal;)*) => {
        /// Every code that a problem of this API can carry.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Code { $(#[doc = $meaning] $variant,)* }

        impl Code {
            /// All of them, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The status that goes with it.
            pub fn status(self) -> StatusCode {
                let number = match self { $(Self::$variant => $status,)* };
                StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            /// Its name in JSON and in metrics.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it says to a person, in short.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning.trim_ascii_start(),)* }
            }
        }
    };
}

codes! {
    /// The body is not JSON, or not one JSON object without repeated keys.
    MalformedJson 400 "malformed_json" "The body is not valid JSON";
    /// The request line or a header is not HTTP as this server speaks it.
    BadRequest 400 "bad_request" "The request is not valid";
    /// A field, parameter or header has a value that is not allowed.
    InvalidField 422 "invalid_field" "A field is not valid";
    /// No token or one that is not accepted, or a wrong user name or password.
    Unauthenticated 401 "unauthenticated" "Not known who is asking";
    /// The bearer may not do this.
    Forbidden 403 "forbidden" "Not allowed";
    /// The sandbox was told to let the payment fail.
    PaymentFailed 402 "payment_failed" "The payment failed";
    /// No such path.
    NotFound 404 "not_found" "No such resource";
    /// No such item, or none that buyers may see.
    ItemNotFound 404 "item_not_found" "No such item";
    /// No such order of this buyer.
    OrderNotFound 404 "order_not_found" "No such order";
    /// No such sale, or none that the asker may see.
    SaleNotFound 404 "sale_not_found" "No such sale";
    /// The path is known, the method is not one of its methods.
    MethodNotAllowed 405 "method_not_allowed" "This method is not available here";
    /// The client took too long over its request.
    RequestTimeout 408 "request_timeout" "The request took too long to arrive";
    /// Fewer units are available than were asked for.
    SoldOut 409 "sold_out" "Sold out";
    /// The buyer would hold more of the item than allowed.
    LimitReached 409 "limit_reached" "The limit per buyer is reached";
    /// The sale has not begun.
    SaleNotStarted 409 "sale_not_started" "The sale has not started";
    /// The sale is over.
    SaleEnded 409 "sale_ended" "The sale has ended";
    /// An operator has paused the item.
    SalePaused 409 "sale_paused" "The sale is paused";
    /// The order has ended.
    OrderClosed 409 "order_closed" "The order is closed";
    /// The key was used for another purchase.
    IdempotencyKeyReused 409 "idempotency_key_reused" "The Idempotency-Key was used before";
    /// The sale or item is in a state that does not allow this.
    StateConflict 409 "state_conflict" "Not possible in this state";
    /// The user name belongs to someone else.
    UserNameTaken 409 "user_name_taken" "The user name is taken";
    /// The body is larger than allowed.
    BodyTooLarge 413 "body_too_large" "The body is too large";
    /// The body's type or encoding is not accepted.
    UnsupportedMediaType 415 "unsupported_media_type" "The body's type is not supported";
    /// The head of the request is larger than allowed.
    HeadersTooLarge 431 "headers_too_large" "Too many headers";
    /// More was asked for than the server takes at once.
    Overloaded 503 "overloaded" "Too busy at the moment";
    /// It may or may not have been done.
    OutcomeUnknown 503 "outcome_unknown" "The outcome is not known";
    /// The item is out of order for the moment.
    ItemQuarantined 503 "item_quarantined" "The item is out of order";
    /// The server is stopping.
    ShuttingDown 503 "shutting_down" "The server is shutting down";
}

impl Code {
    /// After how many seconds to try again, for the codes that ask for it.
    pub fn retry_after_seconds(self) -> Option<u32> {
        match self {
            Self::Overloaded | Self::OutcomeUnknown => Some(1),
            Self::ShuttingDown | Self::ItemQuarantined => Some(5),
            _ => None,
        }
    }

    /// The code of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

/// One field that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// JSON Pointer into the body, or the name of a parameter or header.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: Cow<'static, str>,
}

impl FieldError {
    /// `pointer` is wrong because of `detail`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// What went wrong with one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What.
    pub code: Code,
    /// What exactly, for a person.
    pub detail: Cow<'static, str>,
    /// The fields that are wrong.
    pub errors: Vec<FieldError>,
    /// When the sale starts, for a purchase that came before.
    pub starts_at: Option<Timestamp>,
}

impl Problem {
    /// A problem of this code with `detail` in words.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), starts_at: None }
    }

    /// Fields that are wrong.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => Cow::Owned(format!("{}: {}", only.pointer, only.detail)),
            _ => Cow::Owned(format!("{} fields are not valid", errors.len())),
        };
        Self { errors, ..Self::new(Code::InvalidField, detail) }
    }

    /// One field that is wrong.
    pub fn field(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::fields(vec![FieldError::new(pointer, detail)])
    }

    /// No such path.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "there is nothing at this path")
    }

    /// No such order of the asking buyer.
    pub fn order_not_found() -> Self {
        Self::new(Code::OrderNotFound, "you have no such order")
    }

    /// No such item.
    pub fn item_not_found() -> Self {
        Self::new(Code::ItemNotFound, "there is no such item on sale")
    }

    /// No such sale.
    pub fn sale_not_found() -> Self {
        Self::new(Code::SaleNotFound, "there is no such sale")
    }

    /// The engine did not say what became of it.
    pub fn outcome_unknown() -> Self {
        Self::new(
            Code::OutcomeUnknown,
            "it may or may not have been done: repeat it only with the same Idempotency-Key",
        )
    }

    /// Appends the problem as JSON to `out`.
    pub fn render(&self, request_id: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":\"/problems/");
        out.extend_from_slice(self.code.name().as_bytes());
        out.extend_from_slice(b"\",\"title\":\"");
        out.extend_from_slice(self.code.title().as_bytes());
        out.extend_from_slice(b"\",\"status\":");
        out.extend_from_slice(self.code.status().as_str().as_bytes());
        out.extend_from_slice(b",\"code\":\"");
        out.extend_from_slice(self.code.name().as_bytes());
        out.extend_from_slice(b"\",\"detail\":");
        push_text(&self.detail, out);
        if let Some(starts_at) = self.starts_at {
            out.extend_from_slice(b",\"starts_at\":\"");
            out.extend_from_slice(&timestamp::render(starts_at));
            out.push(b'"');
        }
        if !self.errors.is_empty() {
            out.extend_from_slice(b",\"errors\":[");
            for (place, error) in self.errors.iter().enumerate() {
                out.extend_from_slice(if place > 0 { b",{" } else { b"{" });
                out.extend_from_slice(b"\"pointer\":");
                push_text(&error.pointer, out);
                out.extend_from_slice(b",\"detail\":");
                push_text(&error.detail, out);
                out.push(b'}');
            }
            out.push(b']');
        }
        out.extend_from_slice(b",\"request_id\":\"");
        out.extend_from_slice(request_id.as_bytes());
        out.extend_from_slice(b"\"}");
    }
}

/// Appends `text` as a JSON string; the usual detail needs no escape and is copied whole.
fn push_text(text: &str, out: &mut Vec<u8>) {
    let plain = text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else if let Ok(escaped) = serde_json::to_vec(text) {
        out.extend_from_slice(&escaped);
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ItemNotFound => Self::item_not_found(),
            Refusal::OrderNotFound => Self::order_not_found(),
            Refusal::SaleNotStarted { starts_at } => Self {
                starts_at: Some(starts_at),
                ..Self::new(Code::SaleNotStarted, "wait until starts_at")
            },
            Refusal::SaleEnded => Self::new(Code::SaleEnded, "the sale of this item is over"),
            Refusal::SalePaused => {
                Self::new(Code::SalePaused, "an operator has paused the sale of this item")
            }
            Refusal::SoldOut => {
                Self::new(Code::SoldOut, "fewer units are available than were asked for")
            }
            Refusal::LimitReached => {
                Self::new(Code::LimitReached, "you hold as many of this item as one buyer may")
            }
            Refusal::IdempotencyKeyReused => Self::new(
                Code::IdempotencyKeyReused,
                "this Idempotency-Key was used for another purchase: use a new one",
            ),
            Refusal::OrderClosed(order) => Self::order_closed(&order),
            Refusal::PhaseConflict => {
                Self::new(Code::StateConflict, "the item is in a state that does not allow this")
            }
            Refusal::OutOfRange => {
                Self::field("/units", "would take the item's allotment beyond its bound")
            }
        }
    }
}

impl From<NotDelivered> for Problem {
    fn from(reason: NotDelivered) -> Self {
        match reason {
            NotDelivered::Overloaded => {
                Self::new(Code::Overloaded, "nothing was done: try again in a moment")
            }
            NotDelivered::StorageFull => {
                Self::new(Code::Overloaded, "nothing was done: the journal has no room")
            }
            NotDelivered::BacklogFull => {
                Self::new(Code::Overloaded, "nothing was done: the order store is behind")
            }
            NotDelivered::Quarantined => {
                Self::new(Code::ItemQuarantined, "nothing was done: the item is being looked at")
            }
            NotDelivered::ShuttingDown => {
                Self::new(Code::ShuttingDown, "nothing was done: the server is stopping")
            }
        }
    }
}

impl From<RecordsUnavailable> for Problem {
    fn from(error: RecordsUnavailable) -> Self {
        Self::new(Code::Overloaded, error.to_string())
    }
}

impl From<CatalogueError> for Problem {
    fn from(error: CatalogueError) -> Self {
        match error {
            CatalogueError::SaleNotFound => Self::sale_not_found(),
            CatalogueError::Refused(refused @ StepRefused::OwnWork) => {
                Self::new(Code::Forbidden, refused.to_string())
            }
            CatalogueError::Refused(_)
            | CatalogueError::Frozen
            | CatalogueError::ChangedMeanwhile => Self::new(Code::StateConflict, error.to_string()),
            CatalogueError::NameTaken => Self::new(Code::UserNameTaken, "choose another user name"),
            CatalogueError::Invalid(problems) => Self::fields(
                problems
                    .into_iter()
                    .map(|problem| FieldError::new(pointer_of(&problem.field), problem.detail))
                    .collect(),
            ),
            CatalogueError::Store(error) => {
                tracing::warn!(%error, "the catalogue did not answer");
                RecordsUnavailable.into()
            }
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Load(error) => error.into(),
            ReadError::Overloaded => Self::new(Code::Overloaded, error.to_string()),
        }
    }
}

/// `items[2].price` as the JSON Pointer `/items/2/price`.
fn pointer_of(field: &str) -> String {
    let mut pointer = String::with_capacity(field.len() + 1);
    pointer.push('/');
    for letter in field.chars() {
        match letter {
            '[' | '.' => pointer.push('/'),
            ']' => {}
            letter => pointer.push(letter),
        }
    }
    pointer
}

impl From<PreheatError> for Problem {
    fn from(error: PreheatError) -> Self {
        let detail = format!("approved, but not yet preheated; approve again to go on: {error}");
        match error {
            PreheatError::NotLoaded { reason: Some(reason), .. } => {
                Self { detail: detail.into(), ..Self::from(reason) }
            }
            PreheatError::NotLoaded { reason: None, .. } => Self::new(Code::OutcomeUnknown, detail),
            PreheatError::Refused { .. } | PreheatError::NotOurs(_) => {
                Self::new(Code::StateConflict, detail)
            }
            PreheatError::Catalogue(error) => error.into(),
        }
    }
}

impl Problem {
    /// The order has ended and this cannot be done to it any more.
    pub fn order_closed(order: &Order) -> Self {
        Self::new(Code::OrderClosed, format!("the order is {}", order.status.name()))
    }
}

/// The problem travels in the response's extensions; the edge renders it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Currency, ItemId, OrderId, OrderStatus, RequestId, SaleId, UserId};

    fn order() -> Order {
        Order {
            order_id: OrderId(1),
            item_id: ItemId(2),
            sale_id: SaleId(3),
            user_id: UserId(4),
            request_id: RequestId(5),
            attempt: 1,
            quantity: 1,
            amount: 1,
            currency: Currency::parse("EUR").unwrap(),
            status: OrderStatus::Expired,
            expires_at: Timestamp(0),
        }
    }

    #[test]
    fn every_refusal_has_its_code() {
        let starts_at = Timestamp(0);
        for (refusal, status, code) in [
            (Refusal::ItemNotFound, 404, "item_not_found"),
            (Refusal::OrderNotFound, 404, "order_not_found"),
            (Refusal::SaleNotStarted { starts_at }, 409, "sale_not_started"),
            (Refusal::SaleEnded, 409, "sale_ended"),
            (Refusal::SalePaused, 409, "sale_paused"),
            (Refusal::SoldOut, 409, "sold_out"),
            (Refusal::LimitReached, 409, "limit_reached"),
            (Refusal::IdempotencyKeyReused, 409, "idempotency_key_reused"),
            (Refusal::OrderClosed(order()), 409, "order_closed"),
            (Refusal::PhaseConflict, 409, "state_conflict"),
            (Refusal::OutOfRange, 422, "invalid_field"),
        ] {
            let problem = Problem::from(refusal);
            assert_eq!(problem.code.status().as_u16(), status, "{refusal:?}");
            assert_eq!(problem.code.name(), code, "{refusal:?}");
        }
    }

    #[test]
    fn what_was_not_delivered_is_503_and_says_when_to_come_back() {
        for (reason, code) in [
            (NotDelivered::Overloaded, "overloaded"),
            (NotDelivered::StorageFull, "overloaded"),
            (NotDelivered::BacklogFull, "overloaded"),
            (NotDelivered::Quarantined, "item_quarantined"),
            (NotDelivered::ShuttingDown, "shutting_down"),
        ] {
            let problem = Problem::from(reason);
            assert_eq!(problem.code.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(problem.code.name(), code);
            assert!(problem.code.retry_after_seconds().is_some(), "{code}");
        }
        for code in Code::ALL {
            let unavailable = code.status() == StatusCode::SERVICE_UNAVAILABLE;
            assert_eq!(code.retry_after_seconds().is_some(), unavailable, "{}", code.name());
            assert_eq!(Code::from_name(code.name()), Some(*code));
        }
    }

    #[test]
    fn a_rendered_problem_is_json_whatever_it_says() {
        let problem = Problem {
            starts_at: Some(Timestamp(0)),
            ..Problem::fields(vec![
                FieldError::new("/a\"b", "line\nbreak"),
                FieldError::new("/c", "plain"),
            ])
        };
        let mut text = Vec::new();
        problem.render("r-1", &mut text);
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let expected = serde_json::json!({
            "type": "/problems/invalid_field",
            "title": "A field is not valid",
            "status": 422,
            "code": "invalid_field",
            "detail": "2 fields are not valid",
            "starts_at": "1970-01-01T00:00:00.000Z",
            "errors": [
                {"pointer": "/a\"b", "detail": "line\nbreak"},
                {"pointer": "/c", "detail": "plain"},
            ],
            "request_id": "r-1",
        });
        assert_eq!(json, expected);
    }
}
