//! The way of messages, calls and answers: lost, late, doubled, and never heard of again.

use super::super::events::{Event, Route};
use super::super::message::Message;
use super::super::node::Node;
use super::super::shop::{CALL_TIMEOUT, NODES};
use super::super::wire::{Answer, Call};
use super::World;
use crate::finding::Finding;

impl World {
    /// Whether a message is lost that nothing else happens to.
    pub(super) fn is_lost(&mut self) -> bool {
        !self.is_calm && self.random.below(1_000) < self.weather.lost
    }

    /// How long a message is on its way.
    pub(super) fn latency(&mut self) -> u64 {
        if !self.is_calm && self.random.below(1_000) < self.weather.late {
            self.seen.count("late");
            return 100 + self.random.below(6_000);
        }
        let most = if self.random.once_in(10) { 60 } else { 8 };
        1 + self.random.below(most)
    }

    /// Sends a message to a node, or to the one that seems to have its shard.
    pub(super) fn post(&mut self, from: usize, to: Option<usize>, message: &Message) {
        self.seen.count(message.title());
        let is_owner = |it: &Node| message.shard().is_some_and(|own| it.shards.contains_key(&own));
        let guess = self.random.below(NODES as u64) as usize;
        let is_misled = !self.is_calm && self.random.once_in(20);
        let owner = self.nodes.iter().position(is_owner).filter(|_| !is_misled);
        let to = to.or(owner).unwrap_or(guess);
        let is_doubled = !self.is_calm && self.random.below(1_000) < self.weather.doubled;
        for _ in 0..1 + u64::from(is_doubled) {
            if !self.is_lost() {
                let at = self.now + self.latency();
                self.events.at(at, Event::Message(to, from, message.clone()));
            }
        }
    }

    /// Sends a call. Whatever becomes of it, its caller hears something in time.
    pub(super) fn send(&mut self, way: Route, call: Call) {
        self.events.at(self.now + CALL_TIMEOUT, Event::Return(way, Answer::Silence));
        if self.now < self.cut[way.node] {
            return;
        }
        if !self.is_calm && self.random.below(1_000) < self.weather.doubled {
            self.seen.count("doubled");
            let at = self.now + 1 + self.random.below(6_000);
            self.events.at(at, Event::Arrive(way, call.clone()));
        }
        if self.is_lost() {
            self.seen.count("lost");
            return;
        }
        let at = self.now + self.latency();
        self.events.at(at, Event::Arrive(way, call));
    }

    /// A call arrives at the cluster, and is carried out, waited for or not.
    pub(super) fn arrive(&mut self, way: Route, call: Call) -> Result<(), Finding> {
        let is_full = !self.is_calm && self.random.below(1_000) < self.weather.full;
        let answer = self.registry.carry_out(
            &mut self.truth,
            &mut self.seen,
            (way.node, self.now),
            call,
            is_full,
        )?;
        self.registry.is_trimmed_rightly(&self.stores)?;
        for (lease, end) in self.registry.take_begun() {
            self.events.at(end, Event::LeaseEnd(lease));
        }
        if self.now < self.cut[way.node] || self.now < self.deaf[way.node] || self.is_lost() {
            self.seen.count("silent");
            return Ok(());
        }
        let at = self.now + self.latency();
        self.events.at(at, Event::Return(way, answer));
        Ok(())
    }
}
