//! Whether the catalogue knows what the shards sell: one that was lost, or restored from an older copy,
//! does not.
//!
//! The sale goes on without it, because the shards have the items' terms. But titles, lists of sales and
//! the accounts of registered buyers come from there, so the operator has to hear of it.

use super::Sales;
use crate::actors::Engine;
use domain::ItemId;

/// The name under which readiness shows it.
const NAME: &str = "catalogue";
/// Items that the message names.
const NAMED_MAX: usize = 5;

/// Compares the catalogue with the shards' items and reports what it finds to the engine's status. A
/// catalogue that does not answer is left to the order store's own report.
pub async fn check(engine: &Engine, sales: &Sales) {
    let gates = engine.gates();
    let terms = gates.iter().map(|gate| gate.terms());
    let Ok(missing) = sales.catalogue.missing_items(terms).await else { return };
    let kind = sales.orders.database().kind();
    match missing.as_slice() {
        [] => engine.report(NAME, kind, true, "it knows every item in the shards"),
        missing => engine.report(NAME, kind, false, meaning(missing)),
    }
}

fn meaning(missing: &[ItemId]) -> String {
    let mut named: Vec<String> = missing.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    if missing.len() > NAMED_MAX {
        named.push(format!("{} more", missing.len() - NAMED_MAX));
    }
    format!(
        "it was lost or is older than the journal: it does not know item {}. These are sold on and \
         their orders are safe, but titles, lists of sales and registered buyers of then are missing: \
         restore a newer copy of its tables",
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_items_are_named() {
        let ids = |count| (1..=count).map(ItemId).collect::<Vec<_>>();
        assert!(meaning(&ids(2)).contains("item 1, 2. These"));
        assert!(meaning(&ids(9)).contains("item 1, 2, 3, 4, 5, 4 more. These"));
    }
}
