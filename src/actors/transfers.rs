//! Moves units between the buckets of an item.
//!
//! A dry bucket at which buyers wait is told here. The fullest other bucket is asked for units; what it sends is
//! received, and then it is told that it has arrived. Each step is a command of its own, durable before the next
//! one, and each may be repeated: so what a crash leaves between two of them is found among the open transfers,
//! which are looked at all the time, and led on. Must not decide how much is given, nor who waits.

use super::gate::Gate;
use super::shard::context::Context;
use super::shard::effects::{NotDelivered, Reply, ReplySender};
use super::shard::mailbox::{Envelope, PendingCommand};
use super::shard::wishes::BucketId;
use crate::crash::crash_point;
use crate::telemetry::metrics::{BUCKET_TRANSFERS_TOTAL, BUCKET_UNITS_MOVED_TOTAL};
use domain::{
    Command, ItemAction, ItemId, ItemPhase, Operation, Outcome, ShardId, Transfer, UnitsWanted,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The time between two looks at what was not brought to its end.
const LOOK: Duration = Duration::from_millis(100);
/// The pause before a bucket that got nothing asks again: the others gave nothing because they wait themselves, or
/// because their owner was not there.
const PAUSE: Duration = Duration::from_millis(10);

/// What moves units between the buckets of an engine's shards.
#[derive(Clone)]
pub(super) struct Transfers(Arc<Context>);

/// Moves units for as long as the engine runs.
pub(super) async fn run(transfers: Transfers) {
    let wishes = transfers.0.effect_sink.wishes.clone();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut fetches: JoinSet<BucketId> = JoinSet::new();
    let mut asking: HashSet<BucketId> = HashSet::new();
    let mut seen: Vec<Transfer> = Vec::new();
    loop {
        tokio::select! {
            wanted = wishes.take() => {
                for (bucket, units) in wanted {
                    // A bucket that wishes while it is being served looks again afterwards.
                    if asking.insert(bucket) {
                        let transfers = transfers.clone();
                        fetches.spawn(async move {
                            transfers.fetch(bucket, units).await;
                            bucket
                        });
                    }
                }
            }
            Some(fetched) = fetches.join_next() => match fetched {
                Ok(bucket) => {
                    asking.remove(&bucket);
                    transfers.have_look_again(bucket);
                }
                Err(error) => {
                    tracing::error!(%error, "a transfer of units failed; it is begun again");
                    std::mem::take(&mut asking).into_iter().for_each(|it| transfers.have_look_again(it));
                }
            },
            _ = look.tick() => {
                for gate in transfers.gates() {
                    transfers.follow_first_bucket(&gate).await;
                }
                seen = transfers.lead_on(seen).await;
            }
        }
    }
}

impl Transfers {
    /// Of the shards that share this.
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Gets units for a bucket, from those that have the most.
    async fn fetch(&self, (item_id, bucket): BucketId, units: u32) {
        let Some(gate) = self.gate(item_id) else { return };
        let Some(parts) = gate.parts() else { return };
        let mut missing = units;
        for donor in parts.donors(bucket) {
            let Some(shard) = gate.terms().buckets.shard(donor) else { continue };
            let wanted = UnitsWanted { item_id, to: bucket, units: missing, buyers_wait: false };
            let sent = self.decide_for_bucket(shard, Command::SendUnits(wanted)).await;
            if let Reply::Decided(Outcome::Transferred(transfer)) = sent
                && self.bring(&gate, transfer).await
            {
                missing = missing.saturating_sub(transfer.units);
                if missing == 0 {
                    return;
                }
            }
        }
        if missing == units {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Leads a transfer that was sent to its end; true if its units have arrived.
    async fn bring(&self, gate: &Gate, transfer: Transfer) -> bool {
        let buckets = &gate.terms().buckets;
        let (Some(from), Some(to)) = (buckets.shard(transfer.from), buckets.shard(transfer.to))
        else {
            return false;
        };
        crash_point("transfer-after-sent");
        let received = self.decide_for_bucket(to, Command::ReceiveUnits(transfer)).await;
        if !matches!(received, Reply::Decided(Outcome::Transferred(_))) {
            return false;
        }
        crash_point("transfer-after-received");
        metrics::counter!(BUCKET_TRANSFERS_TOTAL).increment(1);
        metrics::counter!(BUCKET_UNITS_MOVED_TOTAL).increment(transfer.units.into());
        self.decide_for_bucket(from, Command::SettleTransfer(transfer)).await;
        crash_point("transfer-after-settled");
        true
    }

    /// Leads on the transfers from buckets that are here which are still open since the last look; those that are
    /// open now.
    async fn lead_on(&self, seen: Vec<Transfer>) -> Vec<Transfer> {
        let mut open = Vec::new();
        for gate in self.gates() {
            for transfer in gate.open_transfers() {
                let shard = gate.terms().buckets.shard(transfer.from);
                if !shard.is_some_and(|shard| self.0.router.serves(shard)) {
                    continue;
                }
                if seen.contains(&transfer) {
                    self.bring(&gate, transfer).await;
                }
                open.push(transfer);
            }
        }
        open
    }

    fn gate(&self, item_id: ItemId) -> Option<Arc<Gate>> {
        self.0.effect_sink.gates.get(&item_id).map(|gate| Arc::clone(&gate))
    }

    /// The gates of the items that have several buckets and are not settled.
    fn gates(&self) -> Vec<Arc<Gate>> {
        let gates = self.0.effect_sink.shared_gates.iter();
        gates.map(|gate| Arc::clone(&gate)).collect()
    }

    /// Has the other buckets of the item sell, pause, end and be guarded as the first one; true if they do.
    ///
    /// The first bucket alone has the operator's request, by which a repeat is recognised.
    pub(super) async fn follow_first_bucket(&self, gate: &Gate) -> bool {
        let Some(parts) = gate.parts() else { return true };
        let Some(first) = parts.get(0) else { return false };
        // What is over by the clock changes no more.
        if self.0.clock.now() >= gate.terms().ends_at || gate.is_settled() {
            return true;
        }
        let mut all = true;
        for (bucket, shard) in (0..).zip(gate.shards()).skip(1) {
            let Some(part) = parts.get(bucket) else {
                all = false;
                continue;
            };
            let phase = (part.phase != first.phase).then_some(match first.phase {
                ItemPhase::Open => ItemAction::Resume,
                ItemPhase::Paused => ItemAction::Pause,
                ItemPhase::Ended => ItemAction::End,
            });
            let guard =
                (part.admission != first.admission).then_some(ItemAction::Admit(first.admission));
            for action in guard.into_iter().chain(phase) {
                let operation = Operation::unattributed(gate.terms().item_id, action);
                let command = Command::Operate(operation);
                let done = self.decide_for_bucket(*shard, command).await;
                all &= matches!(done, Reply::Decided(Outcome::Item(_)));
            }
        }
        all
    }

    /// Decides a command of the engine's own in a bucket's shard; answers once that is durable.
    async fn decide_for_bucket(&self, shard: ShardId, command: Command) -> Reply {
        let context = &self.0;
        // A full backlog keeps new purchases out, and what waits for units was let in before.
        let journal = &context.journal;
        if !journal.has_room() || journal.is_damaged() || journal.has_failed() {
            return Reply::NotDelivered(NotDelivered::StorageFull);
        }
        let (sender, answered) = oneshot::channel();
        let (admitted_at, admitted_after) = context.clock.moment();
        let sent = context.router.send(
            shard,
            Envelope::Command(PendingCommand {
                command,
                reply_sender: ReplySender::new(sender, None),
                // Buyers that wait for units may have all the permits.
                permit: context.permits.take_own(),
                admitted_at,
                admitted_after,
                keyed: false,
                panics: 0,
            }),
        );
        match sent {
            // The supervisor's sweep answers what waits too long, so this wait ends.
            Ok(()) => answered.await.unwrap_or(Reply::Unknown),
            Err(_) => Reply::NotDelivered(NotDelivered::Moved),
        }
    }

    fn have_look_again(&self, (item_id, bucket): BucketId) {
        let shard = self.gate(item_id).and_then(|gate| gate.terms().buckets.shard(bucket));
        if let Some(shard) = shard {
            // A shard that has gone has told who waited there.
            let _ = self.0.router.send(shard, Envelope::LookAgain { item_id });
        }
    }
}
