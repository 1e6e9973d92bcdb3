//! Buying without a script: a page that shows the price in force and asks once more, and the purchase that
//! its form sends. The form carries a fresh key, so that a purchase sent twice is one. A guarded item is bought
//! with a token, which only a script can get: its page says so and has no form.

use super::item;
use super::visit::Visit;
use crate::http::address::ClientAddress;
use crate::http::admit;
use crate::http::api::items::{self, ItemStateView};
use crate::http::edge::purchasing::Purchasing;
use crate::http::edge::traced::Interface;
use crate::http::pages::form::Form;
use crate::http::pages::headers;
use crate::http::pages::money;
use crate::http::pages::problem::Shown;
use crate::http::pages::shell::Shell;
use crate::http::problem::{Code, Problem};
use crate::http::purchase::{self, Asked, Bought, Caller};
use crate::http::request::idempotency_key::{self, IDEMPOTENCY_KEY};
use crate::http::request::path::Id;
use crate::http::state::Edge;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::{Address, ItemId, UserId};
use hyper::header::HeaderValue;
use hyper::{HeaderMap, StatusCode};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "shop/confirm.html")]
struct Confirm {
    shell: Shell,
    number: u64,
    title: String,
    price: String,
    terms: String,
    limit: u64,
    quantity: String,
    key: String,
    /// Whether it is bought with a token, which takes a script to get.
    is_guarded: bool,
    /// What keeps the item from being bought; `None` if nothing does.
    obstacle: Option<Shown>,
}

/// Shows the page.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Id(item_id): Id<ItemId>,
    visit: Visit,
) -> Result<Response, Problem> {
    if let Err(log_in) = visit.buyer_or_log_in() {
        return Ok(*log_in);
    }
    let gate = edge.engine.find_gate(item_id).await;
    let state = gate.map(|gate| gate.map(|gate| items::state(&gate, edge.engine.now())));
    let obstacle = match state.unwrap_or_default() {
        None if edge.engine.is_elsewhere(item_id) => Some(Code::OwnerUnavailable),
        None | Some(ItemStateView::Upcoming) => Some(Code::SaleNotStarted),
        Some(ItemStateView::SoldOut) => Some(Code::SoldOut),
        Some(ItemStateView::Paused) => Some(Code::SalePaused),
        Some(ItemStateView::Ended) => Some(Code::SaleEnded),
        Some(ItemStateView::Live) => None,
    };
    page(&edge, &visit, item_id, StatusCode::OK, "1", obstacle).await
}

async fn page(
    edge: &Edge,
    visit: &Visit,
    item_id: ItemId,
    status: StatusCode,
    quantity: &str,
    obstacle: Option<Code>,
) -> Result<Response, Problem> {
    let (_, item) = item::find(edge, item_id).await?;
    let words = visit.words;
    let path = format!("/items/{item_id}/buy");
    let key = format!("{:032x}", rand::random::<u128>());
    visit.page(
        edge,
        status,
        &Confirm {
            shell: visit.shell(edge, words.confirm_title(), path),
            number: item_id.0,
            title: item.title.clone(),
            price: money::format(visit.language(), item.currency, item.price),
            terms: item::terms(words, &item),
            limit: u64::from(item.limit_per_user),
            quantity: quantity.to_owned(),
            key,
            is_guarded: matches!(edge.engine.find_gate(item_id).await, Ok(Some(gate)) if gate.needs_token()),
            obstacle: obstacle.map(|code| Shown::of(words, code, None)),
        },
    )
}

/// Buys, and leads to the order; what is in the way comes back with the page.
pub async fn submit(
    State(edge): State<Arc<Edge>>,
    Id(item_id): Id<ItemId>,
    ClientAddress(address): ClientAddress,
    visit: Visit,
    entered: Form,
) -> Result<Response, Problem> {
    let user_id = match visit.buyer_or_log_in() {
        Ok(user_id) => user_id,
        Err(log_in) => return Ok(*log_in),
    };
    let number = edge.unique_number();
    let purchasing = Purchasing::begin(&edge, number, Interface::Page, &visit.headers);
    let outcome = buy(&edge, (user_id, address), item_id, &entered, &purchasing).await;
    purchasing.end(&edge, Some(item_id), outcome.as_ref());
    match outcome {
        Ok(Bought { order, .. }) => {
            Ok(visit.lead_to(&edge, format_args!("/orders/{}", order.order_id), None))
        }
        Err(problem) if problem.code == Code::ItemNotFound => Err(problem),
        Err(problem) => {
            let quantity = entered.text("quantity");
            let (status, code) = (problem.code.status(), problem.code);
            let page = page(&edge, &visit, item_id, status, quantity, Some(code)).await?;
            Ok(headers::wait(page, &problem))
        }
    }
}

async fn buy(
    edge: &Edge,
    (user_id, address): (UserId, Address),
    item_id: ItemId,
    entered: &Form,
    purchasing: &Purchasing,
) -> Result<Bought, Problem> {
    admit::purchase_from(edge, address)?;
    admit::purchase_of(edge, user_id, address)?;
    let item = purchase::item(edge, Some(item_id)).await?;
    let limit = item.terms().limit_per_user;
    let quantity = entered.text("quantity").trim().parse::<u16>().ok();
    let quantity = quantity.filter(|quantity| *quantity >= 1).ok_or_else(|| {
        Problem::field("/quantity", format!("must be an integer from 1 to {limit}"))
    })?;
    let key = HeaderValue::from_str(entered.text("key"))
        .map_err(|_| Problem::field("/key", "must be the one of the form"))?;
    let headers = HeaderMap::from_iter([(IDEMPOTENCY_KEY.clone(), key)]);
    let key = idempotency_key::idempotency_key(&headers, user_id, purchasing.number())?;
    let asked = Asked { item, quantity, key, token: None, trace: purchasing.trace() };
    purchase::run(edge, Caller { user_id }, asked).await
}
