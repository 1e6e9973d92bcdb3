//! Ports that stay ours while a server is down.
//!
//! A port from `bind(0)` lies in the range from which the system also takes the local ports of
//! outgoing connections. Once the server is killed, any client may be given its port, and a client
//! that keeps reconnecting to it can even connect to itself, after which a restart fails. So ports
//! are drawn below that range, and each is reserved against other harnesses, in this process or
//! another, by holding the UDP port of the same number.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

const LOWEST: u16 = 10_240;
/// Where Linux starts the ephemeral range unless told otherwise.
const EPHEMERAL_LOWEST_DEFAULT: u16 = 32_768;
const DRAWS_MAX: u64 = 10_000;

/// A reserved loopback port.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _reservation: UdpSocket,
}

impl Port {
    /// Draws a port on which nothing listens.
    pub(crate) fn reserve() -> io::Result<Self> {
        let span = u64::from(ephemeral_lowest().saturating_sub(LOWEST).max(1_024));
        let random = RandomState::new();
        for draw in 0..DRAWS_MAX {
            let offset = u16::try_from(random.hash_one(draw) % span).unwrap_or_default();
            let number = LOWEST + offset;
            let Ok(reservation) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self { number, _reservation: reservation });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no free loopback port"))
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

fn ephemeral_lowest() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(EPHEMERAL_LOWEST_DEFAULT)
}
