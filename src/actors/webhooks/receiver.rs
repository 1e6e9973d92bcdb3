//! One endpoint while it is live: a signed request for each attempt, and what is known of how it answers.
//!
//! Several tasks share it: the one that sends new events and the one that repeats what has failed. Must not know which
//! event comes next.

use super::schedule::RETRY_AFTER_MAX;
use super::shared::{Shared, Unusable};
use crate::actors::events::{CONTENT_TYPE, EventType};
use crate::store::outbound::signature::SharedSecret;
use crate::store::outbound::{Breaker, OutboundError, Target};
use crate::store::webhooks::{Changed, Delivery, Endpoint, EndpointState, WebhookError};
use crate::telemetry::metrics::{WEBHOOK_DELIVERIES_TOTAL, WEBHOOK_DISABLED_TOTAL};
use bytes::Bytes;
use domain::Timestamp;
use parking_lot::Mutex;
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Failures in a row after which the receiver is left alone but for one request now and then.
const FAILURES_MAX: u32 = 5;
/// The pause before such a request, at first and at most, in seconds of the schedule.
const PROBE_PAUSE: u32 = 5;
const PROBE_PAUSE_MAX: u32 = 60;
/// How long deliveries fail before the table has it, in seconds of the schedule.
const KEPT_AFTER: u32 = 5;
/// The status by which a receiver says that it is there no more.
const GONE: u16 = 410;
/// Whom the operators' log names where the shop itself disables an endpoint.
const SHOP: &str = "seckill";

/// A live endpoint.
pub(super) struct Receiver {
    pub(super) endpoint_id: u64,
    shared: Arc<Shared>,
    target: Target,
    secret: SharedSecret,
    /// The secret alone, once the one of before signs no more.
    secret_alone: SharedSecret,
    previous_until: Timestamp,
    types: Vec<EventType>,
    breaker: Breaker,
    /// When an event arrived last, 0 if none has since this began.
    arrived_at: AtomicU64,
    failing: Mutex<Failing>,
    /// Whether it was found to be there no more.
    is_over: AtomicBool,
}

/// Since when deliveries fail; none while they do not.
#[derive(Clone, Copy, Default)]
struct Failing {
    since: Option<Timestamp>,
    /// Whether the table has it.
    is_kept: bool,
}

/// What is sent.
pub(super) struct Message<'a> {
    pub(super) event_id: &'a str,
    pub(super) event_type: &'a str,
    pub(super) body: Bytes,
    /// The how-many-eth attempt, from 1.
    pub(super) attempt: u32,
}

/// What became of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The receiver has taken it.
    Delivered,
    /// It has not, and asks for this pause if for any.
    Failed(Option<Duration>),
    /// It wants no more events at all.
    Gone,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Receiver({} at {})", self.endpoint_id, self.target)
    }
}

impl Receiver {
    /// Makes the receiver of an endpoint.
    ///
    /// # Errors
    /// Returns why nothing can be sent to it: its secret does not open, or its URL is not allowed any more.
    pub(super) fn new(endpoint: &Endpoint, shared: Arc<Shared>) -> Result<Self, Unusable> {
        let (secret, secret_alone) = shared.secrets(endpoint)?;
        let types = endpoint.said.types.iter();
        let second = shared.options.second;
        Ok(Self {
            endpoint_id: endpoint.endpoint_id,
            target: shared.outbound.target(&endpoint.said.url)?,
            secret,
            secret_alone,
            previous_until: endpoint
                .previous
                .as_ref()
                .map_or(Timestamp(0), |previous| previous.until),
            types: types.filter_map(|name| EventType::from_name(name)).collect(),
            breaker: Breaker::new(FAILURES_MAX, second * PROBE_PAUSE, shared.clock.clone())
                .growing_to(second * PROBE_PAUSE_MAX),
            arrived_at: AtomicU64::new(0),
            failing: Mutex::new(Failing {
                since: endpoint.failing_since,
                is_kept: endpoint.failing_since.is_some(),
            }),
            is_over: AtomicBool::new(false),
            shared,
        })
    }

    /// The same, which took an event last at that time.
    pub(super) fn after(self, arrived_at: Option<Timestamp>) -> Self {
        Self { arrived_at: AtomicU64::new(arrived_at.map_or(0, |at| at.0)), ..self }
    }

    /// Whether it is told events of this type.
    pub(super) fn wants(&self, kind: EventType) -> bool {
        self.types.is_empty() || self.types.contains(&kind)
    }

