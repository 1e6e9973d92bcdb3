//! The buyer's orders: one, a page of them, paying and cancelling.
//!
//! A young order is in its shard, an old one only in the order store. If both have it, the shard's
//! state is the newer one.

use super::order_view::{self, OrderView};
use crate::actors::{NotDelivered, Reply};
use crate::http::auth::bearer::Buyer;
use crate::http::problem::{Code, FieldError, FieldErrors, Problem};
use crate::http::request::extract::{OptionalJsonObject, Parameters};
use crate::http::request::fields::{Body, body};
use crate::http::request::idempotency_key::{self, IDEMPOTENT_REPLAYED, IdempotencyKey};
use crate::http::request::page::PageQuery;
use crate::http::request::path::Id;
use crate::http::request::rules::{self, NamedSchema, Nested, Rule};
use crate::http::state::Edge;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{Command, Order, OrderId, OrderStatus, Outcome, Refusal, UserId};
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};

/// A page of orders, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderPage {
    /// The orders of this page.
    pub data: Vec<OrderView>,
    /// Whether there are older orders: ask for them with `starting_after` the last one of this page.
    pub has_more: bool,
    /// Whether these are all there are. While the order store is away, only those are known that the sales
    /// themselves still hold.
    pub complete: bool,
}

impl OrderPage {
    fn example() -> Self {
        Self { data: vec![OrderView::example(OrderStatus::Paid)], has_more: false, complete: true }
    }
}

body! {
    /// How a sandbox payment goes. Without it the payment succeeds.
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

/// How a sandbox payment ends: with `succeed` the money arrives at once, with `late` it arrives after
/// `delay_ms`, and with `fail` it does not arrive: 402 `payment_failed`, and the order stays as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxOutcome {
    /// The money arrives at once.
    Succeed,
    /// The money does not arrive.
    Fail,
    /// The money arrives after `delay_ms`.
    Late,
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
        serde_json::from_value(value).map_err(|_| "must be succeed, fail or late".into())
    }
}

/// A payment's delay in milliseconds. How long it may be is a setting: [`read_payment`] checks it, and
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

/// The answer that shows one order.
pub struct OrderAnswer {
    order: Order,
    /// Whether there was nothing left to do, because it had been done before.
    is_repeat: bool,
}

impl OrderAnswer {
    fn new(order: Order) -> Self {
        Self { order, is_repeat: false }
    }

    fn repeat(order: Order) -> Self {
        Self { order, is_repeat: true }
    }
}

impl IntoResponse for OrderAnswer {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(order_view::LENGTH_MAX);
        order_view::render(&self.order, &mut body);
        let mut response = ([(CONTENT_TYPE, "application/json")], body).into_response();
        if self.is_repeat {
            let is_repeat = HeaderValue::from_static("true");
            response.headers_mut().insert(&IDEMPOTENT_REPLAYED, is_repeat);
        }
        response
    }
}

/// Returns the order if it is the buyer's.
///
/// # Errors
/// Returns an `order_not_found` problem if it is not, an `overloaded` one if neither its shard nor the
/// order store answers, and an `owner_unavailable` one if another node has it.
pub async fn find(edge: &Edge, order_id: OrderId, user_id: UserId) -> Result<Order, Problem> {
    let order = match edge.engine.order(order_id).await {
        Ok(Some(order)) => Some(order),
        Ok(None) => edge.sales.order(order_id).await?,
        // What is stored is all that can be said then; that it is not there says nothing.
        Err(moved @ NotDelivered::Moved) if edge.engine.is_unowned(order_id.shard()) => {
            Some(edge.sales.order(order_id).await?.ok_or(moved)?)
        }
        Err(reason) => return Err(reason.into()),
    };
    order.filter(|order| order.user_id == user_id).ok_or_else(Problem::order_not_found)
}

