//! The page of an item, with the button that buys it.
//!
//! It is the same for every visitor and says nothing that changes by the second; a script asks for that. A
//! browser without scripts is led to the page that confirms a purchase (`confirm.rs`).

use super::visit::{Visit, data_block, render};
use crate::http::api::items;
use crate::http::pages::assets::Assets;
use crate::http::pages::headers::{Keep, shared_page};
use crate::http::pages::language::Language;
use crate::http::pages::money;
use crate::http::pages::rendered::Page;
use crate::http::pages::shell::Shell;
use crate::http::pages::times::{Moment, UtcOffset, moment};
use crate::http::pages::words::Words;
use crate::http::problem::Problem;
use crate::http::request::path::Id;
use crate::http::state::Edge;
use crate::sales::Sales;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::ItemId;
use domain::catalogue::{PublicItem, PublicSale};
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "shop/item.html")]
struct ItemPage {
    shell: Shell,
    /// The item's number.
    number: u64,
    title: String,
    sale: u64,
    sale_title: String,
    /// The picture's path; empty if there is none.
    picture: String,
    price: String,
    list_price: String,
    limit: u64,
    /// How many one may hold, and how long they may stay unpaid.
    terms: String,
    starts_at: Moment,
    ends_at: Moment,
    /// What is said of it, a paragraph each.
    description: Vec<String>,
    /// What the script needs, as JSON.
    data: String,
}

/// Shows the page.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Id(item_id): Id<ItemId>,
    visit: Visit,
) -> Result<Response, Problem> {
    let language = visit.language();
    let page = Page::Item(language, item_id);
    let ready = edge.rendered.get(page, edge.sales.generation(), async || {
        let (sale, item) = find(&edge, item_id).await?;
        html(language, edge.options.pages.utc_offset, &sale, &item)
    });
    Ok(shared_page(&edge.site, &visit.headers, &ready.await?, Keep::Minute))
}

/// Returns a public item and its sale.
///
/// # Errors
/// Returns an `item_not_found` problem if there is none, and a `records_unavailable` or `overloaded` one
/// if the catalogue does not answer.
pub async fn find(edge: &Edge, item_id: ItemId) -> Result<(Arc<PublicSale>, PublicItem), Problem> {
    let sale = match edge.engine.known_gate(item_id) {
        Some(gate) => edge.sales.public_sale(gate.terms().sale_id).await?,
        // It is not preheated yet, or was released long ago.
        None => sale_of(&edge.sales, item_id).await?,
    };
    let sale = sale.ok_or_else(Problem::item_not_found)?;
    let item = sale.items.iter().find(|item| item.item_id == item_id).cloned();
    item.map(|item| (sale, item)).ok_or_else(Problem::item_not_found)
}

async fn sale_of(sales: &Sales, item_id: ItemId) -> Result<Option<Arc<PublicSale>>, Problem> {
    Ok(sales.public_sale_of_item(item_id).await?.map(Arc::new))
}

/// Renders the page.
///
/// # Errors
/// Returns a problem if it cannot be rendered, which it always can.
pub fn html(
    language: Language,
    offset: UtcOffset,
    sale: &PublicSale,
    item: &PublicItem,
) -> Result<String, Problem> {
    let words = Words::of(language);
    let money = |amount| money::format(language, item.currency, amount);
    let paragraphs = item.description.as_deref().unwrap_or_default().lines();
    render(&ItemPage {
        shell: Shell::shared(words, item.title.clone(), format!("/items/{}", item.item_id)),
        number: item.item_id.0,
        title: item.title.clone(),
        sale: sale.sale_id.0,
        sale_title: sale.title.clone(),
        picture: item.picture.map(|picture| format!("/media/{picture}")).unwrap_or_default(),
        price: money(item.price),
        list_price: item.list_price.map(money).unwrap_or_default(),
        limit: u64::from(item.limit_per_user),
        terms: terms(words, item),
        starts_at: moment(language, offset, sale.starts_at),
        ends_at: moment(language, offset, sale.ends_at),
        description: paragraphs.filter(|text| !text.trim().is_empty()).map(str::to_owned).collect(),
        data: data_block(&data(language, sale, item)),
    })
}

