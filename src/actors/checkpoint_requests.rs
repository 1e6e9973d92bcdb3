//! Checkpoints that are asked for out of their turn: a shard that goes leaves one behind, so that its next
//! owner has little to replay.

use domain::ShardId;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// The shards whose checkpoint somebody waits for.
#[derive(Debug, Default)]
pub(super) struct CheckpointRequests {
    waiting: Mutex<Vec<CheckpointRequest>>,
    asked: Notify,
}

/// One of them. Dropped once it was tried.
#[derive(Debug)]
pub(super) struct CheckpointRequest {
    pub(super) shard: ShardId,
    _tried: oneshot::Sender<()>,
}

impl CheckpointRequests {
    /// Asks for a shard's checkpoint and waits until it was tried.
    pub(super) async fn ask(&self, shard: ShardId) {
        let (tried, was_tried) = oneshot::channel();
        self.waiting.lock().push(CheckpointRequest { shard, _tried: tried });
        self.asked.notify_one();
        // An error is the request's end.
        let _ = was_tried.await;
    }

    /// Waits for requests, and takes them.
    pub(super) async fn next(&self) -> Vec<CheckpointRequest> {
        loop {
            let waiting = std::mem::take(&mut *self.waiting.lock());
            if !waiting.is_empty() {
                return waiting;
            }
            self.asked.notified().await;
        }
    }
}
