//! The HTTP edge: requests in, commands to the engine, answers out.
//!
//! `routes.rs` is the table of routes and `state.rs` what handlers share. `edge/` has the socket, its
//! connections and the service that every request goes through; `auth/` verifies who calls,
//! `request/` reads what a request says, `problem/` tells what is wrong with it. The handlers are in
//! `api/` (buyers and the public), `admin/` (operators) and `pages/` (browsers), a file per resource;
//! `api/buy.rs` has the purchase, which does not go through the router. `operations.rs` is for those who
//! run the shop, on a listener of its own.
//!
//! Knows the actors' handles, the sales and the domain. Must not know where anything is stored.

mod admin;
mod api;
mod auth;
mod document;
mod edge;
mod illustration;
mod operations;
mod options;
mod pages;
mod problem;
mod request;
mod routes;
mod state;
pub mod timestamp;

pub use auth::operator_name;
pub use auth::token::{Principal, Role, SecretTooShort, Signer, TokenError};
pub use edge::server::{Listeners, serve};
pub use edge::unread::UnreadBytesMax;
pub use options::{ConnectionsMax, Options};
pub use state::AppState;
