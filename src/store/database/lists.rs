//! Places for lists that clients ask for, so that a flood of them keeps nobody else waiting.

use super::error::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a list waits until another one has been read.
const LIST_WAIT: Duration = Duration::from_secs(1);

/// Places for lists: half of the connections.
#[derive(Clone, Debug)]
pub(super) struct ListPlaces(Arc<Semaphore>);

impl ListPlaces {
    pub(super) fn of(connections: u32) -> Self {
        Self(Arc::new(Semaphore::new((connections as usize / 2).max(1))))
    }

    pub(super) async fn take(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let place = Arc::clone(&self.0).acquire_owned();
        match tokio::time::timeout(LIST_WAIT, place).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => {
                Err(StoreError::Unavailable("too many lists are being read".to_owned()))
            }
        }
    }
}
