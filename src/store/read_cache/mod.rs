//! The read side: sales as shops' clients ask for them, kept in Redis so that a rush of readers never
//! reaches the order store.
//!
//! A read looks into Redis, then asks its loader, then fills Redis. Three protections stand before
//! the loader:
//! - *Stampede*: one caller per key loads, the others wait for its result; the whole-day document
//!   lives for a random time, so that not all keys end at once.
//! - *Penetration*: an id that nobody knows is remembered briefly, in a bounded number of entries,
//!   and only so many loads run at a time whatever is asked for.
//! - *A sick Redis*: after a failure it is left alone for a while, so that reads do not wait for it.
//!
//! Owns keys and bytes in Redis and the waiting. Must not know HTTP or the order store: whoever reads
//! brings the loader. Counters are not kept here; they change with each purchase.

mod flight;
mod layout;
mod unknown;

use crate::clock::Clock;
use crate::domain::{Currency, ItemId, SaleId, Timestamp};
use crate::store::redis_connection::{RedisAddress, RedisConnection, RedisFailure};
use flight::Flights;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use unknown::UnknownIds;

/// How long a read waits for Redis before it goes to the loader.
const REDIS_WAIT_MAX: Duration = Duration::from_millis(300);
/// How long Redis is left alone after it failed.
const REDIS_PAUSE_MILLISECONDS: u64 = 2_000;
/// How long a read waits for another's load, or for its turn to load.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(3);
/// Loads that run at a time, whatever is asked for.
const LOADS_MAX: usize = 16;

/// A sale as readers see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CachedSale {
    /// The sale.
    #[serde(with = "layout::text")]
    pub sale_id: SaleId,
    /// Its title.
    pub title: String,
    /// Its status, by name.
    pub status: String,
    /// First instant at which it sells.
    #[serde(with = "layout::milliseconds")]
    pub starts_at: Timestamp,
    /// First instant at which it sells no more.
    #[serde(with = "layout::milliseconds")]
    pub ends_at: Timestamp,
    /// Its items, in their order of display.
    pub items: Vec<CachedItem>,
}

/// An item of a sale, without its counters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CachedItem {
    /// The item.
    #[serde(with = "layout::text")]
    pub item_id: ItemId,
    /// The product, of which a sale has one item.
    pub product_id: String,
    /// Its title.
    pub title: String,
    /// Price of one unit in minor units of `currency`.
    pub price: u64,
    /// What it costs outside the sale.
    pub list_price: Option<u64>,
    /// ISO 4217 code.
    #[serde(with = "layout::currency")]
    pub currency: Currency,
    /// Units on sale.
    pub allotted: u32,
    /// Units one buyer may hold.
    pub limit_per_user: u16,
    /// How long an order may stay unpaid, in seconds.
    pub payment_window_seconds: u64,
}

/// A calendar day in UTC, `YYYY-MM-DD`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Day(jiff::civil::Date);

impl Day {
    /// The day of this instant.
    pub fn of(instant: Timestamp) -> Self {
        let milliseconds = i64::try_from(instant.0.min(Timestamp::MAX.0)).unwrap_or_default();
        let instant =
            jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX);
        Self(jiff::tz::TimeZone::UTC.to_datetime(instant).date())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// Why a read has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// The loader failed, in its words.
    #[error("{0}")]
    Loader(String),
    /// Others were loading for too long.
    #[error("too many reads wait for the same data")]
    Overloaded,
}

/// The cache. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct ReadCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    redis: Option<RedisConnection>,
    /// Until when Redis is left alone.
    redis_paused_until: AtomicU64,
    clock: Clock,
    days: Flights<Day, Arc<Vec<CachedSale>>>,
    sales: Flights<SaleId, Option<Arc<CachedSale>>>,
    unknown: UnknownIds,
    loads: Semaphore,
    load_wait_max: Duration,
}

impl ReadCache {
    /// A cache in Redis, or without one, where reads go to their loaders, protected all the same.
    /// With Redis it must be called within a Tokio runtime.
    ///
    /// # Errors
    /// In words, where the address is none.
    pub fn new(redis: Option<&RedisAddress>, clock: Clock) -> Result<Self, String> {
        Self::with_patience(redis, clock, LOAD_WAIT_MAX)
    }

