//! Traces: what became of one purchase in a thousand, hop by hop, sent to a collector over OTLP.
//!
//! In the order of a request: `tracer` picks it, `hops` has the times of its way to the shard and back, `span`
//! is any other part of its way, `context` is how one part names another across processes, `underway` leads
//! from a record back to its trace, `exporter` has the queue to the collector, and `recorder` holds all of that together. No path has a span that is not
//! picked. All that is known of OpenTelemetry's crates stays here.

mod context;
mod exporter;
mod hops;
mod recorder;
mod span;
mod tracer;
mod underway;

pub use context::{MESSAGE_TRACES_MAX, RecordTrace, TraceContext};
pub use exporter::Collector;
pub use hops::{DECIDE, Hops, JOURNAL_SYNC, MAILBOX};
pub use span::{Kind, Parent, Span};
pub use tracer::{Tracer, TracerOptions};
pub use underway::RECORDS_MAX;
