//! Up to where a shard's records have arrived without a gap, however they are shuffled on the way.

use domain::{Record, ShardId};
use std::collections::{BTreeMap, HashMap};

/// Which records of each shard have arrived.
#[derive(Debug, Default)]
pub(in crate::actors) struct ContiguousProgress {
    shards: HashMap<ShardId, Shard>,
}

#[derive(Debug, Default)]
struct Shard {
    /// All records up to here have arrived.
    up_to: u64,
    /// Runs of records behind a gap: first and last sequence number.
    beyond: BTreeMap<u64, u64>,
}

/// Runs behind gaps that are kept of one shard. More are dropped; the relay sends their records again.
const RUNS_MAX: usize = 10_000;

impl ContiguousProgress {
    /// Notes that all of the shard up to `seq` has arrived.
    pub(in crate::actors) fn advance_to(&mut self, shard: ShardId, seq: u64) {
        let shard = self.shards.entry(shard).or_default();
        shard.up_to = shard.up_to.max(seq);
        shard.close_gaps();
    }

    /// Notes that records have arrived. Returns the progress of each shard among them: its last record up
    /// to which all have arrived.
    pub(in crate::actors) fn take(&mut self, records: &[Record]) -> Vec<(ShardId, u64)> {
        let mut touched: Vec<ShardId> = Vec::new();
        for run in records.chunk_by(|a, b| a.shard == b.shard && a.seq + 1 == b.seq) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let shard = self.shards.entry(first.shard).or_default();
            if last.seq > shard.up_to {
                if first.seq <= shard.up_to + 1 {
                    shard.up_to = last.seq;
                } else if shard.beyond.len() < RUNS_MAX {
                    let end = shard.beyond.entry(first.seq).or_insert(last.seq);
                    *end = (*end).max(last.seq);
                }
                shard.close_gaps();
            }
            if !touched.contains(&first.shard) {
                touched.push(first.shard);
            }
        }
        touched.into_iter().map(|shard| (shard, self.shards[&shard].up_to)).collect()
    }
}

impl Shard {
    fn close_gaps(&mut self) {
        while let Some((first, last)) = self.beyond.first_key_value().map(|(f, l)| (*f, *l)) {
            if first > self.up_to + 1 {
                break;
            }
            self.beyond.remove(&first);
            self.up_to = self.up_to.max(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Event, ItemId, Timestamp};

    fn records(seqs: impl IntoIterator<Item = u64>) -> Vec<Record> {
        let record = |seq| Record {
            shard: ShardId(3),
            seq,
            at: Timestamp(seq),
            event: Event::ItemSettled(ItemId(1)),
        };
        seqs.into_iter().map(record).collect()
    }

    #[test]
    fn progress_stops_at_a_gap_and_jumps_when_it_closes() {
        let table: [(&[u64], u64); 6] =
            [(&[1, 2, 3], 3), (&[2, 3], 3), (&[7, 8], 3), (&[5], 3), (&[4], 5), (&[6, 7], 8)];
        let mut progress = ContiguousProgress::default();
        for (seqs, up_to) in table {
            let reached = progress.take(&records(seqs.iter().copied()));
            assert_eq!(reached, [(ShardId(3), up_to)], "{seqs:?}");
        }
        progress.advance_to(ShardId(3), 20);
        assert_eq!(progress.take(&records([21])), [(ShardId(3), 21)]);
    }
}
