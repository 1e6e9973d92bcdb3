//! The catalogue of metric names, and the recorder that collects them.
//!
//! Every name is declared here once, with its kind, unit and help text; code that counts uses the
//! constants. Names carry base units, counters end in `_total`, and no label ever holds a user, an
//! order or a request, so that the number of time series stays bounded. Must not know what counts.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Installs the process's recorder, which collects metrics from here on. To be called once in a
/// process, before anything is counted.
///
/// The handle renders what was collected, for `/metrics`. The owner has to call its `run_upkeep`
/// every few seconds: observations of histograms pile up until that, or a rendering, folds them in.
///
/// # Errors
/// Returns [`BuildError`] if the process has a recorder already.
pub fn start() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
        .install_recorder()?;
    describe();
    begin_at_zero();
    Ok(handle)
}

/// Upper bounds of the histograms' buckets: from 50 µs, which is below one sync of a good disk, to ten seconds.
const SECONDS_BUCKETS: [f64; 17] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
    2.5, 5.0, 10.0,
];

/// How the values of a metric behave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// A number that only grows while the process lives.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// A distribution of observations over buckets.
    Histogram,
}

impl MetricKind {
    /// The word for it in the Prometheus text format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric as the catalogue declares it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, under which Prometheus knows it.
    pub name: &'static str,
    /// How its values behave.
    pub kind: MetricKind,
    /// The unit of its values.
    pub unit: Unit,
    /// What it tells an operator, with its labels.
    pub help: &'static str,
}

impl Metric {
    /// The metric of this name, if the catalogue has it.
    pub fn named(name: &str) -> Option<&'static Self> {
        METRICS.iter().find(|metric| metric.name == name)
    }
}

/// Declares each name as a constant, and the catalogue of all of them.
macro_rules! metrics_catalogue {
    ($($constant:ident, $kind:ident, $unit:ident: $name:literal, $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// Every metric of the process.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $constant,
            kind: MetricKind::$kind,
            unit: Unit::$unit,
            help: $help,
        }),*];
    };
}

