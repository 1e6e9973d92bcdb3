//! The buyer's orders: one, a page of them, and cancelling. Paying is in `pay.rs`.
//!
//! A young order is in its shard, an old one only in the order store. If both have it, the shard's
//! state is the newer one.

use super::order_view::{self, OrderView};
use crate::actors::NotDelivered;
use crate::http::auth::bearer::Buyer;
use crate::http::payments::decisions;
use crate::http::problem::Problem;
use crate::http::request::extract::Parameters;
use crate::http::request::idempotency_key::{self, IDEMPOTENT_REPLAYED, IdempotencyKey};
use crate::http::request::page::PageQuery;
use crate::http::request::path::Id;
use crate::http::state::Edge;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{Command, Order, OrderId, OrderStatus, UserId};
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;
use utoipa::ToSchema;

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

/// The answer that shows one order.
pub struct OrderAnswer {
    order: Order,
    /// What its status is called.
    status: &'static str,
    /// Whether there was nothing left to do, because it had been done before.
    is_repeat: bool,
}

impl OrderAnswer {
    /// Shows an order as it is.
    pub fn new(order: Order) -> Self {
        Self { status: order.status.name(), order, is_repeat: false }
    }

    /// Shows an order to which had been done before what was asked.
    pub fn repeat(order: Order) -> Self {
        Self { is_repeat: true, ..Self::new(order) }
    }
}

impl IntoResponse for OrderAnswer {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(order_view::LENGTH_MAX);
        order_view::render_as(&self.order, self.status, &mut body);
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
    let order = find(&edge, order_id, user_id).await?;
    let is_refunded = refunded(&edge, &[order]).await.contains(&order_id);
    Ok(OrderAnswer {
        status: order_view::status_name(&order, is_refunded),
        ..OrderAnswer::new(order)
    })
}

/// Returns which of these orders have had their late money given back. While the order store does not answer nobody
/// knows of any that it went back.
pub async fn refunded(edge: &Edge, orders: &[Order]) -> HashSet<OrderId> {
    edge.sales.refunded_of(orders).await.unwrap_or_default()
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
    /// Those of them whose money came too late and has gone back.
    pub refunded: HashSet<OrderId>,
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
        Ok(stored) => {
            let page = FoundPage::merge(in_shards, stored, limit);
            Ok(FoundPage { refunded: refunded(edge, &page.orders).await, ..page })
        }
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
        Self { orders, refunded: HashSet::new(), has_more, is_complete: true }
    }

    /// Renders it as an answer.
    fn render(&self) -> Response {
        let mut body = Vec::with_capacity(64 + self.orders.len() * order_view::LENGTH_MAX);
        body.extend_from_slice(b"{\"data\":[");
        for (place, order) in self.orders.iter().enumerate() {
            if place > 0 {
                body.push(b',');
            }
            let is_refunded = self.refunded.contains(&order.order_id);
            order_view::render_as(order, order_view::status_name(order, is_refunded), &mut body);
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
    let command = Command::Cancel { order_id, user_id };
    decisions::change(edge, &order, command).await.map(OrderAnswer::new)
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
}
