//! How far the tables are with each shard's log, and by how much a batch may raise that. Pure.
//!
//! The progress of a shard is a promise: every record up to it is in the tables. So it is raised only
//! in the transaction that stores the records, only from where the tables themselves say they are, and
//! never over a gap.

use super::seal::Seal;
use domain::{Record, ShardId};

/// How far the tables are with a shard's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShardProgress {
    /// The shard whose log it is.
    pub shard: ShardId,
    /// The last record up to which all are stored.
    pub applied_seq: u64,
    /// What was stored; none for a shard of which a version stored records that kept no seals.
    pub sealed: Option<Sealed>,
}

/// What the tables hold of a shard's log, as of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sealed {
    /// That record. What comes again below it is not counted again.
    pub seq: u64,
    /// The sum of all records up to it.
    pub seal: Seal,
    /// How many of them contradicted a row when they came, so that they may lack theirs.
    pub conflicts: u64,
}

/// A batch that does not begin where the tables are: records between are missing, and nothing of it
/// was stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("shard {shard} is stored up to record {stored_seq}, and record {} has not come", .stored_seq + 1)]
pub struct Gap {
    /// The shard whose records are missing.
    pub shard: ShardId,
    /// The last record up to which all are stored, before the gap.
    pub stored_seq: u64,
}

/// What each record of a batch adds to its shard's seal: by shard and `seq`, each once.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<(ShardId, u64, Seal)>);

impl ShardProgress {
    /// A shard of which nothing is stored.
    pub(super) fn none(shard: ShardId) -> Self {
        Self { shard, applied_seq: 0, sealed: Some(Sealed::default()) }
    }

    /// The last record up to which all are stored and sealed.
    pub fn seq(&self) -> u64 {
        self.sealed.map_or(self.applied_seq, |sealed| sealed.seq.min(self.applied_seq))
    }
}

impl Steps {
    pub(super) fn of(records: &[Record]) -> Self {
        let step = |record: &Record| (record.shard, record.seq, Seal::of_record(record));
        let mut steps: Vec<_> = records.iter().map(step).collect();
        steps.sort_by_key(|(shard, seq, _)| (*shard, *seq));
        steps.dedup_by_key(|(shard, seq, _)| (*shard, *seq));
        Self(steps)
    }

    /// The shard's progress after these records, raised to `to`.
    ///
    /// # Errors
    /// Returns [`Gap`] if a record between its progress and `to` is not among them.
    pub(super) fn raise(&self, stored: ShardProgress, to: u64) -> Result<ShardProgress, Gap> {
        let shard = stored.shard;
        let stored_seq = stored.seq();
        let start = self.0.partition_point(|(of, seq, _)| (*of, *seq) <= (shard, stored_seq));
        let end = self.0.partition_point(|(of, seq, _)| (*of, *seq) <= (shard, to));
        let steps = &self.0[start..end.max(start)];
        // Each once and in order: as many as there are numbers means that none is missing.
        if steps.len() as u64 != to.saturating_sub(stored_seq) {
            return Err(Gap { shard, stored_seq });
        }
        let mut raised = stored;
        raised.applied_seq = stored.applied_seq.max(to);
        if let Some(sealed) = &mut raised.sealed {
            for (_, seq, step) in steps.iter().filter(|(_, seq, _)| *seq > stored_seq) {
                if *seq > sealed.seq {
                    sealed.seal += *step;
                    sealed.seq = *seq;
                }
            }
        }
        Ok(raised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Event, ItemId, Timestamp};

    const SHARD: ShardId = ShardId(3);

    fn steps(seqs: impl IntoIterator<Item = u64>) -> Steps {
        let record = |seq| Record {
            shard: SHARD,
            seq,
            at: Timestamp(seq),
            event: Event::ItemSettled(ItemId(1)),
        };
        Steps::of(&seqs.into_iter().map(record).collect::<Vec<_>>())
    }

    fn stored(applied_seq: u64, sealed_seq: u64) -> ShardProgress {
        let none = ShardProgress { applied_seq, ..ShardProgress::none(SHARD) };
        let sealed = steps(1..=sealed_seq).raise(ShardProgress::none(SHARD), sealed_seq);
        ShardProgress { sealed: sealed.expect("no gap").sealed, ..none }
    }

    #[test]
    fn progress_begins_where_the_tables_are_and_passes_no_gap() {
        let gap = |stored_seq| Err(Gap { shard: SHARD, stored_seq });
        #[rustfmt::skip]
        type Case = (u64, &'static [u64], u64, Result<u64, Gap>);
        let table: [Case; 9] = [
            // stored   records              to   then
            (0, &[1, 2, 3], 3, Ok(3)),
            (3, &[4, 5], 5, Ok(5)),
            (3, &[2, 3, 4], 4, Ok(4)),
            (3, &[5, 4, 4, 3], 5, Ok(5)),
            (3, &[1, 2], 2, Ok(3)),
            (3, &[], 3, Ok(3)),
            (3, &[5, 6], 6, gap(3)),
            (3, &[4, 6], 6, gap(3)),
            (3, &[], 4, gap(3)),
        ];
        for (seq, records, to, expected) in table {
            let raised = steps(records.iter().copied()).raise(stored(seq, seq), to);
            assert_eq!(raised.map(|raised| raised.seq()), expected, "{seq} {records:?} {to}");
        }
    }

    #[test]
    fn a_seal_counts_each_record_once_however_often_it_comes() {
        // The progress went back, and so did the seal.
        for (applied_seq, sealed_seq) in [(2, 6), (6, 2), (0, 6), (6, 6)] {
            let before = stored(applied_seq, sealed_seq);
            let raised = steps(1..=9).raise(before, 9);
            assert_eq!(raised, Ok(stored(9, 9)), "{applied_seq} {sealed_seq}");
        }
    }
}
