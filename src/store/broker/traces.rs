//! The headers of a message that say which of its records belong to a trace.
//!
//! `traceparent` is W3C's, of the first of them, for those who know no other; `seckill-traces` names each with
//! its shard and number. Must not know what a trace is for.

use crate::telemetry::traces::RecordTrace;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString};

const TRACEPARENT: &str = "traceparent";
const RECORDS: &str = "seckill-traces";

/// The headers of a message with these traced records; none if it has none.
pub(super) fn headers(traces: &[RecordTrace]) -> Option<FieldTable> {
    let first = traces.first()?;
    let mut headers = FieldTable::default();
    let mut insert = |name: &str, text: String| {
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(text)));
    };
    insert(TRACEPARENT, first.context.to_string());
    insert(RECORDS, RecordTrace::render(traces));
    Some(headers)
}

/// What a message's headers say of its records' traces.
pub(super) fn told(properties: &BasicProperties) -> Vec<RecordTrace> {
    let headers = properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get(RECORDS)) {
        Some(AMQPValue::LongString(text)) => RecordTrace::parse(text.as_bytes()),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::traces::TraceContext;
    use domain::ShardId;

    #[test]
    fn what_the_headers_say_is_read() {
        let context = TraceContext { trace_id: 0xabc, span_id: 0x12 };
        let traces = [7, 9].map(|seq| RecordTrace { shard: ShardId(3), seq, context });
        let headers = headers(&traces).expect("headers");
        let properties = BasicProperties::default().with_headers(headers);
        assert_eq!(told(&properties), traces);
        assert_eq!(super::headers(&[]), None);
        assert_eq!(told(&BasicProperties::default()), []);
        for value in [AMQPValue::Boolean(true), AMQPValue::LongString("3:7:00-abc".into())] {
            let mut headers = FieldTable::default();
            headers.insert(RECORDS.into(), value);
            assert_eq!(told(&BasicProperties::default().with_headers(headers)), []);
        }
    }
}
