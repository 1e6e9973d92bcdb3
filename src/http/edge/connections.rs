//! The connections of a listener: which are open, and whether one more may be.

use super::connection::{Connection, Instruction};
use crate::http::options::ConnectionsMax;
use domain::Address;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// Why a connection is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// As many are open as may be.
    TooMany,
    /// As many are open as one address may hold.
    TooManyOfAddress,
    /// The process may open no more files and sockets.
    NoDescriptors,
    /// A proxy that has to say for whom it connects did not.
    NoProxyHeader,
    /// The client did not speak TLS, or not in time.
    NoHandshake,
}

impl Refused {
    /// All reasons, in the order of their declaration.
    pub const ALL: [Self; 5] = [
        Self::TooMany,
        Self::TooManyOfAddress,
        Self::NoDescriptors,
        Self::NoProxyHeader,
        Self::NoHandshake,
    ];

    /// Returns its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::TooManyOfAddress => "too_many_of_address",
            Self::NoDescriptors => "no_descriptors",
            Self::NoProxyHeader => "no_proxy_header",
            Self::NoHandshake => "no_handshake",
        }
    }

    /// Returns what it tells the client.
    pub fn detail(self) -> &'static str {
        match self {
            Self::TooMany => "too many connections are open",
            Self::TooManyOfAddress => "too many connections are open from your address",
            Self::NoDescriptors => "the server cannot open more connections",
            Self::NoProxyHeader => "the proxy in front of this server sends no PROXY header",
            Self::NoHandshake => "this server speaks TLS",
        }
    }
}

/// The open connections of a listener.
#[derive(Debug)]
pub struct Connections {
    open: Mutex<Open>,
    all_closed: Notify,
    max: ConnectionsMax,
}

#[derive(Debug, Default)]
struct Open {
    by_number: HashMap<u64, (Arc<Connection>, Option<Address>)>,
    by_address: HashMap<Address, usize>,
    last: u64,
}

impl Connections {
    /// Makes the registry of a listener, empty.
    pub fn new(max: ConnectionsMax) -> Self {
        Self { open: Mutex::default(), all_closed: Notify::new(), max }
    }

    /// Registers the connection of a client at `address` and returns its number. One that comes through
    /// a proxy has no address until the proxy has said it.
    ///
    /// # Errors
    /// Returns why if it may not be open.
    pub fn insert(
        &self,
        connection: &Arc<Connection>,
        address: Option<Address>,
    ) -> Result<u64, Refused> {
        let mut open = self.open.lock();
        if open.by_number.len() >= self.max.all {
            return Err(Refused::TooMany);
        }
        if let Some(address) = address {
            open.count(address, self.max.of_address)?;
        }
        open.last += 1;
        let number = open.last;
        let address = address.map(Address::subscriber);
        open.by_number.insert(number, (Arc::clone(connection), address));
        Ok(number)
    }

    /// Notes the address of the client whose connection has this number.
    ///
    /// # Errors
    /// Returns why if it may not stay open.
    pub fn set_address(&self, number: u64, address: Address) -> Result<(), Refused> {
        let mut open = self.open.lock();
        open.count(address, self.max.of_address)?;
        if let Some((_, of_connection)) = open.by_number.get_mut(&number) {
            *of_connection = Some(address.subscriber());
        }
        Ok(())
    }

    /// Notes that the connection of this number is closed.
    pub fn remove(&self, number: u64) {
        let mut open = self.open.lock();
        let Some((_, address)) = open.by_number.remove(&number) else { return };
        if let Some(address) = address {
            open.discount(address);
        }
        if open.by_number.is_empty() {
            self.all_closed.notify_waiters();
        }
    }

    /// Returns how many are open.
    pub fn count(&self) -> usize {
        self.open.lock().by_number.len()
    }

    /// Waits until none is open.
    pub async fn closed(&self) {
        loop {
            let all_closed = self.all_closed.notified();
            if self.open.lock().by_number.is_empty() {
                return;
            }
            all_closed.await;
        }
    }

    /// Tells each connection's task what to do.
    pub fn tell_all(&self, instruction: Instruction) {
        self.for_each(|connection| connection.tell(instruction));
    }

    /// Calls `look` with each open connection.
    pub fn for_each(&self, mut look: impl FnMut(&Connection)) {
        for (connection, _) in self.open.lock().by_number.values() {
            look(connection);
        }
    }
}

impl Open {
    /// Counts a connection for the address: of IPv6 for the network of 64 bits, because a client has a
    /// whole one to itself.
    fn count(&mut self, address: Address, max: usize) -> Result<(), Refused> {
        let of_address = self.by_address.entry(address.subscriber()).or_default();
        if *of_address >= max {
            return Err(Refused::TooManyOfAddress);
        }
        *of_address += 1;
        Ok(())
    }

    fn discount(&mut self, address: Address) {
        if let Some(of_address) = self.by_address.get_mut(&address) {
            *of_address -= 1;
            if *of_address == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use std::time::Duration;

    #[test]
    fn one_address_holds_its_share_and_no_more() {
        let connections = Connections::new(ConnectionsMax { all: 4, of_address: 2 });
        let connection = Arc::new(Connection::new(Duration::ZERO));
        let address = |text: &str| Address::from(text.parse::<IpAddr>().expect("an address"));
        let open = |text: &str| connections.insert(&connection, Some(address(text)));
        assert_eq!(open("192.0.2.1"), Ok(1));
        assert_eq!(open("::ffff:192.0.2.1"), Ok(2));
        assert_eq!(open("192.0.2.1"), Err(Refused::TooManyOfAddress));
        assert_eq!(open("2001:db8::1"), Ok(3));
        assert_eq!(open("2001:db8::ffff:1"), Ok(4));
        assert_eq!(open("2001:db8:0:1::1"), Err(Refused::TooMany));
        connections.remove(4);
        assert_eq!(open("2001:db8:0:1::1"), Ok(5));
        connections.remove(1);
        assert_eq!(open("192.0.2.1"), Ok(6));
        assert_eq!(connections.count(), 4);
        connections.remove(6);

        // Through a proxy.
        assert_eq!(connections.insert(&connection, None), Ok(7));
        let third = connections.set_address(7, address("::ffff:192.0.2.1"));
        assert_eq!(third, Ok(()), "one of two was closed");
        assert_eq!(open("192.0.2.9"), Err(Refused::TooMany));
        connections.remove(3);
        assert_eq!(open("192.0.2.1"), Err(Refused::TooManyOfAddress));
        connections.remove(7);
        assert_eq!(open("192.0.2.1"), Ok(8), "what the proxy said is forgotten with it");
    }
}
