//! Single flight: one fetch per key at a time. The first caller, the leader, fetches; callers that come
//! meanwhile, the waiters, get its result.
//!
//! A fetch is part of the leader's request and ends with it; one of the waiters becomes the leader
//! then, so that a reader that disconnects never leaves the others without an answer. Must not know
//! what is fetched.

use super::error::ReadError;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;
use tokio::sync::watch;

/// The result of a fetch, once there is one.
type Outcome<Value> = Option<Result<Value, ReadError>>;

/// The fetches under way.
pub(super) struct Flights<Key, Value> {
    under_way: Mutex<HashMap<Key, watch::Receiver<Outcome<Value>>>>,
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
    /// Returns the result of the fetch of `key` that is under way, or of `fetch` if there is none.
    ///
    /// # Errors
    /// Returns the fetch's error, or [`ReadError::Overloaded`] if another caller's fetch took longer
    /// than `wait_max`.
    pub(super) async fn join(
        &self,
        key: Key,
        wait_max: Duration,
        fetch: impl Future<Output = Result<Value, ReadError>>,
    ) -> Result<Value, ReadError> {
        let waiting = async {
            loop {
                let mut outcome = match self.enter(key) {
                    Role::Leader(lead) => return Err(lead),
                    Role::Waiter(outcome) => outcome,
                };
                // An error means that the leader ended without a result.
                if let Ok(known) = outcome.wait_for(Option::is_some).await
                    && let Some(result) = known.clone()
                {
                    return Ok(result);
                }
            }
        };
        let lead = match tokio::time::timeout(wait_max, waiting).await {
            Ok(Ok(result)) => return result,
            Ok(Err(lead)) => lead,
            Err(_) => return Err(ReadError::Overloaded),
        };
        let result = fetch.await;
        lead.outcome.send_replace(Some(result.clone()));
        result
    }

    /// Makes the caller a waiter of the fetch that is under way, or the leader of a new one.
    fn enter(&self, key: Key) -> Role<'_, Key, Value> {
        let mut under_way = self.under_way.lock();
        if let Some(outcome) = under_way.get(&key) {
            return Role::Waiter(outcome.clone());
        }
        let (outcome, waiters) = watch::channel(None);
        under_way.insert(key, waiters);
        Role::Leader(Lead { flights: self, key, outcome })
    }
}

enum Role<'a, Key: Copy + Eq + Hash, Value> {
    Leader(Lead<'a, Key, Value>),
    Waiter(watch::Receiver<Outcome<Value>>),
}

/// The duty to fetch, which ends when this is dropped, with or without a result.
struct Lead<'a, Key: Copy + Eq + Hash, Value> {
    flights: &'a Flights<Key, Value>,
    key: Key,
    outcome: watch::Sender<Outcome<Value>>,
}

impl<Key: Copy + Eq + Hash, Value> Drop for Lead<'_, Key, Value> {
    fn drop(&mut self) {
        self.flights.under_way.lock().remove(&self.key);
    }
}
