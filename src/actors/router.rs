//! From a shard's number to its mailbox and its actor. The only holder of actor references; after a
//! restart it has the new one.

use super::mailbox::{Decide, Letter, Mailbox};
use super::ring::Ring;
use super::shard::ShardMessage;
use crate::domain::{ShardId, Timestamp};
use parking_lot::RwLock;
use ractor::ActorRef;

/// See the module.
pub(super) struct Router {
    ring: Ring,
    mailboxes: Vec<Mailbox>,
    actors: Vec<RwLock<Option<ActorRef<ShardMessage>>>>,
}

impl Router {
    pub(super) fn new(shards: u16, virtual_nodes: u16) -> Self {
        Self {
            ring: Ring::new(shards, virtual_nodes),
            mailboxes: (0..shards).map(|_| Mailbox::default()).collect(),
            actors: (0..shards).map(|_| RwLock::new(None)).collect(),
        }
    }

    /// The owner of a product.
    pub(super) fn owner(&self, product_id: &str) -> ShardId {
        self.ring.owner(product_id)
    }

    /// Whether there is such a shard.
    pub(super) fn has(&self, shard: ShardId) -> bool {
        shard.index() < self.mailboxes.len()
    }

    /// All shards.
    pub(super) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.mailboxes.len() as u16).map(ShardId)
    }

    /// A shard's mailbox. The shard exists.
    pub(super) fn mailbox(&self, shard: ShardId) -> &Mailbox {
        &self.mailboxes[shard.index()]
    }

    /// Puts a letter in a shard's mailbox and rings if need be. The shard exists.
    pub(super) fn send(&self, shard: ShardId, letter: Letter) {
        if self.mailboxes[shard.index()].push(letter) {
            self.tell(shard, ShardMessage::Doorbell);
        }
    }

    /// Tells a shard's actor. One that is down finds its letters when it is up again.
    pub(super) fn tell(&self, shard: ShardId, message: ShardMessage) {
        if let Some(actor) = &*self.actors[shard.index()].read() {
            let _ = actor.cast(message);
        }
    }

    /// Where a shard's actor is from now on.
    pub(super) fn set(&self, shard: ShardId, actor: Option<ActorRef<ShardMessage>>) {
        *self.actors[shard.index()].write() = actor;
    }

    /// Shards whose actor is up.
    pub(super) fn up(&self) -> usize {
        self.actors.iter().filter(|actor| actor.read().is_some()).count()
    }

    /// Letters that wait in all mailboxes.
    pub(super) fn depth(&self) -> usize {
        self.mailboxes.iter().map(Mailbox::depth).sum()
    }

    /// Takes out what was admitted before `deadline` and has not been looked at.
    pub(super) fn take_overdue(&self, deadline: Timestamp) -> Vec<Decide> {
        self.mailboxes.iter().flat_map(|mailbox| mailbox.take_overdue(deadline)).collect()
    }
}