metrics_catalogue! {
    BUILD_INFO, Gauge, Count: "seckill_build_info",
        "Always 1: the program's version.";
    ACCEPTING, Gauge, Count: "seckill_accepting",
        "1 as far as this reason goes, by reason; 0 means that it keeps all purchases out.";
    SALE_STARTS_TIMESTAMP_SECONDS, Gauge, Seconds: "seckill_sale_starts_timestamp_seconds",
        "When a sale that was approved begins, in seconds since 1970, by sale and whether it is preheated.";
    PERMITS, Gauge, Count: "seckill_permits",
        "Requests that may be in the engine at once.";
    PERMITS_USED, Gauge, Count: "seckill_permits_used",
        "Requests in the engine: near seckill_permits, new ones are refused with 503.";
    MAILBOX_DEPTH, Gauge, Count: "seckill_mailbox_depth",
        "Requests that wait in the shards' mailboxes.";
    MAILBOX_WAIT_SECONDS, Histogram, Seconds: "seckill_mailbox_wait_seconds",
        "How long the oldest request of a batch had waited in its shard's mailbox.";
    MAILBOX_BATCH_REQUESTS, Histogram, Count: "seckill_mailbox_batch_requests",
        "Requests that a shard took out of its mailbox at once.";
    PURCHASES_ADMITTED_TOTAL, Counter, Count: "seckill_purchases_admitted_total",
        "Purchases that a shard decided: nothing in front of it had refused them.";
    ORDER_CHANGES_TOTAL, Counter, Count: "seckill_order_changes_total",
        "Orders that came to a status, by status: reserved, paid, cancelled, expired or refund_due.";
    STOCK_IMBALANCED_ITEMS, Gauge, Count: "seckill_stock_imbalanced_items",
        "Items whose available, reserved and sold units do not sum to allotted: each is a defect.";
    BUCKETS_AWAY, Gauge, Count: "seckill_buckets_away",
        "Buckets of items that have others here, whose nodes do not answer: their units are not known.";
    BUCKET_UNITS_UNDER_WAY, Gauge, Count: "seckill_bucket_units_under_way",
        "Units that one bucket of an item has sent and the other one has not received yet.";
    BUCKET_TRANSFERS_TOTAL, Counter, Count: "seckill_bucket_transfers_total",
        "Times units went from one bucket of an item to another one, which had none left.";
    BUCKET_UNITS_MOVED_TOTAL, Counter, Count: "seckill_bucket_units_moved_total",
        "Units that went from one bucket of an item to another one.";
    SHARDS, Gauge, Count: "seckill_shards",
        "Shards configured.";
    SHARDS_UP, Gauge, Count: "seckill_shards_up",
        "Shards that decide; fewer than seckill_shards means that some products cannot be bought.";
    SHARDS_UNOWNED, Gauge, Count: "seckill_shards_unowned",
        "Shards of the cluster that no node serves: their items are not sold. 0 in a shop of its own.";
    SHARD_TAKEOVERS_TOTAL, Counter, Count: "seckill_shard_takeovers_total",
        "Shards of the cluster that this node has claimed and serves, or served.";
    SHARDS_FENCED_TOTAL, Counter, Count: "seckill_shards_fenced_total",
        "Shards whose append was refused because another node had claimed them: what waited is not on record.";
    SHARD_RESTARTS_TOTAL, Counter, Count: "seckill_shard_restarts_total",
        "Times a shard's actor died and was started again.";
    SHARD_REBUILDS_TOTAL, Counter, Count: "seckill_shard_rebuilds_total",
        "Times a shard's state was rebuilt from checkpoint and journal while the others sold on.";
    SHARD_PANICS_TOTAL, Counter, Count: "seckill_shard_panics_total",
        "Panics contained within a shard: each is a defect, and cost at most one request.";
    TASK_RESTARTS_TOTAL, Counter, Count: "seckill_task_restarts_total",
        "Times a background task ended and was run again, by task: each is a defect.";
    LOG_LINES_LOST_TOTAL, Counter, Count: "seckill_log_lines_lost_total",
        "Log lines that standard error did not take: its reader is gone, or its disk is full.";
    REQUESTS_OVERDUE_TOTAL, Counter, Count: "seckill_requests_overdue_total",
        "Requests that were not decided within their deadline.";
    ITEMS_QUARANTINED, Gauge, Count: "seckill_items_quarantined",
        "Items taken out of the sale because handling them panics again and again.";
    ITEM_UNITS, Gauge, Count: "seckill_item_units",
        "Units of an item that is not settled, by item and state: available, reserved and sold sum to allotted.";
    ITEMS_NOT_SHOWN, Gauge, Count: "seckill_items_not_shown",
        "Items that are not settled and have no seckill_item_units, because there are too many.";
    JOURNAL_RECORDS_TOTAL, Counter, Count: "seckill_journal_records_total",
        "Records made durable.";
    JOURNAL_RESUBMISSIONS_TOTAL, Counter, Count: "seckill_journal_resubmissions_total",
        "Times a transaction was sent to the cluster's log again: its outcome was not known, or it had no room.";
    ETCD_FILE_BYTES, Gauge, Bytes: "seckill_etcd_file_bytes",
        "The database file of the member of etcd that this node asks: the quota counts it.";
    ETCD_USED_BYTES, Gauge, Bytes: "seckill_etcd_used_bytes",
        "How much of that file is in use: mostly the cluster's log, as far as it is not trimmed.";
    JOURNAL_BYTES_TOTAL, Counter, Bytes: "seckill_journal_bytes_total",
        "Bytes made durable.";
    JOURNAL_SYNCS_TOTAL, Counter, Count: "seckill_journal_syncs_total",
        "Syncs, each of which made one batch of records durable.";
    JOURNAL_SYNC_DURATION_SECONDS, Histogram, Seconds: "seckill_journal_sync_duration_seconds",
        "Time that a sync takes; every buyer waits for one.";
    JOURNAL_BATCH_RECORDS, Histogram, Count: "seckill_journal_batch_records",
        "Records that one sync made durable.";
    JOURNAL_FREE_BYTES, Gauge, Bytes: "seckill_journal_free_bytes",
        "Bytes that are left for the journal on its disk.";
    BACKLOG_RECORDS, Gauge, Count: "seckill_backlog_records",
        "Records durable in the journal and not yet in the order store.";
    BACKLOG_AGE_SECONDS, Gauge, Seconds: "seckill_backlog_age_seconds",
        "Age of the oldest record that is not yet in the order store.";
    CHECKPOINT_AGE_SECONDS, Gauge, Seconds: "seckill_checkpoint_age_seconds",
        "Age of the oldest checkpoint that is behind its shard: the older, the more a start replays.";
    CHECKPOINT_FAILURES_TOTAL, Counter, Count: "seckill_checkpoint_failures_total",
        "Checkpoints that could not be written; they are tried again.";
    RELAY_MESSAGES_TOTAL, Counter, Count: "seckill_relay_messages_total",
        "Messages that the broker confirmed.";
    RELAY_RETURNED_TOTAL, Counter, Count: "seckill_relay_returned_total",
        "Messages that the broker had no queue for; they are sent again.";
    STORED_RECORDS_TOTAL, Counter, Count: "seckill_stored_records_total",
        "Records that reached the order store.";
    ORDER_STORE_APPLY_DURATION_SECONDS, Histogram, Seconds: "seckill_order_store_apply_duration_seconds",
        "Time that the order store takes for a batch of records.";
    ORDER_STORE_BACKLOG_RECORDS, Gauge, Count: "seckill_order_store_backlog_records",
        "Records that are durable and not yet in this order store.";
    ORDER_STORE_FAILURES_TOTAL, Counter, Count: "seckill_order_store_failures_total",
        "Batches that the order store did not take; they are tried again.";
    ORDER_STORE_CONFLICTS_TOTAL, Counter, Count: "seckill_order_store_conflicts_total",
        "Records that contradict a row: each wants an operator.";
    ORDER_STORE_REFILLS_TOTAL, Counter, Count: "seckill_order_store_refills_total",
        "Times the order store had lost records and was filled again from the journal.";
    ORDER_REPLICA_LAG_RECORDS, Gauge, Count: "seckill_order_replica_lag_records",
        "Records that this order store has and its replica does not have yet.";
    ORDER_REPLICA_READS_TOTAL, Counter, Count: "seckill_order_replica_reads_total",
        "Lists that a replica was asked for, by outcome: read from the replica, or from the order store because that was behind or away.";
    ORDER_STORE_MISSING, Gauge, Count: "seckill_order_store_missing",
        "Records and rows that the order store has lost and the journal does not have any more.";
    WEBHOOK_DELIVERIES_TOTAL, Counter, Count: "seckill_webhook_deliveries_total",
        "Attempts to deliver an event to a webhook's endpoint, by outcome: delivered or failed.";
    WEBHOOK_DISABLED_TOTAL, Counter, Count: "seckill_webhook_disabled_total",
        "Endpoints that the shop has disabled, because they are there no more or took nothing for too long.";
    WEBHOOK_ENDPOINTS, Gauge, Count: "seckill_webhook_endpoints",
        "Endpoints of webhooks, by state: new, live or disabled.";
    WEBHOOK_ENDPOINTS_FAILING, Gauge, Count: "seckill_webhook_endpoints_failing",
        "Live endpoints that are left alone but for a request now and then, because all that was tried has failed.";
    WEBHOOK_WAITING_EVENTS, Gauge, Count: "seckill_webhook_waiting_events",
        "Events that an endpoint did not take at once and that are tried again, with those behind them; of all nodes.";
    WEBHOOK_PARKED_EVENTS, Gauge, Count: "seckill_webhook_parked_events",
        "Events that are not tried any more because their receiver takes others and not these: each wants an operator.";
    EVENTS_TOLD_TOTAL, Counter, Count: "seckill_events_told_total",
        "Events that a receiver has confirmed, by sink; one that came twice counts twice.";
    EVENTS_LOST_TOTAL, Counter, Count: "seckill_events_lost_total",
        "Records deleted from the journal before a receiver had confirmed what they tell, by sink: it was too far behind.";
    EVENTS_LAG_RECORDS, Gauge, Count: "seckill_events_lag_records",
        "Records of the shards served here whose events a receiver has not confirmed, by sink.";
    EVENTS_LAG_SECONDS, Gauge, Seconds: "seckill_events_lag_seconds",
        "Age of the oldest event that a receiver has not confirmed, by sink.";
    EVENTS_UNROUTED_TOTAL, Counter, Count: "seckill_events_unrouted_total",
        "Events that RabbitMQ had no queue for, by type; they are not sent again.";
    DEAD_LETTERS_TOTAL, Counter, Count: "seckill_dead_letters_total",
        "Messages set aside because the order store cannot take them: each wants an operator.";
    SALE_LOOKUPS_TOTAL, Counter, Count: "seckill_sale_lookups_total",
        "Look-ups of a sale or a day, by answer: redis, catalogue or absent, which asks neither.";
    DEPENDENCY_UP, Gauge, Count: "seckill_dependency_up",
        "1 while a dependency works, by dependency and kind; without all but the journal the sale goes on.";
    PEER_CALLS_TOTAL, Counter, Count: "seckill_peer_calls_total",
        "Calls to other nodes of the shop, by outcome: answered, busy, not_sent, broken or silent.";
    PEER_CALLS_SERVED_TOTAL, Counter, Count: "seckill_peer_calls_served_total",
        "Calls that other nodes of the shop made here.";
    PEER_CALL_DURATION_SECONDS, Histogram, Seconds: "seckill_peer_call_duration_seconds",
        "Time until another node has answered a call.";
    PEER_LINKS, Gauge, Count: "seckill_peer_links",
        "Links that this node has open to others.";
    PEER_BREAKERS_OPEN, Gauge, Count: "seckill_peer_breakers_open",
        "Nodes that are left alone at present, because they did not answer.";
    PEER_KEYS_TOLD_TOTAL, Counter, Count: "seckill_peer_keys_told_total",
        "Idempotency keys of orders placed here that other nodes took in, each counted once for each node.";
    PEERS_LACKING_KEYS, Gauge, Count: "seckill_peers_lacking_keys",
        "Other nodes that have not taken in the key of every order placed here: a reuse goes unnoticed there.";
    KEY_LOOKUPS_TOTAL, Counter, Count: "seckill_key_lookups_total",
        "Questions to all other nodes whether a key got an order there, by outcome: used, unused or unanswered.";
    SETTINGS_VERSION, Gauge, Count: "seckill_settings_version",
        "How often settings had been changed while the shop runs that this process has applied: nodes of a cluster agree.";
    SETTINGS_REFUSED, Gauge, Count: "seckill_settings_refused",
        "1 while settings are kept out that are not as they may be: those of before hold.";
    CONFIG_RELOADS_TOTAL, Counter, Count: "seckill_config_reloads_total",
        "Times the file of settings was read again, by result: same, changed or refused.";
    CERTIFICATE_RELOADS_TOTAL, Counter, Count: "seckill_certificate_reloads_total",
        "Times the certificate was read again, by result: read or refused.";
    TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, Gauge, Seconds:
        "seckill_tls_certificate_expiry_timestamp_seconds",
        "Until when the listener's certificate is valid, in seconds since 1970; 0 without one.";
    WALL_CLOCK_DRIFT_SECONDS, Gauge, Seconds: "seckill_wall_clock_drift_seconds",
        "How far the wall clock has moved from the engine's own since the start.";
    PURCHASES_TOTAL, Counter, Count: "seckill_purchases_total",
        "Answers to purchases, by outcome: placed, replayed, or the code of the refusal.";
    PAYMENTS_TOTAL, Counter, Count: "seckill_payments_total",
        "Payments that came to a state through this process, by state: started, captured, failed, refund_due or refunded.";
    PAYMENT_CALLBACKS_TOTAL, Counter, Count: "seckill_payment_callbacks_total",
        "Callbacks of the payment provider, by answer: noted, repeated, signature_invalid, refused or unavailable.";
    HTTP_REQUESTS_TOTAL, Counter, Count: "seckill_http_requests_total",
        "Requests answered, by route (buy or other) and class of status.";
    HTTP_PROBLEMS_TOTAL, Counter, Count: "seckill_http_problems_total",
        "Problems answered, purchases excepted, by code.";
    GRPC_REQUESTS_TOTAL, Counter, Count: "seckill_grpc_requests_total",
        "Calls over gRPC answered, by code; purchases count among the purchases, too.";
    HTTP_REQUEST_DURATION_SECONDS, Histogram, Seconds: "seckill_http_request_duration_seconds",
        "Time from a request's head to its answer's head; after the first 1024, purchases by a sample of one in 16.";
    HTTP_REQUESTS_IN_FLIGHT, Gauge, Count: "seckill_http_requests_in_flight",
        "Requests being answered.";
    HTTP_CONNECTIONS, Gauge, Count: "seckill_http_connections",
        "Connections open.";
    HTTP_CONNECTIONS_ACCEPTED_TOTAL, Counter, Count: "seckill_http_connections_accepted_total",
        "Connections accepted.";
    HTTP_CONNECTIONS_REFUSED_TOTAL, Counter, Count: "seckill_http_connections_refused_total",
        "Connections closed by a limit, by reason.";
    HTTP_UNREAD_BYTES, Gauge, Bytes: "seckill_http_unread_bytes",
        "Bytes of answers that are made and not yet taken by their clients.";
    PAGE_VIEWS_TOTAL, Counter, Count: "seckill_page_views_total",
        "Pages that browsers said were viewed.";
    PAGE_VIEWS_DROPPED_TOTAL, Counter, Count: "seckill_page_views_dropped_total",
        "Views that were not counted, because too many came at once.";
    HTTP_EVENT_STREAMS, Gauge, Count: "seckill_http_event_streams",
        "Server-sent event streams open.";
    TRACE_SPANS_EXPORTED_TOTAL, Counter, Count: "seckill_trace_spans_exported_total",
        "Spans that the collector has taken.";
    TRACE_SPANS_DROPPED_TOTAL, Counter, Count: "seckill_trace_spans_dropped_total",
        "Spans that no collector gets, by reason: queue_full, not_taken, rejected or not_remembered.";
    TRACE_RECORDS_UNDERWAY, Gauge, Count: "seckill_trace_records_underway",
        "Records that belong to a trace and are not known to be stored, at most 65,536.";
    RISK_MATCHES_TOTAL, Counter, Count: "seckill_risk_matches_total",
        "What risk rules have found, by rule and mode: in shadow nothing follows.";
}

