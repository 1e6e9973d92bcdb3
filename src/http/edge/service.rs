//! The service that answers each request: names the request, sends purchases past the router and
//! everything else into it, and gives every answer its common headers and every problem its body.

use super::connection::Connection;
use super::metrics::EdgeMetrics;
use super::request_id::{RequestName, X_REQUEST_ID};
use super::sliced::Sliced;
use crate::http::api::buy::{self, Bought};
use crate::http::problem::{Code, Problem};
use crate::http::request::body::{self, BodyBytesMax};
use crate::http::state::Edge;
use axum::Router;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The body of an answer: whole if it is made here, and in slices if it comes from the router.
pub type EdgeBody = Either<Full<Bytes>, Sliced<axum::body::Body>>;

static PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
static JSON: HeaderValue = HeaderValue::from_static("application/json");
static NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
static BEARER: HeaderValue = HeaderValue::from_static("Bearer");
static REPLAYED: HeaderValue = HeaderValue::from_static("true");
/// The header that says that an order is the one that the same request got before.
pub static IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The edge's state and the router behind it: what a connection hands its requests to.
#[derive(Debug)]
pub struct EdgeService {
    /// The edge's state.
    pub edge: Arc<Edge>,
    router: TowerToHyperService<Router>,
}

impl EdgeService {
    /// Makes the service over `router`, which gets everything but purchases.
    pub fn new(edge: Arc<Edge>, router: Router) -> Self {
        Self { edge, router: TowerToHyperService::new(router) }
    }
}

/// Answers one request.
///
/// # Errors
/// Never returns one: hyper asks for a result.
pub async fn handle(
    service: Arc<EdgeService>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<EdgeBody>, Infallible> {
    let edge = &*service.edge;
    let _guard = connection.begin_request(request.version());
    let _in_flight = InFlight::begin(edge);
    let number = edge.unique_number();
    let name = RequestName::of(request.headers(), number);
    if let Some(item) = buy::item_of(&request) {
        let timed =
            edge.metrics.purchase_weight(number).map(|weight| (weight, edge.clock.elapsed()));
        let outcome = match check_head(edge, request.headers()) {
            Ok(()) => buy::buy(edge, &connection, number, item, request).await,
            Err(problem) => Err(problem),
        };
        if let Some((weight, started_at)) = timed {
            edge.metrics.purchase_took(edge.clock.elapsed().saturating_sub(started_at), weight);
        }
        return Ok(answer_purchase(edge, outcome, &name));
    }
    Ok(answer_other(&service, request, &name).await)
}

fn check_head(edge: &Edge, headers: &HeaderMap) -> Result<(), Problem> {
    if headers.len() <= edge.options.headers_max {
        return Ok(());
    }
    let detail = format!("a request may have {} headers", edge.options.headers_max);
    Err(Problem::new(Code::HeadersTooLarge, detail))
}

fn answer_purchase(
    edge: &Edge,
    outcome: Result<Bought, Problem>,
    name: &RequestName,
) -> Response<EdgeBody> {
    let bought = match outcome {
        Ok(bought) => bought,
        Err(problem) => {
            edge.metrics.refused(problem.code);
            return render_problem(&problem, name, HeaderMap::with_capacity(8));
        }
    };
    edge.metrics.purchased(bought.replayed);
    let (location, body) = buy::render(&bought.order);
    let mut response = Response::new(Either::Left(Full::new(body)));
    let headers = response.headers_mut();
    headers.reserve(6);
    headers.insert(CONTENT_TYPE, JSON.clone());
    if bought.replayed {
        headers.insert(&IDEMPOTENT_REPLAYED, REPLAYED.clone());
    }
    if let Ok(location) = HeaderValue::from_maybe_shared(location) {
        headers.insert(LOCATION, location);
    }
    common_headers(headers, name);
    if !bought.replayed {
        *response.status_mut() = StatusCode::CREATED;
    }
    response
}

async fn answer_other(
    service: &EdgeService,
    request: Request<Incoming>,
    name: &RequestName,
) -> Response<EdgeBody> {
    let edge = &*service.edge;
    let started_at = edge.clock.elapsed();
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let is_head = request.method() == Method::HEAD;
    let answer = async {
        check_head(edge, request.headers())?;
        let bytes_max = edge.options.body_bytes_max(request.uri().path());
        body::check_length(request.body(), bytes_max)?;
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(BodyBytesMax(bytes_max));
        let answer =
            tokio::time::timeout(edge.options.request_timeout, service.router.call(request));
        match answer.await {
            Ok(Ok(response)) => Ok(response),
            Err(_) if is_safe => {
                Err(Problem::new(Code::Overloaded, "the answer did not come in time"))
            }
            Err(_) => Err(Problem::outcome_unknown()),
        }
    };
    let mut response = match answer.await {
        Ok(mut response) => match response.extensions_mut().remove::<Problem>() {
            None => response.map(|body| Either::Right(Sliced::new(body))),
            Some(problem) => render_problem(&problem, name, std::mem::take(response.headers_mut())),
        },
        Err(problem) => render_problem(&problem, name, HeaderMap::new()),
    };
    common_headers(response.headers_mut(), name);
    if is_head {
        *response.body_mut() = Either::Left(Full::default());
    }
    let status = response.status().as_u16();
    edge.metrics.answered(status, edge.clock.elapsed().saturating_sub(started_at));
    if status >= 500 {
        tracing::warn!(status, request_id = name.as_str(), "request failed");
    }
    response
}

/// Makes a problem's answer. Of `headers` it keeps `Allow`, which says something about the problem.
fn render_problem(
    problem: &Problem,
    name: &RequestName,
    mut headers: HeaderMap,
) -> Response<EdgeBody> {
    let mut body = Vec::with_capacity(384);
    problem.render(name.as_str(), &mut body);
    let allow = headers.remove(ALLOW);
    headers.clear();
    headers.insert(CONTENT_TYPE, PROBLEM_JSON.clone());
    if let Some(allow) = allow {
        headers.insert(ALLOW, allow);
    }
    if let Some(seconds) = problem.code.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.code == Code::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, BEARER.clone());
    }
    common_headers(&mut headers, name);
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(body))));
    *response.status_mut() = problem.code.status();
    *response.headers_mut() = headers;
    response
}

fn common_headers(headers: &mut HeaderMap, name: &RequestName) {
    let name = match name {
        RequestName::Given(value) => Ok(value.clone()),
        RequestName::Made(digits) => HeaderValue::from_bytes(digits),
    };
    if let Ok(name) = name {
        headers.insert(&X_REQUEST_ID, name);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF.clone());
}

struct InFlight<'a>(&'a EdgeMetrics);

impl<'a> InFlight<'a> {
    fn begin(edge: &'a Edge) -> Self {
        edge.metrics.in_flight.fetch_add(1, Relaxed);
        Self(&edge.metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