    /// Whether an attempt may be made now. Who is told so makes it.
    pub(super) fn lets_pass(&self) -> bool {
        !self.is_over.load(Ordering::Acquire) && self.breaker.lets_pass()
    }

    /// Whether it is left alone, because all that was tried has failed.
    pub(super) fn is_left_alone(&self) -> bool {
        self.breaker.is_open()
    }

    /// When an event arrived last.
    pub(super) fn arrived_at(&self) -> Option<Timestamp> {
        let at = self.arrived_at.load(Ordering::Acquire);
        (at > 0).then_some(Timestamp(at))
    }

    /// Makes one attempt, and notes what became of it. Returns the delivery to be logged, unless it was the last one
    /// and is logged already.
    ///
    /// # Errors
    /// Returns [`WebhookError`] if that could not be noted. What was sent may have arrived then.
    pub(super) async fn attempt(
        &self,
        message: Message<'_>,
    ) -> Result<(Outcome, Option<Delivery>), WebhookError> {
        let (outcome, delivery) = self.send(message).await;
        let has_arrived = outcome == Outcome::Delivered;
        let name = if has_arrived { "delivered" } else { "failed" };
        metrics::counter!(WEBHOOK_DELIVERIES_TOTAL, "outcome" => name).increment(1);
        let was_alone = self.breaker.note(has_arrived);
        let over = match outcome {
            Outcome::Delivered => {
                self.arrived_at.fetch_max(self.shared.clock.now().0, Ordering::AcqRel);
                self.note_arrived(was_alone).await?;
                None
            }
            Outcome::Failed(retry_after) => {
                if let Some(pause) = retry_after {
                    self.breaker.hold(pause.min(RETRY_AFTER_MAX));
                }
                self.note_failed(&delivery).await?
            }
            Outcome::Gone => Some("it answered with status 410: it is there no more".to_owned()),
        };
        let Some(reason) = over else { return Ok((outcome, Some(delivery))) };
        // First, because those who send are stopped with the end.
        self.shared.store.log_delivery(self.endpoint_id, &delivery).await?;
        self.end(&reason).await?;
        Ok((outcome, None))
    }

    async fn send(&self, message: Message<'_>) -> (Outcome, Delivery) {
        let now = self.shared.clock.now();
        let secret = if now < self.previous_until { &self.secret } else { &self.secret_alone };
        let headers = secret.headers_of_both(message.event_id, now, &message.body);
        let began_at = self.shared.clock.elapsed();
        let posting = self.shared.outbound.post(&self.target, CONTENT_TYPE, &headers, message.body);
        let heard = posting.await;
        let duration = self.shared.clock.elapsed().saturating_sub(began_at);
        let (outcome, status, error) = judge(heard.map(|heard| (heard.status, heard.retry_after)));
        let delivery = Delivery {
            at: now,
            event_id: message.event_id.to_owned(),
            event_type: message.event_type.to_owned(),
            attempt: message.attempt,
            status,
            error,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        };
        (outcome, delivery)
    }

    /// Sends a ping, which is an event of no shop's journal, and returns what became of it. Nothing is noted.
    pub(super) async fn ping(&self) -> (bool, Delivery) {
        let (event_id, body) = self.shared.ping(self.endpoint_id);
        let message = Message { event_id: &event_id, event_type: super::PING, body, attempt: 1 };
        let (outcome, delivery) = self.send(message).await;
        (outcome == Outcome::Delivered, delivery)
    }

    async fn note_arrived(&self, was_alone: bool) -> Result<(), WebhookError> {
        let store = &self.shared.store;
        let before = std::mem::take(&mut *self.failing.lock());
        if before.is_kept {
            store.note_failing(self.endpoint_id, None).await?;
        }
        if was_alone {
            tracing::info!(
                endpoint = self.endpoint_id,
                "the webhook's receiver takes events again"
            );
            store.hasten(self.endpoint_id, self.shared.clock.now()).await?;
        }
        Ok(())
    }

