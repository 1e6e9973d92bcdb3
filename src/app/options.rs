//! What the configuration says to each part, as that part's options.
//!
//! Must not know the order in which parts start.

use crate::actors::{BackendOptions, EngineOptions, ReaderOptions};
use crate::config::{self, CompatSettle, Config, OnChallengeError, VisitId, WhenExceeded};
use crate::http;
use crate::store::journal::file;
use domain::risk::{Action, Mode, Setting, Settings};
use domain::{ItemId, UserId};
use std::time::Duration;

/// Returns how the engine runs. The clock may be behind the journal by `clock_ahead_max`.
pub fn engine(config: &Config, clock_ahead_max: Duration) -> EngineOptions {
    EngineOptions {
        shards: config.engine.shards,
        virtual_nodes: config.engine.virtual_nodes,
        permits: config.engine.permits as usize,
        reply_timeout: Duration::from_millis(config.engine.reply_timeout_ms),
        clock_ahead_max,
    }
}

/// Returns how the journal's files are made.
pub fn journal(config: &Config) -> file::Options {
    file::Options {
        segment_bytes: config.journal.segment_bytes,
        segments_ahead: usize::from(config.journal.segments_ahead),
        ..file::Options::default()
    }
}

/// Returns how what is behind the sale works.
pub fn backend(config: &Config) -> BackendOptions {
    BackendOptions {
        checkpoint_interval: Duration::from_millis(config.checkpoint.interval_ms),
        journal_check_interval: Duration::from_millis(config.journal.check_interval_ms),
        retention: Duration::from_secs(3_600),
        batch_records: config.broker.batch_records as usize,
        transaction_records: config.orders.batch_records as usize,
        backlog_records_max: config.backlog.records_max,
        refuse_beyond_backlog: config.backlog.when_exceeded == WhenExceeded::Refuse,
    }
}

/// How much of a cluster's log a node keeps in etcd for receivers of events, in MiB: etcd's own quota is 2 GiB, and
/// beyond it nothing is sold.
const CLUSTER_RETAIN_MIB: u32 = 256;

/// Returns how events are read.
pub fn events(config: &Config) -> ReaderOptions {
    let retain_mib = match config.cluster.is_set() {
        true => config.events.retain_mib.min(CLUSTER_RETAIN_MIB),
        false => config.events.retain_mib,
    };
    ReaderOptions {
        source: config.events.source.clone(),
        retain_bytes: u64::from(retain_mib) << 20,
        rush_records_max: config.backlog.records_max / 2,
    }
}

/// Returns the edge's limits, with this many connections.
pub fn http(config: &Config, connections_max: usize) -> http::Options {
    let milliseconds = Duration::from_millis;
    let (settings, grpc) = (&config.http, &config.grpc);
    http::Options {
        connections_max: http::ConnectionsMax {
            all: connections_max,
            of_address: settings.connections_per_address_max as usize,
        },
        client_address: client_address(settings),
        limits: limits(&config.limits),
        risk: risk(&config.risk),
        limits_table_bytes: (config.limits.table_mib as usize) << 20,
        headers_max: settings.headers_max as usize,
        header_bytes_max: settings.header_bytes_max as usize,
        body_bytes_max: settings.body_bytes_max as usize,
        admin_body_bytes_max: settings.admin_body_bytes_max as usize,
        picture_bytes_max: settings.picture_bytes_max as usize,
        buy_body_bytes_max: settings.buy_body_bytes_max as usize,
        unread_bytes_max: http::UnreadBytesMax {
            connection: usize::try_from(settings.connection_unread_bytes_max).unwrap_or(usize::MAX),
            all: usize::try_from(settings.unread_bytes_max).unwrap_or(usize::MAX),
        },
        header_timeout: milliseconds(settings.header_timeout_ms),
        body_timeout: milliseconds(settings.body_timeout_ms),
        write_timeout: milliseconds(settings.write_timeout_ms),
        idle_timeout: milliseconds(settings.idle_timeout_ms),
        request_timeout: milliseconds(settings.request_timeout_ms),
        drain_timeout: milliseconds(settings.drain_timeout_ms),
        http2_streams_max: settings.http2_streams_max,
        http2_resets_max: settings.http2_resets_max as usize,
        event_streams_max: settings.event_streams_max as usize,
        event_streams_per_buyer_max: settings.event_streams_per_buyer_max as usize,
        event_heartbeat: milliseconds(settings.event_heartbeat_ms),
        password_hashes_max: settings.password_hashes_max as usize,
        password_queue_max: settings.password_queue_max as usize,
        allowed_origins: settings.allowed_origins.clone(),
        public_url: settings.public_url.clone(),
        pages: pages(config),
        visitor_id: match config.visits.id {
            VisitId::Random => http::VisitorId::Random,
            VisitId::DailyHash => http::VisitorId::DailyHash,
            VisitId::Off => http::VisitorId::Off,
        },
        token_lifetime_seconds: config.tokens.ttl_seconds,
        buy_token_lifetime: Duration::from_secs(config.buy_token.ttl_seconds),
        challenge: challenge(&config.challenge),
        proof_verifications_max: proof_verifications_max(),
        registration: config.users.registration,
        sandbox_payments: config.payments.sandbox,
        sandbox_delay_max: milliseconds(config.payments.sandbox_delay_ms_max),
        compat: compat(config),
        grpc: grpc.enabled.then_some(http::GrpcOptions { reflection: grpc.reflection }),
    }
}

