//! A reader's place in the logs: what was read, what was offered and not confirmed, and what is confirmed. Pure.
//!
//! A shard's position never passes an event that was not confirmed. Records that are no events for the sink are passed
//! with those before them.

use super::cloud_event::CloudEvent;
use super::sink::Confirmed;
use domain::{ShardId, Timestamp};
use std::collections::HashMap;

/// Where a reader is. Shards that it does not read have no place in it.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Each shard's last record that was read.
    read: Vec<Option<u64>>,
    /// What was read and is not confirmed, in the order of the journal.
    waiting: Vec<CloudEvent>,
}

/// A record does not follow the last one of its shard: some between were deleted meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Gap;

impl Cursor {
    /// Begins behind these records, each shard's; none where nothing is read.
    pub(super) fn behind(after: Vec<Option<u64>>) -> Self {
        Self { read: after, waiting: Vec::new() }
    }

    /// Takes note that a record was read, and of the event that it is.
    ///
    /// # Errors
    /// Returns [`Gap`] if it does not follow the one before.
    pub(super) fn read(
        &mut self,
        shard: ShardId,
        seq: u64,
        event: Option<CloudEvent>,
    ) -> Result<(), Gap> {
        let last = self.read.get_mut(shard.index()).and_then(Option::as_mut).ok_or(Gap)?;
        if seq != *last + 1 {
            return Err(Gap);
        }
        *last = seq;
        self.waiting.extend(event);
        Ok(())
    }

    /// Whether records were deleted that are still to be read: `base` is each shard's last one that was.
    pub(super) fn lacks(&self, base: &[u64]) -> bool {
        self.read.iter().zip(base).any(|(read, base)| read.is_some_and(|read| read < *base))
    }

    /// What is to be offered, oldest first.
    pub(super) fn waiting(&self) -> &[CloudEvent] {
        &self.waiting
    }

    /// When the oldest of them happened.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|event| event.at).min()
    }

    /// Takes note of what has arrived of [`Self::waiting`].
    pub(super) fn confirm(&mut self, confirmed: &Confirmed) {
        confirmed.take_from(&mut self.waiting);
    }

    /// Each shard's last record up to which all is confirmed.
    pub(super) fn positions(&self) -> impl Iterator<Item = (ShardId, u64)> {
        let mut first_waiting = HashMap::new();
        for event in &self.waiting {
            first_waiting.entry(event.shard).or_insert(event.seq);
        }
        let read = (0..).map(ShardId).zip(&self.read);
        read.filter_map(move |(shard, read)| {
            let read = (*read)?;
            Some((shard, first_waiting.get(&shard).map_or(read, |first| first - 1)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::EventType;
    use super::*;
    use bytes::Bytes;

    fn event(shard: u16, seq: u64) -> CloudEvent {
        CloudEvent {
            id: format!("j-{shard}-{seq}"),
            kind: EventType::OrderPaid,
            shard: ShardId(shard),
            seq,
            at: Timestamp(seq),
            partition_key: 1,
            body: Bytes::new(),
        }
    }

    fn positions(cursor: &Cursor) -> Vec<(u16, u64)> {
        cursor.positions().map(|(shard, seq)| (shard.0, seq)).collect()
    }

    #[test]
    fn a_position_never_passes_what_was_not_confirmed() {
        let mut cursor = Cursor::behind(vec![Some(0), None, Some(7)]);
        for (shard, seq, is_event) in
            [(0, 1, true), (2, 8, true), (0, 2, false), (0, 3, true), (2, 9, false)]
        {
            let event = is_event.then(|| event(shard, seq));
            assert_eq!(cursor.read(ShardId(shard), seq, event), Ok(()));
        }
        assert_eq!(positions(&cursor), [(0, 0), (2, 7)]);
        assert_eq!(cursor.oldest(), Some(Timestamp(1)));
        // Only the last of shard 0 has arrived: the position waits for the first.
        cursor.confirm(&Confirmed::each(vec![false, false, true]));
        assert_eq!(positions(&cursor), [(0, 0), (2, 7)]);
        cursor.confirm(&Confirmed::NONE);
        cursor.confirm(&Confirmed::first(1));
        assert_eq!(positions(&cursor), [(0, 3), (2, 7)]);
        cursor.confirm(&Confirmed::first(5));
        assert_eq!(positions(&cursor), [(0, 3), (2, 9)]);
        assert_eq!(cursor.oldest(), None);
    }

    #[test]
    fn what_does_not_follow_is_a_gap() {
        let mut cursor = Cursor::behind(vec![Some(4), None]);
        assert_eq!(cursor.read(ShardId(0), 6, None), Err(Gap));
        assert_eq!(cursor.read(ShardId(0), 4, None), Err(Gap));
        assert_eq!(cursor.read(ShardId(1), 1, None), Err(Gap), "it is not read");
        assert_eq!(cursor.read(ShardId(0), 5, None), Ok(()));
        assert!(!cursor.lacks(&[5, 9]), "all that is gone was read");
        assert!(cursor.lacks(&[6, 0]));
    }
}
