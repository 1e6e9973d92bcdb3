//! A sale's orders for operators: pages for the screen, CSV for the accountant. Both show what has
//! reached the order store.

use crate::http::admission::{Id, Operator};
use crate::http::edge::Edge;
use crate::http::error::Problem;
use crate::http::extract::{PageQuery, Parameters};
use crate::http::order_view::{self, OrderView};
use crate::http::timestamp;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::order::Cursor;
use domain::{ItemId, Order, OrderId, SaleId};
use futures_util::stream;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Rows that one step of an export reads.
const EXPORT_ROWS: usize = 500;
const CSV_HEAD: &str = "order_id,item_id,sale_id,user_id,attempt,quantity,amount,currency,status,\
                        created_at,expires_at\r\n";

/// Which orders, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SaleOrdersQuery {
    /// Entries at most, 1 to 100; 20 if absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub limit: Option<String>,
    /// The last order of the page before.
    #[param(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub starting_after: Option<String>,
    /// Of this item alone.
    #[param(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub item: Option<String>,
    /// `csv` for all of them, oldest first, as a file; `json` if absent.
    #[param(inline, value_type = Option<Format>)]
    pub format: Option<String>,
}

/// In which form.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "documents what `SaleOrdersQuery::format` may be")]
pub enum Format {
    /// A page.
    Json,
    /// A file.
    Csv,
}

/// A page of orders with their buyers, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct SaleOrderPage {
    /// The orders.
    pub data: Vec<SaleOrderView>,
    /// Whether there are older ones: ask again with `starting_after` the last one.
    pub has_more: bool,
}

/// An order as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SaleOrderView {
    /// The order.
    #[serde(flatten)]
    pub order: OrderView,
    /// Whose.
    #[schema(pattern = "^[0-9]{1,20}$")]
    pub user_id: String,
}

/// A sale's orders, newest first, or all of them as CSV.
#[utoipa::path(
    get, path = "/api/v1/admin/sales/{sale}/orders", tag = "operators",
    params(("sale" = String, Path, description = "The sale's identity"), SaleOrdersQuery),
    responses((status = 200, description = "A page, or with `format=csv` a file",
        content((SaleOrderPage = "application/json"), (String = "text/csv")))),
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
        None | Some("json") => false,
        Some("csv") => true,
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
        // The buyer goes in where the object ended.
        body.pop();
        body.extend_from_slice(format!(",\"user_id\":\"{}\"}}", order.user_id).as_bytes());
    }
    body.extend_from_slice(format!("],\"has_more\":{has_more}}}").as_bytes());
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// All orders as a file, read and sent bit by bit. The first rows are read before the answer
/// begins, so that a database that is away is still said as a problem.
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
            // A file that ends early must not look whole: the connection breaks off instead.
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

/// Numbers, codes and names only: nothing that needs quoting, nor a formula for a spreadsheet.
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
