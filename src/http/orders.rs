//! The buyer's orders: one, a page of them, paying and cancelling.
//!
//! A young order is in its shard, an old one only in the order store; where both have it the shard's
//! is the newer.

use super::admission::{Buyer, Id};
use super::body::Fields;
use super::edge::Edge;
use super::error::{Code, Problem};
use super::extract::{OptionalJsonObject, PageQuery, Parameters};
use super::order_view::{self, OrderView};
use crate::actors::Reply;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{Command, Order, OrderId, OrderStatus, Outcome, UserId};
use hyper::header::CONTENT_TYPE;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// A page of orders, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderPage {
    /// The orders.
    pub data: Vec<OrderView>,
    /// Whether there are older ones: ask again with `starting_after` the last one.
    pub has_more: bool,
}

/// How a sandbox payment goes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayRequest {
    /// What the payment provider is to do.
    pub payment: Option<SandboxPayment>,
}

/// What the sandbox's payment provider is to do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxPayment {
    /// `succeed` if absent.
    pub outcome: Option<SandboxOutcome>,
    /// With `late`: after how many milliseconds the money arrives.
    #[schema(minimum = 0, maximum = 20_000)]
    pub delay_ms: Option<u64>,
}

/// How a sandbox payment ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxOutcome {
    /// The money arrives at once.
    Succeed,
    /// It does not arrive: 402 `payment_failed`, and the order stays as it was.
    Fail,
    /// It arrives after `delay_ms`.
    Late,
}

/// An order as an answer.
pub struct OrderAnswer(pub Order);

