//! Which span of which trace, and how that travels: W3C's `traceparent`, version 00.
//!
//! What is read comes from strangers, so it is bounded and anything but a sound one counts as none. Must not
//! know what is traced.

use domain::ShardId;
use std::fmt;

/// Length of a `traceparent` of version 00, in bytes.
const LENGTH: usize = 55;
/// The longest one of a later version that is read.
const LENGTH_MAX: usize = 256;
/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

/// A span, as its children name it. Shown as the `traceparent` of a trace that is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TraceContext {
    /// The trace, never 0.
    pub trace_id: u128,
    /// The span in it, never 0.
    pub span_id: u64,
}

impl TraceContext {
    /// Makes the first span of a new trace.
    pub(super) fn new() -> Self {
        Self { trace_id: rand::random::<u128>().max(1), span_id: rand::random::<u64>().max(1) }
    }

    /// Makes another span of the same trace.
    pub(super) fn child(self) -> Self {
        Self { span_id: rand::random::<u64>().max(1), ..self }
    }

    /// Reads the `traceparent` of a trace that is recorded; none if it is not sound, or not recorded.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(LENGTH)?;
        let [v1, v2, b'-', trace @ .., b'-', f1, f2] = head else { return None };
        let (trace_id, rest_of_it) = trace.split_at_checked(32)?;
        let [b'-', span_id @ ..] = rest_of_it else { return None };
        let version = digits(&[*v1, *v2])?;
        // A later version may have more behind another dash.
        let is_whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|byte| *byte == b'-') && text.len() <= LENGTH_MAX,
        };
        let is_sampled = digits(&[*f1, *f2])? & u128::from(SAMPLED) != 0;
        let (trace_id, span_id) = (digits(trace_id)?, u64::try_from(digits(span_id)?).ok()?);
        (is_whole && is_sampled && trace_id != 0 && span_id != 0)
            .then_some(Self { trace_id, span_id })
    }

    /// The trace's identity as it is shown: 32 hexadecimal digits.
    pub fn shown_trace_id(self) -> impl fmt::Display {
        Hexadecimal(self.trace_id)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{SAMPLED:02x}", self.trace_id, self.span_id)
    }
}

struct Hexadecimal(u128);

impl fmt::Display for Hexadecimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// The number that lower-case hexadecimal digits write, of which there are 32 at most.
fn digits(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// A record that a trace has led to, and the span that its next one is a child of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordTrace {
    /// The record's shard.
    pub shard: ShardId,
    /// Its number there.
    pub seq: u64,
    /// The span that comes next above it.
    pub context: TraceContext,
}

/// Records of one message that are traced at most.
pub const MESSAGE_TRACES_MAX: usize = 64;

impl RecordTrace {
    /// Writes what is told of a message's records, the first 64 of them.
    pub fn render(traces: &[Self]) -> String {
        let mut text = String::new();
        for Self { shard, seq, context } in traces.iter().take(MESSAGE_TRACES_MAX) {
            let comma = if text.is_empty() { "" } else { "," };
            text.push_str(&format!("{comma}{}:{seq}:{context}", shard.0));
        }
        text
    }

    /// Reads what [`Self::render`] wrote: of 64 entries at most those that are sound.
    pub fn parse(text: &[u8]) -> Vec<Self> {
        const ENTRY_LENGTH_MAX: usize = 5 + 1 + 20 + 1 + LENGTH;
        let text = &text[..text.len().min(MESSAGE_TRACES_MAX * (ENTRY_LENGTH_MAX + 1))];
        let entries = text.split(|byte| *byte == b',').take(MESSAGE_TRACES_MAX);
        let entry = |entry: &[u8]| {
            let text = std::str::from_utf8(entry).ok()?;
            let (shard, rest) = text.split_once(':')?;
            let (seq, context) = rest.split_once(':')?;
            Some(Self {
                shard: ShardId(shard.parse().ok()?),
                seq: seq.parse().ok()?,
                context: TraceContext::parse(context.as_bytes())?,
            })
        };
        entries.filter_map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOUND: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_taken_only_if_it_is_sound_and_recorded() {
        let context = TraceContext {
            trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span_id: 0x00f0_67aa_0ba9_02b7,
        };
        let (trace, span) = (&SOUND[3..35], &SOUND[36..52]);
        for (text, expected) in [
            (SOUND.to_owned(), Some(context)),
            (format!("00-{trace}-{span}-03"), Some(context)),
            (format!("cc-{trace}-{span}-01"), Some(context)),
            (format!("cc-{trace}-{span}-01-what.the.future.brings"), Some(context)),
            (format!("cc-{trace}-{span}-01.x"), None),
            (format!("cc-{trace}-{span}-01-{}", "x".repeat(300)), None),
            (format!("00-{trace}-{span}-00"), None),
            (format!("00-{trace}-{span}-02"), None),
            (format!("00-{trace}-{span}-01-x"), None),
            (format!("00-{trace}-{span}-01 "), None),
            (format!("ff-{trace}-{span}-01"), None),
            (format!("0-{trace}-{span}-01"), None),
            (format!("00-{}-{span}-01", "0".repeat(32)), None),
            (format!("00-{trace}-{}-01", "0".repeat(16)), None),
            (format!("00-{}-{span}-01", trace.to_uppercase()), None),
            (format!("00-{}g-{span}-01", &trace[1..]), None),
            (format!("00_{trace}-{span}-01"), None),
            (format!("00-{trace}_{span}-01"), None),
            (format!("00-{trace}-{span}_01"), None),
            (format!("00-{trace}-{span}"), None),
            (format!("00-{}é-{span}-01", &trace[2..]), None),
            (String::new(), None),
            ("-".repeat(LENGTH), None),
        ] {
            assert_eq!(TraceContext::parse(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(context.to_string(), SOUND);
        assert_eq!(context.shown_trace_id().to_string(), trace);
    }

    #[test]
    fn a_message_tells_of_64_records_at_most() {
        let trace = |seq| RecordTrace { shard: ShardId(7), seq, context: TraceContext::new() };
        let traces: Vec<RecordTrace> = (1..=100).map(trace).collect();
        let text = RecordTrace::render(&traces);
        assert_eq!(RecordTrace::parse(text.as_bytes()), traces[..MESSAGE_TRACES_MAX]);
        let more: Vec<String> = traces.iter().map(|one| RecordTrace::render(&[*one])).collect();
        assert_eq!(RecordTrace::parse(more.join(",").as_bytes()), traces[..MESSAGE_TRACES_MAX]);
        let garbled = format!("7:1,x,7:-1:{SOUND},99999:2:{SOUND},7:3:{SOUND},,7:4:{SOUND}x");
        let read = RecordTrace::parse(garbled.as_bytes());
        assert_eq!(read.iter().map(|trace| trace.seq).collect::<Vec<_>>(), [3]);
        assert_eq!(RecordTrace::parse(b""), []);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            TraceContext::parse(&bytes);
            RecordTrace::parse(&bytes);
        }

        #[test]
        fn what_is_written_is_read(trace_id in 1_u128.., span_id in 1_u64.., seq: u64, shard: u16) {
            let context = TraceContext { trace_id, span_id };
            prop_assert_eq!(TraceContext::parse(context.to_string().as_bytes()), Some(context));
            let trace = RecordTrace { shard: ShardId(shard), seq, context };
            prop_assert_eq!(RecordTrace::parse(RecordTrace::render(&[trace]).as_bytes()), [trace]);
        }
    }
}
