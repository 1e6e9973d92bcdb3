//! The HTTP edge: requests in, commands to the engine, answers out.
//!
//! `routes.rs` is the table of routes and `state.rs` what handlers share. `edge/` has the socket, its
//! connections and the service that every request goes through; `auth/` verifies who calls,
//! `request/` reads what a request says, `problem/` tells what is wrong with it. The handlers are in
//! `api/` (buyers and the public), `admin/` (operators) and `pages/` (browsers), a file per resource;
//! `api/buy.rs` has the purchase, which does not go through the router.
//!
//! Knows the actors' handles, the sales and the domain. Must not know where anything is stored.

mod admin;
mod api;
mod auth;
mod document;
mod edge;
mod options;
mod pages;
mod problem;
mod request;
mod routes;
mod state;
pub mod timestamp;

pub use auth::operator_name;
pub use auth::token::{Principal, Role, SecretTooShort, Signer, TokenError};
pub use edge::server::serve;
pub use options::Options;
pub use state::AppState;
