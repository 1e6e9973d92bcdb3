//! The read cache without Redis, with one, and with one that fails.

use super::*;
use crate::store::database::StoreError;
use domain::catalogue::PublicItem;
use domain::{Admission, Currency, ItemId, SaleStatus, Timestamp};
use std::sync::atomic::AtomicUsize;
use tokio::sync::Notify;

const START: Timestamp = Timestamp(1_790_000_000_000);

fn sale(id: u64) -> PublicSale {
    let item = |number: u64| PublicItem {
        item_id: ItemId(id * 100 + number),
        product_id: format!("杯子-{number}"),
        title: format!("Cup {number}"),
        price: 990,
        list_price: (number == 1).then_some(1_990),
        currency: Currency::parse("CNY").expect("a code"),
        allotted: 100,
        limit_per_user: 1,
        payment_window_milliseconds: 600_000,
        description: Some("two\n\nparagraphs".to_owned()),
        picture: Some(domain::catalogue::PictureId([7; 32])),
        admission: Admission::OPEN,
    };
    PublicSale {
        sale_id: SaleId(id),
        title: format!("Round {id}"),
        status: SaleStatus::Preheated,
        starts_at: START,
        ends_at: START.plus_milliseconds(3_600_000),
        items: (0..id % 3).map(item).collect(),
    }
}

/// The sale after a change.
fn ended(id: u64) -> PublicSale {
    PublicSale { status: SaleStatus::Ended, ..sale(id) }
}

fn day_of(sales: &[PublicSale]) -> SaleList {
    SaleList { sales: sales.to_vec(), has_more: false }
}

fn cache(redis: Option<&harness::Redis>) -> ReadCache {
    let address = redis.map(|redis| RedisAddress::from(&redis.url().into()));
    ReadCache::new(address.as_ref(), Clock::start(START)).expect("an address")
}

/// A day that Redis may hold.
fn today(cache: &ReadCache) -> Day {
    Day::of(cache.0.clock.now())
}

fn failure() -> CatalogueError {
    StoreError::TimedOut.into()
}

/// A loader that fails: what it is given to must be answered from elsewhere.
async fn no_sale() -> Result<Option<PublicSale>, CatalogueError> {
    Err(failure())
}

/// A loader that fails: what it is given to must be answered from elsewhere.
async fn no_day() -> Result<SaleList, CatalogueError> {
    Err(failure())
}

/// What a reader sees where the catalogue has `sale`.
async fn read(cache: &ReadCache, sale: &PublicSale) -> PublicSale {
    let read = cache.sale(sale.sale_id, async || Ok(Some(sale.clone()))).await;
    read.expect("an answer").expect("a sale").as_ref().clone()
}

/// What a reader sees where the catalogue has `sales` that day.
async fn read_day(cache: &ReadCache, day: Day, sales: &[PublicSale]) -> SaleList {
    let read = cache.day(day, async || Ok(day_of(sales))).await;
    read.expect("an answer").as_ref().clone()
}

impl ReadCache {
    /// As if the moment were over for which what was found is remembered.
    fn forget(&self) {
        self.0.found_pages.forget();
        self.0.found_days.forget();
        self.0.found_sales.forget();
    }
}

/// Lets the other futures of a test get as far as they can without anything from outside.
async fn pass() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
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
            Ok(Some(sale(2)))
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
            Err(failure())
        })
    });
    let opener = async {
        tokio::task::yield_now().await;
        gate.notify_one();
    };
    let (read, ()) = tokio::join!(futures_util::future::join_all(readers), opener);
    assert!(read.iter().all(|read| *read == Err(failure().into())), "{read:?}");
    assert_eq!(read_day(&cache, Day::of(START), &[sale(1)]).await, day_of(&[sale(1)]));
}

#[tokio::test]
async fn a_reader_that_disconnects_leaves_the_load_to_the_next() {
    let cache = cache(None);
    let abandoned = cache.sale(SaleId(1), std::future::pending);
    let next = async {
        tokio::task::yield_now().await;
        read(&cache, &sale(1)).await
    };
    let abandoned = async {
        tokio::select! {
            biased;
            _ = abandoned => unreachable!("it never ends"),
            () = pass() => {}
        }
    };
    let (read, ()) = tokio::join!(next, abandoned);
    assert_eq!(read, sale(1));
}

