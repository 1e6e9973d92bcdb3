//! A sale's orders for operators: pages for a screen, CSV for an accountant. Both show what has
//! reached the order store.

use crate::http::api::example;
use crate::http::api::order_view::{self, OrderView};
use crate::http::auth::bearer::Operator;
use crate::http::problem::Problem;
use crate::http::request::extract::Parameters;
use crate::http::request::page::{self, PageQuery};
use crate::http::request::path::Id;
use crate::http::request::rules::Identity;
use crate::http::state::Edge;
use crate::http::timestamp;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::order::Cursor;
use domain::{ItemId, Order, OrderId, OrderStatus, SaleId};
use futures_util::stream;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::sync::Arc;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

/// Rows that an export reads at a time.
const EXPORT_ROWS: usize = 500;
const CSV_HEAD: &str = "order_id,item_id,sale_id,user_id,attempt,quantity,amount,currency,status,\
                        created_at,expires_at\r\n";

/// Names of the forms that the orders come in.
const JSON: &str = "json";
const CSV: &str = "csv";

/// Which of a sale's orders a query asks for, and in which form.
#[derive(Debug, Deserialize)]
pub struct SaleOrdersQuery {
    /// The most entries to return.
    pub limit: Option<String>,
    /// The last order of the page before.
    pub starting_after: Option<String>,
    /// The only item whose orders are asked for.
    pub item: Option<String>,
    /// The form: `json` or `csv`.
    pub format: Option<String>,
}

impl IntoParams for SaleOrdersQuery {
    fn into_params(provider: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let format = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([JSON, CSV]));
        let mut parameters = PageQuery::into_params(provider);
        parameters.push(page::query_parameter(
            "item",
            "Only orders of this item.",
            Identity::schema(),
            example::ITEM_ID.into(),
        ));
        parameters.push(page::query_parameter(
            "format",
            "`json` for a page, which is the default; `csv` for all orders as one file, oldest first.",
            format.into(),
            JSON.into(),
        ));
        parameters
    }
}

/// A page of orders with their buyers, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct SaleOrderPage {
    /// The orders of this page.
    pub data: Vec<SaleOrderView>,
    /// Whether there are older orders: ask for them with `starting_after` the last one of this page.
    pub has_more: bool,
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
        Self { data: vec![order], has_more: false }
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
pub async fn list(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
    Id(sale_id): Id<SaleId>,
    Parameters(query): Parameters<SaleOrdersQuery>,
) -> Result<Response, Problem> {
    let page = PageQuery { limit: query.limit, starting_after: query.starting_after };
    let (limit, before) = page.read::<OrderId>()?;
    let item_id = match &query.item {
        None => None,
        Some(text) => {
            Some(text.parse().map_err(|_| Problem::field("item", "must be an item's identity"))?)
        }
    };
    let as_csv = match query.format.as_deref() {
        None | Some(JSON) => false,
        Some(CSV) => true,
        Some(_) => return Err(Problem::field("format", "must be json or csv")),
    };
    edge.sales.sale(sale_id).await?;
    if as_csv {
        return export(edge, sale_id, item_id).await;
    }
    let cursor = Cursor::Before(before);
    let mut orders = edge.sales.orders_of_sale(sale_id, item_id, cursor, limit + 1).await?;
    let has_more = orders.len() > limit;
    orders.truncate(limit);
    Ok(render_page(&orders, has_more))
}

fn render_page(orders: &[Order], has_more: bool) -> Response {
    let mut body = Vec::with_capacity(32 + orders.len() * (order_view::LENGTH_MAX + 40));
    body.extend_from_slice(b"{\"data\":[");
    for (place, order) in orders.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        order_view::render(order, &mut body);
        // The buyer is added where the object ended.
        body.pop();
        body.extend_from_slice(format!(",\"user_id\":\"{}\"}}", order.user_id).as_bytes());
    }
    body.extend_from_slice(format!("],\"has_more\":{has_more}}}").as_bytes());
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Answers with all orders as a file, read and sent piece by piece. The first rows are read before the
/// answer begins, so that a database that does not answer still leads to a problem.
async fn export(
    edge: Arc<Edge>,
    sale_id: SaleId,
    item_id: Option<ItemId>,
) -> Result<Response, Problem> {
    let first = read(&edge, sale_id, item_id, OrderId(0)).await?;
    let state = Export { edge, sale_id, item_id, rows: Some(first), head: CSV_HEAD };
    let pieces = stream::try_unfold(state, |mut export| async move {
        let Some(rows) = export.rows.take() else {
            return Ok::<_, std::io::Error>(None);
        };
        let text = render_rows(std::mem::take(&mut export.head), &rows);
        if let Some(last) = rows.last().filter(|_| rows.len() == EXPORT_ROWS) {
            // A file that ends early must not look complete: the connection is cut instead.
            let next = read(&export.edge, export.sale_id, export.item_id, last.order_id)
                .await
                .map_err(|_| std::io::Error::other("the order store does not answer"))?;
            export.rows = Some(next);
        }
        Ok(Some((Bytes::from(text), export)))
    });
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"sale-{sale_id}-orders.csv\"")),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

struct Export {
    edge: Arc<Edge>,
    sale_id: SaleId,
    item_id: Option<ItemId>,
    rows: Option<Vec<Order>>,
    head: &'static str,
}

async fn read(
    edge: &Edge,
    sale_id: SaleId,
    item_id: Option<ItemId>,
    after: OrderId,
) -> Result<Vec<Order>, Problem> {
    let cursor = Cursor::After(after);
    Ok(edge.sales.orders_of_sale(sale_id, item_id, cursor, EXPORT_ROWS).await?)
}

/// Renders orders as CSV. There are only numbers, codes and names: nothing that needs quoting, and no
/// formula for a spreadsheet.
fn render_rows(head: &str, orders: &[Order]) -> String {
    let mut text = String::with_capacity(head.len() + orders.len() * 160);
    text.push_str(head);
    for order in orders {
        let _ = write!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{}\r\n",
            order.order_id,
            order.item_id,
            order.sale_id,
            order.user_id,
            order.attempt,
            order.quantity,
            order.amount,
            order.currency,
            order.status.name(),
            timestamp::to_string(order.created_at()),
            timestamp::to_string(order.expires_at),
        );
    }
    text
}