/// Shows an order.
///
/// Buyers see only their own orders. An order that expires or is paid late changes without a request,
/// so look again, or follow its events.
#[utoipa::path(
    get, path = "/api/v1/orders/{order}", tag = "orders",
    params(Id::<OrderId>),
    responses((status = 200, description = "The order", body = OrderView,
        links(
            ("pay" = (operation_id = "post_orders_order_pay")),
            ("cancel" = (operation_id = "post_orders_order_cancel")),
            ("item" = (operation_id = "get_items_item")),
        ),
        example = json!(OrderView::example(OrderStatus::Reserved)))),
    security(("token" = []))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Buyer(user_id): Buyer,
    Id(order_id): Id<OrderId>,
) -> Result<OrderAnswer, Problem> {
    find(&edge, order_id, user_id).await.map(OrderAnswer::new)
}

/// Lists your orders.
///
/// Your orders in all sales, newest first, a page at a time. While the order store is away the page holds what
/// the sales themselves know, and says that it is not `complete`.
#[utoipa::path(
    get, path = "/api/v1/orders", tag = "orders",
    params(PageQuery),
    responses((status = 200, description = "A page of orders", body = OrderPage,
        links(("order" = (operation_id = "get_orders_order",
            parameters(("order" = "$response.body#/data/0/order_id")),
            description = "Shows the newest of these orders."))),
        example = json!(OrderPage::example()))),
    security(("token" = []))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Buyer(user_id): Buyer,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Response, Problem> {
    let (limit, before) = query.read::<OrderId>()?;
    page_of(&edge, user_id, before, limit).await.map(|page| page.render())
}

/// Some of a buyer's orders.
#[derive(Debug)]
pub struct FoundPage {
    /// The orders, newest first.
    pub orders: Vec<Order>,
    /// Whether older ones are known.
    pub has_more: bool,
    /// Whether the order store was asked too.
    pub is_complete: bool,
}

/// Returns a page of a buyer's orders, placed before `before` if given. While the order store does not answer
/// it holds what the shards have.
///
/// # Errors
/// Returns an `overloaded` problem if the shards do not answer, and a `records_unavailable` one if the order
/// store does not and the shards have no order of this buyer.
pub async fn page_of(
    edge: &Edge,
    user_id: UserId,
    before: Option<OrderId>,
    limit: usize,
) -> Result<FoundPage, Problem> {
    let in_shards = edge.engine.orders_of(user_id, before, limit + 1).await?;
    match edge.sales.orders_of(user_id, before, limit + 1).await {
        Ok(stored) => Ok(FoundPage::merge(in_shards, stored, limit)),
        Err(unavailable) if in_shards.is_empty() => Err(unavailable.into()),
        Err(_) => {
            Ok(FoundPage { is_complete: false, ..FoundPage::merge(in_shards, Vec::new(), limit) })
        }
    }
}

impl FoundPage {
    /// The newest `limit` orders of both. Of an order that both have, the shard's state is the newer one.
    fn merge(in_shards: Vec<Order>, stored: Vec<Order>, limit: usize) -> Self {
        let mut orders = in_shards;
        orders.extend(stored);
        // The sort is stable: of two states of one order the shard's stays first.
        orders.sort_by_key(|order| std::cmp::Reverse(order.order_id));
        orders.dedup_by_key(|order| order.order_id);
        let has_more = orders.len() > limit;
        orders.truncate(limit);
        Self { orders, has_more, is_complete: true }
    }

    /// Renders it as an answer.
    fn render(&self) -> Response {
        let mut body = Vec::with_capacity(64 + self.orders.len() * order_view::LENGTH_MAX);
        body.extend_from_slice(b"{\"data\":[");
        for (place, order) in self.orders.iter().enumerate() {
            if place > 0 {
                body.push(b',');
            }
            order_view::render(order, &mut body);
        }
        body.extend_from_slice(b"],\"has_more\":");
        body.extend_from_slice(truth(self.has_more));
        body.extend_from_slice(b",\"complete\":");
        body.extend_from_slice(truth(self.is_complete));
        body.push(b'}');
        ([(CONTENT_TYPE, "application/json")], body).into_response()
    }
}

fn truth(is_true: bool) -> &'static [u8] {
    if is_true { b"true" } else { b"false" }
}

