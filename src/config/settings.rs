//! The settings: the one declaration of every key, its words, its default and what is allowed.
//!
//! Must not know what the settings do, nor where their values come from.

use super::choices::{
    ChallengeProvider, ClientAddress, CompatSettle, OnChallengeError, RISK_ACTIONS, RISK_MODES,
    RiskAction, RiskMode, VisitId, WhenExceeded,
};
use super::declare::{
    AddressSuchAs, AnyOf, OneOf, OriginSuchAs, PathSuchAs, Such, TextSuchAs, Within, configuration,
};
use super::rules::{
    ALGORITHMS, AMQP_URL, CLAIM, COLLECTOR_URL, ENDPOINTS, EVENT_SOURCE, EVENTS_URL, HOST_AND_PORT,
    JWKS_URL, KEY_PREFIX, LOG_FILTER, MYSQL_URL, MYSQL_URLS, NAMED_USERS, NETWORKS, NODE_NAME,
    ORIGINS, PROOF_PREFIX, PROVIDER, PROVIDER_URL, REDIS_URL, REPLICA_URL, REPLICA_URLS,
    SCRIPT_URL, TABLE_MEBIBYTES, UTC_OFFSET, VERIFY_URL,
};
use super::secret_text::{SecretDigits, SecretOfOthers, SecretOfWebhooks, SecretText};
use super::secret_url::{SecretUrl, SecretUrls};
use super::texts::{is_name, is_word};
use crate::telemetry::log::LogFormat;
use domain::ShardId;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Where operations are listened for if nothing else is set.
pub const OPERATIONS_LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

