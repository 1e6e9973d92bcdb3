//! The end of a sale in the catalogue: a sale whose window is over, or whose items were ended before, is ended, and
//! settled once its shards have released the orders of all its items from memory.
//!
//! The shards end and release them by themselves; this only records it where operators read it. Each pass
//! looks at every sale anew, so whatever interrupts one pass, the next completes it.

use super::preheat::preheat_approved;
use super::{CatalogueError, Change, Sales};
use crate::actors::Engine;
use domain::catalogue::Sale;
use domain::operation::SHOP_ACTOR;
use domain::{ItemPhase, SaleId, SaleStatus, SaleStep};
use std::collections::HashSet;
use std::time::Duration;

/// The time between two passes over the catalogue.
const PERIOD: Duration = Duration::from_secs(10);

/// The sales of which a pass has found every item ended and the catalogue not.
pub type EndedItems = HashSet<SaleId>;

/// Advances all sales, every few seconds, until the task is aborted.
pub async fn run(engine: Engine, sales: Sales) {
    let mut ended = EndedItems::new();
    loop {
        tokio::time::sleep(PERIOD).await;
        // Each node loads the items of its own shards.
        if engine.directory().is_some()
            && let Err(error) = preheat_approved(&engine, &sales).await
        {
            tracing::debug!(%error, "approved sales wait for the catalogue");
        }
        if let Err(error) = advance_all(&engine, &sales, &mut ended).await {
            tracing::debug!(%error, "the catalogue cannot be asked which sales are over");
        }
    }
}

/// Ends every sale whose window is over, and those of which every item has ended and had at the pass before, which
/// has left `ended`: who ends them notes it too, unless something fails just then. Settles those of which no shard
/// holds an order any more, and returns how many. Changes nothing if the order store is another journal's.
///
/// # Errors
/// Returns [`CatalogueError`] if the catalogue does not answer; the next call goes on.
pub async fn advance_all(
    engine: &Engine,
    sales: &Sales,
    ended: &mut EndedItems,
) -> Result<usize, CatalogueError> {
    const PAGE: usize = 100;
    // The sales beside another journal's orders are that engine's to end.
    if sales.check_owner(engine).await.is_err() {
        return Ok(0);
    }
    let ended_before = std::mem::take(ended);
    let mut settled = 0;
    let mut before = None;
    loop {
        let running = [SaleStatus::Preheated, SaleStatus::Ended];
        let page = sales.page(&running, before, PAGE).await?;
        for sale in &page {
            before = Some(sale.sale_id);
            let mut is_over = sale.status == SaleStatus::Preheated && sale.ends_at <= engine.now();
            if sale.status == SaleStatus::Preheated && !is_over && have_ended(engine, sale).await {
                ended.insert(sale.sale_id);
                is_over = ended_before.contains(&sale.sale_id);
            }
            settled += usize::from(advance(engine, sales, sale, is_over).await);
        }
        if page.len() < PAGE {
            return Ok(settled);
        }
    }
}

/// Takes the steps that are due for a sale. Returns true if it is settled now.
async fn advance(engine: &Engine, sales: &Sales, sale: &Sale, is_over: bool) -> bool {
    if is_over && !take_step(engine, sales, sale, SaleStep::End).await {
        return false;
    }
    (is_over || sale.status == SaleStatus::Ended)
        && is_released(engine, sale).await
        && take_step(engine, sales, sale, SaleStep::Settle).await
}

/// Whether every item of the sale has ended, as a node knows that serves one of them: the others leave it to that one.
async fn have_ended(engine: &Engine, sale: &Sale) -> bool {
    let own = sale.items.iter().filter_map(|item| engine.gate(item.item_id));
    let phases: Vec<ItemPhase> = own.map(|gate| gate.phase()).collect();
    if phases.is_empty() || phases.iter().any(|phase| *phase != ItemPhase::Ended) {
        return false;
    }
    for item in &sale.items {
        match engine.find_gate(item.item_id).await {
            Ok(Some(gate)) if gate.phase() == ItemPhase::Ended => {}
            Ok(_) | Err(_) => return false,
        }
    }
    true
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
