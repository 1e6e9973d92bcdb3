//! The world around nodes and clients: time, the way of every message, and what goes wrong.

mod ways;

use super::clients::Client;
use super::events::{Event, Events, Route, Seen};
use super::node::{Deed, Node};
use super::plant::Plant;
use super::question::{Answered, Kind, Question, Reply};
use super::registry::Registry;
use super::shop::{BEGINNING, CLIENTS, HOT, ITEMS_OF_SHARD, LEASE, NODES, SHARDS, shard_of};
use super::stores::Stores;
use super::truth::Truth;
use super::weather::{Mishap, Weather};
use crate::finding::Finding;
use domain::invariants::{Invariant, i1_balance};
use domain::parts::BELIEVED;
use domain::{Buy, ItemId, Order, OrderId, Outcome, Refusal, RequestId, ShardId, UserId};
use harness::Random;
use std::collections::BTreeMap;

/// How long things go wrong, in milliseconds, and how long it may take then until everything is at rest.
const ROUGH: u64 = 12_000;
const REST_MAX: u64 = 60_000;

/// One run, and what happened in it.
///
/// # Errors
/// Returns the first finding.
///
/// # Panics
/// If an assertion of the product fails: that is a finding as well.
pub fn run(seed: u64, plant: Option<Plant>) -> Result<Seen, Finding> {
    World::new(seed, plant).run()
}

pub struct World {
    now: u64,
    events: Events,
    random: Random,
    weather: Weather,
    registry: Registry,
    stores: Stores,
    truth: Truth,
    nodes: Vec<Node>,
    /// Until when each node is stopped, until when it is cut off, and until when it hears nothing.
    paused: [u64; NODES],
    cut: [u64; NODES],
    deaf: [u64; NODES],
    /// Whether a step of each node is on its way.
    is_called: [bool; NODES],
    clients: Vec<Client>,
    plant: Option<Plant>,
    seen: Seen,
    is_calm: bool,
}

impl World {
    pub fn new(seed: u64, plant: Option<Plant>) -> Self {
        let mut random = Random::new(seed);
        let weather = Weather::draw(&mut random);
        let (registry, stores) = (Registry::new(plant), Stores::default());
        let mut world = Self {
            now: BEGINNING,
            events: Events::default(),
            random,
            weather,
            registry,
            stores,
            truth: Truth::new(LEASE),
            nodes: Vec::new(),
            paused: [0; NODES],
            cut: [0; NODES],
            deaf: [0; NODES],
            is_called: [false; NODES],
            clients: Client::all(),
            plant,
            seen: Seen::default(),
            is_calm: false,
        };
        for node in 0..NODES {
            let started = world.start(node, 1);
            world.nodes.push(started);
            world.call(node);
            world.events.at(world.now + 100, Event::KeepUp(node));
        }
        for client in 0..CLIENTS {
            let first = world.random.below(500);
            world.give_turn(client, world.now + first);
        }
        let first = world.random.below(1_000);
        world.events.at(world.now + first, Event::Mishap);
        world
    }

    /// Lets things go wrong for a while, then lets everything come to rest, and looks what is left.
    pub fn run(mut self) -> Result<Seen, Finding> {
        self.until(BEGINNING + ROUGH, |_| false)?;
        self.calm();
        let limit = self.now + REST_MAX;
        if !self.until(limit, Self::is_at_rest)? {
            return Err(Finding::of(Invariant::I16, self.unrest()));
        }
        self.truth.stored(&self.stored())?;
        self.sells()?;
        Ok(self.seen)
    }

    /// Goes on until it is so, or until an instant. Returns whether it is so.
    fn until(&mut self, instant: u64, is_so: impl Fn(&Self) -> bool) -> Result<bool, Finding> {
        while let Some((at, event)) = self.events.next() {
            self.now = at.max(self.now);
            self.happen(event)?;
            if is_so(self) {
                return Ok(true);
            }
            if self.now >= instant {
                return Ok(false);
            }
        }
        Ok(is_so(self))
    }

