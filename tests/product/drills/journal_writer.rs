//! Writes a journal as a shard would, or as none ever would.

use domain::{
    Admission, Buckets, Command, Currency, Event, ItemId, ItemTerms, Record, SaleId, ShardId,
    Stock, Timestamp,
};
use seckill::store::journal::file::disk::RealDisk;
use seckill::store::journal::file::{FileLog, Options, SEGMENT_BYTES_MIN};
use seckill::store::journal::{Journal, OpenedLog, record};
use std::path::Path;
use std::sync::Arc;

/// The one item that is sold.
pub const ITEM: ItemId = ItemId(1_000_000);
const SHARD: ShardId = ShardId(0);
/// Records that are appended together.
const BATCH: usize = 10_000;

/// A journal of four shards, of which one is written.
pub struct JournalWriter {
    journal: Journal<()>,
    stock: Stock,
    last_seq: u64,
    bytes: Vec<u8>,
    waiting: usize,
}

impl JournalWriter {
    /// A new one in this directory.
    pub fn create(directory: &Path) -> Self {
        let disk = Arc::new(RealDisk::open(directory).expect("a directory"));
        let options =
            Options { segment_bytes: SEGMENT_BYTES_MIN, segments_ahead: 1, ..Options::default() };
        let replayed = FileLog::open(disk, options).replay(&[0; 4], |_| Ok(())).expect("empty");
        let failed = |error| panic!("the journal failed: {error}");
        let journal = Journal::<()>::start(replayed, |_| {}, failed).expect("it starts");
        Self { journal, stock: Stock::new(SHARD), last_seq: 0, bytes: Vec::new(), waiting: 0 }
    }

    /// Decides, applies and writes: what was decided.
    pub fn take(&mut self, command: &Command) -> Event {
        let at = Timestamp(1_790_000_000_000 + self.last_seq / 1_000);
        let event = self.stock.decide(at, command).event.expect("it is granted");
        let decided = Record { shard: SHARD, seq: self.last_seq + 1, at, event };
        self.stock.apply(&decided).expect("it follows");
        self.put(decided.event.clone());
        decided.event
    }

    /// Writes what was not decided.
    pub fn put(&mut self, event: Event) {
        let at = Timestamp(1_790_000_000_000 + self.last_seq / 1_000);
        self.last_seq += 1;
        record::encode(&Record { shard: SHARD, seq: self.last_seq, at, event }, &mut self.bytes);
        self.waiting += 1;
        if self.waiting == BATCH {
            self.append();
        }
    }

    /// Writes what is left, and closes it.
    pub fn close(mut self) {
        self.append();
        self.journal.close();
    }

    fn append(&mut self) {
        let records = std::mem::take(&mut self.waiting) as u64;
        let last_seq = self.last_seq;
        self.journal.append(SHARD, last_seq, records, &mut self.bytes, &mut Vec::new());
        // One batch at a time: the journal bounds what waits for it.
        while self.journal.durable_seq(SHARD) < last_seq {
            assert!(!self.journal.has_failed(), "the journal failed");
            std::thread::yield_now();
        }
    }
}

/// The item's terms, under which orders wait for years to be paid.
pub fn terms() -> ItemTerms {
    ItemTerms {
        item_id: ITEM,
        sale_id: SaleId(1_000_000),
        product_id: "product-of-the-past".into(),
        price: 4_999,
        currency: Currency::parse("EUR").expect("a code"),
        allotted: 1_000_000,
        limit_per_user: 100,
        payment_window_milliseconds: 86_400_000_000,
        starts_at: Timestamp(0),
        ends_at: Timestamp::MAX,
        admission: Admission::OPEN,
        buckets: Buckets::ONE,
    }
}
