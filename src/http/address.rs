//! The address that a request comes from, for handlers.
//!
//! `forwarded.rs` says whom to believe. Must not know what the address is used for.

use super::edge::connection::Connection;
use super::state::Edge;
use axum::extract::FromRequestParts;
use domain::Address;
use hyper::HeaderMap;
use hyper::http::request::Parts;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Returns whose address a request over the connection comes from.
pub fn client_of(edge: &Edge, connection: &Connection, headers: &HeaderMap) -> Address {
    // A connection that serves requests knows where it comes from.
    let unknown = || Address::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let peer = connection.peer().unwrap_or_else(unknown);
    edge.options.client_address.client(peer, headers)
}

/// The address that a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub Address);

impl FromRequestParts<Arc<Edge>> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Infallible> {
        let connection = parts.extensions.get::<Arc<Connection>>().cloned().unwrap_or_default();
        Ok(Self(client_of(edge, &connection, &parts.headers)))
    }
}
