//! A journal under test: what waits for it are numbers, and what it lets go is noted.

use super::disk::SimulatedDisk;
use domain::{
    Currency, Event, ItemId, Order, OrderId, OrderStatus, Record, RequestId, SaleId, ShardId,
    Timestamp, UserId,
};
use parking_lot::{Condvar, Mutex};
use seckill::store::journal::{
    self, Journal, Options, Position, ReadError, Resumption, Scan, cut_torn_tail, record,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Shards of the journals under test.
pub const SHARDS: u16 = 3;

/// Segments so small that a test meets their ends.
pub fn small(segment_bytes: u64) -> Options {
    Options { segment_bytes, segments_ahead: 1, prepare_retry: Duration::from_millis(1) }
}

/// What a journal let go and whether it failed.
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
    /// Effects let go so far, in their order.
    pub fn effects(&self) -> Vec<u64> {
        self.state.lock().effects.clone()
    }

    /// Failures told so far.
    pub fn failures(&self) -> Vec<String> {
        self.state.lock().failures.clone()
    }

    /// Waits until this effect is let go or the journal has failed; true if it was let go.
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
    /// What it let go.
    pub told: Arc<Told>,
    /// Each shard's last record.
    pub seqs: Vec<u64>,
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
    sealed: VecDeque<(u64, Vec<u64>)>,
}

/// Reads a disk as recovery does.
pub fn read(disk: &SimulatedDisk) -> Result<Content, ReadError> {
    let (mut records, mut frames, mut sealed) = (Vec::new(), Vec::new(), VecDeque::new());
    let mut seqs = journal::base(disk)?;
    seqs.resize(usize::from(SHARDS), 0);
    let mut segment = 0;
    let scan = journal::scan(disk, |position, _, mut payload| {
        if segment != 0 && segment != position.segment {
            sealed.push_back((segment, seqs.clone()));
        }
        segment = position.segment;
        frames.push(position);
        while !payload.is_empty() {
            let found = record::decode(&mut payload).map_err(|error| error.to_string())?;
            let last = &mut seqs[found.shard.index()];
            if found.seq != *last + 1 {
                return Err(format!("record {} follows {last}", found.seq));
            }
            *last = found.seq;
            records.push(found);
        }
        Ok(())
    })?;
    if segment != 0 && scan.end.segment != segment {
        sealed.push_back((segment, seqs.clone()));
    }
    Ok(Content { scan, records, frames, seqs, sealed })
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
    /// Takes up what is on the disk, cutting a torn tail.
    pub fn open(disk: &SimulatedDisk, options: Options) -> Self {
        let mut content = read(disk).expect("the journal can be read");
        cut_torn_tail(disk, &mut content.scan).expect("the torn tail can be cut");
        let next_effect = content.records.iter().map(number_of).max().unwrap_or(0) + 1;
        let told = Arc::new(Told::default());
        let (durable, failed) = (Arc::clone(&told), Arc::clone(&told));
        let resumption =
            Resumption { scan: content.scan, seqs: content.seqs.clone(), sealed: content.sealed };
        let journal = Journal::start(
            Arc::new(disk.clone()),
            options,
            resumption,
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
        Self { journal, told, seqs: content.seqs, next_effect }
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
