//! Where traces go, as the configuration says.
//!
//! The thread that exports has no runtime, so requests are made on the one behind the sale.

use super::error::AppError;
use crate::clock::Clock;
use crate::config::{Config, Traces};
use crate::store::outbound::{Outbound, OutboundError, OutboundOptions};
use crate::telemetry::traces::{Collector, Tracer, TracerOptions};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What is asked for at the collector.
const PATH: &str = "/v1/traces";
/// The type of OTLP's requests in protobuf.
const CONTENT_TYPE: &str = "application/x-protobuf";
/// How long one request may take, and how often a batch is sent at most.
const OPTIONS: OutboundOptions = OutboundOptions {
    timeout: Duration::from_secs(3),
    in_flight_max: 1,
    failures_max: 6,
    pause: Duration::from_secs(5),
};
const ATTEMPTS: u32 = 3;
/// The pause before a batch is sent again, twice as long each time.
const PAUSE: Duration = Duration::from_millis(250);
/// How long the last spans may take when the shop stops.
const SHUT_DOWN_LIMIT: Duration = Duration::from_secs(2);

/// Returns what records traces; nothing that does, unless a collector is configured.
///
/// # Errors
/// Returns [`AppError::Traces`] if the collector cannot be asked as configured.
pub(super) fn tracer(config: &Config, clock: Clock, behind: &Handle) -> Result<Tracer, AppError> {
    let Traces { otlp_endpoint, sample_one_in, trust_traceparent } = &config.traces;
    let Some(endpoint) = otlp_endpoint else { return Ok(Tracer::OFF) };
    let outbound = Outbound::new(&url(endpoint.expose()), OPTIONS, clock.clone());
    let outbound = Arc::new(outbound.map_err(AppError::Traces)?);
    let mut attributes = vec![
        ("service.name", "seckill".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    if config.cluster.is_set() {
        attributes.push(("service.instance.id", config.cluster.node.clone()));
    }
    let options = TracerOptions {
        sample_one_in: *sample_one_in,
        trusts_traceparent: *trust_traceparent,
        attributes,
    };
    let collector = OtlpCollector { outbound, behind: behind.clone() };
    let started_at = UNIX_EPOCH + Duration::from_millis(clock.started_at().0);
    Ok(Tracer::start(options, collector, move || started_at + clock.elapsed()))
}

/// Sends the last spans.
pub(super) async fn shut_down(tracer: Tracer) {
    let sent = tokio::task::spawn_blocking(move || tracer.shut_down(SHUT_DOWN_LIMIT));
    // What was lost is logged there.
    let _ = sent.await;
}

/// Where requests are posted to at this endpoint.
fn url(endpoint: &str) -> String {
    let (base, query) = endpoint.split_once('?').unwrap_or((endpoint, ""));
    let base = base.trim_end_matches('/');
    let path = if base.ends_with(PATH) { "" } else { PATH };
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{base}{path}{mark}{query}")
}

/// A collector that takes OTLP over HTTP.
#[derive(Debug)]
struct OtlpCollector {
    outbound: Arc<Outbound>,
    behind: Handle,
}

impl Collector for OtlpCollector {
    async fn post(&self, body: Bytes) -> Result<Bytes, String> {
        let (answer, answered) = oneshot::channel();
        let outbound = Arc::clone(&self.outbound);
        self.behind.spawn(async move {
            // The thread that waits may have ended.
            let _ = answer.send(post(&outbound, body).await);
        });
        answered.await.unwrap_or_else(|_| Err("the process stops".to_owned()))
    }
}

/// Posts a batch, again if it certainly was not taken.
async fn post(outbound: &Outbound, body: Bytes) -> Result<Bytes, String> {
    let mut attempt = 1;
    loop {
        let (may_repeat, reason) = match outbound.post(CONTENT_TYPE, body.clone()).await {
            Ok(reply) if (200..300).contains(&reply.status) => return Ok(reply.body),
            Ok(reply) => {
                let may_repeat = matches!(reply.status, 429 | 502 | 503 | 504);
                (may_repeat, format!("it answers {}", reply.status))
            }
            Err(error) => (matches!(error, OutboundError::Broken(_)), error.to_string()),
        };
        if !may_repeat || attempt == ATTEMPTS {
            return Err(reason);
        }
        tokio::time::sleep(PAUSE * 2_u32.pow(attempt - 1)).await;
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_completed_unless_it_is_whole() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example/api/otlp", "https://otel.example/api/otlp/v1/traces"),
            ("https://otel.example/v1/traces", "https://otel.example/v1/traces"),
            ("https://otel.example/v1/traces/?key=a/b", "https://otel.example/v1/traces?key=a/b"),
            ("https://otel.example?key=a", "https://otel.example/v1/traces?key=a"),
        ] {
            assert_eq!(url(endpoint), expected, "{endpoint}");
        }
    }
}
