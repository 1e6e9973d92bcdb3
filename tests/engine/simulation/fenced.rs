//! A log that several nodes share, as the journal's log: the contract of every journal is run on it, and
//! so are seeded schedules of several nodes whose appends are lost, late and doubled, and whose leases
//! end wrongly.

use domain::{Record, ShardId};
use futures_util::FutureExt;
use harness::Random;
use parking_lot::Mutex;
use seckill::store::journal::fenced::{
    Appended, Base, BatchId, Claim, Committer, CommitterOptions, Entry, FencedLog, Head, MemoryLog,
    MemoryLogFault, OwnedShards, Session, StoredBatch,
};
use seckill::store::journal::record::each_record;
use seckill::store::journal::{
    Batch, BoxError, JournalError, Log, LogHandle, OpenedLog, Part, Replayed,
};
use simulation::journal::book::Book;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};

/// What the committers' calls run on.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
});
static LEASES: AtomicI64 = AtomicI64::new(1);

/// A new session of a node, whose lease lives.
fn begin(log: &MemoryLog, node: &str, incarnation: u64) -> Session {
    let lease = LEASES.fetch_add(1, Ordering::Relaxed);
    let session = Session { node: node.to_owned(), incarnation, lease };
    log.grant(&session);
    session
}

/// A claim and all that is behind its base, which must end where the head says.
fn take_over(
    log: &MemoryLog,
    session: &Session,
    shard: ShardId,
) -> Option<(Claim, Vec<StoredBatch>)> {
    let claim = log.claim(session, shard).now_or_never()?.ok()?;
    let batches = log.read(shard, claim.base.batch, usize::MAX).now_or_never()?.expect("batches");
    let mut end = claim.base;
    for batch in &batches {
        assert!(
            batch.follows(shard, (end.batch, end.seq, end.chain)),
            "I5: {batch:?} behind {end:?}"
        );
        end = batch.end();
    }
    assert_eq!(end, claim.head.as_base(), "the log ends where its head says");
    Some((claim, batches))
}

fn committer(log: &MemoryLog, owned: &Arc<OwnedShards>) -> Committer<MemoryLog> {
    let handle: Handle = RUNTIME.handle().clone();
    let options = CommitterOptions { pause: Duration::ZERO };
    Committer::new(Arc::new(log.clone()), Arc::clone(owned), handle, options)
}

/// All shards of a log, which this process claims when it replays them.
#[derive(Clone, Default)]
pub struct AllShards(pub MemoryLog);

impl OpenedLog for AllShards {
    type Log = Committer<MemoryLog>;

    fn base(&self) -> Result<Vec<u64>, JournalError> {
        // More than the contract uses; those behind are at 0.
        let mut base: Vec<u64> = (0..64).map(|shard| self.0.base(ShardId(shard)).seq).collect();
        while base.pop_if(|seq| *seq == 0).is_some() {}
        Ok(base)
    }

    fn replay(
        self,
        after: &[u64],
        mut visit: impl FnMut(&Record) -> Result<(), BoxError>,
    ) -> Result<Replayed<Self::Log>, JournalError> {
        let owned = Arc::new(OwnedShards::default());
        let (mut seqs, mut last_epoch, mut epoch) = (Vec::new(), 0, 0);
        // The owner before is dead, and its lease with it.
        let session = begin(&self.0, "node", LEASES.load(Ordering::Relaxed).unsigned_abs());
        for (index, after) in after.iter().enumerate() {
            let shard = ShardId(u16::try_from(index).expect("few shards"));
            if let Some((_, _)) = self.0.owner(shard) {
                (1..session.lease).for_each(|lease| self.0.expire(lease));
            }
            let (claim, batches) = take_over(&self.0, &session, shard).expect("a claim");
            for found in batches.iter().flat_map(|batch| each_record(batch.records())) {
                let found = found.map_err(|error| JournalError(error.into()))?;
                if found.seq > *after {
                    visit(&found).map_err(JournalError)?;
                }
            }
            last_epoch = batches.last().map_or(0, |batch| batch.epoch).max(last_epoch);
            epoch = claim.epoch.max(epoch);
            seqs.push(claim.head.seq);
            owned.open(claim, batches.iter().map(StoredBatch::sized_end));
        }
        Ok(Replayed { log: committer(&self.0, &owned), seqs, last_epoch, epoch })
    }
}

