//! The buyer's orders, and one of them: to be paid, or given up.

use super::visit::{Visit, data_block};
use crate::actors::KeyOrigin;
use crate::http::api::orders;
use crate::http::pages::form::Form;
use crate::http::pages::money;
use crate::http::pages::shell::Shell;
use crate::http::pages::times::{Moment, moment};
use crate::http::pages::words::Words;
use crate::http::payments::pay::{self, Onward, Paid, PaymentMode};
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::Parameters;
use crate::http::request::page::place;
use crate::http::request::path::Id;
use crate::http::state::Edge;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::{Order, OrderId, OrderStatus, RequestId, SaleId};
use hyper::header::{HeaderValue, REFRESH};
use hyper::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Orders of a page.
const PAGE: usize = 20;

/// An order as pages show it.
struct OrderCard {
    number: u64,
    item: u64,
    /// What was bought; the item's number if the catalogue does not know.
    title: String,
    quantity: u64,
    amount: String,
    /// How it stands, in words.
    status: String,
    /// How that is to be taken: `good`, `warn`, `bad`, or nothing.
    tone: &'static str,
    created_at: Moment,
    expires_at: Moment,
    is_reserved: bool,
}

#[derive(Template)]
#[template(path = "shop/orders.html")]
struct Orders {
    shell: Shell,
    orders: Vec<OrderCard>,
    /// The last order of this page, if there are older ones.
    after: Option<u64>,
    /// Whether there are no others than those that are known.
    is_complete: bool,
}

#[derive(Template)]
#[template(path = "shop/order.html")]
struct OrderPage {
    shell: Shell,
    order: OrderCard,
    /// What happens next, in a sentence.
    next: String,
    can_pay: bool,
    /// What is said below the button.
    about_payment: String,
    data: String,
}

#[derive(Template)]
#[template(path = "shop/pay.html")]
struct ToProvider {
    shell: Shell,
    order: u64,
    /// The provider's host, so that the buyer sees where the link leads.
    host: String,
    url: String,
}

/// Where the list goes on.
#[derive(Debug, Deserialize)]
pub struct After {
    starting_after: Option<String>,
}

/// Shows the buyer's orders, newest first.
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Parameters(after): Parameters<After>,
    visit: Visit,
) -> Result<Response, Problem> {
    let user_id = match visit.buyer_or_log_in() {
        Ok(user_id) => user_id,
        Err(log_in) => return Ok(*log_in),
    };
    let before = place(after.starting_after.as_deref())?;
    let found = orders::page_of(&edge, user_id, before, PAGE).await?;
    let mut titles = Titles::default();
    let mut cards = Vec::with_capacity(found.orders.len());
    for order in &found.orders {
        let title = titles.of(&edge, order).await;
        let is_refunded = found.refunded.contains(&order.order_id);
        cards.push(card(&edge, &visit, (order, is_refunded), title));
    }
    let shell = visit.shell(&edge, visit.words.orders_title(), "/orders");
    let after = found.orders.last().filter(|_| found.has_more).map(|order| order.order_id.0);
    let is_complete = found.is_complete;
    visit.page(&edge, StatusCode::OK, &Orders { shell, orders: cards, after, is_complete })
}

/// Shows an order.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Id(order_id): Id<OrderId>,
    visit: Visit,
) -> Result<Response, Problem> {
    let user_id = match visit.buyer_or_log_in() {
        Ok(user_id) => user_id,
        Err(log_in) => return Ok(*log_in),
    };
    let order = orders::find(&edge, order_id, user_id).await?;
    let is_refunded = orders::refunded(&edge, &[order]).await.contains(&order_id);
    let words = visit.words;
    let title = Titles::default().of(&edge, &order).await;
    let mode = pay::mode(&edge);
    let data = json!({
        "order": order_id.to_string(),
        "status": order.status.name(),
        "expiresAt": order.expires_at.0,
        "words": { "left": words.order_left("{time}"), "over": words.order_time_over() },
    });
    visit.page(
        &edge,
        StatusCode::OK,
        &OrderPage {
            shell: visit.shell(&edge, title.clone(), format!("/orders/{order_id}")),
            order: card(&edge, &visit, (&order, is_refunded), title),
            next: next(words, order.status, is_refunded),
            can_pay: !matches!(mode, PaymentMode::None),
            about_payment: match mode {
                PaymentMode::Provider(_) => words.order_provider(),
                PaymentMode::Sandbox => words.order_sandbox(),
                PaymentMode::None => words.order_no_payment(),
            },
            data: data_block(&data),
        },
    )
}

/// Pays an order.
pub async fn pay(
    State(edge): State<Arc<Edge>>,
    Id(order_id): Id<OrderId>,
    visit: Visit,
    _entered: Form,
) -> Result<Response, Problem> {
    // Back to the page where the button stands: this path shows none.
    let user_id = match visit.buyer_or_log_in_for(&visit.href(format_args!("/orders/{order_id}"))) {
        Ok(user_id) => user_id,
        Err(log_in) => return Ok(*log_in),
    };
    let key = (RequestId(edge.unique_number()), KeyOrigin::Edge);
    match pay::pay(Arc::clone(&edge), user_id, order_id, key, None).await {
        Ok(Paid { onward: Some(onward), .. }) => to_provider(&edge, &visit, order_id, onward),
        Ok(paid) => after_change(&edge, &visit, order_id, Ok(paid.order)),
        Err(problem) => after_change(&edge, &visit, order_id, Err(problem)),
    }
}

