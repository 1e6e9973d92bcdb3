//! The settings: the one declaration of every key, its words, its default and what is allowed.
//!
//! Must not know what the settings do, nor where their values come from.

use super::declare::{AnyOf, PathSuchAs, Such, Url, Within, configuration};
use super::secret_url::SecretUrl;
use crate::telemetry::log::LogFormat;
use domain::ShardId;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// What happens to new purchases while the backlog is longer than allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenExceeded {
    /// They go on, with an alarm in log, metrics and readiness.
    Alarm,
    /// They are refused with 503 and Retry-After until the backlog has drained.
    Refuse,
}

/// Whether the text is an origin as a browser sends it: scheme, host and port, without a path.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii_graphic());
    matches!(scheme, "http" | "https") && is_lower && !host.is_empty() && !host.contains(['/', '*'])
}

/// Where operations are listened for if nothing else is set.
pub const OPERATIONS_LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

configuration! {
    /// The HTTP edge.
    http: Http {
        /// Address and port to listen on. Port 0 picks a free one, which the first line on standard
        /// output names.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            AnyOf("an IP address and a port, such as \"0.0.0.0:8080\"");
        /// Open connections; one more is answered 503 and closed.
        connections_max: u32 = 16_384, Within(1, 1_000_000);
        /// Open connections of one address, of IPv6 one network of 64 bits; one more is answered 503
        /// and closed. Behind a proxy all connections come from its address: then as many as
        /// `connections_max`.
        connections_per_address_max: u32 = 4_096, Within(1, 1_000_000);
        /// Headers of one request; more are answered 431.
        headers_max: u32 = 64, Within(16, 1_000);
        /// Bytes of one request's head; more are answered 431.
        header_bytes_max: u32 = 16_384, Within(8_192, 1_048_576);
        /// Bytes of a body, purchases and operators' requests excepted; more are answered 413.
        body_bytes_max: u32 = 65_536, Within(1_024, 16_777_216);
        /// Bytes of an operator's request, enough for a sale with 200 items and long titles; more
        /// are answered 413.
        admin_body_bytes_max: u32 = 1_048_576, Within(1_024, 67_108_864);
        /// Bytes of a purchase's body; more are answered 413.
        buy_body_bytes_max: u32 = 1_024, Within(128, 65_536);
        /// Bytes of answers that wait for their clients, in all; requests beyond them, purchases
        /// excepted, are answered 503.
        unread_bytes_max: u64 = 268_435_456, Within(1_048_576, 1_099_511_627_776);
        /// Bytes of answers that wait for the client of one connection; requests beyond them,
        /// purchases excepted, are answered 503.
        connection_unread_bytes_max: u64 = 4_194_304, Within(65_536, 1_073_741_824);
        /// How long a client may take over the head of one request, the first byte of the first one
        /// included.
        header_timeout_ms: u64 = 10_000, Within(100, 600_000);
        /// How long a client may take over the body of one request.
        body_timeout_ms: u64 = 10_000, Within(100, 600_000);
        /// How long a client may leave an answer unread, over HTTP/2 each of them.
        write_timeout_ms: u64 = 15_000, Within(100, 600_000);
        /// How long a connection may stay open after its last answer.
        idle_timeout_ms: u64 = 75_000, Within(100, 3_600_000);
        /// How long a request may take in all, purchases and event streams excepted: purchases have
        /// `engine.reply_timeout_ms`.
        request_timeout_ms: u64 = 30_000, Within(100, 600_000);
        /// How long open requests may take to finish once the server drains.
        drain_timeout_ms: u64 = 10_000, Within(0, 600_000);
        /// Open streams of one HTTP/2 connection.
        http2_streams_max: u32 = 128, Within(1, 10_000);
        /// HTTP/2 streams that a client may open and reset before the connection is closed.
        http2_resets_max: u32 = 20, Within(1, 10_000);
        /// Open event streams; one more is answered 503.
        event_streams_max: u32 = 4_096, Within(0, 1_000_000);
        /// Open event streams of one buyer; one more is answered 429.
        event_streams_per_buyer_max: u32 = 8, Within(1, 1_000_000);
        /// Time between two comments that keep an event stream open.
        event_heartbeat_ms: u64 = 15_000, Within(100, 600_000);
        /// Passwords hashed at the same time, each with about 20 MB and a core.
        password_hashes_max: u32 = 2, Within(1, 256);
        /// Log-ins and registrations that may wait for that; one more is answered 503.
        password_queue_max: u32 = 64, Within(0, 100_000);
        /// Origins whose pages may use the API (CORS), with spaces between them. None: only pages
        /// that this server or a proxy in front of it shows.
        allowed_origins: String = String::new(), Such(
            |origins: &String| origins.split_ascii_whitespace().all(is_origin),
            "origins such as \"https://shop.example https://m.shop.example:8443\"",
        );
    }

    /// The listener for those who run the shop: `/livez`, `/readyz` and `/metrics`, with connections
    /// of its own, so that they answer while buyers hold all of the others.
    operations: Operations {
        /// Address and port to listen on. Port 0 picks a free one, and so does the default if it is
        /// taken; the second line on standard output names it. Nobody is asked for a token there.
        listen: SocketAddr = OPERATIONS_LISTEN_DEFAULT,
            AnyOf("an IP address and a port, such as \"0.0.0.0:9090\"");
    }

    /// Where everything that must outlive the process is kept.
    data: Data {
        /// The data directory: journal, checkpoints, orders (embedded), signing secret. It is made
        /// at first start and belongs to one process at a time.
        dir: PathBuf = PathBuf::from("data"),
            Such(|dir: &PathBuf| !dir.as_os_str().is_empty(), "a path");
    }

    /// The actors that own the stock.
    engine: Engine {
        /// Actors that own slices of the products. A data directory can be given more of them
        /// later, not fewer.
        shards: u16 = 64, Within(1, ShardId::COUNT_MAX);
        /// Points on the consistent-hash ring for each shard; more of them spread products more
        /// evenly. Items that were preheated stay with their shard.
        virtual_nodes: u16 = 160, Within(1, 4_096);
        /// Requests that may be in the engine at the same time. One more is answered 503 with
        /// Retry-After, immediately.
        permits: u32 = 16_384, Within(1, 32_768);
        /// How long a request waits for its decision before its outcome is called unknown.
        reply_timeout_ms: u64 = 5_000, Within(100, 60_000);
        /// Threads that run the actors and the HTTP edge; 0 stands for one per core.
        worker_threads: u16 = 0, Within(0, 1_024);
        /// How long a stopping process lets admitted requests finish.
        drain_timeout_ms: u64 = 10_000, Within(100, 600_000);
    }

    /// The journal: every confirmed record, synced before its request is answered.
    journal: Journal {
        /// Bytes of one segment file, zero-filled ahead of its use. 64 MiB hold about 600,000
        /// orders.
        segment_bytes: u64 = 67_108_864, Within(16_777_216, 4_294_967_296);
        /// Segments kept ready ahead of the writer. If the disk is too full to prepare the next one,
        /// purchases are refused while what was admitted can still be written.
        segments_ahead: u16 = 2, Within(1, 64);
        /// The pause before what is on the disk is read again, slowly, to find damage while the sale's
        /// state is still in memory.
        check_interval_ms: u64 = 60_000, Within(10, 86_400_000);
    }

    /// Checkpoints of the shards' state, which make a restart short.
    checkpoint: Checkpoint {
        /// Redis to keep checkpoints in, and the sales that readers ask for. Without it checkpoints
        /// go to SQLite in the data directory.
        redis_url: Option<SecretUrl> = None, Url {
            schemes: &["redis", "rediss"],
            path_names: None,
            example: "redis://seckill:password@127.0.0.1:6379/0",
        };
        /// Certificate, in PEM, of the authority that signed the certificate of a `rediss://` server,
        /// if that is not a public one.
        redis_ca_file: Option<PathBuf> = None, PathSuchAs("/etc/seckill/redis-ca.pem");
        /// Time between two checkpoints of a shard that has changed.
        interval_ms: u64 = 1_000, Within(10, 3_600_000);
    }

    /// The transport of records from the journal to the order store.
    broker: Broker {
        /// RabbitMQ to send records through. Without it they are handed over within the process.
        amqp_url: Option<SecretUrl> = None, Url {
            schemes: &["amqp", "amqps"],
            path_names: None,
            example: "amqp://seckill:password@127.0.0.1:5672/%2f",
        };
        /// Certificate, in PEM, of the authority that signed the certificate of an `amqps://` server,
        /// if that is not a public one.
        amqp_ca_file: Option<PathBuf> = None, PathSuchAs("/etc/seckill/rabbitmq-ca.pem");
        /// Records in one message.
        batch_records: u32 = 512, Within(1, 4_096);
        /// How long the broker may take to confirm a message before it is published again.
        confirm_timeout_ms: u64 = 10_000, Within(100, 600_000);
    }

    /// The order store, where orders and the catalogue are kept for good.
    orders: Orders {
        /// MySQL or MariaDB to keep orders in. Without it they go to SQLite in the data directory.
        mysql_url: Option<SecretUrl> = None, Url {
            schemes: &["mysql", "mariadb"],
            path_names: Some("a database"),
            example: "mysql://seckill:password@127.0.0.1:3306/seckill",
        };
        /// Records applied in one transaction.
        batch_records: u32 = 16_384, Within(1, 65_536);
        /// Connections to a MySQL or MariaDB order store.
        connections: u32 = 8, Within(1, 1_000);
    }

    /// Records that are durable and not yet in the order store.
    backlog: Backlog {
        /// How many such records there may be before `when_exceeded` applies.
        records_max: u64 = 10_000_000, Within(1, 1_000_000_000_000);
        /// "alarm" goes on selling and says so; "refuse" answers new purchases with 503 and
        /// Retry-After until the backlog has drained.
        when_exceeded: WhenExceeded = WhenExceeded::Alarm, AnyOf("\"alarm\" or \"refuse\"");
    }

    /// How buyers pay.
    payments: Payments {
        /// Whether buyers may pay in the sandbox, which moves no money. There is no other way to
        /// pay yet, so without it orders stay reserved until they expire.
        sandbox: bool = true, AnyOf("true or false");
        /// The longest delay that a sandbox payment can be told to have.
        sandbox_delay_ms_max: u64 = 20_000, Within(0, 600_000);
    }

    /// The tokens that name buyers and operators.
    tokens: Tokens {
        /// How long a token is valid after a log-in.
        ttl_seconds: u64 = 3_600, Within(1, 31_536_000);
    }

    /// A sale for trying the product out.
    demo: Demo {
        /// Whether an empty data directory is filled with a sale that starts seconds later.
        enabled: bool = true, AnyOf("true or false");
    }

    /// The log, on standard error.
    log: Log {
        /// "text" for people, "json" for machines.
        format: LogFormat = LogFormat::Text, AnyOf("\"text\" or \"json\"");
        /// What is logged: a level, then exceptions for single targets.
        filter: String = crate::telemetry::log::DEFAULT_FILTER.to_owned(), Such(
            |filter: &String| crate::telemetry::log::is_filter(filter),
            "log levels such as \"info,seckill=debug\"",
        );
    }
}
