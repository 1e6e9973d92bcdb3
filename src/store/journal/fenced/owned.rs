//! The shards that this node owns, as the journal's threads share them: where each one's log ends, what
//! of it is left, and the newest batches themselves, for readers that keep up.

use super::head::{Base, BatchEnd, Head};
use super::{Claim, Entry, Session};
use domain::ShardId;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How many bytes of the newest batches are kept for followers.
const RECENT_BYTES_MAX: usize = 32 << 20;

/// The shards that this node owns.
#[derive(Debug, Default)]
pub struct OwnedShards {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    shards: HashMap<ShardId, Owned>,
    /// Shards that another node was found to own, which nobody has been told of yet.
    lost: Vec<ShardId>,
    recent: VecDeque<Recent>,
    recent_bytes: usize,
    /// The number of the oldest batch in `recent`, counted since the start.
    recent_first: u64,
}

#[derive(Debug)]
struct Owned {
    claim: Claim,
    head: Head,
    base: Base,
    /// Where each batch behind the base ends, oldest first.
    ends: VecDeque<BatchEnd>,
}

/// A batch that this node has appended.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    pub(super) shard: ShardId,
    pub(super) batch: u64,
    pub(super) bytes: Arc<[u8]>,
}

/// What a follower finds among the newest batches.
pub(super) enum Found {
    /// The batch at its place.
    Batch(Recent),
    /// It has read all of them.
    Nothing,
    /// Its place is no longer kept.
    Behind,
}

impl OwnedShards {
    /// Takes a shard in, with the batches behind its base as they were read: the first follows
    /// `claim.base` and the last is the one that `claim.head` names.
    pub fn open(&self, claim: Claim, batches: impl IntoIterator<Item = BatchEnd>) {
        let (head, base) = (claim.head, claim.base);
        let owned = Owned { head, base, ends: batches.into_iter().collect(), claim };
        let mut state = self.state.lock();
        state.lost.retain(|lost| *lost != owned.claim.shard);
        state.shards.insert(owned.claim.shard, owned);
    }

    /// Lets a shard go: nothing is appended to it any more. Returns its claim, with the present head and
    /// base.
    pub fn shut(&self, shard: ShardId) -> Option<Claim> {
        self.state.lock().shards.remove(&shard).map(|owned| owned.present())
    }

    /// Notes that a shard is put down under another session of this node.
    pub fn renew(&self, shard: ShardId, session: &Session) {
        if let Some(owned) = self.state.lock().shards.get_mut(&shard) {
            owned.claim.session = session.clone();
        }
    }

    /// The claim of a shard, with its present head and base, if this node owns it.
    pub fn claim(&self, shard: ShardId) -> Option<Claim> {
        self.state.lock().shards.get(&shard).map(Owned::present)
    }

    /// The shards that this node owns, in order.
    pub fn shards(&self) -> Vec<ShardId> {
        let mut shards: Vec<ShardId> = self.state.lock().shards.keys().copied().collect();
        shards.sort_unstable();
        shards
    }

    /// Gives out the shards that were found to be another node's since the last call.
    pub fn take_lost(&self) -> Vec<ShardId> {
        std::mem::take(&mut self.state.lock().lost)
    }

    /// Lets a shard go because another node has claimed it.
    pub(super) fn lose(&self, shard: ShardId) {
        let mut state = self.state.lock();
        if state.shards.remove(&shard).is_some() {
            state.lost.push(shard);
        }
    }

    /// Notes an entry that is durable.
    pub(super) fn advance(&self, entry: Entry) {
        let mut state = self.state.lock();
        let Some(owned) = state.shards.get_mut(&entry.shard) else { return };
        owned.head = entry.next;
        let bytes = entry.bytes.len() as u64;
        owned.ends.push_back(BatchEnd { base: entry.next.as_base(), bytes });
        state.recent_bytes += entry.bytes.len();
        let batch = entry.next.batch;
        state.recent.push_back(Recent { shard: entry.shard, batch, bytes: entry.bytes.into() });
        while state.recent_bytes > RECENT_BYTES_MAX
            && let Some(oldest) = state.recent.pop_front()
        {
            state.recent_bytes -= oldest.bytes.len();
            state.recent_first += 1;
        }
    }

    /// What of a shard may be trimmed if everything up to record `covered` is kept elsewhere: its last
    /// batch that lies before the end of `covered`.
    pub(super) fn trimmable(&self, shard: ShardId, covered: u64) -> Option<(Claim, Base)> {
        let state = self.state.lock();
        let owned = state.shards.get(&shard)?;
        let count = owned.ends.partition_point(|end| end.base.seq <= covered);
        let end = owned.ends.get(count.checked_sub(1)?)?;
        Some((owned.present(), end.base))
    }

