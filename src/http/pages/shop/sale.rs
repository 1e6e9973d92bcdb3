//! The page of a sale: when it is, and all that it sells.

use super::home::ItemCard;
use super::visit::{Visit, render};
use crate::http::pages::headers::{Keep, shared_page};
use crate::http::pages::language::Language;
use crate::http::pages::rendered::Page;
use crate::http::pages::shell::Shell;
use crate::http::pages::times::{Moment, UtcOffset, moment};
use crate::http::pages::words::Words;
use crate::http::problem::Problem;
use crate::http::request::path::Id;
use crate::http::state::Edge;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::SaleId;
use domain::catalogue::PublicSale;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "shop/sale.html")]
struct SalePage {
    shell: Shell,
    title: String,
    starts_at: Moment,
    ends_at: Moment,
    items: Vec<ItemCard>,
}

/// Shows the page.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Id(sale_id): Id<SaleId>,
    visit: Visit,
) -> Result<Response, Problem> {
    let language = visit.language();
    let page = Page::Sale(language, sale_id);
    let ready = edge.rendered.get(page, edge.sales.generation(), async || {
        let sale = edge.sales.public_sale(sale_id).await?.ok_or_else(Problem::sale_not_found)?;
        html(language, edge.options.pages.utc_offset, &sale)
    });
    Ok(shared_page(&edge.site, &visit.headers, &ready.await?, Keep::Minute))
}

/// Renders the page.
///
/// # Errors
/// Returns a problem if it cannot be rendered, which it always can.
pub fn html(language: Language, offset: UtcOffset, sale: &PublicSale) -> Result<String, Problem> {
    let path = format!("/sales/{}", sale.sale_id);
    render(&SalePage {
        shell: Shell::shared(Words::of(language), sale.title.clone(), path),
        title: sale.title.clone(),
        starts_at: moment(language, offset, sale.starts_at),
        ends_at: moment(language, offset, sale.ends_at),
        items: sale.items.iter().map(|item| ItemCard::new(language, item)).collect(),
    })
}
