//! What a call says beside its message: who calls, and from where.

use crate::http::address;
use crate::http::auth::bearer::{self, BuyerSession};
use crate::http::edge::connection::Connection;
use crate::http::problem::Problem;
use crate::http::state::Edge;
use domain::{Address, UserId};
use hyper::HeaderMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::Request;

/// What the edge knows of a call: an extension of its request.
#[derive(Clone, Debug)]
pub struct About {
    /// The connection that it came over.
    pub connection: Arc<Connection>,
    /// A number that no other request of this process has.
    pub number: u64,
    /// How long the caller waits, if it said so.
    pub ends_after: Option<Duration>,
}

/// A call without its message.
#[derive(Clone, Debug)]
pub struct Call {
    /// What the edge knows of it.
    pub about: About,
    headers: HeaderMap,
}

impl Call {
    /// Splits a request into the call and its message.
    pub fn split<M>(request: Request<M>) -> (Self, M) {
        let (metadata, mut extensions, message) = request.into_parts();
        // The edge adds it to each.
        let about = extensions.remove::<About>().unwrap_or_else(|| About {
            connection: Arc::default(),
            number: 1,
            ends_after: None,
        });
        (Self { about, headers: metadata.into_headers() }, message)
    }

    /// Returns what was said beside the message.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns whose address it comes from.
    pub fn address(&self, edge: &Edge) -> Address {
        address::client_of(edge, &self.about.connection, &self.headers)
    }

    /// Returns the buyer who calls. A cookie is none: it is a browser's.
    ///
    /// # Errors
    /// Returns an `unauthenticated` problem if no token is accepted, and a `forbidden` one if it is an
    /// operator's.
    pub async fn buyer(&self, edge: &Edge) -> Result<UserId, Problem> {
        bearer::buyer_in_header(edge, &self.headers).await
    }

    /// Returns the session of the buyer who calls, for an answer that goes on.
    ///
    /// # Errors
    /// Returns the problems of [`Self::buyer`].
    pub async fn session(&self, edge: &Edge) -> Result<BuyerSession, Problem> {
        BuyerSession::of(edge, bearer::in_header(&self.headers)?).await
    }
}