    /// Notes a failure. Returns why the endpoint is to be disabled, if it has failed for too long.
    async fn note_failed(&self, delivery: &Delivery) -> Result<Option<String>, WebhookError> {
        tracing::debug!(
            endpoint = self.endpoint_id,
            event = delivery.event_id,
            status = delivery.status,
            error = delivery.error,
            "a webhook was not taken"
        );
        let now = self.shared.clock.now();
        let Failing { since, is_kept } = {
            let mut failing = self.failing.lock();
            failing.since.get_or_insert(now);
            *failing
        };
        let since = since.unwrap_or(now);
        let lasted = Duration::from_millis(now.0.saturating_sub(since.0));
        // A failure among many that arrive is nothing to write down.
        if !is_kept && lasted >= self.shared.options.second * KEPT_AFTER {
            let noted = self.shared.store.note_failing(self.endpoint_id, Some(since)).await?;
            *self.failing.lock() = Failing { since: noted, is_kept: true };
        }
        if lasted < self.shared.options.disable_after {
            return Ok(None);
        }
        // Another node may know better, or have got through.
        let store = &self.shared.store;
        if store.has_arrived(self.endpoint_id, since, super::PING).await? {
            *self.failing.lock() = Failing::default();
            store.note_failing(self.endpoint_id, None).await?;
            return Ok(None);
        }
        let endpoint = store.endpoint(self.endpoint_id).await?;
        if endpoint.failing_since.is_none_or(|at| at > since) {
            let is_kept = endpoint.failing_since.is_some();
            *self.failing.lock() = Failing { since: endpoint.failing_since, is_kept };
            return Ok(None);
        }
        let hours = lasted.as_secs() / 3_600;
        Ok(Some(format!("for {hours} h nothing has arrived: {}", delivery.error)))
    }

    /// Disables the endpoint, because there is no use in sending to it.
    async fn end(&self, reason: &str) -> Result<(), WebhookError> {
        if self.is_over.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let ended = self.disable(reason).await;
        if ended.is_err() {
            self.is_over.store(false, Ordering::Release);
        }
        ended
    }

    async fn disable(&self, reason: &str) -> Result<(), WebhookError> {
        let store = &self.shared.store;
        let mut endpoint = store.endpoint(self.endpoint_id).await?;
        if endpoint.state != EndpointState::Live {
            return Ok(());
        }
        endpoint.state = EndpointState::Disabled;
        reason.clone_into(&mut endpoint.reason);
        let changed =
            Changed { actor: SHOP, at: self.shared.clock.now(), action: "webhook.disable" };
        store.replace_endpoint(&endpoint, json!({ "reason": reason }), changed).await?;
        metrics::counter!(WEBHOOK_DISABLED_TOTAL).increment(1);
        tracing::error!(
            endpoint = self.endpoint_id,
            url = %self.target,
            reason,
            "a webhook's endpoint is disabled: what happens from now on waits in the journal; see docs/runbook.md"
        );
        self.shared.changed.notify_one();
        Ok(())
    }
}

/// What an answer comes to: what became of the event, the status, and why it counts for nothing if it does not count.
fn judge(heard: Result<(u16, Option<Duration>), OutboundError>) -> (Outcome, Option<u16>, String) {
    match heard {
        Ok((status @ 200..=299, _)) => (Outcome::Delivered, Some(status), String::new()),
        Ok((GONE, _)) => (Outcome::Gone, Some(GONE), "it is there no more".to_owned()),
        Ok((status @ (301 | 302 | 303 | 307 | 308), _)) => {
            let told = "it leads elsewhere, and no redirect is followed";
            (Outcome::Failed(None), Some(status), told.to_owned())
        }
        Ok((status, retry_after)) => (
            Outcome::Failed(retry_after),
            Some(status),
            format!("it answered with status {status}"),
        ),
        Err(error) => (Outcome::Failed(None), None, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_2xx_has_arrived_and_only_410_is_gone() {
        let asked = Some(Duration::from_secs(9));
        for (status, expected) in [
            (200, Outcome::Delivered),
            (204, Outcome::Delivered),
            (299, Outcome::Delivered),
            (301, Outcome::Failed(None)),
            (302, Outcome::Failed(None)),
            (308, Outcome::Failed(None)),
            // It is no redirect.
            (304, Outcome::Failed(asked)),
            (400, Outcome::Failed(asked)),
            (410, Outcome::Gone),
            (429, Outcome::Failed(asked)),
            (500, Outcome::Failed(asked)),
            (503, Outcome::Failed(asked)),
            (199, Outcome::Failed(asked)),
        ] {
            let (outcome, told, error) = judge(Ok((status, asked)));
            assert_eq!((outcome, told), (expected, Some(status)), "{status}");
            assert_eq!(error.is_empty(), outcome == Outcome::Delivered, "{status}");
            assert_eq!(error.contains("redirect"), matches!(status, 301 | 302 | 308), "{status}");
        }
        let (outcome, status, error) = judge(Err(OutboundError::TimedOut));
        assert_eq!(
            (outcome, status, error.as_str()),
            (Outcome::Failed(None), None, "no answer in time")
        );
    }
}
