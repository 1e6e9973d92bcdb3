//! Traced records on their way to the order store.
//!
//! What reads the journal finds no trace there; it asks here which of its records belong to one. A record comes
//! in when it is handed to the journal, before it can be durable, and goes out when it is stored. Must not
//! know how records travel.

use super::context::{RecordTrace, TraceContext};
use domain::ShardId;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Records that are remembered at most: one more is not, and its trace ends at the journal.
pub const RECORDS_MAX: usize = 65_536;

/// The traced records that are on their way.
#[derive(Debug, Default)]
pub(super) struct Underway(Mutex<BTreeMap<(ShardId, u64), TraceContext>>);

impl Underway {
    /// Remembers a record; false if there is no room.
    pub(super) fn note(&self, shard: ShardId, seq: u64, context: TraceContext) -> bool {
        let mut records = self.0.lock();
        let has_room = records.len() < RECORDS_MAX;
        if has_room {
            records.insert((shard, seq), context);
        }
        has_room
    }

    /// Forgets a record that is not on record after all.
    pub(super) fn forget(&self, shard: ShardId, seq: u64) {
        self.0.lock().remove(&(shard, seq));
    }

    /// Forgets a shard that is not served here any more.
    pub(super) fn forget_shard(&self, shard: ShardId) {
        self.0.lock().retain(|(own, _), _| *own != shard);
    }

    /// Forgets what is stored: each shard's records up to the number in its place.
    pub(super) fn forget_stored(&self, stored: &[u64]) {
        let mut records = self.0.lock();
        if !records.is_empty() {
            records.retain(|(shard, seq), _| stored.get(shard.index()).is_none_or(|to| seq > to));
        }
    }

    /// Those of these records that are remembered.
    pub(super) fn find(&self, asked: impl Iterator<Item = (ShardId, u64)>) -> Vec<RecordTrace> {
        let records = self.0.lock();
        if records.is_empty() {
            return Vec::new();
        }
        let found = |(shard, seq)| {
            let context = *records.get(&(shard, seq))?;
            Some(RecordTrace { shard, seq, context })
        };
        asked.filter_map(found).collect()
    }

    /// How many records are remembered.
    pub(super) fn count(&self) -> usize {
        self.0.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_remembered_until_it_is_stored() {
        let underway = Underway::default();
        let (one, two) = (ShardId(1), ShardId(2));
        let context = TraceContext::new();
        for (shard, seq) in [(one, 5), (one, 6), (one, 7), (two, 6), (ShardId(9), 1)] {
            assert!(underway.note(shard, seq, context));
        }
        let asked = [(one, 4), (one, 5), (two, 5), (two, 6)];
        let found = underway.find(asked.into_iter());
        let found: Vec<_> = found.iter().map(|trace| (trace.shard, trace.seq)).collect();
        assert_eq!(found, [(one, 5), (two, 6)]);
        underway.forget_stored(&[0, 6, 5]);
        assert_eq!(
            underway.count(),
            3,
            "shard 1 from 7, shard 2, and the one of which nothing is known"
        );
        underway.forget(one, 7);
        underway.forget_shard(ShardId(9));
        assert_eq!(underway.count(), 1);
        underway.forget_stored(&[0, 0, 6]);
        assert_eq!(underway.count(), 0);
    }

    #[test]
    fn no_more_are_remembered_than_may_be() {
        let underway = Underway::default();
        let context = TraceContext::new();
        for seq in 1..=RECORDS_MAX as u64 {
            assert!(underway.note(ShardId(0), seq, context));
        }
        assert!(!underway.note(ShardId(0), u64::MAX, context));
        assert_eq!(underway.count(), RECORDS_MAX);
        underway.forget_stored(&[1]);
        assert!(underway.note(ShardId(0), u64::MAX, context), "there is room again");
    }
}
