//! A log that several nodes share, one owner a shard: the port of a cluster's journal.
//!
//! Each shard's log is a chain of batches and one value, its [`Head`]: who may append, and what is the
//! last batch. An append names the head that it follows and puts the next one in its place, in one
//! transaction; that single comparison is fence, order and protection against repeats at once. A
//! [`FencedLog::claim`] raises the head's epoch, and nothing older can land from then on (I15).
//!
//! [`Committer`] makes a [`Log`](super::Log) of it. `etcd` is what carries it, `memory` what tests and
//! simulations use; one suite runs each case on both. Knows shards, epochs and bytes; must not know what
//! a record means, nor who decides which node should own what.

pub mod batch;
mod chain;
mod committer;
mod etcd;
mod founding;
mod head;
mod look;
mod memory;
mod owned;
mod reader;
mod replay;
mod session;

pub use batch::{MalformedBatch, StoredBatch};
pub use committer::{Committer, CommitterOptions};
pub use etcd::{EtcdLog, OwnerRecord};
pub use founding::{Founding, FoundingError};
pub use head::{Base, BatchEnd, BatchId, Head, MalformedValue};
pub use look::{LogLook, LookError};
pub use memory::{MemoryLog, MemoryLogFault};
pub use owned::OwnedShards;
pub use replay::replay;
pub use session::{NODE_NAME_LENGTH_MAX, Session};

use domain::ShardId;
use std::future::Future;

/// A shard that this node owns, as the claim left it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The shard that was claimed.
    pub shard: ShardId,
    /// Its new epoch: above every earlier one's.
    pub epoch: u64,
    /// The shard's log as it was taken over, with the new epoch in it.
    pub head: Head,
    /// What was trimmed before.
    pub base: Base,
    /// Who claimed it.
    pub session: Session,
    /// Drawn at random, so that a claim whose outcome is unknown is known again.
    pub nonce: u64,
}

/// Why a shard was not claimed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another node has it.
    #[error("shard {shard} belongs to node {node}")]
    Owned {
        /// The shard that was wanted.
        shard: ShardId,
        /// The node's name.
        node: String,
    },
    /// Another node was quicker. It is worth another look.
    #[error("another claim of shard {0} came first")]
    Raced(ShardId),
    /// This node's session has ended: it may own nothing.
    #[error("this node's session has ended")]
    SessionEnded,
    /// It is not known whether the shard was claimed, or the log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why the log has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LogError {
    /// It did not answer. A change may have happened.
    #[error("{0}")]
    Unavailable(String),
    /// It has no room. Nothing happened.
    #[error("the log has no room")]
    Full,
    /// It refuses, and will again. Nothing happened.
    #[error("the log refuses: {0}")]
    Refused(String),
    /// It holds what no version of this program has written. The text names the key.
    #[error("the log is damaged at {0}")]
    Damaged(String),
    /// The claim is another node's now.
    #[error("shard {0} is another node's now")]
    NotOwner(ShardId),
}

/// What is appended to one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The shard that it is appended to.
    pub shard: ShardId,
    /// The head that it follows,
    pub expected: Head,
    /// and the one that it leaves.
    pub next: Head,
    /// The batch, encoded ([`StoredBatch::follow`]).
    pub bytes: Vec<u8>,
}

/// What became of an append.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Appended {
    /// All entries are durable.
    Done,
    /// None was appended, because some shard's head is not the expected one. These are the present
    /// heads, in the order of the entries; none for a shard that has no head.
    Refused(Vec<Option<Head>>),
    /// None was appended: the log has no room.
    Full,
    /// It is not known. The same append may be tried again: it takes place once.
    Unknown(String),
}

/// A log that several nodes share. Each call is bounded in time by the implementation.
pub trait FencedLog: Send + Sync + 'static {
    /// Takes a shard that nobody owns: from its end on, no append of an earlier owner can land.
    ///
    /// # Errors
    /// Returns [`ClaimError`]. After one that leaves the outcome unknown, the shard may be this
    /// session's: another claim of the same session finds its own and takes it over again.
    fn claim(
        &self,
        session: &Session,
        shard: ShardId,
    ) -> impl Future<Output = Result<Claim, ClaimError>> + Send;

    /// Makes itself the owner of record again after its session was replaced by a new one, unless
    /// another node has claimed the shard since.
    ///
    /// # Errors
    /// Returns [`LogError::NotOwner`] if it was claimed since.
    fn renew(
        &self,
        session: &Session,
        claim: &Claim,
    ) -> impl Future<Output = Result<(), LogError>> + Send;

    /// Appends to several shards at once: all or none.
    fn append(&self, entries: &[Entry]) -> impl Future<Output = Appended> + Send;

    /// The present head of a shard; none if nobody ever owned it.
    ///
    /// # Errors
    /// Returns [`LogError`] if it cannot be read.
    fn head(&self, shard: ShardId) -> impl Future<Output = Result<Option<Head>, LogError>> + Send;

    /// The batches of a shard behind number `after`, in their order, at most `batches_max`. The first is
    /// `after + 1`, unless that was trimmed.
    ///
    /// # Errors
    /// Returns [`LogError`] if they cannot be read, or their numbers have a gap.
    fn read(
        &self,
        shard: ShardId,
        after: u64,
        batches_max: usize,
    ) -> impl Future<Output = Result<Vec<StoredBatch>, LogError>> + Send;

    /// Deletes a shard's batches up to the one that `base` names, and keeps `base` instead of them. What is
    /// trimmed further already stays so: a call that was held on its way takes nothing back.
    ///
    /// # Errors
    /// Returns [`LogError::NotOwner`] if the shard was claimed since.
    fn trim(&self, claim: &Claim, base: Base) -> impl Future<Output = Result<(), LogError>> + Send;

    /// Gives the shard back, so that another node can claim it at once.
    ///
    /// # Errors
    /// Returns [`LogError`] if it is not known. That it is another node's already is none.
    fn release(&self, claim: &Claim) -> impl Future<Output = Result<(), LogError>> + Send;
}
