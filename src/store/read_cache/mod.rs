//! The read cache: public sales, kept in Redis so that a rush of readers never reaches the catalogue.
//!
//! A read asks what is remembered, then Redis, then its loader, then fills both. The cache guarantees:
//! - *No stale sale*. Every entry carries the *generation* in which its load began, and is valid in
//!   that one only. A change of any sale begins the next: at once in the process that makes it, and in
//!   others once they have looked at the catalogue's own mark of it, every second or so. So no entry
//!   has to be deleted: a load that overlaps a change, a write that reaches Redis late and a Redis that
//!   was unreachable meanwhile all carry another generation; and processes with the same one share
//!   what is in Redis.
//! - *No stampede*. One caller per key and generation loads, the others wait for its result.
//!   Entries live for a random time, so that those filled together do not expire together.
//! - *No question twice*. What was found is remembered here for a moment, in a bounded number, so that
//!   a rush of readers asks neither Redis nor the catalogue for each look.
//! - *No penetration*. An unknown id and a day without sales are remembered here, briefly and in a
//!   bounded number, and the number of loads at a time is bounded whatever is asked for. Redis
//!   holds sales that exist, and days near today: a bounded number of keys.
//! - *A failing Redis* is not asked for a while, so that reads do not wait for it.
//!
//! Beside sales it counts visitors there. Owns keys and bytes in Redis and the waiting. Must not know HTTP or databases: the caller brings
//! the loader.

mod document;
mod error;
mod flight;
mod generation;
mod layout;
mod remembered;
mod visitors;

pub use error::ReadError;
pub use generation::Changing;

use crate::clock::Clock;
use crate::store::catalogue::{CatalogueError, LatestChange};
use crate::store::redis_connection::{
    RedisAddress, RedisAddressError, RedisConnection, RedisFailure,
};
use crate::telemetry::metrics::SALE_LOOKUPS_TOTAL;
use domain::SaleId;
use domain::catalogue::{Day, PublicSale, SaleList};
use flight::Flights;
use generation::{Generation, Generations};
use metrics::counter;
use remembered::Remembered;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a read waits for Redis before it goes to the loader.
const REDIS_WAIT_MAX: Duration = Duration::from_millis(300);
/// How long Redis is not asked after it failed.
const REDIS_PAUSE_MILLISECONDS: u64 = 2_000;
/// How long a read waits for another caller's load, or for its turn to load.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(3);
/// The most loads that run at a time, whatever is asked for.
const LOADS_MAX: usize = 16;
/// How long an unknown id and a day without sales are remembered, in milliseconds.
const ABSENT_LIFE: u64 = 5_000;
/// The most of each that are remembered at a time, which take some 500 kB.
const ABSENT_MAX: usize = 10_000;
/// How long what was found is remembered, in milliseconds.
const FOUND_LIFE: u64 = 1_000;
/// The most pages, days and sales that are remembered at a time.
const FOUND_MAX: usize = 64;
/// How many days before and after today Redis may hold; others are loaded each time.
const DAYS_AROUND_MAX: u64 = 31;

/// A page of sales: which one it begins after, and how many it holds.
pub type Page = (Option<SaleId>, usize);

/// A handle to the read cache. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct ReadCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    redis: Option<RedisConnection>,
    /// Until when Redis is not asked, in milliseconds since 1970.
    redis_paused_until: AtomicU64,
    clock: Clock,
    generations: Generations,
    pages: Flights<(Generation, Page), Arc<SaleList>>,
    days: Flights<(Generation, Day), Arc<SaleList>>,
    sales: Flights<(Generation, SaleId), Option<Arc<PublicSale>>>,
    found_pages: Remembered<(Generation, Page), Arc<SaleList>>,
    found_days: Remembered<(Generation, Day), Arc<SaleList>>,
    found_sales: Remembered<(Generation, SaleId), Arc<PublicSale>>,
    empty_days: Remembered<(Generation, Day), ()>,
    unknown_sales: Remembered<(Generation, SaleId), ()>,
    loads: Semaphore,
    load_wait_max: Duration,
}

impl ReadCache {
    /// Creates a cache in Redis, or one without Redis, whose reads go to their loaders and are bounded
    /// all the same. With Redis it must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Returns [`RedisAddressError`] if the address cannot be used.
    pub fn new(redis: Option<&RedisAddress>, clock: Clock) -> Result<Self, RedisAddressError> {
        Self::with_patience(redis, clock, LOAD_WAIT_MAX)
    }

