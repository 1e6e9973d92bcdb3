//! Picking, and what becomes of the times of a purchase, by what a collector in the process is sent.

use super::super::hops::{DECIDE, JOURNAL_SYNC, MAILBOX};
use super::*;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span as Shown;
use parking_lot::Mutex;
use prost::Message as _;

const SOUND: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A collector that keeps what it is sent, or does not answer.
#[derive(Clone, Debug, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<Shown>>>,
    is_frozen: bool,
}

impl Collector for Kept {
    async fn post(&self, body: Bytes) -> Result<Bytes, String> {
        if self.is_frozen {
            std::future::pending::<()>().await;
        }
        let request = ExportTraceServiceRequest::decode(body).map_err(|error| error.to_string())?;
        let scopes = request.resource_spans.into_iter().flat_map(|all| all.scope_spans);
        self.spans.lock().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Bytes::new())
    }
}

impl Kept {
    fn tracer(&self, sample_one_in: u32, trusts_traceparent: bool) -> Tracer {
        let options = TracerOptions { sample_one_in, trusts_traceparent, attributes: Vec::new() };
        // Each look at it is a second later.
        let seconds = AtomicU64::new(1_000);
        let now = move || UNIX_EPOCH + Duration::from_secs(seconds.fetch_add(1, Ordering::Relaxed));
        Tracer::start(options, self.clone(), now)
    }

    /// The spans by name, once all were sent.
    fn spans(&self, tracer: &Tracer) -> Vec<Shown> {
        tracer.shut_down(Duration::from_secs(60));
        let mut spans = std::mem::take(&mut *self.spans.lock());
        spans.sort_by_key(|span| (span.start_time_unix_nano, span.end_time_unix_nano));
        spans
    }
}

