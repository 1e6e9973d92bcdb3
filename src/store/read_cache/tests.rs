//! The read cache without Redis, with one, and with one that fails.

use super::unknown::UNKNOWN_MAX;
use super::*;
use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;
use tokio::sync::Notify;

const START: Timestamp = Timestamp(1_790_000_000_000);

fn sale(id: u64) -> CachedSale {
    let item = |number: u64| CachedItem {
        item_id: ItemId(id * 100 + number),
        product_id: format!("杯子-{number}"),
        title: format!("Cup {number}"),
        price: 990,
        list_price: (number == 1).then_some(1_990),
        currency: Currency::parse("CNY").expect("a code"),
        allotted: 100,
        limit_per_user: 1,
        payment_window_seconds: 600,
    };
    CachedSale {
        sale_id: SaleId(id),
        title: format!("Round {id}"),
        status: "live".to_owned(),
        starts_at: START,
        ends_at: START.plus_milliseconds(3_600_000),
        items: (0..id % 3).map(item).collect(),
    }
}

fn cache(redis: Option<&harness::Redis>) -> ReadCache {
    let address = redis.map(|redis| RedisAddress::from(&redis.url().into()));
    ReadCache::new(address.as_ref(), Clock::start(START)).expect("an address")
}

/// A loader that must not be needed.
async fn no_sale() -> Result<Option<CachedSale>, &'static str> {
    Err("the loader was asked")
}

async fn no_day() -> Result<Vec<CachedSale>, &'static str> {
    Err("the loader was asked")
}

#[test]
fn days_are_those_of_utc() {
    assert_eq!(Day::of(Timestamp(0)).to_string(), "1970-01-01");
    assert_eq!(Day::of(Timestamp(1_709_251_199_999)).to_string(), "2024-02-29");
    assert_eq!(Day::of(Timestamp(u64::MAX)).to_string(), "9999-12-30");
}

#[tokio::test]
async fn a_crowd_makes_one_load() {
    let cache = cache(None);
    let loads = AtomicUsize::new(0);
    let gate = Notify::new();
    let readers = (0..500).map(|_| {
        cache.sale(SaleId(2), || async {
            loads.fetch_add(1, Ordering::Relaxed);
            gate.notified().await;
            Ok::<_, Infallible>(Some(sale(2)))
        })
    });
    let opener = async {
        tokio::task::yield_now().await;
        gate.notify_one();
    };
    let (read, ()) = tokio::join!(futures_util::future::join_all(readers), opener);
    assert!(read.iter().all(|read| read.as_deref_ok() == Some(&sale(2))));
    assert_eq!(loads.into_inner(), 1);
}

#[tokio::test]
async fn a_failed_load_fails_for_all_who_wait_and_for_no_one_else() {
    let cache = cache(None);
    let gate = Notify::new();
    let readers = (0..10).map(|_| {
        cache.day(Day::of(START), || async {
            gate.notified().await;
            Err("the database is down")
        })
    });
    let opener = async {
        tokio::task::yield_now().await;
        gate.notify_one();
    };
    let (read, ()) = tokio::join!(futures_util::future::join_all(readers), opener);
    let failure = Err(ReadError::Loader("the database is down".to_owned()));
    assert!(read.iter().all(|read| *read == failure), "{read:?}");
    let later = cache.day(Day::of(START), || async { Ok::<_, Infallible>(vec![sale(1)]) }).await;
    assert_eq!(later.as_deref(), Ok(&vec![sale(1)]));
}

#[tokio::test]
async fn a_reader_who_goes_away_leaves_the_load_to_the_next() {
    let cache = cache(None);
    let abandoned = cache.sale(SaleId(1), std::future::pending::<Result<_, Infallible>>);
    let next = async {
        tokio::task::yield_now().await;
        cache.sale(SaleId(1), || async { Ok::<_, Infallible>(Some(sale(1))) }).await
    };
    let abandoned = async {
        tokio::select! {
            biased;
            _ = abandoned => unreachable!("it never ends"),
            () = async { for _ in 0..3 { tokio::task::yield_now().await } } => {}
        }
    };
    let (read, ()) = tokio::join!(next, abandoned);
    assert_eq!(read.as_deref_ok(), Some(&sale(1)));
}

#[tokio::test]
async fn waiting_has_an_end() {
    const PATIENCE: Duration = Duration::from_millis(20);
    let cache = ReadCache::with_patience(None, Clock::start(START), PATIENCE).expect("no address");
    let stuck = cache.sale(SaleId(1), std::future::pending::<Result<_, Infallible>>);
    let waiting = async {
        tokio::task::yield_now().await;
        cache.sale(SaleId(1), no_sale).await
    };
    tokio::select! {
        biased;
        _ = stuck => unreachable!("it never ends"),
        read = waiting => assert_eq!(read, Err(ReadError::Overloaded)),
    }
    // As many loads as there may be, all stuck: one more waits, and is refused.
    let stuck = (0..LOADS_MAX as u64)
        .map(|id| cache.sale(SaleId(100 + id), std::future::pending::<Result<_, Infallible>>));
    tokio::select! {
        biased;
        _ = futures_util::future::join_all(stuck) => unreachable!("they never end"),
        read = cache.sale(SaleId(99), no_sale) => assert_eq!(read, Err(ReadError::Overloaded)),
    }
    assert!(
        cache.sale(SaleId(98), no_sale).await != Err(ReadError::Overloaded),
        "permits are back"
    );
}