/// Half of the cores may verify proofs.
fn proof_verifications_max() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (cores / 2).max(1)
}

/// Returns how buyers are challenged.
pub fn challenge(settings: &config::Challenge) -> http::ChallengeOptions {
    http::ChallengeOptions {
        difficulty: http::Difficulty { cost: settings.cost, prefix: settings.prefix.clone() },
        lifetime: Duration::from_secs(settings.ttl_seconds),
        on_error: match settings.on_error {
            OnChallengeError::Proof => http::OnError::Proof,
            OnChallengeError::Refuse => http::OnError::Refuse,
            OnChallengeError::Allow => http::OnError::Allow,
        },
    }
}

fn compat(config: &Config) -> Option<http::CompatOptions> {
    let settings = &config.compat;
    let users = config::named_users(&settings.users).unwrap_or_default();
    settings.enabled.then(|| http::CompatOptions {
        item_id: ItemId(settings.item_id),
        users: users.into_iter().map(|(name, number)| (name, UserId(number))).collect(),
        trusts_user_names: settings.trust_user_names,
        settle: match settings.settle {
            CompatSettle::Paid => http::Settle::Paid,
            CompatSettle::Reserved => http::Settle::Reserved,
        },
    })
}

/// Returns how pages are made and kept.
pub fn pages(config: &Config) -> http::PageOptions {
    let settings = &config.pages;
    http::PageOptions {
        // The configuration allows offsets alone.
        utc_offset: settings.utc_offset.parse().unwrap_or_default(),
        renders_max: usize::from(settings.renders_max),
        rendered_bytes_max: usize::try_from(settings.rendered_bytes_max).unwrap_or(usize::MAX),
        dev_assets: settings.dev_assets.clone(),
    }
}

/// Returns where a client's address is found, and who is believed.
fn client_address(settings: &config::Http) -> http::ClientAddressOptions {
    let source = match settings.client_address {
        config::ClientAddress::Peer => http::ClientAddressSource::Peer,
        config::ClientAddress::XForwardedFor => http::ClientAddressSource::XForwardedFor,
        config::ClientAddress::ProxyProtocol => http::ClientAddressSource::ProxyProtocol,
    };
    let networks = settings.trusted_proxies.split_ascii_whitespace();
    // The configuration was checked.
    let trusted = networks.filter_map(|network| network.parse().ok()).collect();
    http::ClientAddressOptions { source, trusted }
}

/// Returns the rates that callers are held to.
pub fn limits(limits: &config::Limits) -> http::LimitOptions {
    http::LimitOptions {
        user_per_second: limits.user_per_s,
        user_burst: limits.user_burst,
        address_per_second: limits.address_per_s,
        address_burst: limits.address_burst,
        item_per_second: limits.item_per_s,
        global_per_second: limits.global_per_s,
        login_address_per_minute: limits.login_address_per_min,
        login_name_per_minute: limits.login_name_per_min,
        token_user_per_minute: limits.token_user_per_min,
    }
}

/// Returns how the risk rules are set.
pub fn risk(risk: &config::Risk) -> http::RiskOptions {
    let of = |max, window_seconds| http::Threshold { max, window_seconds };
    http::RiskOptions {
        rules: Settings([
            rule(risk.deny_user_mode, risk.deny_user_action),
            rule(risk.deny_address_mode, risk.deny_address_action),
            rule(risk.accounts_per_address_mode, risk.accounts_per_address_action),
            rule(risk.tokens_per_user_mode, risk.tokens_per_user_action),
            rule(risk.failed_challenges_mode, risk.failed_challenges_action),
            rule(risk.account_age_mode, risk.account_age_action),
        ]),
        accounts: of(risk.accounts_per_address_max, risk.accounts_per_address_window_s),
        tokens: of(risk.tokens_per_user_max, risk.tokens_per_user_window_s),
        failed_challenges: of(risk.failed_challenges_max, risk.failed_challenges_window_s),
        account_age_seconds: risk.account_age_s,
    }
}

fn rule(mode: config::RiskMode, action: config::RiskAction) -> Setting {
    let mode = match mode {
        config::RiskMode::Off => Mode::Off,
        config::RiskMode::Shadow => Mode::Shadow,
        config::RiskMode::Enforce => Mode::Enforce,
    };
    let action = match action {
        config::RiskAction::Observe => Action::Observe,
        config::RiskAction::Harder => Action::Harder,
        config::RiskAction::Last => Action::Last,
        config::RiskAction::Deny => Action::Deny,
    };
    Setting { mode, action }
}
