//! `POST /api/v1/payments/callbacks/{provider}`: a provider tells what became of a payment.
//!
//! Who calls is proven by the signature, which is checked before anything in the body is looked at. What is told may
//! come late, twice and out of order, because the order's shard judges it by what it has. The answer is 200 only once
//! that is durable; until then the provider tells again.

use super::example;
use crate::actors::NotBelieved;
use crate::crash::crash_point;
use crate::http::edge::payments::CallbackAnswer;
use crate::http::live_options::CALLBACK_BYTES_MAX;
use crate::http::payments::decisions;
use crate::http::payments::provider::PaymentProvider;
use crate::http::problem::{Code, FieldError, FieldErrors, Problem};
use crate::http::request::body;
use crate::http::request::json;
use crate::http::request::path::Segment;
use crate::http::request::rules::CurrencyCode;
use crate::http::state::Edge;
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use domain::{
    AMOUNT_MAX, Currency, PaymentId, PaymentNotice, PaymentReference, PaymentResult, PaymentState,
    ProviderName,
};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// What a provider tells of a payment. Fields that are not known here are left alone: a provider may say more.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentCallback {
    /// The payment, by the identity that the provider was given.
    pub payment_id: String,
    /// What became of it: `captured`, the money has come; `failed`, it will not come.
    pub result: CallbackResult,
    /// The provider's own name for the money, 1 to 64 visible characters of ASCII: by it the same money is
    /// recognised, so that it is never counted twice.
    #[schema(min_length = 1, max_length = 64)]
    pub reference: String,
    /// How much has come, in minor units of `currency`; needed with `captured`. A capture of 0 is noted as `failed`,
    /// because no money has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    pub amount: Option<u64>,
    /// The currency of `amount`; needed with `captured`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CurrencyCode>)]
    pub currency: Option<String>,
}

/// What became of a payment at its provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallbackResult {
    /// The money has come.
    Captured,
    /// The money will not come.
    Failed,
}

/// What the shop has noted.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallbackNoted {
    /// The payment that the money counts as: the one that was told of, or a new one if that had got its money before.
    pub payment_id: String,
    /// Where it stands: `captured`, `failed`, `refund_due` if the money has to go back, or `refunded`. `started` is one
    /// that failed only after the shop had let its order go.
    pub state: &'static str,
    /// Whether it had been noted before.
    pub repeated: bool,
}

impl PaymentCallback {
    fn example() -> Self {
        Self {
            payment_id: example::PAYMENT_ID.to_owned(),
            result: CallbackResult::Captured,
            reference: example::PAYMENT_REFERENCE.to_owned(),
            amount: Some(example::PRICE),
            currency: Some(example::CURRENCY.to_owned()),
        }
    }
}

/// Tells what became of a payment.
///
/// For the provider that takes the buyers' money. The request is signed as the Standard Webhooks specification has it,
/// in the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`, with the secret that shop and provider
/// share. It can be told as often as one likes and in any order; tell it again until the answer is 200. Money that
/// cannot pay the order is noted as due for a refund, and never refused.
#[utoipa::path(
    post, path = "/api/v1/payments/callbacks/{provider}", tag = "payments",
    params(("provider" = String, Path, description = "The provider's name in the configuration",
        example = json!(example::PROVIDER))),
    request_body(content = PaymentCallback, content_type = "application/json",
        example = json!(PaymentCallback::example())),
    responses(
        (status = 200, description = "It is noted, and durable", body = CallbackNoted,
            example = json!(CallbackNoted {
                payment_id: example::PAYMENT_ID.to_owned(),
                state: PaymentState::Captured.name(),
                repeated: false,
            })),
        (status = 401, description = "`signature_invalid`: the request is not signed with the secret, or was five \
            minutes ago"),
        (status = 404, description = "`order_not_found`, `payment_not_found`: the shop has no such order or payment, \
            and no money has come. `not_found`: no provider of this name"),
        (status = 503, description = "`overloaded`, `outcome_unknown`, `records_unavailable`, `owner_unavailable`, \
            `shutting_down`: tell it again"),
    )
)]
pub async fn note(
    State(edge): State<Arc<Edge>>,
    Segment(name): Segment,
    request: Request,
) -> Response {
    match take(&edge, &name, request).await {
        Ok(noted) => {
            edge.metrics.payments.called_back(match noted.repeated {
                true => CallbackAnswer::Repeated,
                false => CallbackAnswer::Noted,
            });
            Json(noted).into_response()
        }
        Err(problem) => {
            edge.metrics.payments.called_back(match problem.code {
                Code::SignatureInvalid => CallbackAnswer::SignatureInvalid,
                code if code.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    CallbackAnswer::Unavailable
                }
                _ => CallbackAnswer::Refused,
            });
            problem.into_response()
        }
    }
}

