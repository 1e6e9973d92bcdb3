//! What all connections and handlers share.
//!
//! Must not know the routes, nor how a request is served.

use super::api::event_streams::EventStreams;
use super::api::read_rate::ReadRate;
use super::api::titles::Titles;
use super::applied::Applied;
use super::auth::ended::EndedSessions;
use super::auth::password::Passwords;
use super::auth::token::Signer;
use super::buy_token::BuyTokens;
use super::challenge::Challenges;
use super::challenge::external::External;
use super::edge::cors::AllowedOrigins;
use super::edge::metrics::EdgeMetrics;
use super::edge::request_id::UniqueNumbers;
use super::edge::unread::UnreadBytes;
use super::identity::site::Site;
use super::limits::Limits;
use super::live::SettingsRules;
use super::live_options::LiveOptions;
use super::oidc::{Oidc, OidcOptions};
use super::options::{EXPORTS_MAX, Options};
use super::pages::assets::Assets;
use super::pages::live::board::Board;
use super::pages::pictures::Pictures;
use super::pages::rendered::RenderedPages;
use super::pages::visits::Visits;
use super::payments::provider::PaymentProvider;
use super::request::picture::Studio;
use super::risk::Risk;
use crate::actors::{Engine, LiveSettings, Webhooks};
use crate::clock::Clock;
use crate::sales::Sales;
use crate::telemetry::traces::Tracer;
use hyper::http::Extensions;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What the composition root gives to the edge.
#[derive(Clone)]
pub struct AppState {
    /// The engine, which decides purchases and all that changes stock.
    pub engine: Engine,
    /// The orders, sales, users and the operators' log, as far as they are stored.
    pub sales: Sales,
    /// What operators change while the shop runs.
    pub settings: LiveSettings,
    /// What that may be.
    pub settings_rules: Arc<dyn SettingsRules>,
    /// Signs and verifies tokens.
    pub signer: Signer,
    /// Who shows and judges the challenges that are not proofs of work, if anybody does.
    pub external: Option<Arc<External>>,
    /// Who takes the buyers' money, if anybody does.
    pub provider: Option<Arc<PaymentProvider>>,
    /// Who is told the shop's events by webhooks.
    pub webhooks: Webhooks,
    /// What is accepted of the mall's own issuer, if there is one.
    pub oidc: Option<OidcOptions>,
    /// Measures durations; the time that decides comes from the engine.
    pub clock: Clock,
    /// Renders the rest of the process's metrics in Prometheus text form; they are shown after the
    /// edge's own.
    pub render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The live figures, with the history of before.
    pub board: Arc<Board>,
}

impl fmt::Debug for AppState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AppState")
    }
}

/// That a request came to the operations listener: an extension of the request.
#[derive(Clone, Copy, Debug)]
pub struct OnOperations;

