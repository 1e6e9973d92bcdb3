//! A journal under test: what waits for it are numbers, and what it releases is noted.

use crate::disk::SimulatedDisk;
use domain::{
    Currency, Event, ItemId, Order, OrderId, OrderStatus, Record, RequestId, SaleId, ShardId,
    Timestamp, UserId,
};
use parking_lot::{Condvar, Mutex};
use seckill::store::journal::file::{self, FileLog, Options, Position, ReadError, Scan};
use seckill::store::journal::record::{self, each_record};
use seckill::store::journal::{Journal, OpenedLog};
use std::sync::Arc;
use std::time::Duration;

/// Shards of the journals under test.
pub const SHARDS: u16 = 3;

/// Segments so small that a test meets their ends.
pub fn small(segment_bytes: u64) -> Options {
    Options { segment_bytes, segments_ahead: 1, prepare_retry: Duration::from_millis(1) }
}

/// What a journal released and whether it failed.
#[derive(Default)]
pub struct Told {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    effects: Vec<u64>,
    failures: Vec<String>,
}

impl Told {
    /// Effects released so far, in their order.
    pub fn effects(&self) -> Vec<u64> {
        self.state.lock().effects.clone()
    }

    /// Failures told so far.
    pub fn failures(&self) -> Vec<String> {
        self.state.lock().failures.clone()
    }

    /// Waits until this effect is released or the journal has failed; true if it was released.
    pub fn wait_for(&self, effect: u64) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.effects.contains(&effect) {
                return true;
            }
            if !state.failures.is_empty() {
                return false;
            }
            self.changed.wait(&mut state);
        }
    }
}

/// A journal, open.
pub struct Book {
    /// The journal.
    pub journal: Journal<u64>,
    /// What it released.
    pub told: Arc<Told>,
    /// Each shard's last record.
    pub seqs: Vec<u64>,
    /// The records that were there at the start.
    pub replayed: Vec<Record>,
    next_effect: u64,
}

/// What a journal's disk holds.
pub struct Content {
    /// What the scan says.
    pub scan: Scan,
    /// All records in order.
    pub records: Vec<Record>,
    /// Where each frame starts.
    pub frames: Vec<Position>,
    /// Each shard's last record.
    pub seqs: Vec<u64>,
}

/// The end of what a disk holds.
pub fn end(disk: &SimulatedDisk) -> Position {
    file::scan(disk, |_, _, _| Ok(())).expect("readable").end
}

/// Reads a disk on its own, and changes nothing.
pub fn read(disk: &SimulatedDisk) -> Result<Content, ReadError> {
    let (mut records, mut frames) = (Vec::new(), Vec::new());
    let mut seqs = file::base(disk)?;
    seqs.resize(usize::from(SHARDS), 0);
    let scan = file::scan(disk, |position, _, payload| {
        frames.push(position);
        for found in each_record(payload) {
            let found = found?;
            let last = &mut seqs[found.shard.index()];
            if found.seq != *last + 1 {
                return Err(format!("record {} follows {last}", found.seq).into());
            }
            *last = found.seq;
            records.push(found);
        }
        Ok(())
    })?;
    Ok(Content { scan, records, frames, seqs })
}

/// Waits for a future that no runtime is needed for.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

/// A record that carries a number.
pub fn numbered(shard: u16, seq: u64, number: u64) -> Record {
    let order = Order {
        order_id: OrderId(number),
        item_id: ItemId(1),
        sale_id: SaleId(1),
        user_id: UserId(number),
        request_id: RequestId(number),
        attempt: 1,
        quantity: 1,
        amount: 1,
        currency: Currency::CNY,
        status: OrderStatus::Reserved,
        expires_at: Timestamp(0),
    };
    Record { shard: ShardId(shard), seq, at: Timestamp(number), event: Event::Order(order) }
}

/// The number that a record carries.
pub fn number_of(record: &Record) -> u64 {
    record.at.0
}

impl Book {
    /// Goes on with what is on the disk, cutting a torn tail.
    pub fn open(disk: &SimulatedDisk, options: Options) -> Self {
        let content = read(disk).expect("the journal can be read");
        let book = Self::start(FileLog::open(Arc::new(disk.clone()), options));
        assert_eq!((&book.replayed, &book.seqs), (&content.records, &content.seqs));
        book
    }

    /// Replays a journal and goes on with it.
    pub fn start(opened: impl OpenedLog) -> Self {
        let mut replayed = Vec::new();
        let journal = opened.replay(&[0; SHARDS as usize], |found| {
            replayed.push(found.clone());
            Ok(())
        });
        let journal = journal.expect("the journal can be replayed");
        let seqs = journal.seqs.clone();
        let next_effect = replayed.iter().map(number_of).max().unwrap_or(0) + 1;
        let told = Arc::new(Told::default());
        let (durable, failed) = (Arc::clone(&told), Arc::clone(&told));
        let journal = Journal::start(
            journal,
            move |effects: Vec<u64>| {
                durable.state.lock().effects.extend(effects);
                durable.changed.notify_all();
            },
            move |error| {
                failed.state.lock().failures.push(error.to_string());
                failed.changed.notify_all();
            },
        )
        .expect("the journal starts");
        Self { journal, told, seqs, replayed, next_effect }
    }

    /// Appends `count` records of a shard without waiting, with one effect: the number that the last
    /// of them carries.
    pub fn append(&mut self, shard: u16, count: u64) -> u64 {
        let mut bytes = Vec::new();
        for _ in 0..count {
            self.seqs[usize::from(shard)] += 1;
            let seq = self.seqs[usize::from(shard)];
            record::encode(&numbered(shard, seq, self.next_effect), &mut bytes);
            self.next_effect += 1;
        }
        let effect = self.next_effect - 1;
        let seq = self.seqs[usize::from(shard)];
        self.journal.append(ShardId(shard), seq, count, &mut bytes, &mut vec![effect]);
        effect
    }

    /// Appends and waits until it is durable; false if the journal failed.
    pub fn write(&mut self, shard: u16, count: u64) -> bool {
        let effect = self.append(shard, count);
        self.told.wait_for(effect)
    }
}
