//! From a shard's number to its mailbox and its actor. The only holder of actor references; after a
//! restart it has the new one.

use super::mailbox::{Envelope, Intake, Mailbox, PendingCommand, ShardMessage};
use super::ring::Ring;
use domain::{ShardId, Timestamp};
use parking_lot::RwLock;
use ractor::ActorRef;
use std::sync::atomic::{AtomicBool, Ordering};

/// Mailboxes and actors of all shards, and the ring that products are looked up in.
pub(in crate::actors) struct Router {
    ring: Ring,
    mailboxes: Vec<Mailbox>,
    actors: Vec<RwLock<Option<ActorRef<ShardMessage>>>>,
    /// Whether something of a shard may become due by time alone.
    ticking: Vec<AtomicBool>,
}

impl Router {
    pub(in crate::actors) fn new(shards: u16, virtual_nodes: u16) -> Self {
        Self {
            ring: Ring::new(shards, virtual_nodes),
            mailboxes: (0..shards).map(|_| Mailbox::default()).collect(),
            actors: (0..shards).map(|_| RwLock::new(None)).collect(),
            ticking: (0..shards).map(|_| AtomicBool::new(true)).collect(),
        }
    }

    /// The shard that owns a product.
    pub(in crate::actors) fn owner(&self, product_id: &str) -> ShardId {
        self.ring.owner(product_id)
    }

    /// The shards of a product's buckets, at most `count`.
    pub(in crate::actors) fn owners(&self, product_id: &str, count: u8) -> Vec<ShardId> {
        self.ring.owners(product_id, count)
    }

    /// Whether there is such a shard.
    pub(in crate::actors) fn has(&self, shard: ShardId) -> bool {
        shard.index() < self.mailboxes.len()
    }

    /// Every shard's number.
    pub(in crate::actors) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.mailboxes.len() as u16).map(ShardId)
    }

    /// A shard's mailbox. The shard exists.
    pub(in crate::actors) fn mailbox(&self, shard: ShardId) -> &Mailbox {
        &self.mailboxes[shard.index()]
    }

    /// Lets a shard's mailbox take everything in: it is served here from now on.
    pub(in crate::actors) fn open(&self, shard: ShardId) {
        self.mailbox(shard).set_intake(Intake::Open);
    }

    /// Puts an envelope in a shard's mailbox and rings if need be. The shard exists.
    ///
    /// # Errors
    /// Returns the envelope if the shard is not served here.
    pub(in crate::actors) fn send(
        &self,
        shard: ShardId,
        envelope: Envelope,
    ) -> Result<(), Box<Envelope>> {
        if self.mailboxes[shard.index()].push(envelope)? {
            self.tell(shard, ShardMessage::Doorbell);
        }
        Ok(())
    }

    /// The shards that are served here.
    pub(in crate::actors) fn served(&self) -> impl Iterator<Item = ShardId> {
        self.shards().filter(|shard| self.mailboxes[shard.index()].intake() != Intake::Shut)
    }

    /// Whether a shard is served here.
    pub(in crate::actors) fn serves(&self, shard: ShardId) -> bool {
        let mailbox = self.mailboxes.get(shard.index());
        mailbox.is_some_and(|mailbox| mailbox.intake() != Intake::Shut)
    }

    /// Whether a shard takes in here what buyers ask for: it does not while it is about to go.
    pub(in crate::actors) fn takes(&self, shard: ShardId) -> bool {
        let mailbox = self.mailboxes.get(shard.index());
        mailbox.is_some_and(|mailbox| mailbox.intake() == Intake::Open)
    }

    /// A shard's actor, which is no longer the shard's.
    pub(in crate::actors) fn take(&self, shard: ShardId) -> Option<ActorRef<ShardMessage>> {
        self.actors[shard.index()].write().take()
    }

    /// Tells a shard's actor. One that is down finds its envelopes when it is up again.
    pub(in crate::actors) fn tell(&self, shard: ShardId, message: ShardMessage) {
        if let Some(actor) = &*self.actors[shard.index()].read() {
            // One that is stopping is replaced, and the new one looks by itself.
            let _ = actor.cast(message);
        }
    }

    /// Tells the shards of which something may be due that time has passed. The others are left asleep.
    pub(in crate::actors) fn tick(&self) {
        for shard in self.shards() {
            if self.ticking[shard.index()].load(Ordering::Relaxed) {
                self.tell(shard, ShardMessage::Tick);
            }
        }
    }

    /// Sets whether a shard is told that time has passed. Only its actor says so.
    pub(in crate::actors) fn set_ticking(&self, shard: ShardId, ticking: bool) {
        self.ticking[shard.index()].store(ticking, Ordering::Relaxed);
    }

    /// Number of shards that are told that time has passed.
    pub(in crate::actors) fn ticking(&self) -> usize {
        self.ticking.iter().filter(|ticking| ticking.load(Ordering::Relaxed)).count()
    }

    /// Sets a shard's actor; none while it is down.
    pub(in crate::actors) fn set(&self, shard: ShardId, actor: Option<ActorRef<ShardMessage>>) {
        *self.actors[shard.index()].write() = actor;
    }

    /// Number of shards whose actor is up.
    pub(in crate::actors) fn up(&self) -> usize {
        self.actors.iter().filter(|actor| actor.read().is_some()).count()
    }

    /// Number of envelopes that wait in all mailboxes.
    pub(in crate::actors) fn depth(&self) -> usize {
        self.mailboxes.iter().map(Mailbox::depth).sum()
    }

    /// Takes out the commands that were admitted before `deadline` and that no actor has begun with.
    pub(in crate::actors) fn take_overdue(&self, deadline: Timestamp) -> Vec<PendingCommand> {
        self.mailboxes.iter().flat_map(|mailbox| mailbox.take_overdue(deadline)).collect()
    }
}