/// Pays an order.
///
/// A sandbox: no money moves, and the body says how the payment goes. Without a body it succeeds.
/// Paying an order that is paid already changes nothing, so a payment can be repeated. One that has
/// begun goes on when its client leaves. Money that arrives after the order has expired makes it
/// `refund_due`; for one that was cancelled, or whose sale was settled since, none is taken. The server
/// may have sandbox payments switched off: 403 `forbidden`.
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
        (status = 402, description = "`payment_failed`: the order is as it was"),
        (status = 409, description = "`order_closed`: it was cancelled, or it expired and its sale \
            was settled since; nothing was charged"),
    ),
    security(("token" = []))
)]
pub async fn pay(
    State(edge): State<Arc<Edge>>,
    Buyer(user_id): Buyer,
    Id(order_id): Id<OrderId>,
    headers: HeaderMap,
    OptionalJsonObject(body): OptionalJsonObject,
) -> Result<OrderAnswer, Problem> {
    idempotency_key::check(&headers)?;
    check_sandbox(&edge)?;
    let payment = read_payment(body, edge.options.sandbox_delay_max)?;
    take_payment(edge, user_id, order_id, payment).await
}

fn check_sandbox(edge: &Edge) -> Result<(), Problem> {
    if edge.options.sandbox_payments {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, "sandbox payments are switched off"))
}

/// Pays a buyer's order in the sandbox, where the payment succeeds.
///
/// # Errors
/// Returns the problems of a payment, as the API does.
pub async fn pay_at_once(
    edge: Arc<Edge>,
    user_id: UserId,
    order_id: OrderId,
) -> Result<Order, Problem> {
    check_sandbox(&edge)?;
    let payment = Payment { outcome: SandboxOutcome::Succeed, delay: Duration::ZERO };
    take_payment(edge, user_id, order_id, payment).await.map(|answer| answer.order)
}

async fn take_payment(
    edge: Arc<Edge>,
    user_id: UserId,
    order_id: OrderId,
    payment: Payment,
) -> Result<OrderAnswer, Problem> {
    let order = find(&edge, order_id, user_id).await?;
    match order.status {
        OrderStatus::Cancelled => return Err(Problem::order_closed(&order)),
        OrderStatus::Paid | OrderStatus::RefundDue => return Ok(OrderAnswer::repeat(order)),
        OrderStatus::Reserved | OrderStatus::Expired => {}
    }
    if payment.outcome == SandboxOutcome::Fail {
        let detail = "the sandbox was told to let it fail: the order is as it was";
        return Err(Problem::new(Code::PaymentFailed, detail));
    }
    // Money that is under way arrives, whether or not the client is still there to hear of it.
    let paying = tokio::spawn(async move {
        if payment.outcome == SandboxOutcome::Late {
            tokio::select! {
                () = tokio::time::sleep(payment.delay) => {}
                () = edge.shutdown.cancelled() => {
                    let detail = "nothing was paid: the server is stopping";
                    return Err(Problem::new(Code::ShuttingDown, detail));
                }
            }
        }
        decide(&edge, &order, Command::Pay { order_id, user_id }).await
    });
    paying.await.unwrap_or_else(|_| Err(Problem::outcome_unknown()))
}

/// Cancels an order.
///
/// Only an order that is not paid can be cancelled; its units go back on sale. Cancelling it again
/// changes nothing.
#[utoipa::path(
    post, path = "/api/v1/orders/{order}/cancel", tag = "orders",
    params(Id::<OrderId>, IdempotencyKey),
    responses(
        (status = 200, description = "The cancelled order", body = OrderView,
            links(("order" = (operation_id = "get_orders_order"))),
            example = json!(OrderView::example(OrderStatus::Cancelled))),
        (status = 409, description = "`order_closed`: it was paid or has expired"),
    ),
    security(("token" = []))
)]
pub async fn cancel(
    State(edge): State<Arc<Edge>>,
    Buyer(user_id): Buyer,
    Id(order_id): Id<OrderId>,
    headers: HeaderMap,
) -> Result<OrderAnswer, Problem> {
    idempotency_key::check(&headers)?;
    give_up(&edge, user_id, order_id).await
}

