//! The pure parts: `cargo bench`. What a purchase costs before anyone waits for a disk or a socket.

use divan::Bencher;
use divan::counter::ItemsCount;
use domain::risk::{EntryKind, Lists};
use domain::{
    Address, Admission, Buckets, Buy, Command, Currency, ItemId, ItemTerms, Record, RequestId,
    SaleId, ShardId, Stock, Timestamp, UserId,
};
use seckill::actors::Ring;
use seckill::http::limits::Limits;
use seckill::http::{BuyToken, BuyTokens, LimitOptions, Signer};
use seckill::store::journal::file::frame;
use seckill::store::journal::record;
use seckill::telemetry::text::Histogram;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

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
        admission: Admission::OPEN,
        buckets: Buckets::ONE,
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

/// Counting a duration in Prometheus' buckets and in fine ones: what one purchase in sixteen adds.
#[divan::bench]
fn count_duration(bencher: Bencher<'_, '_>) {
    let histogram = Histogram::of_durations();
    let mut microseconds = 200;
    bencher.bench_local(|| {
        microseconds = (microseconds * 31 + 7) % 100_000;
        histogram.observe(black_box(Duration::from_micros(microseconds)), 16);
    });
}

/// Finding a product's owner.
#[divan::bench]
fn owner(bencher: Bencher<'_, '_>) {
    let ring = Ring::new(64, 160);
    bencher.bench_local(|| black_box(ring.owner(black_box("product-153"))));
}

/// The limits of one purchase, all of them on, for so many buyers from so many networks.
#[divan::bench(args = [1_000, 1_000_000], sample_size = 10_000)]
fn limits_of_purchase(bencher: Bencher<'_, '_>, buyers: u64) {
    let options = LimitOptions {
        user_per_second: 10,
        user_burst: 20,
        address_per_second: 10,
        address_burst: 100,
        item_per_second: 1_000_000,
        global_per_second: 1_000_000,
        ..LimitOptions::NONE
    };
    let limits = Limits::new(&options, 8 << 20);
    let item = AtomicU64::new(0);
    let mut count = 0_u64;
    bencher.bench_local(|| {
        count += 1;
        let buyer = count.wrapping_mul(0x9E37_79B9_7F4A_7C15) % buyers;
        let now = Duration::from_micros(count);
        let address = Ipv6Addr::from_bits(u128::from(buyer) << 64);
        black_box(limits.purchase_from(Address::from(IpAddr::V6(address)), now)).is_ok()
            && black_box(limits.purchase_of_user(UserId(buyer), now)).is_ok()
            && black_box(limits.decision_of_item(&item, now)).is_ok()
    });
}

/// The limits of one purchase as they are by default: of the buyer alone.
#[divan::bench(sample_size = 10_000)]
fn limits_by_default(bencher: Bencher<'_, '_>) {
    let options = LimitOptions { user_per_second: 10, user_burst: 20, ..LimitOptions::NONE };
    let limits = Limits::new(&options, 8 << 20);
    let item = AtomicU64::new(0);
    let mut count = 0_u64;
    bencher.bench_local(|| {
        count += 1;
        let buyer = UserId(count.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 1_000_000);
        let now = Duration::from_micros(count);
        let address = Address::from(IpAddr::V6(Ipv6Addr::LOCALHOST));
        black_box(limits.purchase_from(address, now)).is_ok()
            && black_box(limits.purchase_of_user(buyer, now)).is_ok()
            && black_box(limits.decision_of_item(&item, now)).is_ok()
    });
}

/// The lists of those who are denied, looked into by one purchase of somebody who is on none: the address,
/// and then the buyer.
#[divan::bench(args = [0, 10_000, 1_000_000], sample_size = 10_000)]
fn risk_lists(bencher: Bencher<'_, '_>, entries: u64) {
    let kind = |number: u64| {
        let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        match number % 10 {
            // A network of 24 bits, anywhere.
            0 => {
                let first = Ipv4Addr::from_bits((spread >> 40 << 8) as u32);
                EntryKind::DenyAddress(format!("{first}/24").parse().expect("a network"))
            }
            _ => EntryKind::DenyUser(UserId(spread)),
        }
    };
    let lists = Lists::new((0..entries).map(|number| (kind(number), None)), NOW);
    let mut count = 0_u64;
    bencher.bench_local(|| {
        count = count.wrapping_add(0x2545_F491_4F6C_DD1D);
        let address = Address::from(IpAddr::V4(Ipv4Addr::from_bits(count as u32)));
        black_box(lists.denies_address(address)) || black_box(lists.denies_user(UserId(count)))
    });
}

/// What a guarded purchase costs more than another: its token verified.
#[divan::bench]
fn verify_buy_token(bencher: Bencher<'_, '_>) {
    let (tokens, text) = buy_token();
    let verify = || tokens.verify(NOW, black_box(&text), ItemId(1), UserId(7));
    assert!(verify().is_ok());
    bencher.bench_local(|| black_box(verify()));
}

/// What a forged one costs.
#[divan::bench]
fn refuse_buy_token(bencher: Bencher<'_, '_>) {
    let (tokens, text) = buy_token();
    let verify = || tokens.verify(NOW, black_box(&text), ItemId(1), UserId(8));
    assert!(verify().is_err());
    bencher.bench_local(|| black_box(verify()));
}

fn buy_token() -> (BuyTokens, String) {
    let tokens = BuyTokens::new(&Signer::new(&[7; 32]).expect("a secret"));
    let token = BuyToken { nonce: 9, opens_at: NOW, expires_at: NOW.plus_milliseconds(300_000) };
    let text = tokens.issue(NOW, &token, ItemId(1), UserId(7));
    (tokens, text)
}
