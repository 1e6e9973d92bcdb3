//! Spans on their way to the collector: a queue with a bound, batches, and what becomes of each.
//!
//! The SDK's batch processor has the queue and the thread. Here is what it is given to export with, over any
//! client that posts a body: OTLP's request in protobuf. What a collector does not take is dropped and counted;
//! nothing waits for it. Must not know what a span means, nor how a body is posted.

use crate::telemetry::metrics::{
    TRACE_DROP_REASONS, TRACE_SPANS_DROPPED_TOTAL, TRACE_SPANS_EXPORTED_TOTAL,
};
use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor as _,
};
use prost::Message as _;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Spans that wait for the collector at most, a few megabytes.
const QUEUE_SPANS: usize = 4_096;
/// Spans of one request.
const BATCH_SPANS: usize = 512;
/// How long spans gather for a request.
const GATHER: Duration = Duration::from_secs(1);

/// How much is logged of why a collector rejects spans.
const REASON_CHARACTERS_MAX: usize = 200;

const QUEUE_FULL: &str = TRACE_DROP_REASONS[0];
const NOT_TAKEN: &str = TRACE_DROP_REASONS[1];
const REJECTED: &str = TRACE_DROP_REASONS[2];
const NOT_REMEMBERED: &str = TRACE_DROP_REASONS[3];

/// Posts requests to a collector.
pub trait Collector: Debug + Send + Sync + 'static {
    /// Posts a request, and returns the body of the answer of a collector that has taken it.
    ///
    /// Ends within a bounded time, on a thread that has no runtime.
    ///
    /// # Errors
    /// Returns in words why the collector has not taken it.
    fn post(&self, body: Bytes) -> impl Future<Output = Result<Bytes, String>> + Send;
}

/// Where spans go that have ended.
#[derive(Debug)]
pub(super) struct ExportQueue {
    processor: BatchSpanProcessor,
    /// Spans in the processor's queue.
    queued: Arc<AtomicUsize>,
}

impl ExportQueue {
    /// Starts the thread that exports. `attributes` say who the spans are from.
    pub(super) fn start(collector: impl Collector, attributes: Vec<KeyValue>) -> Self {
        let queued = Arc::new(AtomicUsize::new(0));
        let resource = Resource::builder_empty().with_attributes(attributes).build();
        let exporter = Exporter {
            collector,
            resource: (&resource).into(),
            queued: Arc::clone(&queued),
            is_taken: AtomicBool::new(true),
            is_whole: AtomicBool::new(true),
        };
        let bounds = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_SPANS)
            .with_max_export_batch_size(BATCH_SPANS)
            .with_scheduled_delay(GATHER)
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(bounds).build();
        Self { processor, queued }
    }

    /// Puts the span that `make` makes in the queue, or counts it as dropped: then it is not even made.
    pub(super) fn end(&self, make: impl FnOnce() -> SpanData) {
        // Counted here, because the processor does not tell; so its own bound, the same one, is never met.
        if self.queued.fetch_add(1, Ordering::AcqRel) >= QUEUE_SPANS {
            self.queued.fetch_sub(1, Ordering::AcqRel);
            count_dropped(QUEUE_FULL, 1);
            return;
        }
        self.processor.on_end(make());
    }

    /// Sends what waits, for `limit` at most, and ends the thread.
    pub(super) fn shut_down(&self, limit: Duration) {
        if let Err(error) = self.processor.shutdown_with_timeout(limit) {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

/// Counts spans that will never be made, because their record is not remembered.
pub(super) fn count_not_remembered() {
    count_dropped(NOT_REMEMBERED, 1);
}

fn count_dropped(reason: &'static str, spans: u64) {
    metrics::counter!(TRACE_SPANS_DROPPED_TOTAL, "reason" => reason).increment(spans);
}

/// Exports batches, one after another.
#[derive(Debug)]
struct Exporter<C> {
    collector: C,
    resource: ResourceAttributesWithSchema,
    queued: Arc<AtomicUsize>,
    /// Whether the collector took the last batch.
    is_taken: AtomicBool,
    /// Whether it rejected none of the spans of the last one that it took.
    is_whole: AtomicBool,
}

impl<C: Collector> SpanExporter for Exporter<C> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        self.queued.fetch_sub(batch.len(), Ordering::AcqRel);
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        match self.collector.post(body.into()).await {
            Ok(answer) => {
                let (rejected, reason) = rejected(&answer, spans);
                count_dropped(REJECTED, rejected);
                metrics::counter!(TRACE_SPANS_EXPORTED_TOTAL).increment(spans - rejected);
                if !self.is_taken.swap(true, Ordering::AcqRel) {
                    tracing::info!("the collector takes traces again");
                }
                if self.is_whole.swap(rejected == 0, Ordering::AcqRel) && rejected > 0 {
                    tracing::warn!(
                        rejected,
                        reason,
                        "the collector rejects spans: they are dropped, the sale goes on"
                    );
                }
                Ok(())
            }
            Err(reason) => {
                count_dropped(NOT_TAKEN, spans);
                if self.is_taken.swap(false, Ordering::AcqRel) {
                    tracing::warn!(%reason, "the collector takes no traces: spans are dropped, the sale goes on");
                }
                Err(OTelSdkError::InternalFailure(reason))
            }
        }
    }
}

/// How many of so many spans the collector says that it has rejected, and why, in its words, cut short. An answer that
/// says nothing sound says that it took all.
fn rejected(answer: &[u8], spans: u64) -> (u64, String) {
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    let told = answer.partial_success.unwrap_or_default();
    let reason = told.error_message.chars().take(REASON_CHARACTERS_MAX).collect();
    (u64::try_from(told.rejected_spans).unwrap_or(0).min(spans), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    #[test]
    fn a_collector_that_lies_counts_no_more_than_it_was_sent() {
        let told = |rejected_spans| {
            let error_message = "x".repeat(5_000);
            let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message });
            ExportTraceServiceResponse { partial_success }.encode_to_vec()
        };
        for (answer, expected) in [
            (Vec::new(), 0),
            (told(3), 3),
            (told(0), 0),
            (told(i64::MAX), 512),
            (told(-7), 0),
            (b"<html>not one of mine".to_vec(), 0),
            (vec![0xff; 4_096], 0),
        ] {
            let (rejected, reason) = rejected(&answer, 512);
            assert_eq!(rejected, expected, "{answer:?}");
            assert!(reason.len() <= REASON_CHARACTERS_MAX, "{reason}");
        }
    }
}
