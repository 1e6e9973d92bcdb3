//! Orders: looked for by what is known of them, and as a file with the same filter.

use super::shell::{ConsoleShell, Section};
use super::visit::Visit;
use crate::http::admin::list_form::for_excel;
use crate::http::admin::order_export::export;
use crate::http::admin::order_filter::{OrdersQuery, status_names};
use crate::http::admin::orders::cut;
use crate::http::pages::form::FormErrors;
use crate::http::pages::money;
use crate::http::pages::times::Moment;
use crate::http::pages::words::Words;
use crate::http::problem::{Code, Problem};
use crate::http::request::page;
use crate::http::state::Edge;
use crate::sales::{FoundOrders, OrderFilter, OrderNames};
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use domain::order::Cursor;
use domain::{OperatorRole, Order, OrderId, OrderStatus, UserId};
use hyper::StatusCode;
use serde::Deserialize;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// Orders of one page.
const PAGE: usize = 50;

/// What stands in the form: each field as it was typed, empty if nothing was.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Search {
    order: String,
    buyer: String,
    sale: String,
    item: String,
    status: String,
    from: String,
    to: String,
    starting_after: Option<String>,
    excel: Option<String>,
}

#[derive(Template)]
#[template(path = "console/orders.html")]
struct Orders {
    shell: ConsoleShell,
    errors: FormErrors,
    search: Search,
    statuses: Vec<StatusChoice>,
    orders: Vec<OrderRow>,
    /// The query of the next page, if there is one.
    older: Option<String>,
    /// The query of the files.
    query: String,
    /// Whether one order was asked for by its number: there is no file of one.
    is_one: bool,
    zone: String,
}

struct StatusChoice {
    name: &'static str,
    title: String,
    is_chosen: bool,
}

struct OrderRow {
    number: u64,
    sale: u64,
    title: String,
    user: u64,
    user_name: String,
    quantity: u64,
    amount: String,
    status: String,
    badge: &'static str,
    created_at: Moment,
    expires_at: Moment,
}

/// What is asked for: one order by its number, or those that a filter takes.
enum Asked {
    Order(OrderId),
    Any(OrderFilter),
}

/// Shows the form, and the orders that it finds.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Query(search): Query<Search>,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let asked = read(&edge, &visit, &search).await?;
    let (errors, found) = match &asked {
        Err(errors) => (errors.clone(), FoundOrders::default()),
        Ok(Asked::Order(order_id)) => {
            let orders = Vec::from_iter(edge.sales.order(*order_id).await?);
            let refunded = edge.sales.refunded_of(&orders).await?;
            (FormErrors::default(), FoundOrders { orders, refunded, next: None })
        }
        Ok(Asked::Any(filter)) => {
            let cursor = Cursor::Before(page::place(search.starting_after.as_deref())?);
            let found = edge.sales.search_orders(filter, cursor, PAGE + 1).await?;
            (FormErrors::default(), cut(found, PAGE))
        }
    };
    let names = edge.sales.names(&found.orders).await.unwrap_or_default();
    let status = match asked {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let words = visit.words;
    let titles = OrderStatus::ALL.map(|status| status_name(words, status)).into_iter();
    let titles = titles.chain([words.console_order_refunded()]);
    let choices = status_names().into_iter().zip(titles);
    let statuses =
        choices.map(|(name, title)| StatusChoice { name, title, is_chosen: search.status == name });
    let query = search.query();
    let page = Orders {
        shell: visit.frame(&edge, words.console_orders(), Section::Orders),
        errors,
        statuses: statuses.collect(),
        orders: found
            .orders
            .iter()
            .map(|order| row(&edge, &visit, order, &found.refunded, &names))
            .collect(),
        is_one: !search.order.trim().is_empty(),
        older: found.next.map(|next| format!("{query}starting_after={next}")),
        query,
        search,
        zone: edge.options.pages.utc_offset.to_string(),
    };
    visit.page(&edge, status, &page)
}

/// Sends the orders that the form finds as a file.
pub async fn file(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Query(search): Query<Search>,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let for_excel = for_excel(search.excel.as_deref())?;
    match read(&edge, &visit, &search).await? {
        Ok(Asked::Any(filter)) => export(edge, filter, for_excel, "orders").await,
        Ok(Asked::Order(_)) | Err(_) => {
            Err(Problem::new(Code::InvalidField, "the filter of the file is not valid"))
        }
    }
}

