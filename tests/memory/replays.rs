//! Very many events that waited for a receiver, and that are told again.

use super::{ALONE, resident_bytes};
use domain::ShardId;
use harness::until;
use parking_lot::Mutex;
use seckill::actors::{
    Begin, CloudEvent, Confirmed, Engine, EventReaders, EventSink, KeyOrigin, ReaderOptions,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use support::engine::{self, terms};
use support::{Purchases, placed};

const NAME: &str = "memory";
const LIMIT: Duration = Duration::from_secs(60);
/// Buyers at a time.
const CROWD: u64 = 512;
/// How much more memory the rest of the events may take than the first tenth of them.
const GROWTH_BYTES_MAX: usize = 16 << 20;

/// How many orders there are, a hundred thousand, or another number: `SECKILL_DRILL_EVENTS=1000000`.
fn orders() -> u64 {
    let asked = std::env::var("SECKILL_DRILL_EVENTS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(100_000)
}

/// A receiver that keeps nothing but where each shard is, and looks at the memory meanwhile.
#[derive(Clone)]
struct Receiver(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    is_away: bool,
    count: u64,
    /// Up to where it was told of each shard.
    shards: HashMap<ShardId, u64>,
    /// In use after the first tenth, and at most since.
    early: usize,
    most: usize,
}

impl Receiver {
    /// From here on it is told all from the first one.
    fn begin(&self) {
        *self.0.lock() = Told::default();
    }

    /// Waits until it was told so many, and says how much memory that took.
    async fn has(&self, count: u64) -> usize {
        // Each tenth has its own time.
        for tenth in 1..=10 {
            let some = count * tenth / 10;
            until("more events", async || (self.0.lock().count >= some).then_some(())).await;
        }
        let told = self.0.lock();
        assert_eq!(told.count, count, "each once");
        told.most.saturating_sub(told.early)
    }
}

impl EventSink for Receiver {
    const TASK: &'static str = "test sink";

    async fn deliver(&mut self, events: &[CloudEvent]) -> Confirmed {
        let mut told = self.0.lock();
        if told.is_away {
            return Confirmed::NONE;
        }
        for event in events {
            let before = told.shards.insert(event.shard, event.seq);
            assert!(before.is_none_or(|before| before < event.seq), "{event:?} behind {before:?}");
        }
        told.count += events.len() as u64;
        let resident = resident_bytes();
        if told.count < orders() / 10 {
            told.early = told.early.max(resident);
        }
        told.most = told.most.max(resident);
        Confirmed::each(vec![true; events.len()])
    }
}

/// So many buyers buy one unit each.
async fn sell(engine: &Engine, count: u64) {
    let crowd: Vec<_> = (0..CROWD)
        .map(|first| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for user in (1 + first..=count).step_by(CROWD as usize) {
                    let reply = engine.purchase(1, user, user, KeyOrigin::Client).await;
                    assert!(placed(reply).is_some(), "stock is left");
                }
            })
        })
        .collect();
    for buyers in crowd {
        buyers.await.expect("they bought");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_waited_are_told_and_told_again_in_flat_memory() {
    let _alone = ALONE.lock().await;
    let count = orders();
    let directory = tempfile::tempdir().expect("a directory");
    let started = engine::start(directory.path(), engine::options()).await;
    let options = ReaderOptions {
        source: "/test".to_owned(),
        retain_bytes: 1 << 30,
        rush_records_max: u64::MAX,
    };
    let readers = EventReaders::new(&started.engine, &started.orders, &options);
    let receiver = Receiver(Arc::new(Mutex::new(Told { is_away: true, ..Told::default() })));
    let sink = receiver.clone();
    readers.add(NAME, Begin::Oldest, move || sink.clone());
    let allotted = u32::try_from(count).expect("an item has so many");
    started.engine.open_item(terms(1, allotted, 3_600_000)).await;
    sell(&started.engine, count).await;
    // Those of the orders, and the item's opening.
    let events = count + 1;
    receiver.begin();
    let told = receiver.has(events).await;
    receiver.begin();
    readers.replay(NAME, Begin::Oldest).await.expect("noted");
    let again = receiver.has(events).await;
    println!("{events} events: {told} bytes more when told, {again} when told again");
    assert!(told.max(again) < GROWTH_BYTES_MAX, "{told} and {again} bytes more");
    started.engine.drain(LIMIT).await;
    readers.stop(LIMIT).await;
}