const SHARDS: u16 = 4;
const NODES: usize = 3;

/// The claims so far: the shard, its last batch then, and the new epoch.
type ClaimsSoFar = Mutex<Vec<(ShardId, u64, u64)>>;

/// Several nodes, and what is known to be true of them.
struct World {
    /// The log as the checks see it: nothing happens to what they do.
    log: MemoryLog,
    nodes: Vec<Node>,
    chaos: Arc<Mutex<Chaos>>,
    /// What was trimmed of each shard, in order.
    archive: BTreeMap<ShardId, Vec<StoredBatch>>,
    /// Record numbers that a node has confirmed,
    confirmed: BTreeSet<u64>,
    /// and those of which it has said that they are not on record.
    denied: BTreeSet<u64>,
    /// Each claim: from behind this batch on, no smaller epoch.
    claims: Arc<ClaimsSoFar>,
    next_number: u64,
}

/// Where fates are drawn.
struct Chaos {
    random: Random,
    /// The log, to interfere in the middle of a commit.
    log: MemoryLog,
    calm: bool,
}

struct Node {
    name: String,
    session: Session,
    owned: Arc<OwnedShards>,
    committer: Committer<MemoryLog>,
    handle: Arc<dyn LogHandle>,
    /// The last record of each shard that it has handed to its journal, and the epoch that it claimed.
    seqs: BTreeMap<ShardId, (u64, u64)>,
}

impl World {
    fn new(mut random: Random) -> Self {
        let log = MemoryLog::default();
        let chaos = Chaos { random: random.fork(), log: log.clone(), calm: false };
        let chaos = Arc::new(Mutex::new(chaos));
        let claims = Arc::default();
        let nodes = (0..NODES).map(|node| Node::start(&log, &chaos, &claims, node, 1)).collect();
        Self {
            log,
            nodes,
            chaos,
            archive: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            denied: BTreeSet::new(),
            claims,
            next_number: 1,
        }
    }

    fn step(&mut self, random: &mut Random, incarnation: u64) {
        let node = usize::try_from(random.below(NODES as u64)).expect("few nodes");
        match random.below(20) {
            0 => self.log.expire(self.nodes[node].session.lease),
            1 => {
                self.nodes[node] =
                    Node::start(&self.log, &self.chaos, &self.claims, node, incarnation)
            }
            2 => drop(self.log.deliver_held(usize::try_from(random.below(8)).expect("small"))),
            3 => self.trim(node, random),
            4..7 => self.take(node, random),
            _ => self.commit(node, random),
        }
    }

    /// A node claims a shard that is free, on a new session if its own has ended.
    fn take(&mut self, node: usize, random: &mut Random) {
        let shard = ShardId(u16::try_from(random.below(u64::from(SHARDS))).expect("few shards"));
        let node = &mut self.nodes[node];
        if self.log.owner(shard).is_some() {
            return;
        }
        if take_over(&self.log, &node.session, shard).is_none() {
            node.session = begin(&self.log, &node.name, node.session.incarnation);
        }
        let Some((claim, batches)) = take_over(&self.log, &node.session, shard) else { return };
        self.claims.lock().push((shard, claim.head.batch, claim.epoch));
        node.seqs.insert(shard, (claim.head.seq, claim.epoch));
        node.owned.open(claim, batches.iter().map(StoredBatch::sized_end));
    }

