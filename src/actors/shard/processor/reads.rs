//! What is read of a shard and changes nothing: answered behind all that was decided before it.

use super::{Effect, Envelope, ShardProcessor};
use tokio::sync::oneshot;

impl ShardProcessor {
    pub(super) fn read(&mut self, envelope: Envelope) {
        match envelope {
            Envelope::Command(_) | Envelope::LookAgain { .. } => {}
            Envelope::ReadOrder { order_id, answer } => {
                self.answer(answer, self.stock.order(order_id));
            }
            Envelope::ReadOrdersOf { user_id, before, limit, answer } => {
                self.answer(answer, self.stock.orders_of(user_id, before, limit));
            }
            Envelope::FindRequest { user_id, request_id, answer } => {
                self.answer(answer, self.stock.order_of_request(user_id, request_id));
            }
            Envelope::ReadRequests { after, limit, answer } => {
                // Durable or not: a key that was told in vain costs others a look.
                let _ = answer.send(self.stock.requests_after(after, limit));
            }
            Envelope::TakeChanges { answer } => {
                let changes = self.stock.take_changes();
                if let Err(changes) = answer.send(changes) {
                    self.stock.put_back(&changes);
                }
            }
            Envelope::RestoreChanges { changes, owner } => {
                if self.journal.owner(self.stock.shard()) == owner {
                    self.stock.put_back(&changes);
                }
            }
            Envelope::Flush { answer } => {
                let flushed = move || {
                    // Who waits no more needs no answer.
                    let _ = answer.send(());
                };
                self.effects.push(Effect::Call(Box::new(flushed)));
            }
            Envelope::ReadSnapshot { answer } => {
                // A checkpointer that waits no more takes another one later.
                let _ = answer.send(self.stock.snapshot());
            }
        }
    }

    /// Answers a read once what it has seen is durable.
    fn answer<T: Send + 'static>(&mut self, answer: oneshot::Sender<T>, value: T) {
        self.effects.push(Effect::Read(Box::new(move || {
            // A caller that has given up needs no answer.
            let _ = answer.send(value);
        })));
    }
}
