//! What every receiver does with an event, as docs/events.md asks of it: leaves out what it has had and what is old.

use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// What a receiver knows of the orders that it was told of.
#[derive(Clone, Debug, Default)]
pub struct Account {
    orders: BTreeMap<u64, Latest>,
    /// The identities of the events that it was told.
    ids: HashSet<String>,
    repeats: usize,
    backwards: Vec<String>,
}

/// An order as its newest event has it.
#[derive(Clone, Debug)]
struct Latest {
    sequence: String,
    status: String,
}

impl Account {
    /// Takes an event of an order. Whether it is news: no repeat, and none that a later one has overtaken.
    pub fn take(&mut self, event: &Value) -> bool {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        if !self.ids.insert(text("id")) {
            self.repeats += 1;
            return false;
        }
        let (order, sequence) = (number(&event["partitionkey"]), text("sequence"));
        let status = event["data"]["status"].as_str().unwrap_or_default().to_owned();
        if let Some(known) = self.orders.get(&order)
            && known.sequence >= sequence
        {
            self.backwards.push(format!("{event} came behind {}", known.sequence));
            return false;
        }
        self.orders.insert(order, Latest { sequence, status });
        true
    }

    /// The status of each order.
    pub fn statuses(&self) -> BTreeMap<u64, &str> {
        self.orders.iter().map(|(order, known)| (*order, known.status.as_str())).collect()
    }

    /// How many orders it was told of.
    pub fn orders(&self) -> usize {
        self.orders.len()
    }

    /// How many events it was told.
    pub fn events(&self) -> usize {
        self.ids.len()
    }

    /// How often it was told one again.
    pub fn repeats(&self) -> usize {
        self.repeats
    }

    /// The events that came for the first time behind a later one of their order.
    pub fn backwards(&self) -> Vec<String> {
        self.backwards.clone()
    }
}

/// A number that is written as text.
pub fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value}"))
}

/// What two tables do not have in common, for people.
pub fn difference<Key: Ord + std::fmt::Debug, Entry: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &BTreeMap<Key, Entry>,
    expected: &BTreeMap<Key, Entry>,
) -> Option<String> {
    let keys: std::collections::BTreeSet<&Key> = found.keys().chain(expected.keys()).collect();
    let differing = keys.into_iter().filter(|key| found.get(key) != expected.get(key));
    let differing: Vec<&Key> = differing.collect();
    let first = *differing.first()?;
    let (one, other) = (found.get(first), expected.get(first));
    Some(format!("{what}: {} differ, first {first:?}: {one:?} is to be {other:?}", differing.len()))
}
