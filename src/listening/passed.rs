//! Sockets that a service manager listens on and passes to this process (systemd's socket activation).
//!
//! The manager keeps them when the process ends, however it ends, so that clients wait in the kernel's queue
//! for the next process. Must not know what is served there.

use super::error::ListenError;
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// The most sockets that are taken: one for each listener.
const SOCKETS_MAX: usize = 2;
/// The name of the socket for those who run the shop; any other is the shop's.
const OPERATIONS: &str = "operations";

/// A socket that listens, passed by the service manager.
#[derive(Debug)]
pub struct PassedSocket {
    pub(super) listener: TcpListener,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

/// The sockets that were passed; none by default.
#[derive(Debug, Default)]
pub struct PassedSockets {
    /// The one for buyers.
    pub shop: Option<PassedSocket>,
    /// The one for those who run the shop.
    pub operations: Option<PassedSocket>,
}

impl PassedSockets {
    /// Takes what the environment names (`LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`): the socket called
    /// `operations` for those who run the shop, another one for buyers. To be called once, before the process
    /// opens sockets of its own.
    ///
    /// # Errors
    /// Returns [`ListenError::Passed`] if there are others, or one does not listen for TCP.
    pub fn from_environment() -> Result<Self, ListenError> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let process = variable("LISTEN_PID");
        if !process.is_empty() && process.parse() != Ok(std::process::id()) {
            // They were meant for a process that has started this one.
            return Ok(Self::default());
        }
        let count: usize = variable("LISTEN_FDS").parse().unwrap_or_default();
        if count > SOCKETS_MAX {
            let what = format!("there are {count}, and {SOCKETS_MAX} are the most");
            return Err(ListenError::Passed(what));
        }
        let names = variable("LISTEN_FDNAMES");
        let mut names = names.split(':');
        let mut found = ListenFd::from_env();
        let mut passed = Self::default();
        for index in 0..found.len() {
            let name = names.next().unwrap_or_default();
            let refused = |why: String| ListenError::Passed(format!("{name:?}: {why}"));
            let listener = found.take_tcp_listener(index).and_then(listening);
            let socket = listener.map_err(|error| refused(error.to_string()))?;
            let (place, whose) = match name {
                OPERATIONS => (&mut passed.operations, OPERATIONS),
                _ => (&mut passed.shop, "the shop"),
            };
            if place.is_some() {
                return Err(refused(format!("there is another one for {whose} already")));
            }
            *place = Some(socket);
        }
        Ok(passed)
    }
}

fn listening(listener: Option<TcpListener>) -> io::Result<PassedSocket> {
    let listener = listener.ok_or(io::ErrorKind::NotFound)?;
    if !socket_acceptconn(&listener)? {
        return Err(io::Error::other("it does not listen"));
    }
    let address = listener.local_addr()?;
    Ok(PassedSocket { listener, address })
}