#[tokio::test]
async fn unknown_ids_are_remembered_in_a_bounded_number() {
    let cache = cache(None);
    let loads = AtomicUsize::new(0);
    let unknown = || async {
        loads.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Infallible>(None)
    };
    for _ in 0..10 {
        assert_eq!(cache.sale(SaleId(404), unknown).await, Ok(None));
    }
    assert_eq!(loads.load(Ordering::Relaxed), 1);
    for id in 0..3 * UNKNOWN_MAX as u64 {
        assert_eq!(cache.sale(SaleId(1_000 + id), unknown).await, Ok(None));
    }
    assert!(cache.0.unknown.len() <= UNKNOWN_MAX);
    // A sale that is made is found at once.
    cache.0.unknown.insert(SaleId(5), cache.0.clock.now());
    cache.put_sale(&sale(5)).await;
    let read = cache.sale(SaleId(5), || async { Ok::<_, Infallible>(Some(sale(5))) }).await;
    assert_eq!(read.as_deref_ok(), Some(&sale(5)));
    // And after a while they are asked for again.
    let ids = UnknownIds::default();
    ids.insert(SaleId(1), START);
    assert!(ids.contains(SaleId(1), START.plus_milliseconds(4_999)));
    assert!(!ids.contains(SaleId(1), START.plus_milliseconds(5_000)));
}

#[tokio::test]
async fn redis_holds_the_courses_keys() {
    let Some(redis) = harness::redis() else { return };
    let cache = cache(Some(&redis));
    let day = Day::of(START);
    let sales: Vec<CachedSale> = (6..9).map(sale).collect();
    cache.put_day(day, &sales).await;
    let cli = |arguments: &[&str]| redis.cli(arguments).expect("an answer");
    assert_eq!(cli(&["lrange", &format!("seckill::{day}::rounds"), "0", "-1"]), "6\n7\n8");
    assert_eq!(cli(&["hget", "seckill::round::8::info", "starts_at"]), START.0.to_string());
    let products =
        cli(&["eval", "return #redis.call('LRANGE', 'seckill::round::8::products', 0, -1)", "0"]);
    assert_eq!(products, "2");
    assert_eq!(cli(&["hmget", "seckill::8::杯子-1::info", "price", "amount"]), "990\n100");
    let life = |key: &str| cli(&["ttl", key]).parse::<i64>().expect("a number");
    assert!((400..=720).contains(&life(&format!("seckill::{day}::sales"))));
    assert!(life("seckill::round::8::info") > 80_000);

    for sale in &sales {
        let read = cache.sale(sale.sale_id, no_sale).await.expect("from redis");
        assert_eq!(read.as_deref(), Some(sale));
    }
    assert_eq!(cache.day(day, no_day).await.as_deref(), Ok(&sales));

    // A part that is missing, or is none, makes the whole a miss, and the load fills it again.
    let reload = || async { Ok::<_, Infallible>(Some(sale(8))) };
    for breakage in [
        ["del", "seckill::8::杯子-0::info", ""],
        ["del", "seckill::round::8::products", ""],
        ["hdel", "seckill::round::8::info", "title"],
    ] {
        let arguments: Vec<&str> = breakage.into_iter().filter(|text| !text.is_empty()).collect();
        cli(&arguments);
        assert!(cache.sale(SaleId(8), no_sale).await.is_err(), "{breakage:?}");
        assert_eq!(cache.sale(SaleId(8), reload).await.as_deref_ok(), Some(&sale(8)));
        assert!(cache.sale(SaleId(8), no_sale).await.is_ok());
    }
    cli(&["set", &format!("seckill::{day}::sales"), "[{]"]);
    assert!(cache.day(day, no_day).await.is_err());

    cache.forget_sale(SaleId(8), &[day]).await;
    assert!(cache.sale(SaleId(8), no_sale).await.is_err());
    assert!(cache.day(day, no_day).await.is_err());
}

#[tokio::test]
async fn reads_do_without_a_redis_that_fails() {
    let Some(redis) = harness::redis() else { return };
    let cache = cache(Some(&redis));
    cache.put_sale(&sale(1)).await;
    for fault in [harness::Server::freeze, harness::Server::kill] {
        fault(&redis);
        for _ in 0..100 {
            let read = cache.sale(SaleId(1), || async { Ok::<_, Infallible>(Some(sale(1))) }).await;
            assert_eq!(read.as_deref_ok(), Some(&sale(1)));
        }
        redis.thaw();
    }
}

/// The sale that was read, if one was.
trait Read {
    fn as_deref_ok(&self) -> Option<&CachedSale>;
}

impl Read for Result<Option<Arc<CachedSale>>, ReadError> {
    fn as_deref_ok(&self) -> Option<&CachedSale> {
        self.as_ref().ok()?.as_deref()
    }
}
