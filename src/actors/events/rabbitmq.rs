//! The exchange of events at RabbitMQ, as a sink.

use super::cloud_event::{CONTENT_TYPE, CloudEvent};
use super::sink::{Confirmed, EventSink, ReaderStanding};
use crate::actors::engine::Engine;
use crate::actors::meaning::Meaning;
use crate::actors::pipeline::{RABBITMQ, telling_while_blocked};
use crate::store::broker::{Announcement, BrokerAddress, RabbitMqAnnouncer, Verdict};
use crate::telemetry::metrics::EVENTS_UNROUTED_TOTAL;
use std::time::Duration;

/// What the sink is called where its positions are kept, and in the metrics.
pub(super) const NAME: &str = "rabbitmq";
/// Events among the dependencies.
const DEPENDENCY: &str = "events";
/// How long a batch may take before the reader looks after its shards again: a broker may take no messages for hours.
const PATIENCE: Duration = Duration::from_secs(30);

/// Announces events at RabbitMQ.
pub(super) struct RabbitMqSink {
    engine: Engine,
    announcer: RabbitMqAnnouncer,
    standing: ReaderStanding,
    /// Why the broker takes nothing, if so.
    trouble: Option<String>,
}

impl RabbitMqSink {
    pub(super) fn new(engine: &Engine, address: BrokerAddress) -> Self {
        engine.expect(DEPENDENCY, RABBITMQ);
        Self {
            engine: engine.clone(),
            announcer: RabbitMqAnnouncer::new(address),
            standing: ReaderStanding::default(),
            trouble: None,
        }
    }

    /// Says how it is, among the dependencies.
    fn report(&self) {
        let ReaderStanding { obstacle, lost_records, .. } = &self.standing;
        let meaning = match obstacle.as_ref().or(self.trouble.as_ref()) {
            Some(why) => Meaning::EventsWait(why.clone()),
            None if *lost_records > 0 => Meaning::EventsLost(*lost_records),
            None => Meaning::EventsTold,
        };
        self.engine.report(DEPENDENCY, RABBITMQ, meaning == Meaning::EventsTold, meaning);
    }
}

impl EventSink for RabbitMqSink {
    const TASK: &'static str = "event announcer";
    const BATCH_EVENTS: usize = 4_096;

    /// Events up to the first one that the broker rejected have arrived: what is behind it comes again, so that an
    /// order's events come in their order in the end.
    async fn deliver(&mut self, events: &[CloudEvent]) -> Confirmed {
        let announcements: Vec<Announcement<'_>> = events.iter().map(announcement).collect();
        let state = self.announcer.state();
        let engine = &self.engine;
        let blocked = |reason| {
            engine.report(DEPENDENCY, RABBITMQ, false, Meaning::EventsWait(reason));
        };
        let announcing = self.announcer.announce(&announcements);
        let announced = telling_while_blocked(announcing, state, blocked);
        let confirmed = match tokio::time::timeout(PATIENCE, announced).await {
            Ok(Ok(verdicts)) => {
                let rejected = verdicts.iter().position(|verdict| *verdict == Verdict::Rejected);
                self.trouble = rejected.map(|_| "it rejects messages".to_owned());
                let count = rejected.unwrap_or(verdicts.len());
                for (event, verdict) in events.iter().zip(&verdicts[..count]) {
                    if matches!(verdict, Verdict::Returned(_)) {
                        let kind = event.kind.name();
                        metrics::counter!(EVENTS_UNROUTED_TOTAL, "type" => kind).increment(1);
                    }
                }
                Confirmed::first(count)
            }
            Ok(Err(error)) => {
                self.trouble = Some(error.to_string());
                Confirmed::NONE
            }
            Err(_) => {
                self.trouble = Some("the broker takes no messages".to_owned());
                Confirmed::NONE
            }
        };
        self.report();
        confirmed
    }

    async fn look(&mut self, standing: ReaderStanding) {
        self.standing = standing;
        // So that a broker which is away is told of before there is anything to tell it.
        match self.announcer.connect().await {
            Ok(()) if self.standing.lag_records == 0 => self.trouble = None,
            Ok(()) => {}
            Err(error) => self.trouble = Some(error.to_string()),
        }
        self.report();
    }
}

fn announcement(event: &CloudEvent) -> Announcement<'_> {
    Announcement {
        message_id: &event.id,
        routing_key: event.kind.routing_key(),
        kind: event.kind.name(),
        content_type: CONTENT_TYPE,
        body: &event.body,
    }
}
