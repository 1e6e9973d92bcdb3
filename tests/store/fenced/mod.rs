//! What every log that several nodes share must keep to, run on each: in memory, on one etcd and on
//! three.

mod client;
mod contract;
mod etcd;
mod look;
mod registry;
mod settings;

use domain::ShardId;
use seckill::store::journal::fenced::{
    Appended, BatchId, Claim, Entry, FencedLog, Head, MemoryLog, Session, StoredBatch,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// A log under test, and what gives and takes sessions there.
trait World {
    type Log: FencedLog;

    fn log(&self) -> &Self::Log;
    /// Begins a session of this node, or replaces the one it has.
    async fn begin(&self, node: &str, incarnation: u64) -> Session;
    /// Ends a session, as its lease does.
    async fn end(&self, session: &Session);
}

/// A log in memory.
#[derive(Default)]
struct InMemory {
    log: MemoryLog,
    leases: AtomicU64,
}

impl World for InMemory {
    type Log = MemoryLog;

    fn log(&self) -> &MemoryLog {
        &self.log
    }

    async fn begin(&self, node: &str, incarnation: u64) -> Session {
        let lease = 1 + self.leases.fetch_add(1, Ordering::Relaxed) as i64;
        let session = Session { node: node.to_owned(), incarnation, lease };
        self.log.grant(&session);
        session
    }

    async fn end(&self, session: &Session) {
        self.log.expire(session.lease);
    }
}

/// An entry that follows `head`, with records that are as many bytes as there are records.
fn entry(claim: &Claim, head: Head, records: u64, name: u8) -> Entry {
    let seqs = (head.seq + 1, head.seq + records);
    let bytes = vec![name; usize::try_from(records).expect("few records")];
    let id = BatchId([name; 16]);
    let (next, bytes) = StoredBatch::follow(&head, claim.shard, &claim.session, seqs, id, &bytes);
    Entry { shard: claim.shard, expected: head, next, bytes }
}

/// Appends one batch, and returns the head that it leaves.
async fn append(log: &impl FencedLog, claim: &Claim, head: Head, records: u64, name: u8) -> Head {
    let entry = entry(claim, head, records, name);
    assert_eq!(log.append(std::slice::from_ref(&entry)).await, Appended::Done);
    entry.next
}

/// The names of a shard's batches behind `after`.
async fn names(log: &impl FencedLog, shard: ShardId, after: u64) -> Vec<u8> {
    let found = log.read(shard, after, 1_000).await.expect("batches");
    found.iter().map(|batch| batch.id.0[0]).collect()
}