/// Reads the form; what is wrong with it comes back by field.
async fn read(
    edge: &Edge,
    visit: &Visit,
    search: &Search,
) -> Result<Result<Asked, FormErrors>, Problem> {
    let words = visit.words;
    let mut errors = FormErrors::default();
    if !search.order.trim().is_empty() {
        return Ok(match search.order.trim().parse() {
            Ok(order_id) => Ok(Asked::Order(order_id)),
            Err(_) => {
                errors.push("order", words.search_number());
                Err(errors)
            }
        });
    }
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let user = match given(&search.buyer) {
        None => None,
        Some(buyer) => match buyer.parse::<UserId>() {
            Ok(user_id) => Some(user_id.to_string()),
            Err(_) => match edge.sales.user_by_name(&buyer).await? {
                Some((user_id, _)) => Some(user_id.to_string()),
                None => {
                    errors.push("buyer", words.search_no_buyer());
                    None
                }
            },
        },
    };
    let offset = edge.options.pages.utc_offset;
    let instant = |text: &str| given(text).map(|text| super::sale_fields::instant(offset, &text));
    let query = OrdersQuery {
        sale: given(&search.sale),
        item: given(&search.item),
        user,
        status: given(&search.status),
        from: instant(&search.from),
        to: instant(&search.to),
        ..OrdersQuery::default()
    };
    let filter = query.filter();
    if let Err(problem) = &filter {
        for error in &problem.errors.shown {
            let message = match error.pointer.as_str() {
                "sale" | "item" => words.search_number(),
                "from" => words.rule_time(),
                "to" if error.detail.contains("after") => words.search_to(),
                "to" => words.rule_time(),
                _ => words.search_status(),
            };
            errors.push(error.pointer.clone(), message);
        }
    }
    Ok(match filter {
        Ok(filter) if errors.is_empty() => Ok(Asked::Any(filter)),
        _ => Err(errors),
    })
}

impl Search {
    /// The form's fields as a query that something can be added to.
    fn query(&self) -> String {
        let mut query = String::new();
        for (name, value) in [
            ("buyer", &self.buyer),
            ("sale", &self.sale),
            ("item", &self.item),
            ("status", &self.status),
            ("from", &self.from),
            ("to", &self.to),
        ] {
            if value.trim().is_empty() {
                continue;
            }
            let _ = write!(query, "{name}=");
            for byte in value.trim().bytes() {
                // Writing to a string cannot fail.
                let _ = if byte.is_ascii_alphanumeric() {
                    write!(query, "{}", char::from(byte))
                } else {
                    write!(query, "%{byte:02X}")
                };
            }
            query.push('&');
        }
        query
    }
}

fn row(
    edge: &Edge,
    visit: &Visit,
    order: &Order,
    refunded: &HashSet<OrderId>,
    names: &OrderNames,
) -> OrderRow {
    let is_refunded = refunded.contains(&order.order_id);
    let title = names.items.get(&order.item_id).map(|item| item.title.clone());
    OrderRow {
        number: order.order_id.0,
        sale: order.sale_id.0,
        title: title.unwrap_or_else(|| order.item_id.to_string()),
        user: order.user_id.0,
        user_name: names.users.get(&order.user_id).cloned().unwrap_or_default(),
        quantity: u64::from(order.quantity),
        amount: money::format(visit.words.language(), order.currency, order.amount),
        status: match is_refunded {
            true => visit.words.console_order_refunded(),
            false => status_name(visit.words, order.status),
        },
        badge: match order.status {
            OrderStatus::RefundDue if is_refunded => "",
            OrderStatus::Paid => "good",
            OrderStatus::Reserved => "warn",
            OrderStatus::RefundDue => "bad",
            OrderStatus::Cancelled | OrderStatus::Expired => "",
        },
        created_at: visit.moment(edge, order.created_at()),
        expires_at: visit.moment(edge, order.expires_at),
    }
}

/// Returns what an order's status is called.
pub fn status_name(words: Words, status: OrderStatus) -> String {
    match status {
        OrderStatus::Reserved => words.console_order_reserved(),
        OrderStatus::Paid => words.console_order_paid(),
        OrderStatus::Cancelled => words.console_order_cancelled(),
        OrderStatus::Expired => words.console_order_expired(),
        OrderStatus::RefundDue => words.console_order_refund_due(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_repeated_by_its_query() {
        let search = Search {
            buyer: " 王 伟&x=1".to_owned(),
            status: "paid".to_owned(),
            ..Search::default()
        };
        assert_eq!(search.query(), "buyer=%E7%8E%8B%20%E4%BC%9F%26x%3D1&status=paid&");
        assert_eq!(Search::default().query(), "");
    }
}
