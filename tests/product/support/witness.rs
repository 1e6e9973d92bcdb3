//! What clients saw, and what that forbids from then on.
//!
//! Judges every answer when it comes: a key has one order, an order has one key, and no order goes
//! back to a state that it had left before the eyes of its buyer.

use super::crowd::REFUSALS;
use super::sale::OpenSale;
use super::{Server, Site};
use harness::http::{Answer, Client};
use harness::until;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

/// A purchase with its key: what is repeated while its outcome is unknown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Which item.
    pub item: u64,
    /// Which buyer.
    pub buyer: usize,
    /// Its Idempotency-Key.
    pub key: String,
}

/// A confirmed order as its buyer last saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// How it was bought.
    pub attempt: Attempt,
    /// Its status.
    pub status: String,
}

/// The orders and unknown purchases that clients know of.
#[derive(Default)]
pub struct Witness(Mutex<Known>);

#[derive(Default)]
struct Known {
    orders: BTreeMap<u64, Seen>,
    keys: HashMap<String, u64>,
    unknown: Vec<Attempt>,
}

impl Witness {
    /// The confirmed orders.
    pub fn orders(&self) -> BTreeMap<u64, Seen> {
        self.known().orders.clone()
    }

    /// How many there are.
    pub fn confirmed(&self) -> usize {
        self.known().orders.len()
    }

    /// How many purchases have an unknown outcome.
    pub fn unknown(&self) -> usize {
        self.known().unknown.len()
    }

    /// Takes the unknown purchases of these buyers, to repeat them.
    pub fn take_unknown(&self, of: impl Fn(usize) -> bool) -> Vec<Attempt> {
        let mut known = self.known();
        let (taken, left) =
            std::mem::take(&mut known.unknown).into_iter().partition(|attempt| of(attempt.buyer));
        known.unknown = left;
        taken
    }

    /// Notes a purchase whose outcome is unknown.
    pub fn lost(&self, attempt: Attempt) {
        self.known().unknown.push(attempt);
    }

    /// A purchase was answered. True if that settles it.
    pub fn bought(&self, attempt: &Attempt, answer: &Answer) -> bool {
        match answer.status {
            200 | 201 => {
                let replayed = answer.header("idempotent-replayed").is_some();
                assert_eq!(answer.status == 200, replayed, "{answer:?}");
                assert_eq!(answer.id("item_id"), attempt.item, "{answer:?}");
                let order = answer.id("order_id");
                let mut known = self.known();
                let first = *known.keys.entry(attempt.key.clone()).or_insert(order);
                assert_eq!(first, order, "two orders for one key: {attempt:?}");
                if answer.status == 201 {
                    assert!(!known.orders.contains_key(&order), "granted twice: {attempt:?}");
                }
                known.see(order, attempt, answer);
                true
            }
            409 => {
                let refusal = answer.code();
                assert!(REFUSALS.contains(&refusal.as_str()), "{attempt:?}: {}", answer.text());
                let known = self.known();
                assert!(!known.keys.contains_key(&attempt.key), "forgotten: {attempt:?} {refusal}");
                true
            }
            _ => {
                must_be_unavailable(answer);
                false
            }
        }
    }

    /// An order was looked at, paid or cancelled.
    pub fn looked(&self, order: u64, attempt: &Attempt, answer: &Answer) {
        match answer.status {
            200 => self.known().see(order, attempt, answer),
            409 => assert_eq!(answer.code(), "order_closed", "{answer:?}"),
            _ => must_be_unavailable(answer),
        }
    }

    /// Repeats what is unknown until all is known, then compares every order, and the items'
    /// counters, with what was seen.
    pub async fn verify(&self, server: &Server, shop: &OpenSale) {
        let mut client = server.client().await;
        for attempt in self.take_unknown(|_| true) {
            until("an answer to a repeat", async || {
                let Attempt { item, buyer, key } = &attempt;
                let answer = shop.buy(&mut client, *item, *buyer, key).await.expect("it answers");
                self.bought(&attempt, &answer).then_some(())
            })
            .await;
        }
        until("counters that stand still", async || {
            let before = counters(shop, &mut client).await;
            let mut held = vec![[0, 0]; shop.items.len()];
            for (order, seen) in self.orders() {
                let answer = shop.order(&mut client, order, seen.attempt.buyer).await;
                let answer = answer.expect("it answers");
                assert_eq!(answer.status, 200, "order {order}, {seen:?}: {}", answer.text());
                self.looked(order, &seen.attempt, &answer);
                let status = answer.json()["status"].clone();
                let place = shop.items.iter().position(|item| *item == seen.attempt.item);
                let held = &mut held[place.expect("an item of the shop")];
                held[0] += u64::from(status == "reserved");
                held[1] += u64::from(status == "paid");
            }
            if counters(shop, &mut client).await != before {
                return None;
            }
            for ([allotted, available, reserved, sold], held) in before.into_iter().zip(held) {
                assert_eq!(allotted, available + reserved + sold);
                assert_eq!([reserved, sold], held, "units held by orders that buyers know");
            }
            Some(())
        })
        .await;
    }

    /// Starts the site once more, verifies, stops it in good order, and audits.
    pub async fn close(&self, site: &Site, shop: &OpenSale) {
        let server = site.start().await;
        self.verify(&server, shop).await;
        server.stop().await;
        self.audit(site);
    }

    /// Audits what has been stopped in good order: nothing is broken, nothing is missing, and there
    /// is no order that no buyer knows.
    pub fn audit(&self, site: &Site) {
        let orders = self.orders();
        let verdict = site.audit(orders.keys().copied());
        verdict.must_balance();
        let count = u64::try_from(orders.len()).expect("a count");
        assert_eq!(verdict.check("I3")["checked"], count);
        assert_eq!(verdict.check("I4")["checked"], count, "all orders are in the order store");
        assert_eq!(verdict.orders(), count, "orders on record and orders that buyers know");
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("no witness has panicked")
    }
}

impl Known {
    fn see(&mut self, order: u64, attempt: &Attempt, answer: &Answer) {
        let json = answer.json();
        let status = json["status"].as_str().unwrap_or_default().to_owned();
        let seen = self
            .orders
            .entry(order)
            .or_insert_with(|| Seen { attempt: attempt.clone(), status: status.clone() });
        assert_eq!(seen.attempt, *attempt, "an order of two purchases: {order}");
        let possible = match seen.status.as_str() {
            "reserved" => true,
            "cancelled" => matches!(status.as_str(), "cancelled" | "refund_due"),
            "expired" => matches!(status.as_str(), "expired" | "refund_due"),
            ended => ended == status,
        };
        assert!(possible, "order {order} went from {} to {status}", seen.status);
        seen.status = status;
    }
}

/// The only answer beyond 499 that a drill may meet: 503 that says when to come again.
pub fn must_be_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}

async fn counters(shop: &OpenSale, client: &mut Client) -> Vec<[u64; 4]> {
    let mut counters = Vec::new();
    for item in &shop.items {
        counters.push(shop.counters(client, *item).await);
    }
    counters
}
