//! Orders for operators: of all sales or of one, as pages for a screen or as a file for an accountant. Both
//! show what has reached the order store.

use super::list_form::ListForm;
use super::order_export::{CSV_HEAD, export};
use super::order_filter::{OrdersQuery, SaleOrdersQuery};
use crate::http::api::example;
use crate::http::api::order_view::{self, OrderView};
use crate::http::auth::bearer::Operator;
use crate::http::problem::Problem;
use crate::http::request::extract::Parameters;
use crate::http::request::path::Id;
use crate::http::request::rules::Identity;
use crate::http::state::Edge;
use crate::sales::FoundOrders;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::order::Cursor;
use domain::{Order, OrderStatus, SaleId};
use hyper::header::CONTENT_TYPE;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A page of orders with their buyers, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct SaleOrderPage {
    /// The orders of this page.
    pub data: Vec<SaleOrderView>,
    /// Whether there are older orders: ask for them with `starting_after` what `next` says.
    pub has_more: bool,
    /// Where the next page starts. A page can be short, or empty, although there are more: a rare status
    /// is looked for in many orders, and a search ends after 200,000.
    #[schema(value_type = Option<Identity>)]
    pub next: Option<String>,
}

/// An order as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SaleOrderView {
    /// The order, as its buyer sees it.
    #[serde(flatten)]
    pub order: OrderView,
    /// The buyer's identity.
    #[schema(value_type = Identity)]
    pub user_id: String,
}

impl SaleOrderPage {
    fn example() -> Self {
        let order = OrderView::example(OrderStatus::Paid);
        let order = SaleOrderView { order, user_id: example::USER_ID.to_owned() };
        Self { data: vec![order], has_more: true, next: Some(example::ORDER_ID.to_owned()) }
    }
}

/// Lists a sale's orders.
///
/// The orders of all buyers, newest first and a page at a time, or with `format=csv` all of them as one
/// file. Orders are listed once they have reached the order store, which a rush may delay by seconds.
#[utoipa::path(
    get, path = "/api/v1/admin/sales/{sale}/orders", tag = "operators",
    params(Id::<SaleId>, SaleOrdersQuery),
    responses((status = 200, description = "A page, or with `format=csv` a file", content(
        (SaleOrderPage = "application/json", example = json!(SaleOrderPage::example())),
        (String = "text/csv", example = json!(CSV_HEAD)),
    ))),
    security(("token" = []))
)]
pub async fn list_of_sale(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
    Id(sale_id): Id<SaleId>,
    Parameters(query): Parameters<SaleOrdersQuery>,
) -> Result<Response, Problem> {
    let query = query.of(sale_id);
    // What is wrong with the query is said first, also where there is no such sale.
    query.filter()?;
    query.form()?;
    edge.sales.sale(sale_id).await?;
    answer(edge, &query, &format!("sale-{sale_id}-orders")).await
}

/// Lists the orders of all sales.
///
/// Newest first and a page at a time, or with `format=csv` all of them as one file: of one sale, item or
/// buyer, in one status, placed within some time, or any of these together. Orders are listed once they
/// have reached the order store, which a rush may delay by seconds.
#[utoipa::path(
    get, path = "/api/v1/admin/orders", tag = "operators",
    params(OrdersQuery),
    responses((status = 200, description = "A page, or with `format=csv` a file", content(
        (SaleOrderPage = "application/json", example = json!(SaleOrderPage::example())),
        (String = "text/csv", example = json!(CSV_HEAD)),
    ))),
    security(("token" = []))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
    Parameters(query): Parameters<OrdersQuery>,
) -> Result<Response, Problem> {
    answer(edge, &query, "orders").await
}

async fn answer(edge: Arc<Edge>, query: &OrdersQuery, name: &str) -> Result<Response, Problem> {
    let filter = query.filter()?;
    match query.form()? {
        ListForm::File { for_excel } => export(edge, filter, for_excel, name).await,
        ListForm::Page(limit, before) => {
            let cursor = Cursor::Before(before);
            let found = edge.sales.search_orders(&filter, cursor, limit + 1).await?;
            Ok(render_page(&cut(found, limit)))
        }
    }
}

/// Returns the page of a search that looked for one order more than a page has.
pub fn cut(mut found: FoundOrders, limit: usize) -> FoundOrders {
    if found.orders.len() > limit {
        found.orders.truncate(limit);
        found.next = found.orders.last().map(|order| order.order_id);
    }
    found
}

fn render_page(FoundOrders { orders, refunded, next }: &FoundOrders) -> Response {
    let mut body = Vec::with_capacity(64 + orders.len() * (order_view::LENGTH_MAX + 40));
    body.extend_from_slice(b"{\"data\":[");
    for (place, order) in orders.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        let is_refunded = refunded.contains(&order.order_id);
        push_order(order, order_view::status_name(order, is_refunded), &mut body);
    }
    let next_text = next.map_or("null".to_owned(), |next| format!("\"{next}\""));
    let rest = format!("],\"has_more\":{},\"next\":{next_text}}}", next.is_some());
    body.extend_from_slice(rest.as_bytes());
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn push_order(order: &Order, status: &str, body: &mut Vec<u8>) {
    order_view::render_as(order, status, body);
    // The buyer is added where the object ended.
    body.pop();
    body.extend_from_slice(format!(",\"user_id\":\"{}\"}}", order.user_id).as_bytes());
}