    /// A node commits a batch of parts of the shards that it believes to own.
    fn commit(&mut self, node: usize, random: &mut Random) {
        let node = &mut self.nodes[node];
        for lost in node.owned.take_lost() {
            node.seqs.remove(&lost);
        }
        let own: Vec<ShardId> = node.seqs.keys().copied().collect();
        let mut batch = Batch::default();
        let mut numbers = Vec::new();
        for _ in 0..=random.below(4) {
            let Some(shard) = random.pick(&own).copied() else { return };
            let (last, _) = node.seqs.get_mut(&shard).expect("its own");
            let (start, count) = (batch.bytes.len(), 1 + random.below(3));
            for _ in 0..count {
                batch.bytes.extend_from_slice(&self.next_number.to_le_bytes());
                numbers.push((shard, self.next_number));
                self.next_number += 1;
            }
            let (first_seq, last_seq) = (*last + 1, *last + count);
            let bytes = start..batch.bytes.len();
            batch.parts.push(Part { shard, bytes, first_seq, last_seq, effects: 1 });
            *last = last_seq;
        }
        let fenced = node.committer.commit(&mut batch).expect("an outcome");
        for (shard, number) in numbers {
            let told = if fenced.contains(&shard) { &mut self.denied } else { &mut self.confirmed };
            told.insert(number);
        }
        for shard in fenced {
            let given_up = node.seqs.remove(&shard);
            let head = self.log.head(shard).now_or_never().expect("at once").expect("read");
            let is_anothers = head.map(|head| head.epoch) > given_up.map(|(_, epoch)| epoch);
            assert!(is_anothers, "I16: shard {shard} was given up, and nobody else has it");
        }
    }

    /// A node trims what checkpoints and order store may hold: anything that it has confirmed.
    fn trim(&mut self, node: usize, random: &mut Random) {
        let node = &self.nodes[node];
        let shards = node.owned.shards();
        let Some(shard) = random.pick(&shards).copied() else { return };
        let Some(claim) = node.owned.claim(shard) else { return };
        let mut covered = vec![0; usize::from(SHARDS)];
        covered[shard.index()] = random.below(claim.head.seq + 1);
        let before =
            self.log.read(shard, 0, usize::MAX).now_or_never().expect("at once").expect("read");
        node.handle.retire(&covered).expect("trimmed");
        let after =
            self.log.read(shard, 0, usize::MAX).now_or_never().expect("at once").expect("read");
        let gone = before.len() - after.len();
        let trimmed = before.into_iter().take(gone);
        self.archive.entry(shard).or_default().extend(trimmed);
    }

    /// Every promise, looked up on the log.
    fn check(&self) {
        let mut on_record = BTreeSet::new();
        let mut trimmed = BTreeSet::new();
        for shard in (0..SHARDS).map(ShardId) {
            let left =
                self.log.read(shard, 0, usize::MAX).now_or_never().expect("at once").expect("read");
            let archived = self.archive.get(&shard).map_or(&[][..], Vec::as_slice);
            let (mut end, mut epoch) = (Base::default(), 0);
            for (place, batch) in archived.iter().chain(&left).enumerate() {
                let last = (end.batch, end.seq, end.chain);
                assert!(batch.follows(shard, last), "I5: {batch:?} follows {end:?}");
                assert!(batch.epoch >= epoch, "I15: epoch {} follows {epoch}", batch.epoch);
                for (claimed, behind, least) in self.claims.lock().iter() {
                    let is_later = *claimed == shard && batch.batch > *behind;
                    assert!(!is_later || batch.epoch >= *least, "I15: {batch:?} behind a claim");
                }
                (end, epoch) = (batch.end(), batch.epoch);
                for number in batch.records().as_chunks::<8>().0 {
                    let number = u64::from_le_bytes(*number);
                    assert!(on_record.insert(number), "record {number} is there twice");
                    if place < archived.len() {
                        trimmed.insert(number);
                    }
                }
            }
        }
        for confirmed in &self.confirmed {
            assert!(
                on_record.contains(confirmed),
                "I8: {confirmed} was confirmed and is not on record"
            );
        }
        for denied in self.denied.iter().filter(|denied| !trimmed.contains(denied)) {
            assert!(!on_record.contains(denied), "{denied} was given up and is on record");
        }
    }
}

impl Node {
    fn start(
        log: &MemoryLog,
        chaos: &Arc<Mutex<Chaos>>,
        claims: &Arc<ClaimsSoFar>,
        node: usize,
        incarnation: u64,
    ) -> Self {
        let name = format!("node-{node}");
        let session = begin(log, &name, incarnation);
        let (chaos, claims) = (Arc::clone(chaos), Arc::clone(claims));
        let owned: Arc<OwnedShards> = Arc::default();
        let hostile = log.seen_with_fate(move || chaos.lock().fate(&claims));
        let mut committer = committer(&hostile, &owned);
        let handle = committer.start().expect("a log");
        Self { name, session, owned, committer, handle, seqs: BTreeMap::new() }
    }
}