async fn take(edge: &Edge, name: &str, request: Request) -> Result<CallbackNoted, Problem> {
    let is_named = |provider: &&Arc<PaymentProvider>| provider.name().as_str() == name;
    let provider = edge.provider.as_ref().filter(is_named).ok_or_else(Problem::not_found)?;
    let (head, body) = request.into_parts();
    let bytes = body::read(body, CALLBACK_BYTES_MAX, edge.options.body_timeout).await?;
    provider.verify(&head.headers, edge.clock.token_time(), &bytes).map_err(|why| {
        if why == NotBelieved::WrongSignature {
            tracing::warn!(provider = name, "a callback is not signed with the provider's secret");
        }
        Problem::new(Code::SignatureInvalid, why.to_string())
    })?;
    json::require_json(&head.headers)?;
    let notice = read(provider.name(), &json::parse_object(&bytes)?)?;
    let told = notice.id;
    if matches!(notice.result, PaymentResult::Captured { amount: 0, .. }) {
        tracing::warn!(payment = %told, reference = %notice.reference, "a provider captured nothing: no money came");
    }
    let noted = decisions::note(edge, notice).await?;
    crash_point("payment-noted");
    if noted.state == PaymentState::RefundDue && !noted.is_repeat {
        tracing::warn!(payment = %noted.id, %told, "money came that cannot pay its order: a refund is due");
    }
    Ok(CallbackNoted {
        payment_id: noted.id.to_string(),
        state: noted.state.name(),
        repeated: noted.is_repeat,
    })
}

/// Reads what is told. Mistakes are named all at once.
fn read(provider: &ProviderName, told: &Map<String, Value>) -> Result<PaymentNotice, Problem> {
    let mut errors = FieldErrors::default();
    let text = |name: &str| told.get(name).and_then(Value::as_str);
    let mut need = |is_there: bool, pointer: &'static str, detail: &'static str| {
        if !is_there {
            errors.push(FieldError::new(pointer, detail));
        }
    };
    let id: Option<PaymentId> = text("payment_id").and_then(|id| id.parse().ok());
    need(id.is_some(), "/payment_id", "must be a payment's identity, as the shop gave it out");
    let reference = text("reference").and_then(PaymentReference::parse);
    need(reference.is_some(), "/reference", "must be 1 to 64 visible characters of ASCII");
    let result = told.get("result").and_then(|told| CallbackResult::deserialize(told).ok());
    let result = match result {
        Some(CallbackResult::Captured) => {
            let amount = told.get("amount").and_then(Value::as_u64);
            let amount = amount.filter(|amount| *amount <= AMOUNT_MAX);
            need(
                amount.is_some(),
                "/amount",
                "must be a whole number of minor units, at most 2^53 - 1",
            );
            let currency = text("currency").and_then(Currency::parse);
            need(currency.is_some(), "/currency", "must be a code of ISO 4217, such as CNY");
            let money = amount.zip(currency);
            money.map(|(amount, currency)| PaymentResult::Captured { amount, currency })
        }
        Some(CallbackResult::Failed) => Some(PaymentResult::Failed),
        None => {
            need(false, "/result", "must be captured or failed");
            None
        }
    };
    match (id, reference, result) {
        (Some(id), Some(reference), Some(result)) => {
            Ok(PaymentNotice { id, provider: provider.clone(), reference, result, stored: None })
        }
        _ => Err(Problem::fields(errors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::OrderId;

    fn told(text: &str) -> Result<PaymentNotice, Vec<String>> {
        let object = json::parse_object(text.as_bytes()).unwrap();
        read(&ProviderName::parse("mall-pay").unwrap(), &object).map_err(|problem| {
            problem.errors.shown.iter().map(|error| error.pointer.clone()).collect()
        })
    }

    #[test]
    fn what_a_provider_tells_is_read_and_what_it_adds_is_left_alone() {
        let notice = told(
            r#"{"payment_id":"7-2","result":"captured","reference":"ch_1","amount":990,
                "currency":"CNY","card":{"last4":"4242"}}"#,
        )
        .unwrap();
        assert_eq!(notice.id, PaymentId { order_id: OrderId(7), number: 2 });
        assert_eq!(notice.reference.as_str(), "ch_1");
        let captured = PaymentResult::Captured { amount: 990, currency: Currency::CNY };
        assert_eq!(notice.result, captured);
        let failed = told(r#"{"payment_id":"7-2","result":"failed","reference":"ch_1"}"#).unwrap();
        assert_eq!(failed.result, PaymentResult::Failed);
    }

    #[test]
    fn every_mistake_is_named() {
        for (text, pointers) in [
            ("{}", &["/payment_id", "/reference", "/result"][..]),
            (
                r#"{"payment_id":"7","result":"captured","reference":"a b"}"#,
                &["/payment_id", "/reference", "/amount", "/currency"],
            ),
            (r#"{"payment_id":"7-1","result":"paid","reference":"x"}"#, &["/result"]),
            (
                r#"{"payment_id":"7-1","result":"captured","reference":"x","amount":-1,"currency":"cny"}"#,
                &["/amount", "/currency"],
            ),
            (
                r#"{"payment_id":"7-1","result":"captured","reference":"x","amount":9.9,"currency":"CNY"}"#,
                &["/amount"],
            ),
            (
                r#"{"payment_id":"7-1","result":"captured","reference":"x","amount":9007199254740992,"currency":"CNY"}"#,
                &["/amount"],
            ),
        ] {
            assert_eq!(told(text).unwrap_err(), pointers, "{text}");
        }
    }
}
