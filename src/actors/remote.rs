//! How the node is found and asked that serves a shard which is not served here.
//!
//! The directory says who that is. A node that says it is another one is believed once, and a call whose shard is
//! between two owners waits a while for the next one. A link that breaks
//! after a call was sent leaves open whether it arrived: what may be repeated is sent once more under the same
//! request id, to the node that serves the shard then, and if the shard knows the request it was this one.
//! What is known of other nodes' items is kept here for a second. Must not know what is served here.

use super::directory::{ClusterNode, Directory};
use super::gate::Gate;
use super::shard::effects::{NotDelivered, Reply};
use super::shard::idempotency::KeyOrigin;
use super::told_keys::ToldKeys;
use crate::clock::Clock;
use crate::peers::{Answer, Ask, CallError, Item, LinkFigures, Links};
use crate::telemetry::text::Histogram;
use crate::telemetry::traces::TraceContext;
use dashmap::DashMap;
use domain::{
    Buy, Command, ItemAction, ItemId, Order, OrderId, OrderStatus, Outcome, RequestId, ShardId,
    Timestamp, UserId,
};
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The shard of a call that is about all which a node serves.
pub(super) const ANY_SHARD: ShardId = ShardId(0);
/// How old what is known of another node's item may be.
const ITEM_AGE_MAX: Duration = Duration::from_secs(1);
/// The first pause before a shard's next owner is asked again that does not serve it yet.
const BETWEEN_PAUSE: Duration = Duration::from_millis(20);
/// How often that pause is doubled.
const BETWEEN_DOUBLINGS: u32 = 3;
/// How much a repeat costs of what calls save up, each of them one: so one in ten calls may be repeated.
const REPEAT_COST: u32 = 10;
/// What is saved up at most: enough to repeat as many as were under way on a link that breaks.
const SAVED_MAX: u32 = 1_000 * REPEAT_COST;

/// The other nodes of the shop, as this one asks them.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) directory: Directory,
    pub(super) told_keys: ToldKeys,
    links: Links,
    pub(super) clock: Clock,
    patience: Patience,
    /// Places for calls that wait for their shard's next owner.
    between: Semaphore,
    items: DashMap<ItemId, Arc<SeenItem>, RandomState>,
    saved: AtomicU32,
    /// The nodes that did not answer at the last look.
    silent: Mutex<HashSet<String>>,
}

/// How long is waited for other nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How long a call may take, repeats included.
    pub(super) call: Duration,
    /// How much of that it may wait for its shard's next owner, while the shard is between two.
    pub(super) between: Duration,
    /// How many calls may wait for that at a time.
    pub(super) between_calls_max: usize,
}

/// What is known of one item of another node's.
#[derive(Debug, Default)]
struct SeenItem {
    /// The gate, and since when it is as it is.
    gate: Mutex<Option<(Arc<Gate>, Duration)>>,
    /// When no node was found that has one of its buckets.
    missed_at: Mutex<Option<Duration>>,
    /// Held by who asks its shard.
    looking: tokio::sync::Mutex<()>,
}

/// An answer, and whether the call may have arrived before as well.
struct Asked {
    answer: Answer,
    was_repeated: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failed {
    NotDelivered(NotDelivered),
    Unknown,
}

impl Remote {
    /// The nodes of `directory`, asked over `links`.
    pub(super) fn new(
        directory: Directory,
        links: Links,
        clock: Clock,
        patience: Patience,
    ) -> Self {
        let (items, saved) = (DashMap::default(), AtomicU32::new(SAVED_MAX));
        let between = Semaphore::new(patience.between_calls_max);
        let told_keys = ToldKeys::default();
        let silent = Mutex::default();
        Self { directory, told_keys, links, clock, patience, between, items, saved, silent }
    }

    /// Whether this node itself has claimed a shard, as far as the registry has said.
    pub(super) fn is_own(&self, shard: ShardId) -> bool {
        self.directory.owner(shard).is_some_and(|owner| owner.is_self)
    }

