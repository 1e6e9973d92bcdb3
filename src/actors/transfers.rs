//! Moves units between the buckets of an item, wherever their shards are served.
//!
//! A dry bucket at which buyers wait is told here. The others are asked what they have, where that is not known
//! anyway, and the fullest one for units; what it sends is received, and then it is told that it has arrived. Each
//! step is a command of its own, durable before the next one, and each may be repeated: so what a crash leaves
//! between two of them, or a link that breaks, is found among the open transfers, which the node that serves the
//! giving bucket looks at all the time, and leads on. Must not decide how much is given, nor who waits.

use super::gate::Gate;
use super::remote::Remote;
use super::shard::context::Context;
use super::shard::effects::{NotDelivered, Reply, ReplySender};
use super::shard::mailbox::{Envelope, PendingCommand};
use super::shard::wishes::BucketId;
use crate::crash::crash_point;
use crate::telemetry::metrics::{BUCKET_TRANSFERS_TOTAL, BUCKET_UNITS_MOVED_TOTAL, BUCKETS_AWAY};
use crate::telemetry::traces::Hops;
use domain::{
    Command, ItemAction, ItemId, ItemPhase, Operation, Outcome, Parts, ShardId, Transfer,
    UnitsWanted,
};
use futures_util::{StreamExt, stream};
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The time between two looks at what was not brought to its end, and at the buckets of other nodes.
const LOOK: Duration = Duration::from_millis(100);
/// One of so many looks at the buckets of other nodes is also at those of items that do not sell at present.
const IDLE_LOOKS: u32 = 10;
/// The pause before a bucket that got nothing asks again: the others gave nothing because they wait themselves, or
/// because their owner was not there.
const PAUSE: Duration = Duration::from_millis(10);
/// How long one step may take at another node. What has no answer then is led on later.
const STEP_MAX: Duration = Duration::from_secs(1);
/// Transfers that are led on at once.
const LED_AT_ONCE: usize = 32;
/// How often the other buckets are asked to follow the first one before that is left for later.
const ATTEMPTS_MAX: u32 = 3;

/// What moves units between the buckets of items that have one here.
#[derive(Clone)]
pub(super) struct Transfers {
    context: Arc<Context>,
    /// How other nodes are asked, once there are any.
    remote: Arc<OnceLock<Remote>>,
}

/// Moves units for as long as the engine runs.
pub(super) async fn run(transfers: Transfers) {
    tokio::join!(
        transfers.grant_wishes(),
        transfers.lead_on(),
        transfers.keep_following(),
        transfers.keep_looking()
    );
}

impl Transfers {
    /// Of the shards that share this, and of other nodes.
    pub(super) fn new(context: Arc<Context>, remote: Arc<OnceLock<Remote>>) -> Self {
        Self { context, remote }
    }

    /// Gets units for the buckets that wish for some, for ever.
    async fn grant_wishes(&self) {
        let wishes = self.context.effect_sink.wishes.clone();
        let mut fetches: JoinSet<(BucketId, bool)> = JoinSet::new();
        let mut asking: HashSet<BucketId> = HashSet::new();
        loop {
            tokio::select! {
                wanted = wishes.take() => {
                    for (bucket, units) in wanted {
                        // A bucket that wishes while it is being served looks again afterwards.
                        if asking.insert(bucket) {
                            let transfers = self.clone();
                            fetches.spawn(async move {
                                (bucket, transfers.fetch(bucket, units).await)
                            });
                        }
                    }
                }
                Some(fetched) = fetches.join_next() => match fetched {
                    Ok((bucket, are_away)) => {
                        asking.remove(&bucket);
                        self.have_look_again(bucket, are_away);
                    }
                    Err(error) => {
                        tracing::error!(%error, "a transfer of units failed; it is begun again");
                        let left = std::mem::take(&mut asking);
                        left.into_iter().for_each(|it| self.have_look_again(it, false));
                    }
                },
            }
        }
    }

    /// Gets units for a bucket, from those that have the most. Returns whether there may be some at a node that
    /// does not answer.
    async fn fetch(&self, (item_id, bucket): BucketId, units: u32) -> bool {
        let Some(gate) = self.gate(item_id) else { return false };
        let asked_at = self.context.clock.now();
        self.look(std::slice::from_ref(&gate)).await;
        let Some(parts) = gate.parts() else { return false };
        let mut missing = units;
        // A node that has just not said what it has is not waited for again.
        let answers =
            |donor: &u8| parts.get(*donor).is_some_and(|part| part.is_seen_since(asked_at));
        for donor in parts.donors(bucket).into_iter().filter(answers) {
            let Some(shard) = gate.terms().buckets.shard(donor) else { continue };
            let wanted = UnitsWanted { item_id, to: bucket, units: missing, buyers_wait: false };
            let sent = self.decide(shard, Command::SendUnits(wanted)).await;
            if let Reply::Decided(Outcome::Transferred(transfer)) = sent
                && self.bring(&gate, transfer).await
            {
                missing = missing.saturating_sub(transfer.units);
                if missing == 0 {
                    return false;
                }
            }
        }
        if missing == units {
            tokio::time::sleep(PAUSE).await;
        }
        self.remote.get().is_some() && !parts.are_seen_since(asked_at)
    }

