//! What other nodes say of the buckets that they serve.
//!
//! A node that serves some buckets of an item asks the others again and again what theirs have, in one call a node
//! for several items, and shows it at the item's gate. A bucket whose node does not answer is one of which nothing
//! is known, once what was known is too old. Must not know what follows from that, nor move units.

use super::directory::ClusterNode;
use super::gate::Gate;
use super::remote::{ANY_SHARD, Remote};
use crate::peers::{Answer, Ask, Item, READ_MAX};
use domain::{ItemId, ShardId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a node may take to say what its buckets have. With the time between two looks it is less than what it
/// says is believed for.
const ANSWER_MAX: Duration = Duration::from_millis(250);

impl Remote {
    /// Asks the nodes of those buckets of these items whose shards are not here, and shows at the gates what they
    /// answer.
    pub(super) async fn look_at_buckets(
        &self,
        gates: &[Arc<Gate>],
        is_here: impl Fn(ShardId) -> bool,
    ) {
        let mut asked: BTreeMap<String, (Arc<ClusterNode>, Vec<Arc<Gate>>)> = BTreeMap::new();
        for gate in gates.iter().filter(|gate| !gate.terms().buckets.is_one()) {
            let others = gate.shards().iter().filter(|shard| !is_here(**shard));
            for owner in others.filter_map(|shard| self.directory.owner(*shard)) {
                if owner.is_self || !owner.record.listens() {
                    continue;
                }
                let (_, items) = asked
                    .entry(owner.name.clone())
                    .or_insert_with(|| (Arc::clone(&owner), Vec::new()));
                if items.last().is_none_or(|last| !Arc::ptr_eq(last, gate)) {
                    items.push(Arc::clone(gate));
                }
            }
        }
        let calls = asked.values().flat_map(|(node, gates)| {
            gates.chunks(READ_MAX).map(move |gates| self.look_at_node(node, gates))
        });
        futures_util::future::join_all(calls).await;
    }

    async fn look_at_node(&self, node: &ClusterNode, gates: &[Arc<Gate>]) {
        let asked_at = self.clock.now();
        let items = gates.iter().map(|gate| gate.terms().item_id).collect();
        // One that does not answer has said nothing.
        let Ok(Answer::Buckets(items)) =
            self.ask_node(node, ANY_SHARD, &Ask::ReadBuckets(items), ANSWER_MAX).await
        else {
            return;
        };
        for item in items {
            let gate = gates.iter().find(|gate| *gate.terms() == item.terms);
            if let Some(gate) = gate {
                gate.show_seen(&item.into_state(), asked_at);
            }
        }
    }

    /// A bucket of an item, of any node that has one.
    pub(super) async fn find_bucket(&self, item_id: ItemId) -> Option<Item> {
        let (ask, others) = (Ask::ReadBuckets(vec![item_id]), self.directory.others_that_serve());
        let asked = others.iter().map(|node| self.ask_node(node, ANY_SHARD, &ask, ANSWER_MAX));
        let answers = futures_util::future::join_all(asked).await;
        answers.into_iter().find_map(|answer| match answer {
            Ok(Answer::Buckets(items)) => items.into_iter().next(),
            _ => None,
        })
    }
}
