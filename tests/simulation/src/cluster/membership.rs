//! What a node remembers of its place in the cluster: its session, and what it has to do.

use super::takeover::Taken;
use super::wire::Answer;
use domain::ShardId;
use futures_util::future::BoxFuture;
use seckill::store::journal::fenced::{LogError, Session};
use std::collections::{BTreeMap, VecDeque};

#[derive(Default)]
pub struct Membership {
    pub standing: Option<Standing>,
    /// Until when what has no record may be answered.
    pub live_until: u64,
    /// The call that renews the session or begins another one, and when it was made.
    pub calling: Option<(u64, BoxFuture<'static, Answer>)>,
    pub next_call: u64,
    pub next_look: u64,
    pub jobs: VecDeque<Job>,
    pub doing: Option<Doing>,
    pub leaving: Option<(ShardId, Departure)>,
    pub stuck: BTreeMap<ShardId, u64>,
    /// Of a hundred looks, how many give a shard away.
    pub given_away: u64,
}

/// A session, and how it stands.
pub struct Standing {
    pub session: Session,
    pub renewed_at: u64,
    /// Whether all that the node serves is put down under it.
    pub is_whole: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    HandedOver,
    Lost,
}

/// What a look at the registry asks for, one after the other.
pub enum Job {
    Renew(ShardId),
    MakeWhole(i64),
    Leave(ShardId, Departure),
    Take(ShardId),
}

/// What is being done.
pub enum Doing {
    View(BoxFuture<'static, Answer>),
    Renew(ShardId, Session, BoxFuture<'static, Result<(), LogError>>),
    Take(BoxFuture<'static, Taken>),
    Release(BoxFuture<'static, Result<(), LogError>>),
}

impl Membership {
    /// Whether a shard is on its way out whose mailbox is decided first.
    pub fn decides_last(&self, shard: ShardId) -> bool {
        self.leaving == Some((shard, Departure::HandedOver))
    }
}