    /// Leads a transfer that was sent to its end; true if its units have arrived.
    async fn bring(&self, gate: &Gate, transfer: Transfer) -> bool {
        let buckets = &gate.terms().buckets;
        let (Some(from), Some(to)) = (buckets.shard(transfer.from), buckets.shard(transfer.to))
        else {
            return false;
        };
        let received = self.decide(to, Command::ReceiveUnits(transfer)).await;
        if !matches!(received, Reply::Decided(Outcome::Transferred(_))) {
            return false;
        }
        metrics::counter!(BUCKET_TRANSFERS_TOTAL).increment(1);
        metrics::counter!(BUCKET_UNITS_MOVED_TOTAL).increment(transfer.units.into());
        self.decide(from, Command::SettleTransfer(transfer)).await;
        true
    }

    /// Leads on, for ever, the transfers from buckets that are here which are still open since the last look.
    async fn lead_on(&self) {
        let mut look = looks();
        let mut seen: Vec<Transfer> = Vec::new();
        loop {
            look.tick().await;
            let mut open = Vec::new();
            for gate in self.gates() {
                for transfer in gate.open_transfers() {
                    let shard = gate.terms().buckets.shard(transfer.from);
                    if shard.is_some_and(|shard| self.serves(shard)) {
                        open.push((Arc::clone(&gate), transfer));
                    }
                }
            }
            let late = open.iter().filter(|(_, transfer)| seen.contains(transfer));
            stream::iter(late)
                .for_each_concurrent(LED_AT_ONCE, async |(gate, transfer)| {
                    self.bring(gate, *transfer).await;
                })
                .await;
            seen = open.into_iter().map(|(_, transfer)| transfer).collect();
        }
    }

    /// Has the other buckets of items whose first one is here do as that does, for ever.
    async fn keep_following(&self) {
        let mut look = looks();
        loop {
            look.tick().await;
            for gate in self.gates() {
                if self.serves(gate.shard()) && !follow(&gate).is_empty() {
                    self.follow_first_bucket(&gate).await;
                }
            }
        }
    }

    /// Asks, for ever, what the buckets have that other nodes serve.
    async fn keep_looking(&self) {
        let mut look = looks();
        for round in (0..IDLE_LOOKS).cycle() {
            look.tick().await;
            let now = self.context.clock.now();
            let mut gates = self.gates();
            gates.retain(|gate| {
                let terms = gate.terms();
                round == 0 || (terms.starts_at..terms.ends_at).contains(&now)
            });
            self.look(&gates).await;
            for gate in gates.iter().filter(|gate| gate.is_settled()) {
                self.context.effect_sink.settle(gate);
            }
            let away: usize = self.gates().iter().map(|gate| gate.buckets_away(now)).sum();
            metrics::gauge!(BUCKETS_AWAY).set(away as f64);
        }
    }

    /// Asks what the buckets of these items have that other nodes serve, so that their gates show it.
    pub(super) async fn look(&self, gates: &[Arc<Gate>]) {
        if let Some(remote) = self.remote.get() {
            remote.look_at_buckets(gates, |shard| self.serves(shard)).await;
        }
    }

    fn serves(&self, shard: ShardId) -> bool {
        self.context.router.serves(shard)
    }

    fn gate(&self, item_id: ItemId) -> Option<Arc<Gate>> {
        self.context.effect_sink.gates.get(&item_id).map(|gate| Arc::clone(&gate))
    }

    /// The gates of the items that have several buckets and are not settled.
    fn gates(&self) -> Vec<Arc<Gate>> {
        let gates = self.context.effect_sink.shared_gates.iter();
        gates.map(|gate| Arc::clone(&gate)).collect()
    }

