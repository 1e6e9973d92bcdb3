//! A TCP proxy whose faults a test switches on and off while connections are open.
//!
//! One thread runs a small event loop that owns the listener and every connection, so that
//! dropping the proxy closes them all. [`pump`](crate::pump) moves the bytes.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::fault::{Link, Orders, Sender, Shared, Trap};
use crate::port::Port;
use crate::process::LOOK_INTERVAL;
use crate::pump::{End, Pump};

const CONNECTIONS_MAX: usize = 4_096;

/// A proxy in front of one address. It starts out passing everything on.
///
/// A fault stays on until [`Proxy::restore`]; those of [`Proxy::cut_after`] and
/// [`Proxy::lose_answer_to`] happen once, [`Proxy::half_close`] to the connections open now.
/// When a method returns, its fault is in force. None of them waits for a peer.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    orders: Option<watch::Sender<Orders>>,
    shared: Arc<Shared>,
    event_loop: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy in front of `target`, which need not listen yet.
    ///
    /// # Panics
    ///
    /// If the system has no port or thread left.
    #[must_use]
    pub fn to(target: SocketAddr) -> Self {
        let port = Port::reserve().expect("a free port for the proxy");
        let listener = StdListener::bind(port.address()).expect("the proxy's port is free");
        let (orders, watched) = watch::channel(Orders::default());
        let shared = Arc::new(Shared::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("an event loop for the proxy");
        let event_loop = EventLoop { target, address: port.address(), shared: shared.clone() };
        let event_loop = thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || runtime.block_on(event_loop.run(listener, watched)))
            .expect("a thread for the proxy");
        Self { port, orders: Some(orders), shared, event_loop: Some(event_loop) }
    }

    /// The address to which clients connect; the same for the proxy's whole life.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.port.address()
    }

    /// `url` with the proxy's host and port in place of its own.
    #[must_use]
    pub fn url_for(&self, url: &str) -> String {
        let start = url.find("://").map_or(0, |position| position + 3);
        let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |length| start + length);
        let host = url[start..end].rfind('@').map_or(start, |position| start + position + 1);
        format!("{}{}{}", &url[..host], self.addr(), &url[end..])
    }

    /// Resets every connection and refuses new ones.
    pub fn cut(&self) {
        self.order(|orders| {
            orders.link = Link::Cut;
            orders.cuts += 1;
        });
    }

    /// Resets every connection open now; new ones pass.
    pub fn reset_connections(&self) {
        self.order(|orders| orders.cuts += 1);
    }

    /// Keeps each byte for a time, in each direction. Order is kept and nothing is lost; a peer
    /// that sends on is held up once a megabyte is under way.
    pub fn delay(&self, delay: Duration) {
        self.order(|orders| orders.delay = delay);
    }

    /// Ends the server's half of each connection open now: the client reads the end of the stream,
    /// whatever the server still says is dropped, and what the client says still arrives.
    pub fn half_close(&self) {
        self.order(|orders| orders.half_closes += 1);
    }

    /// Accepts connections and keeps those there are, but moves no byte. What was sent meanwhile
    /// arrives after [`Proxy::restore`], as it does when a network heals.
    pub fn blackhole(&self) {
        self.order(|orders| orders.link = Link::Blackhole);
    }

    /// Passes on what one side sends, and holds back what the other does until [`Proxy::restore`].
    pub fn one_way(&self, heard: Sender) {
        self.order(|orders| orders.link = Link::OneWay(heard));
    }

    /// Passes on `bytes` more bytes from one side, over all connections together, then resets the
    /// connection that sent the last of them; with 0, the one that sends next, whose bytes are
    /// dropped. Once only. `cut_after(Sender::Server, 0)` loses the next answer of any connection.
    pub fn cut_after(&self, sender: Sender, bytes: u64) {
        self.shared.lock().trap = Some(Trap::After { sender, bytes_left: bytes });
    }

    /// Loses one answer: the first request that contains `pattern` is passed on, and when the
    /// server answers on that connection, the client is reset instead. Once only. With `COMMIT`,
    /// the transaction is committed and its client cannot know.
    ///
    /// # Panics
    ///
    /// If the pattern is empty.
    pub fn lose_answer_to(&self, pattern: &[u8]) {
        assert!(!pattern.is_empty(), "every request contains the empty pattern");
        self.shared.lock().trap = Some(Trap::AnswerTo { pattern: pattern.to_owned() });
    }

    /// Switches every fault off, including one that was to happen once and has not yet.
    pub fn restore(&self) {
        self.shared.lock().trap = None;
        self.order(|orders| {
            orders.link = Link::Up;
            orders.delay = Duration::ZERO;
        });
    }

    /// How many clients are connected now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Waits until exactly so many clients are connected.
    ///
    /// # Panics
    ///
    /// If they are not within a minute.
    pub fn wait_for_connections(&self, count: usize) {
        self.shared.wait_for("connections", |state| state.connections == count);
    }

    /// How often [`Proxy::cut_after`] and [`Proxy::lose_answer_to`] have reset a connection.
    #[must_use]
    pub fn traps_sprung(&self) -> u64 {
        self.shared.lock().traps_sprung
    }

    /// Waits until [`Proxy::traps_sprung`] is at least `count`.
    ///
    /// # Panics
    ///
    /// If it is not within a minute.
    pub fn wait_for_traps(&self, count: u64) {
        self.shared.wait_for("traps", |state| state.traps_sprung >= count);
    }

    /// Gives an order and waits until the event loop has carried it out.
    fn order(&self, change: impl FnOnce(&mut Orders)) {
        let Some(orders) = &self.orders else { return };
        let mut version = 0;
        orders.send_modify(|orders| {
            change(orders);
            orders.version += 1;
            version = orders.version;
        });
        self.shared.wait_for("the event loop", |state| state.applied_version >= version);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The event loop ends, and with it every connection, when nobody can give orders.
        drop(self.orders.take());
        if let Some(event_loop) = self.event_loop.take() {
            // A panic there was printed by its own thread; one here would hide the test's.
            let _ = event_loop.join();
        }
    }
}

