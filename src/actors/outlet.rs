//! What lies between relay and consumer: nothing but a bounded channel in the process, or a broker.

use super::pipeline::PipelineStatus;
use crate::domain::Record;
use crate::store::orders::OrderStore;
use tokio::sync::mpsc;

/// Where the relay sends.
pub(super) enum Outlet {
    /// To the consumer beside it.
    InProcess(InProcess),
}

/// Batches that may lie between relay and consumer.
pub(super) const BATCHES_BETWEEN: usize = 4;

/// See [`Outlet::InProcess`].
pub(super) struct InProcess {
    pub(super) batches: mpsc::Sender<Vec<Record>>,
    pub(super) orders: OrderStore,
    pub(super) status: PipelineStatus,
}

impl Outlet {
    /// Sends the batch and leaves the vector empty. False where not all of it is certain to arrive.
    pub(super) async fn send(&mut self, batch: &mut Vec<Record>) -> bool {
        match self {
            // Waits while the consumer is behind, which keeps the memory flat.
            Self::InProcess(outlet) => outlet.batches.send(std::mem::take(batch)).await.is_ok(),
        }
    }

    /// Where the order store is, if it can be asked: what the relay has to send comes behind it.
    pub(super) async fn stored(&mut self) -> Option<Vec<u64>> {
        match self {
            Self::InProcess(outlet) => stored(&outlet.orders, &outlet.status).await,
        }
    }

    /// Whether something that was sent will not arrive, as far as is known.
    pub(super) fn has_lost(&self) -> bool {
        match self {
            Self::InProcess(_) => false,
        }
    }
}

async fn stored(orders: &OrderStore, status: &PipelineStatus) -> Option<Vec<u64>> {
    match orders.progress().await {
        Ok(progress) => {
            for (shard, seq) in progress {
                status.stored(shard, seq, crate::domain::Timestamp(0));
            }
            Some(status.stored_seqs())
        }
        Err(error) => {
            status.report(
                "order_store",
                orders.database().kind(),
                false,
                format!("orders wait in the journal, none is lost: {error}"),
            );
            None
        }
    }
}
