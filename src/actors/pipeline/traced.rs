//! The spans of records that belong to a trace, on their way to the order store.
//!
//! Most batches have none, and cost a look at an empty table. A record that is sent or received again has these
//! spans again, because that is what happened. Must not know how records are sent, nor how they are stored.

use crate::store::broker::{Message, ORDERS};
use crate::telemetry::traces::{
    Kind, MESSAGE_TRACES_MAX, Parent, RecordTrace, Span, TraceContext, Tracer,
};
use domain::{Record, ShardId};
use std::fmt::Display;

/// A message with the record is sent to the broker.
const PUBLISH: &str = "publish seckill.orders";
/// A message with the record is worked on.
const PROCESS: &str = "process seckill.orders";
/// The transaction that stores the record.
const INSERT: &str = "INSERT orders";

fn identity(record: &Record) -> (ShardId, u64) {
    (record.shard, record.seq)
}

/// The messages of a batch that are being published, as far as they are traced.
pub(super) struct Publications(Vec<Span>);

impl Publications {
    /// Opens a span for each traced record, below its purchase, and has each message tell of those that it
    /// carries. `records` are those of all messages, in their order.
    pub(super) fn begin(tracer: &Tracer, messages: &mut [Message], records: &[Record]) -> Self {
        let mut spans = Vec::new();
        let mut traced = tracer.underway(records.iter().map(identity)).into_iter().peekable();
        if traced.peek().is_none() {
            return Self(spans);
        }
        let mut records = records.iter().map(identity);
        for message in messages {
            let carried: Vec<(ShardId, u64)> = records.by_ref().take(message.records).collect();
            let is_carried = |one: &RecordTrace| carried.contains(&(one.shard, one.seq));
            while let Some(trace) = traced.next_if(is_carried) {
                // The message has no room to tell of more: those traces end at the journal.
                if message.traces.len() == MESSAGE_TRACES_MAX {
                    continue;
                }
                let parent = Parent::Here(trace.context);
                let Some(mut span) = tracer.span(Kind::Producer, PUBLISH, parent) else { continue };
                let context = *span.context();
                about_message(&mut span, "send", message);
                // The message itself names one span alone, its first one.
                if let Some(first) = message.traces.first() {
                    span.link(first.context);
                }
                message.traces.push(RecordTrace { context, ..trace });
                spans.push(span);
            }
        }
        Self(spans)
    }

    /// Ends the spans, now that the broker has confirmed all messages. If it has not, because its queue was gone,
    /// they leave no span: all of them are published anew.
    pub(super) fn end(self, is_confirmed: bool) {
        if !is_confirmed {
            self.0.into_iter().for_each(Span::discard);
        }
    }
}

fn about_message(span: &mut Span, operation: &'static str, message: &Message) {
    about_destination(span, operation);
    span.text("messaging.message.id", message.message_id.clone());
    span.number("messaging.batch.message_count", message.records as u64);
}

fn about_destination(span: &mut Span, operation: &'static str) {
    span.text("messaging.system", "rabbitmq");
    span.text("messaging.destination.name", ORDERS);
    span.text("messaging.operation.type", operation);
}

/// Records that have arrived and are being stored, as far as they are traced.
pub(super) struct Arrivals {
    /// Each record with the span that storing it is a child of.
    parents: Vec<RecordTrace>,
    /// The spans of the message's way through this process; none without a broker.
    processes: Vec<Span>,
}

impl Arrivals {
    /// Opens a span for each traced record that came with a message, which says so itself. Without a broker
    /// nothing lies between the purchase and its insertion.
    pub(super) fn begin(
        tracer: &Tracer,
        records: &[Record],
        told: &[RecordTrace],
        has_broker: bool,
    ) -> Self {
        let mut processes = Vec::new();
        if !has_broker {
            let parents = tracer.underway(records.iter().map(identity));
            return Self { parents, processes };
        }
        let mut parents = Vec::new();
        // What a message says of records that it does not carry is not believed.
        let arrived = |one: &&RecordTrace| {
            records.iter().any(|record| identity(record) == (one.shard, one.seq))
        };
        for trace in told.iter().filter(arrived) {
            let parent = Parent::Elsewhere(trace.context);
            let Some(mut span) = tracer.span(Kind::Consumer, PROCESS, parent) else { break };
            about_destination(&mut span, "process");
            parents.push(RecordTrace { context: *span.context(), ..*trace });
            processes.push(span);
        }
        Self { parents, processes }
    }

    /// Opens the spans of an attempt to store the records, so many of them in one transaction.
    pub(super) fn insert(
        &self,
        tracer: &Tracer,
        database: &'static str,
        records: usize,
    ) -> Insertions {
        let open = |trace: &RecordTrace| {
            let mut span = tracer.span(Kind::Client, INSERT, Parent::Here(trace.context))?;
            span.text("db.system.name", database);
            span.text("db.collection.name", "orders");
            span.text("db.operation.name", "INSERT");
            span.number("db.operation.batch.size", records as u64);
            Some((*trace, span))
        };
        Insertions(self.parents.iter().filter_map(open).collect())
    }

    /// Says that the records are not stored now.
    pub(super) fn fail(&mut self, why: &'static str) {
        self.processes.iter_mut().for_each(|span| span.fail(why));
    }
}