    fn happen(&mut self, event: Event) -> Result<(), Finding> {
        match event {
            Event::Step(node) => {
                self.is_called[node] = false;
                if self.now < self.paused[node] {
                    return Ok(());
                }
                self.nodes[node].step(self.now);
                return self.look_at(node);
            }
            Event::KeepUp(node) => {
                if self.now >= self.paused[node] {
                    self.nodes[node].keep_up(&self.registry.log);
                    self.registry.is_trimmed_rightly(&self.stores)?;
                    self.is_shown_rightly(node)?;
                    self.call(node);
                }
                let next = self.now + 40 + self.random.below(160);
                self.events.at(next, Event::KeepUp(node));
            }
            Event::Client(client, turn) if self.clients[client].has_turn(turn) => {
                self.let_ask(client);
            }
            Event::Client(..) => {}
            // A node that is stopped hears and says nothing until it goes on.
            Event::Ask(node, _) | Event::Message(node, ..) if self.now < self.paused[node] => {
                self.events.at(self.paused[node], event);
            }
            Event::Ask(node, question) => {
                self.nodes[node].ask(self.now, question);
                self.look_at(node)?;
                self.call(node);
            }
            Event::Message(node, from, message) => {
                self.nodes[node].read_message(self.now, from, message);
                self.call(node);
            }
            Event::Tell(answered) => self.tell(&answered),
            Event::Arrive(way, call) => self.arrive(way, call)?,
            Event::Return(way, answer) => {
                if self.nodes[way.node].incarnation == way.incarnation {
                    self.nodes[way.node].wire.answer(way.number, answer);
                    self.call(way.node);
                }
            }
            Event::LeaseEnd(lease) => {
                if let Some(again) = self.registry.may_end(lease, self.now) {
                    self.events.at(again, Event::LeaseEnd(lease));
                } else {
                    self.seen.count("lease ran out");
                }
            }
            Event::Mishap => self.mishap(),
            Event::Recover(node) => self.call(node),
            Event::StoresReturn => self.stores.set_away(false, false),
        }
        Ok(())
    }

    /// What the gates of a node show is in balance (I1), and the order store has what it says (I12).
    fn is_shown_rightly(&self, node: usize) -> Result<(), Finding> {
        for served in self.nodes[node].shards.values() {
            for counters in served.shown() {
                i1_balance(&counters).map_err(|text| Finding::of(Invariant::I1, text))?;
            }
        }
        self.stores.is_whole().map_err(|text| Finding::of(Invariant::I12, text))
    }

    /// Has a node do what there is to do, soon.
    fn call(&mut self, node: usize) {
        if !std::mem::replace(&mut self.is_called[node], true) {
            let at = self.now.max(self.paused[node]) + self.random.below(3);
            self.events.at(at, Event::Step(node));
        }
    }

    fn start(&mut self, node: usize, incarnation: u64) -> Node {
        let name = format!("node-{node}");
        let random = self.random.fork();
        let (log, stores) = (&self.registry.log, &self.stores);
        let mut started = Node::start((name, incarnation), log, stores, self.plant, random);
        started.wire.set_trim_faults(if self.is_calm { 0 } else { self.weather.trim_faults });
        started.membership.given_away = if self.is_calm { 0 } else { self.weather.given_away };
        started
    }

    /// Judges what a node has done, and sends its calls and answers on their way.
    fn look_at(&mut self, node: usize) -> Result<(), Finding> {
        for deed in std::mem::take(&mut self.nodes[node].deeds) {
            self.judge(node, deed)?;
        }
        for (number, call) in self.nodes[node].wire.take_outgoing() {
            let incarnation = self.nodes[node].incarnation;
            self.send(Route { node, incarnation, number }, call);
        }
        for (to, message) in std::mem::take(&mut self.nodes[node].messages) {
            self.post(node, to, &message);
        }
        for answered in std::mem::take(&mut self.nodes[node].out) {
            self.truth.answered(self.now, &answered)?;
            match answered.reply {
                Reply::Decided(Outcome::Refused(_)) => self.seen.count("refused to a client"),
                Reply::HeldBack => self.seen.count("held back by the guard"),
                _ => {}
            }
            if !self.is_lost() {
                let at = self.now + 1 + self.random.below(10);
                self.events.at(at, Event::Tell(answered));
            }
        }
        Ok(())
    }

