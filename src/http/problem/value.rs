//! A problem as handlers return it: a value until the edge renders it, because only the edge knows
//! the request's identity.
//!
//! Must not know the refusals that problems are made of: `refusals.rs` does.

use super::code::Code;
use crate::http::limits::Standing;
use crate::http::timestamp;
use axum::response::{IntoResponse, Response};
use domain::{Order, Timestamp};
use std::borrow::Cow;
use std::num::NonZeroU32;

/// One field, parameter or header that is not valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// JSON Pointer into the body, or the name of a parameter or header.
    pub pointer: String,
    /// What it should have been, for a person.
    pub detail: Cow<'static, str>,
}

impl FieldError {
    /// Says that the field at `pointer` is not valid because of `detail`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// The fields that are not valid: the first of them, and how many more there are. A request can have as
/// many mistakes as it has bytes, and nobody reads so many.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FieldErrors {
    /// The first of them, at most [`Self::SHOWN_MAX`].
    pub shown: Vec<FieldError>,
    /// How many more there are.
    pub more: usize,
}

impl FieldErrors {
    /// The most that are shown.
    pub const SHOWN_MAX: usize = 20;

    /// Adds a field that is not valid.
    pub fn push(&mut self, error: FieldError) {
        if self.shown.len() < Self::SHOWN_MAX {
            self.shown.push(error);
        } else {
            self.more += 1;
        }
    }

    /// Returns whether every field is valid.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Returns `read` if every field is valid.
    ///
    /// # Errors
    /// Returns an `invalid_field` problem with the fields that are not.
    pub fn or<T>(self, read: T) -> Result<T, Problem> {
        if self.is_empty() { Ok(read) } else { Err(Problem::fields(self)) }
    }
}

impl FromIterator<FieldError> for FieldErrors {
    fn from_iter<I: IntoIterator<Item = FieldError>>(errors: I) -> Self {
        let mut all = Self::default();
        errors.into_iter().for_each(|error| all.push(error));
        all
    }
}

/// Returns a name that a client chose, cut off where it gets long.
pub fn shortened(name: &str) -> Cow<'_, str> {
    const LENGTH_MAX: usize = 64;
    match name.char_indices().nth(LENGTH_MAX) {
        None => Cow::Borrowed(name),
        Some((end, _)) => Cow::Owned(format!("{}…", &name[..end])),
    }
}

/// How a request can be repeated whose outcome is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// It had a key, by which a repeat is recognised.
    ByKey,
    /// Done twice it comes to the same.
    IsHarmless,
    /// A repeat may be done a second time.
    AfterALook,
}

/// What went wrong with one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What went wrong, for programs.
    pub code: Code,
    /// What went wrong in this request, for a person.
    pub detail: Cow<'static, str>,
    /// The fields that are not valid; empty with every code but `invalid_field`.
    pub errors: FieldErrors,
    /// When the sale starts, for a purchase that came before its start.
    pub starts_at: Option<Timestamp>,
    /// When tokens are given out, for one that was asked for too early.
    pub opens_at: Option<Timestamp>,
    /// The sale's present revision, for a change that was made from another one.
    pub revision: Option<u64>,
    /// How the caller stands with a limit: with the one that it exceeded, or one of which it has little
    /// left.
    pub standing: Option<Box<Standing>>,
    /// After how many seconds to try again, if that is not what the code says.
    pub retry_after_seconds: Option<NonZeroU32>,
}

