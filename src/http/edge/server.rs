//! The listening sockets and their connections: how many, how long, and how they end.
//!
//! Must not know what a request is about.

use super::calls::{Begun, Calls};
use super::connection::{Connection, Instruction};
use super::connections::{Connections, Refused};
use super::counted::Counted;
use super::proxy_protocol;
use super::refusal;
use super::rewound::{OverTcp, Rewound};
use super::service::{EdgeService, handle};
use super::tls::Tls;
use crate::http::apply;
use crate::http::auth::ended;
use crate::http::auth::token::SESSION_SECONDS_MAX;
use crate::http::forwarded::ClientAddressOptions;
use crate::http::live_options::LiveOptions;
use crate::http::options::{ConnectionsMax, Options};
use crate::http::pages::live::{elsewhere, sampler};
use crate::http::pages::visits;
use crate::http::routes;
use crate::http::state::{AppState, Edge};
use bytes::Bytes;
use domain::Address;
use futures_util::FutureExt as _;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How long to wait after the operating system refused to accept a connection: it is out of file
/// descriptors, and a connection that closes returns one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// How often that is logged at most.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);
/// hyper keeps this many headers on the stack; more are allocated for each request.
const HYPER_HEADERS: usize = 100;
/// Bytes of one HTTP/2 stream that wait in hyper for the socket.
const HTTP2_BUFFER_BYTES: usize = 32 << 10;
/// Open connections of the operations listener.
const OPERATIONS_CONNECTIONS_MAX: usize = 64;

/// The sockets of the edge.
#[derive(Debug)]
pub struct Listeners {
    /// For the API.
    pub api: TcpListener,
    /// What the API's connections begin with; without it they are not encrypted.
    pub tls: Option<Tls>,
    /// For those who run the shop.
    pub operations: TcpListener,
}

/// Serves until `shutdown` is cancelled and every open request has been answered, or
/// `options.drain_timeout` is over. The operations listener answers until then. The engine has to live
/// until this returns.
///
/// # Errors
/// Returns the operating system's error if a listener has no address; nothing was served then.
pub async fn serve(
    listeners: Listeners,
    state: AppState,
    shutdown: CancellationToken,
    options: Options,
) -> io::Result<()> {
    let address = listeners.api.local_addr()?;
    let operations_address = listeners.operations.local_addr()?;
    let edge = Arc::new(Edge::new(state, options, shutdown.clone()));
    let api = EdgeService::of_api(&edge, routes::router(Arc::clone(&edge)));
    let proxies = edge.options.client_address.clone();
    // One for both listeners: what one of them lacks the other lacks too, and that is told once.
    let spare = SpareDescriptor { file: SpareDescriptor::open(), complained_at: None };
    let descriptors = Arc::new(Mutex::new(spare));
    let mut api = Server::new(api, edge.options.connections_max, proxies, Arc::clone(&descriptors));
    api.tls = listeners.tls;
    let operations = routes::operations_router(Arc::clone(&edge));
    let operations = Server::new(
        EdgeService::of_operations(&edge, operations),
        ConnectionsMax { all: OPERATIONS_CONNECTIONS_MAX, of_address: OPERATIONS_CONNECTIONS_MAX },
        // Those who run the shop come by themselves.
        ClientAddressOptions::default(),
        descriptors,
    );
    tracing::info!(%address, operations = %operations_address, "serving http");
    let watching = Watching::start(&edge);
    let sale = async {
        api.listen(listeners.api, shutdown).await;
        api.drain().await;
    };
    tokio::select! {
        () = sale => {}
        // It is never told to stop.
        () = operations.listen(listeners.operations, CancellationToken::new()) => {}
        () = apply::follow(&edge) => {}
    }
    operations.connections.tell_all(Instruction::Abort);
    operations.connections.closed().await;
    drop(watching);
    let written = edge.visits.write(&edge.sales, edge.engine.now());
    if tokio::time::timeout(edge.options.drain_timeout, written).await.is_err() {
        tracing::warn!("the last visits could not be written in time");
    }
    Ok(())
}

/// The tasks that look at the figures, count visits and learn which sessions are over, until this is dropped.
struct Watching([JoinHandle<()>; 5]);

