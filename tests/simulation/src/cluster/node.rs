//! One run of a node: what it serves, its journal, and its place in the cluster.

use super::journal::{Journal, Shards};
use super::membership::Membership;
use super::message::Message;
use super::plant::Plant;
use super::question::{Answered, Question, Reply};
use super::shop::{HOT, terms};
use super::stores::{Checkpoint, Stores};
use super::wire::{NodeLog, Wire};
use crate::finding::Finding;
use domain::{Parts, Record, ShardId};
use futures_util::FutureExt;
use harness::Random;
use seckill::store::journal::Log;
use seckill::store::journal::LogHandle;
use seckill::store::journal::fenced::{
    Committer, CommitterOptions, FencedLog, MemoryLog, OwnedShards,
};
use seckill::store::journal::record::each_record;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// What a committer wants to have; nothing runs on it, for the world polls every future itself.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

/// A run of a node.
pub struct Node {
    pub name: String,
    pub incarnation: u64,
    pub wire: Wire,
    pub log: NodeLog,
    pub stores: Stores,
    pub owned: Arc<OwnedShards>,
    pub committer: Arc<Committer<NodeLog>>,
    pub handle: Arc<dyn LogHandle>,
    pub shards: Shards,
    pub journal: Journal,
    pub membership: Membership,
    pub plant: Option<Plant>,
    pub random: Random,
    /// What is known here of the item that has several buckets, and how many those are.
    pub hot: Parts,
    pub hot_buckets: u8,
    /// Messages that have left since the world looked last; those without a node go to their shard's.
    pub messages: Vec<(Option<usize>, Message)>,
    /// Answers that have left since the world looked last.
    pub out: Vec<Answered>,
    /// What there is to judge since then.
    pub deeds: Vec<Deed>,
}

/// Something that a node did, for the world to judge.
pub enum Deed {
    Known { shard: ShardId, seq: u64 },
    GivenUp { shard: ShardId, epoch: u64, last_seq: u64 },
    TakenOver { shard: ShardId, is_from_orders: bool },
    Stuck,
    GivenAway,
    LetGo,
    Checkpointed { shard: ShardId, seq: u64 },
    Trimmed,
    Renewed,
    Found { shard: ShardId, epoch: u64, finding: Finding },
}

impl Node {
    pub fn start(
        (name, incarnation): (String, u64),
        log: &MemoryLog,
        stores: &Stores,
        plant: Option<Plant>,
        mut random: Random,
    ) -> Self {
        let wire = Wire::new(random.fork());
        let log = NodeLog::new(wire.clone(), log.clone(), plant);
        let owned: Arc<OwnedShards> = Arc::default();
        let options = CommitterOptions { pause: Duration::ZERO };
        let runtime = RUNTIME.handle().clone();
        let mut committer =
            Committer::new(Arc::new(log.clone()), Arc::clone(&owned), runtime, options);
        let handle = committer.start().expect("a log");
        let hot_buckets = terms(HOT).buckets.count();
        let releases_early = plant == Some(Plant::ReleasedBeforeDone);
        Self {
            name,
            incarnation,
            wire,
            log,
            stores: stores.clone(),
            owned,
            committer: Arc::new(committer),
            handle,
            shards: Shards::new(),
            journal: Journal::new(releases_early),
            membership: Membership::default(),
            plant,
            random,
            hot: Parts::new(hot_buckets),
            hot_buckets,
            messages: Vec::new(),
            out: Vec::new(),
            deeds: Vec::new(),
        }
    }

    /// Whether nobody else can have what this node serves, as far as it knows.
    pub fn is_live(&self, now: u64) -> bool {
        self.plant == Some(Plant::NoGuard) || now < self.membership.live_until
    }

