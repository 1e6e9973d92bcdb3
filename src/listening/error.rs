//! Why an address cannot be listened on.

use std::io;
use std::net::SocketAddr;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The operating system refuses it.
    #[error("cannot listen on {address} ({setting}): {source}")]
    System {
        /// The setting that names the address.
        setting: &'static str,
        /// The address to listen on.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// The service manager listens elsewhere.
    #[error("the service manager listens on {socket}, and {setting} is {address}")]
    Elsewhere {
        /// The setting that names the address.
        setting: &'static str,
        /// The address that it names.
        address: SocketAddr,
        /// Where the socket listens that was passed for it.
        socket: SocketAddr,
    },
    /// What the service manager passed is not what this program takes.
    #[error("the service manager's sockets cannot be used: {0}")]
    Passed(String),
}

impl ListenError {
    /// Whether it is the service manager's socket that cannot be used.
    pub fn is_of_passed_socket(&self) -> bool {
        !matches!(self, Self::System { .. })
    }
}
