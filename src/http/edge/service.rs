//! The service that answers each request: names the request, sends purchases past the router, calls of gRPC to
//! their services and everything else into it, and gives every answer its common headers and every problem its body.

use super::answer::{AnswerBody, Content};
use super::connection::Connection;
use super::metrics::EdgeMetrics;
use super::purchasing::Purchasing;
use super::request_id::{RequestName, X_REQUEST_ID};
use super::sliced::{SharedBytes, Sliced};
use super::traced::Interface;
use super::unread::{Unread, UnreadBytesMax};
use crate::http::api::buy;
use crate::http::compat;
use crate::http::compat::options::CompatOptions;
use crate::http::grpc::{self, Grpc};
use crate::http::limits::Standing;
use crate::http::pages::problem::Wanted;
use crate::http::problem::{Code, Problem, Repeat};
use crate::http::purchase::Bought;
use crate::http::request::body::{self, BodyBytesMax};
use crate::http::request::head;
use crate::http::request::idempotency_key::{IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED};
use crate::http::state::Edge;
use axum::Router;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

static PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
static JSON: HeaderValue = HeaderValue::from_static("application/json");
static NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
static BEARER: HeaderValue = HeaderValue::from_static("Bearer");
static REPLAYED: HeaderValue = HeaderValue::from_static("true");
/// The edge's state and the router behind it: what a connection hands its requests to.
#[derive(Debug)]
pub struct EdgeService {
    /// The edge's state.
    pub edge: Arc<Edge>,
    /// What is counted of the listener's connections and requests.
    pub metrics: Arc<EdgeMetrics>,
    router: TowerToHyperService<Router>,
    grpc: Option<Grpc>,
    has_purchases: bool,
}

impl EdgeService {
    /// Makes the service of the API: purchases go past its router.
    pub fn of_api(edge: &Arc<Edge>, router: Router) -> Self {
        Self {
            router: TowerToHyperService::new(router),
            metrics: Arc::clone(&edge.metrics),
            grpc: Grpc::new(edge),
            edge: Arc::clone(edge),
            has_purchases: true,
        }
    }

    /// Makes the service of the operations listener. What it is asked counts nowhere: metrics are to
    /// tell of the sale, not of who looks at them.
    pub fn of_operations(edge: &Arc<Edge>, router: Router) -> Self {
        Self {
            router: TowerToHyperService::new(router),
            metrics: Arc::default(),
            edge: Arc::clone(edge),
            grpc: None,
            has_purchases: false,
        }
    }

