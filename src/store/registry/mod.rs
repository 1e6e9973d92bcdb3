//! Who the nodes of a cluster are, and which of them owns which shard: the port that membership hangs on.
//!
//! A node is one for as long as its lease is renewed; what it owns ends with it. Below the cluster's prefix:
//!
//! ```text
//! cluster       identity, number of shards and format, as JSON: written once
//! nodes/{node}  who the node is and how it is reached, as JSON; ends with its lease
//! items/{item}  the shard that has an item, in decimal digits: never changed
//! operators/…   what operators want: drain/{node} and move/{s}, as JSON
//! owner/{s}     written by claims ([`FencedLog`](super::journal::fenced::FencedLog)), read here
//! ```
//!
//! Must not know why a shard should be where it is.

mod etcd;
mod memory;
mod wishes;

pub use etcd::EtcdRegistry;
pub use memory::MemoryRegistry;
pub use wishes::{DrainWish, MoveWish, Wishes};

use super::journal::JournalId;
use super::journal::fenced::{OwnerRecord, Session};
use domain::{ItemId, ShardId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The version of what a cluster keeps in common. A node that knows another one must not join.
pub const FORMAT: u32 = 1;

/// What a cluster is founded with. It never changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cluster {
    /// The identity that checkpoints and order store name, as [`JournalId`] is written.
    pub identity: String,
    /// The number of shards, 1 to 1,024.
    pub shards: u16,
    /// [`FORMAT`] when it was founded.
    pub format: u32,
}

impl Cluster {
    /// The identity, if it is one.
    pub fn journal_id(&self) -> Option<JournalId> {
        self.identity.parse().ok()
    }
}

/// What a node tells the others of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Which run of the node this is.
    pub incarnation: u64,
    /// Where its peers reach it, `host:port`; empty if they do not.
    pub peer_address: String,
    /// Where clients reach it, `host:port`.
    pub http_address: String,
    /// The program's version.
    pub version: String,
    /// What tells whether two nodes sign tokens with the same secret, and nothing of the secret.
    pub secret_fingerprint: String,
    /// The version of the settings that it runs with.
    pub config_version: u64,
    /// Whether it gives its shards away and wants no others.
    pub is_draining: bool,
    /// Shards that it has claimed in vain of late: it could not recover them, or not with its clock. A record of an
    /// earlier version names none.
    #[serde(default)]
    pub unable: Vec<u16>,
}

impl NodeRecord {
    /// Whether other nodes can ask it anything.
    pub fn listens(&self) -> bool {
        !self.peer_address.is_empty()
    }
}

/// The whole registry, at one revision.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    /// The revision that was read.
    pub revision: i64,
    /// The nodes that live, by name.
    pub nodes: BTreeMap<String, NodeRecord>,
    /// The shards that have an owner.
    pub owners: BTreeMap<ShardId, OwnerRecord>,
    /// What operators want.
    pub wishes: Wishes,
}

/// Why the registry has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RegistryError {
    /// It did not answer. A change may have happened.
    #[error("{0}")]
    Unavailable(String),
    /// It refuses the request.
    #[error("the registry refuses: {0}")]
    Refused(String),
    /// It holds what no version of this program has written. The text names the key.
    #[error("the registry is damaged at {0}")]
    Damaged(String),
    /// The session has ended: its lease was not renewed in time.
    #[error("this node's session has ended")]
    SessionEnded,
    /// Another process lives under this name.
    #[error("another process of the cluster is called {0} already")]
    NameTaken(String),
}

/// Items that were noted, with the shards that have them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NotedItems {
    /// The registry's revision that was read: what was noted up to it is here.
    pub revision: i64,
    /// The items, in no order.
    pub items: Vec<(ItemId, ShardId)>,
}