fn names(spans: &[Shown]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

#[test]
fn one_in_so_many_numbers_is_picked() {
    let kept = Kept::default();
    for (sample_one_in, picked) in [(1, 4_096), (2, 2_048), (1_000, 4), (1_024, 4), (u32::MAX, 1)] {
        let tracer = kept.tracer(sample_one_in, false);
        let looked = || -> Option<&[u8]> { panic!("nobody looks for a header") };
        let spans = (0..4_096).filter_map(|number| tracer.request("buy", number, looked));
        assert_eq!(spans.map(|span| span.discard()).count(), picked, "one in {sample_one_in}");
    }
    let looked = || -> Option<&[u8]> { panic!("nobody looks for a header") };
    assert!(Tracer::OFF.request("buy", 0, looked).is_none());
    assert!(Tracer::default().span(Kind::Client, "any", Parent::None).is_none());
}

#[test]
fn a_sender_is_obeyed_only_where_it_is_trusted_and_at_most_a_hundred_times_a_second() {
    let asked = TraceContext::parse(SOUND).expect("sound");
    let kept = Kept::default();
    let tracer = kept.tracer(u32::MAX, true);
    let span = tracer.request("buy", 7, || Some(SOUND)).expect("asked for");
    assert_eq!(span.context().trace_id, asked.trace_id);
    drop(span);
    assert!(tracer.request("buy", 7, || Some(b"00-no-traceparent-01")).is_none());
    assert!(tracer.request("buy", 7, || None).is_none());
    let untrusting = kept.tracer(1, false);
    let span = untrusting.request("buy", 7, || Some(SOUND)).expect("picked");
    assert_ne!(span.context().trace_id, asked.trace_id);
    span.discard();
    let spans = kept.spans(&tracer);
    assert_eq!(names(&spans), ["buy"]);
    assert_eq!(spans[0].parent_span_id, asked.span_id.to_be_bytes());
    let allowance = Allowance::default();
    for second in [7, 8, 1 << 40, u64::MAX] {
        let taken = (0..1_000).filter(|_| allowance.take(second)).count();
        assert_eq!(taken, 100, "in second {second}");
    }
}

#[test]
fn the_times_of_a_way_become_spans_below_the_request() {
    let kept = Kept::default();
    let tracer = kept.tracer(1, false);
    let request = tracer.request("buy", 1, || None).expect("picked");
    let mut hops = tracer.hops(Some(request.context()));
    hops.taken();
    hops.taken();
    hops.decided(ShardId(3), Some(17));
    assert_eq!(tracer.underway_count(), 1, "before it can be durable");
    hops.answered(true);
    drop(hops);
    let own = *request.context();
    drop(request);
    let found = tracer.underway([(ShardId(3), 16), (ShardId(3), 17)].into_iter());
    assert_eq!(found, [RecordTrace { shard: ShardId(3), seq: 17, context: own }]);
    tracer.forget_stored(|| vec![0, 0, 0, 17]);
    assert_eq!(tracer.underway_count(), 0);
    let spans = kept.spans(&tracer);
    assert_eq!(names(&spans), ["buy", MAILBOX, DECIDE, JOURNAL_SYNC]);
    let (buy, hops) = (&spans[0], &spans[1..]);
    assert!(buy.parent_span_id.is_empty());
    for (one, next) in hops.iter().zip(&hops[1..]) {
        assert_eq!(
            one.end_time_unix_nano, next.start_time_unix_nano,
            "one ends as the next begins"
        );
    }
    for hop in hops {
        assert_eq!((&hop.trace_id, &hop.parent_span_id), (&buy.trace_id, &buy.span_id));
        assert!(buy.start_time_unix_nano < hop.start_time_unix_nano);
        assert!(hop.end_time_unix_nano < buy.end_time_unix_nano);
    }
}

#[test]
fn a_way_that_ends_early_shows_how_far_it_went() {
    let kept = Kept::default();
    let tracer = kept.tracer(1, false);
    let parent = TraceContext::new();
    // Not delivered: the shard is elsewhere.
    drop(tracer.hops(Some(&parent)));
    // Never looked at, and told so.
    tracer.hops(Some(&parent)).answered(false);
    // Decided, and never durable.
    let mut lost = tracer.hops(Some(&parent));
    lost.taken();
    lost.decided(ShardId(1), Some(5));
    drop(lost);
    // Decided, and taken back: its item is set aside.
    let mut taken_back = tracer.hops(Some(&parent));
    taken_back.taken();
    taken_back.decided(ShardId(1), Some(5));
    taken_back.decided(ShardId(1), Some(6));
    assert_eq!(tracer.underway_count(), 1, "the last decision counts");
    taken_back.answered(false);
    assert_eq!(tracer.underway_count(), 0, "they are on no record");
    drop(taken_back);
    let spans = kept.spans(&tracer);
    assert_eq!(
        names(&spans),
        [MAILBOX, MAILBOX, DECIDE, JOURNAL_SYNC, MAILBOX, DECIDE, JOURNAL_SYNC]
    );
    let failed = |span: &Shown| span.status.as_ref().is_some_and(|status| status.code == 2);
    let failed: Vec<usize> = (0..spans.len()).filter(|place| failed(&spans[*place])).collect();
    assert_eq!(failed, [3], "the one that has no answer");
}

#[test]
fn what_a_frozen_collector_does_not_take_is_not_even_made() {
    const SPANS: u64 = 100_000;
    let kept = Kept { is_frozen: true, ..Kept::default() };
    let tracer = kept.tracer(1, false);
    let recorder = tracer.recorder().expect("on");
    let made = Mutex::new(0_u64);
    for _ in 0..SPANS {
        let mut template = tracer.span(Kind::Internal, "any", Parent::None).expect("on");
        recorder.queue().end(|| {
            *made.lock() += 1;
            template.data()
        });
        template.discard();
    }
    let made = *made.lock();
    // What the queue holds, and one batch that is being sent.
    assert!((4_096..=4_096 + 512).contains(&made), "{made} spans were made");
}
