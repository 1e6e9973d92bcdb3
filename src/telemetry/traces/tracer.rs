//! Which requests are traced, and where their spans are recorded.
//!
//! Cheap where nothing is traced: no header is looked at, nothing is allocated, no time is read. Must not know
//! the way that a request takes.

use super::context::{RecordTrace, TraceContext};
use super::exporter::Collector;
use super::hops::Hops;
use super::recorder::Recorder;
use super::span::{Kind, Parent, Span};
use domain::ShardId;
use opentelemetry::KeyValue;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Requests of one second that are traced because their sender asks for it.
const TRUSTED_PER_SECOND: u64 = 100;

/// What is traced.
#[derive(Clone, Debug)]
pub struct TracerOptions {
    /// One in so many requests is picked, at least 1; rounded up to a power of two.
    pub sample_one_in: u32,
    /// Whether a sender that asks for a request to be traced, by its `traceparent`, is obeyed.
    pub trusts_traceparent: bool,
    /// What tells the process from others: pairs of OpenTelemetry's names of attributes and their values.
    pub attributes: Vec<(&'static str, String)>,
}

/// Picks requests and records their spans; or does nothing, if traces are off. Clones share one state.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

impl fmt::Debug for Tracer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Tracer").field(&self.0.is_some()).finish()
    }
}

struct Inner {
    /// A request is picked if its number has none of these bits.
    mask: u64,
    trusted: Option<Allowance>,
    recorder: Arc<Recorder>,
}

impl Tracer {
    /// Picks nothing and records nothing.
    pub const OFF: Self = Self(None);

    /// Records what is picked and sends it to the collector. `now` is the time that spans are to show.
    pub fn start(
        options: TracerOptions,
        collector: impl Collector,
        now: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Self {
        let attributes =
            options.attributes.into_iter().map(|(name, value)| KeyValue::new(name, value));
        Self(Some(Arc::new(Inner {
            mask: u64::from(options.sample_one_in).next_power_of_two() - 1,
            trusted: options.trusts_traceparent.then(Allowance::default),
            recorder: Arc::new(Recorder::start(collector, attributes.collect(), now)),
        })))
    }

    /// Opens the span of the request of this number, if it is picked: by its number, or because its sender asks
    /// for it and is trusted. `traceparent` looks for what the sender says.
    #[inline]
    pub fn request<'a>(
        &self,
        name: &'static str,
        number: u64,
        traceparent: impl FnOnce() -> Option<&'a [u8]>,
    ) -> Option<Box<Span>> {
        let inner = self.0.as_ref()?;
        let parent = match inner.asked_for(traceparent) {
            Some(asked_for) => Parent::Elsewhere(asked_for),
            None if number & inner.mask == 0 => Parent::None,
            None => return None,
        };
        self.span(Kind::Server, name, parent).map(Box::new)
    }

    /// Opens a span below another one.
    pub fn span(&self, kind: Kind, name: &'static str, parent: Parent) -> Option<Span> {
        let recorder = self.recorder()?;
        Some(Span::begin(recorder, (kind, name), parent, recorder.now()))
    }

    /// Begins the way of a purchase to its shard and back, below its span if it has one.
    #[inline]
    pub fn hops(&self, parent: Option<&TraceContext>) -> Hops {
        let Some(parent) = parent else { return Hops::NONE };
        self.recorder().map_or(Hops::NONE, |recorder| Hops::begin(recorder, *parent))
    }

    /// Those of these records that belong to a trace and are not stored yet.
    pub fn underway(&self, records: impl Iterator<Item = (ShardId, u64)>) -> Vec<RecordTrace> {
        self.recorder().map(|recorder| recorder.underway().find(records)).unwrap_or_default()
    }

    /// How many records belong to a trace and are not known to be stored.
    pub fn underway_count(&self) -> usize {
        self.recorder().map_or(0, |recorder| recorder.underway().count())
    }

    /// Forgets the records that are stored: each shard's up to the number that `stored` gives in its place.
    pub fn forget_stored(&self, stored: impl FnOnce() -> Vec<u64>) {
        if let Some(recorder) = self.recorder() {
            recorder.underway().forget_stored(&stored());
        }
    }

    /// Forgets the records of a shard that is not served here any more.
    pub fn forget_shard(&self, shard: ShardId) {
        if let Some(recorder) = self.recorder() {
            recorder.underway().forget_shard(shard);
        }
    }

    #[inline]
    fn recorder(&self) -> Option<&Arc<Recorder>> {
        Some(&self.0.as_ref()?.recorder)
    }

    /// Sends the spans that wait, for `limit` at most. Blocks, and is called once.
    pub fn shut_down(&self, limit: Duration) {
        if let Some(recorder) = self.recorder() {
            recorder.queue().shut_down(limit);
        }
    }
}

impl Inner {
    fn asked_for<'a>(
        &self,
        traceparent: impl FnOnce() -> Option<&'a [u8]>,
    ) -> Option<TraceContext> {
        let trusted = self.trusted.as_ref()?;
        let asked_for = TraceContext::parse(traceparent()?)?;
        let second = self.recorder.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        trusted.take(second).then_some(asked_for)
    }
}

/// How many requests were traced in a second because their senders asked.
#[derive(Debug, Default)]
struct Allowance {
    /// The second's number, modulo 2³², above the count.
    used: AtomicU64,
}

impl Allowance {
    /// Whether one more may be in this second.
    fn take(&self, second: u64) -> bool {
        let begun = second << 32;
        let more = |used: u64| {
            let used = if used >> 32 == begun >> 32 { used } else { begun };
            (used & u64::from(u32::MAX) < TRUSTED_PER_SECOND).then_some(used + 1)
        };
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }
}

#[cfg(test)]
mod tests;
