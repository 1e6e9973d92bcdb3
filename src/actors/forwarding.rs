//! What is decided wherever its shard is: here, or by the node that serves it.
//!
//! Every decision that the edge asks for goes through here. It is tried here first; what finds its shard shut
//! was not delivered, and goes to the other node. A node alone has no other, and this adds nothing to its way.
//! Must not know how another node is asked.

use super::directory::Directory;
use super::engine::Engine;
use super::gate::Gate;
use super::remote::{Patience, Remote};
use super::shard::effects::{NotDelivered, Reply};
use super::shard::idempotency::KeyOrigin;
use crate::peers::{LinkFigures, Links};
use crate::telemetry::text::Histogram;
use crate::telemetry::traces::{Kind, Parent, Span, TraceContext};
use domain::{Buckets, Buy, Command, ItemId, ItemTerms, OrderId, Outcome, Refusal, ShardId};
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a request waits for the next owner of its shard.
const BETWEEN_MAX: Duration = Duration::from_secs(2);
/// The span of a purchase while another node has it.
const FORWARD: &str = "forward buy";

impl Engine {
    /// Has the shards of other nodes asked over these links from now on, if this is a node of a cluster.
    pub fn reach_peers(&self, links: Links) {
        if let Some(directory) = self.directory() {
            let context = self.context();
            let patience = Patience {
                call: context.reply_timeout,
                between: BETWEEN_MAX,
                between_calls_max: (context.permits.limit() / 4).max(1),
            };
            self.set_remote(Remote::new(directory.clone(), links, self.clock(), patience));
            self.begin_telling_keys();
        }
    }

    /// How the links to other nodes are; none if this node is alone, or asks none.
    pub fn link_figures(&self) -> Option<LinkFigures> {
        self.remote().map(Remote::link_figures)
    }

    /// How long other nodes took to answer since the start; none if this node is alone, or asks none.
    pub fn peer_call_durations(&self) -> Option<&Histogram> {
        self.remote().map(Remote::call_durations)
    }

    /// Whether there is something to buy through this node: it serves a shard, or reaches a node that does.
    pub fn has_something_to_sell(&self) -> bool {
        self.context().router.served().next().is_some()
            || self.remote().is_some_and(Remote::reaches_an_owner)
    }

    /// The item's gate, wherever its shard is: another node's is as it was a second ago at most, and refuses
    /// nothing. None if there is no such item.
    ///
    /// # Errors
    /// Returns [`NotDelivered::Moved`] if the item is another node's that cannot be asked, or if it is not known
    /// which items there are.
    pub async fn find_gate(&self, item_id: ItemId) -> Result<Option<Arc<Gate>>, NotDelivered> {
        if let Some(gate) = self.gate(item_id) {
            return Ok(Some(gate));
        }
        match self.remote() {
            // Not on the way of a purchase of one's own item, whose future is smaller without.
            Some(remote) => Box::pin(self.find_gate_elsewhere(remote, item_id)).await,
            None if self.may_be_elsewhere(item_id).await => Err(NotDelivered::Moved),
            None => Ok(None),
        }
    }

    /// The gate of an item that was not here just now. Where the registry has its shard as this node's, that has just
    /// gone from here or is about to come: it is waited for.
    async fn find_gate_elsewhere(
        &self,
        remote: &Remote,
        item_id: ItemId,
    ) -> Result<Option<Arc<Gate>>, NotDelivered> {
        let until = between_ends();
        let shard = || self.directory()?.shard_of(item_id);
        loop {
            let was_own = shard().is_some_and(|shard| remote.is_own(shard));
            let found = remote.gate(item_id).await;
            let (Err(NotDelivered::Moved), Some(shard)) = (&found, shard()) else { return found };
            let moves_on = self.moves_on(remote, shard, was_own, until).await;
            if let Some(gate) = self.gate(item_id) {
                return Ok(Some(gate));
            }
            // A shard comes with its items: what takes something in and has no such item will not have it.
            if !moves_on || self.context().router.takes(shard) {
                return found.map_err(|reason| self.in_vain(reason));
            }
        }
    }