    fn judge(&mut self, node: usize, deed: Deed) -> Result<(), Finding> {
        let what = match deed {
            Deed::Found { shard, epoch, finding } => {
                if self.truth.is_newest(shard, epoch) {
                    return Err(finding);
                }
                // Another node has claimed it meanwhile, and may have trimmed it.
                return Ok(());
            }
            Deed::Known { shard, seq } => {
                self.truth.known(shard, seq, self.now);
                return Ok(());
            }
            Deed::GivenUp { shard, epoch, last_seq } => {
                let base = self.registry.log.base(shard);
                self.truth.given_up(shard, (epoch, last_seq), base)?;
                "fenced"
            }
            Deed::TakenOver { shard, is_from_orders } => {
                let served = self.nodes[node].shards.get(&shard);
                if let Some(served) = served {
                    self.truth.known(shard, served.stock.seq(), self.now);
                    self.truth.taken_over(&served.stock, served.epoch)?;
                }
                // It opens its items, whether it is asked or not.
                self.call(node);
                if is_from_orders { "rebuilt from orders" } else { "taken over" }
            }
            Deed::Checkpointed { shard, seq } => {
                self.truth.checkpointed(shard, seq)?;
                "checkpoint written"
            }
            Deed::Stuck => "stuck",
            Deed::GivenAway => "given away",
            Deed::LetGo => "let go",
            Deed::Trimmed => "trimmed",
            Deed::Renewed => "put down again",
        };
        self.seen.count(what);
        Ok(())
    }

    fn give_turn(&mut self, client: usize, instant: u64) {
        let turn = self.clients[client].next_turn();
        self.events.at(instant, Event::Client(client, turn));
    }

    fn let_ask(&mut self, client: usize) {
        let (now, begins) = (self.now, !self.is_calm);
        let asked = self.clients[client].ask((client, now), begins, &mut self.random);
        if let Some(question) = asked {
            let node = self.random.below(NODES as u64) as usize;
            if !self.is_lost() {
                let at = now + 1 + self.random.below(10);
                self.events.at(at, Event::Ask(node, question));
            }
        }
        if self.clients[client].wants() {
            let again = self.clients[client].patience().max(now + 1);
            self.give_turn(client, again);
        }
    }

    fn tell(&mut self, answered: &Answered) {
        let client = answered.question.client;
        let Some(heard) = self.clients.get_mut(client).and_then(|own| own.hear(answered)) else {
            return;
        };
        let pause = if heard { 20 + self.random.below(400) } else { 10 + self.random.below(60) };
        self.give_turn(client, self.now + pause);
    }

    fn mishap(&mut self) {
        if self.is_calm {
            return;
        }
        let node = self.random.below(NODES as u64) as usize;
        let lasts = 1 + self.random.below(2 * LEASE);
        let end = self.now + lasts;
        match self.weather.mishap(&mut self.random) {
            Some(Mishap::Pause) => {
                self.seen.count("paused");
                self.paused[node] = end;
                self.events.at(end, Event::Recover(node));
            }
            Some(Mishap::Death) => {
                self.seen.count("died");
                let incarnation = self.nodes[node].incarnation + 1;
                self.nodes[node] = self.start(node, incarnation);
                self.paused[node] = self.now + self.random.below(1_000);
                self.call(node);
            }
            Some(Mishap::Cut) => self.cut[node] = end,
            Some(Mishap::Deafness) => self.deaf[node] = end,
            Some(Mishap::LeaseEnded) => {
                let has_ended = self.registry.end_wrongly(&mut self.truth, node, self.now);
                if has_ended {
                    self.seen.count("lease ended wrongly");
                }
            }
            Some(Mishap::CheckpointsLost) => self.stores.lose_checkpoints(),
            Some(Mishap::StoresAway) => {
                self.stores.set_away(self.random.once_in(2), self.random.once_in(2));
                self.events.at(end, Event::StoresReturn);
            }
            None => {}
        }
        let next = self.now + 1 + self.random.below(2 * self.weather.mishap_every);
        self.events.at(next, Event::Mishap);
    }

    /// From now on nothing goes wrong any more. What is on its way still arrives.
    fn calm(&mut self) {
        self.is_calm = true;
        (self.paused, self.cut, self.deaf) = ([0; NODES], [0; NODES], [0; NODES]);
        self.stores.set_away(false, false);
        for node in 0..NODES {
            self.nodes[node].wire.set_trim_faults(0);
            self.nodes[node].membership.given_away = 0;
            self.call(node);
        }
    }

    fn served(&self, shard: ShardId) -> impl Iterator<Item = &Node> {
        let serves = move |node: &&Node| {
            node.shards.get(&shard).is_some_and(|served| served.is_open) && node.is_live(self.now)
        };
        self.nodes.iter().filter(serves)
    }

