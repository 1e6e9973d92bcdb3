//! A data directory whose journal has deleted its oldest segment.
//!
//! Filling a segment through HTTP would take minutes, so its records are decided and written here; the
//! program does the rest. That is done once for all tests.

use crate::support::Site;
use domain::{
    Admission, Buckets, Buy, Command, Currency, Event, ItemId, ItemTerms, Record, RequestId,
    SaleId, ShardId, Stock, Timestamp, UserId,
};
use seckill::store::journal::file::disk::RealDisk;
use seckill::store::journal::file::{FileLog, Options, SEGMENT_BYTES_MIN};
use seckill::store::journal::{Journal, OpenedLog, record};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::OnceCell;

static TEMPLATE: OnceCell<Site> = OnceCell::const_new();

/// How many orders there are.
pub const ORDERS: u64 = 240_000;
/// Records that are appended together.
const BATCH: usize = 10_000;
const SHARD: ShardId = ShardId(0);
const ITEM: ItemId = ItemId(1_000_000);

/// Makes `directory` a copy of it.
pub async fn copy_to(directory: &Path) {
    let template = TEMPLATE.get_or_init(make).await;
    let status = std::process::Command::new("cp")
        .args(["-a", "--sparse=always"])
        .args([template.data(), directory])
        .status()
        .expect("it runs");
    assert!(status.success(), "{status}");
}

async fn make() -> Site {
    let site = Site::new();
    write(&site.data().join("journal"));
    let server = site.start().await;
    site.logged("old parts of the journal deleted").await;
    server.stop().await;
    site
}

/// Writes a journal of one item and its orders: every third is paid, every fifth cancelled.
fn write(directory: &Path) {
    let disk = Arc::new(RealDisk::open(directory).expect("a directory"));
    let options =
        Options { segment_bytes: SEGMENT_BYTES_MIN, segments_ahead: 1, ..Options::default() };
    let replayed = FileLog::open(disk, options).replay(&[0; 4], |_| Ok(())).expect("empty");
    let failed = |error| panic!("the journal failed: {error}");
    let journal = Journal::<()>::start(replayed, |_| {}, failed).expect("it starts");
    let mut writer = Writer { journal, stock: Stock::new(SHARD), bytes: Vec::new(), waiting: 0 };
    writer.take(&Command::Open(terms()));
    for number in 1..=ORDERS {
        let user_id = UserId(1 + number % 50_000);
        let buy = Buy { item_id: ITEM, user_id, request_id: RequestId(number), quantity: 1 };
        let Event::Order(order) = writer.take(&Command::Buy(buy)) else {
            unreachable!("a purchase is an order")
        };
        let order_id = order.order_id;
        if number.is_multiple_of(3) {
            writer.take(&Command::Pay { order_id, user_id });
        } else if number.is_multiple_of(5) {
            writer.take(&Command::Cancel { order_id, user_id });
        }
    }
    writer.append();
    writer.journal.close();
}

struct Writer {
    journal: Journal<()>,
    stock: Stock,
    bytes: Vec<u8>,
    waiting: usize,
}

impl Writer {
    /// Decides, applies and writes: what was decided.
    fn take(&mut self, command: &Command) -> Event {
        let at = Timestamp(1_790_000_000_000 + self.stock.seq() / 1_000);
        let event = self.stock.decide(at, command).event.expect("it is granted");
        let seq = self.stock.seq() + 1;
        let decided = Record { shard: SHARD, seq, at, event };
        self.stock.apply(&decided).expect("it follows");
        record::encode(&decided, &mut self.bytes);
        self.waiting += 1;
        if self.waiting == BATCH {
            self.append();
        }
        decided.event
    }

    fn append(&mut self) {
        let records = std::mem::take(&mut self.waiting) as u64;
        let last_seq = self.stock.seq();
        self.journal.append(SHARD, last_seq, records, &mut self.bytes, &mut Vec::new());
        // One batch at a time: the journal bounds what waits for it.
        while self.journal.durable_seq(SHARD) < last_seq {
            assert!(!self.journal.has_failed(), "the journal failed");
            std::thread::yield_now();
        }
    }
}

fn terms() -> ItemTerms {
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
