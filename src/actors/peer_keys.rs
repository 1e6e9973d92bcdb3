//! Idempotency keys among the nodes of a shop: each tells the others which keys got orders at it, and asks them about
//! those that may have got one elsewhere.
//!
//! No queue is kept for it. What is to be told is read from the shards whenever more has become durable, of each shard
//! from the last order on of which the other node was told: so one that is new, was away or has lost its memory is told
//! all of it, none is told twice as a rule, and no purchase waits. What is not told yet only lets a reuse go unnoticed.
//! Nobody's sale rests on another node: one that does not answer is not waited for. Must not know how keys are
//! remembered.

use super::directory::ClusterNode;
use super::engine::Engine;
use super::remote::ANY_SHARD;
use super::shard::effects::NotDelivered;
use super::shard::mailbox::Envelope;
use super::told_keys::{Run, Told, ToldShards, run_of};
use crate::peers::{Answer, Ask, KEYS_MAX};
use crate::telemetry::metrics::{KEY_LOOKUP_OUTCOMES, KEY_LOOKUPS_TOTAL, PEER_KEYS_TOLD_TOTAL};
use domain::{Buy, OrderId, RequestId, ShardId, UserId};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

/// How long another node may take to answer, at the most: a purchase goes on without it then.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// The time between two looks that nothing asked for: a shard may have come.
const LOOK: Duration = Duration::from_secs(1);
/// What becomes durable within this time is told together.
const GATHER: Duration = Duration::from_millis(20);
/// The pause before a node is told again that did not take in what it was told.
const RETRY: Duration = Duration::from_secs(2);

impl Engine {
    /// Tells the other nodes from now on which keys got orders here.
    pub(super) fn begin_telling_keys(&self) {
        let Some(remote) = self.remote() else { return };
        let engine = self.clone();
        let task = self.tasks().keep_running("peer keys", move || tell_all(engine.clone()));
        remote.told_keys.set_task(task.abort_handle());
    }

    /// Tells the other nodes no more.
    pub(super) fn stop_telling_keys(&self) {
        if let Some(remote) = self.remote() {
            remote.told_keys.stop();
        }
    }

    /// How many other nodes do not know every key that has got an order here since they began; 0 if this node is
    /// alone, or reaches no other.
    pub fn peers_lacking_keys(&self) -> usize {
        let Some(remote) = self.remote() else { return 0 };
        let served = self.served_shards();
        let knows_all = |node: &ClusterNode| {
            let told = remote.told_keys.of(&run_of(node));
            served.iter().all(|shard| {
                let told = told.lock().get(shard).copied().unwrap_or_default();
                told.is_all(self.owner_of(*shard), self.placed_in(*shard))
            })
        };
        remote.directory.others_that_listen().iter().filter(|node| !knows_all(node)).count()
    }

    /// Whether another node says that this request got an order of another item there. One that does not answer in
    /// time says nothing. Asked only after the filter's "maybe".
    pub(super) async fn is_used_at_others(&self, buy: &Buy) -> bool {
        let Some(remote) = self.remote() else { return false };
        let Buy { user_id, request_id, item_id, .. } = *buy;
        let ask = Ask::FindReuse { user_id, request_id, item_id };
        let limit = ANSWER_MAX.min(self.context().reply_timeout / 2);
        let owners = remote.directory.others_that_serve();
        let (reached, unreached): (Vec<_>, Vec<_>) =
            owners.iter().partition(|node| node.record.listens());
        let asked = reached.into_iter().map(|node| remote.ask_node(node, ANY_SHARD, &ask, limit));
        let mut answers: FuturesUnordered<_> = asked.collect();
        let [used, unused, unanswered] = KEY_LOOKUP_OUTCOMES;
        let mut outcome = if unreached.is_empty() { unused } else { unanswered };
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Answer::Order(Some(_))) => {
                    outcome = used;
                    break;
                }
                Ok(Answer::Order(None)) => {}
                Ok(_) | Err(_) => outcome = unanswered,
            }
        }
        metrics::counter!(KEY_LOOKUPS_TOTAL, "outcome" => outcome).increment(1);
        outcome == used
    }

    fn owner_of(&self, shard: ShardId) -> Option<u64> {
        self.context().journal.owner(shard)
    }

    fn placed_in(&self, shard: ShardId) -> u64 {
        self.context().figures[shard.index()].placed()
    }

    /// Who placed the orders of a shard that are younger than this one, and by which requests: oldest first.
    async fn requests_after(
        &self,
        shard: ShardId,
        after: OrderId,
        limit: usize,
    ) -> Result<Vec<(OrderId, UserId, RequestId)>, NotDelivered> {
        let (answer, answered) = oneshot::channel();
        // Without a permit, which are the buyers': there is one of these at a time for each other node.
        let sent =
            self.context().router.send(shard, Envelope::ReadRequests { after, limit, answer });
        sent.map_err(|_| NotDelivered::Moved)?;
        answered.await.map_err(|_| NotDelivered::Moved)
    }
}

