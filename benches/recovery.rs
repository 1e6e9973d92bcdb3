//! How long a start takes: `cargo bench --bench recovery`. Writes a journal of ten million grants
//! (`SECKILL_BENCH_GRANTS` for another number), then starts the engine on it without a checkpoint.
//! Prints seconds and the process's peak memory.

use domain::{
    Admission, Buckets, Buy, Command, Currency, ItemId, ItemTerms, Record, RequestId, SaleId,
    ShardId, Stock, Timestamp, UserId,
};
use seckill::actors::{Engine, EngineOptions};
use seckill::clock::Stopwatch;
use seckill::store::checkpoint::CheckpointStore;
use seckill::store::journal::file::disk::RealDisk;
use seckill::store::journal::file::{self, FileLog, OpenedFiles};
use seckill::store::journal::{Journal, JournalId, OpenedLog, record};
use seckill::store::orders::OrderStore;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GRANTS_DEFAULT: u64 = 10_000_000;
const SHARDS: u16 = 64;
const NOW: Timestamp = Timestamp(1_790_000_000_000);

fn main() {
    let grants = std::env::var("SECKILL_BENCH_GRANTS").ok();
    let grants = grants.and_then(|text| text.parse().ok()).unwrap_or(GRANTS_DEFAULT);
    for hot in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let bytes = write_journal(directory.path(), grants, hot);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let seconds = runtime.expect("a runtime").block_on(start(directory.path()));
        let which = if hot { "one item in one shard" } else { "64 items in 64 shards" };
        println!(
            "{grants} grants, {which}: journal {} MB, ready after {seconds:.2} s, peak memory of \
             the process {} MB",
            bytes / 1_000_000,
            peak_memory_kilobytes() / 1_000,
        );
    }
}

fn open(directory: &Path) -> OpenedFiles {
    let disk = RealDisk::open(&directory.join("journal")).expect("a disk");
    FileLog::open(Arc::new(disk), file::Options::default())
}

/// Writes the journal; returns its records' bytes.
fn write_journal(directory: &Path, grants: u64, hot: bool) -> u64 {
    const BATCH: u64 = 8_192;
    let opened = open(directory);
    let replayed = opened.replay(&[0; SHARDS as usize], |_| Ok(())).expect("an empty journal");
    let (done, written) = std::sync::mpsc::sync_channel::<()>(1_024);
    let on_durable = move |batches: Vec<()>| {
        for () in batches {
            done.send(()).expect("the bench waits");
        }
    };
    let journal = Journal::start(replayed, on_durable, |error| panic!("{error}"));
    let journal = journal.expect("the journal starts");
    let mut total = 0;
    let shards = if hot { 1 } else { SHARDS };
    // Twice what is sold, since shards take turns.
    let allotted = u32::try_from(2 * grants / u64::from(shards) + 8_192).expect("a possible sale");
    let mut stocks: Vec<Stock> = (0..shards).map(|shard| Stock::new(ShardId(shard))).collect();
    let mut buffer = Vec::new();
    let mut user = 0;
    let mut first = true;
    while user < grants {
        for stock in &mut stocks {
            let mut records = 0;
            if first {
                apply(stock, &Command::Open(terms(stock.shard(), allotted)), &mut buffer);
                records += 1;
            }
            for _ in 0..(BATCH / u64::from(shards)).min(grants - user) {
                apply(stock, &purchase(stock.shard(), user), &mut buffer);
                user += 1;
                records += 1;
            }
            total += buffer.len() as u64;
            journal.append(stock.shard(), stock.seq(), records, &mut buffer, &mut vec![()]);
            written.recv().expect("written");
        }
        first = false;
    }
    journal.close();
    total
}

async fn start(directory: &Path) -> f64 {
    let orders = OrderStore::open_sqlite(&directory.join("orders.db")).await.expect("a store");
    orders.migrate().await.expect("tables");
    let checkpoints = CheckpointStore::open_sqlite(&directory.join("checkpoints.db")).await;
    let checkpoints = checkpoints.expect("a checkpoint store");
    let options = EngineOptions {
        shards: SHARDS,
        virtual_nodes: 160,
        permits: 16_384,
        reply_timeout: Duration::from_secs(5),
        clock_ahead_max: Duration::MAX,
    };
    let timer = Stopwatch::start();
    let engine = Engine::start(
        options,
        JournalId(NonZeroU64::MIN),
        open(directory),
        checkpoints,
        &orders,
        |error| panic!("{error}"),
    )
    .await
    .expect("the engine starts");
    let seconds = timer.nanoseconds() as f64 / 1e9;
    engine.drain(Duration::from_secs(10)).await;
    seconds
}

fn apply(stock: &mut Stock, command: &Command, buffer: &mut Vec<u8>) {
    let event = stock.decide(NOW, command).event.expect("a fact");
    let record = Record { shard: stock.shard(), seq: stock.seq() + 1, at: NOW, event };
    stock.apply(&record).expect("what was decided applies");
    record::encode(&record, buffer);
}

fn purchase(shard: ShardId, user: u64) -> Command {
    Command::Buy(Buy {
        item_id: ItemId(u64::from(shard.0) + 1),
        user_id: UserId(user.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        request_id: RequestId(user),
        quantity: 1,
    })
}

fn terms(shard: ShardId, allotted: u32) -> ItemTerms {
    ItemTerms {
        item_id: ItemId(u64::from(shard.0) + 1),
        sale_id: SaleId(1),
        product_id: format!("product-{shard}").into(),
        price: 199_900,
        currency: Currency::CNY,
        allotted,
        limit_per_user: 1,
        payment_window_milliseconds: 600_000,
        starts_at: Timestamp(0),
        ends_at: Timestamp::MAX,
        admission: Admission::OPEN,
        buckets: Buckets::ONE,
    }
}

fn peak_memory_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
