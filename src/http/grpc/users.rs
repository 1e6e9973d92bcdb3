//! Who buys: the service `Users`.

use super::call::Call;
use super::status::tell;
use super::view;
use crate::http::api::users;
use crate::http::problem::Problem;
use crate::http::state::Edge;
use proto::v1;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Registers and logs in.
#[derive(Debug)]
pub struct Users(Arc<Edge>);

impl Users {
    /// Makes the service over the edge's state.
    pub fn new(edge: &Arc<Edge>) -> Self {
        Self(Arc::clone(edge))
    }

    async fn create(&self, request: Request<v1::RegisterRequest>) -> Result<v1::User, Problem> {
        let edge = &*self.0;
        let (call, v1::RegisterRequest { user_name, password }) = Call::split(request);
        users::check_registration(edge)?;
        let (user_name, password) = users::check_credentials(user_name, password)?;
        let user_id = users::create_user(edge, call.address(edge), &user_name, password).await?;
        Ok(v1::User { user_id: user_id.0, user_name })
    }

    async fn begin(&self, request: Request<v1::LogInRequest>) -> Result<v1::Session, Problem> {
        let edge = &*self.0;
        let (call, v1::LogInRequest { user_name, password }) = Call::split(request);
        let (user_name, password) = users::check_credentials(user_name, password)?;
        let address = call.address(edge);
        let session = users::begin_session(edge, address, &user_name, &password).await?;
        Ok(v1::Session { token: session.token, expires_at: Some(view::time(session.expires_at)) })
    }
}

#[tonic::async_trait]
impl v1::users_server::Users for Users {
    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::User>, Status> {
        tell(&self.0, self.create(request).await)
    }

    async fn log_in(
        &self,
        request: Request<v1::LogInRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        tell(&self.0, self.begin(request).await)
    }
}
