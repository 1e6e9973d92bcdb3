//! The auditor's comparison: what clients were told, against the server's books, against
//! the order store. A pure function, so that it can be shown planted lies and must find
//! them. Invariants carry the numbers of the design.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::drive::{Confirmation, FollowUp, Unresolved};
use crate::outcome::{Class, Outcome};

/// Findings of one kind are listed up to this many; the counts are always complete.
const LISTED_MAX: usize = 5;

/// What the clients were told.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Every order id told for a purchase, repeats included.
    pub confirmations: &'a [Confirmation],
    /// What was told about orders afterwards.
    pub follow_ups: &'a [FollowUp],
    /// Purchases whose clients never got a definite answer.
    pub unresolved: &'a [Unresolved],
}

/// The server's counters of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Book {
    /// Which item, counted from 0 as in [`Confirmation::item`].
    pub item: u32,
    /// Units on sale.
    pub allotted: i64,
    /// Units nobody has.
    pub available: i64,
    /// Units bought and not paid.
    pub reserved: i64,
    /// Units paid.
    pub sold: i64,
}

/// An order as the order store holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredOrder {
    /// Its id.
    pub order: u64,
    /// Whose; `None` if no user of this run.
    pub user: Option<u32>,
    /// For which item; `None` if none of this run.
    pub item: Option<u32>,
    /// How many units.
    pub quantity: i64,
    /// `reserved`, `paid`, `cancelled`, `expired` or `refund_due`.
    pub status: String,
}

impl StoredOrder {
    /// True if the order holds stock.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.status.as_str(), "reserved" | "paid")
    }
}

/// What the sale allowed.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Most live orders of one user for one item.
    pub limit_per_user: u32,
    /// True if payment windows may have passed during the run.
    pub orders_may_expire: bool,
    /// True if the scenario says that everything must be gone.
    pub must_sell_out: bool,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The invariant, as in the design: `I1` to `I16`.
    pub invariant: &'static str,
    /// In words, with ids.
    pub what: String,
}

/// What the comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Units on sale.
    pub stock: u64,
    /// Units reserved or sold by the server's books.
    pub sold: u64,
    /// Distinct orders told to clients.
    pub confirmed: u64,
    /// Units sold beyond the stock, by whichever view shows most.
    pub oversold: u64,
    /// Confirmed orders that the books or the order store do not have.
    pub lost: u64,
    /// Confirmed orders that are on the engine's record, but were not in the order store
    /// when the wait for it was over.
    pub late: u64,
    /// Orders a client got beyond what the request or the limit allowed.
    pub doubled: u64,
    /// Everything that is wrong, at most a few of each kind.
    pub findings: Vec<Finding>,
    /// True if every stored order was compared; false if the store was not read.
    pub store_read: bool,
    must_sell_out: bool,
}

impl Verdict {
    /// True if nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.oversold + self.lost + self.doubled == 0
    }

    /// The report's first line.
    #[must_use]
    pub fn headline(&self) -> String {
        let sold = if self.sold == self.stock {
            "sold = stock".to_owned()
        } else {
            format!("sold {} of {}", self.sold, self.stock)
        };
        let Self { oversold, lost, doubled, .. } = self;
        let mut line = format!("{sold}, oversold {oversold}, lost {lost}, doubled {doubled}");
        if self.late > 0 {
            line.push_str(&format!(", late {}", self.late));
        }
        if !self.is_clean() {
            let numbers: std::collections::BTreeSet<_> =
                self.findings.iter().map(|finding| finding.invariant).collect();
            let numbers: Vec<_> = numbers.into_iter().collect();
            line.push_str(&format!(" (broken: {})", numbers.join(", ")));
        }
        line
    }

    /// The engine's own audit has every confirmation on record: what the order store lacks
    /// is late and not lost. It stays a finding.
    pub fn all_are_on_record(&mut self) {
        self.late += std::mem::take(&mut self.lost);
    }

    fn find(&mut self, invariant: &'static str, what: String) {
        let same = self.findings.iter().filter(|finding| finding.invariant == invariant);
        if same.count() < LISTED_MAX {
            self.findings.push(Finding { invariant, what });
        }
    }
}

