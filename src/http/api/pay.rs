//! `POST /api/v1/orders/{order}/pay`: pays an order in the sandbox, or says where the buyer goes to pay it.

use super::example;
use super::order_view::{self, OrderView};
use super::orders::OrderAnswer;
use crate::http::auth::bearer::Buyer;
use crate::http::payments::pay::{self, Onward, Paid};
use crate::http::payments::sandbox::{SandboxOutcome, SandboxPlan};
use crate::http::problem::{FieldError, FieldErrors, Problem};
use crate::http::request::extract::OptionalJsonObject;
use crate::http::request::fields::{Body, body};
use crate::http::request::idempotency_key::{self, IDEMPOTENT_REPLAYED, IdempotencyKey};
use crate::http::request::path::Id;
use crate::http::request::rules::{self, NamedSchema, Nested, Rule};
use crate::http::state::Edge;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{Order, OrderId, OrderStatus, PaymentState};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};

body! {
    /// How a sandbox payment goes. Without it the payment succeeds. With a provider of real money there is nothing
    /// to be said.
    pub struct PayRequest {
        /// What the sandbox's payment provider does.
        Nullable payment: Nested<SandboxPayment>,
    }
}

body! {
    /// What the sandbox's payment provider does.
    pub struct SandboxPayment {
        /// How the payment ends; `succeed` if it is absent.
        Nullable outcome: SandboxOutcome,
        /// With `late`: after how many milliseconds the money arrives.
        Nullable delay_ms: Delay,
    }
}

impl Rule for SandboxOutcome {
    type Value = Self;

    fn schema() -> RefOr<Schema> {
        rules::reference::<Self>()
    }

    fn components(schemas: &mut Vec<NamedSchema>) {
        rules::component::<Self>(schemas);
    }

    fn read(value: Value) -> Result<Self, Cow<'static, str>> {
        serde_json::from_value(value).map_err(|_| "must be succeed, fail, late or twice".into())
    }
}

/// A payment's delay in milliseconds. How long it may be is a setting: [`read_plan`] checks it, and
/// `document.rs` writes it into the schema.
pub struct Delay;

impl Rule for Delay {
    type Value = Value;

    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(0))
            .into()
    }

    fn read(value: Value) -> Result<Value, Cow<'static, str>> {
        Ok(value)
    }
}

/// An order whose payment has begun at a provider.
#[derive(Debug, Serialize, ToSchema)]
pub struct BegunOrder {
    /// The order, which is paid once the provider has told that the money came.
    #[serde(flatten)]
    pub order: OrderView,
    /// The payment, and where the buyer goes.
    pub payment: BegunPayment,
}

/// A payment that has begun at a provider.
#[derive(Debug, Serialize, ToSchema)]
pub struct BegunPayment {
    /// The payment's identity: the order's, a hyphen and a number.
    pub payment_id: String,
    /// How far it has come: `started`.
    pub state: &'static str,
    /// The provider's page on which the buyer pays.
    pub url: String,
}

impl BegunOrder {
    fn example() -> Self {
        Self {
            order: OrderView::example(OrderStatus::Reserved),
            payment: BegunPayment {
                payment_id: example::PAYMENT_ID.to_owned(),
                state: PaymentState::Started.name(),
                url: "https://pay.mall.example/p/8f14e45f".to_owned(),
            },
        }
    }
}

/// Pays an order.
///
/// In the sandbox no money moves, and the body says how the payment goes; without a body it succeeds. With a provider
/// of real money the payment begins there: the answer says where the buyer goes, and the order is `paid` once the
/// provider has told that the money came. Repeat the request with its `Idempotency-Key` for the same payment.
/// Paying an order that is paid already changes nothing, so a payment can be repeated. One that has
/// begun goes on when its client leaves. Money that arrives after the order has expired makes it
/// `refund_due`; for one that was cancelled, or whose sale was settled since, none is asked for. The server
/// may have payments switched off: 403 `forbidden`.
#[utoipa::path(
    post, path = "/api/v1/orders/{order}/pay", tag = "orders",
    params(Id::<OrderId>, IdempotencyKey),
    request_body(content = Option<PayRequest>, content_type = "application/json",
        example = json!({ "payment": { "outcome": "succeed" } })),
    responses(
        (status = 200, description = "The order after the payment: `paid`, or `refund_due` if the \
            money came too late", body = OrderView,
            links(("order" = (operation_id = "get_orders_order"))),
            example = json!(OrderView::example(OrderStatus::Paid))),
        (status = 202, description = "The payment has begun: send the buyer to its `url`, then follow the order",
            body = BegunOrder,
            links(("order" = (operation_id = "get_orders_order"))),
            example = json!(BegunOrder::example())),
        (status = 402, description = "`payment_failed`: the order is as it was"),
        (status = 409, description = "`order_closed`: it was cancelled, or it expired and its sale \
            was settled since; nothing was charged. `too_many_payments`: so many payments of it were begun that there \
            is no other"),
        (status = 503, description = "`payment_unavailable`: the provider does not answer, and the order is not paid"),
    ),
    security(("token" = []))
)]
pub async fn pay(
    State(edge): State<Arc<Edge>>,
    Buyer(user_id): Buyer,
    Id(order_id): Id<OrderId>,
    headers: HeaderMap,
    OptionalJsonObject(body): OptionalJsonObject,
) -> Result<Response, Problem> {
    let unique = edge.unique_number();
    let key = idempotency_key::idempotency_key(&headers, user_id, unique)?;
    let plan = read_plan(body, edge.options.sandbox_delay_max)?;
    let Paid { order, is_repeat, onward } = pay::pay(edge, user_id, order_id, key, plan).await?;
    Ok(match onward {
        Some(onward) => begun(&order, onward, is_repeat),
        None if is_repeat => OrderAnswer::repeat(order).into_response(),
        None => OrderAnswer::new(order).into_response(),
    })
}

