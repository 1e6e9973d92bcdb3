//! What lies between relay and consumer, seen from the consumer.

use crate::store::broker::{BrokerError, BrokerState, Delivery, RabbitMqConsumer};
use crate::store::orders::Conflicts;
use crate::telemetry::metrics::DEAD_LETTERS_TOTAL;
use domain::Record;
use std::time::Duration;
use tokio::sync::mpsc;

/// Where the consumer's records come from.
pub(in crate::actors) enum RecordSource {
    /// From the relay beside it.
    InProcess(mpsc::Receiver<Vec<Record>>),
    /// From RabbitMQ.
    RabbitMq(Box<RabbitMqConsumer>),
}

/// What came: records, and what is to be acknowledged once they are stored.
#[derive(Default)]
pub(in crate::actors) struct Arrival {
    pub(in crate::actors) records: Vec<Record>,
    deliveries: Vec<Taken>,
}

/// A message and how many of the arrival's records are its.
struct Taken {
    delivery: Delivery,
    records: usize,
}

/// How long a look for new records takes at most, where there is somewhere to look.
const LOOK: Duration = Duration::from_millis(500);

impl RecordSource {
    /// Who keeps what contradicts the order store: a broker has a queue for it, which [`Self::done`]
    /// fills; without one the order store keeps it itself.
    pub(in crate::actors) fn conflicts(&self) -> Conflicts {
        match self {
            Self::InProcess(_) => Conflicts::Kept,
            Self::RabbitMq(_) => Conflicts::HandedBack,
        }
    }

    /// What is there, about `records_max` records; nothing after a while without any.
    ///
    /// # Errors
    /// Where the broker does not answer, in words. What was received comes again.
    pub(in crate::actors) async fn receive(
        &mut self,
        records_max: usize,
    ) -> Result<Arrival, String> {
        let mut arrival = Arrival::default();
        match self {
            Self::InProcess(batches) => {
                let Ok(Some(records)) = tokio::time::timeout(LOOK, batches.recv()).await else {
                    return Ok(arrival);
                };
                arrival.records = records;
                while arrival.records.len() < records_max {
                    let Ok(mut more) = batches.try_recv() else { break };
                    arrival.records.append(&mut more);
                }
            }
            Self::RabbitMq(consumer) => {
                let messages_max = records_max.div_ceil(512).max(8);
                let mut state = consumer.state();
                // Only a subscription may be left waiting. Connecting, and the pause before it, may
                // take longer than a look: whoever drops them begins anew for ever.
                let quiet = async {
                    let _ = state.wait_for(|state| *state == BrokerState::Connected).await;
                    tokio::time::sleep(LOOK).await;
                };
                let deliveries = tokio::select! {
                    biased;
                    received = consumer.receive(messages_max) => match received {
                        Ok(deliveries) => deliveries,
                        Err(BrokerError::QueueMissing) => return Ok(arrival),
                        Err(error) => return Err(error.to_string()),
                    },
                    () = quiet => return Ok(arrival),
                };
                for mut delivery in deliveries {
                    match std::mem::replace(&mut delivery.records, Ok(Vec::new())) {
                        Ok(mut records) => {
                            let count = records.len();
                            arrival.records.append(&mut records);
                            arrival.deliveries.push(Taken { delivery, records: count });
                        }
                        Err(malformed) => {
                            metrics::counter!(DEAD_LETTERS_TOTAL).increment(1);
                            tracing::error!(
                                message_id = delivery.message_id, %malformed,
                                "a message is not readable and goes to the dead letters; its records \
                                 are sent again from the journal"
                            );
                            consumer
                                .dead_letter(&delivery, &malformed.to_string())
                                .await
                                .map_err(|error| error.to_string())?;
                        }
                    }
                }
            }
        }
        Ok(arrival)
    }

    /// Acknowledges what is stored; messages with a record among `conflicts` (indices into the
    /// arrival's records, with reasons) go to the dead letters instead.
    ///
    /// # Errors
    /// Where the broker does not answer: then all of it comes again, which does no harm.
    pub(in crate::actors) async fn done(
        &mut self,
        arrival: Arrival,
        conflicts: &[(Record, String)],
    ) -> Result<(), String> {
        let Self::RabbitMq(consumer) = self else { return Ok(()) };
        let mut start = 0;
        let mut stored = Vec::new();
        for Taken { delivery, records } in arrival.deliveries {
            let own = &arrival.records[start..start + records];
            start += records;
            let conflict = conflicts.iter().find(|(record, _)| own.contains(record));
            match conflict {
                None => stored.push(delivery),
                Some((_, reason)) => {
                    metrics::counter!(DEAD_LETTERS_TOTAL).increment(1);
                    consumer
                        .dead_letter(&delivery, reason)
                        .await
                        .map_err(|error| error.to_string())?;
                }
            }
        }
        consumer.ack(&stored).await.map_err(|error| error.to_string())
    }
}
