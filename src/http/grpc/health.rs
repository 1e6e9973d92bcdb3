//! Whether the shop sells, as the health service of gRPC tells it.

use crate::http::api::health::ReadyStatus;
use crate::http::state::Edge;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use proto::v1::orders_server::SERVICE_NAME as ORDERS;
use proto::v1::sales_server::SERVICE_NAME as SALES;
use proto::v1::users_server::SERVICE_NAME as USERS;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};
use tonic_health::pb;
use tonic_health::pb::health_check_response::ServingStatus;

/// The time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Tells how the shop does.
#[derive(Debug)]
pub struct Health(Arc<Edge>);

impl Health {
    /// Makes the service over the edge's state.
    pub fn new(edge: &Arc<Edge>) -> Self {
        Self(Arc::clone(edge))
    }
}

/// How a service does: all of them as the shop does. One that there is not is none.
fn status(edge: &Edge, service: &str) -> Option<ServingStatus> {
    let is_known = ["", SALES, ORDERS, USERS].contains(&service);
    is_known.then(|| match ReadyStatus::now(edge) {
        ReadyStatus::Ready | ReadyStatus::Degraded => ServingStatus::Serving,
        ReadyStatus::NotReady => ServingStatus::NotServing,
    })
}

fn response(status: ServingStatus) -> pb::HealthCheckResponse {
    pb::HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl pb::health_server::Health for Health {
    async fn check(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<pb::HealthCheckResponse>, Status> {
        let found = status(&self.0, &request.get_ref().service);
        let status = found.ok_or_else(|| Status::not_found("there is no such service"))?;
        Ok(Response::new(response(status)))
    }

    type WatchStream = BoxStream<'static, Result<pb::HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let edge = Arc::clone(&self.0);
        let service = request.into_inner().service;
        let watched = stream::unfold(None, move |told| {
            let (edge, service) = (Arc::clone(&edge), service.clone());
            async move {
                loop {
                    let now = status(&edge, &service).unwrap_or(ServingStatus::ServiceUnknown);
                    if told != Some(now) {
                        return Some((Ok(response(now)), Some(now)));
                    }
                    tokio::time::sleep(PERIOD).await;
                }
            }
        });
        Ok(Response::new(watched.boxed()))
    }
}