    fn with_patience(
        redis: Option<&RedisAddress>,
        clock: Clock,
        load_wait_max: Duration,
    ) -> Result<Self, RedisAddressError> {
        for answer in ["remembered", "redis", "catalogue", "absent"] {
            counter!(SALE_LOOKUPS_TOTAL, "answer" => answer).increment(0);
        }
        let redis =
            redis.map(|address| RedisConnection::prepare(address, REDIS_WAIT_MAX)).transpose()?;
        Ok(Self(Arc::new(Inner {
            redis,
            redis_paused_until: AtomicU64::new(0),
            clock,
            generations: Generations::begin(),
            pages: Flights::default(),
            days: Flights::default(),
            sales: Flights::default(),
            found_pages: Remembered::new(FOUND_LIFE, FOUND_MAX),
            found_days: Remembered::new(FOUND_LIFE, FOUND_MAX),
            found_sales: Remembered::new(FOUND_LIFE, FOUND_MAX),
            empty_days: Remembered::new(ABSENT_LIFE, ABSENT_MAX),
            unknown_sales: Remembered::new(ABSENT_LIFE, ABSENT_MAX),
            loads: Semaphore::new(LOADS_MAX),
            load_wait_max,
        })))
    }

    /// Begins a change of a sale; the guard is to be held until the change is done. A change whose
    /// outcome was never learnt, and which takes effect after the guard is dropped, is seen by its mark at the
    /// next [`ReadCache::catch_up`].
    pub fn changing(&self) -> Changing<'_> {
        self.0.generations.changing()
    }

    /// Goes on with the catalogue's own generation, for which `ask` asks it: the mark of the latest change that any
    /// process has made.
    ///
    /// # Errors
    /// Returns what `ask` does; what is remembered stays valid then.
    pub async fn catch_up<Error>(
        &self,
        ask: impl Future<Output = Result<LatestChange, Error>>,
    ) -> Result<(), Error> {
        let before = self.0.generations.current();
        let LatestChange(mark) = ask.await?;
        self.0.generations.go_on(before, Generation(mark));
        Ok(())
    }

    /// The number of the present generation, for what is made of sales elsewhere.
    pub fn generation(&self) -> u64 {
        self.0.generations.current().0
    }

    /// Returns a page of sales, from `load` if it is not remembered. Redis holds none: there are as many pages
    /// as there are questions, and most readers ask for the first.
    ///
    /// # Errors
    /// Returns [`ReadError`] if `load` failed or could not run in time.
    pub async fn page<Loading>(
        &self,
        page: Page,
        load: impl FnOnce() -> Loading,
    ) -> Result<Arc<SaleList>, ReadError>
    where
        Loading: Future<Output = Result<SaleList, CatalogueError>>,
    {
        let cache = &self.0;
        let (generation, now) = (cache.generations.current(), cache.clock.now());
        if let Some(sales) = cache.found_pages.get((generation, page), now) {
            count("remembered");
            return Ok(sales);
        }
        let fetch = async {
            let sales = Arc::new(cache.load(load).await?);
            cache.found_pages.insert((generation, page), Arc::clone(&sales), cache.clock.now());
            Ok(sales)
        };
        cache.pages.join((generation, page), cache.load_wait_max, fetch).await
    }

    /// Returns the sales of a day, from the whole-day document or from `load`.
    ///
    /// # Errors
    /// Returns [`ReadError`] if `load` failed or could not run in time.
    pub async fn day<Loading>(
        &self,
        day: Day,
        load: impl FnOnce() -> Loading,
    ) -> Result<Arc<SaleList>, ReadError>
    where
        Loading: Future<Output = Result<SaleList, CatalogueError>>,
    {
        let cache = &self.0;
        let (generation, now) = (cache.generations.current(), cache.clock.now());
        if let Some(sales) = cache.found_days.get((generation, day), now) {
            count("remembered");
            return Ok(sales);
        }
        if cache.empty_days.get((generation, day), now).is_some() {
            count("absent");
            return Ok(Arc::default());
        }
        let is_near = day.distance(Day::of(now)) <= DAYS_AROUND_MAX;
        let fetch = async {
            if is_near
                && let Some(sales) =
                    cache.ask(|redis| layout::get_day(redis, day, generation)).await
            {
                count("redis");
                let sales = Arc::new(sales);
                cache.found_days.insert((generation, day), Arc::clone(&sales), cache.clock.now());
                return Ok(sales);
            }
            let sales = Arc::new(cache.load(load).await?);
            if sales.sales.is_empty() {
                cache.empty_days.insert((generation, day), (), cache.clock.now());
                return Ok(sales);
            }
            cache.found_days.insert((generation, day), Arc::clone(&sales), cache.clock.now());
            if is_near {
                cache.tell(|redis| layout::put_day(redis, day, &sales, generation)).await;
            }
            Ok(sales)
        };
        cache.days.join((generation, day), cache.load_wait_max, fetch).await
    }

    /// Returns a sale, from Redis or from `load`; none if neither knows it.
    ///
    /// # Errors
    /// Returns [`ReadError`] if `load` failed or could not run in time.
    pub async fn sale<Loading>(
        &self,
        sale_id: SaleId,
        load: impl FnOnce() -> Loading,
    ) -> Result<Option<Arc<PublicSale>>, ReadError>
    where
        Loading: Future<Output = Result<Option<PublicSale>, CatalogueError>>,
    {
        let cache = &self.0;
        let (generation, now) = (cache.generations.current(), cache.clock.now());
        if let Some(sale) = cache.found_sales.get((generation, sale_id), now) {
            count("remembered");
            return Ok(Some(sale));
        }
        if cache.unknown_sales.get((generation, sale_id), now).is_some() {
            count("absent");
            return Ok(None);
        }
        let fetch = async {
            if let Some(sale) =
                cache.ask(|redis| layout::get_sale(redis, sale_id, generation)).await
            {
                count("redis");
                let sale = Arc::new(sale);
                cache.found_sales.insert(
                    (generation, sale_id),
                    Arc::clone(&sale),
                    cache.clock.now(),
                );
                return Ok(Some(sale));
            }
            let Some(sale) = cache.load(load).await?.map(Arc::new) else {
                cache.unknown_sales.insert((generation, sale_id), (), cache.clock.now());
                return Ok(None);
            };
            cache.found_sales.insert((generation, sale_id), Arc::clone(&sale), cache.clock.now());
            cache.tell(|redis| layout::put_sale(redis, &sale, generation)).await;
            Ok(Some(sale))
        };
        cache.sales.join((generation, sale_id), cache.load_wait_max, fetch).await
    }
}

