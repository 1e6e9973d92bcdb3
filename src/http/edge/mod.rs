//! The way in: the listening sockets, their connections, and the service that answers each request.

pub mod answer;
mod calls;
pub mod connection;
pub mod connections;
pub mod cors;
pub mod counted;
pub mod funnels;
pub mod metrics;
pub mod payments;
pub mod proxy_protocol;
pub mod purchasing;
pub mod refusal;
pub mod request_id;
mod rewound;
pub mod server;
pub mod service;
pub mod sliced;
pub mod tls;
pub mod traced;
pub mod unread;