    /// Waits until a shard is another node's than this one's, which has claimed it or is giving it away, or until
    /// `takes` says that it takes everything in here. False if that is not so by `until`, or too many wait
    /// already. `was_own` is whether it was this node's before it was asked for in vain.
    pub(super) async fn moves_on(
        &self,
        shard: ShardId,
        was_own: bool,
        takes: impl Fn() -> bool,
        until: Instant,
    ) -> bool {
        let is_own = || self.is_own(shard);
        if !is_own() {
            return was_own || takes();
        }
        let Ok(_place) = self.between.try_acquire() else { return false };
        let mut changes = self.directory.changes();
        let moved = async {
            while !takes() && is_own() {
                // What is served here is told by no change of the directory.
                let _ = tokio::time::timeout(BETWEEN_PAUSE, changes.changed()).await;
            }
        };
        tokio::time::timeout_at(until, moved).await.is_ok()
    }

    /// How long other nodes took to answer since the start.
    pub(super) fn call_durations(&self) -> &Histogram {
        self.links.durations()
    }

    /// How the links are.
    pub(super) fn link_figures(&self) -> LinkFigures {
        self.links.keep(|name| self.directory.node(name).is_some());
        self.links.figures()
    }

    /// Whether another node serves a shard, and answers, unless it was not asked yet.
    pub(super) fn reaches_an_owner(&self) -> bool {
        let (others, silent) = (self.directory.others_that_serve(), self.silent.lock());
        others.iter().any(|node| node.record.listens() && !silent.contains(&node.name))
    }

    /// Notes which nodes did not answer just now.
    pub(super) fn note_silent(&self, nodes: HashSet<String>) {
        *self.silent.lock() = nodes;
    }

    /// Has a purchase decided.
    pub(super) async fn buy(
        &self,
        shard: ShardId,
        buy: Buy,
        origin: KeyOrigin,
        trace: Option<TraceContext>,
    ) -> Reply {
        match self.ask(shard, &Ask::Buy { buy, origin: origin.number(), trace }, true).await {
            // What was sent first may still be under way, and get what this one was refused.
            Ok(Asked { answer: Answer::Decided(Outcome::Refused(_)), was_repeated: true }) => {
                Reply::Unknown
            }
            asked => reply(asked),
        }
    }

    /// Has another command decided.
    pub(super) async fn decide(&self, shard: ShardId, command: Command) -> Reply {
        self.decide_within(shard, command, self.patience.call).await
    }

    /// Has a command decided, if that takes no longer than this.
    pub(super) async fn decide_within(
        &self,
        shard: ShardId,
        command: Command,
        limit: Duration,
    ) -> Reply {
        let (may_repeat, deadline) = (may_repeat(&command), Instant::now() + limit);
        reply(self.ask_until(deadline, shard, &Ask::Command(command), may_repeat).await)
    }

    /// Reads an order.
    pub(super) async fn order(&self, order_id: OrderId) -> Result<Option<Order>, NotDelivered> {
        self.find_order(order_id.shard(), &Ask::ReadOrder(order_id)).await
    }

    /// Reads an order once it has another status than this, or after so long.
    pub(super) async fn await_change(
        &self,
        order_id: OrderId,
        known: OrderStatus,
        wait: Duration,
    ) -> Result<Option<Order>, NotDelivered> {
        let shard = order_id.shard();
        // Places for calls that wait for a shard's next owner are the buyers'.
        let owner = self.directory.owner(shard).filter(|owner| !owner.is_self);
        let owner = owner.ok_or(NotDelivered::Moved)?;
        let ask = Ask::AwaitChange { order_id, known, wait };
        // The other node answers after its wait, and that takes its time too.
        match self.ask_node(&owner, shard, &ask, wait + self.patience.call).await? {
            Answer::Order(order) => Ok(order),
            answer => Err(unread(&answer)),
        }
    }

    /// Reads the order that a request got, on any item of the shard.
    pub(super) async fn order_of_request(
        &self,
        shard: ShardId,
        user_id: UserId,
        request_id: RequestId,
    ) -> Result<Option<Order>, NotDelivered> {
        self.find_order(shard, &Ask::FindRequest(user_id, request_id)).await
    }

