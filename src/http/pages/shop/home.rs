//! The home page: what is on sale, what comes, and what is over.

use super::visit::{Visit, render};
use crate::http::pages::headers::{Keep, shared_page};
use crate::http::pages::language::Language;
use crate::http::pages::money;
use crate::http::pages::rendered::Page;
use crate::http::pages::shell::Shell;
use crate::http::pages::times::{Moment, UtcOffset, moment};
use crate::http::pages::words::Words;
use crate::http::problem::Problem;
use crate::http::state::Edge;
use crate::sales::Sales;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::SaleStatus;
use domain::catalogue::{PublicItem, PublicSale, Sale};
use std::sync::Arc;

/// The most sales that are shown as coming or live, and as over.
const OPEN_MAX: usize = 50;
const OVER_MAX: usize = 10;
/// The most items of a sale that its card shows.
const ITEMS_MAX: usize = 4;

#[derive(Template)]
#[template(path = "shop/home.html")]
struct Home {
    shell: Shell,
    open: Vec<SaleCard>,
    over: Vec<SaleCard>,
}

/// A sale as the list shows it.
struct SaleCard {
    number: u64,
    title: String,
    starts_at: Moment,
    ends_at: Moment,
    items: Vec<ItemCard>,
    /// How many items there are beyond those.
    more: u64,
}

/// An item as lists show it.
pub struct ItemCard {
    /// The item's number.
    pub number: u64,
    /// What it is called.
    pub title: String,
    /// What it costs.
    pub price: String,
    /// What it costs otherwise; empty if nobody says.
    pub list_price: String,
    /// The path of its picture; empty if there is none.
    pub picture: String,
}

impl ItemCard {
    /// Returns the item as lists of this language show it.
    pub fn new(language: Language, item: &PublicItem) -> Self {
        let money = |amount| money::format(language, item.currency, amount);
        Self {
            number: item.item_id.0,
            title: item.title.clone(),
            price: money(item.price),
            list_price: item.list_price.map(money).unwrap_or_default(),
            picture: item.picture.map(|picture| format!("/media/{picture}")).unwrap_or_default(),
        }
    }
}

/// Shows the page.
pub async fn show(State(edge): State<Arc<Edge>>, visit: Visit) -> Result<Response, Problem> {
    let language = visit.language();
    let page = edge.rendered.get(Page::Home(language), edge.sales.generation(), async || {
        html(&edge.sales, language, edge.options.pages.utc_offset).await
    });
    Ok(shared_page(&edge.site, &visit.headers, &page.await?, Keep::Briefly))
}

/// Renders the page.
///
/// # Errors
/// Returns a problem if the catalogue does not answer.
pub async fn html(sales: &Sales, language: Language, offset: UtcOffset) -> Result<String, Problem> {
    let words = Words::of(language);
    let open = [SaleStatus::Approved, SaleStatus::Preheated];
    let over = [SaleStatus::Ended, SaleStatus::Settled];
    let public =
        |sales: Vec<Sale>| -> Vec<PublicSale> { sales.iter().filter_map(Sale::public).collect() };
    let mut open = public(sales.page(&open, None, OPEN_MAX).await?);
    let mut over = public(sales.page(&over, None, OVER_MAX).await?);
    open.sort_by_key(|sale| (sale.starts_at, sale.sale_id));
    over.sort_by_key(|sale| (std::cmp::Reverse(sale.ends_at), sale.sale_id));
    let cards =
        |sales: &[PublicSale]| sales.iter().map(|sale| card(language, offset, sale)).collect();
    render(&Home {
        shell: Shell::shared(words, words.home_title(), "/"),
        open: cards(&open),
        over: cards(&over),
    })
}

fn card(language: Language, offset: UtcOffset, sale: &PublicSale) -> SaleCard {
    let shown = sale.items.iter().take(ITEMS_MAX);
    SaleCard {
        number: sale.sale_id.0,
        title: sale.title.clone(),
        starts_at: moment(language, offset, sale.starts_at),
        ends_at: moment(language, offset, sale.ends_at),
        items: shown.map(|item| ItemCard::new(language, item)).collect(),
        more: sale.items.len().saturating_sub(ITEMS_MAX) as u64,
    }
}