#[tokio::test]
async fn waiting_has_an_end() {
    const PATIENCE: Duration = Duration::from_millis(20);
    let cache = ReadCache::with_patience(None, Clock::start(START), PATIENCE).expect("no address");
    let stuck = cache.sale(SaleId(1), std::future::pending);
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
    let stuck = (0..LOADS_MAX as u64).map(|id| cache.sale(SaleId(100 + id), std::future::pending));
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
async fn what_is_not_there_is_remembered_in_a_bounded_number() {
    let cache = cache(None);
    let loads = AtomicUsize::new(0);
    let unknown = || async {
        loads.fetch_add(1, Ordering::Relaxed);
        Ok(None)
    };
    let empty = || async {
        loads.fetch_add(1, Ordering::Relaxed);
        Ok(SaleList::default())
    };
    for _ in 0..10 {
        assert_eq!(cache.sale(SaleId(404), unknown).await, Ok(None));
        assert_eq!(cache.day(Day::of(START), empty).await, Ok(Arc::default()));
    }
    assert_eq!(loads.load(Ordering::Relaxed), 2);
    for number in 0..3 * ABSENT_MAX as u64 {
        assert_eq!(cache.sale(SaleId(1_000 + number), unknown).await, Ok(None));
        let day = Day::of(Timestamp(number * 86_400_000));
        assert_eq!(cache.day(day, empty).await, Ok(Arc::default()));
    }
    assert!(cache.0.unknown_sales.len() <= ABSENT_MAX);
    assert!(cache.0.empty_days.len() <= ABSENT_MAX);
    // After a while they are asked for again.
    let ids = Remembered::new(ABSENT_LIFE, ABSENT_MAX);
    ids.insert(SaleId(1), (), START);
    assert!(ids.get(SaleId(1), START.plus_milliseconds(4_999)).is_some());
    assert!(ids.get(SaleId(1), START.plus_milliseconds(5_000)).is_none());
}

#[tokio::test]
async fn what_was_found_is_remembered_for_a_moment_in_a_bounded_number() {
    let cache = cache(None);
    let day = today(&cache);
    assert_eq!(read(&cache, &sale(1)).await, sale(1));
    assert_eq!(read_day(&cache, day, &[sale(1)]).await, day_of(&[sale(1)]));
    assert_eq!(cache.sale(SaleId(1), no_sale).await.as_deref_ok(), Some(&sale(1)));
    assert_eq!(cache.day(day, no_day).await.as_deref(), Ok(&day_of(&[sale(1)])));
    drop(cache.changing());
    assert_eq!(read(&cache, &ended(1)).await, ended(1), "a change is seen at once");
    cache.forget();
    assert!(
        cache.sale(SaleId(1), no_sale).await.is_err(),
        "and of another process after that moment"
    );
    for id in 0..3 * FOUND_MAX as u64 {
        read(&cache, &sale(id)).await;
    }
    assert!(cache.0.found_sales.len() <= FOUND_MAX);
}

#[tokio::test]
async fn a_page_is_loaded_once_for_a_crowd_and_anew_after_a_change() {
    let cache = cache(None);
    let loads = AtomicUsize::new(0);
    let read = async |page: Page, sales: &[PublicSale]| {
        let load = async || {
            loads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(day_of(sales))
        };
        cache.page(page, load).await.expect("an answer").sales.clone()
    };
    let first = (None, 20);
    let sales = [sale(2)];
    let crowd = futures_util::future::join_all((0..50).map(|_| read(first, &sales))).await;
    assert!(crowd.iter().all(|sales| *sales == [sale(2)]));
    assert_eq!(read(first, &[]).await, [sale(2)]);
    assert_eq!(loads.load(Ordering::Relaxed), 1);
    // Where it begins, and how many it holds, make it another page.
    assert_eq!(read((Some(SaleId(2)), 20), &[sale(1)]).await, [sale(1)]);
    assert_eq!(read((None, 1), &[sale(2)]).await, [sale(2)]);
    drop(cache.changing());
    assert_eq!(read(first, &[ended(2)]).await, [ended(2)]);
    assert_eq!(loads.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_sale_that_was_not_there_is_seen_once_it_is() {
    for redis in [None, harness::redis()] {
        let cache = cache(redis.as_ref());
        let day = today(&cache);
        assert_eq!(cache.sale(SaleId(5), async || Ok(None)).await, Ok(None));
        assert_eq!(read_day(&cache, day, &[]).await, day_of(&[]));
        // Also where the load that did not find it ends after the change.
        let (found, made) = (Notify::new(), Notify::new());
        let overlapping = cache.sale(SaleId(6), || async {
            found.notify_one();
            made.notified().await;
            Ok(None)
        });
        let change = async {
            found.notified().await;
            drop(cache.changing());
            made.notify_one();
        };
        assert_eq!(tokio::join!(overlapping, change).0, Ok(None));
        assert_eq!(read(&cache, &sale(5)).await, sale(5));
        assert_eq!(read(&cache, &sale(6)).await, sale(6));
        assert_eq!(read_day(&cache, day, &[sale(5)]).await, day_of(&[sale(5)]));
    }
}

#[tokio::test]
async fn a_load_that_overlaps_a_change_brings_nothing_back() {
    for redis in [None, harness::redis()] {
        let cache = cache(redis.as_ref());
        let day = today(&cache);
        let (loaded, changed) = (Semaphore::new(0), Semaphore::new(0));
        let stale = async || {
            loaded.add_permits(1);
            changed.acquire().await.expect("never closed").forget();
        };
        let sale_read = cache.sale(SaleId(8), || async {
            stale().await;
            Ok(Some(sale(8)))
        });
        let day_read = cache.day(day, || async {
            stale().await;
            Ok(day_of(&[sale(8)]))
        });
        let change = async {
            let _both = loaded.acquire_many(2).await.expect("never closed");
            drop(cache.changing());
            // A reader that asks now does not get what was loaded before, nor waits for it.
            assert_eq!(read(&cache, &ended(8)).await, ended(8));
            assert_eq!(read_day(&cache, day, &[ended(8)]).await, day_of(&[ended(8)]));
            changed.add_permits(2);
        };
        let (before, day_before, ()) = tokio::join!(sale_read, day_read, change);
        assert_eq!(before.as_deref_ok(), Some(&sale(8)), "they asked before the change");
        assert_eq!(day_before.as_deref(), Ok(&day_of(&[sale(8)])));
        // By now the stale loads are the last that wrote.
        assert_eq!(read(&cache, &ended(8)).await, ended(8));
        assert_eq!(read_day(&cache, day, &[ended(8)]).await, day_of(&[ended(8)]));
    }
}

#[tokio::test]
async fn redis_holds_keys_that_other_programs_can_read() {
    let Some(redis) = harness::redis() else { return };
    let cache = cache(Some(&redis));
    let day = today(&cache);
    let sales: Vec<PublicSale> = (6..9).map(sale).collect();
    for sale in &sales {
        assert_eq!(read(&cache, sale).await, *sale);
    }
    assert_eq!(read_day(&cache, day, &sales).await, day_of(&sales));
    let cli = |arguments: &[&str]| redis.cli(arguments).expect("an answer");
    assert_eq!(cli(&["lrange", &format!("seckill::{day}::rounds"), "0", "-1"]), "6\n7\n8");
    assert_eq!(cli(&["hget", "seckill::round::8::info", "starts_at"]), START.0.to_string());
    let products =
        cli(&["eval", "return #redis.call('LRANGE', 'seckill::round::8::products', 0, -1)", "0"]);
    assert_eq!(products, "2");
    assert_eq!(cli(&["hmget", "seckill::8::杯子-1::info", "price", "amount"]), "990\n100");
    for key in cli(&["keys", "*"]).lines() {
        let life: i64 = cli(&["ttl", key]).parse().expect("a number");
        assert!((0..=*layout::LIFE_SECONDS.end()).contains(&life), "{key} lives for {life} s");
    }

    cache.forget();
    for sale in &sales {
        let read = cache.sale(sale.sale_id, no_sale).await.expect("from redis");
        assert_eq!(read.as_deref(), Some(sale));
    }
    assert_eq!(cache.day(day, no_day).await.as_deref(), Ok(&day_of(&sales)));

    // A part that is missing or malformed makes the whole a miss, and the load fills it again.
    for breakage in [
        &["del", "seckill::8::杯子-0::info"][..],
        &["del", "seckill::round::8::products"],
        &["hdel", "seckill::round::8::info", "title"],
        &["hset", "seckill::round::8::info", "status", "sold"],
        &["hset", "seckill::8::杯子-0::info", "generation", "0"],
    ] {
        cli(breakage);
        cache.forget();
        assert!(cache.sale(SaleId(8), no_sale).await.is_err(), "{breakage:?}");
        assert_eq!(read(&cache, &sale(8)).await, sale(8));
        cache.forget();
        assert!(cache.sale(SaleId(8), no_sale).await.is_ok());
    }
    cli(&["set", &format!("seckill::{day}::sales"), "[{]"]);
    cache.forget();
    assert!(cache.day(day, no_day).await.is_err());
}

#[tokio::test]
async fn a_change_is_seen_also_where_redis_was_away_meanwhile() {
    let Some(redis) = harness::redis() else { return };
    let cache = cache(Some(&redis));
    let day = today(&cache);
    read(&cache, &sale(8)).await;
    read_day(&cache, day, &[sale(8)]).await;
    redis.freeze();
    drop(cache.changing());
    redis.thaw();
    assert_eq!(redis.cli(&["exists", "seckill::round::8::info"]).expect("an answer"), "1");
    assert_eq!(read(&cache, &ended(8)).await, ended(8));
    assert_eq!(read_day(&cache, day, &[ended(8)]).await, day_of(&[ended(8)]));
}

#[tokio::test]
async fn what_an_earlier_process_left_does_not_count() {
    let Some(redis) = harness::redis() else { return };
    let before = cache(Some(&redis));
    let day = today(&before);
    read(&before, &sale(8)).await;
    read_day(&before, day, &[sale(8)]).await;
    let after = cache(Some(&redis));
    assert_eq!(read(&after, &ended(8)).await, ended(8));
    assert_eq!(read_day(&after, day, &[ended(8)]).await, day_of(&[ended(8)]));
}

#[tokio::test]
async fn redis_holds_a_bounded_number_of_keys() {
    let Some(redis) = harness::redis() else { return };
    let cache = cache(Some(&redis));
    // A sale that goes on for centuries shows on each of their days.
    let centuries = [sale(1)];
    let now = cache.0.clock.now();
    for number in 0..300 {
        let far = Day::of(now.plus_milliseconds((number + 40) * 86_400_000));
        assert_eq!(read_day(&cache, far, &centuries).await, day_of(&centuries));
        assert_eq!(cache.sale(SaleId(1_000 + number), async || Ok(None)).await, Ok(None));
        let near = Day::of(now.plus_milliseconds(number % 31 * 86_400_000));
        assert_eq!(read_day(&cache, near, &[]).await, day_of(&[]));
    }
    assert_eq!(redis.cli(&["dbsize"]).expect("an answer"), "0");
}

#[tokio::test]
async fn reads_do_without_a_redis_that_fails() {
    let Some(redis) = harness::redis() else { return };
    let cache = cache(Some(&redis));
    read(&cache, &sale(1)).await;
    for fault in [harness::Server::freeze, harness::Server::kill] {
        fault(&redis);
        for _ in 0..100 {
            cache.forget();
            assert_eq!(read(&cache, &sale(1)).await, sale(1));
        }
        redis.thaw();
    }
}

/// The sale that was read, if one was.
trait Read {
    fn as_deref_ok(&self) -> Option<&PublicSale>;
}

impl Read for Result<Option<Arc<PublicSale>>, ReadError> {
    fn as_deref_ok(&self) -> Option<&PublicSale> {
        self.as_ref().ok()?.as_deref()
    }
}

#[tokio::test]
async fn processes_that_share_a_catalogue_share_its_generation() {
    let Some(redis) = harness::redis() else { return };
    let nodes = [cache(Some(&redis)), cache(Some(&redis))];
    let mark = async |node: &ReadCache, mark| {
        node.catch_up(async { Ok::<_, CatalogueError>(LatestChange(mark)) })
            .await
            .expect("it answers");
    };
    for node in &nodes {
        mark(node, 7).await;
    }
    let loaded = nodes[0].sale(SaleId(1), || async { Ok(Some(sale(1))) }).await.expect("a sale");
    assert_eq!(loaded.as_deref(), Some(&sale(1)));
    let shared = nodes[1].sale(SaleId(1), || async { Err(failure()) }).await.expect("in Redis");
    assert_eq!(shared.as_deref(), Some(&sale(1)));

    // One of them changes it: it knows at once, and the other once it looks.
    let changing = nodes[0].changing();
    let asked = nodes[0].catch_up(async {
        drop(changing);
        Ok::<_, CatalogueError>(LatestChange(7))
    });
    asked.await.expect("it answers");
    assert_ne!(nodes[0].generation(), 7, "an answer from before the change");
    let changed = nodes[0].sale(SaleId(1), || async { Ok(Some(ended(1))) }).await.expect("a sale");
    assert_eq!(changed.as_deref(), Some(&ended(1)));
    let before = nodes[1].sale(SaleId(1), || async { Err(failure()) }).await.expect("remembered");
    assert_eq!(before.as_deref(), Some(&sale(1)));
    for node in &nodes {
        mark(node, 8).await;
    }
    let seen = nodes[1].sale(SaleId(1), || async { Ok(Some(ended(1))) }).await.expect("a sale");
    assert_eq!(seen.as_deref(), Some(&ended(1)));
}
