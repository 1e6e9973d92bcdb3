//! This node's links to all others: opened when they are needed, and again when they have broken.
//!
//! A peer that cannot be reached is tried ever more rarely, and one that does not answer is left alone for a
//! moment, so that a node that is down costs nobody time. Must not know which node serves what.

use super::breaker::Breaker;
use super::handshake::PeerKey;
use super::link::{CallError, Ends, Link, LinkError};
use super::wire::{self, Answer, Ask};
use crate::clock::Clock;
use crate::telemetry::metrics::{PEER_CALL_OUTCOMES, PEER_CALLS_TOTAL};
use crate::telemetry::text::Histogram;
use domain::ShardId;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How soon a peer is tried again that could not be reached, at first and at the longest.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The links of one node. Cheap to clone; clones share them.
#[derive(Clone, Debug)]
pub struct Links(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    own: String,
    key: PeerKey,
    calls_max: usize,
    clock: Clock,
    peers: RwLock<HashMap<String, Arc<Peer>>>,
    /// Of the calls that were answered.
    durations: Histogram,
}

/// One peer, at one address.
#[derive(Debug)]
struct Peer {
    name: String,
    address: String,
    breaker: Breaker,
    link: RwLock<Option<Arc<Link>>>,
    /// Held by who opens the link.
    opening: Mutex<Opening>,
}

/// When a link may be opened again, and what was wrong the last time.
#[derive(Debug, Default)]
struct Opening {
    not_before: Duration,
    wait: Duration,
    trouble: Option<LinkError>,
}

/// How a node's links are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkFigures {
    /// Links that are open.
    pub open: usize,
    /// Peers that are left alone at present, because they did not answer.
    pub left_alone: usize,
}

impl Links {
    /// The links of node `own`, on each of which `calls_max` calls may be under way. None is open yet.
    pub fn new(own: &str, key: PeerKey, calls_max: usize, clock: Clock) -> Self {
        let (own, peers) = (own.to_owned(), RwLock::default());
        let durations = Histogram::of_durations();
        Self(Arc::new(Inner { own, key, calls_max, clock, peers, durations }))
    }

    /// Asks the node of this name, which listens at `address`, and waits for its answer until `deadline`.
    ///
    /// # Errors
    /// Returns [`CallError`], which says whether it may have arrived.
    pub async fn call(
        &self,
        (name, address): (&str, &str),
        shard: ShardId,
        ask: &Ask,
        deadline: Instant,
    ) -> Result<Answer, CallError> {
        let peer = self.peer(name, address);
        let began = self.0.clock.elapsed();
        let called = self.try_call(&peer, shard, ask, deadline).await;
        let [answered, busy, not_sent, broken, silent] = PEER_CALL_OUTCOMES;
        let outcome = match &called {
            Ok(_) => answered,
            Err(CallError::Busy) => busy,
            Err(CallError::NotSent) => not_sent,
            Err(CallError::Broken) => broken,
            Err(CallError::Silent) => silent,
        };
        metrics::counter!(PEER_CALLS_TOTAL, "outcome" => outcome).increment(1);
        // How long a change takes is not how long the peer does.
        if called.is_ok() && !matches!(ask, Ask::AwaitChange { .. }) {
            let took = self.0.clock.elapsed().saturating_sub(began);
            self.0.durations.observe(took, 1);
        }
        called
    }

    /// How long other nodes took to answer since the start.
    pub fn durations(&self) -> &Histogram {
        &self.0.durations
    }

    /// How the links are.
    pub fn figures(&self) -> LinkFigures {
        let mut figures = LinkFigures::default();
        for peer in self.0.peers.read().values() {
            figures.open += usize::from(peer.open_link().is_some());
            figures.left_alone += usize::from(peer.breaker.is_open());
        }
        figures
    }

    /// Forgets the peers that are not among these: they have left the cluster.
    pub fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.0.peers.write().retain(|name, _| is_there(name));
    }

    async fn try_call(
        &self,
        peer: &Peer,
        shard: ShardId,
        ask: &Ask,
        deadline: Instant,
    ) -> Result<Answer, CallError> {
        let what = wire::encode_ask(ask).map_err(|_| CallError::NotSent)?;
        let clock = &self.0.clock;
        if !peer.breaker.admits(clock.elapsed()) {
            return Err(CallError::NotSent);
        }
        let called = match self.link(peer, deadline).await {
            Some(link) => link.call(shard.0, what, deadline).await,
            None => Err(CallError::NotSent),
        };
        match &called {
            Ok(_) => peer.breaker.note_success(),
            // It says nothing about the peer.
            Err(CallError::Busy) => {}
            Err(error) => {
                if peer.breaker.note_failure(clock.elapsed()) {
                    tracing::warn!(peer = peer.name, %error, "the peer is left alone for a moment");
                }
            }
        }
        called
    }

    /// The peer of this name. One that is somewhere else now is another peer.
    fn peer(&self, name: &str, address: &str) -> Arc<Peer> {
        let known = self.0.peers.read().get(name).cloned();
        if let Some(known) = known.filter(|peer| peer.address == address) {
            return known;
        }
        let peer = Arc::new(Peer {
            name: name.to_owned(),
            address: address.to_owned(),
            breaker: Breaker::default(),
            link: RwLock::default(),
            opening: Mutex::default(),
        });
        let mut peers = self.0.peers.write();
        let place = peers.entry(name.to_owned()).or_insert_with(|| Arc::clone(&peer));
        if place.address != address {
            *place = peer;
        }
        Arc::clone(place)
    }

    /// The open link to a peer, opened if need be; none if that is not possible now.
    async fn link(&self, peer: &Peer, deadline: Instant) -> Option<Arc<Link>> {
        if let Some(link) = peer.open_link() {
            return Some(link);
        }
        let mut opening = tokio::time::timeout_at(deadline, peer.opening.lock()).await.ok()?;
        // Somebody else may have opened it meanwhile.
        if let Some(link) = peer.open_link() {
            return Some(link);
        }
        let inner = &*self.0;
        if inner.clock.elapsed() < opening.not_before {
            return None;
        }
        let ends = Ends { own: &inner.own, peer: &peer.name, address: &peer.address };
        match Link::open(ends, &inner.key, inner.calls_max).await {
            Ok(link) => {
                tracing::info!(peer = peer.name, address = peer.address, "linked to a peer");
                let link = Arc::new(link);
                *opening = Opening::default();
                *peer.link.write() = Some(Arc::clone(&link));
                Some(link)
            }
            Err(error) => {
                opening.wait = (opening.wait * 2).clamp(RETRY_MIN, RETRY_MAX);
                opening.not_before = inner.clock.elapsed() + opening.wait;
                if opening.trouble.as_ref() != Some(&error) {
                    tracing::warn!(peer = peer.name, address = peer.address, %error, "no link to a peer");
                }
                opening.trouble = Some(error);
                None
            }
        }
    }
}

impl Peer {
    fn open_link(&self) -> Option<Arc<Link>> {
        self.link.read().clone().filter(|link| !link.is_broken())
    }
}