    /// The item's gate as far as it is known without asking: of another node's item as it was when somebody last
    /// looked.
    pub fn known_gate(&self, item_id: ItemId) -> Option<Arc<Gate>> {
        self.gate(item_id).or_else(|| self.remote()?.known_gate(item_id))
    }

    /// The item's gate as [`Engine::known_gate`] has it, if another node's was looked at this long ago at most.
    pub fn recent_gate(&self, item_id: ItemId, age: Duration) -> Option<Arc<Gate>> {
        self.gate(item_id).or_else(|| self.remote()?.recent_gate(item_id, age))
    }

    /// All gates that are known without asking, in no order: those of other nodes' items as they were when somebody
    /// last looked.
    pub fn known_gates(&self) -> Vec<Arc<Gate>> {
        let mut gates = self.gates();
        let Some(remote) = self.remote() else { return gates };
        let elsewhere = |gate: &Arc<Gate>| self.gate(gate.terms().item_id).is_none();
        gates.extend(remote.known_gates().into_iter().filter(elsewhere));
        gates
    }

    /// Looks at up to so many items of other nodes' that nobody here has looked at yet, the newest first.
    pub async fn meet_items_elsewhere(&self, most: usize) {
        let (Some(remote), Some(directory)) = (self.remote(), self.directory()) else { return };
        let items = directory.items();
        let is_new =
            |item: &ItemId| self.gate(*item).is_none() && remote.known_gate(*item).is_none();
        let mut new: Vec<ItemId> = items.keys().copied().filter(is_new).collect();
        new.sort_unstable_by_key(|item| Reverse(*item));
        self.look_at(new.into_iter().take(most)).await;
    }

    /// Whether a shard that was asked for in vain is to be asked for again: it was just going from one node to another,
    /// of which this is one, and has come or gone before `until`. `was_own` is whether the registry had it as this
    /// node's before.
    pub(super) async fn moves_on(
        &self,
        remote: &Remote,
        shard: ShardId,
        was_own: bool,
        until: Instant,
    ) -> bool {
        let takes = || self.context().router.takes(shard);
        // Without a lease nobody tells this node where a shard goes.
        self.lease().is_live()
            && Instant::now() < until
            && remote.moves_on(shard, was_own, takes, until).await
    }

    /// Why what was asked for in vain is not to be had: where it has moved cannot be known while this node has no lease.
    pub(super) fn in_vain(&self, reason: NotDelivered) -> NotDelivered {
        match reason {
            NotDelivered::Moved if !self.lease().is_live() => NotDelivered::LogUnavailable,
            reason => reason,
        }
    }

    /// Looks at those of these items that are other nodes', so that their gates are known as they are now, and at
    /// those of which some bucket was never seen. One that cannot be looked at stays as it was.
    pub async fn look_at(&self, items: impl IntoIterator<Item = ItemId>) {
        let (Some(remote), Some(directory)) = (self.remote(), self.directory()) else { return };
        let (mut elsewhere, mut known) = (Vec::new(), Vec::new());
        for item in items {
            match self.gate(item) {
                Some(gate) => known.push(gate),
                None if directory.shard_of(item).is_some() => elsewhere.push(item),
                None => {}
            }
        }
        let met =
            futures_util::future::join_all(elsewhere.into_iter().map(|item| remote.gate(item)));
        known.extend(met.await.into_iter().filter_map(|found| found.ok().flatten()));
        known.retain(|gate| gate.units().is_none());
        self.transfers().look(&known).await;
    }

    /// Decides a purchase; answers once that is durable. Knows nothing of the gates' fast path: the
    /// caller asks [`Gate::refusal`] before.
    pub async fn buy(&self, gate: &Gate, buy: Buy, origin: KeyOrigin) -> Reply {
        self.buy_traced(gate, buy, origin, None).await
    }

    /// Decides a purchase as [`Engine::buy`] does, and records its hops below this span.
    pub async fn buy_traced(
        &self,
        gate: &Gate,
        buy: Buy,
        origin: KeyOrigin,
        trace: Option<&TraceContext>,
    ) -> Reply {
        match self.wherever(&Wanted::Purchase { gate, buy, origin, trace }).await {
            // The item is there, and the buyer's bucket is opened in a moment.
            Reply::Decided(Outcome::Refused(Refusal::ItemNotFound))
                if !gate.terms().buckets.is_one() =>
            {
                Reply::NotDelivered(NotDelivered::Overloaded)
            }
            reply => reply,
        }
    }

