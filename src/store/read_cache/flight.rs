//! One load per key at a time: who comes first fetches, who comes meanwhile waits for its result.
//!
//! A fetch belongs to its caller's request and ends with it; the next in line fetches then, so that
//! a reader who goes away never leaves the others without an answer. Must not know what is fetched.

use super::ReadError;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;
use tokio::sync::watch;

type Landing<Value> = Option<Result<Value, ReadError>>;

/// The fetches under way.
pub(super) struct Flights<Key, Value> {
    under_way: Mutex<HashMap<Key, watch::Receiver<Landing<Value>>>>,
}

impl<Key, Value> Default for Flights<Key, Value> {
    fn default() -> Self {
        Self { under_way: Mutex::new(HashMap::new()) }
    }
}

impl<Key, Value> fmt::Debug for Flights<Key, Value> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Flights({})", self.under_way.lock().len())
    }
}

impl<Key: Copy + Eq + Hash, Value: Clone> Flights<Key, Value> {
    /// The result of the fetch of `key` that is under way, or of `fetch` where none is.
    ///
    /// # Errors
    /// As the fetch, and where another's took longer than `wait_max`.
    pub(super) async fn join(
        &self,
        key: Key,
        wait_max: Duration,
        fetch: impl Future<Output = Result<Value, ReadError>>,
    ) -> Result<Value, ReadError> {
        let waiting = async {
            loop {
                let mut landing = match self.board(key) {
                    Boarded::Leader(seat) => return Err(seat),
                    Boarded::Waiter(landing) => landing,
                };
                // An error means that the leader went away without a result.
                if let Ok(landed) = landing.wait_for(Option::is_some).await
                    && let Some(result) = landed.clone()
                {
                    return Ok(result);
                }
            }
        };
        let seat = match tokio::time::timeout(wait_max, waiting).await {
            Ok(Ok(result)) => return result,
            Ok(Err(seat)) => seat,
            Err(_) => return Err(ReadError::Overloaded),
        };
        let result = fetch.await;
        seat.landing.send_replace(Some(result.clone()));
        result
    }

    fn board(&self, key: Key) -> Boarded<'_, Key, Value> {
        let mut under_way = self.under_way.lock();
        if let Some(landing) = under_way.get(&key) {
            return Boarded::Waiter(landing.clone());
        }
        let (landing, passengers) = watch::channel(None);
        under_way.insert(key, passengers);
        Boarded::Leader(Seat { flights: self, key, landing })
    }
}

enum Boarded<'a, Key: Copy + Eq + Hash, Value> {
    Leader(Seat<'a, Key, Value>),
    Waiter(watch::Receiver<Landing<Value>>),
}

/// The duty to fetch. Given up when dropped, with or without a result.
struct Seat<'a, Key: Copy + Eq + Hash, Value> {
    flights: &'a Flights<Key, Value>,
    key: Key,
    landing: watch::Sender<Landing<Value>>,
}

impl<Key: Copy + Eq + Hash, Value> Drop for Seat<'_, Key, Value> {
    fn drop(&mut self) {
        self.flights.under_way.lock().remove(&self.key);
    }
}