/// What becomes of a call to another node: the outcomes of [`PEER_CALLS_TOTAL`].
pub const PEER_CALL_OUTCOMES: [&str; 5] = ["answered", "busy", "not_sent", "broken", "silent"];
/// What other nodes say of a key: the outcomes of [`KEY_LOOKUPS_TOTAL`].
pub const KEY_LOOKUP_OUTCOMES: [&str; 3] = ["used", "unused", "unanswered"];

/// Where a list came from: the outcomes of [`ORDER_REPLICA_READS_TOTAL`].
pub const REPLICA_READ_OUTCOMES: [&str; 3] = ["replica", "behind", "away"];

/// Why spans get to no collector: the reasons of [`TRACE_SPANS_DROPPED_TOTAL`].
pub const TRACE_DROP_REASONS: [&str; 4] = ["queue_full", "not_taken", "rejected", "not_remembered"];

/// What becomes of an attempt to deliver an event: the outcomes of [`WEBHOOK_DELIVERIES_TOTAL`].
const WEBHOOK_OUTCOMES: [&str; 2] = ["delivered", "failed"];

/// How endpoints of webhooks stand: the states of [`WEBHOOK_ENDPOINTS`].
const WEBHOOK_STATES: [&str; 3] = ["new", "live", "disabled"];

