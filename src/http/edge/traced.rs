//! The span of a purchase, from its head to its answer, if the purchase is picked.
//!
//! Must not know who picks, nor what becomes of a span.

use crate::http::edge::request_id::RequestName;
use crate::http::problem::Problem;
use crate::http::purchase::Bought;
use crate::http::state::Edge;
use crate::telemetry::traces::{Span, TraceContext};
use domain::ItemId;
use hyper::HeaderMap;
use hyper::header::HeaderName;

/// The header by which a sender asks for its request to be traced.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The span's name.
const BUY: &str = "buy";

/// What a purchase has come by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interface {
    /// The API over HTTP.
    Http,
    /// The API over gRPC.
    Grpc,
    /// The older order service's API.
    Compat,
    /// A page's form.
    Page,
}

impl Interface {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Compat => "compat",
            Self::Page => "page",
        }
    }
}

/// A purchase's span, if it is picked.
#[derive(Debug)]
pub struct Traced(Option<Box<Span>>);

impl Traced {
    /// Picks the request of this number, or does not.
    #[inline]
    pub fn begin(edge: &Edge, number: u64, interface: Interface, headers: &HeaderMap) -> Self {
        let span = edge.tracer.request(BUY, number, || {
            // Of two of them, neither is to be believed.
            let mut said = headers.get_all(&TRACEPARENT).iter();
            let first = said.next()?;
            said.next().is_none().then(|| first.as_bytes())
        });
        Self(span.map(|span| described(span, number, interface, headers)))
    }

    /// The span, for what is done below it.
    #[inline]
    pub fn context(&self) -> Option<&TraceContext> {
        self.0.as_ref().map(|span| span.context())
    }

    /// Ends the span with what the purchase of this item came to.
    #[inline]
    pub fn end(self, item_id: Option<ItemId>, outcome: Result<&Bought, &Problem>) {
        if let Some(span) = self.0 {
            conclude(*span, item_id, outcome);
        }
    }
}

#[cold]
fn described(
    mut span: Box<Span>,
    number: u64,
    interface: Interface,
    headers: &HeaderMap,
) -> Box<Span> {
    span.text("seckill.interface", interface.name());
    // A form's request has a number of its own, and the purchase in it another one.
    if interface != Interface::Page {
        let name = RequestName::of(headers, number);
        span.text("seckill.request_id", name.as_str().to_owned());
    }
    span
}

#[cold]
fn conclude(mut span: Span, item_id: Option<ItemId>, outcome: Result<&Bought, &Problem>) {
    if let Some(item_id) = item_id {
        span.text("seckill.item_id", item_id.0.to_string());
    }
    match outcome {
        Ok(bought) => {
            span.text("seckill.order_id", bought.order.order_id.0.to_string());
            span.text("seckill.outcome", if bought.replayed { "replayed" } else { "placed" });
        }
        Err(problem) => {
            span.text("seckill.outcome", problem.code.name());
            // A refusal is an outcome. What fails is an error.
            if problem.code.status().is_server_error() {
                span.fail(problem.code.name());
            }
        }
    }
}