impl Chaos {
    /// What happens to the append that is about to be sent, and around it.
    fn fate(&mut self, claims: &ClaimsSoFar) -> MemoryLogFault {
        if self.calm {
            return MemoryLogFault::None;
        }
        let number = usize::try_from(self.random.below(8)).expect("small");
        match self.random.below(12) {
            0 => MemoryLogFault::Lost,
            1 => MemoryLogFault::AnswerLost,
            2 => MemoryLogFault::Held,
            3 => MemoryLogFault::Doubled,
            4 => MemoryLogFault::Full,
            5 => {
                self.log.deliver_held(number);
                MemoryLogFault::None
            }
            6 => {
                self.usurp(claims);
                MemoryLogFault::None
            }
            7 => {
                self.usurp(claims);
                MemoryLogFault::AnswerLost
            }
            _ => MemoryLogFault::None,
        }
    }

    /// A node that nobody else knows claims a shard whose owner's lease ends just now, and goes on.
    fn usurp(&mut self, claims: &ClaimsSoFar) {
        let shard =
            ShardId(u16::try_from(self.random.below(u64::from(SHARDS))).expect("few shards"));
        self.log.free(shard);
        let session = begin(&self.log, "usurper", self.random.any());
        let Some((claim, _)) = take_over(&self.log, &session, shard) else { return };
        claims.lock().push((shard, claim.head.batch, claim.epoch));
        let mut head = claim.head;
        for _ in 0..self.random.below(3) {
            // Numbers that no node uses.
            let number = u64::MAX - self.random.below(u64::MAX >> 1);
            let entry = following(&claim, head, number);
            head = entry.next;
            let appended = self.log.append(&[entry]).now_or_never();
            assert_eq!(appended, Some(Appended::Done));
        }
        self.log.expire(session.lease);
    }
}

/// An entry of one record.
fn following(claim: &Claim, head: Head, number: u64) -> Entry {
    let (seqs, id) = ((head.seq + 1, head.seq + 1), BatchId(u128::from(number).to_le_bytes()));
    let records = number.to_le_bytes();
    let (next, bytes) = StoredBatch::follow(&head, claim.shard, &claim.session, seqs, id, &records);
    Entry { shard: claim.shard, expected: head, next, bytes }
}

/// How many schedules a run tries: `SECKILL_SCHEDULES`, or a few hundred.
fn schedules() -> u64 {
    let given = std::env::var("SECKILL_SCHEDULES").ok();
    given.map_or(300, |text| text.parse().expect("SECKILL_SCHEDULES is a number"))
}

#[test]
fn what_is_too_much_for_one_transaction_goes_in_several() {
    const RECORDS: u64 = 20_000;
    let place = AllShards::default();
    let mut book = Book::start(place.clone());
    assert!(book.write(0, 1) && book.write(0, RECORDS) && book.write(0, 1));
    book.journal.close();
    let read = place.0.read(ShardId(0), 0, usize::MAX).now_or_never();
    let batches = read.expect("at once").expect("read");
    assert!(batches.len() > 4, "{} batches", batches.len());
    assert!(batches.iter().all(|batch| batch.records().len() <= 512 << 10));
    let again = Book::start(place);
    assert_eq!(again.seqs[0], RECORDS + 2);
    let seqs = again.replayed.iter().map(|found| found.seq);
    assert!(seqs.eq(1..=RECORDS + 2), "each record once and in order");
    again.journal.close();
}

#[test]
fn no_schedule_loses_doubles_or_reorders_what_was_confirmed() {
    let mut random = Random::of("a fenced log");
    if std::env::var("SECKILL_SEED").is_ok() {
        one_schedule(random);
        return;
    }
    for round in 0..schedules() {
        let seed = random.any();
        let ran = std::panic::catch_unwind(|| one_schedule(Random::new(seed)));
        assert!(ran.is_ok(), "schedule {round}: run it again with SECKILL_SEED={seed}");
    }
}

fn one_schedule(mut random: Random) {
    let mut world = World::new(random.fork());
    for step in 0..200 {
        world.step(&mut random, step + 2);
    }
    // At last everything arrives, and each node that still believes to own something learns the truth.
    world.chaos.lock().calm = true;
    for node in 0..NODES {
        world.commit(node, &mut random);
    }
    while world.log.deliver_held(0).is_some() {}
    world.check();
}
