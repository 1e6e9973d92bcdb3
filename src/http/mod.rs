//! The edge: HTTP in, commands to the engine, answers out.
//!
//! `server.rs` holds the socket and its connections, `edge.rs` is the one way in, `buy.rs` the
//! purchase that goes past the router, `routes.rs` the table of everything else, one file per
//! resource behind it. `error.rs` is the one map to status and problem.
//!
//! Knows the actors' handles and the domain, and must not know where anything is stored.

mod admin;
mod admission;
mod body;
mod buy;
mod connection;
mod document;
mod edge;
pub mod error;
mod events;
mod extract;
mod health;
mod items;
mod metrics;
mod options;
mod order_view;
mod orders;
mod password;
mod request_id;
mod routes;
mod sales;
mod server;
mod sliced;
mod time;
pub mod timestamp;
pub mod token;
mod users;

pub use edge::AppState;
pub use options::Options;
pub use server::serve;
pub use token::{Principal, Role, Signer, TokenError};
