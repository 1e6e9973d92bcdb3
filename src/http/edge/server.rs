//! The listening socket and its connections: how many, how long, and how they end.
//!
//! Must not know what a request is about.

use super::connection::{Connection, Counted, Instruction};
use super::service::{EdgeService, handle};
use crate::http::options::Options;
use crate::http::routes;
use crate::http::state::{AppState, Edge};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long to wait after the operating system refused to accept a connection: it is out of file
/// descriptors, and a connection that closes returns one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// hyper keeps this many headers on the stack; more are allocated for each request.
const HYPER_HEADERS: usize = 100;

/// The answer to a connection beyond the limit. Nothing was read from it, so it names no request.
const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: application/problem+json\r\ncontent-length: 145\r\nretry-after: 1\r\n\
connection: close\r\n\r\n\
{\"type\":\"/problems/overloaded\",\"title\":\"Too busy at the moment\",\"status\":503,\
\"code\":\"overloaded\",\"detail\":\"too many connections\",\"request_id\":\"\"}";

/// Serves until `shutdown` is cancelled and every open request has been answered, or
/// `options.drain_timeout` is over. The engine has to live until this returns.
///
/// # Errors
/// Returns the operating system's error if the listener has no address; nothing was served then.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    shutdown: CancellationToken,
    options: Options,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let edge = Arc::new(Edge::new(state, options, shutdown.clone()));
    let server = Server {
        service: Arc::new(EdgeService::new(Arc::clone(&edge), routes::router(Arc::clone(&edge)))),
        builder: builder(&edge.options),
        connections: Arc::default(),
        edge,
    };
    tracing::info!(%address, "serving http");
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = server.accept(&listener) => {}
        () = server.sweep() => {}
    }
    drop(listener);
    server.drain().await;
    Ok(())
}

struct Server {
    edge: Arc<Edge>,
    service: Arc<EdgeService>,
    builder: Builder<TokioExecutor>,
    connections: Arc<Connections>,
}

#[derive(Default)]
struct Connections {
    open: Mutex<OpenConnections>,
    all_closed: Notify,
}

#[derive(Default)]
struct OpenConnections {
    by_number: HashMap<u64, Arc<Connection>>,
    last: u64,
}

impl Connections {
    /// Registers the connection and returns its number, or `None` if there are `max` already.
    fn insert(&self, connection: &Arc<Connection>, max: usize) -> Option<u64> {
        let mut open = self.open.lock();
        if open.by_number.len() >= max {
            return None;
        }
        open.last += 1;
        let number = open.last;
        open.by_number.insert(number, Arc::clone(connection));
        Some(number)
    }

    fn remove(&self, number: u64) {
        let mut open = self.open.lock();
        open.by_number.remove(&number);
        if open.by_number.is_empty() {
            self.all_closed.notify_waiters();
        }
    }

    async fn closed(&self) {
        loop {
            let all_closed = self.all_closed.notified();
            if self.open.lock().by_number.is_empty() {
                return;
            }
            all_closed.await;
        }
    }

    fn tell_all(&self, instruction: Instruction) {
        for connection in self.open.lock().by_number.values() {
            connection.tell(instruction);
        }
    }
}

fn builder(options: &Options) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
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
        .max_header_list_size(u32::try_from(options.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(options.idle_timeout)
        .keep_alive_timeout(options.write_timeout);
    builder
}

impl Server {
    async fn accept(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.admit(stream),
                Err(error) => {
                    if !is_of_one_connection(&error) {
                        tracing::error!(%error, "cannot accept connections");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream) {
        let connection = Arc::new(Connection::new(self.edge.clock.elapsed()));
        let max = self.edge.options.connections_max;
        let Some(number) = self.connections.insert(&connection, max) else {
            self.edge.metrics.turned_away();
            // As much as fits without waiting. A client that does not read it sees the connection
            // close.
            let _ = stream.try_write(TOO_MANY_CONNECTIONS);
            return;
        };
        self.edge.metrics.connected();
        let open = Open {
            number,
            edge: Arc::clone(&self.edge),
            connections: Arc::clone(&self.connections),
        };
        let serving =
            serve_connection(self.builder.clone(), Arc::clone(&self.service), connection, stream);
        tokio::spawn(async move {
            serving.await;
            drop(open);
        });
    }

    async fn sweep(&self) {
        let mut ticks = tokio::time::interval(sweep_period(&self.edge.options));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = self.edge.clock.elapsed();
            for connection in self.connections.open.lock().by_number.values() {
                if let Some(stall) = connection.sweep(now, &self.edge.options) {
                    self.edge.metrics.stalled(stall);
                }
            }
        }
    }

    async fn drain(self) {
        self.connections.tell_all(Instruction::Finish);
        let drained = async {
            tokio::select! {
                () = self.connections.closed() => {}
                () = self.sweep() => {}
            }
        };
        if tokio::time::timeout(self.edge.options.drain_timeout, drained).await.is_err() {
            let open = self.connections.open.lock().by_number.len();
            tracing::warn!(open, "connections dropped at the end of the drain");
            self.connections.tell_all(Instruction::Abort);
            self.connections.closed().await;
        }
        tracing::info!("http drained");
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
    builder: Builder<TokioExecutor>,
    service: Arc<EdgeService>,
    connection: Arc<Connection>,
    stream: TcpStream,
) {
    // Answers are written whole, so there is nothing to gather.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Counted::new(stream, Arc::clone(&connection)));
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
        // A connection's error is not the server's: its client went away or did not speak HTTP.
        serving.as_mut().poll(context).map(|_| ())
    })
    .await;
}

/// Counts a connection as open until it is dropped.
struct Open {
    number: u64,
    edge: Arc<Edge>,
    connections: Arc<Connections>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.remove(self.number);
        self.edge.metrics.disconnected();
    }
}
