//! What the configuration says to each part, as that part's options.
//!
//! Must not know the order in which parts start.

use crate::actors::{BackendOptions, EngineOptions};
use crate::config::{Config, WhenExceeded};
use crate::http;
use crate::store::journal::file;
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

/// Returns the edge's limits, with this many connections.
pub fn http(config: &Config, connections_max: usize) -> http::Options {
    let milliseconds = Duration::from_millis;
    let settings = &config.http;
    http::Options {
        connections_max: http::ConnectionsMax {
            all: connections_max,
            of_address: settings.connections_per_address_max as usize,
        },
        headers_max: settings.headers_max as usize,
        header_bytes_max: settings.header_bytes_max as usize,
        body_bytes_max: settings.body_bytes_max as usize,
        admin_body_bytes_max: settings.admin_body_bytes_max as usize,
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
        token_lifetime_seconds: config.tokens.ttl_seconds,
        sandbox_payments: config.payments.sandbox,
        sandbox_delay_max: milliseconds(config.payments.sandbox_delay_ms_max),
    }
}
