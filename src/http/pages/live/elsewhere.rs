//! Other nodes' items are looked at once a second, but only while somebody watches: each look is a question to the
//! node that has the item.

use crate::http::state::Edge;
use domain::ItemId;
use std::sync::Arc;
use std::time::Duration;

/// The time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Items that are looked at for the first time in one look, at most.
const NEW_ITEMS_MAX: usize = 64;

/// Looks for as long as the server runs.
pub async fn run(edge: Arc<Edge>) {
    loop {
        tokio::select! {
            () = edge.shutdown.cancelled() => return std::future::pending().await,
            () = tokio::time::sleep(LOOK) => {}
        }
        if edge.board.viewers() == 0 {
            continue;
        }
        edge.engine.meet_items_elsewhere(NEW_ITEMS_MAX).await;
        let watched: Vec<ItemId> =
            edge.board.rings.lock().places().iter().flatten().copied().collect();
        edge.engine.look_at(watched).await;
    }
}