    /// Reads the newest orders of a buyer that other nodes have, each of them once. Returns with them the
    /// shards that were asked.
    pub(super) async fn orders_of(
        &self,
        user_id: UserId,
        before: Option<OrderId>,
        limit: usize,
    ) -> Result<(Vec<Order>, Vec<ShardId>), NotDelivered> {
        let ask =
            Ask::OrdersOf { user_id, before, limit: u16::try_from(limit).unwrap_or(u16::MAX) };
        let others = self.directory.others_that_serve();
        let asked =
            others.iter().map(|node| self.ask_node(node, ANY_SHARD, &ask, self.patience.call));
        let (mut orders, mut shards) = (Vec::new(), Vec::new());
        for answer in futures_util::future::join_all(asked).await {
            match answer? {
                Answer::Orders(mut found, mut served) => {
                    orders.append(&mut found);
                    shards.append(&mut served);
                }
                answer => return Err(unread(&answer)),
            }
        }
        Ok((orders, shards))
    }

    /// The gate of an item of another node's, as it was a second ago at most; older if its node does not answer.
    pub(super) async fn gate(&self, item_id: ItemId) -> Result<Option<Arc<Gate>>, NotDelivered> {
        let shard = match self.directory.find_item(item_id).await {
            Some(shard) => shard,
            None if self.directory.knows_items() => return Ok(None),
            None => return Err(NotDelivered::Moved),
        };
        let seen = Arc::clone(&self.items.entry(item_id).or_default());
        if let Some(gate) = seen.within(ITEM_AGE_MAX, self.clock.elapsed()) {
            return Ok(Some(gate));
        }
        // One asks for all: the others take what was known, or wait for the first answer.
        let _looking = match (seen.looking.try_lock(), seen.known()) {
            (Ok(looking), _) => looking,
            (Err(_), Some(known)) => return Ok(Some(known)),
            (Err(_), None) => seen.looking.lock().await,
        };
        if let Some(gate) = seen.within(ITEM_AGE_MAX, self.clock.elapsed()) {
            return Ok(Some(gate));
        }
        let asked_at = (self.clock.now(), self.clock.elapsed());
        let found = match self.read(shard, &Ask::ReadItem(item_id)).await {
            Ok(Answer::Item(Some(item))) => Ok(seen.update(item, shard, asked_at)),
            // That there is such an item is known.
            Ok(Answer::Item(None)) => Err(NotDelivered::Moved),
            Ok(answer) => Err(unread(&answer)),
            Err(reason) => Err(reason),
        };
        let found = match found {
            // Its first bucket may be away, and others not.
            Err(reason) if seen.may_have_buckets(asked_at.1) => {
                match self.find_bucket(item_id).await {
                    Some(item) => Ok(seen.update(item, shard, asked_at)),
                    None => {
                        *seen.missed_at.lock() = Some(asked_at.1);
                        Err(reason)
                    }
                }
            }
            found => found,
        };
        if let Ok(gate) = &found {
            self.look_at_buckets(std::slice::from_ref(gate), |_| false).await;
        }
        found.or_else(|reason| seen.known().ok_or(reason)).map(Some)
    }

    /// The gate of another node's item as it was when it was last looked at.
    pub(super) fn known_gate(&self, item_id: ItemId) -> Option<Arc<Gate>> {
        self.items.get(&item_id).and_then(|seen| seen.known())
    }

    /// The gate of another node's item, if it was looked at this long ago at most.
    pub(super) fn recent_gate(&self, item_id: ItemId, age: Duration) -> Option<Arc<Gate>> {
        self.items.get(&item_id).and_then(|seen| seen.within(age, self.clock.elapsed()))
    }

    /// The gates of all other nodes' items that were ever looked at, each as it was then.
    pub(super) fn known_gates(&self) -> Vec<Arc<Gate>> {
        self.items.iter().filter_map(|seen| seen.known()).collect()
    }

    async fn find_order(&self, shard: ShardId, ask: &Ask) -> Result<Option<Order>, NotDelivered> {
        match self.read(shard, ask).await? {
            Answer::Order(order) => Ok(order),
            answer => Err(unread(&answer)),
        }
    }