/// Compares the three views. `store` is `None` if the order store could not be read; what
/// only it can show is then not judged, and [`Verdict::store_read`] says so.
#[must_use]
pub fn compare(
    told: Told<'_>,
    books: &[Book],
    store: Option<&[StoredOrder]>,
    rules: Rules,
) -> Verdict {
    let mut verdict = Verdict {
        store_read: store.is_some(),
        must_sell_out: rules.must_sell_out,
        ..Verdict::default()
    };
    check_books(books, &mut verdict);
    let orders = distinct_orders(told.confirmations, &mut verdict);
    let closings = closings(told.follow_ups, &mut verdict);
    if let Some(store) = store {
        check_store(&orders, &closings, store, told, rules, &mut verdict);
    }
    check_counts(&orders, &closings, books, store, told, rules, &mut verdict);
    if rules.must_sell_out && verdict.sold < verdict.stock {
        let (sold, stock) = (verdict.sold, verdict.stock);
        verdict.find("I16", format!("{sold} of {stock} sold, though enough people asked"));
    }
    verdict
}

fn check_books(books: &[Book], verdict: &mut Verdict) {
    for book in books {
        let Book { item, allotted, available, reserved, sold } = *book;
        let taken = reserved + sold;
        verdict.stock += unsigned(allotted);
        verdict.sold += unsigned(taken);
        if available + taken != allotted {
            verdict.find(
                "I1",
                format!(
                    "item {item}: allotted {allotted} ≠ available {available} + \
                     reserved {reserved} + sold {sold}"
                ),
            );
        }
        if available < 0 {
            verdict.find("I2", format!("item {item}: available {available}"));
        }
        if taken > allotted {
            verdict.oversold += unsigned(taken - allotted);
            verdict.find("I1", format!("item {item}: {taken} taken of {allotted}"));
        }
    }
}

/// Who was told which order; finds one request with two orders and one order told to two.
fn distinct_orders(
    confirmations: &[Confirmation],
    verdict: &mut Verdict,
) -> HashMap<u64, (u32, u32)> {
    let mut orders: HashMap<u64, (u32, u32)> = HashMap::with_capacity(confirmations.len());
    let mut requests: HashMap<(u32, u64), u64> = HashMap::with_capacity(confirmations.len());
    for confirmation in confirmations {
        let Confirmation { order, user, item, key, .. } = *confirmation;
        let first = *requests.entry((user, key)).or_insert(order);
        if first != order {
            verdict.doubled += 1;
            verdict.find("I7", format!("one request, two orders: {first} and {order}"));
        }
        let owner = *orders.entry(order).or_insert((user, item));
        if owner != (user, item) {
            verdict.doubled += 1;
            verdict.find("I3", format!("order {order} was told to two buyers or for two items"));
        }
    }
    verdict.confirmed = orders.len() as u64;
    orders
}

/// How each order ended by what its client was told.
fn closings(follow_ups: &[FollowUp], verdict: &mut Verdict) -> HashMap<u64, Outcome> {
    let mut closings: HashMap<u64, Outcome> = HashMap::new();
    for follow_up in follow_ups {
        let FollowUp { order, told } = *follow_up;
        if told.class() == Class::Unexpected {
            verdict.find("I3", format!("order {order} was confirmed, then: {}", told.name()));
            continue;
        }
        if told == Outcome::OrderClosed {
            continue;
        }
        let known = *closings.entry(order).or_insert(told);
        let definite = |outcome: Outcome| outcome.class() == Class::Granted;
        if known != told && definite(known) && definite(told) {
            verdict.find(
                "I10",
                format!("order {order} ended twice: {} and {}", known.name(), told.name()),
            );
        }
        if !definite(known) {
            closings.insert(order, told);
        }
    }
    closings
}

