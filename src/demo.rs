//! The demo: two sales on an empty data directory, so that a new user can buy within a minute, and two more
//! when those are over.
//!
//! They pass through catalogue, approval and preheat, as every sale does. Must not know HTTP.

use crate::actors::Engine;
use crate::sales::preheat::{PreheatError, preheat};
use crate::sales::{Change, Sales};
use crate::store::catalogue::CatalogueError;
use domain::catalogue::{Offer, Sale, SaleDraft};
use domain::{Admission, Currency, SaleStatus, SaleStep, Timestamp};

/// The operator who writes the demo's sales.
pub const MAKER: &str = "demo-operator";
/// The operator who approves them.
pub const CHECKER: &str = "demo-approver";

/// How long after their set-up the sales start, how long they last, and how long buyers may take to
/// pay.
const FIRST_START_MILLISECONDS: u64 = 3_000;
const SECOND_START_MILLISECONDS: u64 = 60_000;
const LENGTH_MILLISECONDS: u64 = 7 * 24 * 3_600_000;
const PAYMENT_WINDOW_MILLISECONDS: u64 = 600_000;

/// Why the demo cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The catalogue did not store a sale.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A sale was not loaded into its shards.
    #[error(transparent)]
    Preheat(#[from] PreheatError),
}

/// Sets the demo's sales up if there is no sale at all, and again once those of before are over. A shop with
/// a sale of its own gets none, and neither does one whose catalogue was lost: its journal knows items.
///
/// # Errors
/// Returns [`DemoError`] if the catalogue does not store them or the shards do not load them.
pub async fn set_up(engine: &Engine, sales: &Sales) -> Result<(), DemoError> {
    const PAGE: usize = 100;
    let every = domain::approval::SALE_STATUSES;
    let found = sales.page(&every, None, PAGE).await?;
    if found.iter().any(|sale| sale.created_by != MAKER) {
        return Ok(());
    }
    let now = engine.now();
    if found.iter().any(|sale| sale.ends_at > now) {
        // One that the catalogue lost sight of half-way is finished.
        for sale in found.iter().filter(|sale| sale.ends_at > now) {
            finish(engine, sales, sale, now).await?;
        }
        return Ok(());
    }
    if found.is_empty() && !engine.gates().is_empty() {
        tracing::warn!("the journal has items and the catalogue no sale: no demo is set up here");
        return Ok(());
    }
    for draft in drafts(now) {
        let made = sales.create_sale(engine, &draft, Change::by(MAKER, now)).await?;
        finish(engine, sales, &made.sale, now).await?;
    }
    Ok(())
}

/// Takes one of the demo's sales from where it is to where it sells.
async fn finish(
    engine: &Engine,
    sales: &Sales,
    sale: &Sale,
    now: Timestamp,
) -> Result<(), DemoError> {
    if sale.status == SaleStatus::Draft {
        sales.take_step(sale.sale_id, SaleStep::Submit, None, Change::by(MAKER, now)).await?;
    }
    if matches!(sale.status, SaleStatus::Draft | SaleStatus::Submitted) {
        let checked = Change::by(CHECKER, now);
        let approved = sales.take_step(sale.sale_id, SaleStep::Approve, None, checked).await?;
        preheat(engine, sales, &approved.sale).await?;
    }
    Ok(())
}

/// The demo's sales as they are written at `now`: one to buy from in a moment, and one that starts later.
pub fn drafts(now: Timestamp) -> [SaleDraft; 2] {
    let first = draft(
        "Flash sale / 秒杀",
        now.plus_milliseconds(FIRST_START_MILLISECONDS),
        &[
            ("phone", "Phone, 100 units / 手机", 199_900, 299_900, 100),
            ("earbuds", "Earbuds, 10,000 units / 耳机", 9_900, 19_900, 10_000),
        ],
    );
    let second = draft(
        "Next round / 下一场",
        now.plus_milliseconds(SECOND_START_MILLISECONDS),
        &[("watch", "Watch, 1,000 units / 手表", 49_900, 99_900, 1_000)],
    );
    [first, second]
}

/// Returns the sale to show to a new user: of those that are not over, the one that starts first.
///
/// # Errors
/// Returns [`CatalogueError`] if the catalogue does not answer.
pub async fn next_sale(sales: &Sales, now: Timestamp) -> Result<Option<Sale>, CatalogueError> {
    const PAGE: usize = 100;
    let found = sales.page(&[SaleStatus::Preheated], None, PAGE).await?;
    let open = found.into_iter().filter(|sale| sale.ends_at > now);
    Ok(open.min_by_key(|sale| (sale.starts_at, sale.sale_id)))
}

fn draft(title: &str, starts_at: Timestamp, offers: &[(&str, &str, u64, u64, u32)]) -> SaleDraft {
    let currency = Currency::CNY;
    SaleDraft {
        title: title.to_owned(),
        starts_at,
        ends_at: starts_at.plus_milliseconds(LENGTH_MILLISECONDS),
        items: offers
            .iter()
            .map(|(product_id, title, price, list_price, allotted)| Offer {
                product_id: (*product_id).to_owned(),
                title: (*title).to_owned(),
                price: *price,
                list_price: Some(*list_price),
                currency,
                allotted: *allotted,
                limit_per_user: 1,
                payment_window_milliseconds: PAYMENT_WINDOW_MILLISECONDS,
                description: None,
                picture: None,
                admission: Admission::OPEN,
                buckets: 1,
            })
            .collect(),
    }
}
