//! The checkpoints against the journal.

use super::run::AuditError;
use crate::store::checkpoint::{CheckpointStore, Mark};
use crate::store::journal::file::disk::Disk;
use crate::store::journal::file::scan;
use crate::store::journal::record::each_record;
use domain::invariants::{self, Ledger};
use domain::{ShardId, Stock};
use std::collections::BTreeMap;

/// The checkpoints' side.
#[derive(Default)]
pub(super) struct Kept(BTreeMap<ShardId, (Mark, Option<Result<Stock, String>>)>);

impl Kept {
    pub(super) async fn read(
        checkpoints: &CheckpointStore,
        shards: u16,
    ) -> Result<Self, AuditError> {
        let mut all = BTreeMap::new();
        for (shard, mark) in checkpoints.marks(shards).await? {
            let kept = match checkpoints.load(shard).await {
                Ok(None) => (mark, None),
                Ok(Some((mark, snapshot))) => {
                    let stock = Stock::restore(shard, snapshot);
                    (mark, Some(stock.map_err(|violation| violation.to_string())))
                }
                Err(error) => (mark, Some(Err(error.to_string()))),
            };
            all.insert(shard, kept);
        }
        Ok(Self(all))
    }

    /// I9 and I11: each checkpoint, brought forward by the journal, against the journal alone.
    pub(super) fn compare(self, disk: &dyn Disk, base: &[u64], ledger: &mut Ledger) {
        let whole = base.iter().all(|seq| *seq == 0);
        let mut pairs: BTreeMap<ShardId, (Mark, Stock, Stock)> = BTreeMap::new();
        for (shard, (mark, stock)) in self.0 {
            let place = format!("shard {shard}");
            let end = ledger.seqs().get(&shard).copied().unwrap_or(0);
            let end = end.max(base.get(shard.index()).copied().unwrap_or(0));
            ledger.judge("I11", &place, invariants::i11_checkpoint(mark.seq, end));
            match stock {
                Some(Ok(stock)) => drop(pairs.insert(shard, (mark, stock, Stock::new(shard)))),
                Some(Err(wrong)) => ledger.judge("I9", &place, Err(wrong)),
                None => {}
            }
        }
        if !whole {
            return;
        }
        let scan = scan(disk, |_, _, payload| {
            for found in each_record(payload) {
                let found = found?;
                if let Some((_, kept, replayed)) = pairs.get_mut(&found.shard) {
                    // What cannot be applied shows as a difference below.
                    if found.seq > kept.seq() {
                        let _ = kept.apply(&found);
                    }
                    let _ = replayed.apply(&found);
                }
            }
            Ok(())
        });
        // A journal that is damaged, or was cut meanwhile, leads to no state to compare with.
        if !scan.is_ok_and(|scan| scan.base.iter().all(|seq| *seq == 0)) {
            return;
        }
        for (shard, (mark, kept, replayed)) in pairs {
            let same = kept.seq() == replayed.seq()
                && kept.items() == replayed.items()
                && kept.orders().eq(replayed.orders());
            let verdict = match same {
                true => Ok(()),
                false => {
                    Err(format!("the checkpoint of {mark} does not lead to the journal's state"))
                }
            };
            ledger.judge("I9", &format!("shard {shard}"), verdict);
        }
    }
}
