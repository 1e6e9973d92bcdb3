//! A fenced log in memory, for tests and simulations: what the port promises, and at will what a network
//! does to it. Appends are lost, answered too late, held back and delivered after a newer one, or
//! delivered twice.

use super::batch::StoredBatch;
use super::head::{Base, Head};
use super::{Appended, Claim, ClaimError, Entry, FencedLog, LogError, OwnerRecord, Session};
use domain::ShardId;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What happens to one append.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MemoryLogFault {
    /// It is carried out and answered.
    #[default]
    None,
    /// It never arrives.
    Lost,
    /// It is carried out, and its answer is lost.
    AnswerLost,
    /// It is held on the way, and arrives when [`MemoryLog::deliver_held`] says so.
    Held,
    /// It is carried out and answered, and arrives once more later.
    Doubled,
    /// There is no room.
    Full,
}

/// What fate the next append meets.
type Fate = dyn Fn() -> MemoryLogFault + Send + Sync;

/// A fenced log in memory. Clones share it.
#[derive(Clone)]
pub struct MemoryLog {
    state: Arc<Mutex<State>>,
    fate: Arc<Fate>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::with_fate(|| MemoryLogFault::None)
    }
}

#[derive(Default)]
struct State {
    leases: BTreeSet<i64>,
    owners: BTreeMap<ShardId, Owner>,
    /// Each shard's last claim: its epoch and its nonce.
    epochs: BTreeMap<ShardId, (u64, u64)>,
    heads: BTreeMap<ShardId, Head>,
    bases: BTreeMap<ShardId, Base>,
    batches: BTreeMap<(ShardId, u64), Vec<u8>>,
    held: Vec<Vec<Entry>>,
    next_nonce: u64,
}

struct Owner {
    session: Session,
    epoch: u64,
}

impl MemoryLog {
    /// A log whose appends meet what `fate` says.
    pub fn with_fate(fate: impl Fn() -> MemoryLogFault + Send + Sync + 'static) -> Self {
        Self { state: Arc::default(), fate: Arc::new(fate) }
    }

    /// The same log, whose appends meet another fate.
    #[must_use]
    pub fn seen_with_fate(
        &self,
        fate: impl Fn() -> MemoryLogFault + Send + Sync + 'static,
    ) -> Self {
        Self { state: Arc::clone(&self.state), fate: Arc::new(fate) }
    }

    /// Begins a session's lease.
    pub fn grant(&self, session: &Session) {
        self.state.lock().leases.insert(session.lease);
    }

    /// Ends a lease, rightly or wrongly: what it owned is free from now on.
    pub fn expire(&self, lease: i64) {
        let mut state = self.state.lock();
        state.leases.remove(&lease);
        state.owners.retain(|_, owner| owner.session.lease != lease);
    }

    /// Ends the lease that owns a shard.
    pub fn free(&self, shard: ShardId) {
        let lease = self.state.lock().owners.get(&shard).map(|owner| owner.session.lease);
        if let Some(lease) = lease {
            self.expire(lease);
        }
    }

    /// Delivers the held append of this number, counted round and round. Returns whether it changed
    /// anything; none if nothing is held.
    pub fn deliver_held(&self, number: usize) -> Option<bool> {
        let mut state = self.state.lock();
        let count = state.held.len();
        let index = number.checked_rem(count)?;
        let entries = state.held.swap_remove(index);
        Some(state.append(&entries) == Appended::Done)
    }

    /// What of a shard is trimmed.
    pub fn base(&self, shard: ShardId) -> Base {
        self.state.lock().bases.get(&shard).copied().unwrap_or_default()
    }

    /// The owners of record.
    pub fn owners(&self) -> BTreeMap<ShardId, OwnerRecord> {
        let state = self.state.lock();
        let record = |owner: &Owner| OwnerRecord {
            node: owner.session.node.clone(),
            incarnation: owner.session.incarnation,
            epoch: owner.epoch,
        };
        state.owners.iter().map(|(shard, owner)| (*shard, record(owner))).collect()
    }

    /// The owner of a shard, by its node's name and its epoch.
    pub fn owner(&self, shard: ShardId) -> Option<(String, u64)> {
        let state = self.state.lock();
        state.owners.get(&shard).map(|owner| (owner.session.node.clone(), owner.epoch))
    }
}

