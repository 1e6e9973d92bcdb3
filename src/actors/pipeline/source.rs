//! The consumer's end of the transport between relay and consumer.

use crate::store::broker::{BrokerError, BrokerState, Delivery, RabbitMqConsumer};
use crate::store::orders::{Conflict, Conflicts};
use crate::telemetry::metrics::DEAD_LETTERS_TOTAL;
use crate::telemetry::traces::RecordTrace;
use domain::Record;
use std::time::Duration;
use tokio::sync::mpsc;

/// Where the consumer receives records from.
pub(in crate::actors) enum RecordSource {
    /// From the relay in the same process.
    InProcess(mpsc::Receiver<Vec<Record>>),
    /// Records come from RabbitMQ.
    RabbitMq(Box<RabbitMqConsumer>),
}

/// Records that were received, and the messages to be acknowledged once they are stored.
#[derive(Default)]
pub(in crate::actors) struct Arrival {
    pub(in crate::actors) records: Vec<Record>,
    messages: Vec<Received>,
    /// What the messages say of the traces of their records.
    pub(in crate::actors) traces: Vec<RecordTrace>,
}

/// A message and how many of the arrival's records came with it.
struct Received {
    delivery: Delivery,
    records: usize,
}

/// How long one call waits for records at most, if the transport works.
const LOOK: Duration = Duration::from_millis(500);

impl RecordSource {
    /// Where a record goes that contradicts the order store: to the broker's queue of dead letters, by
    /// [`Self::acknowledge`]; without a broker the order store keeps it itself.
    pub(in crate::actors) fn conflicts(&self) -> Conflicts {
        match self {
            Self::InProcess(_) => Conflicts::Kept,
            Self::RabbitMq(_) => Conflicts::HandedBack,
        }
    }

    /// Receives about `records_max` records; none after a while without any.
    ///
    /// # Errors
    /// Returns [`BrokerError`] if the broker does not answer. What was received comes again.
    pub(in crate::actors) async fn receive(
        &mut self,
        records_max: usize,
    ) -> Result<Arrival, BrokerError> {
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
                // Only waiting for deliveries may be cut short. Connecting, and the pause before it, may
                // take longer than one call: if they were dropped each time, they would never succeed.
                let quiet = async {
                    let _ = state.wait_for(|state| *state == BrokerState::Connected).await;
                    tokio::time::sleep(LOOK).await;
                };
                let deliveries = tokio::select! {
                    biased;
                    received = consumer.receive(messages_max) => match received {
                        Ok(deliveries) => deliveries,
                        Err(BrokerError::QueueMissing) => return Ok(arrival),
                        Err(error) => return Err(error),
                    },
                    () = quiet => return Ok(arrival),
                };
                for mut delivery in deliveries {
                    match std::mem::replace(&mut delivery.records, Ok(Vec::new())) {
                        Ok(mut records) => {
                            let count = records.len();
                            arrival.records.append(&mut records);
                            arrival.traces.append(&mut delivery.traces);
                            arrival.messages.push(Received { delivery, records: count });
                        }
                        Err(malformed) => {
                            metrics::counter!(DEAD_LETTERS_TOTAL).increment(1);
                            tracing::error!(
                                message_id = delivery.message_id, %malformed,
                                "a message is not readable and goes to the dead letters; its records \
                                 are sent again from the journal"
                            );
                            consumer.dead_letter(&delivery, &malformed.to_string()).await?;
                        }
                    }
                }
            }
        }
        Ok(arrival)
    }

    /// Acknowledges the arrival, which is stored. Messages with a record among `conflicts` go to the
    /// dead letters instead.
    ///
    /// # Errors
    /// Returns [`BrokerError`] if the broker does not answer: then all of it comes again, which does no
    /// harm.
    pub(in crate::actors) async fn acknowledge(
        &mut self,
        arrival: Arrival,
        conflicts: &[Conflict],
    ) -> Result<(), BrokerError> {
        let Self::RabbitMq(consumer) = self else { return Ok(()) };
        let mut start = 0;
        let mut stored = Vec::new();
        for Received { delivery, records } in arrival.messages {
            let own = &arrival.records[start..start + records];
            start += records;
            let conflict = conflicts.iter().find(|conflict| own.contains(&conflict.record));
            match conflict {
                None => stored.push(delivery),
                Some(conflict) => {
                    metrics::counter!(DEAD_LETTERS_TOTAL).increment(1);
                    consumer.dead_letter(&delivery, &conflict.reason.to_string()).await?;
                }
            }
        }
        consumer.ack(&stored).await
    }
}