impl Problem {
    /// Makes a problem of this code with `detail` in words.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: FieldErrors::default(),
            starts_at: None,
            opens_at: None,
            revision: None,
            standing: None,
            retry_after_seconds: None,
        }
    }

    /// Makes the problem of a request whose fields are not valid.
    pub fn fields(errors: FieldErrors) -> Self {
        let detail = match errors.shown.as_slice() {
            [only] if only.pointer.is_empty() => format!("the body {}", only.detail),
            [only] => format!("{}: {}", only.pointer, only.detail),
            shown => format!("{} fields are not valid", shown.len() + errors.more),
        };
        Self { errors, ..Self::new(Code::InvalidField, detail) }
    }

    /// Makes the problem of a request with one field that is not valid.
    pub fn field(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::fields(FieldErrors { shown: vec![FieldError::new(pointer, detail)], more: 0 })
    }

    /// Makes the problem of a request while answers that clients do not take fill the memory for them.
    pub fn too_much_unread() -> Self {
        Self::new(Code::Overloaded, "nothing was done: too many answers wait for their clients")
    }

    /// Makes the problem of a path that is not served.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "there is nothing at this path")
    }

    /// Makes the problem of an order that does not exist or is another buyer's.
    pub fn order_not_found() -> Self {
        Self::new(Code::OrderNotFound, "you have no such order")
    }

    /// Makes the problem of a request that was cut short and may or may not have been done: with what its caller can
    /// do about it.
    pub fn cut_short(repeat: Repeat) -> Self {
        Self::new(
            Code::OutcomeUnknown,
            match repeat {
                Repeat::ByKey => return Self::outcome_unknown(),
                Repeat::IsHarmless => {
                    "it may or may not have been done: send it again, because what is sent twice is done once"
                }
                Repeat::AfterALook => {
                    "it may or may not have been done: look at what is there before you repeat it"
                }
            },
        )
    }

    /// Makes the problem of an item that does not exist or is not on sale.
    pub fn item_not_found() -> Self {
        Self::new(Code::ItemNotFound, "there is no such item on sale")
    }

    /// Makes the problem of a buy token that was asked for before `opens_at`.
    pub fn buy_token_not_open(opens_at: Timestamp) -> Self {
        Self {
            opens_at: Some(opens_at),
            ..Self::new(Code::BuyTokenNotOpen, "tokens are given out from opens_at")
        }
    }

    /// Makes the problem of a sale that does not exist.
    pub fn sale_not_found() -> Self {
        Self::new(Code::SaleNotFound, "there is no such sale")
    }

    /// Makes the problem of a purchase that may or may not have been decided.
    pub fn outcome_unknown() -> Self {
        Self::new(
            Code::OutcomeUnknown,
            "it may or may not have been done: repeat it only with the same Idempotency-Key",
        )
    }

    /// Makes the problem of a purchase of `quantity` units by a buyer who may hold `limit` of them.
    pub fn limit_reached(limit: u16, quantity: u16) -> Self {
        let detail = if quantity > limit {
            format!("one buyer may hold {limit} of this item, and you asked for {quantity}")
        } else {
            format!(
                "one buyer may hold {limit} of this item: with {quantity} more you would hold more \
                 than that"
            )
        };
        Self::new(Code::LimitReached, detail)
    }

    /// Makes the problem of an order that has ended, to which this cannot be done any more.
    pub fn order_closed(order: &Order) -> Self {
        Self::new(Code::OrderClosed, format!("the order is {}", order.status.name()))
    }

    /// Makes the problem of an order that ended so long ago that its shard released it.
    pub fn order_released(order: &Order) -> Self {
        let status = order.status.name();
        Self::new(
            Code::OrderClosed,
            format!("the order is {status} and its sale is settled: nothing was done or taken"),
        )
    }

    /// Returns after how many seconds to try again, if that is of use.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.retry_after_seconds.map(NonZeroU32::get).or_else(|| self.code.retry_after_seconds())
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
        if let Some(opens_at) = self.opens_at {
            out.extend_from_slice(b",\"opens_at\":\"");
            out.extend_from_slice(&timestamp::render(opens_at));
            out.push(b'"');
        }
        if let Some(revision) = self.revision {
            out.extend_from_slice(b",\"revision\":");
            out.extend_from_slice(itoa::Buffer::new().format(revision).as_bytes());
        }
        if let Some(standing) = self.standing.as_ref().filter(|_| self.code == Code::RateLimited) {
            out.extend_from_slice(b",\"violated-policies\":[\"");
            out.extend_from_slice(standing.policy().as_bytes());
            out.extend_from_slice(b"\"]");
        }
        if !self.errors.is_empty() {
            out.extend_from_slice(b",\"errors\":[");
            for (place, error) in self.errors.shown.iter().enumerate() {
                out.extend_from_slice(if place > 0 { b",{" } else { b"{" });
                out.extend_from_slice(b"\"pointer\":");
                push_text(&error.pointer, out);
                out.extend_from_slice(b",\"detail\":");
                push_text(&error.detail, out);
                out.push(b'}');
            }
            out.push(b']');
            if self.errors.more > 0 {
                out.extend_from_slice(b",\"more\":");
                out.extend_from_slice(itoa::Buffer::new().format(self.errors.more).as_bytes());
            }
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

/// The problem travels in the response's extensions until the edge renders it.
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

    #[test]
    fn a_rendered_problem_is_json_whatever_it_says() {
        let problem = Problem {
            starts_at: Some(Timestamp(0)),
            opens_at: Some(Timestamp(1)),
            ..Problem::fields(FieldErrors {
                shown: vec![
                    FieldError::new("/a\"b", "line\nbreak"),
                    FieldError::new("/c", "plain"),
                ],
                more: 3,
            })
        };
        let mut text = Vec::new();
        problem.render("r-1", &mut text);
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let expected = serde_json::json!({
            "type": "/problems/invalid_field",
            "title": "A field is not valid",
            "status": 422,
            "code": "invalid_field",
            "detail": "5 fields are not valid",
            "starts_at": "1970-01-01T00:00:00.000Z",
            "opens_at": "1970-01-01T00:00:00.001Z",
            "errors": [
                {"pointer": "/a\"b", "detail": "line\nbreak"},
                {"pointer": "/c", "detail": "plain"},
            ],
            "more": 3,
            "request_id": "r-1",
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_list_of_errors_has_an_end() {
        let errors: FieldErrors =
            (0..1_000).map(|place| FieldError::new(format!("/{place}"), "wrong")).collect();
        let problem = Problem::fields(errors);
        assert_eq!((problem.errors.shown.len(), problem.errors.more), (20, 980));
        assert_eq!(problem.detail, "1000 fields are not valid");
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"双".repeat(65)), format!("{}…", "双".repeat(64)));
    }

    #[test]
    fn the_body_itself_is_called_so() {
        assert_eq!(Problem::field("", "must be an object").detail, "the body must be an object");
    }
}