/// Returns how many units one person may hold, and how long an order may stay unpaid.
pub fn terms(words: Words, item: &PublicItem) -> String {
    let seconds = item.payment_window_milliseconds / 1000;
    let window = match (seconds / 60, seconds % 60) {
        (minutes, 0) if minutes > 0 => words.window_minutes(minutes),
        _ => words.window_seconds(seconds),
    };
    let limit = words.item_limit(u64::from(item.limit_per_user));
    format!("{limit} · {}", words.item_window(&window))
}

fn data(language: Language, sale: &PublicSale, item: &PublicItem) -> Value {
    json!({
        "item": item.item_id.to_string(),
        "base": format!("/{}", language.name()),
        "revision": items::revision(&sale.terms(item)),
        "startsAt": sale.starts_at.0,
        "endsAt": sale.ends_at.0,
        "worker": Assets::path("solver.js"),
        "words": button_words(Words::of(language)),
    })
}

/// Returns what the button says in each of its states. What the script fills in stands in braces.
fn button_words(words: Words) -> Value {
    let mut said = json!({
        "starts_in": words.timer_starts_in("{time}"),
        "days": words.timer_days("{days}", "{time}"),
        "on_now": words.badge_live(),
        "loading": words.button_loading(),
        "guest": words.button_guest(),
        "upcoming": words.button_upcoming("{time}"),
        "lead": words.button_lead(),
        "slot": words.button_slot("{turn}"),
        "open": words.button_open(),
        "asking": words.button_asking(),
        "bought": words.button_bought("{left}"),
        "time_over": words.order_time_over(),
        "paid": words.button_paid(),
        "sold_out": words.button_sold_out(),
        "limit": words.button_limit(),
        "exhausted": words.button_exhausted(),
        "paused": words.button_paused(),
        "ended": words.button_ended(),
        "busy": words.button_busy(),
        "checking": words.button_checking(),
        "too_fast": words.button_too_fast("{seconds}"),
        "prepare_again": words.button_prepare_again(),
        "prepare_by_hand": words.button_prepare_by_hand(),
        "cannot_prepare": words.button_cannot_prepare(),
        "not_admitted": words.button_not_admitted(),
        "changed": words.button_changed(),
        "failed": words.button_failed(),
        "live_bought": words.live_bought(),
        "live_open": words.live_open(),
    });
    let sentences = json!({
        "says_changed": words.says_changed(),
        "says_bought": words.says_bought(),
        "says_paid": words.says_paid(),
        "says_lapsed": words.says_lapsed(),
        "says_given_up": words.says_given_up(),
        "says_limit": words.says_limit(),
        "says_exhausted": words.says_exhausted(),
        "says_not_admitted": words.says_not_admitted(),
        "says_ended": words.says_ended(),
        "says_guest": words.says_guest("{time}"),
        "says_paused": words.says_paused(),
        "says_prepared": words.says_prepared(),
        "says_unpaid": words.says_unpaid("{count}"),
        "says_gone": words.says_gone(),
        "says_slot": words.says_slot(),
        "says_still_busy": words.says_still_busy(),
        "says_failed": words.says_failed("{request}"),
        "says_checking": words.says_checking(),
        "says_busy": words.says_busy(),
        "says_early": words.says_early(),
        "says_patience": words.says_patience(),
        "says_insecure": words.says_insecure(),
        "says_prepare_failed": words.says_prepare_failed(),
        "says_key_reused": words.says_key_reused(),
    });
    if let (Value::Object(said), Value::Object(sentences)) = (&mut said, sentences) {
        said.extend(sentences);
    }
    said
}