/// What comes of reading the file of settings again: the results of [`CONFIG_RELOADS_TOTAL`].
const CONFIG_RELOAD_RESULTS: [&str; 3] = ["same", "changed", "refused"];

/// What comes of reading the certificate again: the results of [`CERTIFICATE_RELOADS_TOTAL`].
const CERTIFICATE_RELOAD_RESULTS: [&str; 2] = ["read", "refused"];

/// Gives the recorder the help text of every metric.
fn describe() {
    for Metric { name, kind, unit, help } in METRICS.iter().copied() {
        match kind {
            MetricKind::Counter => describe_counter!(name, unit, help),
            MetricKind::Gauge => describe_gauge!(name, unit, help),
            MetricKind::Histogram => describe_histogram!(name, unit, help),
        }
    }
}

/// Counters that begin at zero elsewhere: the edge counts in its own atomics, and where there are labels,
/// the code that knows them begins.
const BEGUN_ELSEWHERE: [&str; 25] = [
    ORDER_REPLICA_READS_TOTAL,
    TRACE_SPANS_DROPPED_TOTAL,
    WEBHOOK_DELIVERIES_TOTAL,
    EVENTS_TOLD_TOTAL,
    EVENTS_LOST_TOTAL,
    EVENTS_UNROUTED_TOTAL,
    PEER_CALLS_TOTAL,
    KEY_LOOKUPS_TOTAL,
    CONFIG_RELOADS_TOTAL,
    CERTIFICATE_RELOADS_TOTAL,
    RISK_MATCHES_TOTAL,
    PURCHASES_ADMITTED_TOTAL,
    ORDER_CHANGES_TOTAL,
    PAGE_VIEWS_TOTAL,
    PAGE_VIEWS_DROPPED_TOTAL,
    PURCHASES_TOTAL,
    PAYMENTS_TOTAL,
    PAYMENT_CALLBACKS_TOTAL,
    HTTP_PROBLEMS_TOTAL,
    HTTP_REQUESTS_TOTAL,
    GRPC_REQUESTS_TOTAL,
    HTTP_CONNECTIONS_ACCEPTED_TOTAL,
    HTTP_CONNECTIONS_REFUSED_TOTAL,
    TASK_RESTARTS_TOTAL,
    SALE_LOOKUPS_TOTAL,
];

