//! Whether the catalogue answers, and knows what the shards sell: one that was lost, or restored from an older
//! copy, does not.
//!
//! The sale goes on without it, because the shards have the items' terms. But titles, lists of sales and
//! the accounts of registered buyers come from there, so the operator has to hear of it.

use super::Sales;
use crate::actors::{Engine, Meaning};
use crate::store::database::StoreError;
use std::time::Duration;

/// The name under which readiness shows it.
const NAME: &str = "catalogue";
/// The time between two looks at whether it answers.
const LOOK: Duration = Duration::from_secs(1);
/// Every so many looks it is compared with the shards.
const LOOKS_BETWEEN: u32 = 10;

/// Counts the catalogue as not well until it was asked.
pub fn expect(engine: &Engine, sales: &Sales) {
    engine.expect(NAME, sales.orders.database().kind());
}

/// Looks every second whether the catalogue answers, also where nobody asks it anything, and whether another process
/// has changed a sale; and every few seconds what it knows, until the task is aborted.
pub async fn watch(engine: Engine, sales: Sales) {
    // The one says whether it answers, and must not wait for the other's answer.
    tokio::join!(watch_answers(&engine, &sales), follow_changes(&sales));
}

/// Ends what was read of sales when another process has changed one.
async fn follow_changes(sales: &Sales) {
    loop {
        if let Err(error) = sales.look_for_changes().await {
            tracing::debug!(%error, "whether a sale has changed is not known");
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn watch_answers(engine: &Engine, sales: &Sales) {
    let kind = sales.orders.database().kind();
    let mut looks_left = 0;
    loop {
        let looked = match looks_left {
            0 => compare(engine, sales).await.map(Some),
            _ => sales.ping().await.map(|()| None),
        };
        match looked {
            Ok(None) => looks_left -= 1,
            Ok(Some(meaning)) => {
                let is_whole = meaning == Meaning::CatalogueWhole;
                engine.report(NAME, kind, is_whole, meaning);
                looks_left = LOOKS_BETWEEN;
            }
            Err(error) => {
                engine.report(NAME, kind, false, Meaning::CatalogueAway(error.to_string()));
                looks_left = 0;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Compares the catalogue with the shards' items.
async fn compare(engine: &Engine, sales: &Sales) -> Result<Meaning, StoreError> {
    // There may be no item to ask it about.
    sales.ping().await?;
    let gates = engine.gates();
    sales.upcoming.look(engine, &sales.catalogue).await?;
    let missing = sales.catalogue.missing_items(gates.iter().map(|gate| gate.terms())).await?;
    Ok(match missing.as_slice() {
        [] => Meaning::CatalogueWhole,
        missing => Meaning::CatalogueLacks(missing.to_vec()),
    })
}
