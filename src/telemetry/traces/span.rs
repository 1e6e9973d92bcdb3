//! A span while it is open. It ends when it is dropped, and goes to the collector then.
//!
//! Must not know which spans there are.

use super::context::TraceContext;
use super::recorder::Recorder;
use opentelemetry::KeyValue;
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// What a span is to the one before it, as OpenTelemetry tells kinds apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Work within the process.
    Internal,
    /// A request that is answered.
    Server,
    /// A request that is made.
    Client,
    /// A message that is sent.
    Producer,
    /// A message that is worked on.
    Consumer,
}

/// What a span is a child of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parent {
    /// Nothing: it begins a trace.
    None,
    /// A span of this process.
    Here(TraceContext),
    /// A span of another process, or of this one by way of a message.
    Elsewhere(TraceContext),
}

impl Parent {
    fn context(self) -> Option<TraceContext> {
        match self {
            Self::None => None,
            Self::Here(context) | Self::Elsewhere(context) => Some(context),
        }
    }
}

/// An open span.
pub struct Span {
    recorder: Arc<Recorder>,
    context: TraceContext,
    parent: Parent,
    kind: Kind,
    name: &'static str,
    started_at: SystemTime,
    ended_at: Option<SystemTime>,
    attributes: Vec<KeyValue>,
    links: Vec<TraceContext>,
    failed: Option<Cow<'static, str>>,
    is_discarded: bool,
}

impl fmt::Debug for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Span({} {})", self.name, self.context)
    }
}

impl Span {
    pub(super) fn begin(
        recorder: &Arc<Recorder>,
        (kind, name): (Kind, &'static str),
        parent: Parent,
        started_at: SystemTime,
    ) -> Self {
        Self {
            context: parent.context().map_or_else(TraceContext::new, TraceContext::child),
            recorder: Arc::clone(recorder),
            parent,
            kind,
            name,
            started_at,
            ended_at: None,
            attributes: Vec::new(),
            links: Vec::new(),
            failed: None,
            is_discarded: false,
        }
    }

    /// The span, as its children name it.
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Says something of it in words.
    pub fn text(&mut self, key: &'static str, value: impl Into<Cow<'static, str>>) {
        self.attributes.push(KeyValue::new(key, value.into()));
    }

    /// Says something of it in a number.
    pub fn number(&mut self, key: &'static str, value: u64) {
        self.attributes.push(KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX)));
    }

    /// Says that it belongs together with a span of another trace.
    pub fn link(&mut self, other: TraceContext) {
        self.links.push(other);
    }

    /// Says that it came to no good end, and why.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        self.failed = Some(why.into());
    }

    /// Ends it at this moment instead of now.
    pub(super) fn end_at(mut self, ended_at: SystemTime) {
        self.ended_at = Some(ended_at);
    }

    /// Lets it never have been.
    pub fn discard(mut self) {
        self.is_discarded = true;
    }

    /// The span as it is exported.
    pub(super) fn data(&mut self) -> SpanData {
        let parent = self.parent.context();
        let mut links = SpanLinks::default();
        links.links.extend(self.links.iter().map(|other| Link::with_context(shown(*other, false))));
        SpanData {
            span_context: shown(self.context, false),
            parent_span_id: parent.map_or(SpanId::INVALID, |parent| SpanId::from(parent.span_id)),
            parent_span_is_remote: matches!(self.parent, Parent::Elsewhere(_)),
            span_kind: match self.kind {
                Kind::Internal => SpanKind::Internal,
                Kind::Server => SpanKind::Server,
                Kind::Client => SpanKind::Client,
                Kind::Producer => SpanKind::Producer,
                Kind::Consumer => SpanKind::Consumer,
            },
            name: Cow::Borrowed(self.name),
            start_time: self.started_at,
            end_time: self.ended_at.unwrap_or_else(|| self.recorder.now()).max(self.started_at),
            attributes: std::mem::take(&mut self.attributes),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: match self.failed.take() {
                None => Status::Unset,
                Some(why) => Status::Error { description: why },
            },
            instrumentation_scope: self.recorder.scope(),
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.is_discarded {
            let recorder = Arc::clone(&self.recorder);
            recorder.queue().end(|| self.data());
        }
    }
}

fn shown(context: TraceContext, is_remote: bool) -> SpanContext {
    SpanContext::new(
        TraceId::from(context.trace_id),
        SpanId::from(context.span_id),
        TraceFlags::SAMPLED,
        is_remote,
        TraceState::default(),
    )
}