/// Lets every counter exist from the start: an alarm compares with the value before, and the first dead
/// letter must not come out of nowhere.
fn begin_at_zero() {
    let counters = METRICS.iter().filter(|metric| metric.kind == MetricKind::Counter);
    for Metric { name, .. } in counters.filter(|metric| !BEGUN_ELSEWHERE.contains(&metric.name)) {
        counter!(*name).increment(0);
    }
    for outcome in PEER_CALL_OUTCOMES {
        counter!(PEER_CALLS_TOTAL, "outcome" => outcome).increment(0);
    }
    for outcome in KEY_LOOKUP_OUTCOMES {
        counter!(KEY_LOOKUPS_TOTAL, "outcome" => outcome).increment(0);
    }
    for outcome in REPLICA_READ_OUTCOMES {
        counter!(ORDER_REPLICA_READS_TOTAL, "store" => "0", "outcome" => outcome).increment(0);
    }
    for reason in TRACE_DROP_REASONS {
        counter!(TRACE_SPANS_DROPPED_TOTAL, "reason" => reason).increment(0);
    }
    for outcome in WEBHOOK_OUTCOMES {
        counter!(WEBHOOK_DELIVERIES_TOTAL, "outcome" => outcome).increment(0);
    }
    for state in WEBHOOK_STATES {
        gauge!(WEBHOOK_ENDPOINTS, "state" => state).set(0.0);
    }
    for result in CONFIG_RELOAD_RESULTS {
        counter!(CONFIG_RELOADS_TOTAL, "result" => result).increment(0);
    }
    for result in CERTIFICATE_RELOAD_RESULTS {
        counter!(CERTIFICATE_RELOADS_TOTAL, "result" => result).increment(0);
    }
    // Those gauges that are set when something was looked at, and not whenever somebody asks.
    gauge!(TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS).set(0.0);
    gauge!(ORDER_STORE_MISSING, "store" => "0").set(0.0);
    gauge!(ORDER_REPLICA_LAG_RECORDS, "store" => "0").set(0.0);
    for name in [
        SHARDS_UNOWNED,
        ETCD_FILE_BYTES,
        ETCD_USED_BYTES,
        SETTINGS_VERSION,
        SETTINGS_REFUSED,
        WEBHOOK_ENDPOINTS_FAILING,
        WEBHOOK_WAITING_EVENTS,
        WEBHOOK_PARKED_EVENTS,
    ] {
        gauge!(name).set(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_say_what_they_are() {
        let mut names = HashSet::new();
        for metric in METRICS {
            let name = metric.name;
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.starts_with("seckill_"), "{name} has no namespace");
            let is_counter = metric.kind == MetricKind::Counter;
            assert_eq!(name.ends_with("_total"), is_counter, "{name}: counters end in _total");
            let unit = match metric.unit {
                Unit::Seconds => Some("_seconds"),
                Unit::Bytes => Some("_bytes"),
                _ => None,
            };
            let stem = name.trim_end_matches("_total");
            assert!(unit.is_none_or(|unit| stem.ends_with(unit)), "{name} lacks its unit");
            assert!(metric.help.ends_with('.'), "{name}: help is a sentence");
        }
    }

    #[test]
    fn operators_can_look_each_one_up() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
        let text = std::fs::read_to_string(path).expect("docs/operations.md");
        for Metric { name, .. } in METRICS {
            assert!(text.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
        }
    }
}
