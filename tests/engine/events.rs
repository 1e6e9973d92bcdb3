//! The journal read a second time: what a sink is told, in which order, and where it goes on.

use crate::cluster::{Node, Stores};
use domain::{ItemAction, ItemId, Order, Outcome, ShardId};
use harness::until;
use parking_lot::Mutex;
use seckill::actors::{
    Begin, CloudEvent, Confirmed, Engine, EventReaders, EventSink, EventType, KeyOrigin,
    ReaderOptions, Reply,
};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::engine::{self, SHARDS, Started, operate};
use support::{Purchases, placed, terms};

const NAME: &str = "test";
const LIMIT: Duration = Duration::from_secs(60);

/// What a receiver has, and how it takes what it is offered.
#[derive(Clone, Default)]
pub struct Receiver(Arc<Mutex<Received>>);

#[derive(Default)]
struct Received {
    /// Each time that an event arrived, in that order.
    arrived: Vec<CloudEvent>,
    /// Whether nothing arrives.
    is_away: bool,
    /// Only every so-many-eth event of a batch arrives, if set.
    loses: bool,
}

/// The receiver's sink.
struct Sink(Receiver);

impl EventSink for Sink {
    const TASK: &'static str = "test sink";
    const BATCH_EVENTS: usize = 16;

    fn wants(&self, kind: EventType) -> bool {
        kind != EventType::ItemSettled
    }

    async fn deliver(&mut self, events: &[CloudEvent]) -> Confirmed {
        assert!((1..=Self::BATCH_EVENTS).contains(&events.len()), "{} events", events.len());
        let mut received = self.0.0.lock();
        if received.is_away {
            return Confirmed::NONE;
        }
        let loses = received.loses;
        let arrived = |place: usize| !loses || place % 2 == 1 || events.len() == 1;
        let arrived: Vec<bool> = (0..events.len()).map(arrived).collect();
        for (event, arrived) in events.iter().zip(&arrived) {
            if *arrived {
                received.arrived.push(event.clone());
            }
        }
        Confirmed::each(arrived)
    }
}

impl Receiver {
    /// Has itself told by these readers.
    pub fn listen(&self, readers: &EventReaders, begin: Begin) {
        let receiver = self.clone();
        readers.add(NAME, begin, move || Sink(receiver.clone()));
    }

    fn set_away(&self, is_away: bool) {
        self.0.lock().is_away = is_away;
    }

    pub fn arrived(&self) -> Vec<CloudEvent> {
        self.0.lock().arrived.clone()
    }

    fn forget(&self) {
        self.0.lock().arrived.clear();
    }

    /// Waits until so many different events have arrived.
    pub async fn has(&self, count: usize) -> BTreeMap<(ShardId, u64), CloudEvent> {
        until("the events to arrive", async || {
            let arrived = distinct(&self.arrived());
            (arrived.len() >= count).then_some(arrived)
        })
        .await
    }
}

/// The different events, each of which is the same each time.
fn distinct(arrived: &[CloudEvent]) -> BTreeMap<(ShardId, u64), CloudEvent> {
    let mut found: BTreeMap<(ShardId, u64), CloudEvent> = BTreeMap::new();
    for event in arrived {
        let place = (event.shard, event.seq);
        let first = found.entry(place).or_insert_with(|| event.clone());
        assert_eq!(first, event, "an event that comes again is the same");
    }
    found
}

/// Events of a key never go back, except to come again.
fn check_order(arrived: &[CloudEvent]) {
    let mut seen: HashMap<u64, Vec<u64>> = HashMap::new();
    for event in arrived {
        let seen = seen.entry(event.partition_key).or_default();
        let is_new = !seen.contains(&event.seq);
        assert!(!is_new || seen.iter().all(|seq| *seq < event.seq), "{event:?} behind {seen:?}");
        seen.push(event.seq);
    }
}

pub fn options() -> ReaderOptions {
    let source = "/test".to_owned();
    ReaderOptions { source, retain_bytes: 1 << 30, rush_records_max: 1_000 }
}

async fn start(directory: &Path) -> (Started, EventReaders) {
    let started = engine::start(directory, engine::options()).await;
    let readers = EventReaders::new(&started.engine, &started.orders, &options());
    (started, readers)
}

async fn stop(started: Started, readers: EventReaders) {
    started.engine.drain(LIMIT).await;
    readers.stop(LIMIT).await;
}

