//! The second witness: each half minute the order store is asked how many units it has of the watched
//! items, because a counter that is wrong agrees with itself.
//!
//! It is heard only where nothing was on its way to it, before and after, and the counters stood still;
//! otherwise it keeps its last word. Here titles are fetched too, as everything that waits for a store is.

use super::board::Note;
use super::look::{Witness, short_title};
use crate::actors::Gate;
use crate::http::state::Edge;
use domain::{ItemCounters, ItemId, SaleId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The time between two looks at what has no title yet.
const LOOK: Duration = Duration::from_secs(1);
/// The time between two questions to the order store, at least.
const ASK: Duration = Duration::from_secs(30);
/// How many times as long as an answer takes the next question is put off.
const ASK_SHARE: u32 = 20;

/// Asks for as long as the server runs.
pub async fn run(edge: Arc<Edge>) {
    let mut ask_at = Instant::now();
    loop {
        tokio::select! {
            () = edge.shutdown.cancelled() => return std::future::pending().await,
            () = tokio::time::sleep(LOOK) => {}
        }
        fetch_titles(&edge).await;
        if Instant::now() >= ask_at {
            let begun = Instant::now();
            ask(&edge).await;
            ask_at = Instant::now() + ASK.max(begun.elapsed() * ASK_SHARE);
        }
    }
}

/// The watched items with their places.
fn watched(edge: &Edge) -> Vec<(usize, Arc<Gate>)> {
    let places = *edge.board.rings.lock().places();
    let gate =
        |(place, item): (usize, Option<ItemId>)| Some((place, edge.engine.known_gate(item?)?));
    places.into_iter().enumerate().filter_map(gate).collect()
}

async fn fetch_titles(edge: &Edge) {
    for (place, gate) in watched(edge) {
        if edge.board.notes.lock()[place].title.is_some() {
            continue;
        }
        let Some(title) = edge.titles.title(&edge.sales, &gate).await else { return };
        note(edge, place, &gate, |note| note.title = Some(short_title(&title.title)));
    }
}

/// Changes what is known of an item, unless another one has its place by now.
fn note(edge: &Edge, place: usize, gate: &Gate, change: impl FnOnce(&mut Note)) {
    if edge.board.rings.lock().places()[place] == Some(gate.terms().item_id) {
        change(&mut edge.board.notes.lock()[place]);
    }
}

async fn ask(edge: &Edge) {
    // Of other nodes' items this one does not know what is on its way.
    let is_here =
        |gate: &Gate| edge.engine.gate(gate.terms().item_id).is_some() && gate.units().is_some();
    let watched: Vec<_> = watched(edge).into_iter().filter(|(_, gate)| is_here(gate)).collect();
    let before: Vec<_> = watched.iter().map(|(_, gate)| gate.counters()).collect();
    if edge.engine.status().backlog_records > 0 {
        return;
    }
    let mut stored = HashMap::new();
    let mut sales: Vec<SaleId> = watched.iter().map(|(_, gate)| gate.terms().sale_id).collect();
    sales.sort_unstable();
    sales.dedup();
    for sale_id in sales {
        // A store that does not answer is told of among the dependencies.
        let Ok(units) = edge.sales.units_of_sale(sale_id).await else { return };
        stored.extend(units);
    }
    if edge.engine.status().backlog_records > 0 {
        return;
    }
    for ((place, gate), before) in watched.into_iter().zip(before) {
        if gate.counters() != before {
            continue;
        }
        let units = stored.get(&gate.terms().item_id).copied().unwrap_or_default();
        note(edge, place, &gate, |note| note.witness = judge(before, units));
    }
}

/// What the order store says of an item of which it has these units: reserved and sold.
fn judge(counters: ItemCounters, stored: (u64, u64)) -> Witness {
    let counted = (u64::from(counters.reserved), u64::from(counters.sold));
    if counted == stored { Witness::Agrees } else { Witness::Differs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_more_or_less_is_another_word() {
        let counters = ItemCounters { allotted: 10, available: 4, reserved: 2, sold: 4 };
        assert_eq!(judge(counters, (2, 4)), Witness::Agrees);
        for stored in [(1, 4), (2, 5), (4, 2), (0, 0)] {
            assert_eq!(judge(counters, stored), Witness::Differs, "{stored:?}");
        }
    }
}
