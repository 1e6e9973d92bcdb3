//! The addresses that the process listens on: taken before anything is made on the disk, and listened on
//! once all has been recovered. Or sockets that a service manager listens on and passes: clients wait there
//! while no process serves, and none is refused.

mod error;
mod passed;

pub use error::ListenError;
pub use passed::{PassedSocket, PassedSockets};

use crate::config::OPERATIONS_LISTEN_DEFAULT;
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that the kernel keeps while none is accepted; it has a limit of its own.
const WAITING_MAX: u32 = 1_024;

/// An address that is taken, without being served yet. Clients are refused meanwhile, except where the
/// service manager listens: they wait there.
pub struct ReservedAddress {
    setting: &'static str,
    address: SocketAddr,
    socket: Socket,
}

enum Socket {
    Bound(TcpSocket),
    Passed(std::net::TcpListener),
}

impl ReservedAddress {
    /// Takes the address that the setting names, or the socket that listens there already.
    ///
    /// # Errors
    /// Returns [`ListenError`] if the address is taken already or cannot be used, or the socket listens
    /// elsewhere.
    pub fn take(
        setting: &'static str,
        address: SocketAddr,
        passed: Option<PassedSocket>,
    ) -> Result<Self, ListenError> {
        let Some(PassedSocket { listener, address: socket }) = passed else {
            return Self::bind(setting, address);
        };
        // Port 0 is any.
        if socket.ip() != address.ip() || ![0, socket.port()].contains(&address.port()) {
            return Err(ListenError::Elsewhere { setting, address, socket });
        }
        Ok(Self { setting, address, socket: Socket::Passed(listener) })
    }

    fn bind(setting: &'static str, address: SocketAddr) -> Result<Self, ListenError> {
        // What shares its address shares it with everybody who asks for that, until one of them
        // listens. So it is asked for only where the address cannot be had alone: connections of a
        // process before are not quite over yet. A process that has it alone still keeps it then.
        let socket = match bound(address, false) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => bound(address, true),
            bound => bound,
        };
        let socket = socket.map_err(|source| ListenError::System { setting, address, source })?;
        Ok(Self { setting, address, socket: Socket::Bound(socket) })
    }

    /// Listens, and returns where.
    ///
    /// # Errors
    /// Returns [`ListenError`] if another process listens there by now.
    pub fn listen(self) -> Result<(TcpListener, SocketAddr), ListenError> {
        let Self { setting, address, socket } = self;
        let listening = match socket {
            Socket::Bound(socket) => listen_on(socket),
            Socket::Passed(listener) => take_over(listener),
        };
        listening.map_err(|source| ListenError::System { setting, address, source })
    }
}

fn listen_on(socket: TcpSocket) -> io::Result<(TcpListener, SocketAddr)> {
    // While one listens nobody else can; its connections that are not quite over are not to keep the
    // next process out.
    socket.set_reuseaddr(true)?;
    let listener = socket.listen(WAITING_MAX)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

fn take_over(listener: std::net::TcpListener) -> io::Result<(TcpListener, SocketAddr)> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// A socket at the address, which it may share with others.
fn bound(address: SocketAddr, shares: bool) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(shares)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Takes the address for operations.
///
/// # Errors
/// Returns [`ListenError`] as [`ReservedAddress::take`] does; if the default is taken, a free port is.
pub fn reserve_operations(
    address: SocketAddr,
    passed: Option<PassedSocket>,
) -> Result<ReservedAddress, ListenError> {
    const SETTING: &str = "operations.listen";
    match ReservedAddress::take(SETTING, address, passed) {
        Err(error) if may_move(address, &error) => {
            ReservedAddress::bind(SETTING, any_port(address))
        }
        reserved => reserved,
    }
}

/// Listens for operations. The address may have been taken since by a process that started meanwhile.
///
/// # Errors
/// Returns [`ListenError`] as [`ReservedAddress::listen`] does, unless it is the default one.
pub fn listen_for_operations(
    reserved: ReservedAddress,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let (setting, address) = (reserved.setting, reserved.address);
    match reserved.listen() {
        Err(error) if may_move(address, &error) => {
            ReservedAddress::bind(setting, any_port(address))?.listen()
        }
        listening => listening,
    }
}

/// Whether another port will do: the address is the default one, which a second shop on the machine, or
/// Prometheus itself, may have.
fn may_move(address: SocketAddr, error: &ListenError) -> bool {
    let ListenError::System { source, .. } = error else { return false };
    let is_taken = source.kind() == io::ErrorKind::AddrInUse;
    let may = is_taken && address == OPERATIONS_LISTEN_DEFAULT;
    if may {
        tracing::warn!(%address, "the default of operations.listen is taken: using a free port");
    }
    may
}

fn any_port(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpStream};

    fn reserve(address: SocketAddr) -> Result<ReservedAddress, ListenError> {
        ReservedAddress::take("http.listen", address, None)
    }

    #[tokio::test]
    async fn an_address_is_reserved_once_also_before_anybody_listens() {
        let first = reserve((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let Socket::Bound(socket) = &first.socket else { panic!("nothing was passed") };
        let address = socket.local_addr().expect("an address");
        let second = reserve(address).map(drop).expect_err("two have the address").to_string();
        assert!(second.contains(&format!("cannot listen on {address} (http.listen)")), "{second}");
        let (_listener, listens_on) = first.listen().expect("the first listens");
        assert_eq!(listens_on, address);
    }

    #[tokio::test]
    async fn connections_that_are_not_quite_over_do_not_keep_the_address() {
        let (listener, address) = reserve((Ipv4Addr::LOCALHOST, 0).into())
            .expect("a free port")
            .listen()
            .expect("listens");
        let mut client = TcpStream::connect(address).expect("connected");
        let (accepted, _) = listener.accept().await.expect("a client");
        // The side that closes first keeps the address for a minute.
        drop((accepted, listener));
        assert_eq!(client.read(&mut [0; 1]).expect("the end"), 0);
        drop(client);
        reserve(address).expect("free again").listen().expect("listens");
    }
}
