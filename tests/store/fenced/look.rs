//! The whole log as of one revision: what is appended, trimmed or damaged behind it, and what of it shows.

use super::World;
use super::etcd::OneMember;
use domain::{Event, ItemId, Record, ShardId, Timestamp};
use seckill::store::etcd::{Operation, Transaction};
use seckill::store::journal::fenced::{
    Appended, BatchId, Claim, Entry, FencedLog, Head, LogLook, LookError, StoredBatch,
};
use seckill::store::journal::record;

const SHARD: ShardId = ShardId(1);
const SHARDS: u16 = 3;

/// Appends one batch of this many records, and returns the head that it leaves.
async fn append(log: &impl FencedLog, claim: &Claim, head: Head, records: u64) -> Head {
    let seqs = (head.seq + 1, head.seq + records);
    let mut bytes = Vec::new();
    for seq in seqs.0..=seqs.1 {
        let event = Event::ItemSettled(ItemId(7));
        let found = Record { shard: claim.shard, seq, at: Timestamp(seq), event };
        record::encode(&found, &mut bytes);
    }
    let id = BatchId([head.batch as u8; 16]);
    let (next, bytes) = StoredBatch::follow(&head, claim.shard, &claim.session, seqs, id, &bytes);
    let entry = Entry { shard: claim.shard, expected: head, next, bytes };
    assert_eq!(log.append(&[entry]).await, Appended::Done);
    next
}

/// How many batches and which records a look has of the shard.
async fn read(look: &LogLook) -> Result<(usize, Vec<u64>), LookError> {
    let (mut batches, mut seqs) = (0, Vec::new());
    look.read(SHARD, |_| batches += 1, |found| seqs.push(found.seq)).await?;
    Ok((batches, seqs))
}

#[tokio::test]
async fn a_look_stays_at_its_revision_until_etcd_has_forgotten_it() {
    let Some(world) = OneMember::begin().await else { return };
    let session = world.begin("a", 1).await;
    let log = world.log();
    let claim = log.claim(&session, SHARD).await.expect("a claim");
    let first = append(log, &claim, claim.head, 2).await;
    let look = log.look(SHARDS).await.expect("a look");
    // More than one page, and some of it trimmed.
    let mut head = first;
    for _ in 0..70 {
        head = append(log, &claim, head, 1).await;
    }
    assert_eq!(read(&look).await, Ok((1, vec![1, 2])), "what came later does not show");
    let whole = log.look(SHARDS).await.expect("a look");
    log.trim(&claim, first.as_base()).await.expect("trimmed");
    assert_eq!(read(&whole).await, Ok((71, (1..=72).collect())));
    let cut = log.look(SHARDS).await.expect("a look");
    assert_eq!((cut.base_seqs(), cut.end_seqs()), (vec![0, 2, 0], vec![0, 72, 0]));
    assert_eq!(read(&cut).await, Ok((70, (3..=72).collect())));

    world.etcd().compact(cut.revision()).await.expect("compacted");
    assert_eq!(read(&whole).await, Err(LookError::Compacted(whole.revision())));
    assert_eq!(read(&cut).await, Ok((70, (3..=72).collect())), "the oldest that is left");
}

#[tokio::test]
async fn what_is_not_as_it_was_written_is_named() {
    let Some(world) = OneMember::begin().await else { return };
    let session = world.begin("a", 1).await;
    let (log, etcd) = (world.log(), world.etcd());
    let claim = log.claim(&session, SHARD).await.expect("a claim");
    let mut head = claim.head;
    for _ in 0..3 {
        head = append(log, &claim, head, 2).await;
    }
    log.trim(&claim, head.as_base()).await.expect("trimmed");
    for _ in 0..4 {
        head = append(log, &claim, head, 2).await;
    }
    let put = async |key: &str, value: Option<Vec<u8>>| {
        let operation = match value {
            Some(value) => Operation::put(world.key(key), value),
            None => Operation::Delete(world.key(key)),
        };
        let then = vec![operation];
        etcd.commit(Transaction { then, ..Transaction::default() }).await.expect("an answer");
    };
    let batch = |number: u64| format!("log/1/{number:016x}");
    let get = async |key: &str| {
        etcd.get(&world.key(key)).await.expect("an answer").map(|found| found.value)
    };
    let flipped = get(&batch(5)).await.map(|mut value| {
        value[80] ^= 1;
        value
    });
    let (older, newer) = (Head { batch: 6, ..head }, Head { epoch: head.epoch + 1, ..head });
    let cases = [
        (batch(5), None, "batch 4: the next batch does not follow it", 1),
        (
            batch(7),
            None,
            "names batch 7 with record 14, and the log ends with batch 6 and record 12",
            3,
        ),
        (batch(5), flipped, "a batch whose checksum differs", 1),
        (batch(5), get(&batch(6)).await, "it holds batch 6", 1),
        (batch(2), get(&batch(4)).await, "it holds batch 4", 0),
        (batch(8), Some(vec![1]), "no batch: cut short", 4),
        ("head/1".to_owned(), None, "shard 1: its head is gone", 4),
        ("head/1".to_owned(), Some(older.encode()), "names batch 6 with record 14", 4),
        (
            "head/1".to_owned(),
            Some(newer.encode()),
            "its last claim is of epoch 1, and its head of 2",
            4,
        ),
        ("head/1".to_owned(), Some(vec![1]), "a value of 1 bytes", 0),
        ("base/1".to_owned(), None, "batch 0: the next batch does not follow it", 0),
        ("epoch/1".to_owned(), Some(b"{}".to_vec()), "missing field", 0),
    ];
    for (key, value, words, batches) in cases {
        let kept = get(&key).await;
        put(&key, value).await;
        let look = log.look(SHARDS).await.expect("a look");
        let mut read = 0;
        let found = look.read(SHARD, |_| read += 1, |_| ()).await;
        let Err(LookError::Damaged(why)) = found else { panic!("{key}: {found:?}") };
        assert!(why.starts_with("shard 1: ") && why.contains(words), "{words:?} is not in {why:?}");
        assert!(read >= batches, "{key}: {read} batches were read");
        put(&key, kept).await;
    }
    let look = log.look(SHARDS).await.expect("a look");
    assert_eq!(read(&look).await, Ok((4, (7..=14).collect())));
}
