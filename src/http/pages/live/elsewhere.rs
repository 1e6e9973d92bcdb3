//! Other nodes' items are looked at once a second while somebody watches, and rarely while nobody does: each look is
//! a question to the node that has the item, and who opens the page is to see what is on sale.

use crate::http::state::Edge;
use domain::ItemId;
use std::sync::Arc;
use std::time::Duration;

/// The time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// While nobody watches, one of so many looks is also at items that are known already.
const UNWATCHED_LOOKS: u32 = 10;
/// Items that are looked at for the first time in one look, at most.
const NEW_ITEMS_MAX: usize = 64;

/// Looks for as long as the server runs.
pub async fn run(edge: Arc<Edge>) {
    for round in (0..UNWATCHED_LOOKS).cycle() {
        tokio::select! {
            () = edge.shutdown.cancelled() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
        edge.engine.meet_items_elsewhere(NEW_ITEMS_MAX).await;
        if round == 0 || edge.board.viewers() > 0 {
            let watched: Vec<ItemId> =
                edge.board.rings.lock().places().iter().flatten().copied().collect();
            edge.engine.look_at(watched).await;
        }
    }
    std::future::pending().await
}
