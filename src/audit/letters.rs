//! What dead letters say, as an audit compares it.

use crate::store::broker::dead_letters::DeadLetter;
use domain::invariants::{Invariant, Ledger};
use domain::{Event, OrderId, PaymentId, Record, ShardId};
use std::collections::HashMap;

/// The dead letters by what they are about.
#[derive(Default)]
pub(super) struct Letters<'a> {
    orders: HashMap<OrderId, &'a DeadLetter>,
    payments: HashMap<PaymentId, &'a DeadLetter>,
    /// Records of orders and payments that the journal has no longer: of these the letters alone tell.
    pub(super) deleted: Vec<&'a Record>,
}

impl<'a> Letters<'a> {
    /// Reads the letters. `base` is each shard's last record that was deleted from the journal.
    pub(super) fn of(letters: &'a [DeadLetter], base: &[u64]) -> Self {
        let mut read = Self::default();
        for letter in letters {
            for record in letter.records.iter().flatten() {
                let Some(order) = record.event.order() else { continue };
                read.orders.insert(order.order_id, letter);
                if let Event::Payment(paid) = &record.event {
                    read.payments.insert(paid.payment.id, letter);
                }
                if record.seq <= cut_before(base, record.shard) {
                    read.deleted.push(record);
                }
            }
        }
        read
    }

    /// What is wrong with an order, with the letter that it is in.
    pub(super) fn with_order(&self, order_id: OrderId, wrong: String) -> String {
        with(self.orders.get(&order_id).copied(), wrong)
    }

    /// What is wrong with a payment, with the letter that it is in.
    pub(super) fn with_payment(&self, id: PaymentId, wrong: String) -> String {
        with(self.payments.get(&id).copied(), wrong)
    }
}

fn with(letter: Option<&DeadLetter>, wrong: String) -> String {
    match letter {
        None => wrong,
        Some(DeadLetter { message_id, reason, .. }) => {
            format!("{wrong}; dead letter {message_id} has it: {reason}")
        }
    }
}

/// I12: no dead letter has a record that the journal never had.
pub(super) fn judge(letters: &[DeadLetter], ledger: &mut Ledger, base: &[u64]) {
    for letter in letters {
        for record in letter.records.iter().flatten() {
            let Record { shard, seq, .. } = *record;
            let end = ledger.seqs().get(&shard).copied().unwrap_or(0);
            let end = end.max(cut_before(base, shard));
            let known = match seq > end {
                true => Err(format!(
                    "dead letter {} has record {seq}, the journal ends at {end}",
                    letter.message_id
                )),
                false => Ok(()),
            };
            ledger.judge(Invariant::I12, &format!("shard {shard}"), known);
        }
    }
}

/// The last of the shard's records that were deleted, 0 if none was.
pub(super) fn cut_before(base: &[u64], shard: ShardId) -> u64 {
    base.get(shard.index()).copied().unwrap_or(0)
}