configuration! {
    /// The HTTP edge.
    http: Http {
        /// Address and port to listen on. Port 0 picks a free one, which the first line printed names.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            AnyOf("an IP address and a port, such as \"0.0.0.0:8080\"");
        /// Open connections; one more is answered 503 and closed.
        connections_max: u32 = 16_384, Within(1, 1_000_000);
        /// Open connections of one address, of IPv6 one network of 64 bits; one more is answered 503
        /// and closed. Behind a proxy all connections come from its address: then as many as
        /// `connections_max`.
        connections_per_address_max: u32 = 4_096, Within(1, 1_000_000);
        /// Whose address counts as the client's, for limits and risk rules: "peer", the connection's other
        /// end; "x-forwarded-for", what `trusted_proxies` wrote into that header; "proxy-protocol", what
        /// they say at the beginning of a connection, in version 1 or 2.
        client_address: ClientAddress = ClientAddress::Peer,
            AnyOf("\"peer\", \"x-forwarded-for\" or \"proxy-protocol\"");
        /// Proxies in front of this server that are believed, as addresses and networks with spaces
        /// between them. With "proxy-protocol" they have to send its header. What others say of
        /// themselves counts for nothing.
        trusted_proxies: String = String::new(), NETWORKS;
        /// Headers of one request; more are answered 431.
        headers_max: u32 = 64, Within(16, 1_000);
        /// Bytes of one request's head; more are answered 431.
        header_bytes_max: u32 = 16_384, Within(8_192, 1_048_576);
        /// Bytes of a body, purchases and operators' requests excepted; more are answered 413.
        body_bytes_max: u32 = 65_536, Within(1_024, 16_777_216);
        /// Bytes of an operator's request, enough for a sale with 200 items and long titles; more
        /// are answered 413.
        admin_body_bytes_max: u32 = 1_048_576, Within(1_024, 67_108_864);
        /// Bytes of a picture that an operator sends; more are answered 413.
        picture_bytes_max: u32 = 8_388_608, Within(65_536, 67_108_864);
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
        allowed_origins: String = String::new(), ORIGINS;
        /// Where browsers find the shop, if that is not what their requests name: behind a proxy that
        /// speaks HTTPS it has to be set, so that cookies are sent over HTTPS alone.
        public_url: Option<String> = None, OriginSuchAs("https://shop.example");
        /// Certificate of the shop and those between it and its authority, in PEM: with it the shop speaks
        /// HTTPS itself. SIGHUP has it and its key read again. Needs `tls_key_file` and `public_url`.
        tls_certificate_file: Option<PathBuf> = None, PathSuchAs("/etc/seckill/shop.pem");
        /// The certificate's private key, in PEM.
        tls_key_file: Option<PathBuf> = None, PathSuchAs("/etc/seckill/shop.key");
    }

    /// The pages that the shop shows to browsers.
    pages: Pages {
        /// The zone in which pages show times until a script shows them in the visitor's own.
        utc_offset: String = "+08:00".to_owned(), UTC_OFFSET;
        /// Pages that are rendered at the same time; others wait for their turn.
        renders_max: u16 = 2, Within(1, 256);
        /// Bytes of rendered pages that are kept in memory.
        rendered_bytes_max: u64 = 16_777_216, Within(1_048_576, 1_073_741_824);
        /// Where styles and scripts are read from at each request, for those who work on them. Without
        /// it they are those that were built in.
        dev_assets: Option<PathBuf> = None, PathSuchAs("src/http/pages/assets");
    }

    /// The listener for those who run the shop: `/livez`, `/readyz` and `/metrics`, with connections
    /// of its own, so that they answer while buyers hold all of the others.
    operations: Operations {
        /// Address and port to listen on. Port 0 picks a free one, and so does the default if it is
        /// taken; the second line on standard output names it. Nobody is asked for a token there.
        listen: SocketAddr = OPERATIONS_LISTEN_DEFAULT,
            AnyOf("an IP address and a port, such as \"0.0.0.0:9090\"");
    }

    /// How often a caller may ask, 0 for as often as it likes. Each process counts by itself. One too
    /// many is answered 429, or 503 where all buyers share the limit, with `Retry-After`.
    limits: Limits {
        /// Purchases of one user in a second, in the long run.
        user_per_s: u32 = 10, Within(0, 1_000);
        /// Purchases of one user at once.
        user_burst: u32 = 20, Within(1, 10_000);
        /// Purchases from one address in a second, in the long run; of IPv6 from a network of 64 bits,
        /// and eight times as many from one of 48. Many people may share an address of their carrier.
        address_per_s: u32 = 0, Within(0, 1_000);
        /// Purchases from one address at once.
        address_burst: u32 = 100, Within(1, 10_000);
        /// Purchases of one item in a second that may reach its shard; those of what is sold out do not.
        item_per_s: u32 = 0, Within(0, 1_000_000);
        /// Purchases in a second that may reach a shard, of all items.
        global_per_s: u32 = 0, Within(0, 1_000_000);
        /// Log-ins, registrations and exchanges of an issuer's tokens from one address in a minute.
        login_address_per_min: u32 = 60, Within(0, 1_000);
        /// Log-ins, registrations and exchanges with one name from one address in a minute. Others
        /// cannot use them up for a name.
        login_name_per_min: u32 = 10, Within(0, 1_000);
        /// Buy tokens that one user may ask for in a minute.
        token_user_per_min: u32 = 10, Within(0, 1_000);
        /// Mebibytes of each of the two tables in which all of this is counted, whatever the number of
        /// callers; a power of two.
        table_mib: u32 = 8, TABLE_MEBIBYTES;
    }

    /// Risk rules: whom the shop does not admit, or makes wait. What a rule has found is counted and can be
    /// looked at; something follows only where its mode is "enforce": nothing more than that ("observe"),
    /// a challenge that costs more ("harder"), the last opening slot ("last"), or no admission ("deny").
    /// Each process counts by itself.
    risk: Risk {
        /// Whether users on the list `deny_user` are looked for: "off", "shadow", which counts and does nothing, or "enforce".
        deny_user_mode: RiskMode = RiskMode::Enforce, RISK_MODES;
        /// What follows then.
        deny_user_action: RiskAction = RiskAction::Deny, RISK_ACTIONS;
        /// Whether addresses on the list `deny_address` are looked for: "off", "shadow", which counts and does nothing, or "enforce".
        deny_address_mode: RiskMode = RiskMode::Enforce, RISK_MODES;
        /// What follows then.
        deny_address_action: RiskAction = RiskAction::Deny, RISK_ACTIONS;
        /// Accounts that one address may use in a while; of IPv6 a network of 64 bits. Counted up to some
        /// 200, about a tenth more or less. 0: as many as it likes.
        accounts_per_address_max: u32 = 20, Within(0, 200);
        /// The while, in seconds.
        accounts_per_address_window_s: u32 = 3_600, Within(60, 86_400);
        /// Whether addresses with more accounts are looked for: "off", "shadow", which counts and does nothing, or "enforce".
        accounts_per_address_mode: RiskMode = RiskMode::Shadow, RISK_MODES;
        /// What follows then.
        accounts_per_address_action: RiskAction = RiskAction::Harder, RISK_ACTIONS;
        /// Buy tokens that one user may ask for in a while. 0: as many as it likes.
        tokens_per_user_max: u32 = 100, Within(0, 10_000);
        /// The while, in seconds.
        tokens_per_user_window_s: u32 = 3_600, Within(60, 86_400);
        /// Whether users who ask for more are looked for: "off", "shadow", which counts and does nothing, or "enforce".
        tokens_per_user_mode: RiskMode = RiskMode::Shadow, RISK_MODES;
        /// What follows then.
        tokens_per_user_action: RiskAction = RiskAction::Harder, RISK_ACTIONS;
        /// Challenges that one user may fail in a while. 0: as many as it likes.
        failed_challenges_max: u32 = 10, Within(0, 10_000);
        /// The while, in seconds.
        failed_challenges_window_s: u32 = 3_600, Within(60, 86_400);
        /// Whether users who fail more are looked for: "off", "shadow", which counts and does nothing, or "enforce".
        failed_challenges_mode: RiskMode = RiskMode::Shadow, RISK_MODES;
        /// What follows then.
        failed_challenges_action: RiskAction = RiskAction::Harder, RISK_ACTIONS;
        /// How long an account is young after it was registered with this process, in seconds. 0: not at all.
        account_age_s: u32 = 600, Within(0, 2_592_000);
        /// Whether users with young accounts are looked for: "off", "shadow", which counts and does nothing, or "enforce".
        account_age_mode: RiskMode = RiskMode::Off, RISK_MODES;
        /// What follows then.
        account_age_action: RiskAction = RiskAction::Last, RISK_ACTIONS;
    }

    /// Where everything that must outlive the process is kept.
    data: Data {
        /// The data directory: journal, checkpoints, orders (embedded), signing secret. It is made
        /// at first start and belongs to one process at a time.
        dir: PathBuf = PathBuf::from("data"), Such(|dir: &PathBuf| !dir.as_os_str().is_empty(), "a path");
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
        redis_url: Option<SecretUrl> = None, REDIS_URL;
        /// Certificate, in PEM, of the authority that signed the certificate of a `rediss://` server,
        /// if that is not a public one.
        redis_ca_file: Option<PathBuf> = None, PathSuchAs("/etc/seckill/redis-ca.pem");
        /// Time between two checkpoints of a shard that has changed.
        interval_ms: u64 = 1_000, Within(10, 3_600_000);
    }

    /// The transport of records from the journal to the order store.
    broker: Broker {
        /// RabbitMQ to send records through. Without it they are handed over within the process.
        amqp_url: Option<SecretUrl> = None, AMQP_URL;
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
        mysql_url: Option<SecretUrl> = None, MYSQL_URL;
        /// Instead of it several databases, with spaces between them, among which the shards' orders are
        /// divided: see docs/backends.md. The catalogue is in the first one. Their number and their order
        /// stay as they were when the first order was stored.
        mysql_urls: Option<SecretUrls> = None, MYSQL_URLS;
        /// A replica of the order store, which the database server fills: lists and exports are read from it
        /// where it is near enough.
        replica_url: Option<SecretUrl> = None, REPLICA_URL;
        /// With `mysql_urls` a replica of each order store, in the same order.
        replica_urls: Option<SecretUrls> = None, REPLICA_URLS;
        /// Whether the journal keeps records until the replicas have them, so that one which takes an order
        /// store's place is filled up from there. What waits counts for `backlog.records_max`.
        keep_until_replicated: bool = false, AnyOf("true or false");
        /// Records applied in one transaction.
        batch_records: u32 = 16_384, Within(1, 65_536);
        /// Connections to a MySQL or MariaDB order store, and one more for signs of life.
        connections: u32 = 8, Within(1, 1_000);
    }

    /// Records that are durable and not yet in the order store.
    backlog: Backlog {
        /// How many such records there may be before `when_exceeded` applies.
        records_max: u64 = 10_000_000, Within(1, 1_000_000_000_000);
        /// "alarm" goes on selling and says so; "refuse" answers new purchases with 503 and
        /// Retry-After until the backlog has drained.
        when_exceeded: WhenExceeded = WhenExceeded::Alarm, OneOf(&["alarm", "refuse"]);
    }

    /// Several nodes that are one shop, with their log in etcd: see docs/cluster.md. With `endpoints` it needs
    /// `node`, `orders.mysql_url`, `checkpoint.redis_url` and `tokens.secret`; the stores and the secret are
    /// the same for all nodes. Without `endpoints` the process is a shop of its own.
    cluster: Cluster {
        /// The client URLs of etcd's members, with spaces between them.
        endpoints: String = String::new(), ENDPOINTS;
        /// Certificate, in PEM, of the authority that signed the certificates of etcd's members, if that
        /// is not a public one.
        ca_file: Option<PathBuf> = None, PathSuchAs("/etc/seckill/etcd-ca.pem");
        /// This node's certificate for etcd, in PEM, if etcd asks for one.
        cert_file: Option<PathBuf> = None, PathSuchAs("/etc/seckill/etcd-client.pem");
        /// The key of that certificate.
        key_file: Option<PathBuf> = None, PathSuchAs("/etc/seckill/etcd-client.key");
        /// The user of etcd, if etcd asks for one.
        user: String = String::new(), Such(|name: &String| name.is_empty() || is_word(name), "a word");
        /// The user's password.
        password: Option<SecretText> = None, SecretOfOthers;
        /// Under which keys of etcd the shop is; the same for all of its nodes.
        prefix: String = "/seckill/shop/".to_owned(), KEY_PREFIX;
        /// This node's name: another one for each node, and the same after a restart.
        node: String = String::new(), NODE_NAME;
        /// Where this node listens for the others, which pass on to it what is asked of them for its shards.
        /// Without it they answer that with 503 `owner_unavailable`. What nodes say to each other is proven,
        /// and not hidden: keep it on a network of your own.
        listen: Option<SocketAddr> = None, AddressSuchAs("10.0.0.1:7080");
        /// Where the others reach that, `host:port`; empty for the address that it listens on, which then has to
        /// be one that they reach.
        advertise: String = String::new(), HOST_AND_PORT;
        /// What the nodes prove to each other that they have, the same for all of them. Without it they prove that
        /// they have `tokens.secret`.
        secret: Option<SecretText> = None, SecretDigits;
        /// How long others leave a node its shards that is not heard of any more. etcd grants no less than
        /// one and a half times its election timeout.
        lease_ttl_ms: u64 = 5_000, Within(2_000, 60_000);
        /// How long one request to etcd may take, before it is sent to another member.
        append_timeout_ms: u64 = 1_000, Within(100, 10_000);
    }

    /// How buyers pay: in the sandbox or at a provider, see docs/integration.md. A provider needs `provider`, `url` and
    /// `secret`, and `sandbox = false`. Without both, orders stay reserved until they expire.
    payments: Payments {
        /// Whether buyers may pay in the sandbox, which moves no money.
        sandbox: bool = true, AnyOf("true or false");
        /// The longest delay that a sandbox payment can be told to have.
        sandbox_delay_ms_max: u64 = 20_000, Within(0, 600_000);
        /// Who takes the buyers' money: a name, by which the provider calls back at
        /// `/api/v1/payments/callbacks/` and this.
        provider: String = String::new(), PROVIDER;
        /// Where payments begin at the provider. With http:// only on this machine.
        url: Option<SecretUrl> = None, PROVIDER_URL;
        /// Certificate, in PEM, of the authority that signed the certificate of that server, if that is not
        /// a public one.
        ca_file: Option<PathBuf> = None, PathSuchAs("/etc/seckill/pay-ca.pem");
        /// What shop and provider sign with what they send each other.
        secret: Option<SecretText> = None, SecretOfWebhooks;
        /// The secret of before: callbacks that are signed with it still count.
        previous_secret: Option<SecretText> = None, SecretOfWebhooks;
        /// How long the provider may take to begin a payment.
        timeout_ms: u64 = 5_000, Within(100, 20_000);
        /// Payments that may be beginning at the same time; one more is answered 503.
        in_flight_max: u32 = 256, Within(1, 10_000);
    }

    /// What others are told of orders and items: docs/events.md.
    events: Events {
        /// What events have as their `source`: which shop it is.
        source: String = "/seckill".to_owned(), EVENT_SOURCE;
        /// Whether events are announced at the exchange `seckill.events` of a RabbitMQ: the one of `amqp_url`, or
        /// without it the one of `broker.amqp_url`.
        amqp: bool = false, AnyOf("true or false");
        /// RabbitMQ to announce events at.
        amqp_url: Option<SecretUrl> = None, EVENTS_URL;
        /// Certificate, in PEM, of the authority that signed that server's certificate, if it is not a public one.
        amqp_ca_file: Option<PathBuf> = None, PathSuchAs("/etc/seckill/events-ca.pem");
        /// How much of the journal is kept for receivers that are behind, in MiB. What is older they are never
        /// told. In a cluster, whose log is in etcd, a node keeps 256 at most.
        retain_mib: u32 = 4_096, Within(16, 1_048_576);
    }

    /// Webhooks: orders and items told by signed requests, to endpoints that admins enter; see docs/webhooks.md.
    webhooks: Webhooks {
        /// Endpoints that there may be; one more is answered 409 `too_many_webhooks`.
        endpoints_max: u32 = 16, Within(0, 64);
        /// Requests to one endpoint that may be under way at the same time, each for another order.
        lanes: u32 = 8, Within(1, 64);
        /// How long one request may take in all.
        timeout_ms: u64 = 15_000, Within(1_000, 20_000);
        /// How long nothing that was sent may have arrived before an endpoint is disabled, in hours.
        disable_after_h: u64 = 72, Within(1, 720);
        /// Private addresses and networks that endpoints may be in, with spaces between them. Link-local ones they
        /// may never be in.
        allow_private: String = String::new(), NETWORKS;
        /// Certificate, in PEM, of the authority that signed the endpoints' certificates, if not a public one.
        ca_file: Option<PathBuf> = None, PathSuchAs("/etc/seckill/hooks-ca.pem");
    }

    /// The views of the shop's pages.
    visits: Visits {
        /// How different visitors are told: "random" by a number that their browser keeps, "daily_hash"
        /// by a hash of what it sends that is another one each day, "off" not at all. Browsers that
        /// ask not to be tracked are told by the hash at most.
        id: VisitId = VisitId::Random, AnyOf("\"random\", \"daily_hash\" or \"off\"");
    }

    /// The tokens that name buyers and operators.
    tokens: Tokens {
        /// How long a token is valid after a log-in.
        ttl_seconds: u64 = 3_600, Within(1, 31_536_000);
        /// The secret that signs them, and that buy tokens and challenges are made with. Processes that
        /// serve the same shop share it. Without it each data directory has one of its own, in
        /// `secrets/token.key`.
        secret: Option<SecretText> = None, SecretDigits;
        /// The secret of before: what was signed with it still counts.
        previous_secret: Option<SecretText> = None, SecretDigits;
    }

    /// Buy tokens, which purchases of guarded items need.
    buy_token: BuyToken {
        /// How long a token buys, from its issue or from its opening, whichever is later.
        ttl_seconds: u64 = 300, Within(1, 86_400);
    }

    /// What buyers solve before they get a buy token, if the item says so.
    challenge: Challenge {
        /// Rounds of one attempt at a proof of work. A phone's browser makes some hundred thousand rounds a
        /// second, and so does a script on each of its cores.
        cost: u32 = 1_000, Within(1, 100_000);
        /// How the key has to begin, in hexadecimal digits: each more makes it 16 times as hard. "00"
        /// takes 256 attempts on average.
        prefix: String = "00".to_owned(), PROOF_PREFIX;
        /// How long a challenge may take.
        ttl_seconds: u64 = 300, Within(10, 3_600);
        /// Who shows and judges the challenge of items that ask for an external one: "turnstile",
        /// "hcaptcha" or "geetest" (version 4). With "none" a proof of work takes its place.
        provider: ChallengeProvider = ChallengeProvider::None,
            AnyOf("\"none\", \"turnstile\", \"hcaptcha\" or \"geetest\"");
        /// What names the shop in its pages: the provider's site key, or GeeTest's captcha id.
        site_key: String = String::new(), AnyOf("the text that the provider gave out");
        /// What names the shop to the provider: its secret key, or GeeTest's captcha key.
        secret: Option<SecretText> = None, SecretOfOthers;
        /// The host whose pages show the challenge. Any if empty; GeeTest does not tell it.
        hostname: String = String::new(), AnyOf("a host such as \"shop.example\"");
        /// Where solutions are judged; the provider's own place if empty.
        verify_url: String = String::new(), VERIFY_URL;
        /// Where the script is that shows the challenge; the provider's own place if empty.
        script_url: String = String::new(), SCRIPT_URL;
        /// How long the provider may take over one.
        timeout_ms: u64 = 2_000, Within(100, 30_000);
        /// Solutions that it may be judging at the same time.
        in_flight_max: u32 = 64, Within(1, 10_000);
        /// What is done when it gives no verdict: "proof" asks for a proof of work instead, "refuse" gives
        /// out no tokens, "allow" gives them out without a challenge.
        on_error: OnChallengeError = OnChallengeError::Proof, OneOf(&["proof", "refuse", "allow"]);
    }

    /// Who may have an account.
    users: Users {
        /// Whether buyers may register here with a name and a password. Who has registered can log in.
        registration: bool = true, AnyOf("true or false");
    }

    /// The mall's own log-in service (OpenID Connect), whose tokens are accepted beside the shop's own: see
    /// docs/tokens.md. All of `issuer`, `audience` and `jwks_url`, or none.
    oidc: Oidc {
        /// The issuer, letter for letter as its tokens have it in `iss`.
        issuer: Option<String> = None, TextSuchAs(is_name, "1 to 255 bytes", "https://login.mall.example");
        /// The audience that its tokens must have in `aud`: this shop, as the issuer knows it.
        audience: Option<String> = None, TextSuchAs(is_name, "1 to 255 bytes", "seckill");
        /// Where the issuer publishes its keys; `jwks_uri` in its /.well-known/openid-configuration. With
        /// http:// only on this machine.
        jwks_url: Option<SecretUrl> = None, JWKS_URL;
        /// Certificate, in PEM, of the authority that signed the certificate of that server, if that is not
        /// a public one.
        ca_file: Option<PathBuf> = None, PathSuchAs("/etc/seckill/login-ca.pem");
        /// How its tokens may be signed, with spaces between them.
        algorithms: String = "RS256 ES256 EdDSA".to_owned(), ALGORITHMS;
        /// The claim that says what the bearer may do: a list, or a text with spaces. A name with points is
        /// a path if no claim has that name, such as "realm_access.roles".
        operator_claim: String = "roles".to_owned(), CLAIM;
        /// What that claim must hold for an operator. Unset, nobody becomes one by the issuer's word.
        operator_value: Option<String> = None, TextSuchAs(is_word, "a word", "sale-operator");
        /// What that claim must hold for an operator who may also approve what another one submitted.
        approver_value: Option<String> = None, TextSuchAs(is_word, "a word", "sale-approver");
        /// The claim that is an operator's name. It must tell persons apart for good, as `sub` does: who has
        /// two names could approve what he wrote himself.
        operator_name_claim: String = "sub".to_owned(), CLAIM;
    }

    /// Clients of an older order service, which know `POST /orderservice/order/pay` and nothing else: see
    /// docs/compat.md.
    compat: Compat {
        /// Whether that path is served.
        enabled: bool = false, AnyOf("true or false");
        /// The item that these clients buy: they name none. 0 stands for none, and is refused if the path
        /// is served.
        item_id: u64 = 0, Within(0, i64::MAX as u64);
        /// Users that a name stands for, with spaces between them. The body's `userName` must not be the
        /// name of another user than the caller.
        users: String = "zhangsan=1".to_owned(), NAMED_USERS;
        /// Whether the `userToken` header may be such a name instead of a token. A name proves nothing:
        /// anybody who knows it buys as that user. For a network in which nobody lies.
        trust_user_names: bool = false, AnyOf("true or false");
        /// "paid" pays an order in the sandbox as soon as it is placed, because these clients know no
        /// payment; "reserved" leaves it to expire unless it is paid in another way.
        settle: CompatSettle = CompatSettle::Paid, AnyOf("\"paid\" or \"reserved\"");
    }

    /// The same operations over gRPC, at the port of http.listen: docs/grpc.md.
    grpc: Grpc {
        /// Whether they are served.
        enabled: bool = false, AnyOf("true or false");
        /// Whether the server describes its services to clients that ask, such as grpcurl.
        reflection: bool = true, AnyOf("true or false");
    }

    /// A sale for trying the product out.
    demo: Demo {
        /// Whether an empty data directory is filled with a sale that starts seconds later.
        enabled: bool = true, AnyOf("true or false");
    }

    /// Traces: what became of one purchase in a thousand, hop by hop, sent to a collector over OTLP (HTTP and
    /// protobuf): see docs/tracing.md.
    traces: Traces {
        /// Where the collector is; `/v1/traces` is added unless the path ends so. Unset, nothing is traced.
        otlp_endpoint: Option<SecretUrl> = None, COLLECTOR_URL;
        /// One in so many purchases is traced, rounded up to a power of two.
        sample_one_in: u32 = 1_000, Within(1, 1_073_741_824);
        /// Whether a purchase is traced, too, if its `traceparent` asks for it, up to 100 each second. For a
        /// shop behind a gateway that sets or removes that header: buyers can send it, too.
        trust_traceparent: bool = false, AnyOf("true or false");
    }

    /// The log, on standard error.
    log: Log {
        /// "text" for people, "json" for machines.
        format: LogFormat = LogFormat::Text, AnyOf("\"text\" or \"json\"");
        /// What is logged: a level, then exceptions for single targets.
        filter: String = crate::telemetry::log::DEFAULT_FILTER.to_owned(), LOG_FILTER;
    }
}
