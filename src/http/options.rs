//! The edge's limits. Must not know where a setting comes from, nor check it: the configuration
//! does both.

use super::challenge::ChallengeOptions;
use super::compat::options::CompatOptions;
use super::edge::unread::UnreadBytesMax;
use super::forwarded::ClientAddressOptions;
use super::grpc::options::GrpcOptions;
use super::limits::LimitOptions;
use super::pages::times::UtcOffset;
use super::pages::visits::VisitorId;
use super::risk::RiskOptions;
use std::path::PathBuf;
use std::time::Duration;

/// Exports of orders that may run at the same time; one more is answered 503.
pub const EXPORTS_MAX: usize = 2;

/// How pages are made and kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageOptions {
    /// The zone in which pages show times until a script shows the visitor's own.
    pub utc_offset: UtcOffset,
    /// Pages that are rendered at the same time; others wait for their turn.
    pub renders_max: usize,
    /// Bytes of rendered pages that are kept.
    pub rendered_bytes_max: usize,
    /// Where styles and scripts are read from at each request, while they are worked on.
    pub dev_assets: Option<PathBuf>,
}

impl Default for PageOptions {
    fn default() -> Self {
        Self {
            utc_offset: UtcOffset::default(),
            renders_max: 2,
            rendered_bytes_max: 16 << 20,
            dev_assets: None,
        }
    }
}

/// How many connections may be open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionsMax {
    /// Connections of all clients.
    pub all: usize,
    /// Connections of one address.
    pub of_address: usize,
}

/// The limits of the HTTP edge: every queue, body and wait of it has one here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Open connections; one more is answered 503 and closed.
    pub connections_max: ConnectionsMax,
    /// Whose address counts as a client's.
    pub client_address: ClientAddressOptions,
    /// The rates that callers are held to.
    pub limits: LimitOptions,
    /// How the risk rules are set.
    pub risk: RiskOptions,
    /// Bytes of each of the tables that limits and risk rules count in, two each.
    pub limits_table_bytes: usize,
    /// Headers of one request; more are answered 431.
    pub headers_max: usize,
    /// Bytes of one request's head, at least 8 KiB; more are answered 431.
    pub header_bytes_max: usize,
    /// Bytes of a body, purchases and operators' requests excepted; more are answered 413.
    pub body_bytes_max: usize,
    /// Bytes of an operator's request, which may be a sale of 200 items with long titles; more are
    /// answered 413.
    pub admin_body_bytes_max: usize,
    /// Bytes of a picture that an operator sends; more are answered 413.
    pub picture_bytes_max: usize,
    /// Bytes of a purchase's body; more are answered 413.
    pub buy_body_bytes_max: usize,
    /// Bytes of answers that wait for their clients; a request beyond them is answered 503.
    pub unread_bytes_max: UnreadBytesMax,
    /// How long a client may take to send the head of one request, the first byte of the first one
    /// included.
    pub header_timeout: Duration,
    /// How long a client may take to send the body of one request.
    pub body_timeout: Duration,
    /// How long a client may leave a response unread.
    pub write_timeout: Duration,
    /// How long a connection may stay open after its last answer.
    pub idle_timeout: Duration,
    /// How long a request may take in all, purchases and streams excepted: purchases have the
    /// engine's own deadline.
    pub request_timeout: Duration,
    /// How long open requests may take to finish once the server drains.
    pub drain_timeout: Duration,
    /// Open streams of one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// HTTP/2 streams that a client may open and reset before the server has handled them.
    pub http2_resets_max: usize,
    /// Open server-sent event streams; one more is answered 503.
    pub event_streams_max: usize,
    /// Open event streams of one buyer; one more is answered 429.
    pub event_streams_per_buyer_max: usize,
    /// Time between two comments that keep an event stream alive.
    pub event_heartbeat: Duration,
    /// Passwords that are hashed at the same time.
    pub password_hashes_max: usize,
    /// Log-ins and registrations that may wait for a password to be hashed; one more is answered
    /// 503.
    pub password_queue_max: usize,
    /// Origins whose pages may use the API, with white space between them.
    pub allowed_origins: String,
    /// Where browsers find the shop, an origin; `None` if each request's `Host` says it.
    pub public_url: Option<String>,
    /// How pages are made and kept.
    pub pages: PageOptions,
    /// How different visitors of pages are told.
    pub visitor_id: VisitorId,
    /// How long a token from a log-in is good, in seconds.
    pub token_lifetime_seconds: u64,
    /// How long a buy token buys, from its issue or its opening, whichever is later.
    pub buy_token_lifetime: Duration,
    /// How buyers are challenged.
    pub challenge: ChallengeOptions,
    /// Proofs of work that are verified at the same time.
    pub proof_verifications_max: usize,
    /// Whether buyers may register here with a name and a password.
    pub registration: bool,
    /// Whether `pay` is the sandbox, which takes its outcome from the request and moves no money.
    pub sandbox_payments: bool,
    /// The longest delay that a sandbox payment may ask for; below `request_timeout`.
    pub sandbox_delay_max: Duration,
    /// How clients of the older order service are served, if they are.
    pub compat: Option<CompatOptions>,
    /// How the shop is served over gRPC, if it is.
    pub grpc: Option<GrpcOptions>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections_max: ConnectionsMax { all: 16_384, of_address: 4_096 },
            client_address: ClientAddressOptions::default(),
            limits: LimitOptions::NONE,
            risk: RiskOptions::LISTS_ALONE,
            limits_table_bytes: 1 << 20,
            headers_max: 64,
            header_bytes_max: 16 * 1024,
            body_bytes_max: 64 * 1024,
            admin_body_bytes_max: 1 << 20,
            picture_bytes_max: 8 << 20,
            buy_body_bytes_max: 1024,
            unread_bytes_max: UnreadBytesMax { connection: 4 << 20, all: 256 << 20 },
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            request_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            http2_streams_max: 128,
            http2_resets_max: 20,
            event_streams_max: 4_096,
            event_streams_per_buyer_max: 8,
            event_heartbeat: Duration::from_secs(15),
            password_hashes_max: 2,
            password_queue_max: 64,
            allowed_origins: String::new(),
            public_url: None,
            pages: PageOptions::default(),
            visitor_id: VisitorId::default(),
            token_lifetime_seconds: 3_600,
            buy_token_lifetime: Duration::from_secs(300),
            challenge: ChallengeOptions::default(),
            proof_verifications_max: 1,
            registration: true,
            sandbox_payments: true,
            sandbox_delay_max: Duration::from_secs(20),
            compat: None,
            grpc: None,
        }
    }
}