    /// A client's request arrives.
    pub fn ask(&mut self, now: u64, question: Question) {
        let is_live = self.is_live(now);
        let (shard, epoch) = (question.shard, 0);
        match self.shards.get_mut(&shard).filter(|served| served.is_open) {
            Some(served) => match served.refusal(now, &question, &self.hot).filter(|_| is_live) {
                Some(reply) => {
                    let epoch = served.epoch;
                    self.out.push(Answered { question, reply, shard, epoch });
                }
                None => served.mailbox.push_back(question),
            },
            None => {
                self.out.push(Answered { question, reply: Reply::NotDelivered, shard, epoch });
            }
        }
    }

    /// Does what there is to do at this instant.
    pub fn step(&mut self, now: u64) {
        self.keep_session(now);
        let is_live = self.is_live(now);
        self.show_buckets();
        for served in self.shards.values_mut() {
            if served.is_open || self.membership.decides_last(served.shard()) {
                let decided = served.decide(now, is_live, &self.hot);
                self.journal.append(served, decided, is_live, &mut self.out);
            }
        }
        // A commit that ends makes room for the next one.
        while let Some(committed) =
            self.journal.step(&self.committer, &mut self.shards, is_live, &mut self.out)
        {
            for served in self.shards.values() {
                let (shard, seq) = (served.shard(), served.durable_seq);
                self.deeds.push(Deed::Known { shard, seq });
            }
            for (shard, epoch, last_seq) in committed.given_up {
                self.deeds.push(Deed::GivenUp { shard, epoch, last_seq });
            }
        }
        self.write_messages(now);
        self.tend(now);
    }

    /// Brings what is durable to the order store, writes checkpoints and trims: each now and then.
    pub fn keep_up(&mut self, log: &MemoryLog) {
        self.lead_on();
        let shards: Vec<ShardId> = self.shards.keys().copied().collect();
        for shard in shards {
            match self.random.below(6) {
                0..3 => self.relay(log, shard),
                3 => self.checkpoint(shard),
                4 => self.trim(shard),
                _ => {}
            }
        }
    }

    fn relay(&mut self, log: &MemoryLog, shard: ShardId) {
        let Ok(progress) = self.stores.progress(shard) else { return };
        let Some(served) = self.shards.get_mut(&shard) else { return };
        if progress >= served.durable_seq {
            return;
        }
        const BATCHES_MAX: usize = 16;
        let read = log.read(shard, served.relayed_batch, BATCHES_MAX).now_or_never();
        let Some(Ok(batches)) = read else { return };
        let whole = batches.iter().filter(|batch| batch.last_seq <= progress);
        served.relayed_batch = whole.map(|batch| batch.batch).max().unwrap_or(served.relayed_batch);
        let records = batches.iter().flat_map(|batch| each_record(batch.records()));
        let records: Vec<Record> = records.filter_map(Result::ok).collect();
        let next = records.into_iter().filter(|found| found.seq > progress);
        self.stores.store(shard, next.take(1 + self.random.below(8) as usize));
    }

    fn checkpoint(&mut self, shard: ShardId) {
        let is_hasty = self.plant == Some(Plant::CheckpointBeforeDurable);
        let Some(served) = self.shards.get_mut(&shard) else { return };
        if served.durable_seq < served.stock.seq() && !is_hasty {
            return;
        }
        let (epoch, snapshot) = (served.epoch, served.stock.snapshot());
        let seq = snapshot.seq;
        if let Ok(stored) = self.stores.write_checkpoint(shard, Checkpoint { epoch, snapshot }) {
            served.checkpoint_seq = stored.min(seq);
            self.deeds.push(Deed::Checkpointed { shard, seq: stored });
        }
    }

    fn trim(&mut self, shard: ShardId) {
        let Some(served) = self.shards.get(&shard) else { return };
        let stored = match self.plant {
            Some(Plant::TrimmedWithoutOrderStore) => u64::MAX,
            _ => self.stores.progress(shard).unwrap_or(0),
        };
        let mut covered = vec![0; usize::from(super::shop::SHARDS)];
        covered[shard.index()] = served.checkpoint_seq.min(stored);
        // One that fails is tried again by the next round.
        if self.handle.retire(&covered).is_ok_and(|count| count > 0) {
            self.deeds.push(Deed::Trimmed);
        }
    }
}
