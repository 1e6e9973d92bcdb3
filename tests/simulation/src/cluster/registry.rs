//! The cluster's side: the log, who has a session, and for how long. Carries out what arrives, in the order
//! in which it arrives.

use super::events::Seen;
use super::plant::Plant;
use super::shop::{LEASE, SHARDS};
use super::stores::Stores;
use super::truth::Truth;
use super::wire::{Answer, Call, View};
use crate::finding::Finding;
use domain::ShardId;
use domain::invariants::Invariant;
use futures_util::FutureExt;
use seckill::store::journal::fenced::{
    Appended, Claim, ClaimError, Entry, FencedLog, Head, LogError, MemoryLog, Session,
};
use std::collections::BTreeMap;

pub struct Registry {
    pub log: MemoryLog,
    /// Each lease's session, and when it ends.
    leases: BTreeMap<i64, (Session, u64)>,
    last_lease: i64,
    /// Leases that have begun, and when they end if nobody renews them.
    begun: Vec<(i64, u64)>,
    plant: Option<Plant>,
}

impl Registry {
    pub fn new(plant: Option<Plant>) -> Self {
        let (log, leases, begun) = (MemoryLog::default(), BTreeMap::new(), Vec::new());
        Self { log, leases, last_lease: 0, begun, plant }
    }

    /// The leases that have begun since the last time.
    pub fn take_begun(&mut self) -> Vec<(i64, u64)> {
        std::mem::take(&mut self.begun)
    }

    /// Ends a lease that has run out. Returns when it is to be looked at again, if it has not.
    pub fn may_end(&mut self, lease: i64, now: u64) -> Option<u64> {
        let (_, end) = self.leases.get(&lease)?;
        if *end > now {
            return Some(*end);
        }
        self.end(lease);
        None
    }

    /// Ends a node's lease that has not run out. Returns whether it has one.
    pub fn end_wrongly(&mut self, truth: &mut Truth, node: usize, now: u64) -> bool {
        let name = name_of(node);
        let own = |(session, _): &&(Session, u64)| session.node == name;
        let Some(lease) = self.leases.values().filter(own).map(|(own, _)| own.lease).max() else {
            return false;
        };
        for (shard, owner) in self.log.owners() {
            if owner.node == name {
                truth.ended_wrongly(shard, owner.epoch, now);
            }
        }
        self.end(lease);
        true
    }

    fn end(&mut self, lease: i64) {
        self.leases.remove(&lease);
        self.log.expire(lease);
    }

    /// I13: what was trimmed is in the order store.
    pub fn is_trimmed_rightly(&self, stores: &Stores) -> Result<(), Finding> {
        for shard in (0..SHARDS).map(ShardId) {
            let base = self.log.base(shard);
            // What does not answer now has lost nothing since it did.
            let stored = stores.progress(shard).unwrap_or(u64::MAX);
            if base.seq > stored {
                let text = format!("shard {shard} is trimmed up to {}, stored {stored}", base.seq);
                return Err(Finding::of(Invariant::I13, text));
            }
        }
        Ok(())
    }

    /// Carries out a call.
    pub fn carry_out(
        &mut self,
        truth: &mut Truth,
        seen: &mut Seen,
        (node, now): (usize, u64),
        call: Call,
        is_full: bool,
    ) -> Result<Answer, Finding> {
        Ok(match call {
            Call::Join { incarnation } => Answer::Joined(self.join(node, incarnation, now)),
            Call::KeepAlive(session) => match self.leases.get_mut(&session.lease) {
                Some((_, end)) => {
                    *end = now + LEASE;
                    Answer::KeptAlive(true)
                }
                None => Answer::KeptAlive(false),
            },
            Call::View => Answer::View(self.view()),
            Call::Head(shard) => Answer::Head(self.head(shard)),
            Call::Claim { session, shard, seen } => {
                let claimed = self.claim(&session, shard, seen);
                if let Ok(claim) = &claimed {
                    truth.claimed(shard, claim.epoch);
                }
                Answer::Claimed(claimed)
            }
            Call::Append(_) if is_full => {
                seen.count("no room");
                Answer::Appended(Appended::Full)
            }
            Call::Append(entries) => Answer::Appended(self.append(truth, seen, now, entries)?),
            Call::Renew { session, claim } => {
                Answer::Done(at_once(self.log.renew(&session, &claim))?)
            }
            Call::Read { shard, after, batches_max } => {
                Answer::Batches(at_once(self.log.read(shard, after, batches_max))?)
            }
            Call::Trim { claim, base } => Answer::Done(at_once(self.log.trim(&claim, base))?),
            Call::Release(claim) => Answer::Done(at_once(self.log.release(&claim))?),
        })
    }

    fn join(&mut self, node: usize, incarnation: u64, now: u64) -> Option<Session> {
        let name = name_of(node);
        let is_anothers = |(session, _): &(Session, u64)| {
            session.node == name && session.incarnation != incarnation
        };
        if self.leases.values().any(is_anothers) {
            return None;
        }
        self.last_lease += 1;
        let session = Session { node: name, incarnation, lease: self.last_lease };
        self.log.grant(&session);
        self.leases.insert(session.lease, (session.clone(), now + LEASE));
        self.begun.push((session.lease, now + LEASE));
        Some(session)
    }

    fn view(&self) -> View {
        let nodes = self.leases.values();
        let nodes = nodes.map(|(session, _)| (session.node.clone(), session.incarnation));
        View { nodes: nodes.collect(), owners: self.log.owners() }
    }

    fn head(&self, shard: ShardId) -> Option<Head> {
        self.log.head(shard).now_or_never()?.ok()?
    }

    /// As the product's claim: it compares what it has seen.
    fn claim(
        &mut self,
        session: &Session,
        shard: ShardId,
        seen: Option<Head>,
    ) -> Result<Claim, ClaimError> {
        if self.head(shard) != seen {
            return Err(ClaimError::Raced(shard));
        }
        self.log.claim(session, shard).now_or_never().unwrap_or_else(|| {
            Err(ClaimError::Log(LogError::Unavailable("not at once".to_owned())))
        })
    }

    fn append(
        &mut self,
        truth: &mut Truth,
        seen: &mut Seen,
        now: u64,
        mut entries: Vec<Entry>,
    ) -> Result<Appended, Finding> {
        for entry in &mut entries {
            let head = self.head(entry.shard).unwrap_or_default();
            let is_planted = match self.plant {
                Some(Plant::HeadNotCompared) => true,
                Some(Plant::RepeatLands) => head.epoch == entry.next.epoch,
                Some(Plant::OlderOwnerLands) => head.epoch > entry.next.epoch,
                _ => false,
            };
            if is_planted {
                entry.expected = head;
            }
        }
        let appended = at_once(self.log.append(&entries))?;
        match &appended {
            Appended::Done => {
                seen.count("appended");
                truth.landed(now, &entries)?;
            }
            _ => seen.count("refused by the log"),
        }
        Ok(appended)
    }
}

fn name_of(node: usize) -> String {
    format!("node-{node}")
}

/// What the log in memory answers, which it does at once.
fn at_once<T>(call: impl Future<Output = T>) -> Result<T, Finding> {
    call.now_or_never().ok_or_else(|| Finding::of(Invariant::I16, "the log in memory waits"))
}