struct EventLoop {
    target: SocketAddr,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl EventLoop {
    async fn run(self, listener: StdListener, mut orders: watch::Receiver<Orders>) {
        let mut listener = Some(nonblocking(listener).expect("a listener just bound"));
        let mut connections = JoinSet::new();
        let mut applied = Orders::default();
        loop {
            tokio::select! {
                biased;
                changed = orders.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = *orders.borrow_and_update();
                    if now.link == Link::Cut {
                        listener = None;
                    } else if listener.is_none() {
                        listener = Some(self.listen().await);
                    }
                    if now.cuts != applied.cuts {
                        // All of them are older than the order, so all of them end.
                        while connections.join_next().await.is_some() {}
                    }
                    applied = now;
                    self.shared.update(|state| state.applied_version = now.version);
                }
                client = accept(listener.as_ref()), if connections.len() < CONNECTIONS_MAX => {
                    let connection = Connection::new(applied, orders.clone(), &self.shared);
                    connections.spawn(connection.serve(client, self.target));
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }

    /// Another process may hold the port for a moment; the harness's own never do.
    async fn listen(&self) -> TcpListener {
        loop {
            match StdListener::bind(self.address).and_then(nonblocking) {
                Ok(listener) => return listener,
                Err(_) => tokio::time::sleep(LOOK_INTERVAL).await,
            }
        }
    }
}

fn nonblocking(listener: StdListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// The next client; none as long as there is no listener.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((client, _)) => return client,
            // The client has gone already, or the process has too many files open just now.
            Err(_) => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

/// One client's connection; counted while it lives.
struct Connection {
    /// The orders in force when it was accepted.
    born: Orders,
    orders: watch::Receiver<Orders>,
    shared: Arc<Shared>,
}

impl Connection {
    fn new(born: Orders, orders: watch::Receiver<Orders>, shared: &Arc<Shared>) -> Self {
        shared.update(|state| state.connections += 1);
        Self { born, orders, shared: shared.clone() }
    }

    async fn serve(self, mut client: TcpStream, target: SocketAddr) {
        let mut orders = self.orders.clone();
        let ended = tokio::select! {
            biased;
            _ = orders.wait_for(|orders| orders.cuts != self.born.cuts) => Err(End::Broken),
            ended = self.carry(&mut client, target) => ended,
        };
        if let Err(end) = ended {
            // The client is to see a reset, not the end of a stream. Fails on a dead socket only.
            let _ = client.set_zero_linger();
            drop(client);
            if end == End::Trapped {
                self.shared.update(|state| state.traps_sprung += 1);
            }
        }
    }

    async fn carry(&self, client: &mut TcpStream, target: SocketAddr) -> Result<(), End> {
        let mut orders = self.orders.clone();
        // In a black hole the server does not even hear of the connection.
        let up = orders.wait_for(|orders| orders.link != Link::Blackhole).await.map(drop);
        up.map_err(|_| End::Broken)?;
        let mut server = TcpStream::connect(target).await.map_err(|_| End::Broken)?;
        // Delays are ours to make, not the kernel's. Fails on a dead socket only.
        let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
        let answer_lost = AtomicBool::new(false);
        let (client_reader, client_writer) = client.split();
        let (server_reader, server_writer) = server.split();
        let pump = |sender| {
            let half_closes = self.born.half_closes;
            Pump::new(sender, self.orders.clone(), half_closes, &self.shared, &answer_lost)
        };
        let requests = pump(Sender::Client).run(client_reader, server_writer);
        let answers = pump(Sender::Server).run(server_reader, client_writer);
        tokio::try_join!(requests, answers).map(drop)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.update(|state| state.connections -= 1);
    }
}
