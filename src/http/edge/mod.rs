//! The way in: the listening socket, its connections, and the service that answers each request.

pub mod connection;
pub mod metrics;
pub mod request_id;
pub mod server;
pub mod service;
pub mod sliced;
