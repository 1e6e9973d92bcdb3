//! From the journal into the shards' stocks, on all processors.
//!
//! One thread reads: what is on record, whether it is whole, and in which order. What it has read goes to lanes.
//! A lane is a thread that has the stocks of some shards for itself, so a shard's records are applied in their order
//! whatever the other lanes do, and the state is the same however many there are.

use crate::store::journal::{JournalError, OpenedLog, Replayed};
use domain::stock::Violation;
use domain::{Record, ShardId, Stock};
use std::iter;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, ScopedJoinHandle};

/// Lanes at most: one thread reads for all of them.
const LANES_MAX: usize = 16;
/// Records that are handed to a lane together.
const PARCEL: usize = 512;
/// Parcels that may wait for a lane: with those the reader is as far ahead as it may be.
const PARCELS_MAX: usize = 8;

/// A record of the journal whose shard is not configured.
#[derive(Debug, thiserror::Error)]
#[error("a record of shard {shard}, but only {shards} shards are configured: raise engine.shards")]
struct UnknownShard {
    shard: ShardId,
    shards: usize,
}

/// A lane has refused a record, and says itself which and why.
#[derive(Debug, thiserror::Error)]
#[error("a record was refused")]
struct LaneEnded;

/// How many threads can work at the same time here.
pub(super) fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Brings each stock forward to the journal's end, in at most so many `lanes`.
///
/// # Errors
/// Returns [`JournalError`] if the journal cannot be read, or has a record that contradicts those before it.
pub(super) fn replay<O: OpenedLog>(
    opened: O,
    stocks: Vec<Stock>,
    lanes: usize,
) -> Result<(Vec<Stock>, Replayed<O::Log>), JournalError> {
    let after: Vec<u64> = stocks.iter().map(Stock::seq).collect();
    let lanes = lanes.clamp(1, LANES_MAX).min(stocks.len().max(1));
    let again = opened.clone();
    let (replayed, applied) = thread::scope(|scope| {
        let (mut senders, mut threads) = (Vec::new(), Vec::new());
        for own in dealt(stocks, lanes) {
            let (sender, parcels) = sync_channel(PARCELS_MAX);
            senders.push(Parcels { filled: Vec::with_capacity(PARCEL), sender });
            let thread = thread::Builder::new().name("replay".to_owned());
            let thread = thread.spawn_scoped(scope, move || apply(own, lanes, &parcels));
            threads.push(thread.map_err(|error| JournalError(error.into()))?);
        }
        let replayed = read(opened, &after, senders);
        Ok::<_, JournalError>((
            replayed,
            threads.into_iter().map(joined).collect::<Result<Vec<_>, _>>(),
        ))
    })?;
    match applied {
        Ok(lanes) => Ok((gathered(lanes), replayed?)),
        Err(violation) => Err(place_of(violation, again, &after)),
    }
}

/// Reads the journal to its end, and has all of it on its way to the lanes then.
fn read<O: OpenedLog>(
    opened: O,
    after: &[u64],
    mut lanes: Vec<Parcels>,
) -> Result<Replayed<O::Log>, JournalError> {
    let shards = after.len();
    let replayed = opened.replay(after, |found| {
        if found.shard.index() >= shards {
            return Err(UnknownShard { shard: found.shard, shards }.into());
        }
        let lane = found.shard.index() % lanes.len();
        Ok(lanes[lane].add(found)?)
    })?;
    // One that has ended says why when it is joined.
    lanes.iter_mut().for_each(|lane| drop(lane.send()));
    Ok(replayed)
}

/// What is on its way to a lane.
struct Parcels {
    filled: Vec<Record>,
    sender: SyncSender<Vec<Record>>,
}