/// Sends the buyer on to the provider's page: at once, and by a link where the browser does not go by itself. A
/// redirect would not do, because this shop's pages let forms lead to the shop alone.
fn to_provider(
    edge: &Edge,
    visit: &Visit,
    order_id: OrderId,
    onward: Onward,
) -> Result<Response, Problem> {
    let refresh = HeaderValue::try_from(format!("0; url={}", onward.url));
    let refresh = refresh.map_err(|_| Problem::outcome_unknown())?;
    let host = onward.url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    let page = ToProvider {
        shell: visit.shell(edge, visit.words.pay_title(), format!("/orders/{order_id}")),
        order: order_id.0,
        host: host.unwrap_or_default(),
        url: onward.url,
    };
    let mut response = visit.page(edge, StatusCode::OK, &page)?;
    response.headers_mut().insert(REFRESH, refresh);
    Ok(response)
}

/// Gives an order up.
pub async fn cancel(
    State(edge): State<Arc<Edge>>,
    Id(order_id): Id<OrderId>,
    visit: Visit,
    _entered: Form,
) -> Result<Response, Problem> {
    // Back to the page where the button stands: this path shows none.
    let user_id = match visit.buyer_or_log_in_for(&visit.href(format_args!("/orders/{order_id}"))) {
        Ok(user_id) => user_id,
        Err(log_in) => return Ok(*log_in),
    };
    let cancelled = orders::cancel_at_once(&edge, user_id, order_id).await;
    after_change(&edge, &visit, order_id, cancelled)
}

/// Leads back to the order, which shows how it stands now, and says what came of the wish.
fn after_change(
    edge: &Edge,
    visit: &Visit,
    order_id: OrderId,
    changed: Result<Order, Problem>,
) -> Result<Response, Problem> {
    let said = match changed.map(|order| order.status) {
        Ok(OrderStatus::Paid) => Some("paid"),
        Ok(OrderStatus::Cancelled) => Some("cancelled"),
        Ok(_) => None,
        Err(problem) => match problem.code {
            Code::OrderClosed => Some("closed"),
            Code::PaymentFailed | Code::Forbidden => Some("payment_refused"),
            Code::TooManyPayments => Some("too_many_payments"),
            Code::OrderNotFound => return Err(problem),
            _ => Some("busy"),
        },
    };
    Ok(visit.lead_to(edge, format_args!("/orders/{order_id}"), said))
}

/// What was bought, by sale, so that a page of orders asks for each sale once.
#[derive(Default)]
struct Titles(HashMap<SaleId, HashMap<u64, String>>);

impl Titles {
    /// Returns the title of the order's item. Without the catalogue its number has to do.
    async fn of(&mut self, edge: &Edge, order: &Order) -> String {
        if let Entry::Vacant(place) = self.0.entry(order.sale_id) {
            let sale = edge.sales.public_sale(order.sale_id).await.ok().flatten();
            let items = sale.iter().flat_map(|sale| &sale.items);
            let titles = items.map(|item| (item.item_id.0, item.title.clone())).collect();
            place.insert(titles);
        }
        let title = self.0.get(&order.sale_id).and_then(|titles| titles.get(&order.item_id.0));
        title.cloned().unwrap_or_else(|| format!("№ {}", order.item_id))
    }
}

fn card(
    edge: &Edge,
    visit: &Visit,
    (order, is_refunded): (&Order, bool),
    title: String,
) -> OrderCard {
    let (language, offset) = (visit.language(), edge.options.pages.utc_offset);
    let words = visit.words;
    let (status, tone) = match order.status {
        OrderStatus::Reserved => (words.status_reserved(), "warn"),
        OrderStatus::Paid => (words.status_paid(), "good"),
        OrderStatus::Cancelled => (words.status_cancelled(), ""),
        OrderStatus::Expired => (words.status_expired(), "bad"),
        OrderStatus::RefundDue if is_refunded => (words.status_refunded(), ""),
        OrderStatus::RefundDue => (words.status_refund_due(), "warn"),
    };
    OrderCard {
        number: order.order_id.0,
        item: order.item_id.0,
        title,
        quantity: u64::from(order.quantity),
        amount: money::format(language, order.currency, order.amount),
        status,
        tone,
        created_at: moment(language, offset, order.created_at()),
        expires_at: moment(language, offset, order.expires_at),
        is_reserved: order.status == OrderStatus::Reserved,
    }
}

fn next(words: Words, status: OrderStatus, is_refunded: bool) -> String {
    match status {
        OrderStatus::Reserved => words.next_reserved(),
        OrderStatus::Paid => words.next_paid(),
        OrderStatus::Cancelled => words.next_cancelled(),
        OrderStatus::Expired => words.next_expired(),
        OrderStatus::RefundDue if is_refunded => words.next_refunded(),
        OrderStatus::RefundDue => words.next_refund_due(),
    }
}