/// So many buyers buy one unit each, of which every second one is paid and every third cancelled.
pub async fn trade(engine: &Engine, item: u64, users: std::ops::Range<u64>) -> Vec<Order> {
    let mut orders = Vec::new();
    for user in users {
        let order = placed(engine.purchase(item, user, user, KeyOrigin::Client).await);
        let order = order.expect("stock is left");
        if user % 2 == 0 {
            engine.pay(&order).await;
        } else if user % 3 == 0 {
            engine.cancel(&order).await;
        }
        orders.push(order);
    }
    orders
}

async fn operated(engine: &Engine, action: ItemAction) {
    let gate = engine.gate(ItemId(1)).expect("it is open");
    let reply = engine.decide_item(&gate, operate(ItemId(1), action)).await;
    assert!(matches!(reply, Reply::Decided(Outcome::Item(_))), "{reply:?}");
}

/// How many events [`trade`] makes.
pub fn events_of(users: std::ops::Range<u64>) -> usize {
    users.map(|user| 1 + usize::from(user % 2 == 0 || user % 3 == 0)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_is_told_all_in_order_and_goes_on_where_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::default();
    let (started, readers) = start(directory.path()).await;
    receiver.listen(&readers, Begin::Now);
    started.engine.open_item(terms(1, 1_000, 600_000)).await;
    let orders = trade(&started.engine, 1, 1..61).await;
    let expected = 1 + events_of(1..61);
    let arrived = receiver.has(expected).await;
    assert_eq!(arrived.len(), expected);
    for order in orders {
        let own = arrived.values().filter(|event| event.partition_key == order.order_id.0);
        let own: Vec<EventType> = own.map(|event| event.kind).collect();
        assert_eq!(own[0], EventType::OrderReserved, "{own:?}");
        let last = match order.user_id.0 {
            user if user % 2 == 0 => EventType::OrderPaid,
            user if user % 3 == 0 => EventType::OrderCancelled,
            _ => EventType::OrderReserved,
        };
        assert_eq!(own.last(), Some(&last));
    }
    // What is the shop's own affair is no event, and passed all the same.
    operated(&started.engine, ItemAction::Pause).await;
    receiver.has(expected + 1).await;
    until("nothing to wait", async || {
        let standing = readers.standing(NAME).expect("it listens");
        (standing.lag_records == 0 && standing.lag_seconds == 0.0).then_some(())
    })
    .await;
    stop(started, readers).await;
    check_order(&receiver.arrived());

    receiver.forget();
    let (started, readers) = start(directory.path()).await;
    receiver.listen(&readers, Begin::Oldest);
    operated(&started.engine, ItemAction::Resume).await;
    let arrived = receiver.has(1).await;
    let kinds: Vec<EventType> = arrived.values().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventType::ItemResumed], "it was told the rest before");
    stop(started, readers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_confirmed_comes_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::default();
    receiver.0.lock().loses = true;
    let (started, readers) = start(directory.path()).await;
    started.engine.open_item(terms(1, 1_000, 600_000)).await;
    receiver.listen(&readers, Begin::Oldest);
    trade(&started.engine, 1, 1..101).await;
    let expected = 1 + events_of(1..101);
    assert_eq!(receiver.has(expected).await.len(), expected);

    // Away, and the process with it.
    receiver.set_away(true);
    trade(&started.engine, 1, 101..121).await;
    until("it to be behind", async || {
        (readers.standing(NAME)?.lag_records >= events_of(101..121) as u64).then_some(())
    })
    .await;
    stop(started, readers).await;
    receiver.forget();
    receiver.set_away(false);
    let (started, readers) = start(directory.path()).await;
    receiver.listen(&readers, Begin::Now);
    let arrived = receiver.has(events_of(101..121)).await;
    let new = arrived.values().filter(|event| event.kind == EventType::OrderReserved).count();
    assert!(new >= 20, "{new} of 20");
    stop(started, readers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_comes_later_is_told_from_then_on_or_again_from_before() {
    let directory = tempfile::tempdir().expect("a directory");
    let (started, readers) = start(directory.path()).await;
    started.engine.open_item(terms(1, 1_000, 600_000)).await;
    trade(&started.engine, 1, 1..21).await;
    // The next millisecond is later than all of that.
    until("time to pass", async || {
        let before = started.engine.now();
        (started.engine.now() > before).then_some(())
    })
    .await;
    let receiver = Receiver::default();
    receiver.listen(&readers, Begin::Now);
    let since = started.engine.now();
    until("it to be level", async || (readers.standing(NAME)?.lag_records == 0).then_some(()))
        .await;
    assert_eq!(receiver.arrived(), [], "that was before its time");
    trade(&started.engine, 1, 21..41).await;
    let later = receiver.has(events_of(21..41)).await;
    assert_eq!(later.len(), events_of(21..41));

    receiver.forget();
    readers.replay(NAME, Begin::Oldest).await.expect("noted");
    let all = receiver.has(1 + events_of(1..41)).await;
    assert_eq!(all.len(), 1 + events_of(1..41));
    assert!(later.iter().all(|(place, event)| all.get(place) == Some(event)), "the same again");
    receiver.forget();
    readers.replay(NAME, Begin::At(since)).await.expect("noted");
    let again = receiver.has(events_of(21..41)).await;
    assert!(
        again
            .values()
            .all(|event| event.at >= since && later.contains_key(&(event.shard, event.seq)))
    );

    // One that is taken away hears nothing, and goes on later.
    until("it to be level", async || (readers.standing(NAME)?.lag_records == 0).then_some(()))
        .await;
    readers.remove(NAME);
    receiver.forget();
    trade(&started.engine, 1, 41..51).await;
    assert_eq!(readers.standing(NAME), None);
    receiver.listen(&readers, Begin::Now);
    receiver.has(events_of(41..51)).await;
    readers.forget(NAME).await.expect("forgotten");
    stop(started, readers).await;
}

/// The time between two rounds of checkpoints.
const ROUND: Duration = Duration::from_millis(10);

/// A node that serves every shard.
async fn serving_all(stores: &Stores) -> (Node, Engine) {
    let node = Node::start("a", stores, stores.log.clone(), ROUND).await;
    for shard in (0..SHARDS).map(ShardId) {
        node.take(shard).await;
    }
    let engine = node.engine().clone();
    (node, engine)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_away_keeps_the_log_up_to_a_limit_and_is_told_what_it_has_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let stores = Stores::open(directory.path()).await;
    let (node, engine) = serving_all(&stores).await;
    let receiver = Receiver::default();
    receiver.set_away(true);
    let readers = |retain_bytes| {
        EventReaders::new(&engine, &stores.orders, &ReaderOptions { retain_bytes, ..options() })
    };
    let roomy = readers(1 << 30);
    receiver.listen(&roomy, Begin::Oldest);
    engine.open_item(terms(1, 1_000, 600_000)).await;
    trade(&engine, 1, 1..51).await;
    let shard = engine.gate(ItemId(1)).expect("open").shard();
    // Order store and checkpoint have all of it, and the log keeps it nevertheless.
    until("it to be stored", async || {
        let progress = stores.orders.progress().await.expect("an answer");
        let stored = progress.iter().find(|(own, _)| *own == shard).map_or(0, |(_, seq)| *seq);
        (stored > events_of(1..51) as u64).then_some(())
    })
    .await;
    for _ in 0..20 {
        tokio::time::sleep(ROUND).await;
    }
    assert_eq!(roomy.standing(NAME).expect("it listens").lost_records, 0);
    receiver.set_away(false);
    let all = receiver.has(1 + events_of(1..51)).await;
    assert_eq!(all.len(), 1 + events_of(1..51), "nothing was trimmed");

    // Without room all that is stored goes.
    receiver.set_away(true);
    let tight = readers(0);
    trade(&engine, 1, 51..61).await;
    let lost = until("it to be lost", async || {
        let standing = roomy.standing(NAME).expect("it listens");
        (standing.lost_records > 0).then_some(standing.lost_records)
    })
    .await;
    let base = stores.log.base(shard).seq;
    assert!((1..=base).contains(&lost), "{lost} of {base}");
    // What is told behind that gets over it, in the same shard.
    receiver.set_away(false);
    trade(&engine, 1, 61..63).await;
    until("it to get over that", async || {
        let standing = roomy.standing(NAME).expect("it listens");
        (standing.lost_records == 0 && standing.lag_records == 0).then_some(())
    })
    .await;
    tight.stop(LIMIT).await;
    roomy.stop(LIMIT).await;
    node.stop().await;
}

/// Whether an event has its order as [`trade`] leaves it.
fn is_final(order: &Order, event: &CloudEvent) -> bool {
    let status = match order.user_id.0 {
        user if user % 2 == 0 => "paid",
        user if user % 3 == 0 => "cancelled",
        _ => "reserved",
    };
    let text = String::from_utf8_lossy(&event.body);
    event.partition_key == order.order_id.0 && text.contains(&format!("\"status\":\"{status}\""))
}

/// Waits until a receiver knows each of these orders as it is. Returns what it was told.
async fn knows(receiver: &Receiver, orders: &[Order]) -> Vec<CloudEvent> {
    until("every order to be told of", async || {
        let arrived = receiver.arrived();
        let is_known = |order: &Order| arrived.iter().any(|event| is_final(order, event));
        orders.iter().all(is_known).then_some(arrived)
    })
    .await
}

/// How many events tell a present state.
fn current(arrived: &[CloudEvent]) -> usize {
    arrived.iter().filter(|event| event.kind == EventType::OrderCurrent).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_from_before_the_log_begins_with_each_orders_present_state() {
    let directory = tempfile::tempdir().expect("a directory");
    let stores = Stores::with_order_stores(directory.path(), 2).await;
    let (node, engine) = serving_all(&stores).await;
    // One whose orders are in the second of them.
    let mut item = 0;
    let shard = loop {
        item += 1;
        engine.open_item(terms(item, 1_000, 600_000)).await;
        let shard = engine.gate(ItemId(item)).expect("open").shard();
        if !stores.orders.first().holds(shard) {
            break shard;
        }
    };
    let mut orders = trade(&engine, item, 1..61).await;
    // Nobody is told yet, so that the log keeps nothing but what is to be stored.
    until("the log to be cut", async || {
        (stores.log.base(shard).seq > events_of(1..41) as u64).then_some(())
    })
    .await;
    let since = engine.now();
    let receiver = Receiver::default();
    let readers = EventReaders::new(&engine, &stores.orders, &options());
    receiver.listen(&readers, Begin::Now);
    readers.replay(NAME, Begin::Oldest).await.expect("noted");
    orders.extend(trade(&engine, item, 61..81).await);
    let arrived = knows(&receiver, &orders).await;
    // Many pages of them: a batch has 16.
    assert!((20..=60).contains(&current(&arrived)), "{} of 60 orders", current(&arrived));
    check_order(&arrived);

    // It is level then, and is not told that again by another process.
    until("it to be level", async || (readers.standing(NAME)?.lag_records == 0).then_some(()))
        .await;
    readers.stop(LIMIT).await;
    receiver.forget();
    let readers = EventReaders::new(&engine, &stores.orders, &options());
    receiver.listen(&readers, Begin::Now);
    let later = trade(&engine, item, 81..91).await;
    assert_eq!(current(&knows(&receiver, &later).await), 0, "it was told that before");
    // From a time on, what has changed since then and nothing else.
    receiver.forget();
    readers.replay(NAME, Begin::At(since)).await.expect("noted");
    let arrived = knows(&receiver, &[&orders[60..], &later].concat()).await;
    assert!(arrived.iter().all(|event| event.at >= since));
    readers.stop(LIMIT).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_moves_takes_its_positions_with_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let stores = Stores::open(directory.path()).await;
    let hour = Duration::from_secs(3_600);
    let nodes = [
        Node::start("a", &stores, stores.log.clone(), hour).await,
        Node::start("b", &stores, stores.log.clone(), hour).await,
    ];
    let receivers = [Receiver::default(), Receiver::default()];
    let readers = [0, 1].map(|node| {
        let readers = EventReaders::new(nodes[node].engine(), &stores.orders, &options());
        receivers[node].listen(&readers, Begin::Oldest);
        readers
    });
    for shard in (0..SHARDS).map(ShardId) {
        nodes[0].take(shard).await;
    }
    nodes[0].engine().open_item(terms(1, 1_000, 600_000)).await;
    let shard = nodes[0].engine().gate(ItemId(1)).expect("open").shard();
    let (mut expected, mut users) = (1, 1..21);
    for turn in 0..6 {
        let (from, to) = (turn % 2, 1 - turn % 2);
        trade(nodes[from].engine(), 1, users.clone()).await;
        expected += events_of(users.clone());
        users = users.end..users.end + 20;
        // It moves while some were told and some were not.
        receivers[from].set_away(turn % 3 == 1);
        nodes[from].hand_over(shard).await;
        nodes[to].take(shard).await;
        receivers[from].set_away(false);
    }
    let all = until("all to arrive somewhere", async || {
        let both: Vec<CloudEvent> =
            receivers.iter().flat_map(|receiver| receiver.arrived()).collect();
        let all = distinct(&both);
        (all.len() >= expected).then_some(all)
    })
    .await;
    assert_eq!(all.len(), expected);
    let seqs: Vec<u64> = all.keys().filter(|(own, _)| *own == shard).map(|(_, seq)| *seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "none is missing: {seqs:?}");
    // A node that takes a shard over begins where the other one was, not at the beginning.
    let told: usize = receivers.iter().map(|receiver| receiver.arrived().len()).sum();
    assert!(told < 2 * expected, "{told} were told of {expected}");
    for receiver in &receivers {
        check_order(&receiver.arrived());
    }
    for (node, readers) in nodes.into_iter().zip(readers) {
        readers.stop(LIMIT).await;
        node.stop().await;
    }
}