impl ReadCache {
    /// Whether there is a Redis in which visitors are counted.
    pub fn counts_in_redis(&self) -> bool {
        self.0.redis.is_some()
    }

    /// Tells Redis of visitors of a subject, and returns how many it knows, about; none if there is no
    /// Redis, or it does not answer.
    pub async fn count_visitors(&self, subject: &str, visitors: &[u64]) -> Option<u64> {
        self.0
            .ask(|redis| async move { visitors::add(redis, subject, visitors).await.map(Some) })
            .await
    }
}

impl Inner {
    /// Asks Redis. Returns nothing if there is none, or it does not answer.
    async fn ask<'a, Value, Asking>(
        &'a self,
        ask: impl FnOnce(&'a RedisConnection) -> Asking,
    ) -> Option<Value>
    where
        Asking: Future<Output = Result<Option<Value>, RedisFailure>>,
    {
        let redis = self.redis.as_ref()?;
        let now = self.clock.now();
        if now.0 < self.redis_paused_until.load(Ordering::Relaxed) {
            return None;
        }
        let failure = match tokio::time::timeout(REDIS_WAIT_MAX, ask(redis)).await {
            Ok(Ok(value)) => return value,
            Ok(Err(failure)) => failure,
            Err(_) => RedisFailure::Unavailable("no answer in time".to_owned()),
        };
        tracing::warn!(?failure, "reads go past the read cache: redis failed");
        let until = now.plus_milliseconds(REDIS_PAUSE_MILLISECONDS);
        self.redis_paused_until.store(until.0, Ordering::Relaxed);
        None
    }

    /// Writes to Redis, if there is one and it answers.
    async fn tell<'a, Telling>(&'a self, tell: impl FnOnce(&'a RedisConnection) -> Telling)
    where
        Telling: Future<Output = Result<(), RedisFailure>>,
    {
        self.ask(|redis| {
            let telling = tell(redis);
            async { telling.await.map(Some) }
        })
        .await
        .unwrap_or_default();
    }

    /// Calls the loader, once it is its turn.
    async fn load<Loading, Value>(&self, load: impl FnOnce() -> Loading) -> Result<Value, ReadError>
    where
        Loading: Future<Output = Result<Value, CatalogueError>>,
    {
        let turn = tokio::time::timeout(self.load_wait_max, self.loads.acquire());
        let Ok(Ok(_turn)) = turn.await else { return Err(ReadError::Overloaded) };
        count("catalogue");
        Ok(load().await?)
    }
}

/// Counts a look-up by where its answer came from.
fn count(answer: &'static str) {
    counter!(SALE_LOOKUPS_TOTAL, "answer" => answer).increment(1);
}

#[cfg(test)]
mod tests;
