//! The shop over gRPC: the operations of the API, at the same port and behind the same limits.
//!
//! A call comes over HTTP/2 with `application/grpc` as its content, and is answered by one of the services here,
//! a file each: what they do is what the API's handlers do, by the same functions. `call` reads what a call says
//! beside its message, `deadline` how long it may take, `status` makes a problem what gRPC calls a status, and
//! `view` shows what there is. `health` and `reflection` are the services that every client of gRPC knows, and
//! `watched` ends those of their answers that have no end.
//! The messages are the crate `proto`.
//!
//! Must not decide anything that the API does not decide in the same way.

mod call;
mod deadline;
mod health;
pub mod options;
mod orders;
mod reflection;
mod sales;
mod status;
mod users;
mod view;
mod watched;

use super::edge::connection::Connection;
use super::edge::unread::UnreadBytesMax;
use super::problem::{Code, Problem};
use super::request::head;
use super::state::Edge;
use call::About;
use deadline::Deadline;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::service::Service as _;
use hyper::{Request, Response, Version};
use hyper_util::service::TowerToHyperService;
use proto::v1::orders_server::OrdersServer;
use proto::v1::sales_server::SalesServer;
use proto::v1::users_server::UsersServer;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use watched::Watched;

/// What the content of every call begins with.
const CONTENT: &[u8] = b"application/grpc";
/// The calls that change something: of one that takes too long the outcome is not known.
const CHANGES: &[&str] = &[
    "/seckill.v1.Orders/Buy",
    "/seckill.v1.Orders/Cancel",
    "/seckill.v1.Orders/Pay",
    "/seckill.v1.Users/Register",
];

/// The answers without an end of their own, which are not a buyer's.
const ENDLESS: &[&str] = &[
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// How many of those there may be at a time.
const ENDLESS_MAX: usize = 64;

/// The services of the shop, as they are called.
#[derive(Clone, Debug)]
pub struct Grpc {
    routes: TowerToHyperService<Routes>,
    /// Places for answers without an end of their own.
    endless: Arc<Semaphore>,
}

/// Returns whether the request is a call.
pub fn is_call<B>(request: &Request<B>) -> bool {
    let has_content = |headers: &HeaderMap| {
        headers.get(CONTENT_TYPE).is_some_and(|content| content.as_bytes().starts_with(CONTENT))
    };
    request.version() == Version::HTTP_2 && has_content(request.headers())
}

impl Grpc {
    /// Makes the services, if the edge's options have them.
    pub fn new(edge: &Arc<Edge>) -> Option<Self> {
        let options = edge.options.grpc?;
        let sales = SalesServer::new(sales::Sales::new(edge));
        let orders = OrdersServer::new(orders::Orders::new(edge));
        let users = UsersServer::new(users::Users::new(edge));
        let health = HealthServer::new(health::Health::new(edge));
        let mut routes = Routes::default()
            .add_service(sales.max_decoding_message_size(status::MESSAGE_BYTES_MAX))
            .add_service(orders.max_decoding_message_size(status::MESSAGE_BYTES_MAX))
            .add_service(users.max_decoding_message_size(status::MESSAGE_BYTES_MAX))
            .add_service(health.max_decoding_message_size(status::MESSAGE_BYTES_MAX));
        if options.reflection {
            routes = reflection::add_to(routes);
        }
        let routes = TowerToHyperService::new(routes.prepare());
        Some(Self { routes, endless: Arc::new(Semaphore::new(ENDLESS_MAX)) })
    }

    /// Answers a call, the request of this number, within the limits of time and memory.
    pub async fn answer<B>(
        &self,
        edge: &Edge,
        connection: &Arc<Connection>,
        number: u64,
        request: Request<B>,
    ) -> Response<Body>
    where
        B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let answered = self.route(edge, connection, number, request).await;
        let response = answered.unwrap_or_else(|status| status.into_http());
        let code = response
            .headers()
            .get(status::STATUS)
            .map_or(tonic::Code::Ok, |code| tonic::Code::from_bytes(code.as_bytes()));
        edge.metrics.grpc_answered(code as usize);
        response
    }

    async fn route<B>(
        &self,
        edge: &Edge,
        connection: &Arc<Connection>,
        number: u64,
        mut request: Request<B>,
    ) -> Result<Response<Body>, Status>
    where
        B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let deadline = admit(edge, connection, &request).map_err(|problem| {
            edge.metrics.problem(problem.code);
            status::of(&problem)
        })?;
        let path = request.uri().path();
        let changes = CHANGES.contains(&path);
        let place = if ENDLESS.contains(&path) {
            let place = Arc::clone(&self.endless).try_acquire_owned();
            Some(place.map_err(|_| Status::resource_exhausted("too many are watching"))?)
        } else {
            None
        };
        request.extensions_mut().insert(About {
            connection: Arc::clone(connection),
            number,
            ends_after: deadline.of_caller,
        });
        match tokio::time::timeout(deadline.of_answer, self.routes.call(request)).await {
            Ok(Ok(response)) => {
                if let Some(problem) = status::unreadable(response.headers()) {
                    edge.metrics.problem(problem.code);
                    return Err(status::of(&problem));
                }
                Ok(match place {
                    None => response,
                    Some(place) => response
                        .map(|body| Body::new(Watched::new(body, edge.shutdown.clone(), place))),
                })
            }
            Ok(Err(never)) => match never {},
            Err(_) => {
                let problem = if changes {
                    Problem::outcome_unknown()
                } else {
                    Problem::new(Code::Overloaded, "the answer did not come in time")
                };
                edge.metrics.problem(problem.code);
                Err(status::deadline_exceeded(&problem))
            }
        }
    }
}

/// Lets a call in. Returns how long it may take.
fn admit<B>(
    edge: &Edge,
    connection: &Connection,
    request: &Request<B>,
) -> Result<Deadline, Problem> {
    head::check(request, edge.options.headers_max)?;
    let UnreadBytesMax { connection: of_connection, all } = edge.options.unread_bytes_max;
    if connection.unread().count() >= of_connection || edge.unread.count() >= all {
        return Err(Problem::too_much_unread());
    }
    Deadline::of(request.headers(), edge.options.request_timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_its_content_over_http_2() {
        for (version, content, expected) in [
            (Version::HTTP_2, Some("application/grpc"), true),
            (Version::HTTP_2, Some("application/grpc+proto"), true),
            (Version::HTTP_2, Some("application/json"), false),
            (Version::HTTP_2, None, false),
            (Version::HTTP_11, Some("application/grpc"), false),
        ] {
            let mut request = Request::builder().version(version);
            if let Some(content) = content {
                request = request.header(CONTENT_TYPE, content);
            }
            let request = request.body(()).expect("a request");
            assert_eq!(is_call(&request), expected, "{version:?} {content:?}");
        }
    }
}