    fn is_at_rest(&self) -> bool {
        let shards = || (0..SHARDS).map(ShardId);
        shards().all(|shard| {
            let mut owners = self.served(shard);
            let is_quiet = |node: &Node| {
                node.shards.get(&shard).is_some_and(|served| {
                    served.durable_seq == self.truth.seq(shard)
                        && served.stock.seq() == served.durable_seq
                        && served.stock.items().len() as u64 == ITEMS_OF_SHARD + 1
                        && served.parked.is_empty()
                        && served.part.as_ref().is_some_and(|part| !part.exchange.has_open())
                })
            };
            owners.next().is_some_and(is_quiet)
                && owners.next().is_none()
                && self.stores.progress(shard) == Ok(self.truth.seq(shard))
        }) && !self.clients.iter().any(Client::wants)
    }

    /// What does not come to rest, in words.
    fn unrest(&self) -> String {
        let mut words = Vec::new();
        for shard in (0..SHARDS).map(ShardId) {
            let owners: Vec<&str> = self.served(shard).map(|node| node.name.as_str()).collect();
            let (stored, seq) = (self.stores.progress(shard), self.truth.seq(shard));
            words
                .push(format!("shard {shard} is served by {owners:?}, stored {stored:?} of {seq}"));
        }
        let waiting = self.clients.iter().filter(|client| client.wants()).count();
        format!("no rest: {}; {waiting} clients wait", words.join(", "))
    }

    fn stored(&self) -> BTreeMap<OrderId, Order> {
        let records = (0..SHARDS).filter_map(|shard| self.stores.records(ShardId(shard)).ok());
        let orders = records.flatten().filter_map(|found| found.event.changed_order().copied());
        let mut rows = BTreeMap::new();
        for order in orders {
            let row = rows.entry(order.order_id).or_insert(order);
            if self.plant != Some(Plant::FirstRowWins) {
                *row = order;
            }
        }
        rows
    }

    /// What is left sells, and what is not is sold out (I16).
    fn sells(&mut self) -> Result<(), Finding> {
        let wanted =
            (1..HOT.0).map(|item| (item, 1_000)).chain((0..8).map(|user| (HOT.0, user + 1_000)));
        for (number, (item, user)) in (1..).zip(wanted) {
            let (item_id, user_id) = (ItemId(item), UserId(user));
            let buy = Buy { item_id, user_id, request_id: RequestId(number), quantity: 1 };
            let (client, kind, shard) = (CLIENTS, Kind::Buy(buy), shard_of(&buy));
            let question = Question { client, number, asked_at: self.now, shard, kind };
            // Orders run out by themselves meanwhile, and what was seen elsewhere is believed for a moment.
            self.until(self.now + REST_MAX, Self::is_at_rest)?;
            let left = self.truth.available(item_id);
            self.until(self.now + BELIEVED, |_| false)?;
            let reply = self.decided(question)?;
            let is_right = match reply {
                Some(Outcome::Placed(_)) => true,
                Some(Outcome::Refused(Refusal::SoldOut)) => left == 0,
                _ => false,
            };
            if !is_right {
                let text =
                    format!("{left} units of item {item} are left, and a purchase: {reply:?}");
                return Err(Finding::of(Invariant::I16, text));
            }
        }
        Ok(())
    }

    /// What a shard decides, asked where it is served, again if it is on its way just then.
    fn decided(&mut self, question: Question) -> Result<Option<Outcome>, Finding> {
        const ATTEMPTS_MAX: usize = 10;
        for _ in 0..ATTEMPTS_MAX {
            if let Some(outcome) = self.ask_once(Question { asked_at: self.now, ..question })? {
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    fn ask_once(&mut self, question: Question) -> Result<Option<Outcome>, Finding> {
        const SOON: u64 = 2_000;
        let owner = self.served(question.shard).next().map(|node| node.name.clone());
        let node = self.nodes.iter().position(|node| Some(&node.name) == owner.as_ref());
        let end = self.now + SOON;
        if let Some(node) = node {
            self.events.at(self.now, Event::Ask(node, question));
        }
        while self.now < end {
            let Some((at, event)) = self.events.next() else { break };
            self.now = at.max(self.now);
            if let Event::Tell(answered) = &event
                && answered.question.client == CLIENTS
                && answered.question.number == question.number
            {
                return Ok(match answered.reply {
                    Reply::Decided(outcome) => Some(outcome),
                    _ => None,
                });
            }
            self.happen(event)?;
        }
        Ok(None)
    }
}