/// Cancels a buyer's order.
///
/// # Errors
/// Returns an `order_closed` problem if it was paid or has expired, and the problems of a decision.
pub async fn cancel_at_once(
    edge: &Edge,
    user_id: UserId,
    order_id: OrderId,
) -> Result<Order, Problem> {
    give_up(edge, user_id, order_id).await.map(|answer| answer.order)
}

async fn give_up(edge: &Edge, user_id: UserId, order_id: OrderId) -> Result<OrderAnswer, Problem> {
    let order = find(edge, order_id, user_id).await?;
    match order.status {
        OrderStatus::Cancelled => return Ok(OrderAnswer::repeat(order)),
        OrderStatus::Reserved => {}
        OrderStatus::Paid | OrderStatus::Expired | OrderStatus::RefundDue => {
            return Err(Problem::order_closed(&order));
        }
    }
    decide(edge, &order, Command::Cancel { order_id, user_id }).await
}

/// Decides a command about an order that was found.
async fn decide(edge: &Edge, order: &Order, command: Command) -> Result<OrderAnswer, Problem> {
    match edge.engine.decide_order(order.order_id, command).await {
        Reply::Decided(
            Outcome::Order(order) | Outcome::Placed(order) | Outcome::Replayed(order),
        ) => Ok(OrderAnswer::new(order)),
        Reply::Decided(Outcome::Payment(paid)) => Ok(OrderAnswer::new(paid.order)),
        // It was found a moment ago: in the order store, because its shard has released it.
        Reply::Decided(Outcome::Refused(Refusal::OrderNotFound)) => {
            Err(Problem::order_released(order))
        }
        Reply::Decided(Outcome::Refused(refusal)) => Err(refusal.into()),
        Reply::NotDelivered(reason) => Err(reason.into()),
        Reply::Decided(Outcome::Item(_) | Outcome::ItemReplayed(_) | Outcome::Transferred(_))
        | Reply::Unknown => Err(Problem::new(
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

fn read_payment(body: Map<String, Value>, delay_max: Duration) -> Result<Payment, Problem> {
    let mut payment = Payment { outcome: SandboxOutcome::Succeed, delay: Duration::ZERO };
    let mut errors = FieldErrors::default();
    if let Some(told) = PayRequest::read(body, "", &mut errors).payment {
        let told = SandboxPayment::read(told, "/payment", &mut errors);
        payment.outcome = told.outcome.unwrap_or(payment.outcome);
        let delay_ms_max = u64::try_from(delay_max.as_millis()).unwrap_or(u64::MAX);
        match told.delay_ms.map(|delay| rules::bounded(&delay, 0..=delay_ms_max)) {
            None => {}
            Some(Ok(delay_ms)) => payment.delay = Duration::from_millis(delay_ms),
            Some(Err(detail)) => errors.push(FieldError::new("/payment/delay_ms", detail)),
        }
    }
    errors.or(payment)
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
        let FoundPage { orders, has_more, .. } =
            FoundPage::merge(in_shards.clone(), stored.clone(), 3);
        let shown: Vec<_> = orders.iter().map(|order| (order.order_id.0, order.status)).collect();
        assert_eq!(
            shown,
            [(5, OrderStatus::Paid), (4, OrderStatus::Reserved), (3, OrderStatus::Reserved),]
        );
        assert!(has_more);
        let FoundPage { orders, has_more, .. } = FoundPage::merge(in_shards, stored, 4);
        assert_eq!((orders.len(), has_more), (4, false));
    }

    #[test]
    fn the_sandbox_does_what_it_is_told() {
        let read = |text: &str| {
            let body = crate::http::request::json::parse_object(text.as_bytes()).unwrap();
            read_payment(body, Duration::from_secs(1))
                .map(|payment| (payment.outcome, payment.delay.as_millis()))
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
