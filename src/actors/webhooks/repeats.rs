//! Events that an endpoint did not take at their first attempt: tried again by the schedule, an order's first one
//! before its later ones, until they arrive or are parked.

use super::new_events::milliseconds;
use super::receiver::{Message, Outcome, Receiver};
use super::schedule;
use super::shared::Shared;
use crate::crash::crash_point;
use crate::store::webhooks::{Settled, WaitingEvent, WebhookError};
use domain::ShardId;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// The time between two looks at what is due.
const LOOK: Duration = Duration::from_millis(500);
/// The pause while the database does not answer.
const RETRY: Duration = Duration::from_secs(2);

/// Repeats what an endpoint did not take, for as long as it is polled.
pub(super) async fn repeat(receiver: Arc<Receiver>, shared: Arc<Shared>) {
    let mut was_away = false;
    loop {
        let repeated = repeat_some(&receiver, &shared).await;
        let pause = match &repeated {
            // Those behind what has arrived are due.
            Ok(true) => Duration::ZERO,
            Ok(false) => LOOK,
            Err(_) => RETRY,
        };
        if let Err(error) = &repeated
            && !was_away
        {
            let endpoint = receiver.endpoint_id;
            tracing::warn!(endpoint, %error, "webhooks that wait are not repeated");
        }
        was_away = repeated.is_err();
        tokio::time::sleep(pause).await;
    }
}

/// Repeats events that are due, one for each lane at most. Returns whether one has arrived.
async fn repeat_some(receiver: &Receiver, shared: &Shared) -> Result<bool, WebhookError> {
    let served = served(shared);
    let now = shared.clock.now();
    let lanes = shared.options.lanes;
    let due = shared.store.due(receiver.endpoint_id, &served, now, lanes).await?;
    let tried = join_all(due.iter().map(|event| try_again(receiver, shared, event))).await;
    let mut settled = Settled::default();
    for own in tried {
        let own = own?;
        settled.arrived.extend(own.arrived);
        settled.tried.extend(own.tried);
        settled.parked.extend(own.parked);
        settled.deliveries.extend(own.deliveries);
    }
    if !settled.is_empty() {
        crash_point("webhooks-before-repeated");
        shared.store.settle(receiver.endpoint_id, &settled).await?;
    }
    Ok(!settled.arrived.is_empty())
}

/// The shards that are served here.
fn served(shared: &Shared) -> Vec<ShardId> {
    let context = shared.engine.context();
    let shards = context.router.shards();
    shards.filter(|shard| context.journal.owner(*shard).is_some()).collect()
}

async fn try_again(
    receiver: &Receiver,
    shared: &Shared,
    event: &WaitingEvent,
) -> Result<Settled, WebhookError> {
    let mut settled = Settled::default();
    if !receiver.lets_pass() {
        return Ok(settled);
    }
    let attempts = event.attempts.saturating_add(1);
    let message = Message {
        event_id: &event.event_id,
        event_type: &event.event_type,
        body: event.body.clone().into(),
        attempt: attempts,
    };
    let (outcome, delivery) = receiver.attempt(message).await?;
    settled.deliveries.extend(delivery);
    let place = (event.key.shard, event.seq);
    match outcome {
        Outcome::Delivered => settled.arrived.push(place),
        Outcome::Gone => {}
        Outcome::Failed(retry_after) => {
            let second = shared.options.second;
            let pause = schedule::pause(attempts, retry_after, rand::random(), second);
            let next_at = shared.clock.now().plus_milliseconds(milliseconds(pause));
            settled.tried.push((place.0, place.1, attempts, next_at));
            if schedule::is_parked(attempts, event.first_failed_at, receiver.arrived_at()) {
                tracing::error!(
                    endpoint = receiver.endpoint_id,
                    event = event.event_id,
                    attempts,
                    "a webhook is parked with the later ones of its order, because its receiver takes others and \
                     not this one; see docs/runbook.md"
                );
                settled.parked.push(event.key);
            }
        }
    }
    Ok(settled)
}