    /// Notes what was trimmed. Returns how many batches that were.
    pub(super) fn trimmed(&self, shard: ShardId, base: Base) -> usize {
        let mut state = self.state.lock();
        let Some(owned) = state.shards.get_mut(&shard) else { return 0 };
        let before = owned.ends.len();
        while owned.ends.pop_front_if(|end| end.base.batch <= base.batch).is_some() {}
        owned.base = base;
        before - owned.ends.len()
    }

    /// Each shard's last record that is beyond the newest `bytes`: the shards with the most give way until all of them
    /// fit.
    pub(super) fn beyond(&self, bytes: u64) -> Vec<u64> {
        let state = self.state.lock();
        let mut sizes: Vec<u64> = state.shards.values().map(Owned::bytes).collect();
        let share = fair_share(&mut sizes, bytes);
        let count = state.shards.keys().map(|shard| shard.index() + 1).max().unwrap_or(0);
        let mut seqs = vec![0; count];
        for (shard, owned) in &state.shards {
            seqs[shard.index()] = owned.beyond(share);
        }
        seqs
    }

    /// Each shard's last record that was trimmed, 0 for a shard that is not this node's.
    pub(super) fn base_seqs(&self) -> Vec<u64> {
        let state = self.state.lock();
        let count = state.shards.keys().map(|shard| shard.index() + 1).max().unwrap_or(0);
        let mut seqs = vec![0; count];
        for (shard, owned) in &state.shards {
            seqs[shard.index()] = owned.base.seq;
        }
        seqs
    }

    /// The batch that a shard's record behind `after` lies in, or the oldest that is left, and the last
    /// that is durable.
    pub(super) fn batches_behind(&self, shard: ShardId, after: u64) -> Option<(u64, u64)> {
        let state = self.state.lock();
        let owned = state.shards.get(&shard)?;
        let skipped = owned.ends.partition_point(|end| end.base.seq <= after);
        let first = match skipped.checked_sub(1).and_then(|last| owned.ends.get(last)) {
            Some(end) => end.base.batch + 1,
            None => owned.base.batch + 1,
        };
        Some((first, owned.head.batch))
    }

    /// The last durable batch of a shard that this node owns.
    pub(super) fn last_batch(&self, shard: ShardId) -> Option<u64> {
        self.state.lock().shards.get(&shard).map(|owned| owned.head.batch)
    }

    /// The place behind the newest batch.
    pub(super) fn recent_end(&self) -> u64 {
        let state = self.state.lock();
        state.recent_first + state.recent.len() as u64
    }

    /// The batch at a place among the newest.
    pub(super) fn recent(&self, place: u64) -> Found {
        let state = self.state.lock();
        let Some(index) = place.checked_sub(state.recent_first) else {
            return Found::Behind;
        };
        let found = usize::try_from(index).ok().and_then(|index| state.recent.get(index));
        found.cloned().map_or(Found::Nothing, Found::Batch)
    }
}

/// The largest part that each of so many may have if they share `total`, the smaller ones taking what they need.
fn fair_share(sizes: &mut [u64], total: u64) -> u64 {
    sizes.sort_unstable();
    let mut left = total;
    for (place, size) in sizes.iter().enumerate() {
        let share = left / (sizes.len() - place) as u64;
        if *size > share {
            return share;
        }
        left -= size;
    }
    u64::MAX
}

impl Owned {
    /// How long all batches behind the base are.
    fn bytes(&self) -> u64 {
        self.ends.iter().map(|end| end.bytes).sum()
    }

    /// The last record before the newest batches that fit into `share` bytes.
    fn beyond(&self, share: u64) -> u64 {
        let mut kept = 0_u64;
        let too_old = self.ends.iter().rev().find(|end| {
            kept = kept.saturating_add(end.bytes);
            kept > share
        });
        too_old.map_or(self.base.seq, |end| end.base.seq)
    }

    /// The claim, with the head and the base as they are now.
    fn present(&self) -> Claim {
        Claim { head: self.head, base: self.base, ..self.claim.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::fair_share;

    #[test]
    fn those_who_need_little_leave_the_rest_to_the_others() {
        for (sizes, total, share) in [
            (&[][..], 0, u64::MAX),
            (&[5, 5], 10, u64::MAX),
            (&[5, 5], 9, 4),
            (&[100, 1, 1], 50, 48),
            (&[100, 40, 1], 50, 24),
            (&[7], 0, 0),
        ] {
            assert_eq!(fair_share(&mut sizes.to_vec(), total), share, "{sizes:?} {total}");
        }
    }
}
