//! Where one connection's requests enter a shop of several nodes, and where it goes on.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::dispatcher::Job;
use super::work::Work;
use crate::wire::Link;

/// One connection: a link to each node, of which those that are not used are not open.
pub struct Entry {
    work: Arc<Work>,
    entrances: watch::Receiver<Vec<SocketAddr>>,
    nodes: Vec<(SocketAddr, Link)>,
    slot: usize,
    /// The place of the node at which it enters.
    place: usize,
    /// That of the node which the last request went to.
    last: usize,
}

impl Entry {
    /// The connection with this number: connections spread evenly over the nodes.
    pub fn new(work: &Arc<Work>, slot: usize) -> Self {
        let entrances = work.entrances.watch();
        let work = Arc::clone(work);
        let mut entry = Self { work, entrances, nodes: Vec::new(), slot, place: 0, last: 0 };
        entry.look();
        entry
    }

    /// Opens the link now, so that the first request does not pay for it.
    pub async fn connect(&mut self) {
        // A server that is not there yet shows in the first request's outcome.
        let _ = self.nodes[self.place].1.connect().await;
    }

    /// The link over which this request goes.
    pub fn link_for(&mut self, job: &Job) -> &mut Link {
        if self.entrances.has_changed().unwrap_or(false) {
            self.look();
        }
        let deciders = self.work.deciders.as_ref();
        let decider = deciders.and_then(|deciders| deciders.of(job.action));
        self.last = decider.and_then(|node| self.beside(node, job.tries)).unwrap_or(self.place);
        self.link()
    }

    /// The link over which the last request went.
    pub fn link(&mut self) -> &mut Link {
        &mut self.nodes[self.last].1
    }

    /// The last request's node does not answer, or cannot now: what comes next goes to the next one.
    pub fn go_on(&mut self) {
        if self.nodes.len() > 1 {
            let (address, link) = &mut self.nodes[self.last];
            *link = Link::new(*address, self.work.generator.timeout());
            self.place = (self.place + 1) % self.nodes.len();
        }
    }

    /// The place of a node that is not this one; another one with each try.
    fn beside(&self, decider: SocketAddr, tries: u8) -> Option<usize> {
        let places = 0..self.nodes.len();
        let others: Vec<usize> = places.filter(|place| self.nodes[*place].0 != decider).collect();
        let turn = (self.slot + usize::from(tries)).checked_rem(others.len())?;
        others.get(turn).copied()
    }

    /// Takes what has changed: links to nodes that are still there stay as they are.
    fn look(&mut self) {
        let addresses = self.entrances.borrow_and_update().clone();
        let mut before = std::mem::take(&mut self.nodes);
        let timeout = self.work.generator.timeout();
        let mut link_to = |address: SocketAddr| {
            let place = before.iter().position(|(other, _)| *other == address);
            let kept = place.map(|place| before.swap_remove(place).1);
            kept.unwrap_or_else(|| Link::new(address, timeout))
        };
        let nodes = addresses.into_iter().map(|address| (address, link_to(address)));
        self.nodes = nodes.collect();
        self.place = self.slot % self.nodes.len();
    }
}
