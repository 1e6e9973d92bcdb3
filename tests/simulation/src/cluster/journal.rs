//! A node's journal, step by step: what waits for the next commit, what is under way, and what a commit
//! releases. What makes it durable is the product's committer.

use super::question::{Answered, Reply};
use super::serving::{Decided, Effect, Served};
use super::wire::NodeLog;
use domain::ShardId;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use seckill::store::journal::fenced::Committer;
use seckill::store::journal::{Batch, Part};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

/// The shards that a node serves.
pub type Shards = BTreeMap<ShardId, Served>;

#[derive(Default)]
pub struct Journal {
    pending: Pending,
    under_way: Option<UnderWay>,
    /// Shards that a newer owner has taken: nothing of them is released any more.
    pub fenced: BTreeSet<ShardId>,
    /// Shards that were just found to be a newer owner's.
    pub newly_fenced: Vec<ShardId>,
    releases_early: bool,
}

#[derive(Default)]
struct Pending {
    batch: Batch,
    effects: Vec<Effect>,
}

struct UnderWay {
    commit: BoxFuture<'static, io::Result<Vec<ShardId>>>,
    parts: Vec<Part>,
    effects: Vec<Effect>,
    /// The epoch under which each shard appended.
    epochs: BTreeMap<ShardId, u64>,
}

/// What a commit came to.
pub struct Committed {
    /// Shards that are another node's, with the epoch and the last record that were given up.
    pub given_up: Vec<(ShardId, u64, u64)>,
}

impl Journal {
    /// A journal that releases what becomes durable, or, with a bug, what is sent.
    pub fn new(releases_early: bool) -> Self {
        Self { releases_early, ..Self::default() }
    }

    /// Takes in what a shard has decided, or releases it at once if all that it rests on is durable.
    pub fn append(
        &mut self,
        served: &mut Served,
        decided: Decided,
        is_live: bool,
        out: &mut Vec<Answered>,
    ) {
        let (shard, last_seq) = (served.shard(), served.stock.seq());
        let Decided { bytes, records, effects } = decided;
        if records == 0 && served.durable_seq >= last_seq {
            release(effects, served, is_live, out);
        } else if records > 0 || !effects.is_empty() {
            let batch = &mut self.pending.batch;
            let start = batch.bytes.len();
            batch.bytes.extend_from_slice(&bytes);
            let (bytes, first_seq) = (start..batch.bytes.len(), last_seq + 1 - records);
            batch.parts.push(Part { shard, bytes, first_seq, last_seq, effects: effects.len() });
            self.pending.effects.extend(effects);
        }
    }

    /// Whether something of the shard waits to be released.
    pub fn waits_for(&self, shard: ShardId) -> bool {
        let of_shard = |part: &Part| part.shard == shard;
        self.pending.batch.parts.iter().any(of_shard)
            || self.under_way.as_ref().is_some_and(|way| way.parts.iter().any(of_shard))
    }

    /// Goes on with the commit that is under way, or begins the next one.
    pub fn step(
        &mut self,
        committer: &Arc<Committer<NodeLog>>,
        shards: &mut Shards,
        is_live: bool,
        out: &mut Vec<Answered>,
    ) -> Option<Committed> {
        if self.under_way.is_none() && !self.pending.batch.parts.is_empty() {
            self.begin(committer, shards, is_live, out);
        }
        let under_way = self.under_way.as_mut()?;
        let fenced = under_way.commit.as_mut().now_or_never()?.expect("an outcome");
        let UnderWay { parts, effects, epochs, .. } = self.under_way.take()?;
        let mut given_up = Vec::new();
        for shard in fenced {
            if self.fenced.insert(shard) {
                self.newly_fenced.push(shard);
            }
            let own = parts.iter().filter(|part| part.shard == shard && part.has_records());
            let epoch = epochs.get(&shard).copied().unwrap_or(0);
            given_up.extend(own.map(|part| part.last_seq).max().map(|seq| (shard, epoch, seq)));
        }
        let mut effects = effects.into_iter();
        for part in &parts {
            let own: Vec<Effect> = effects.by_ref().take(part.effects).collect();
            match shards.get_mut(&part.shard) {
                Some(served) if !self.fenced.contains(&part.shard) => {
                    served.durable_seq = served.durable_seq.max(part.last_seq);
                    release(own, served, is_live, out);
                }
                served => forget(own, part.shard, served.map_or(0, |served| served.epoch), out),
            }
        }
        Some(Committed { given_up })
    }

    fn begin(
        &mut self,
        committer: &Arc<Committer<NodeLog>>,
        shards: &mut Shards,
        is_live: bool,
        out: &mut Vec<Answered>,
    ) {
        let Pending { batch, mut effects } = std::mem::take(&mut self.pending);
        let mut parts = batch.parts.clone();
        if self.releases_early {
            let mut all = std::mem::take(&mut effects).into_iter();
            for part in &mut parts {
                let own: Vec<Effect> = all.by_ref().take(part.effects).collect();
                part.effects = 0;
                if let Some(served) = shards.get_mut(&part.shard) {
                    release(own, served, is_live, out);
                }
            }
        }
        let epochs = shards.iter().map(|(shard, served)| (*shard, served.epoch)).collect();
        let committer = Arc::clone(committer);
        let commit = async move { committer.commit_batch(&batch).await }.boxed();
        self.under_way = Some(UnderWay { commit, parts, effects, epochs });
    }
}

/// Carries out effects whose records are durable.
fn release(
    effects: impl IntoIterator<Item = Effect>,
    served: &mut Served,
    is_live: bool,
    out: &mut Vec<Answered>,
) {
    let (shard, epoch) = (served.shard(), served.epoch);
    for effect in effects {
        match effect {
            Effect::Gate { item_id, seq, counters } => served.publish(item_id, seq, counters),
            Effect::Bucket(part) => served.publish_bucket(*part),
            Effect::Message { message, is_on_record } if is_on_record || is_live => {
                served.outbox.push(message);
            }
            Effect::Message { .. } => {}
            Effect::Reply { question, reply, is_on_record } => {
                let reply = if is_on_record || is_live { reply } else { Reply::HeldBack };
                out.push(Answered { question, reply, shard, epoch });
            }
        }
    }
}

/// Drops effects: what they rest on is not on record, or the caller cannot be told.
fn forget(effects: Vec<Effect>, shard: ShardId, epoch: u64, out: &mut Vec<Answered>) {
    for effect in effects {
        if let Effect::Reply { question, .. } = effect {
            out.push(Answered { question, reply: Reply::Unknown, shard, epoch });
        }
    }
}