/// Tells each other node, for as long as it is there.
async fn tell_all(engine: Engine) {
    let Some(remote) = engine.remote() else { return };
    let mut changes = remote.directory.changes();
    let mut tasks = JoinSet::new();
    let mut tellers: HashMap<Run, AbortHandle> = HashMap::new();
    loop {
        changes.borrow_and_update();
        let nodes: HashMap<Run, Arc<ClusterNode>> = remote
            .directory
            .others_that_listen()
            .into_iter()
            .map(|node| (run_of(&node), node))
            .collect();
        tellers.retain(|run, teller| {
            let is_there = nodes.contains_key(run);
            if !is_there {
                teller.abort();
            }
            is_there
        });
        remote.told_keys.keep(|run| tellers.contains_key(run));
        for (run, node) in nodes {
            tellers.entry(run).or_insert_with_key(|run| {
                let told = remote.told_keys.of(run);
                tasks.spawn(Teller { engine: engine.clone(), node, told }.run())
            });
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            // One that panics is begun again, and all the others with it.
            Some(Err(error)) = tasks.join_next() => if error.is_panic() { return },
        }
    }
}

/// Tells one other node.
struct Teller {
    engine: Engine,
    node: Arc<ClusterNode>,
    told: ToldShards,
}

/// The node did not take in what it was told.
struct NotTaken;

impl Teller {
    async fn run(self) {
        loop {
            // Made before the shards are looked at, so that no notice falls in between.
            let durable = self.engine.durable_told().notified();
            match self.tell_some().await {
                Ok(true) => {}
                // The time covers shards that come.
                Ok(false) => {
                    // None comes where nothing is sold.
                    let _ = tokio::time::timeout(LOOK, durable).await;
                    tokio::time::sleep(GATHER).await;
                }
                Err(NotTaken) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Tells as much as goes into one call. Returns whether there is more.
    async fn tell_some(&self) -> Result<bool, NotTaken> {
        let (mut keys, mut reached, mut is_more) = (Vec::new(), Vec::new(), false);
        for shard in self.engine.served_shards() {
            let (owner, told) =
                (self.engine.owner_of(shard), self.told.lock().get(&shard).copied());
            // A shard that was away is told from its beginning: who sold there meanwhile may not have told all.
            let told = told.filter(|told| told.owner == owner).unwrap_or_default();
            // Counted before they are read: what is placed in between is told twice rather than never.
            let placed = self.engine.placed_in(shard);
            if told.is_all(owner, placed) {
                continue;
            }
            let room = KEYS_MAX - keys.len();
            if room == 0 {
                is_more = true;
                break;
            }
            // One that is just going is its next owner's to tell of.
            let found = self.engine.requests_after(shard, told.last, room).await;
            let Ok(found) = found else { continue };
            let last = found.last().map_or(told.last, |(order_id, ..)| *order_id);
            let is_all = found.len() < room;
            is_more |= !is_all;
            reached.push((shard, Told { owner, last, placed: is_all.then_some(placed) }));
            keys.extend(found.into_iter().map(|(_, user_id, request_id)| (user_id, request_id)));
        }
        self.tell(keys).await?;
        self.told.lock().extend(reached);
        Ok(is_more)
    }

    async fn tell(&self, keys: Vec<(UserId, RequestId)>) -> Result<(), NotTaken> {
        let Some(remote) = self.engine.remote().filter(|_| !keys.is_empty()) else { return Ok(()) };
        let (count, ask) = (keys.len(), Ask::NoteKeys(keys));
        match remote.ask_node(&self.node, ANY_SHARD, &ask, ANSWER_MAX).await {
            Ok(Answer::Noted) => {
                metrics::counter!(PEER_KEYS_TOLD_TOTAL).increment(count as u64);
                Ok(())
            }
            Ok(_) | Err(_) => Err(NotTaken),
        }
    }
}