    /// Has the other buckets of the item sell, pause, end and be guarded as the first one, which is served here;
    /// true if they do.
    ///
    /// The first bucket alone has the operator's request, by which a repeat is recognised.
    pub(super) async fn follow_first_bucket(&self, gate: &Arc<Gate>) -> bool {
        let _turn = gate.follow_in_turn().await;
        for attempt in 0..=ATTEMPTS_MAX {
            // What is over by the clock changes no more.
            if self.context.clock.now() >= gate.terms().ends_at || gate.is_settled() {
                return true;
            }
            let asked_at = self.context.clock.now();
            self.look(std::slice::from_ref(gate)).await;
            let behind = follow(gate);
            if behind.is_empty() {
                return gate.parts().is_none_or(|parts| parts.are_seen_since(asked_at));
            }
            if attempt < ATTEMPTS_MAX {
                let commands = behind.into_iter();
                let decided = commands.map(|(shard, command)| self.decide(shard, command));
                futures_util::future::join_all(decided).await;
            }
        }
        false
    }

    /// Decides a command of the engine's own in a bucket's shard, wherever that is served; answers once that is
    /// durable.
    async fn decide(&self, shard: ShardId, command: Command) -> Reply {
        let step = step_of(&command);
        match (self.decide_here(shard, command.clone()).await, self.remote.get()) {
            (Reply::NotDelivered(NotDelivered::Moved), Some(remote)) => {
                let reply = remote.decide_within(shard, command, STEP_MAX).await;
                after(step, &reply);
                reply
            }
            (reply, _) => reply,
        }
    }

    /// Decides a command of the engine's own in a bucket's shard that is served here; answers once that is durable.
    pub(super) async fn decide_here(&self, shard: ShardId, command: Command) -> Reply {
        let context = &self.context;
        // A full backlog keeps new purchases out, and what waits for units was let in before.
        let journal = &context.journal;
        if !journal.has_room() || journal.is_damaged() || journal.has_failed() {
            return Reply::NotDelivered(match self.serves(shard) {
                true => NotDelivered::StorageFull,
                false => NotDelivered::Moved,
            });
        }
        let step = step_of(&command);
        let (sender, answered) = oneshot::channel();
        let (admitted_at, admitted_after) = context.clock.moment();
        let sent = context.router.send(
            shard,
            Envelope::Command(PendingCommand {
                command,
                reply_sender: ReplySender::new(sender, None, Hops::NONE),
                // Buyers that wait for units may have all the permits.
                permit: context.permits.take_own(),
                admitted_at,
                admitted_after,
                keyed: false,
                panics: 0,
            }),
        );
        if sent.is_err() {
            return Reply::NotDelivered(NotDelivered::Moved);
        }
        // The supervisor's sweep answers what waits too long, so this wait ends.
        let reply = answered.await.unwrap_or(Reply::Unknown);
        after(step, &reply);
        reply
    }

    fn have_look_again(&self, (item_id, bucket): BucketId, are_away: bool) {
        let shard = self.gate(item_id).and_then(|gate| gate.terms().buckets.shard(bucket));
        if let Some(shard) = shard {
            // A shard that has gone has told who waited there.
            let _ = self.context.router.send(shard, Envelope::LookAgain { item_id, are_away });
        }
    }
}

/// The times at which it is looked again.
fn looks() -> tokio::time::Interval {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    looks
}

/// What the buckets have to be told that do not do as the first one does, as far as is known of them.
fn follow(gate: &Gate) -> Vec<(ShardId, Command)> {
    let Some(parts) = gate.parts() else { return Vec::new() };
    let Some(first) = parts.get(0) else { return Vec::new() };
    let behind = |(bucket, shard): (u8, &ShardId), parts: &Parts| {
        let part = parts.get(bucket)?;
        let phase = (part.phase != first.phase).then_some(match first.phase {
            ItemPhase::Open => ItemAction::Resume,
            ItemPhase::Paused => ItemAction::Pause,
            ItemPhase::Ended => ItemAction::End,
        });
        let guard =
            (part.admission != first.admission).then_some(ItemAction::Admit(first.admission));
        // One after the other: what has ended is guarded no more.
        let action = guard.filter(|_| first.phase != ItemPhase::Ended).or(phase)?;
        let operation = Operation::unattributed(gate.terms().item_id, action);
        Some((*shard, Command::Operate(operation)))
    };
    let others = (0..).zip(gate.shards()).skip(1);
    others.filter_map(|other| behind(other, &parts)).collect()
}

/// The step of a transfer that a command is, by the name of the place where a test may kill the process after it.
fn step_of(command: &Command) -> Option<&'static str> {
    match command {
        Command::SendUnits(_) => Some("transfer-after-sent"),
        Command::ReceiveUnits(_) => Some("transfer-after-received"),
        Command::SettleTransfer(_) => Some("transfer-after-settled"),
        _ => None,
    }
}

fn after(step: Option<&'static str>, reply: &Reply) {
    if let (Some(step), Reply::Decided(Outcome::Transferred(_))) = (step, reply) {
        crash_point(step);
    }
}