    /// Asks something that changes nothing.
    async fn read(&self, shard: ShardId, ask: &Ask) -> Result<Answer, NotDelivered> {
        match self.ask(shard, ask, true).await {
            Ok(asked) => Ok(asked.answer),
            Err(Failed::NotDelivered(reason)) => Err(reason),
            Err(Failed::Unknown) => Err(NotDelivered::Moved),
        }
    }

    /// Asks one node, about a shard if it is asked about one, and waits no longer than this.
    pub(super) async fn ask_node(
        &self,
        node: &ClusterNode,
        shard: ShardId,
        ask: &Ask,
        limit: Duration,
    ) -> Result<Answer, NotDelivered> {
        let address = (node.name.as_str(), node.record.peer_address.as_str());
        let deadline = Instant::now() + limit;
        self.links.call(address, shard, ask, deadline).await.map_err(|error| match error {
            CallError::Busy => NotDelivered::Overloaded,
            CallError::NotSent | CallError::Broken | CallError::Silent => NotDelivered::Moved,
        })
    }

    /// Asks the node that serves the shard.
    async fn ask(&self, shard: ShardId, ask: &Ask, may_repeat: bool) -> Result<Asked, Failed> {
        self.ask_until(Instant::now() + self.patience.call, shard, ask, may_repeat).await
    }

    async fn ask_until(
        &self,
        deadline: Instant,
        shard: ShardId,
        ask: &Ask,
        may_repeat: bool,
    ) -> Result<Asked, Failed> {
        self.save();
        let (mut was_repeated, mut refusals) = (false, 0);
        let until = deadline.min(Instant::now() + self.patience.between);
        let mut owner = self.directory.owner(shard);
        loop {
            if owner.is_none() {
                owner = self.next_owner(shard, refusals, until).await;
            }
            // What may have arrived was not refused, whatever follows.
            let failed = |reason| match was_repeated {
                true => Failed::Unknown,
                false => Failed::NotDelivered(reason),
            };
            let node = owner.filter(|node| !node.is_self && node.record.listens());
            let Some(node) = node else { return Err(failed(NotDelivered::Moved)) };
            let address = (node.name.as_str(), node.record.peer_address.as_str());
            match self.links.call(address, shard, ask, deadline).await {
                Ok(Answer::NotOwner(next)) => {
                    // A node that knows better is believed once; after that the registry is.
                    let next = next.filter(|next| refusals == 0 && *next != node.name);
                    let next = next.and_then(|name| self.directory.node(&name));
                    // This node itself may have claimed the shard and not heard of that from the registry yet.
                    owner = next.filter(|node| !node.is_self);
                    refusals += 1;
                }
                Ok(Answer::Busy) => return Err(failed(NotDelivered::Overloaded)),
                Ok(Answer::NotDelivered(reason)) => {
                    let reason = NotDelivered::from_number(reason).ok_or(Failed::Unknown)?;
                    if reason != NotDelivered::Moved {
                        return Err(failed(reason));
                    }
                    // It was in the mailbox when the shard went.
                    (owner, refusals) = (None, refusals + 1);
                }
                Ok(answer) => return Ok(Asked { answer, was_repeated }),
                Err(CallError::Busy) => return Err(failed(NotDelivered::Overloaded)),
                Err(CallError::NotSent) => return Err(failed(NotDelivered::Moved)),
                Err(CallError::Broken) if may_repeat && !was_repeated && self.spend() => {
                    was_repeated = true;
                    owner = self.directory.owner(shard);
                }
                Err(CallError::Broken | CallError::Silent) => return Err(Failed::Unknown),
            }
        }
    }

    /// The next owner of a shard that is between two: the one of before gives it away or has died, and the next
    /// one takes it over. `refusals` counts the nodes that said they do not serve it. None if it has none until
    /// then, or too many wait already.
    async fn next_owner(
        &self,
        shard: ShardId,
        refusals: u32,
        until: Instant,
    ) -> Option<Arc<ClusterNode>> {
        let _place = self.between.try_acquire().ok()?;
        let mut changes = self.directory.changes();
        if refusals > 0 {
            let pause = BETWEEN_PAUSE * (1 << (refusals - 1).min(BETWEEN_DOUBLINGS));
            // The node that the registry names may not serve it yet, or not any more.
            let changed = tokio::time::timeout(pause, changes.changed());
            if tokio::time::timeout_at(until, changed).await.is_err() {
                return None;
            }
        }
        loop {
            if let Some(owner) = self.directory.owner(shard) {
                return Some(owner);
            }
            tokio::time::timeout_at(until, changes.changed()).await.ok()?.ok()?;
        }
    }

