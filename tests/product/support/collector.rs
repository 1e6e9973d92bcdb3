//! A collector of traces, as far as the product knows one: it takes OTLP over HTTP and keeps the spans. It can
//! also refuse, freeze and lie.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message as _;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How a collector treats what it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// It takes it.
    Takes,
    /// It answers with this status.
    Refuses(u16),
    /// It takes the request and never answers.
    Freezes,
    /// It answers with a megabyte that means nothing.
    Raves,
    /// It says that it has rejected more spans than there are.
    Rejects,
}

/// A span as it was sent.
#[derive(Clone, Debug)]
pub struct Found {
    /// The name of the node that sent it, if it is one of several.
    pub instance: String,
    /// Its own name.
    pub name: String,
    /// Its kind, as OTLP numbers them.
    pub kind: i32,
    /// Its trace.
    pub trace_id: Vec<u8>,
    /// Its identity.
    pub span_id: Vec<u8>,
    /// Its parent's identity; empty if it has none.
    pub parent_id: Vec<u8>,
    /// When it began, in nanoseconds since 1970.
    pub started_at: u64,
    /// When it ended.
    pub ended_at: u64,
    /// What else it says.
    pub attributes: BTreeMap<String, String>,
    /// Whether it says that it came to no good end.
    pub has_failed: bool,
}

/// Its kinds, as OTLP numbers them.
pub mod kind {
    pub const INTERNAL: i32 = 1;
    pub const SERVER: i32 = 2;
    pub const CLIENT: i32 = 3;
    pub const PRODUCER: i32 = 4;
    pub const CONSUMER: i32 = 5;
}

/// A collector that runs until it is dropped.
pub struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    spans: Mutex<Vec<Found>>,
    manner: Mutex<Manner>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Collector {
    /// Opens one that takes what it is sent.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared =
            Arc::new(Shared { spans: Mutex::default(), manner: Mutex::new(Manner::Takes) });
        let kept = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            // Its connections end with it.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                let service = service_fn(move |request| answer(Arc::clone(&kept), request));
                let connection = hyper::server::conn::http1::Builder::new();
                connections.spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, shared, server }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets it treat what it is sent in this manner from now on.
    pub fn behaves(&self, manner: Manner) {
        *self.shared.manner.lock() = manner;
    }

    /// All spans that it was sent and took, in the order of their beginnings.
    pub fn spans(&self) -> Vec<Found> {
        let mut spans = self.shared.spans.lock().clone();
        spans.sort_by_key(|span| (span.started_at, std::cmp::Reverse(span.ended_at)));
        spans
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/v1/traces"));
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let request = ExportTraceServiceRequest::decode(body).expect("a request of OTLP");
    let manner = *shared.manner.lock();
    let (status, body) = match manner {
        Manner::Takes => {
            shared.spans.lock().extend(found(request));
            (200, Vec::new())
        }
        Manner::Refuses(status) => (status, b"no".to_vec()),
        Manner::Freezes => std::future::pending().await,
        Manner::Raves => (200, vec![0xff; 1 << 20]),
        Manner::Rejects => {
            let (rejected_spans, error_message) = (i64::MAX, "none of them".to_owned());
            let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message });
            (200, ExportTraceServiceResponse { partial_success }.encode_to_vec())
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status.try_into().expect("a status");
    Ok(response)
}

fn found(request: ExportTraceServiceRequest) -> Vec<Found> {
    let mut all = Vec::new();
    for sent in request.resource_spans {
        let resource = texts(sent.resource.expect("a resource").attributes);
        assert_eq!(resource["service.name"], "seckill");
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
        let instance = resource.get("service.instance.id").cloned().unwrap_or_default();
        let spans = sent.scope_spans.into_iter().flat_map(|scope| scope.spans);
        all.extend(spans.map(|span| one(&instance, span)));
    }
    all
}

fn one(instance: &str, span: Span) -> Found {
    Found {
        instance: instance.to_owned(),
        name: span.name,
        kind: span.kind,
        trace_id: span.trace_id,
        span_id: span.span_id,
        parent_id: span.parent_span_id,
        started_at: span.start_time_unix_nano,
        ended_at: span.end_time_unix_nano,
        attributes: texts(span.attributes),
        has_failed: span.status.is_some_and(|status| status.code == 2),
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |attribute: KeyValue| {
        let value = attribute.value.and_then(|value| value.value);
        let text = match value {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => panic!("{}: {other:?}", attribute.key),
        };
        (attribute.key, text)
    };
    attributes.into_iter().map(text).collect()
}