impl Parcels {
    fn add(&mut self, found: &Record) -> Result<(), LaneEnded> {
        self.filled.push(found.clone());
        if self.filled.len() < PARCEL { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<(), LaneEnded> {
        let filled = std::mem::replace(&mut self.filled, Vec::with_capacity(PARCEL));
        self.sender.send(filled).map_err(|_| LaneEnded)
    }
}

/// Applies all that comes to one of so many `lanes`.
fn apply(
    mut own: Vec<Stock>,
    lanes: usize,
    parcels: &Receiver<Vec<Record>>,
) -> Result<Vec<Stock>, Violation> {
    while let Ok(parcel) = parcels.recv() {
        for found in &parcel {
            own[found.shard.index() / lanes].apply(found)?;
        }
    }
    Ok(own)
}

/// The stocks of each lane, which are dealt out in turn.
fn dealt(stocks: Vec<Stock>, lanes: usize) -> Vec<Vec<Stock>> {
    let mut dealt: Vec<Vec<Stock>> = iter::repeat_with(Vec::new).take(lanes).collect();
    for (index, stock) in stocks.into_iter().enumerate() {
        dealt[index % lanes].push(stock);
    }
    dealt
}

/// The stocks of all shards, in their order again.
fn gathered(lanes: Vec<Vec<Stock>>) -> Vec<Stock> {
    let mut stocks: Vec<Stock> = lanes.into_iter().flatten().collect();
    stocks.sort_unstable_by_key(Stock::shard);
    stocks
}

/// What the lane has come to.
fn joined<T>(lane: ScopedJoinHandle<'_, T>) -> T {
    lane.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// The error that names the place of the refused record, which the lanes do not know: the journal is read once more
/// up to there.
fn place_of<O: OpenedLog>(violation: Violation, opened: O, after: &[u64]) -> JournalError {
    let read = opened.replay(after, |found| {
        let is_refused = (found.shard, found.seq) == (violation.shard, violation.seq);
        if is_refused { Err(violation.clone().into()) } else { Ok(()) }
    });
    read.err().unwrap_or_else(|| JournalError(violation.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::file::disk::RealDisk;
    use crate::store::journal::file::{FileLog, OpenedFiles, Options};
    use crate::store::journal::{Journal, record};
    use domain::{
        Admission, Buckets, Buy, Command, Currency, Event, ItemId, ItemTerms, RequestId, SaleId,
        Timestamp, UserId,
    };
    use std::path::Path;
    use std::sync::Arc;

    const SHARDS: u16 = 5;
    /// More of each shard than a parcel holds.
    const BUYERS: u64 = PARCEL as u64 + 100;
    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn open(directory: &Path) -> OpenedFiles {
        let disk = RealDisk::open(&directory.join("journal")).expect("a disk");
        FileLog::open(Arc::new(disk), Options::default())
    }

    fn none() -> Vec<Stock> {
        (0..SHARDS).map(|shard| Stock::new(ShardId(shard))).collect()
    }

    fn opening(shard: ShardId) -> Command {
        Command::Open(ItemTerms {
            item_id: ItemId(u64::from(shard.0) + 1),
            sale_id: SaleId(1),
            product_id: "phone".into(),
            price: 100,
            currency: Currency::CNY,
            allotted: 10_000,
            limit_per_user: 1,
            payment_window_milliseconds: 600_000,
            starts_at: Timestamp(0),
            ends_at: Timestamp::MAX,
            admission: Admission::OPEN,
            buckets: Buckets::ONE,
        })
    }

    fn purchase(shard: ShardId, user: u64) -> Command {
        let item_id = ItemId(u64::from(shard.0) + 1);
        let (user_id, request_id) = (UserId(user), RequestId(user));
        Command::Buy(Buy { item_id, user_id, request_id, quantity: 1 })
    }

    /// A journal in which the shards take turns, and what they are in the end. `change` may spoil what is written.
    fn written(directory: &Path, change: impl Fn(&mut Record)) -> Vec<Stock> {
        let replayed = open(directory).replay(&[0; SHARDS as usize], |_| Ok(()));
        let replayed = replayed.expect("an empty journal");
        let journal = Journal::<()>::start(replayed, |_| {}, |error| panic!("{error}"));
        let journal = journal.expect("the journal starts");
        let mut stocks = none();
        for users in (0..=BUYERS).collect::<Vec<_>>().chunks(50) {
            for stock in &mut stocks {
                let shard = stock.shard();
                let mut bytes = Vec::new();
                for &user in users {
                    let command = if user == 0 { opening(shard) } else { purchase(shard, user) };
                    let event = stock.decide(NOW, &command).event.expect("a fact");
                    let mut record = Record { shard, seq: stock.seq() + 1, at: NOW, event };
                    stock.apply(&record).expect("what was decided applies");
                    change(&mut record);
                    record::encode(&record, &mut bytes);
                }
                journal.append(shard, stock.seq(), users.len() as u64, &mut bytes, &mut Vec::new());
            }
        }
        journal.close();
        stocks
    }

    fn words(stocks: &[Stock]) -> Vec<String> {
        stocks.iter().map(|stock| format!("{:?}", stock.snapshot())).collect()
    }

    #[test]
    fn the_state_is_the_same_in_any_number_of_lanes() {
        let directory = tempfile::tempdir().expect("a directory");
        let before = words(&written(directory.path(), |_| {}));
        for lanes in [0, 1, 2, 3, 5, 16] {
            let (stocks, journal) = replay(open(directory.path()), none(), lanes).expect("read");
            assert_eq!(journal.seqs, [BUYERS + 1; SHARDS as usize], "{lanes} lanes");
            assert!(words(&stocks) == before, "{lanes} lanes");
        }
    }

    #[test]
    fn a_record_that_contradicts_is_refused_where_it_is_however_many_read_on() {
        // Among a shard's last, so that all that is read may be on its way when it is refused.
        for seq in [2, BUYERS / 2, BUYERS] {
            let directory = tempfile::tempdir().expect("a directory");
            written(directory.path(), |record| {
                if let Event::Order(order) = &mut record.event
                    && (record.shard, record.seq) == (ShardId(3), seq)
                {
                    order.amount += 1;
                }
            });
            let refused = |lanes| {
                let replayed = replay(open(directory.path()), none(), lanes);
                replayed.err().expect("refused").to_string()
            };
            let alone = refused(1);
            assert!(alone.contains("journal") && alone.contains("at byte"), "{alone}");
            assert!(alone.contains(&format!("at record {seq}")), "{alone}");
            for lanes in [2, 3, 16] {
                assert_eq!(refused(lanes), alone);
            }
        }
    }

    #[test]
    fn a_record_of_a_shard_that_is_not_configured_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        written(directory.path(), |_| {});
        let mut fewer = none();
        fewer.truncate(3);
        let error = replay(open(directory.path()), fewer, 2).err().expect("refused").to_string();
        assert!(error.contains("only 3 shards are configured"), "{error}");
    }
}
