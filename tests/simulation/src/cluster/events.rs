//! What happens at which instant, and how often it did.

use super::message::Message;
use super::question::{Answered, Question};
use super::wire::{Answer, Call};
use std::collections::BTreeMap;

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// A node does what there is to do.
    Step(usize),
    /// A node keeps the stores up to date.
    KeepUp(usize),
    /// A client asks, or asks again.
    /// It is its turn of this number; an earlier one's counts no more.
    Client(usize, u64),
    /// A client's request arrives at a node.
    Ask(usize, Question),
    /// A message arrives at a node, from another one.
    Message(usize, usize, Message),
    /// An answer arrives at its client.
    Tell(Answered),
    /// A call of a node's run arrives at the cluster.
    Arrive(Route, Call),
    /// Its answer arrives at the node.
    Return(Route, Answer),
    /// A lease may be over.
    LeaseEnd(i64),
    /// Something goes wrong.
    Mishap,
    /// A node is there again, and its way to the cluster.
    Recover(usize),
    /// The stores are there again.
    StoresReturn,
}

/// Which call: a node's, of which run, and its number.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub node: usize,
    pub incarnation: u64,
    pub number: u64,
}

/// What is to happen, in the order of time.
#[derive(Default)]
pub struct Events {
    queue: BTreeMap<(u64, u64), Event>,
    number: u64,
}

impl Events {
    pub fn at(&mut self, instant: u64, event: Event) {
        self.number += 1;
        self.queue.insert((instant, self.number), event);
    }

    pub fn next(&mut self) -> Option<(u64, Event)> {
        self.queue.pop_first().map(|((instant, _), event)| (instant, event))
    }
}

/// How often what a simulation is there for has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    /// All that a run can count.
    pub const ALL: [&'static str; 26] = [
        "appended",
        "refused by the log",
        "lost",
        "late",
        "doubled",
        "silent",
        "no room",
        "taken over",
        "rebuilt from orders",
        "stuck",
        "given away",
        "let go",
        "fenced",
        "put down again",
        "trimmed",
        "checkpoint written",
        "lease ended wrongly",
        "lease ran out",
        "paused",
        "died",
        "held back by the guard",
        "refused to a client",
        "bucket looked at",
        "units asked for",
        "units sent to a bucket",
        "transfer settled",
    ];

    pub(super) fn count(&mut self, what: &'static str) {
        debug_assert!(Self::ALL.contains(&what), "{what} is in the list");
        *self.0.entry(what).or_default() += 1;
    }

    /// How often it happened.
    pub fn times(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Adds what happened in another run.
    pub fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }
}
