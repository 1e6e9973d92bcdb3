//! What finds a bucket dry waits for units of the item's other buckets, unless it is certain that none come.

use super::{Envelope, NotDelivered, PendingCommand, Reply, ShardProcessor};
use domain::{ItemId, Refusal, Timestamp};
use std::collections::VecDeque;

impl ShardProcessor {
    /// Whether so many units may come to a dry bucket from the item's others. If it is certain that they do not,
    /// corrects how many there are.
    pub(super) fn may_come(
        &self,
        now: Timestamp,
        item_id: ItemId,
        units: u32,
        refusal: &mut Refusal,
    ) -> bool {
        let Some(item) = self.stock.item(item_id) else { return false };
        let (Some(exchange), Some(gate)) = (&item.exchange, self.gates.get(&item_id)) else {
            return false;
        };
        let Some(elsewhere) = gate.units_elsewhere(exchange, now) else { return true };
        let all = item.counters.available.saturating_add(elsewhere);
        if let Refusal::FewerAvailable { available } = refusal {
            *available = all;
        }
        units <= all
    }

    /// Lets a command wait for units of the item's other buckets.
    pub(super) fn park(&mut self, item_id: ItemId, pending: PendingCommand) {
        match self.parked.push(item_id, pending) {
            Ok(Some(wanted)) => self.wish(item_id, wanted),
            Ok(None) => {}
            Err(mut pending) => {
                pending.reply_sender.send(Reply::NotDelivered(NotDelivered::Overloaded));
            }
        }
    }

    fn wish(&self, item_id: ItemId, units: u32) {
        let exchange = self.stock.item(item_id).and_then(|item| item.exchange.as_ref());
        if let Some(exchange) = exchange {
            self.effect_sink.wishes.tell((item_id, exchange.bucket), units);
        }
    }

    /// Looks again at what waits for units, now that the other buckets were asked: what can be decided comes to
    /// the front of the batch, and for the rest they are asked once more, unless some are away.
    pub(super) fn look_again(
        &mut self,
        now: Timestamp,
        (item_id, are_away): (ItemId, bool),
        batch: &mut VecDeque<Envelope>,
    ) {
        let Some(item) = self.stock.item(item_id) else { return };
        let (available, gate) = (item.counters.available, self.gates.get(&item_id));
        let own = item.exchange.as_ref().zip(gate);
        let elsewhere = own.and_then(|(own, gate)| gate.units_elsewhere(own, now));
        let at_most = elsewhere.map(|elsewhere| available.saturating_add(elsewhere));
        self.serve(item_id, at_most, batch);
        if are_away {
            self.parked.answer_unserved(item_id);
        } else if let Some(wanted) = self.parked.wanted(item_id) {
            self.wish(item_id, wanted);
        }
    }

    /// Puts what waits for units and can be decided now in front of the batch, first in, first out.
    pub(super) fn serve(
        &mut self,
        item_id: ItemId,
        at_most: Option<u32>,
        batch: &mut VecDeque<Envelope>,
    ) {
        let available = self.stock.item(item_id).map_or(0, |item| item.counters.available);
        let decidable = self.parked.take_decidable(item_id, available, at_most);
        for pending in decidable.into_iter().rev() {
            batch.push_front(Envelope::Command(pending));
        }
    }
}