    /// Decides a command about an order (pay, cancel) in the shard that its id names.
    pub async fn decide_order(&self, order_id: OrderId, command: Command) -> Reply {
        if !self.context().router.has(order_id.shard()) {
            return Reply::Decided(Outcome::Refused(Refusal::OrderNotFound));
        }
        self.decide(order_id.shard(), command).await
    }

    /// Preheats an item into the shard that the ring gives its product. An item that is there
    /// already stays in the shard that has it, so that a ring with more shards moves nothing.
    pub async fn open_item(&self, terms: ItemTerms) -> Reply {
        let noted = || self.directory()?.shard_of(terms.item_id);
        let shard = self.gate(terms.item_id).map(|gate| gate.shard()).or_else(noted);
        let shard = shard.unwrap_or_else(|| self.context().router.owner(&terms.product_id));
        self.decide(shard, Command::Open(terms)).await
    }

    /// Preheats an item's buckets into the shard that the ring gives its product and the next ones; what is there
    /// already stays where it is. The first bucket is opened last, and answers for all.
    pub async fn open_buckets(&self, mut terms: ItemTerms, buckets: u8) -> Reply {
        if u16::from(buckets).min(self.buckets_max()) <= 1 {
            return self.open_item(terms).await;
        }
        terms.buckets = match self.find_gate(terms.item_id).await {
            Ok(Some(gate)) => gate.terms().buckets.clone(),
            Ok(None) => {
                let shards = self.context().router.owners(&terms.product_id, buckets);
                Buckets::over(shards).unwrap_or_default()
            }
            Err(reason) => return Reply::NotDelivered(reason),
        };
        if terms.buckets.is_one() {
            // There is one shard alone.
            return self.open_item(terms).await;
        }
        let mut first = Reply::Unknown;
        for shard in terms.buckets.shards().iter().rev() {
            first = self.decide(*shard, Command::Open(terms.clone())).await;
            if !matches!(first, Reply::Decided(Outcome::Item(_))) {
                break;
            }
        }
        first
    }

    /// How many buckets an item may have here: as many as there are shards. A node that no other one reaches knows
    /// one bucket alone, because it could give no units to the others.
    pub fn buckets_max(&self) -> u16 {
        let is_reached = |directory: &Directory| {
            let own = directory.node(directory.own_name());
            own.is_some_and(|own| own.record.listens())
        };
        if self.directory().is_none_or(is_reached) { self.shards() } else { 1 }
    }

    /// Decides an operation (restock, pause, resume, end) on a preheated item. Of several buckets the first one
    /// decides and the others follow; if not all do at once, the outcome is unknown, and they do so later.
    pub async fn decide_item(&self, gate: &Gate, command: Command) -> Reply {
        self.wherever(&Wanted::OnItem(gate, command)).await
    }

    /// Decides an operation on an item whose first bucket is served here.
    pub(super) async fn decide_item_here(&self, gate: &Gate, command: Command) -> Reply {
        let is_of_units = matches!(&command, Command::Operate(asked) if asked.action.units() > 0);
        let reply = self.decide_here(gate.shard(), command).await;
        let Some(gate) = self.gate(gate.terms().item_id).filter(|it| !it.terms().buckets.is_one())
        else {
            return reply;
        };
        match reply {
            Reply::Decided(Outcome::Item(_)) => {
                let transfers = self.transfers();
                // Units are the first bucket's to add and to take away: the others only count with it.
                let is_done = if is_of_units {
                    transfers.look(&[Arc::clone(&gate)]).await;
                    true
                } else {
                    transfers.follow_first_bucket(&gate).await
                };
                match is_done {
                    true => Reply::Decided(Outcome::Item(gate.counters())),
                    false => Reply::Unknown,
                }
            }
            Reply::Decided(Outcome::ItemReplayed(_)) => {
                Reply::Decided(Outcome::ItemReplayed(gate.counters()))
            }
            reply => reply,
        }
    }

