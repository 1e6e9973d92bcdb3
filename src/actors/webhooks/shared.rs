//! What all endpoints share: the tables, the client, the key that opens their secrets, and the options.

use super::PING;
use crate::actors::engine::Engine;
use crate::actors::events::EventReaders;
use crate::clock::Clock;
use crate::store::outbound::signature::SharedSecret;
use crate::store::outbound::{GuardedOutbound, NotAllowed};
use crate::store::webhooks::{Endpoint, SealKey, WebhookStore};
use bytes::Bytes;
use domain::rfc3339;
use secrecy::ExposeSecret;
use serde_json::json;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How webhooks are sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookOptions {
    /// Endpoints that there may be.
    pub endpoints_max: usize,
    /// Requests to one endpoint that may be under way at the same time, each for another order.
    pub lanes: usize,
    /// How long nothing may have arrived before an endpoint is disabled.
    pub disable_after: Duration,
    /// What events have as their `source`: which shop it is.
    pub source: String,
    /// How long a second of the schedule of attempts lasts: one, but in tests.
    pub second: Duration,
}

/// What all endpoints share.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) store: WebhookStore,
    pub(super) seal: SealKey,
    pub(super) outbound: GuardedOutbound,
    pub(super) readers: EventReaders,
    pub(super) options: WebhookOptions,
    pub(super) clock: Clock,
    /// Told when an endpoint was changed here.
    pub(super) changed: Notify,
    /// Whether the endpoints were looked at once.
    pub(super) begun: watch::Sender<bool>,
}

/// Why nothing can be sent to an endpoint.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// Its secret was sealed under another key.
    #[error("its secret does not open under this shop's tokens.secret: rotate it")]
    Secret,
    /// Its URL is not allowed, or not any more.
    #[error("its URL {0}")]
    Url(#[from] NotAllowed),
}

impl Shared {
    /// The secrets that sign what is sent to an endpoint: with the one of before, and the present one alone.
    ///
    /// # Errors
    /// Returns [`Unusable::Secret`] if the present one does not open.
    pub(super) fn secrets(
        &self,
        endpoint: &Endpoint,
    ) -> Result<(SharedSecret, SharedSecret), Unusable> {
        let present = self.seal.open(endpoint.endpoint_id, &endpoint.secret);
        let present = present.ok_or(Unusable::Secret)?;
        let previous = endpoint.previous.as_ref();
        let previous =
            previous.and_then(|previous| self.seal.open(endpoint.endpoint_id, &previous.secret));
        let present = present.expose_secret();
        let both =
            SharedSecret::new(present, previous.as_ref().map(|secret| secret.expose_secret()));
        Ok((both, SharedSecret::new(present, None)))
    }

    /// A ping for an endpoint: its identity, and the event.
    pub(super) fn ping(&self, endpoint_id: u64) -> (String, Bytes) {
        let now = self.clock.now();
        let id = format!("ping-{endpoint_id}-{}", now.0);
        let event = json!({
            "specversion": "1.0",
            "id": id,
            "source": self.options.source,
            "type": PING,
            "time": rfc3339::to_string(now),
            "datacontenttype": "application/json",
            "data": { "endpoint_id": endpoint_id.to_string() },
        });
        (id, event.to_string().into())
    }
}

/// The name of an endpoint's reader.
pub(super) fn reader_name(endpoint_id: u64) -> String {
    format!("webhook:{endpoint_id}")
}
