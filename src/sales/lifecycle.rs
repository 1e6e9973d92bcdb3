//! The end of a sale in the catalogue: over by the clock, and settled once its shards have let go of
//! all its items.
//!
//! The shards do that by themselves (`checkpointer.rs`); this only writes it down where operators
//! read it. Every look begins anew, so whatever interrupts one, the next completes it.

use super::preheat::ACTOR;
use super::{CatalogueError, Sales};
use crate::actors::Engine;
use domain::catalogue::Sale;
use domain::{SaleStatus, SaleStep};
use std::time::Duration;

/// Looks for sales that are over, every `period`, until the task is aborted.
pub async fn keep_sale_lifecycle(engine: Engine, sales: Sales, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        if let Err(error) = advance_over_sales(&engine, &sales).await {
            tracing::debug!(%error, "the catalogue cannot be asked which sales are over");
        }
    }
}

/// Ends every sale whose window is over, and settles those that no shard holds an order of any more.
/// Returns how many were settled.
///
/// # Errors
/// Where the catalogue does not answer; do it again then.
pub async fn advance_over_sales(engine: &Engine, sales: &Sales) -> Result<usize, CatalogueError> {
    const PAGE: usize = 100;
    // The sales of another journal's books are not this one's to end.
    if sales.check_owner(engine).await.is_err() {
        return Ok(0);
    }
    let mut settled = 0;
    let mut before = None;
    loop {
        let open = [SaleStatus::Preheated, SaleStatus::Ended];
        let found = sales.sales(&open, before, PAGE).await?;
        for sale in &found {
            before = Some(sale.sale_id);
            settled += usize::from(close(engine, sales, sale).await);
        }
        if found.len() < PAGE {
            return Ok(settled);
        }
    }
}

/// Takes the steps that are due; true if the sale is settled now.
async fn close(engine: &Engine, sales: &Sales, sale: &Sale) -> bool {
    let is_over = sale.status == SaleStatus::Preheated && sale.ends_at <= engine.now();
    if is_over && !step(engine, sales, sale, SaleStep::End).await {
        return false;
    }
    // A sale that ended before its preheat has no item in any shard.
    let is_let_go = sale
        .items
        .iter()
        .all(|item| engine.gate(item.item_id).is_none_or(|gate| gate.is_settled()));
    (is_over || sale.status == SaleStatus::Ended)
        && is_let_go
        && step(engine, sales, sale, SaleStep::Settle).await
}

/// False if it was not to be taken: an operator may have been faster.
async fn step(engine: &Engine, sales: &Sales, sale: &Sale, step: SaleStep) -> bool {
    let taken = sales.take_step(sale.sale_id, step, ACTOR, None, engine.now()).await;
    match &taken {
        Ok(_) => tracing::info!(sale_id = %sale.sale_id, step = step.name(), "sale moved on"),
        Err(error) => {
            tracing::debug!(sale_id = %sale.sale_id, step = step.name(), %error, "sale not moved on");
        }
    }
    taken.is_ok()
}
