//! A journal in memory: the smallest thing that fulfils the contract, without headroom, with batches of
//! its own as units of retirement, and with a second owner that can fence shards off.

use domain::{Record, ShardId};
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use parking_lot::Mutex;
use seckill::store::journal::record::each_record;
use seckill::store::journal::{
    Batch, BoxError, JournalError, Log, LogHandle, LogReader, LogStatus, OpenedLog, Part, Replayed,
};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// What outlives a journal's owner. Clones share it.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    batches: VecDeque<Kept>,
    /// How many batches were retired before the first that is left.
    retired: usize,
    base: Vec<u64>,
    /// The owner that wrote last, and the one that opened last.
    last_epoch: u64,
    epoch: u64,
    fenced: Vec<ShardId>,
}

struct Kept {
    bytes: Vec<u8>,
    /// Each shard's last record in the batch.
    seqs: Vec<(ShardId, u64)>,
}

impl Memory {
    /// Lets a newer owner have the shard: nothing of it is committed any more.
    pub fn fence(&self, shard: ShardId) {
        self.0.lock().fenced.push(shard);
    }

    /// Lets this owner have the shard again.
    pub fn give_back(&self, shard: ShardId) {
        self.0.lock().fenced.retain(|fenced| *fenced != shard);
    }
}

impl OpenedLog for Memory {
    type Log = MemoryLog;

    fn base(&self) -> Result<Vec<u64>, JournalError> {
        Ok(self.0.lock().base.clone())
    }

    fn replay(
        self,
        after: &[u64],
        mut visit: impl FnMut(&Record) -> Result<(), BoxError>,
    ) -> Result<Replayed<MemoryLog>, JournalError> {
        let mut state = self.0.lock();
        let mut seqs = state.base.clone();
        seqs.resize(after.len(), 0);
        for found in state.batches.iter().flat_map(|batch| each_record(&batch.bytes)) {
            let found = found.map_err(|error| JournalError(error.into()))?;
            seqs[found.shard.index()] = found.seq;
            if found.seq > after[found.shard.index()] {
                visit(&found).map_err(JournalError)?;
            }
        }
        state.epoch += 1;
        let (last_epoch, epoch) = (state.last_epoch, state.epoch);
        drop(state);
        let log = MemoryLog { memory: self, epoch, status: Arc::default() };
        Ok(Replayed { log, seqs, last_epoch, epoch })
    }
}

/// The writing half.
pub struct MemoryLog {
    memory: Memory,
    epoch: u64,
    status: Arc<LogStatus>,
}

impl Log for MemoryLog {
    fn start(&mut self) -> io::Result<Arc<dyn LogHandle>> {
        let (memory, status) = (self.memory.clone(), Arc::clone(&self.status));
        Ok(Arc::new(MemoryHandle { memory, status }))
    }

    fn commit(&mut self, batch: &mut Batch) -> io::Result<Vec<ShardId>> {
        let mut state = self.memory.0.lock();
        let is_own = |part: &&Part| !state.fenced.contains(&part.shard);
        let own: Vec<&Part> = batch.parts.iter().filter(is_own).collect();
        let bytes: Vec<u8> =
            own.iter().flat_map(|part| &batch.bytes[part.bytes.clone()]).copied().collect();
        let seqs = own.iter().filter(|part| part.has_records());
        let seqs = seqs.map(|part| (part.shard, part.last_seq)).collect();
        state.batches.push_back(Kept { bytes, seqs });
        state.last_epoch = self.epoch;
        Ok(state.fenced.clone())
    }
}

/// The shared half.
struct MemoryHandle {
    memory: Memory,
    status: Arc<LogStatus>,
}

impl LogHandle for MemoryHandle {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn status(&self) -> Arc<LogStatus> {
        Arc::clone(&self.status)
    }

    fn base(&self) -> Vec<u64> {
        self.memory.0.lock().base.clone()
    }

    fn read(&self, _: &[u64]) -> Box<dyn LogReader> {
        let next = self.memory.0.lock().retired;
        Box::new(MemoryReader { memory: self.memory.clone(), next, bytes: Vec::new() })
    }

    fn beyond(&self, bytes: u64) -> Vec<u64> {
        let state = self.memory.0.lock();
        let mut kept = 0;
        let fits = |batch: &&Kept| {
            kept += batch.bytes.len() as u64;
            kept <= bytes
        };
        let fitting = state.batches.iter().rev().take_while(fits).count();
        let mut beyond = state.base.clone();
        for (shard, seq) in state.batches.iter().rev().skip(fitting).flat_map(|batch| &batch.seqs) {
            if let Some(own) = beyond.get_mut(shard.index()) {
                *own = (*own).max(*seq);
            }
        }
        beyond
    }

    fn can_retire(&self, covered: &[u64]) -> bool {
        let state = self.memory.0.lock();
        state.batches.front().is_some_and(|batch| batch.is_covered(covered))
    }

    fn retire(&self, covered: &[u64]) -> io::Result<usize> {
        let mut state = self.memory.0.lock();
        let before = state.retired;
        while let Some(batch) = state.batches.pop_front_if(|batch| batch.is_covered(covered)) {
            for (shard, seq) in batch.seqs {
                let length = state.base.len().max(shard.index() + 1);
                state.base.resize(length, 0);
                state.base[shard.index()] = seq;
            }
            state.retired += 1;
        }
        Ok(state.retired - before)
    }

    fn finish(&self) {}
}

impl Kept {
    fn is_covered(&self, covered: &[u64]) -> bool {
        let covers = |shard: ShardId| covered.get(shard.index()).copied().unwrap_or(0);
        self.seqs.iter().all(|(shard, seq)| *seq <= covers(*shard))
    }
}

struct MemoryReader {
    memory: Memory,
    next: usize,
    bytes: Vec<u8>,
}

impl LogReader for MemoryReader {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<&[u8]>, JournalError>> {
        let state = self.memory.0.lock();
        let found = state.batches.get(self.next.saturating_sub(state.retired));
        let payload = found.map(|batch| {
            self.bytes.clone_from(&batch.bytes);
            self.next += 1;
            self.bytes.as_slice()
        });
        future::ready(Ok(payload)).boxed()
    }

    fn refuse(&mut self, why: &str) -> JournalError {
        JournalError(format!("batch {}: {why}", self.next).into())
    }
}
