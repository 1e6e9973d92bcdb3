//! What all connections and handlers share.
//!
//! Must not know the routes, nor how a request is served.

use super::api::event_streams::EventStreams;
use super::api::titles::Titles;
use super::auth::password::Passwords;
use super::auth::token::Signer;
use super::edge::cors::AllowedOrigins;
use super::edge::metrics::EdgeMetrics;
use super::edge::request_id::UniqueNumbers;
use super::edge::unread::UnreadBytes;
use super::options::Options;
use crate::actors::Engine;
use crate::clock::Clock;
use crate::sales::Sales;
use std::fmt;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What the composition root gives to the edge.
#[derive(Clone)]
pub struct AppState {
    /// The engine, which decides purchases and all that changes stock.
    pub engine: Engine,
    /// The orders, sales, users and the operators' log, as far as they are stored.
    pub sales: Sales,
    /// Signs and verifies tokens.
    pub signer: Signer,
    /// Measures durations; the time that decides comes from the engine.
    pub clock: Clock,
    /// Renders the rest of the process's metrics in Prometheus text form; they are shown after the
    /// edge's own.
    pub render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl fmt::Debug for AppState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AppState")
    }
}

/// The edge's state, one for all connections.
pub struct Edge {
    /// The engine, which decides purchases and all that changes stock.
    pub engine: Engine,
    /// The orders, sales, users and the operators' log, as far as they are stored.
    pub sales: Sales,
    /// Signs and verifies tokens.
    pub signer: Signer,
    /// Measures durations; the time that decides comes from the engine.
    pub clock: Clock,
    /// Renders the rest of the process's metrics in Prometheus text form.
    pub render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The edge's limits.
    pub options: Options,
    /// The edge's own counters.
    pub metrics: Arc<EdgeMetrics>,
    /// Bytes of answers that no client has taken yet.
    pub unread: Arc<UnreadBytes>,
    /// The origins whose pages may use the API.
    pub allowed_origins: AllowedOrigins,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// The titles of items, as the catalogue has them.
    pub titles: Titles,
    /// The server-sent event streams that are open.
    pub event_streams: Arc<EventStreams>,
    /// Cancelled when the server begins to drain.
    pub shutdown: CancellationToken,
    numbers: UniqueNumbers,
}

impl fmt::Debug for Edge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Edge")
    }
}

impl Edge {
    /// Makes the edge's state over `state`, with no request under way.
    pub fn new(state: AppState, options: Options, shutdown: CancellationToken) -> Self {
        Self {
            engine: state.engine,
            sales: state.sales,
            signer: state.signer,
            clock: state.clock,
            render_metrics: state.render_metrics,
            metrics: Arc::default(),
            unread: Arc::default(),
            allowed_origins: AllowedOrigins::new(&options.allowed_origins),
            passwords: Passwords::new(&options),
            titles: Titles::default(),
            event_streams: Arc::new(EventStreams::new(
                options.event_streams_max,
                options.event_streams_per_buyer_max,
            )),
            shutdown,
            numbers: UniqueNumbers::new(),
            options,
        }
    }

    /// Returns a number that no other request of this process gets, never 0.
    pub fn unique_number(&self) -> u64 {
        self.numbers.next()
    }
}