    fn with_patience(
        redis: Option<&RedisAddress>,
        clock: Clock,
        load_wait_max: Duration,
    ) -> Result<Self, String> {
        let redis =
            redis.map(|address| RedisConnection::prepare(address, REDIS_WAIT_MAX)).transpose()?;
        Ok(Self(Arc::new(Inner {
            redis,
            redis_paused_until: AtomicU64::new(0),
            clock,
            days: Flights::default(),
            sales: Flights::default(),
            unknown: UnknownIds::default(),
            loads: Semaphore::new(LOADS_MAX),
            load_wait_max,
        })))
    }

    /// The sales of a day, in their order of display: from the whole-day document, or from `load`.
    ///
    /// # Errors
    /// Where `load` failed, or did not end in time.
    pub async fn day<Load, Loading, Failure>(
        &self,
        day: Day,
        load: Load,
    ) -> Result<Arc<Vec<CachedSale>>, ReadError>
    where
        Load: FnOnce() -> Loading,
        Loading: Future<Output = Result<Vec<CachedSale>, Failure>>,
        Failure: fmt::Display,
    {
        let cache = &self.0;
        let fetch = async {
            if let Some(sales) = cache.ask(|redis| layout::get_day(redis, day)).await {
                return Ok(Arc::new(sales));
            }
            let sales = Arc::new(cache.load(load).await?);
            cache.tell(|redis| layout::put_day(redis, day, &sales)).await;
            Ok(sales)
        };
        cache.days.join(day, cache.load_wait_max, fetch).await
    }

    /// A sale, from Redis or from `load`; none where neither knows it.
    ///
    /// # Errors
    /// Where `load` failed, or did not end in time.
    pub async fn sale<Load, Loading, Failure>(
        &self,
        sale_id: SaleId,
        load: Load,
    ) -> Result<Option<Arc<CachedSale>>, ReadError>
    where
        Load: FnOnce() -> Loading,
        Loading: Future<Output = Result<Option<CachedSale>, Failure>>,
        Failure: fmt::Display,
    {
        let cache = &self.0;
        if cache.unknown.contains(sale_id, cache.clock.now()) {
            return Ok(None);
        }
        let fetch = async {
            if let Some(sale) = cache.ask(|redis| layout::get_sale(redis, sale_id)).await {
                return Ok(Some(Arc::new(sale)));
            }
            let Some(sale) = cache.load(load).await?.map(Arc::new) else {
                cache.unknown.insert(sale_id, cache.clock.now());
                return Ok(None);
            };
            cache.tell(|redis| layout::put_sale(redis, &sale)).await;
            Ok(Some(sale))
        };
        cache.sales.join(sale_id, cache.load_wait_max, fetch).await
    }

    /// Fills a day in advance: its list, each of its sales and the whole-day document. What Redis
    /// does not take is filled by the first read.
    pub async fn put_day(&self, day: Day, sales: &[CachedSale]) {
        for sale in sales {
            self.put_sale(sale).await;
        }
        self.0.tell(|redis| layout::put_day(redis, day, sales)).await;
    }

    /// Fills a sale in advance, or replaces it after a change.
    pub async fn put_sale(&self, sale: &CachedSale) {
        self.0.unknown.remove(sale.sale_id);
        self.0.tell(|redis| layout::put_sale(redis, sale)).await;
    }

    /// Forgets a sale and the documents of the days that show it, after a change. A load that is
    /// under way may still put back what it read before, until the document's end at the latest.
    pub async fn forget_sale(&self, sale_id: SaleId, days: &[Day]) {
        self.0.unknown.remove(sale_id);
        self.0.tell(|redis| layout::forget_sale(redis, sale_id, days)).await;
    }
}

impl Inner {
    /// What Redis knows; nothing where there is none, or it does not answer.
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
        tracing::warn!(?failure, "read cache does without redis");
        let until = now.plus_milliseconds(REDIS_PAUSE_MILLISECONDS);
        self.redis_paused_until.store(until.0, Ordering::Relaxed);
        None
    }

    /// Lets Redis know, if it listens.
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

    async fn load<Load, Loading, Value, Failure>(&self, load: Load) -> Result<Value, ReadError>
    where
        Load: FnOnce() -> Loading,
        Loading: Future<Output = Result<Value, Failure>>,
        Failure: fmt::Display,
    {
        let turn = tokio::time::timeout(self.load_wait_max, self.loads.acquire());
        let Ok(Ok(_turn)) = turn.await else { return Err(ReadError::Overloaded) };
        load().await.map_err(|failure| ReadError::Loader(failure.to_string()))
    }
}

#[cfg(test)]
mod tests;
