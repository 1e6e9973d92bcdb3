//! The end of a sale in the catalogue: a sale whose window is over is ended, and settled once its
//! shards have released the orders of all its items from memory.
//!
//! The shards end and release them by themselves; this only records it where operators read it. Each pass
//! looks at every sale anew, so whatever interrupts one pass, the next completes it.

use super::preheat::preheat_approved;
use super::{CatalogueError, Change, Sales};
use crate::actors::Engine;
use domain::catalogue::Sale;
use domain::operation::SHOP_ACTOR;
use domain::{SaleStatus, SaleStep};
use std::time::Duration;

/// The time between two passes over the catalogue.
const PERIOD: Duration = Duration::from_secs(10);

/// Advances all sales, every few seconds, until the task is aborted.
pub async fn run(engine: Engine, sales: Sales) {
    loop {
        tokio::time::sleep(PERIOD).await;
        // Each node loads the items of its own shards.
        if engine.directory().is_some()
            && let Err(error) = preheat_approved(&engine, &sales).await
        {
            tracing::debug!(%error, "approved sales wait for the catalogue");
        }
        if let Err(error) = advance_all(&engine, &sales).await {
            tracing::debug!(%error, "the catalogue cannot be asked which sales are over");
        }
    }
}

/// Ends every sale whose window is over, and settles those of which no shard holds an order any more.
/// Returns how many were settled. Changes nothing if the order store is another journal's.
///
/// # Errors
/// Returns [`CatalogueError`] if the catalogue does not answer; the next call goes on.
pub async fn advance_all(engine: &Engine, sales: &Sales) -> Result<usize, CatalogueError> {
    const PAGE: usize = 100;
    // The sales beside another journal's orders are that engine's to end.
    if sales.check_owner(engine).await.is_err() {
        return Ok(0);
    }
    let mut settled = 0;
    let mut before = None;
    loop {
        let running = [SaleStatus::Preheated, SaleStatus::Ended];
        let page = sales.page(&running, before, PAGE).await?;
        for sale in &page {
            before = Some(sale.sale_id);
            settled += usize::from(advance(engine, sales, sale).await);
        }
        if page.len() < PAGE {
            return Ok(settled);
        }
    }
}

/// Takes the steps that are due for a sale. Returns true if it is settled now.
async fn advance(engine: &Engine, sales: &Sales, sale: &Sale) -> bool {
    let is_over = sale.status == SaleStatus::Preheated && sale.ends_at <= engine.now();
    if is_over && !take_step(engine, sales, sale, SaleStep::End).await {
        return false;
    }
    (is_over || sale.status == SaleStatus::Ended)
        && is_released(engine, sale).await
        && take_step(engine, sales, sale, SaleStep::Settle).await
}

/// Whether no shard holds an order of the sale any more. A sale that ended before its preheat has no item in any
/// shard; an item of another node's that does not answer is not known to be released.
async fn is_released(engine: &Engine, sale: &Sale) -> bool {
    for item in &sale.items {
        match engine.find_gate(item.item_id).await {
            Ok(Some(gate)) if gate.is_settled() => {}
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return false,
        }
    }
    true
}

/// Takes a step. Returns false if it was refused, because an operator may have taken it already.
async fn take_step(engine: &Engine, sales: &Sales, sale: &Sale, step: SaleStep) -> bool {
    let change = Change::by(SHOP_ACTOR, engine.now());
    let taken = sales.take_step(sale.sale_id, step, None, change).await;
    match &taken {
        Ok(_) => tracing::info!(sale_id = %sale.sale_id, step = step.name(), "sale advanced"),
        Err(error) => {
            tracing::debug!(sale_id = %sale.sale_id, step = step.name(), %error, "sale not advanced");
        }
    }
    taken.is_ok()
}