/// The edge's state, one for all connections.
pub struct Edge {
    /// The engine, which decides purchases and all that changes stock.
    pub engine: Engine,
    /// The orders, sales, users and the operators' log, as far as they are stored.
    pub sales: Sales,
    /// What operators change while the shop runs.
    pub settings: LiveSettings,
    /// What that may be.
    pub settings_rules: Arc<dyn SettingsRules>,
    /// Signs and verifies tokens.
    pub signer: Signer,
    /// Sessions that are over before their tokens expire.
    pub ended_sessions: Arc<EndedSessions>,
    /// Makes buy tokens and tells whether they are good.
    pub buy_tokens: BuyTokens,
    /// Gives out challenges and has solutions judged.
    pub challenges: Challenges,
    /// Who takes the buyers' money, if anybody does.
    pub provider: Option<Arc<PaymentProvider>>,
    /// Who is told the shop's events by webhooks.
    pub webhooks: Webhooks,
    /// Accepts tokens of the mall's own issuer, if there is one.
    pub oidc: Option<Oidc>,
    /// Measures durations; the time that decides comes from the engine.
    pub clock: Clock,
    /// Picks the purchases that are traced: the engine's, without the way to it.
    pub tracer: Tracer,
    /// Renders the rest of the process's metrics in Prometheus text form.
    pub render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The edge's limits, as they were at the start.
    pub options: Options,
    /// Those of them that are changed while the shop runs.
    pub live_options: LiveOptions,
    /// What was applied of the settings that are changed while the shop runs.
    pub applied: Applied,
    /// The edge's own counters.
    pub metrics: Arc<EdgeMetrics>,
    /// Bytes of answers that no client has taken yet.
    pub unread: Arc<UnreadBytes>,
    /// The origins whose pages may use the API.
    pub allowed_origins: AllowedOrigins,
    /// The rates that callers are held to, and what was counted of them.
    pub limits: Arc<Limits>,
    /// The risk rules, and what was counted for them.
    pub risk: Arc<Risk>,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// The titles of items, as the catalogue has them.
    pub titles: Titles,
    /// A place for each export that may run at the same time.
    pub exports: Arc<Semaphore>,
    /// The pictures that were asked for last.
    pub pictures: Pictures,
    /// Makes pictures small, one at a time.
    pub studio: Studio,
    /// The server-sent event streams that are open.
    pub event_streams: Arc<EventStreams>,
    /// How often items are looked at.
    pub read_rate: ReadRate,
    /// Where browsers find the shop.
    pub site: Site,
    /// Where those who run the shop find it: at what their requests name, whatever the public URL is.
    operations_site: Site,
    /// Hashes and verifies the passwords of operators, for whom buyers must not have to wait.
    pub operator_passwords: Passwords,
    /// The files that pages refer to.
    pub assets: Assets,
    /// Pages that are the same for every visitor.
    pub rendered: RenderedPages,
    /// The live figures and their history.
    pub board: Arc<Board>,
    /// The views of pages.
    pub visits: Arc<Visits>,
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
            tracer: state.engine.tracer().clone(),
            engine: state.engine,
            sales: state.sales,
            settings: state.settings,
            applied: Applied::begin(state.settings_rules.as_ref()),
            settings_rules: state.settings_rules,
            live_options: LiveOptions::new(&options),
            ended_sessions: Arc::default(),
            buy_tokens: BuyTokens::new(&state.signer),
            challenges: Challenges::new(
                &state.signer,
                state.external,
                &options.challenge,
                options.proof_verifications_max,
            ),
            signer: state.signer,
            provider: state.provider,
            webhooks: state.webhooks,
            oidc: state.oidc.map(Oidc::new),
            clock: state.clock,
            render_metrics: state.render_metrics,
            metrics: Arc::default(),
            unread: Arc::default(),
            allowed_origins: AllowedOrigins::new(&options.allowed_origins),
            limits: Arc::new(Limits::new(&options.limits, options.limits_table_bytes)),
            risk: Arc::new(Risk::new(&options.risk, options.limits_table_bytes)),
            passwords: Passwords::new(&options),
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            titles: Titles::default(),
            pictures: Pictures::default(),
            studio: Studio::default(),
            event_streams: Arc::new(EventStreams::new(
                options.event_streams_max,
                options.event_streams_per_buyer_max,
            )),
            read_rate: ReadRate::default(),
            site: Site::new(options.public_url.as_deref()),
            operations_site: Site::default(),
            operator_passwords: Passwords::of_operators(),
            assets: Assets::new(options.pages.dev_assets.clone()),
            rendered: RenderedPages::new(
                options.pages.renders_max,
                options.pages.rendered_bytes_max,
            ),
            board: state.board,
            visits: Arc::default(),
            shutdown,
            numbers: UniqueNumbers::new(),
            options,
        }
    }

    /// Returns where the sender of a request with these extensions finds the shop.
    pub fn site_of(&self, extensions: &Extensions) -> &Site {
        self.site_at(extensions.get().copied())
    }

    /// Returns where the sender of a request that came in there finds the shop.
    pub fn site_at(&self, listener: Option<OnOperations>) -> &Site {
        match listener {
            Some(OnOperations) => &self.operations_site,
            None => &self.site,
        }
    }

    /// Returns a number that no other request of this process gets, never 0.
    pub fn unique_number(&self) -> u64 {
        self.numbers.next()
    }
}