/// The registry of a cluster.
pub trait Registry: Send + Sync + 'static {
    /// What the cluster was founded with; none if it was not.
    ///
    /// # Errors
    /// Returns [`RegistryError`] if there is no answer.
    fn cluster(&self) -> impl Future<Output = Result<Option<Cluster>, RegistryError>> + Send;

    /// Founds the cluster, unless it is already. Returns what it was founded with, by whomever.
    ///
    /// # Errors
    /// Returns [`RegistryError`] if there is no answer.
    fn found(
        &self,
        cluster: &Cluster,
    ) -> impl Future<Output = Result<Cluster, RegistryError>> + Send;

    /// Begins a session: the node is one of the cluster's from now on, until its lease ends.
    ///
    /// # Errors
    /// Returns [`RegistryError::NameTaken`] if another process lives under the name, and otherwise
    /// another [`RegistryError`].
    fn join(
        &self,
        node: &str,
        record: &NodeRecord,
    ) -> impl Future<Output = Result<Session, RegistryError>> + Send;

    /// Renews a session once.
    ///
    /// # Errors
    /// Returns [`RegistryError::SessionEnded`] if it has ended.
    fn renew(&self, session: &Session) -> impl Future<Output = Result<(), RegistryError>> + Send;

    /// Tells the others something new of this node.
    ///
    /// # Errors
    /// Returns [`RegistryError::SessionEnded`] if its session has ended.
    fn publish(
        &self,
        session: &Session,
        record: &NodeRecord,
    ) -> impl Future<Output = Result<(), RegistryError>> + Send;

    /// Ends a session, and with it all that the node owns of record.
    ///
    /// # Errors
    /// Returns [`RegistryError`] if there is no answer: the lease ends by itself then.
    fn leave(&self, session: &Session) -> impl Future<Output = Result<(), RegistryError>> + Send;

    /// Reads everything.
    ///
    /// # Errors
    /// Returns [`RegistryError`] if there is no answer.
    fn view(&self) -> impl Future<Output = Result<View, RegistryError>> + Send;

    /// Notes which shards have these items. That never changes, so that it may be noted again, by anybody.
    ///
    /// # Errors
    /// Returns [`RegistryError`] if there is no answer: some of it may be noted.
    fn note_items(
        &self,
        items: &[(ItemId, ShardId)],
    ) -> impl Future<Output = Result<(), RegistryError>> + Send;

    /// Which shard has which item, as far as that was noted.
    ///
    /// # Errors
    /// Returns [`RegistryError`] if there is no answer.
    fn items(&self) -> impl Future<Output = Result<NotedItems, RegistryError>> + Send;

    /// Waits until an item was noted behind this revision; otherwise as [`Registry::changed`].
    ///
    /// # Errors
    /// Returns [`RegistryError`] if it cannot be told any more.
    fn item_noted(&self, behind: i64) -> impl Future<Output = Result<(), RegistryError>> + Send;

    /// Notes that a node is to be drained, or that it is not.
    ///
    /// # Errors
    /// Returns [`RegistryError`] if there is no answer.
    fn wish_drain(
        &self,
        node: &str,
        wish: Option<&DrainWish>,
    ) -> impl Future<Output = Result<(), RegistryError>> + Send;

    /// Notes that shards are to be elsewhere, in the place of what was wished of them before. A wish that
    /// lasts longer than `lasting` ends by itself.
    ///
    /// # Errors
    /// Returns [`RegistryError`] if there is no answer: some of it may be noted.
    fn wish_moves(
        &self,
        wishes: &[(ShardId, MoveWish)],
        lasting: Duration,
    ) -> impl Future<Output = Result<(), RegistryError>> + Send;

    /// Ends a wish that a shard moves, fulfilled or not, unless another one is in its place.
    ///
    /// # Errors
    /// Returns [`RegistryError`] if there is no answer.
    fn end_move(
        &self,
        shard: ShardId,
        wish: &MoveWish,
    ) -> impl Future<Output = Result<(), RegistryError>> + Send;

    /// Waits until something has changed behind this revision. It is a hint: it may come without a
    /// change, and one that is missed is found by the next [`Registry::view`].
    ///
    /// # Errors
    /// Returns [`RegistryError`] if it cannot be told any more.
    fn changed(&self, behind: i64) -> impl Future<Output = Result<(), RegistryError>> + Send;
}
