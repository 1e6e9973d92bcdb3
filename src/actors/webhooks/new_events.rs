//! New events for one endpoint: sent in lanes by order, and put behind those of their order that wait already.
//!
//! Owns no event: what has neither arrived nor waits in the database is the reader's still, which offers it again.

use super::receiver::{Message, Outcome, Receiver};
use super::schedule;
use super::shared::Shared;
use crate::actors::events::{CloudEvent, Confirmed, EventSink, EventType};
use crate::crash::crash_point;
use crate::store::webhooks::{Settled, WAITING_MAX, WaitingEvent, WaitingKey, WebhookError};
use domain::Timestamp;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a batch is worked at before what is left of it goes back: nothing is begun after that.
const BATCH_WAIT: Duration = Duration::from_secs(10);
/// The pause where nothing can be sent.
const PAUSE: Duration = Duration::from_millis(500);

/// An endpoint as the journal's second reading sees it.
pub(super) struct NewEvents {
    pub(super) receiver: Arc<Receiver>,
    pub(super) shared: Arc<Shared>,
}

/// What a lane has done.
#[derive(Default)]
struct Done {
    /// The places of the events that have arrived or are to wait.
    places: Vec<usize>,
    settled: Settled,
}

/// Whose event it is.
fn key(event: &CloudEvent) -> WaitingKey {
    WaitingKey { shard: event.shard, partition_key: event.partition_key }
}

/// Which of so many lanes has the events of this key.
fn lane(key: WaitingKey, lanes: usize) -> usize {
    let mixed = key.partition_key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    usize::try_from(mixed).unwrap_or_default() % lanes.max(1)
}

impl EventSink for NewEvents {
    const TASK: &'static str = "webhooks";
    const BATCH_EVENTS: usize = 256;

    fn wants(&self, kind: EventType) -> bool {
        self.receiver.wants(kind)
    }

    async fn deliver(&mut self, events: &[CloudEvent]) -> Confirmed {
        let confirmed = match self.send(events).await {
            Ok(confirmed) => confirmed,
            Err(error) => {
                let endpoint = self.receiver.endpoint_id;
                tracing::warn!(endpoint, %error, "webhooks wait for the database");
                None
            }
        };
        match confirmed {
            Some(confirmed) => confirmed,
            None => {
                tokio::time::sleep(PAUSE).await;
                Confirmed::NONE
            }
        }
    }
}

impl NewEvents {
    /// Sends what may be sent; none if that is nothing.
    async fn send(&self, events: &[CloudEvent]) -> Result<Option<Confirmed>, WebhookError> {
        let endpoint_id = self.receiver.endpoint_id;
        let known = self.shared.store.waiting_keys(endpoint_id).await?;
        let count: u64 = known.iter().map(|known| known.events).sum();
        let room = WAITING_MAX.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        // Each of them may come to wait.
        let events = &events[..events.len().min(room)];
        let waiting: HashMap<WaitingKey, bool> =
            known.into_iter().map(|known| (known.key, known.is_parked)).collect();
        let mut lanes = vec![Vec::new(); self.shared.options.lanes.max(1)];
        for (place, event) in events.iter().enumerate() {
            let lane = lane(key(event), lanes.len());
            lanes[lane].push((place, event));
        }
        let until = self.shared.clock.elapsed() + BATCH_WAIT;
        let lanes = lanes.into_iter().filter(|lane| !lane.is_empty());
        let done = join_all(lanes.map(|lane| self.run_lane(lane, &waiting, until))).await;
        let mut arrived = vec![false; events.len()];
        let mut settled = Settled::default();
        for Done { places, settled: own } in done {
            places.into_iter().for_each(|place| arrived[place] = true);
            settled.waiting.extend(own.waiting);
            settled.deliveries.extend(own.deliveries);
        }
        if !settled.is_empty() {
            crash_point("webhooks-before-settle");
            self.shared.store.settle(endpoint_id, &settled).await?;
            crash_point("webhooks-after-settle");
        }
        Ok(arrived.contains(&true).then(|| Confirmed::each(arrived)))
    }

    /// Sends the events of a lane one after the other.
    async fn run_lane(
        &self,
        lane: Vec<(usize, &CloudEvent)>,
        waiting: &HashMap<WaitingKey, bool>,
        until: Duration,
    ) -> Done {
        let mut done = Done::default();
        // Those of which one has failed in this batch.
        let mut failed: Vec<WaitingKey> = Vec::new();
        for (place, event) in lane {
            let key = key(event);
            let now = self.shared.clock.now();
            let is_parked = waiting.get(&key).copied().unwrap_or(false);
            if waiting.contains_key(&key) || failed.contains(&key) {
                done.settled.waiting.push(wait(event, 0, now, now, is_parked));
                done.places.push(place);
                continue;
            }
            if self.shared.clock.elapsed() > until || !self.receiver.lets_pass() {
                break;
            }
            let message = Message {
                event_id: &event.id,
                event_type: event.kind.name(),
                body: event.body.clone(),
                attempt: 1,
            };
            let (outcome, delivery) = match self.receiver.attempt(message).await {
                Ok(attempted) => attempted,
                Err(error) => {
                    tracing::warn!(%error, "what became of a webhook could not be noted");
                    break;
                }
            };
            done.settled.deliveries.extend(delivery);
            match outcome {
                Outcome::Delivered => {}
                Outcome::Failed(retry_after) => {
                    let second = self.shared.options.second;
                    let pause = schedule::pause(1, retry_after, rand::random(), second);
                    // From now on: the attempt may have lasted longer than the pause does.
                    let failed_at = self.shared.clock.now();
                    let next_at = failed_at.plus_milliseconds(milliseconds(pause));
                    done.settled.waiting.push(wait(event, 1, now, next_at, false));
                    failed.push(key);
                }
                Outcome::Gone => break,
            }
            done.places.push(place);
        }
        done
    }
}

/// A pause in whole milliseconds.
pub(super) fn milliseconds(pause: Duration) -> u64 {
    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
}

/// An event that waits from now on.
fn wait(
    event: &CloudEvent,
    attempts: u32,
    first_failed_at: Timestamp,
    next_at: Timestamp,
    is_parked: bool,
) -> WaitingEvent {
    WaitingEvent {
        key: key(event),
        seq: event.seq,
        event_id: event.id.clone(),
        event_type: event.kind.name().to_owned(),
        event_at: event.at,
        body: event.body.to_vec(),
        attempts,
        first_failed_at,
        next_at,
        is_parked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ShardId;

    #[test]
    fn an_orders_events_have_one_lane_and_orders_spread_over_all() {
        let of = |number: u64| WaitingKey { shard: ShardId(1), partition_key: number << 12 };
        let mut counts = [0; 8];
        for number in 0..8_000 {
            assert_eq!(lane(of(number), 8), lane(of(number), 8));
            counts[lane(of(number), 8)] += 1;
        }
        assert!(counts.iter().all(|count| (700..1_300).contains(count)), "{counts:?}");
        assert_eq!((lane(of(7), 1), lane(of(7), 0)), (0, 0));
    }
}
