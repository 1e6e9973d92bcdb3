//! What waits at a dry bucket for units of the item's other buckets.
//!
//! A command that waits keeps its permit and its deadline, so that permits bound what waits, and one bucket takes
//! a part of them only. It is decided when units have come, or when it is certain that no more will. Must not
//! know where units come from.

use super::effects::{NotDelivered, Reply};
use super::mailbox::PendingCommand;
use domain::{Command, ItemAction, ItemId, Operation, Timestamp};
use std::collections::{HashMap, VecDeque};

/// The commands of one shard that wait for units.
pub(in crate::actors) struct Parked {
    items: HashMap<ItemId, Waiting, foldhash::fast::RandomState>,
    count: usize,
    count_max: usize,
}

/// What waits for units of one item, first in, first out; never empty. The others are asked for as long as
/// something is in it.
#[derive(Default)]
struct Waiting {
    commands: VecDeque<PendingCommand>,
}

/// Units that a command takes from what is available; none if it takes none.
pub(in crate::actors) fn units_taken(command: &Command) -> Option<u32> {
    match command {
        Command::Buy(buy) => Some(buy.quantity.into()),
        Command::Operate(Operation { action: ItemAction::Reduce(units), .. }) => Some(*units),
        _ => None,
    }
}

impl Parked {
    /// Nothing waits, and `count_max` commands may.
    pub(in crate::actors) fn new(count_max: usize) -> Self {
        Self { items: HashMap::default(), count: 0, count_max }
    }

    /// Lets a command wait behind the others; units that all of them want, if nobody was asked for them.
    ///
    /// # Errors
    /// Returns the command if too many wait.
    pub(in crate::actors) fn push(
        &mut self,
        item_id: ItemId,
        pending: PendingCommand,
    ) -> Result<Option<u32>, Box<PendingCommand>> {
        if self.count >= self.count_max {
            return Err(Box::new(pending));
        }
        self.count += 1;
        let waiting = self.items.entry(item_id).or_default();
        let is_first = waiting.commands.is_empty();
        waiting.commands.push_back(pending);
        Ok(is_first.then(|| waiting.wanted()))
    }

    /// Whether something waits for units of the item.
    pub(in crate::actors) fn waits(&self, item_id: ItemId) -> bool {
        self.count > 0 && self.items.contains_key(&item_id)
    }

    /// Whether nothing waits.
    pub(in crate::actors) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes out what can be decided: what is served from the `available` units, and what wants more than
    /// `at_most`, all that could ever come.
    pub(in crate::actors) fn take_decidable(
        &mut self,
        item_id: ItemId,
        available: u32,
        at_most: Option<u32>,
    ) -> Vec<PendingCommand> {
        let Some(waiting) = self.items.get_mut(&item_id) else { return Vec::new() };
        let mut left = available;
        let mut taken = Vec::new();
        for pending in std::mem::take(&mut waiting.commands) {
            let units = units_taken(&pending.command).unwrap_or(0);
            let is_served = units <= left;
            if is_served {
                left -= units;
            }
            if is_served || at_most.is_some_and(|at_most| units > at_most) {
                taken.push(pending);
            } else {
                waiting.commands.push_back(pending);
            }
        }
        self.forget(item_id, taken.len());
        taken
    }

    /// Answers what waits for units of the item: the nodes that may have some are away. It was not decided.
    pub(in crate::actors) fn answer_unserved(&mut self, item_id: ItemId) {
        let Some(waiting) = self.items.get_mut(&item_id) else { return };
        let commands = std::mem::take(&mut waiting.commands);
        self.forget(item_id, commands.len());
        for mut pending in commands {
            pending.reply_sender.send(Reply::NotDelivered(NotDelivered::Moved));
        }
    }

    /// Units that what waits wants, while something does.
    pub(in crate::actors) fn wanted(&self, item_id: ItemId) -> Option<u32> {
        self.items.get(&item_id).map(Waiting::wanted)
    }

    /// Answers what was admitted before `deadline`: it was not decided, and may be repeated.
    pub(in crate::actors) fn answer_overdue(&mut self, deadline: Timestamp) -> u64 {
        let items: Vec<ItemId> = self.items.keys().copied().collect();
        let mut answered = 0;
        for item_id in items {
            let Some(waiting) = self.items.get_mut(&item_id) else { continue };
            let before = waiting.commands.len();
            waiting.commands.retain_mut(|pending| {
                let is_in_time = pending.admitted_at >= deadline;
                if !is_in_time {
                    pending.reply_sender.send(Reply::NotDelivered(NotDelivered::Overloaded));
                }
                is_in_time
            });
            let overdue = before - waiting.commands.len();
            self.forget(item_id, overdue);
            answered += overdue as u64;
        }
        answered
    }

    fn forget(&mut self, item_id: ItemId, taken: usize) {
        self.count -= taken;
        if self.items.get(&item_id).is_some_and(|waiting| waiting.commands.is_empty()) {
            self.items.remove(&item_id);
        }
    }
}

impl Waiting {
    fn wanted(&self) -> u32 {
        let units = self.commands.iter().filter_map(|pending| units_taken(&pending.command));
        units.fold(0, u32::saturating_add)
    }
}

/// The shard goes, or its actor has died: what waits was not decided.
impl Drop for Parked {
    fn drop(&mut self) {
        for mut pending in self.items.drain().flat_map(|(_, waiting)| waiting.commands) {
            pending.reply_sender.send(Reply::NotDelivered(NotDelivered::Moved));
        }
    }
}