    /// Returns how clients of the older order service are served, if this is a request of one.
    fn compat<B>(&self, request: &Request<B>) -> Option<&CompatOptions> {
        if self.has_purchases { compat::options_for(&self.edge, request) } else { None }
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
) -> Result<Response<AnswerBody>, Infallible> {
    let edge = &*service.edge;
    let open = connection
        .begin_request(request.version(), request.body().size_hint().exact().unwrap_or(0));
    let _in_flight = InFlight::begin(&service.metrics);
    let number = edge.unique_number();
    let name = RequestName::of(request.headers(), number);
    let page = edge.allowed_origins.look(&request);
    let purchase = if service.has_purchases { buy::named(&request) } else { None };
    let mut response = if let Some(named) = purchase {
        let item_id = named.item_id;
        let purchasing = Purchasing::begin(edge, number, Interface::Http, request.headers());
        let outcome = match head::check(&request, edge.options.headers_max) {
            Ok(()) => buy::buy(edge, &connection, &purchasing, named, request).await,
            Err(problem) => Err(problem),
        };
        purchasing.end(edge, item_id, outcome.as_ref().map(|(bought, _)| bought));
        answer_purchase(outcome, &name)
    } else if let Some(grpc) = service.grpc.as_ref().filter(|_| grpc::is_call(&request)) {
        let response = grpc.answer(edge, &connection, number, request).await;
        let body = |body| Either::Right(Sliced::new(axum::body::Body::new(body), None));
        let mut response = response.map(body);
        common_headers(response.headers_mut(), &name);
        response
    } else if let Some(options) = service.compat(&request) {
        let purchasing = Purchasing::begin(edge, number, Interface::Compat, request.headers());
        let outcome = match head::check(&request, edge.options.headers_max) {
            Ok(()) => compat::pay(edge, options, (&connection, purchasing.trace()), request).await,
            Err(problem) => Err(problem),
        };
        purchasing.end(edge, Some(options.item_id), outcome.as_ref());
        answer_compat(edge, outcome, &name)
    } else {
        answer_other(&service, &connection, request, &name).await
    };
    if let Some(page) = page {
        page.allow(response.headers_mut());
    }
    Ok(response.map(|content| AnswerBody::new(content, open)))
}

fn answer_purchase(
    outcome: Result<(Bought, Option<Standing>), Problem>,
    name: &RequestName,
) -> Response<Content> {
    let (bought, standing) = match outcome {
        Ok(bought) => bought,
        Err(problem) => return render_problem(&problem, name, HeaderMap::with_capacity(8)),
    };
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
    if let Some(standing) = standing {
        standing.tell(headers);
    }
    common_headers(headers, name);
    if !bought.replayed {
        *response.status_mut() = StatusCode::CREATED;
    }
    response
}

/// Makes the answer to a client of the older order service: its envelope, whatever came of the request.
fn answer_compat(
    edge: &Edge,
    outcome: Result<Bought, Problem>,
    name: &RequestName,
) -> Response<Content> {
    let (mut headers, status, body) = match outcome {
        Ok(bought) => {
            let body = compat::render_order(edge, &bought.order);
            (HeaderMap::with_capacity(4), StatusCode::OK, body)
        }
        Err(problem) => {
            let told = compat::told(&problem);
            let mut headers = HeaderMap::with_capacity(8);
            problem_headers(&problem, &mut headers);
            (headers, told.status, compat::render_refusal(edge, told))
        }
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(compat::CONTENT_TYPE));
    common_headers(&mut headers, name);
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

async fn answer_other(
    service: &EdgeService,
    connection: &Arc<Connection>,
    request: Request<Incoming>,
    name: &RequestName,
) -> Response<Content> {
    let edge = &*service.edge;
    let started_at = edge.clock.elapsed();
    let is_head = request.method() == Method::HEAD;
    let wanted = Wanted::of(&edge.site, &request);
    let shown = |problem: &Problem, headers: HeaderMap| {
        let page = wanted.and_then(|wanted| wanted.page(&edge.site, problem, name.as_str()));
        match page {
            None => render_problem(problem, name, headers),
            Some(page) => render_page(problem, page),
        }
    };
    let mut response = match route(service, connection, request).await {
        Ok((mut response, unread)) => match response.extensions_mut().remove::<Problem>() {
            None => response.map(|body| Either::Right(Sliced::new(body, unread))),
            Some(problem) => {
                service.metrics.problem(problem.code);
                shown(&problem, std::mem::take(response.headers_mut()))
            }
        },
        Err(problem) => {
            service.metrics.problem(problem.code);
            shown(&problem, HeaderMap::new())
        }
    };
    common_headers(response.headers_mut(), name);
    if is_head {
        *response.body_mut() = Either::Left(Full::default());
    }
    let status = response.status();
    service.metrics.answered(status.as_u16(), edge.clock.elapsed().saturating_sub(started_at));
    // A refusal is counted. What fails is logged.
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::warn!(status = status.as_u16(), request_id = name.as_str(), "request failed");
    }
    response
}

/// Hands the request to the router, within the limits of time and memory.
async fn route(
    service: &EdgeService,
    connection: &Arc<Connection>,
    request: Request<Incoming>,
) -> Result<(Response<axum::body::Body>, Option<Unread>), Problem> {
    let edge = &*service.edge;
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    head::check(&request, edge.options.headers_max)?;
    let max = edge.options.unread_bytes_max;
    if connection.unread().count() >= max.connection || edge.unread.count() >= max.all {
        return Err(Problem::too_much_unread());
    }
    let repeat = repeat_of(request.uri().path(), request.headers());
    let bytes_max = edge.live_options.body_bytes_max_of(request.uri().path());
    body::check_length(request.body(), bytes_max)?;
    let mut request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(BodyBytesMax(bytes_max));
    request.extensions_mut().insert(Arc::clone(connection));
    let answer = tokio::time::timeout(edge.options.request_timeout, service.router.call(request));
    let response = match answer.await {
        Ok(Ok(response)) => response,
        Err(_) if is_safe => {
            return Err(Problem::new(Code::Overloaded, "the answer did not come in time"));
        }
        Err(_) => return Err(Problem::cut_short(repeat)),
    };
    let is_shared = response.extensions().get::<SharedBytes>().is_some();
    let bytes = response.body().size_hint().exact().filter(|_| !is_shared);
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
    // What was done is told.
    let max = if is_safe { max } else { UnreadBytesMax::NONE };
    let unread = Unread::reserve(bytes, connection.unread(), &edge.unread, max);
    if unread.is_none() {
        return Err(Problem::too_much_unread());
    }
    Ok((response, unread))
}

/// How a request can be repeated, if it is cut short.
fn repeat_of(path: &str, headers: &HeaderMap) -> Repeat {
    /// A picture is named by what it shows, and money by its provider.
    const HARMLESS: [&str; 2] = ["/api/v1/admin/media", "/api/v1/payments/callbacks/"];
    if HARMLESS.iter().any(|known| path.starts_with(known)) {
        Repeat::IsHarmless
    } else if headers.contains_key(&IDEMPOTENCY_KEY) {
        Repeat::ByKey
    } else {
        Repeat::AfterALook
    }
}

/// Makes a problem's answer. Of `headers` it keeps `Allow`, which says something about the problem.
fn render_problem(
    problem: &Problem,
    name: &RequestName,
    mut headers: HeaderMap,
) -> Response<Content> {
    let mut body = Vec::with_capacity(384);
    problem.render(name.as_str(), &mut body);
    let allow = headers.remove(ALLOW);
    headers.clear();
    headers.insert(CONTENT_TYPE, PROBLEM_JSON.clone());
    if let Some(allow) = allow {
        headers.insert(ALLOW, allow);
    }
    problem_headers(problem, &mut headers);
    common_headers(&mut headers, name);
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(body))));
    *response.status_mut() = problem.code.status();
    *response.headers_mut() = headers;
    response
}

/// Adds the headers that say something about a problem.
fn problem_headers(problem: &Problem, headers: &mut HeaderMap) {
    if let Some(seconds) = problem.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(standing) = &problem.standing {
        standing.tell(headers);
    }
    if problem.code == Code::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, BEARER.clone());
    }
}

/// Makes the answer of a problem that a browser shows.
fn render_page(problem: &Problem, page: Response<axum::body::Body>) -> Response<Content> {
    let mut response = page.map(|body| Either::Right(Sliced::new(body, None)));
    if let Some(seconds) = problem.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
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
    fn begin(metrics: &'a EdgeMetrics) -> Self {
        metrics.in_flight.fetch_add(1, Relaxed);
        Self(metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
