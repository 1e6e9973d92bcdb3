//! The HTTP edge: requests in, commands to the engine, answers out.
//!
//! `routes.rs` is the table of routes and `state.rs` what handlers share. `edge/` has the socket, its
//! connections and the service that every request goes through; `auth/` verifies who calls, `oidc/` the tokens of a
//! mall's own issuer,
//! `identity/` what a browser's visitor is known by, `request/` reads what a request says, `problem/` tells what is wrong with it. The handlers are in
//! `api/` (buyers and the public), `admin/` (operators) and `pages/` (browsers), a file per resource;
//! `api/buy.rs` has the purchase, which does not go through the router, and `purchase.rs` what all
//! interfaces do with one; `payments/` is how orders are paid. `grpc/` has the same operations over gRPC, and `compat.rs` speaks as an older order service did. `operations.rs` is for those who run the shop, on a listener of its own.
//!
//! Knows the actors' handles, the sales and the domain. Must not know where anything is stored.

mod address;
mod admin;
mod admit;
mod api;
mod applied;
mod apply;
mod auth;
mod buy_token;
mod challenge;
mod compat;
mod document;
mod edge;
mod forwarded;
#[cfg(fuzzing)]
pub mod fuzzing;
mod grpc;
mod identity;
mod illustration;
pub mod limits;
mod live;
mod live_options;
mod oidc;
mod operations;
mod options;
mod pages;
mod payments;
mod problem;
mod purchase;
mod request;
pub mod risk;
mod routes;
mod state;
pub mod timestamp;

pub use crate::actors::SharedSecret;
pub use auth::operator_name;
pub use auth::token::{Principal, Role, SecretTooShort, Signer, TokenError};
pub use buy_token::{BuyToken, BuyTokens, NotGood};
pub use challenge::external::{Account, External, Provider};
pub use challenge::proof::Difficulty;
pub use challenge::{ChallengeOptions, OnError};
pub use compat::options::{CompatOptions, Settle};
pub use edge::server::{Listeners, serve};
pub use edge::tls::{CertificateFiles, Tls, TlsError};
pub use edge::unread::UnreadBytesMax;
pub use forwarded::{ClientAddressOptions, ClientAddressSource};
pub use grpc::options::GrpcOptions;
pub use identity::link as operator_link;
pub use limits::LimitOptions;
pub use live::NAMES as LIVE_DOCUMENTS;
pub use live::{LiveDocument, NotAllowed, SettingField, SettingsRules};
pub use live_options::EdgeLimits;
pub use oidc::{Algorithm, BadKeys, Expected, KeySet, OidcOptions};
pub use options::{ConnectionsMax, Options, PageOptions};
pub use pages::export::{ExportedFile, NotExported, export, public_sales};
pub use pages::live::board::Board;
pub use pages::times::UtcOffset;
pub use pages::visits::VisitorId;
pub use payments::provider::PaymentProvider;
pub use risk::{RiskOptions, Threshold};
pub use state::AppState;