/// Answers with an order whose payment has begun: the fields of [`BegunOrder`].
fn begun(order: &Order, onward: Onward, is_repeat: bool) -> Response {
    let mut body = Vec::with_capacity(order_view::LENGTH_MAX + 256);
    order_view::render(order, &mut body);
    // The payment is added where the object ended.
    body.pop();
    let payment = BegunPayment {
        payment_id: onward.payment_id.to_string(),
        state: PaymentState::Started.name(),
        url: onward.url,
    };
    let payment = serde_json::to_string(&payment).unwrap_or_default();
    body.extend_from_slice(format!(",\"payment\":{payment}}}").as_bytes());
    let mut response =
        (StatusCode::ACCEPTED, [(CONTENT_TYPE, "application/json")], body).into_response();
    if is_repeat {
        let is_repeat = HeaderValue::from_static("true");
        response.headers_mut().insert(&IDEMPOTENT_REPLAYED, is_repeat);
    }
    response
}

/// Reads how a payment in the sandbox is to go, if the body says so.
fn read_plan(
    body: Map<String, Value>,
    delay_max: Duration,
) -> Result<Option<SandboxPlan>, Problem> {
    let mut errors = FieldErrors::default();
    let told = PayRequest::read(body, "", &mut errors).payment;
    let plan = told.map(|told| {
        let told = SandboxPayment::read(told, "/payment", &mut errors);
        let mut plan = SandboxPlan::SUCCEED;
        plan.outcome = told.outcome.unwrap_or(plan.outcome);
        let delay_ms_max = u64::try_from(delay_max.as_millis()).unwrap_or(u64::MAX);
        match told.delay_ms.map(|delay| rules::bounded(&delay, 0..=delay_ms_max)) {
            None => {}
            Some(Ok(delay_ms)) => plan.delay = Duration::from_millis(delay_ms),
            Some(Err(detail)) => errors.push(FieldError::new("/payment/delay_ms", detail)),
        }
        plan
    });
    errors.or(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sandbox_does_what_it_is_told() {
        let read = |text: &str| {
            let body = crate::http::request::json::parse_object(text.as_bytes()).unwrap();
            read_plan(body, Duration::from_secs(1))
                .map(|plan| {
                    plan.map_or((SandboxOutcome::Succeed, 0), |plan| {
                        (plan.outcome, plan.delay.as_millis())
                    })
                })
                .map_err(|problem| problem.errors.shown[0].pointer.clone())
        };
        for text in ["{}", r#"{"payment":null}"#, r#"{"payment":{"outcome":null,"delay_ms":null}}"#]
        {
            assert_eq!(read(text), Ok((SandboxOutcome::Succeed, 0)), "{text}");
        }
        assert_eq!(read(r#"{"payment":{"outcome":"fail"}}"#), Ok((SandboxOutcome::Fail, 0)));
        assert_eq!(
            read(r#"{"payment":{"outcome":"late","delay_ms":1000}}"#),
            Ok((SandboxOutcome::Late, 1000))
        );
        assert_eq!(read(r#"{"payment":{"outcome":"twice"}}"#), Ok((SandboxOutcome::Twice, 0)));
        for (text, pointer) in [
            (r#"{"payment":1}"#, "/payment"),
            (r#"{"amount":1}"#, "/amount"),
            (r#"{"payment":{"outcome":"perhaps"}}"#, "/payment/outcome"),
            (r#"{"payment":{"outcome":7}}"#, "/payment/outcome"),
            (r#"{"payment":{"delay_ms":1001}}"#, "/payment/delay_ms"),
            (r#"{"payment":{"card":"4242"}}"#, "/payment/card"),
        ] {
            assert_eq!(read(text), Err(pointer.to_owned()), "{text}");
        }
    }
}