/// An attempt to store records. It leaves no span if it fails: it is made again.
pub(super) struct Insertions(Vec<(RecordTrace, Span)>);

impl Insertions {
    /// Says that a record contradicts the order store. Returns the record's trace, if it has one.
    pub(super) fn conflict(&mut self, record: &Record) -> Option<impl Display + use<>> {
        let is_own =
            |(trace, _): &&mut (RecordTrace, Span)| identity(record) == (trace.shard, trace.seq);
        let (trace, span) = self.0.iter_mut().find(is_own)?;
        span.fail("set aside: it contradicts the order store");
        Some(TraceContext::shown_trace_id(trace.context))
    }

    /// Ends the spans: the records are stored.
    pub(super) fn end(mut self) {
        self.0.clear();
    }
}

impl Drop for Insertions {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|(_, span)| span.discard());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::traces::{Collector, TracerOptions};
    use bytes::Bytes;
    use domain::{Event, ItemId, Timestamp};
    use std::time::UNIX_EPOCH;

    const SHARD: ShardId = ShardId(3);

    /// A collector that takes everything.
    #[derive(Debug)]
    struct Any;

    impl Collector for Any {
        async fn post(&self, _: Bytes) -> Result<Bytes, String> {
            Ok(Bytes::new())
        }
    }

    /// A tracer to which these records of one shard belong to a trace each.
    fn tracer(seqs: impl IntoIterator<Item = u64>) -> Tracer {
        let options =
            TracerOptions { sample_one_in: 1, trusts_traceparent: false, attributes: Vec::new() };
        let tracer = Tracer::start(options, Any, || UNIX_EPOCH);
        for seq in seqs {
            let request = tracer.span(Kind::Server, "buy", Parent::None).expect("on");
            let mut hops = tracer.hops(Some(request.context()));
            hops.taken();
            hops.decided(SHARD, Some(seq));
            hops.answered(true);
        }
        tracer
    }

    fn records(seqs: impl IntoIterator<Item = u64>) -> Vec<Record> {
        let event = Event::ItemSettled(ItemId(1));
        let record = |seq| Record { shard: SHARD, seq, at: Timestamp(1), event: event.clone() };
        seqs.into_iter().map(record).collect()
    }

    fn message(records: usize) -> Message {
        let (message_id, body, traces) = ("m".to_owned(), Vec::new(), Vec::new());
        Message { message_id, body, records, traces }
    }

    fn seqs(traces: &[RecordTrace]) -> Vec<u64> {
        traces.iter().map(|trace| trace.seq).collect()
    }

    #[test]
    fn a_message_tells_of_the_traced_records_that_it_carries() {
        let tracer = tracer([2, 3, 4, 9]);
        let mut messages = [message(2), message(2), message(1), message(1)];
        let publications = Publications::begin(&tracer, &mut messages, &records(1..=6));
        let told: Vec<Vec<u64>> = messages.iter().map(|message| seqs(&message.traces)).collect();
        assert_eq!(told, [vec![2], vec![3, 4], vec![], vec![]]);
        assert_eq!(publications.0.len(), 3);
        let told = messages.iter().flat_map(|message| &message.traces);
        for (span, trace) in publications.0.iter().zip(told) {
            assert_eq!(*span.context(), trace.context, "the next one is a child of this span");
        }
        publications.end(true);
        let mut messages = [message(6)];
        assert!(Publications::begin(&Tracer::OFF, &mut messages, &records(1..=6)).0.is_empty());
        assert_eq!(messages[0].traces, []);
    }

    #[test]
    fn a_message_tells_of_no_more_records_than_it_has_room_for() {
        let tracer = tracer(1..=200);
        let mut messages = [message(150), message(50)];
        let publications = Publications::begin(&tracer, &mut messages, &records(1..=200));
        let told: Vec<usize> = messages.iter().map(|message| message.traces.len()).collect();
        assert_eq!(told, [MESSAGE_TRACES_MAX, 50]);
        publications.end(false);
    }

    #[test]
    fn a_message_is_believed_about_its_own_records_alone() {
        let tracer = tracer([5]);
        let context = tracer.underway([(SHARD, 5)].into_iter())[0].context;
        let told = [1, 4, 5].map(|seq| RecordTrace { shard: SHARD, seq, context });
        let arrivals = Arrivals::begin(&tracer, &records(4..=6), &told, true);
        assert_eq!(seqs(&arrivals.parents), [4, 5]);
        assert_eq!(arrivals.processes.len(), 2);
        for (process, parent) in arrivals.processes.iter().zip(&arrivals.parents) {
            assert_eq!(*process.context(), parent.context);
            assert_eq!(process.context().trace_id, context.trace_id);
        }
        let here = Arrivals::begin(&tracer, &records(4..=6), &told, false);
        assert_eq!((seqs(&here.parents), here.processes.len()), (vec![5], 0));
        assert_eq!(here.parents[0].context, context);
        let mut insertions = here.insert(&tracer, "sqlite", 3);
        assert!(insertions.conflict(&records([4])[0]).is_none());
        let trace_id = insertions.conflict(&records([5])[0]).expect("its trace").to_string();
        assert_eq!(trace_id, context.shown_trace_id().to_string());
        insertions.end();
        let off = Arrivals::begin(&Tracer::OFF, &records(4..=6), &told, true);
        assert_eq!((off.parents.len(), off.processes.len()), (0, 0));
    }
}
