//! The checkpoints against the journal.

use super::error::AuditError;
use super::log::Look;
use crate::store::checkpoint::{CheckpointError, CheckpointStore, Mark};
use domain::invariants::{self, Invariant, Ledger};
use domain::{Order, Payment, Record, ShardId, Stock};
use std::collections::BTreeMap;

/// Each shard's checkpoint: where it stands, and the state that it leads to or what is wrong with
/// it. A shard whose mark is there without a checkpoint has none.
#[derive(Default)]
pub(super) struct Checkpoints(BTreeMap<ShardId, (Mark, Option<Result<Stock, String>>)>);

impl Checkpoints {
    /// Reads all of them.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if the store does not answer.
    pub(super) async fn read(
        store: &CheckpointStore,
        shards: u16,
    ) -> Result<Self, CheckpointError> {
        let mut all = BTreeMap::new();
        for (shard, mark) in store.marks(shards).await? {
            let checkpoint = match store.load(shard).await {
                Ok(None) => (mark, None),
                Ok(Some((mark, snapshot))) => {
                    let stock = Stock::restore(shard, snapshot);
                    (mark, Some(stock.map_err(|violation| violation.to_string())))
                }
                Err(error) => (mark, Some(Err(error.to_string()))),
            };
            all.insert(shard, checkpoint);
        }
        Ok(Self(all))
    }

    /// The orders of each checkpoint that reaches what was deleted from the journal: `base` is each
    /// shard's last record that was.
    pub(super) fn orders(&self, base: &[u64]) -> impl Iterator<Item = Order> {
        self.reaching(base).flat_map(Stock::orders)
    }

    /// The payments of each checkpoint that reaches so far.
    pub(super) fn payments(&self, base: &[u64]) -> impl Iterator<Item = &Payment> {
        self.reaching(base).flat_map(Stock::payments).flat_map(|kept| &kept.payments)
    }

    fn reaching(&self, base: &[u64]) -> impl Iterator<Item = &Stock> {
        let reaches = |shard: &ShardId, mark: &Mark| {
            base.get(shard.index()).is_none_or(|base| mark.seq >= *base)
        };
        let reaching = self.0.iter().filter(move |(shard, (mark, _))| reaches(shard, mark));
        reaching.filter_map(|(_, (_, stock))| stock.as_ref()?.as_ref().ok())
    }

    /// Judges I9 and I11: each checkpoint, brought forward by the journal, against the journal alone.
    ///
    /// # Errors
    /// Returns [`AuditError`] if etcd does not answer.
    pub(super) async fn compare(
        self,
        look: &Look<'_>,
        base: &[u64],
        ledger: &mut Ledger,
    ) -> Result<(), AuditError> {
        let mut pairs: BTreeMap<ShardId, Pair> = BTreeMap::new();
        for (shard, (mark, stock)) in self.0 {
            let place = format!("shard {shard}");
            let end = ledger.seqs().get(&shard).copied().unwrap_or(0);
            let end = end.max(base.get(shard.index()).copied().unwrap_or(0));
            let verdict = invariants::i11_checkpoint(mark.seq, end);
            ledger.judge(Invariant::I11, &place, verdict);
            match stock {
                Some(Ok(stock)) => drop(pairs.insert(shard, Pair::new(mark, stock))),
                Some(Err(wrong)) => ledger.judge(Invariant::I9, &place, Err(wrong)),
                None => {}
            }
        }
        // Where records were deleted, there is no state of the journal alone.
        if base.iter().any(|seq| *seq > 0) {
            return Ok(());
        }
        let each = |found: Record| {
            if let Some(pair) = pairs.get_mut(&found.shard) {
                pair.apply(&found);
            }
        };
        let read = look.read(|_, _| (), each).await?;
        // A journal that is damaged, or was cut meanwhile, leads to no state to compare with.
        if !read.damage.is_empty() || read.base.iter().any(|seq| *seq > 0) {
            return Ok(());
        }
        for (shard, pair) in pairs {
            ledger.judge(Invariant::I9, &format!("shard {shard}"), pair.verdict());
        }
        Ok(())
    }
}

/// A shard's state twice: from its checkpoint and the records after it, and from all records.
struct Pair {
    mark: Mark,
    restored: Stock,
    replayed: Stock,
}

impl Pair {
    fn new(mark: Mark, restored: Stock) -> Self {
        let replayed = Stock::new(restored.shard());
        Self { mark, restored, replayed }
    }

    /// Applies a record to both. What cannot be applied shows as a difference in the end.
    fn apply(&mut self, record: &Record) {
        if record.seq > self.restored.seq() {
            let _ = self.restored.apply(record);
        }
        let _ = self.replayed.apply(record);
    }

    fn verdict(&self) -> Result<(), String> {
        let Self { mark, restored, replayed } = self;
        if restored.seq() == replayed.seq()
            && restored.items() == replayed.items()
            && restored.orders().eq(replayed.orders())
            && payments(restored).eq(payments(replayed))
        {
            return Ok(());
        }
        Err(format!("the checkpoint of {mark} does not lead to the journal's state"))
    }
}

/// The payments of a state, by ascending identity.
fn payments(stock: &Stock) -> impl Iterator<Item = &Payment> {
    stock.payments().into_iter().flat_map(|kept| &kept.payments)
}