impl IntoResponse for OrderAnswer {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(order_view::LENGTH_MAX);
        order_view::render(&self.0, &mut body);
        ([(CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// The order, if it is the buyer's.
///
/// # Errors
/// Where it is not, or nobody could be asked.
pub async fn find(edge: &Edge, order_id: OrderId, user_id: UserId) -> Result<Order, Problem> {
    let in_shard = edge.engine.order(order_id).await?;
    let order = match in_shard {
        Some(order) => Some(order),
        None => edge.sales.order(order_id).await?,
    };
    order.filter(|order| order.user_id == user_id).ok_or_else(Problem::order_not_found)
}

/// One order.
#[utoipa::path(
    get, path = "/api/v1/orders/{order}", tag = "orders",
    params(("order" = String, Path, description = "The order's identity")),
    responses((status = 200, description = "The order", body = OrderView)),
    security(("token" = []))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Buyer(user_id): Buyer,
    Id(order_id): Id<OrderId>,
) -> Result<OrderAnswer, Problem> {
    find(&edge, order_id, user_id).await.map(OrderAnswer)
}

/// The buyer's orders, newest first.
#[utoipa::path(
    get, path = "/api/v1/orders", tag = "orders",
    params(PageQuery),
    responses((status = 200, description = "A page of orders", body = OrderPage)),
    security(("token" = []))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Buyer(user_id): Buyer,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Response, Problem> {
    let (limit, before) = query.read::<OrderId>()?;
    let in_shards = edge.engine.orders_of(user_id, before, limit + 1).await?;
    let stored = edge.sales.orders_of(user_id, before, limit + 1).await?;
    let (orders, has_more) = merge(in_shards, stored, limit);
    Ok(render_page(&orders, has_more))
}

/// A page of orders as an answer.
pub fn render_page(orders: &[Order], has_more: bool) -> Response {
    let mut body = Vec::with_capacity(32 + orders.len() * order_view::LENGTH_MAX);
    body.extend_from_slice(b"{\"data\":[");
    for (place, order) in orders.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        order_view::render(order, &mut body);
    }
    body.extend_from_slice(b"],\"has_more\":");
    body.extend_from_slice(if has_more { b"true}" } else { b"false}" });
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// The newest `limit` of both, newest first, and whether there are more. Where both have an order
/// the shard's is the newer.
fn merge(in_shards: Vec<Order>, stored: Vec<Order>, limit: usize) -> (Vec<Order>, bool) {
    let mut orders = in_shards;
    orders.extend(stored);
    // Stable: of two with one identity the shard's stays first.
    orders.sort_by_key(|order| std::cmp::Reverse(order.order_id));
    orders.dedup_by_key(|order| order.order_id);
    let has_more = orders.len() > limit;
    orders.truncate(limit);
    (orders, has_more)
}

/// Pays, in the sandbox: no money moves, and the request says how the payment goes.
#[utoipa::path(
    post, path = "/api/v1/orders/{order}/pay", tag = "orders",
    params(("order" = String, Path, description = "The order's identity")),
    request_body(content = Option<PayRequest>, content_type = "application/json"),
    responses(
        (status = 200, description = "The order after the payment: `paid`, or `refund_due` where \
            the money came too late", body = OrderView),
        (status = 402, description = "`payment_failed`: the order is as it was",
            body = super::document::ProblemView, content_type = "application/problem+json"),
        (status = 409, description = "`order_closed`: it was cancelled, and nothing was taken",
            body = super::document::ProblemView, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub async fn pay(
    State(edge): State<Arc<Edge>>,
    Buyer(user_id): Buyer,
    Id(order_id): Id<OrderId>,
    OptionalJsonObject(body): OptionalJsonObject,
) -> Result<OrderAnswer, Problem> {
    if !edge.options.sandbox_payments {
        return Err(Problem::new(Code::Forbidden, "sandbox payments are switched off"));
    }
    let payment = read_payment(body, edge.options.sandbox_delay_max)?;
    let order = find(&edge, order_id, user_id).await?;
    match order.status {
        OrderStatus::Cancelled => return Err(Problem::order_closed(&order)),
        OrderStatus::Paid | OrderStatus::RefundDue => return Ok(OrderAnswer(order)),
        OrderStatus::Reserved | OrderStatus::Expired => {}
    }
    match payment.outcome {
        SandboxOutcome::Succeed => {}
        SandboxOutcome::Fail => {
            return Err(Problem::new(
                Code::PaymentFailed,
                "the sandbox was told to let it fail: the order is as it was",
            ));
        }
        SandboxOutcome::Late => tokio::select! {
            () = tokio::time::sleep(payment.delay) => {}
            () = edge.shutdown.cancelled() => {
                return Err(Problem::new(Code::ShuttingDown, "nothing was paid: the server is stopping"));
            }
        },
    }
    decide(&edge, order_id, Command::Pay { order_id, user_id }).await
}

/// Gives the order up. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/api/v1/orders/{order}/cancel", tag = "orders",
    params(("order" = String, Path, description = "The order's identity")),
    responses(
        (status = 200, description = "The cancelled order", body = OrderView),
        (status = 409, description = "`order_closed`: it was paid or has expired",
            body = super::document::ProblemView, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub async fn cancel(
    State(edge): State<Arc<Edge>>,
    Buyer(user_id): Buyer,
    Id(order_id): Id<OrderId>,
) -> Result<OrderAnswer, Problem> {
    let order = find(&edge, order_id, user_id).await?;
    match order.status {
        OrderStatus::Cancelled => return Ok(OrderAnswer(order)),
        OrderStatus::Reserved => {}
        OrderStatus::Paid | OrderStatus::Expired | OrderStatus::RefundDue => {
            return Err(Problem::order_closed(&order));
        }
    }
    decide(&edge, order_id, Command::Cancel { order_id, user_id }).await
}

async fn decide(edge: &Edge, order_id: OrderId, command: Command) -> Result<OrderAnswer, Problem> {
    match edge.engine.decide_order(order_id, command).await {
        Reply::Decided(
            Outcome::Order(order) | Outcome::Placed(order) | Outcome::Replayed(order),
        ) => Ok(OrderAnswer(order)),
        Reply::Decided(Outcome::Refused(refusal)) => Err(refusal.into()),
        Reply::NotDelivered(reason) => Err(reason.into()),
        Reply::Decided(Outcome::Item(_)) | Reply::Unknown => Err(Problem::new(
            Code::OutcomeUnknown,
            "it may or may not have been done: look at the order, or repeat the request",
        )),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Payment {
    outcome: SandboxOutcome,
    delay: Duration,
}

fn read_payment(
    body: serde_json::Map<String, serde_json::Value>,
    delay_max: Duration,
) -> Result<Payment, Problem> {
    let mut payment = Payment { outcome: SandboxOutcome::Succeed, delay: Duration::ZERO };
    let mut errors = Vec::new();
    let mut body = Fields::new(body, "", &mut errors);
    let told = body.take_optional("payment");
    match told {
        None => body.finish(),
        Some(serde_json::Value::Object(told)) => {
            body.finish();
            let mut told = Fields::new(told, "/payment", &mut errors);
            match told.take_optional("outcome").as_ref().map(serde_json::Value::as_str) {
                None | Some(Some("succeed")) => {}
                Some(Some("fail")) => payment.outcome = SandboxOutcome::Fail,
                Some(Some("late")) => payment.outcome = SandboxOutcome::Late,
                Some(_) => told.wrong("outcome", "must be succeed, fail or late"),
            }
            let delay_ms_max = u64::try_from(delay_max.as_millis()).unwrap_or(u64::MAX);
            if let Some(Some(delay_ms)) = told.optional_integer("delay_ms", 0..=delay_ms_max) {
                payment.delay = Duration::from_millis(delay_ms);
            }
            told.finish();
        }
        Some(_) => {
            body.wrong("payment", "must be an object");
            body.finish();
        }
    }
    if errors.is_empty() { Ok(payment) } else { Err(Problem::fields(errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Currency, ItemId, RequestId, SaleId, Timestamp};

    fn order(id: u64, status: OrderStatus) -> Order {
        Order {
            order_id: OrderId(id),
            item_id: ItemId(1),
            sale_id: SaleId(1),
            user_id: UserId(1),
            request_id: RequestId(id),
            attempt: 1,
            quantity: 1,
            amount: 1,
            currency: Currency::parse("EUR").unwrap(),
            status,
            expires_at: Timestamp(0),
        }
    }

    #[test]
    fn shard_and_store_make_one_list() {
        let reserved = |id| order(id, OrderStatus::Reserved);
        let in_shards = vec![order(5, OrderStatus::Paid), reserved(3)];
        let stored = vec![reserved(5), reserved(4), reserved(2)];
        let (orders, has_more) = merge(in_shards.clone(), stored.clone(), 3);
        let shown: Vec<_> = orders.iter().map(|order| (order.order_id.0, order.status)).collect();
        assert_eq!(
            shown,
            [(5, OrderStatus::Paid), (4, OrderStatus::Reserved), (3, OrderStatus::Reserved),]
        );
        assert!(has_more);
        let (orders, has_more) = merge(in_shards, stored, 4);
        assert_eq!((orders.len(), has_more), (4, false));
    }

    #[test]
    fn the_sandbox_does_what_it_is_told() {
        let read = |text: &str| {
            let body = crate::http::body::parse_object(text.as_bytes()).unwrap();
            read_payment(body, Duration::from_secs(1))
                .map(|payment| (payment.outcome, payment.delay.as_millis()))
                .map_err(|problem| problem.errors[0].pointer.clone())
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