impl Watching {
    fn start(edge: &Arc<Edge>) -> Self {
        let tasks = edge.engine.tasks();
        let [looking, meeting, asking, counting] = [(); 4].map(|()| Arc::clone(edge));
        let count = move || {
            let edge = &counting;
            let (sales, engine) = (edge.sales.clone(), edge.engine.clone());
            visits::run(Arc::clone(&edge.visits), sales, engine, edge.shutdown.clone())
        };
        let ended = Arc::clone(edge);
        let end = move || {
            let edge = Arc::clone(&ended);
            async move {
                let (ended_sessions, sales) =
                    (Arc::clone(&edge.ended_sessions), edge.sales.clone());
                let lifetime = || sessions_seconds_max(&edge.live_options);
                match ended::follow(ended_sessions, sales, edge.clock.clone(), lifetime).await {}
            }
        };
        Self([
            tasks.keep_running("ended sessions", end),
            tasks.keep_running("live figures", move || sampler::run(Arc::clone(&looking))),
            tasks.keep_running("items elsewhere", move || elsewhere::run(Arc::clone(&meeting))),
            tasks.keep_running("second witness", move || sampler::ask_witness(Arc::clone(&asking))),
            tasks.keep_running("visits", count),
        ])
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// How long a buyer's token can be good, counted from when it was made.
fn sessions_seconds_max(options: &LiveOptions) -> Duration {
    Duration::from_secs(options.token_lifetime_seconds_max().max(SESSION_SECONDS_MAX))
}

struct Server {
    edge: Arc<Edge>,
    service: Arc<EdgeService>,
    connections: Arc<Connections>,
    proxies: ClientAddressOptions,
    tls: Option<Tls>,
    descriptors: Arc<Mutex<SpareDescriptor>>,
}

/// A descriptor that is given up to accept a connection which could not be accepted otherwise: so that
/// its client is told, and does not wait in the system's queue.
struct SpareDescriptor {
    file: Option<File>,
    complained_at: Option<Duration>,
}

fn builder(options: &Options, begun: Begun) -> Builder<Begun> {
    let mut builder = Builder::new(begun);
    // The sweep times heads: hyper's own way sets a timer for each request.
    builder
        .http1()
        .header_read_timeout(None)
        .max_buf_size(options.header_bytes_max)
        .half_close(true)
        // Answers are small: copying one behind its head costs less than sending two parts.
        .writev(false);
    if options.headers_max >= HYPER_HEADERS {
        builder.http1().max_headers(options.headers_max + 1);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.http2_streams_max)
        .max_pending_accept_reset_streams(options.http2_resets_max)
        .max_local_error_reset_streams(options.http2_resets_max)
        .max_send_buf_size(HTTP2_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(options.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(options.idle_timeout)
        .keep_alive_timeout(options.write_timeout);
    builder
}

impl Server {
    fn new(
        service: EdgeService,
        connections_max: ConnectionsMax,
        proxies: ClientAddressOptions,
        descriptors: Arc<Mutex<SpareDescriptor>>,
    ) -> Self {
        let edge = Arc::clone(&service.edge);
        Self {
            connections: Arc::new(Connections::new(connections_max)),
            service: Arc::new(service),
            proxies,
            tls: None,
            descriptors,
            edge,
        }
    }

    async fn listen(&self, listener: TcpListener, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.accept(&listener) => {}
            () = self.sweep() => {}
        }
    }

    async fn accept(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => self.admit(stream, address.ip()),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.refuse_unaccepted(listener, &error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: IpAddr) {
        let connection = Arc::new(Connection::new(self.edge.clock.elapsed()));
        let peer = Address::from(peer);
        let is_proxied = self.proxies.expects_header(peer);
        let known = (!is_proxied).then_some(peer);
        let number = match self.connections.insert(&connection, known) {
            Ok(number) => number,
            Err(refused) => return self.refuse(&stream, refused),
        };
        self.service.metrics.connected();
        let open = Open {
            number,
            service: Arc::clone(&self.service),
            connections: Arc::clone(&self.connections),
        };
        let tls = self.tls.clone();
        tokio::spawn(async move {
            let mut stream = stream;
            let before = if is_proxied {
                match open.read_proxy_header(&connection, &mut stream, peer).await {
                    Ok(before) => before,
                    Err(refused) => return open.refuse(&stream, refused),
                }
            } else {
                connection.set_peer(peer);
                Bytes::new()
            };
            // Answers are written whole, so there is nothing to gather.
            let _ = stream.set_nodelay(true);
            let stream = Rewound::new(stream, before);
            let service = Arc::clone(&open.service);
            match tls {
                None => serve_connection(service, connection, stream).await,
                Some(tls) => {
                    // A client that does not get this far cannot be told anything.
                    if let Some(stream) = open.shake_hands(&tls, stream).await {
                        serve_connection(service, connection, stream).await;
                    }
                }
            }
        });
    }

    fn refuse(&self, stream: &TcpStream, refused: Refused) {
        refuse(&self.service, stream, refused);
    }

    /// Refuses a connection that the operating system could not accept, most likely because the process
    /// has no descriptor left.
    fn refuse_unaccepted(&self, listener: &TcpListener, error: &io::Error) {
        let mut spare = self.descriptors.lock();
        let now = self.edge.clock.elapsed();
        if spare.complained_at.is_none_or(|at| now.saturating_sub(at) >= COMPLAINT_PERIOD) {
            spare.complained_at = Some(now);
            tracing::error!(%error, "connections cannot be accepted, and are refused");
        }
        drop(spare.file.take());
        if let Some(Ok((stream, _))) = listener.accept().now_or_never() {
            self.refuse(&stream, Refused::NoDescriptors);
        }
        spare.file = SpareDescriptor::open();
    }

    async fn sweep(&self) {
        let mut ticks = tokio::time::interval(sweep_period(&self.edge.options));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = self.edge.clock.elapsed();
            self.connections.for_each(|connection| {
                if let Some(stall) = connection.sweep(now, &self.edge.options) {
                    self.service.metrics.stalled(stall);
                }
            });
        }
    }

    async fn drain(&self) {
        self.connections.tell_all(Instruction::Finish);
        let drained = async {
            tokio::select! {
                () = self.connections.closed() => {}
                () = self.sweep() => {}
            }
        };
        if tokio::time::timeout(self.edge.options.drain_timeout, drained).await.is_err() {
            let open = self.connections.count();
            tracing::warn!(open, "connections dropped at the end of the drain");
            self.connections.tell_all(Instruction::Abort);
            self.connections.closed().await;
        }
        tracing::info!("http drained");
    }
}

impl SpareDescriptor {
    /// Returns a file that stays open for its descriptor alone.
    fn open() -> Option<File> {
        File::open("/dev/null").ok()
    }
}

/// Returns a period short enough that every time limit is exceeded by a quarter at most.
fn sweep_period(options: &Options) -> Duration {
    let shortest = options
        .header_timeout
        .min(options.body_timeout)
        .min(options.write_timeout)
        .min(options.idle_timeout);
    (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
}

/// Returns whether the error concerns only the connection that was to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

async fn serve_connection(
    service: Arc<EdgeService>,
    connection: Arc<Connection>,
    stream: impl OverTcp + Send + 'static,
) {
    let edge = Arc::clone(&service.edge);
    let mut calls = Calls::default();
    let builder = builder(&edge.options, calls.begun());
    let io = TokioIo::new(Counted::new(stream, Arc::clone(&connection), edge));
    let requests = {
        let connection = Arc::clone(&connection);
        service_fn(move |request| handle(Arc::clone(&service), Arc::clone(&connection), request))
    };
    let mut serving = pin!(builder.serve_connection(io, requests));
    let mut finishing = false;
    poll_fn(|context| {
        match connection.instruction(context) {
            Instruction::Serve => {}
            Instruction::Finish if finishing => {}
            Instruction::Finish => {
                finishing = true;
                serving.as_mut().graceful_shutdown();
            }
            Instruction::Abort => return Poll::Ready(()),
        }
        loop {
            // A connection's error is not the server's: its client went away or did not speak HTTP.
            let is_over = serving.as_mut().poll(context).is_ready();
            if is_over || !calls.go_on(context) {
                return if is_over { Poll::Ready(()) } else { Poll::Pending };
            }
        }
    })
    .await;
}

/// Tells a client that its connection is refused.
fn refuse(service: &EdgeService, stream: &TcpStream, refused: Refused) {
    service.metrics.turned_away(refused);
    // As much as fits without waiting. A client that does not read it sees the connection close.
    let _ = stream.try_write(&refusal::of_connection(&service.edge, refused.detail()));
}

/// Counts a connection as open until it is dropped.
struct Open {
    number: u64,
    service: Arc<EdgeService>,
    connections: Arc<Connections>,
}

impl Open {
    /// Reads for whom the proxy at `peer` connects, and returns what came behind that. The sweep does
    /// not see the wait, which has the time of a head.
    async fn read_proxy_header(
        &self,
        connection: &Connection,
        stream: &mut TcpStream,
        peer: Address,
    ) -> Result<Bytes, Refused> {
        let within = self.service.edge.options.header_timeout;
        let begun = tokio::time::timeout(within, proxy_protocol::read(stream)).await;
        let Ok(Ok(begun)) = begun else { return Err(Refused::NoProxyHeader) };
        let client = begun.source.unwrap_or(peer);
        // A proxy that speaks for itself asks whether this server lives: it is not one client.
        if begun.source.is_some() {
            self.connections.set_address(self.number, client)?;
        }
        connection.set_peer(client);
        Ok(begun.rest.into())
    }

    /// Makes the handshake, which has the time of a head. The sweep does not see it.
    async fn shake_hands(&self, tls: &Tls, stream: Rewound) -> Option<TlsStream<Rewound>> {
        let within = self.service.edge.options.header_timeout;
        let shaken = tokio::time::timeout(within, tls.accept(stream)).await;
        let shaken = shaken.ok().and_then(Result::ok);
        if shaken.is_none() {
            self.service.metrics.turned_away(Refused::NoHandshake);
        }
        shaken
    }

    fn refuse(&self, stream: &TcpStream, refused: Refused) {
        refuse(&self.service, stream, refused);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.remove(self.number);
        self.service.metrics.disconnected();
    }
}
