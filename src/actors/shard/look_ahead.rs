//! Looking ahead: what some requests need from memory is asked for before the first of them is decided.
//!
//! Of a million buyers each is somewhere else in memory, and a decision would wait for its buyer's place alone. The
//! processor waits for several at once, if it meets them close together. Nothing is changed by it.

use super::mailbox::Envelope;
use crate::actors::gate::Gate;
use domain::{Command, ItemId, Stock};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::Arc;

/// Requests that are looked at ahead: what they touch has to be near still when the last of them is decided.
const AHEAD: usize = 32;

/// How far the look ahead has come.
#[derive(Default)]
pub(super) struct LookAhead {
    /// Requests at the front of the batch that were looked at and not taken out yet, more or less: what is put before
    /// them needs no look.
    seen: usize,
}

impl LookAhead {
    /// Takes the next request out of the batch, once it and those behind it were looked at.
    pub(super) fn next<S: BuildHasher>(
        &mut self,
        stock: &Stock,
        gates: &HashMap<ItemId, Arc<Gate>, S>,
        batch: &mut VecDeque<Envelope>,
    ) -> Option<Envelope> {
        if self.seen == 0 {
            self.seen = batch.len().min(AHEAD);
            // One alone would be waited for here instead of there.
            if self.seen > 1 {
                warm(stock, gates, batch.iter().take(self.seen));
            }
        }
        self.seen = self.seen.saturating_sub(1);
        batch.pop_front()
    }
}

/// Looks at what deciding these requests will look at.
fn warm<'a, S: BuildHasher>(
    stock: &Stock,
    gates: &HashMap<ItemId, Arc<Gate>, S>,
    requests: impl Iterator<Item = &'a Envelope>,
) {
    let mut sum = 0_u64;
    for request in requests {
        let Envelope::Command(pending) = request else { continue };
        sum ^= stock.warm(&pending.command);
        if let Command::Buy(buy) = &pending.command
            && let Some(gate) = gates.get(&buy.item_id)
        {
            sum ^= gate.warm(buy.user_id);
        }
    }
    // Else the compiler would leave it all out.
    black_box(sum);
}
