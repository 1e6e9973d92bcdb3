//! Follows the table of endpoints, and has each live one told: here at once after a change, on other nodes within a
//! second.

use super::new_events::NewEvents;
use super::receiver::Receiver;
use super::repeats::repeat;
use super::shared::{Shared, reader_name};
use crate::actors::events::Begin;
use crate::store::webhooks::{Endpoint, EndpointState, WebhookError};
use crate::telemetry::metrics::{
    WEBHOOK_ENDPOINTS, WEBHOOK_ENDPOINTS_FAILING, WEBHOOK_PARKED_EVENTS, WEBHOOK_WAITING_EVENTS,
};
use domain::Timestamp;
use futures_util::FutureExt;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// An endpoint that is told.
struct Told {
    /// Of which revision of the endpoint.
    revision: u64,
    receiver: Arc<Receiver>,
    repeats: JoinHandle<()>,
}

impl Drop for Told {
    fn drop(&mut self) {
        self.repeats.abort();
    }
}

/// Whom the follower has told of, so that its log says each thing once.
#[derive(Default)]
struct Followed {
    told: HashMap<u64, Told>,
    /// Of which revision it was said that nothing can be sent to it.
    unusable: HashMap<u64, u64>,
    was_away: bool,
}

/// Follows the endpoints for as long as it is polled.
pub(super) async fn follow(shared: Arc<Shared>) {
    let mut followed = Followed::default();
    loop {
        let looked = followed.look(&shared).await;
        if let Err(error) = &looked
            && !followed.was_away
        {
            tracing::warn!(%error, "the webhooks' endpoints cannot be read; those that were read last are told on");
        }
        followed.was_away = looked.is_err();
        shared.begun.send_if_modified(|begun| !std::mem::replace(begun, true));
        tokio::select! {
            () = shared.changed.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

impl Followed {
    async fn look(&mut self, shared: &Arc<Shared>) -> Result<(), WebhookError> {
        let endpoints = shared.store.endpoints().await?;
        let is_live = |endpoint: &&Endpoint| endpoint.state == EndpointState::Live;
        let live: HashMap<u64, &Endpoint> =
            endpoints.iter().filter(is_live).map(|one| (one.endpoint_id, one)).collect();
        let is_over = |endpoint_id: &u64, told: &Told| {
            live.get(endpoint_id).is_none_or(|endpoint| endpoint.revision != told.revision)
        };
        let over: Vec<u64> =
            self.told.iter().filter(|(id, told)| is_over(id, told)).map(|(id, _)| *id).collect();
        let mut arrived_at = HashMap::new();
        for endpoint_id in over {
            let told = self.told.remove(&endpoint_id);
            arrived_at.insert(endpoint_id, told.and_then(|told| told.receiver.arrived_at()));
            shared.readers.remove(&reader_name(endpoint_id));
        }
        for (endpoint_id, endpoint) in live {
            if !self.told.contains_key(&endpoint_id) {
                let arrived_at = arrived_at.get(&endpoint_id).copied().flatten();
                self.begin(endpoint, arrived_at, shared);
            }
        }
        self.show(&endpoints, shared).await
    }

    /// Has an endpoint told from where it is, or from when it became live. Before that it took an event last at
    /// `arrived_at`, if it did.
    fn begin(&mut self, endpoint: &Endpoint, arrived_at: Option<Timestamp>, shared: &Arc<Shared>) {
        let (endpoint_id, revision) = (endpoint.endpoint_id, endpoint.revision);
        let receiver = match Receiver::new(endpoint, Arc::clone(shared)) {
            Ok(receiver) => Arc::new(receiver.after(arrived_at)),
            Err(error) => {
                if self.unusable.insert(endpoint_id, revision) != Some(revision) {
                    tracing::error!(endpoint = endpoint_id, %error, "nothing can be sent to a webhook's endpoint");
                }
                return;
            }
        };
        let (sent, parts) = (Arc::clone(&receiver), Arc::clone(shared));
        shared.readers.add(&reader_name(endpoint_id), Begin::At(endpoint.changed_at), move || {
            NewEvents { receiver: Arc::clone(&sent), shared: Arc::clone(&parts) }
        });
        let repeats = tokio::spawn(keep_repeating(Arc::clone(&receiver), Arc::clone(shared)));
        self.told.insert(endpoint_id, Told { revision, receiver, repeats });
    }

    /// Shows in the metrics how the endpoints are.
    async fn show(&self, endpoints: &[Endpoint], shared: &Shared) -> Result<(), WebhookError> {
        for state in EndpointState::ALL {
            let count = endpoints.iter().filter(|endpoint| endpoint.state == state).count();
            metrics::gauge!(WEBHOOK_ENDPOINTS, "state" => state.name()).set(count as f64);
        }
        let failing = self.told.values().filter(|told| told.receiver.is_left_alone()).count();
        metrics::gauge!(WEBHOOK_ENDPOINTS_FAILING).set(failing as f64);
        let standings = shared.store.standings().await?;
        let waiting: u64 = standings.iter().map(|(_, standing)| standing.waiting).sum();
        let parked: u64 = standings.iter().map(|(_, standing)| standing.parked).sum();
        metrics::gauge!(WEBHOOK_WAITING_EVENTS).set(waiting as f64);
        metrics::gauge!(WEBHOOK_PARKED_EVENTS).set(parked as f64);
        Ok(())
    }
}

/// Repeats for as long as it is polled, also after a defect.
async fn keep_repeating(receiver: Arc<Receiver>, shared: Arc<Shared>) {
    /// The pause after a defect.
    const PAUSE: Duration = Duration::from_secs(5);
    loop {
        let repeating = repeat(Arc::clone(&receiver), Arc::clone(&shared));
        let _ = AssertUnwindSafe(repeating).catch_unwind().await;
        tracing::error!(
            endpoint = receiver.endpoint_id,
            "what repeats webhooks ended by a defect and is run again"
        );
        tokio::time::sleep(PAUSE).await;
    }
}
