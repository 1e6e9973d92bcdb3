//! A problem as the OpenAPI document shows it. `value.rs` renders the same fields by hand.

use super::code::Code;
use super::value::Problem;
use domain::{Refusal, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What went wrong with a request (RFC 9457).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView {
    /// The path of the page that explains the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means, in short.
    pub title: String,
    /// The response's status code.
    pub status: u16,
    /// What went wrong, for programs.
    pub code: String,
    /// What went wrong in this request, for a person.
    pub detail: String,
    /// When the sale starts; only with `sale_not_started`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub starts_at: Option<String>,
    /// When buy tokens are given out; only with `buy_token_not_open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub opens_at: Option<String>,
    /// The sale's present revision; only with `revision_conflict` and `revision_required`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The limits that the request would exceed; only with `rate_limited`. See `RateLimit-Policy`.
    #[serde(rename = "violated-policies", skip_serializing_if = "Option::is_none")]
    pub violated_policies: Option<Vec<String>>,
    /// The fields that are not valid; only with `invalid_field`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<FieldErrorView>>,
    /// How many more fields are not valid; only if there are more than `errors` shows, at most 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more: Option<usize>,
    /// The request's identity, as in `X-Request-Id`.
    pub request_id: String,
}

/// A field, parameter or header that is not valid.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub struct FieldErrorView {
    /// JSON Pointer into the body, or the name of a parameter or header.
    pub pointer: String,
    /// What it should have been, for a person.
    pub detail: String,
}

impl ProblemView {
    /// Returns a problem of this code as a response's body: with the words that the API uses for a
    /// refusal, and otherwise with the code's meaning.
    pub fn example(code: Code) -> Value {
        let problem = match code {
            Code::InvalidField => Problem::field("/quantity", "must be an integer from 1 to 10000"),
            Code::SoldOut => Refusal::SoldOut.into(),
            Code::LimitReached => Refusal::LimitReached.into(),
            Code::AttemptsExhausted => Refusal::AttemptsExhausted.into(),
            Code::SaleNotStarted => {
                Refusal::SaleNotStarted { starts_at: Timestamp(1_920_585_600_000) }.into()
            }
            Code::BuyTokenNotOpen => Problem::buy_token_not_open(Timestamp(1_920_585_540_000)),
            Code::SaleEnded => Refusal::SaleEnded.into(),
            Code::SalePaused => Refusal::SalePaused.into(),
            Code::IdempotencyKeyReused => Refusal::IdempotencyKeyReused.into(),
            Code::OrderNotFound => Problem::order_not_found(),
            Code::ItemNotFound => Problem::item_not_found(),
            Code::SaleNotFound => Problem::sale_not_found(),
            code => Problem::new(code, code.meaning()),
        };
        let mut text = Vec::new();
        problem.render("9f86d081884c7d65", &mut text);
        serde_json::from_slice(&text).unwrap_or_default()
    }
}