fn check_store(
    orders: &HashMap<u64, (u32, u32)>,
    closings: &HashMap<u64, Outcome>,
    store: &[StoredOrder],
    told: Told<'_>,
    rules: Rules,
    verdict: &mut Verdict,
) {
    let mut stored: HashMap<u64, &StoredOrder> = HashMap::with_capacity(store.len());
    for row in store {
        if stored.insert(row.order, row).is_some() {
            verdict.doubled += 1;
            verdict.find("I4", format!("order {} is in the order store twice", row.order));
        }
    }
    for (order, (user, item)) in orders {
        let Some(row) = stored.get(order) else {
            verdict.lost += 1;
            verdict
                .find("I4", format!("order {order} was confirmed and is not in the order store"));
            continue;
        };
        if row.user != Some(*user) || row.item != Some(*item) || row.quantity != 1 {
            verdict.find("I4", format!("order {order} has other content than was confirmed"));
        }
        if let Some(ending) = closings.get(order)
            && ending.class() == Class::Granted
            && row.status != ending.name()
        {
            let (status, name) = (&row.status, ending.name());
            verdict.find("I10", format!("order {order}: told {name}, stored {status}"));
        }
    }
    let unknown = store.iter().filter(|row| !orders.contains_key(&row.order)).count();
    if unknown > told.unresolved.len() {
        let unresolved = told.unresolved.len();
        verdict.find(
            "I3",
            format!("{unknown} stored orders nobody was told of; {unresolved} requests are open"),
        );
    }
    check_limit(store, rules, verdict);
}

fn check_limit(store: &[StoredOrder], rules: Rules, verdict: &mut Verdict) {
    let mut live: HashMap<(u32, u32), u32> = HashMap::with_capacity(store.len());
    for row in store.iter().filter(|row| row.is_live()) {
        if let (Some(user), Some(item)) = (row.user, row.item) {
            let count = live.entry((user, item)).or_default();
            *count += 1;
            if *count > rules.limit_per_user {
                verdict.doubled += 1;
                let limit = rules.limit_per_user;
                verdict.find("I6", format!("user {user}, item {item}: more than {limit} orders"));
            }
        }
    }
}

/// Live orders by the clients' view (corrected by the store where it was read), against
/// the books, item by item.
fn check_counts(
    orders: &HashMap<u64, (u32, u32)>,
    closings: &HashMap<u64, Outcome>,
    books: &[Book],
    store: Option<&[StoredOrder]>,
    told: Told<'_>,
    rules: Rules,
    verdict: &mut Verdict,
) {
    let dead: Option<HashSet<u64>> = store.map(|store| {
        let ended = store.iter().filter(|row| !row.is_live());
        ended.map(|row| row.order).collect()
    });
    if dead.is_none() && rules.orders_may_expire {
        // Nobody told the clients which orders expired: only the books' own sums count.
        return;
    }
    let mut live: HashMap<u32, i64> = HashMap::new();
    let mut slack: HashMap<u32, i64> = HashMap::new();
    for (order, (_, item)) in orders {
        let ending = closings.get(order);
        let ended = ending.is_some_and(|ending| *ending == Outcome::Cancelled)
            || dead.as_ref().is_some_and(|dead| dead.contains(order));
        if !ended {
            *live.entry(*item).or_default() += 1;
        }
        if ending.is_some_and(|ending| ending.class() == Class::Unknown) {
            *slack.entry(*item).or_default() += 1;
        }
    }
    let mut open: HashMap<u32, i64> = HashMap::new();
    for unresolved in told.unresolved {
        *open.entry(unresolved.item).or_default() += 1;
    }
    for book in books {
        let of = |counts: &HashMap<u32, i64>| counts.get(&book.item).copied().unwrap_or(0);
        let (live, slack, open) = (of(&live), of(&slack), of(&open));
        let (item, taken) = (book.item, book.reserved + book.sold);
        if live - slack > book.allotted {
            // What the books admit was counted with them.
            let admitted = (taken - book.allotted).max(0);
            verdict.oversold += unsigned(live - slack - book.allotted - admitted);
            let allotted = book.allotted;
            verdict.find("I1", format!("item {item}: {live} live orders confirmed of {allotted}"));
        }
        if live - slack > taken {
            let missing = unsigned(live - slack - taken);
            if store.is_none() {
                verdict.lost += missing;
            }
            verdict.find("I3", format!("item {item}: {live} confirmed, the books have {taken}"));
        }
        if taken > live + slack + open {
            verdict.find(
                "I3",
                format!("item {item}: the books have {taken}, {live} confirmed, {open} open"),
            );
        }
    }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
