//! Where clients enter a shop: the addresses of its nodes, out of which one may be taken while they come, and to
//! which one may be added, as the load balancer in front of them would.

use std::net::SocketAddr;

use tokio::sync::watch;

/// The addresses at which clients enter: of several nodes, one for each. Clones share them.
#[derive(Debug, Clone)]
pub struct Entrances(watch::Sender<Vec<SocketAddr>>);

impl Entrances {
    /// Clients enter at these, at least one.
    #[must_use]
    pub fn at(addresses: Vec<SocketAddr>) -> Self {
        Self(watch::Sender::new(addresses))
    }

    /// Nobody enters there any more. The last one stays.
    pub fn close(&self, address: SocketAddr) {
        self.0.send_if_modified(|open| {
            let is_one_of_several = open.len() > 1 && open.contains(&address);
            if is_one_of_several {
                open.retain(|other| *other != address);
            }
            is_one_of_several
        });
    }

    /// Clients enter there too.
    pub fn open(&self, address: SocketAddr) {
        self.0.send_if_modified(|open| {
            let is_new = !open.contains(&address);
            if is_new {
                open.push(address);
            }
            is_new
        });
    }

    /// For a connection, which sees what changes.
    pub(super) fn watch(&self) -> watch::Receiver<Vec<SocketAddr>> {
        self.0.subscribe()
    }
}
