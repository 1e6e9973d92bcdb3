//! The pure parts: `cargo bench`. What a purchase costs before anyone waits for a disk or a socket.

use divan::Bencher;
use divan::counter::ItemsCount;
use domain::{
    Buy, Command, Currency, ItemId, ItemTerms, Record, RequestId, SaleId, ShardId, Stock,
    Timestamp, UserId,
};
use seckill::actors::Ring;
use seckill::store::journal::file::frame;
use seckill::store::journal::record;
use std::hint::black_box;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

fn main() {
    divan::main();
}

fn purchase(user: u64) -> Command {
    Command::Buy(Buy {
        item_id: ItemId(1),
        // Spread like hashes, so that no cache line is met twice by luck.
        user_id: UserId(user.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        request_id: RequestId(user),
        quantity: 1,
    })
}

fn decide_and_apply(stock: &mut Stock, command: &Command) -> Record {
    let decision = stock.decide(NOW, command);
    let event = decision.event.expect("a grant");
    let record = Record { shard: ShardId(0), seq: stock.seq() + 1, at: NOW, event };
    stock.apply(&record).expect("what was decided applies");
    record
}

fn stock_of(buyers: u64) -> Stock {
    let mut stock = Stock::new(ShardId(0));
    let terms = ItemTerms {
        item_id: ItemId(1),
        sale_id: SaleId(1),
        product_id: "phone".into(),
        price: 199_900,
        currency: Currency::CNY,
        allotted: 1_000_000_000,
        limit_per_user: 1,
        payment_window_milliseconds: 600_000,
        starts_at: Timestamp(0),
        ends_at: Timestamp::MAX,
    };
    decide_and_apply(&mut stock, &Command::Open(terms));
    for user in 0..buyers {
        decide_and_apply(&mut stock, &purchase(user));
    }
    stock
}

/// A purchase by a new buyer, decided and applied, with so many buyers before it.
#[divan::bench(args = [10_000, 100_000, 1_000_000, 10_000_000], sample_count = 20, sample_size = 1)]
fn purchase_after_buyers(bencher: Bencher<'_, '_>, buyers: u64) {
    const PURCHASES: u64 = 20_000;
    let mut stock = stock_of(buyers);
    let mut next = buyers;
    bencher.counter(ItemsCount::new(PURCHASES)).bench_local(|| {
        for _ in 0..PURCHASES {
            black_box(decide_and_apply(&mut stock, &purchase(next)));
            next += 1;
        }
    });
}

/// A repeat of a request, answered from the shard's state.
#[divan::bench]
fn repeat(bencher: Bencher<'_, '_>) {
    let stock = stock_of(100_000);
    let command = purchase(77);
    bencher.bench_local(|| black_box(stock.decide(NOW, &command)));
}

/// Encoding a grant.
#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    let mut stock = stock_of(0);
    let record = decide_and_apply(&mut stock, &purchase(1));
    let mut buffer = Vec::with_capacity(1 << 10);
    bencher.bench_local(|| {
        buffer.clear();
        record::encode(&record, &mut buffer);
        black_box(buffer.len())
    });
}

/// Sealing a frame of so many grants: checksum and framing.
#[divan::bench(args = [1, 64, 1_024])]
fn seal(bencher: Bencher<'_, '_>, records: u64) {
    let mut stock = stock_of(0);
    let mut payload = vec![0; frame::FRAME_HEADER_LENGTH];
    for user in 0..records {
        record::encode(&decide_and_apply(&mut stock, &purchase(user)), &mut payload);
    }
    bencher
        .counter(ItemsCount::new(records))
        .with_inputs(|| payload.clone())
        .bench_local_refs(|buffer| black_box(frame::seal(buffer, 1, 1, 0)));
}

/// Finding a product's owner.
#[divan::bench]
fn owner(bencher: Bencher<'_, '_>) {
    let ring = Ring::new(64, 160);
    bencher.bench_local(|| black_box(ring.owner(black_box("product-153"))));
}
