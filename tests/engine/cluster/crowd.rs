//! Clients of several engines, what they were told, and what must be true of it in the end.

use crate::seen::Seen;
use crate::simulation::Dice;
use domain::invariants::{self, Invariant, Ledger};
use domain::{Buy, ItemId, Order, OrderId, Outcome, Refusal, RequestId, ShardId, UserId};
use parking_lot::{Mutex, RwLock};
use seckill::actors::{Engine, KeyOrigin, NotDelivered, Reply};
use seckill::store::journal::fenced::{FencedLog, StoredBatch};
use seckill::store::journal::record::each_record;
use seckill::store::orders::OrderStore;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::engine::SHARDS;
use support::terms;

pub const ITEMS: u64 = 8;
const ALLOTTED: u32 = 12;
const USERS: u64 = 15;
/// How long a client waits before it asks another node.
const PATIENCE: Duration = Duration::from_millis(500);

/// The engines that clients can ask; one that has died may be replaced.
#[derive(Clone, Default)]
pub struct Engines(Arc<RwLock<Vec<Engine>>>);

impl Engines {
    pub fn add(&self, engine: Engine) {
        self.0.write().push(engine);
    }

    pub fn replace(&self, index: usize, engine: Engine) {
        self.0.write()[index] = engine;
    }

    pub fn all(&self) -> Vec<Engine> {
        self.0.read().clone()
    }

    /// Opens every item, wherever its shard is served.
    pub async fn open_items(&self) {
        for item in 1..=ITEMS {
            let mut opened = 0;
            for engine in self.all() {
                let reply = engine.open_item(terms(item, ALLOTTED, 600_000)).await;
                opened += usize::from(matches!(reply, Reply::Decided(Outcome::Item(_))));
            }
            assert_eq!(opened, 1, "one node serves the item's shard");
        }
    }

    /// Asks the engines in turn, with the same key, until one has decided.
    pub async fn decided(&self, first: u64, (item, user, request): (u64, u64, u64)) -> Outcome {
        for turn in first.. {
            let engine = {
                let engines = self.0.read();
                engines[(turn % engines.len() as u64) as usize].clone()
            };
            // A node that has died does not answer at all.
            match tokio::time::timeout(PATIENCE, buy(&engine, item, user, request)).await {
                Ok(Reply::Decided(outcome)) => return outcome,
                // Its shard is on its way.
                Ok(Reply::NotDelivered(_) | Reply::Unknown) | Err(_) => {
                    tokio::task::yield_now().await;
                }
            }
        }
        unreachable!("the engines are asked for ever")
    }
}

/// Buys as the edge does, if the item's shard is served there.
async fn buy(engine: &Engine, item: u64, user: u64, request: u64) -> Reply {
    let (item_id, user_id) = (ItemId(item), UserId(user));
    let Some(gate) = engine.gate(item_id) else {
        return Reply::NotDelivered(NotDelivered::Moved);
    };
    if let Some(refusal) = gate.refusal(engine.now(), user_id) {
        return Reply::Decided(Outcome::Refused(refusal));
    }
    let buy = Buy { item_id, user_id, request_id: RequestId(request), quantity: 1 };
    engine.buy(&gate, buy, KeyOrigin::Client).await
}

/// Clients that buy until they are told to stop.
pub struct Crowd {
    seen: Arc<Mutex<Seen>>,
    is_over: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    pub fn start(engines: &Engines, dice: &mut Dice) -> Self {
        let (seen, is_over) = <(Arc<Mutex<Seen>>, Arc<AtomicBool>)>::default();
        let clients = (0..4).map(|_| {
            let dice = Dice::new(dice.any());
            tokio::spawn(client(engines.clone(), Arc::clone(&seen), dice, Arc::clone(&is_over)))
        });
        Self { clients: clients.collect(), seen, is_over }
    }

    /// Waits until every client has had its last answer.
    pub async fn stop(self) -> Seen {
        self.is_over.store(true, Ordering::Release);
        for client in self.clients {
            client.await.expect("a client");
        }
        std::mem::take(&mut *self.seen.lock())
    }
}

/// One client's purchases.
async fn client(
    engines: Engines,
    seen: Arc<Mutex<Seen>>,
    mut dice: Dice,
    is_over: Arc<AtomicBool>,
) {
    while !is_over.load(Ordering::Acquire) {
        let (item, user) = (1 + dice.below(ITEMS), 1 + dice.below(USERS));
        // A client keeps its key for an item, so some of these are repeats.
        let request = item * 100 + dice.below(3);
        match engines.decided(dice.below(8), (item, user, request)).await {
            Outcome::Placed(order) | Outcome::Replayed(order) => seen.lock().note(&order),
            Outcome::Refused(Refusal::SoldOut | Refusal::LimitReached) => {}
            other => panic!("{other:?}"),
        }
        tokio::task::yield_now().await;
    }
}

/// At rest: every repeat gets its order, and what is left sells (I16).
pub async fn check_at_rest(engines: &Engines, seen: &Seen) {
    for order in seen.orders.values() {
        let request = (order.item_id.0, order.user_id.0, order.request_id.0);
        let Outcome::Replayed(again) = engines.decided(0, request).await else {
            panic!("{order:?} is not known any more")
        };
        assert!(again.same_purchase(order), "{again:?} for {order:?}");
    }
    for item in 1..=ITEMS {
        let gates = engines.all().into_iter().filter_map(|engine| engine.gate(ItemId(item)));
        let gates: Vec<_> = gates.collect();
        assert_eq!(gates.len(), 1, "one engine knows item {item}");
        let left = gates[0].counters().available;
        let outcome = engines.decided(0, (item, 1_000 + item, 9_999)).await;
        let is_right = match outcome {
            Outcome::Placed(_) => left > 0,
            Outcome::Refused(Refusal::SoldOut) => left == 0,
            _ => false,
        };
        assert!(is_right, "{}: {left} left, {outcome:?}", Invariant::I16);
    }
}

/// The log, judged, and what clients were told against it.
pub async fn judge(log: &impl FencedLog, orders: &OrderStore, seen: &Seen) {
    let mut ledger = Ledger::default();
    for shard in (0..SHARDS).map(ShardId) {
        let mut epoch = 0;
        for batch in batches(log, shard).await {
            assert!(batch.epoch >= epoch, "{}: an older owner's batch", Invariant::I15);
            epoch = batch.epoch;
            for found in each_record(batch.records()) {
                ledger.record(&found.expect("a record"));
            }
        }
    }
    ledger.judge_money();
    for (rule, finding) in ledger.findings() {
        assert_eq!(finding.first, None, "{rule}");
    }
    let is_on_record = |order_id| ledger.orders().contains_key(&order_id);
    let verdict = invariants::i3_confirmed(seen.orders.keys(), is_on_record);
    assert_eq!(verdict, Ok(()), "{}", Invariant::I3);
    let stored = orders.scan(OrderId(0), usize::MAX).await.expect("orders");
    let stored: HashMap<OrderId, Order> =
        stored.into_iter().map(|row| (row.order.order_id, row.order)).collect();
    assert_eq!(stored, *ledger.orders(), "{}", Invariant::I4);
}

/// A shard's whole log.
async fn batches(log: &impl FencedLog, shard: ShardId) -> Vec<StoredBatch> {
    const PAGE: usize = 100;
    let mut all: Vec<StoredBatch> = Vec::new();
    loop {
        let after = all.last().map_or(0, |last| last.batch);
        let page = log.read(shard, after, PAGE).await.expect("batches");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}
