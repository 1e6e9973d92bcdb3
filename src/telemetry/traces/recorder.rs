//! What traces are recorded with: the time, the queue of spans that have ended, the records that are under way.
//!
//! Must not know which spans there are, nor what is picked.

use super::context::TraceContext;
use super::exporter::{Collector, ExportQueue, count_not_remembered};
use super::underway::Underway;
use domain::ShardId;
use opentelemetry::{InstrumentationScope, KeyValue};
use std::time::SystemTime;

/// The name under which all spans are made.
const SCOPE: &str = "seckill";

/// Where everything that is picked is recorded.
pub(super) struct Recorder {
    now: Box<dyn Fn() -> SystemTime + Send + Sync>,
    queue: ExportQueue,
    underway: Underway,
    scope: InstrumentationScope,
}

impl Recorder {
    /// Records for this collector, by this time. `attributes` say who the spans are from.
    pub(super) fn start(
        collector: impl Collector,
        attributes: Vec<KeyValue>,
        now: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Self {
        Self {
            now: Box::new(now),
            queue: ExportQueue::start(collector, attributes),
            underway: Underway::default(),
            scope: InstrumentationScope::builder(SCOPE)
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.now)()
    }

    pub(super) fn queue(&self) -> &ExportQueue {
        &self.queue
    }

    pub(super) fn underway(&self) -> &Underway {
        &self.underway
    }

    pub(super) fn scope(&self) -> InstrumentationScope {
        self.scope.clone()
    }

    /// Remembers that a record belongs to a trace.
    pub(super) fn note(&self, shard: ShardId, seq: u64, context: TraceContext) {
        if !self.underway.note(shard, seq, context) {
            count_not_remembered();
        }
    }

    /// Forgets a record that is not on record after all.
    pub(super) fn forget(&self, shard: ShardId, seq: u64) {
        self.underway.forget(shard, seq);
    }
}