    /// Notes that a call was made, which saves up for repeats.
    fn save(&self) {
        let more = |saved: u32| (saved < SAVED_MAX).then_some(saved + 1);
        // Nothing is added to what is full.
        let _ = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Whether a call may be repeated: not while most of them would be, or a node that is down would be
    /// asked twice as much.
    fn spend(&self) -> bool {
        let less = |saved: u32| saved.checked_sub(REPEAT_COST);
        self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

impl SeenItem {
    fn known(&self) -> Option<Arc<Gate>> {
        self.gate.lock().as_ref().map(|(gate, _)| Arc::clone(gate))
    }

    /// The gate, if it is known as it was this long ago at most.
    fn within(&self, age: Duration, now: Duration) -> Option<Arc<Gate>> {
        let seen = self.gate.lock();
        let (gate, seen_at) = seen.as_ref()?;
        (now.saturating_sub(*seen_at) <= age).then(|| Arc::clone(gate))
    }

    /// Whether the item may have buckets at other nodes than that of its first one, as far as was asked lately.
    fn may_have_buckets(&self, now: Duration) -> bool {
        let (known, missed_at) = (self.known(), *self.missed_at.lock());
        known.is_none_or(|gate| !gate.terms().buckets.is_one())
            && missed_at.is_none_or(|missed_at| now.saturating_sub(missed_at) > ITEM_AGE_MAX)
    }

    /// Takes in what the item's shard says. The gate stays the same one, because the edge counts there.
    fn update(
        &self,
        item: Item,
        shard: ShardId,
        (asked_at, elapsed): (Timestamp, Duration),
    ) -> Arc<Gate> {
        let mut seen = self.gate.lock();
        let state = item.into_state();
        let known = seen.take().map(|(gate, _)| gate);
        let mut gate = known.unwrap_or_else(|| Arc::new(Gate::elsewhere(&state, shard)));
        gate.show_seen(&state, asked_at);
        if state.settled && state.exchange.is_none() && !gate.is_settled() {
            gate = Arc::new(gate.settle());
        }
        *seen = Some((Arc::clone(&gate), elapsed));
        gate
    }
}

/// Whether a command may be sent twice under one request id, because the second time changes nothing.
fn may_repeat(command: &Command) -> bool {
    match command {
        Command::Operate(operation) => match operation.action {
            ItemAction::Restock(_) | ItemAction::Reduce(_) => {
                operation.request.as_ref().is_some_and(|request| request.request_id.is_some())
            }
            ItemAction::Pause | ItemAction::Resume | ItemAction::End | ItemAction::Admit(_) => true,
        },
        // One without an id would be started twice.
        Command::StartPayment(asked) => asked.request_id != RequestId(0),
        _ => true,
    }
}

/// What became of a command. If it was sent twice, what the shard has seen before was this one.
fn reply(asked: Result<Asked, Failed>) -> Reply {
    match asked {
        Ok(Asked { answer: Answer::Decided(outcome), was_repeated }) => {
            Reply::Decided(if was_repeated { outcome.at_first() } else { outcome })
        }
        Err(Failed::NotDelivered(reason)) => Reply::NotDelivered(reason),
        Ok(_) | Err(Failed::Unknown) => Reply::Unknown,
    }
}

/// Why an answer to a read is none.
fn unread(answer: &Answer) -> NotDelivered {
    match answer {
        Answer::NotDelivered(reason) => {
            NotDelivered::from_number(*reason).unwrap_or(NotDelivered::Moved)
        }
        Answer::Busy => NotDelivered::Overloaded,
        _ => NotDelivered::Moved,
    }
}

#[cfg(test)]
mod tests;