    /// How many buckets nothing is known of at present whose items have others here: the nodes that serve them do
    /// not answer.
    pub fn buckets_away(&self) -> usize {
        let now = self.now();
        let gates = self.context().effect_sink.shared_gates.iter();
        gates.map(|gate| gate.buckets_away(now)).sum()
    }

    /// The item's gate with the units of all its buckets, as they were when they were last seen together. Others'
    /// gates are as [`Engine::find_gate`] finds them.
    ///
    /// # Errors
    /// Returns [`NotDelivered::Moved`] also if the units of some bucket were never seen: its node does not answer.
    pub async fn find_units(&self, item_id: ItemId) -> Result<Option<Arc<Gate>>, NotDelivered> {
        let gate = self.find_gate(item_id).await?;
        if let Some(gate) = gate.as_ref().filter(|gate| gate.units().is_none()) {
            self.transfers().look(std::slice::from_ref(gate)).await;
            if self.is_one_of_several() && gate.units().is_none() {
                return Err(NotDelivered::Moved);
            }
        }
        Ok(gate)
    }

    async fn decide(&self, shard: ShardId, command: Command) -> Reply {
        self.wherever(&Wanted::InShard(shard, command)).await
    }

    /// Decides where the shard is served: here, or by another node, and again where it has gone if it is just
    /// going from one to the other.
    async fn wherever(&self, wanted: &Wanted<'_>) -> Reply {
        let mut until = None;
        loop {
            let reply = wanted.decide_here(self).await;
            let Some(remote) = self.remote().filter(|_| has_moved(&reply)) else { return reply };
            let Some(_permit) = self.context().permits.take() else {
                return Reply::NotDelivered(NotDelivered::Overloaded);
            };
            let until = *until.get_or_insert_with(between_ends);
            let shard = wanted.shard();
            let was_own = remote.is_own(shard);
            let reply = Box::pin(wanted.decide_there(self, remote)).await;
            if !has_moved(&reply) {
                return reply;
            }
            if !Box::pin(self.moves_on(remote, shard, was_own, until)).await {
                return Reply::NotDelivered(self.in_vain(NotDelivered::Moved));
            }
        }
    }
}

/// When a request that begins to wait now waits no longer for the next owner of its shard. The clock is no part of what
/// is decided.
pub(super) fn between_ends() -> Instant {
    Instant::now() + BETWEEN_MAX
}

/// What is to be decided where its shard is served.
enum Wanted<'a> {
    Purchase { gate: &'a Gate, buy: Buy, origin: KeyOrigin, trace: Option<&'a TraceContext> },
    OnItem(&'a Gate, Command),
    InShard(ShardId, Command),
}

impl Wanted<'_> {
    fn shard(&self) -> ShardId {
        match self {
            Self::Purchase { gate, buy, .. } => gate.shard_of(buy.user_id),
            Self::OnItem(gate, _) => gate.shard(),
            Self::InShard(shard, _) => *shard,
        }
    }

    async fn decide_here(&self, engine: &Engine) -> Reply {
        match self {
            Self::Purchase { gate, buy, origin, trace } => {
                engine.buy_here(gate, *buy, *origin, *trace).await
            }
            Self::OnItem(gate, command) => engine.decide_item_here(gate, command.clone()).await,
            Self::InShard(shard, command) => engine.decide_here(*shard, command.clone()).await,
        }
    }

    async fn decide_there(&self, engine: &Engine, remote: &Remote) -> Reply {
        match self {
            Self::Purchase { buy, origin, trace, .. } => {
                let below =
                    |trace| engine.tracer().span(Kind::Client, FORWARD, Parent::Here(trace));
                let span = trace.copied().and_then(below);
                let sent_on = span.as_ref().map(Span::context).copied();
                remote.buy(self.shard(), *buy, *origin, sent_on).await
            }
            Self::OnItem(_, command) | Self::InShard(_, command) => {
                remote.decide(self.shard(), command.clone()).await
            }
        }
    }
}

/// Whether the shard was not where it was asked for.
fn has_moved(reply: &Reply) -> bool {
    matches!(reply, Reply::NotDelivered(NotDelivered::Moved))
}