impl State {
    fn append(&mut self, entries: &[Entry]) -> Appended {
        let heads: Vec<Option<Head>> =
            entries.iter().map(|entry| self.heads.get(&entry.shard).copied()).collect();
        if entries.iter().zip(&heads).any(|(entry, head)| *head != Some(entry.expected)) {
            return Appended::Refused(heads);
        }
        for entry in entries {
            self.heads.insert(entry.shard, entry.next);
            self.batches.insert((entry.shard, entry.next.batch), entry.bytes.clone());
        }
        Appended::Done
    }

    fn claim(&mut self, session: &Session, shard: ShardId) -> Result<Claim, ClaimError> {
        if !self.leases.contains(&session.lease) {
            return Err(ClaimError::SessionEnded);
        }
        if let Some(owner) = self.owners.get(&shard)
            && (&owner.session.node, owner.session.incarnation)
                != (&session.node, session.incarnation)
        {
            return Err(ClaimError::Owned { shard, node: owner.session.node.clone() });
        }
        let head = self.heads.get(&shard).copied().unwrap_or_default();
        let last = self.epochs.get(&shard).map_or(0, |(epoch, _)| *epoch);
        let epoch = last.max(head.epoch) + 1;
        self.next_nonce += 1;
        let nonce = self.next_nonce;
        let head = Head { epoch, ..head };
        self.heads.insert(shard, head);
        self.epochs.insert(shard, (epoch, nonce));
        self.owners.insert(shard, Owner { session: session.clone(), epoch });
        let base = self.bases.get(&shard).copied().unwrap_or_default();
        Ok(Claim { shard, epoch, head, base, session: session.clone(), nonce })
    }

    fn is_claims(&self, claim: &Claim) -> bool {
        self.epochs.get(&claim.shard) == Some(&(claim.epoch, claim.nonce))
    }
}

impl FencedLog for MemoryLog {
    async fn claim(&self, session: &Session, shard: ShardId) -> Result<Claim, ClaimError> {
        self.state.lock().claim(session, shard)
    }

    async fn renew(&self, session: &Session, claim: &Claim) -> Result<(), LogError> {
        let mut state = self.state.lock();
        let is_live = state.leases.contains(&session.lease);
        if !is_live || !state.is_claims(claim) {
            return Err(LogError::NotOwner(claim.shard));
        }
        let owner = Owner { session: session.clone(), epoch: claim.epoch };
        state.owners.insert(claim.shard, owner);
        Ok(())
    }

    async fn append(&self, entries: &[Entry]) -> Appended {
        let fault = (self.fate)();
        let lost = || Appended::Unknown("lost on the way".to_owned());
        let mut state = self.state.lock();
        match fault {
            MemoryLogFault::None => state.append(entries),
            MemoryLogFault::Lost => lost(),
            MemoryLogFault::AnswerLost => {
                state.append(entries);
                lost()
            }
            MemoryLogFault::Held => {
                state.held.push(entries.to_vec());
                lost()
            }
            MemoryLogFault::Doubled => {
                state.held.push(entries.to_vec());
                state.append(entries)
            }
            MemoryLogFault::Full => Appended::Full,
        }
    }

    async fn head(&self, shard: ShardId) -> Result<Option<Head>, LogError> {
        Ok(self.state.lock().heads.get(&shard).copied())
    }

    async fn read(
        &self,
        shard: ShardId,
        after: u64,
        batches_max: usize,
    ) -> Result<Vec<StoredBatch>, LogError> {
        let state = self.state.lock();
        let range = state.batches.range((shard, after + 1)..=(shard, u64::MAX));
        let found = range.take(batches_max).map(|((shard, batch), bytes)| {
            let decoded = StoredBatch::decode(bytes.clone());
            decoded.map_err(|error| {
                LogError::Damaged(format!("batch {batch} of shard {shard}: {error}"))
            })
        });
        found.collect()
    }

    async fn trim(&self, claim: &Claim, base: Base) -> Result<(), LogError> {
        let mut state = self.state.lock();
        if !state.is_claims(claim) {
            return Err(LogError::NotOwner(claim.shard));
        }
        let present = state.bases.entry(claim.shard).or_default();
        // One that comes late takes nothing back.
        if present.batch < base.batch {
            *present = base;
            state.batches.retain(|(shard, batch), _| *shard != claim.shard || *batch > base.batch);
        }
        Ok(())
    }

    async fn release(&self, claim: &Claim) -> Result<(), LogError> {
        let mut state = self.state.lock();
        if state.is_claims(claim) {
            state.owners.remove(&claim.shard);
        }
        Ok(())
    }
}
