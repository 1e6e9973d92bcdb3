//! The comparison of the three views.

use std::collections::{HashMap, HashSet};

use domain::invariants::{
    Invariant, i1_balance, i2_not_below_zero, i3_confirmed, i4_stored, i6_limit, i7_granted_once,
    i10_ends_once,
};
use domain::{OrderId, OrderStatus};

use super::verdict::Verdict;
use super::views::{ClientView, ItemStanding, Rules, StoredOrder};
use crate::drive::{Confirmation, FollowUp};
use crate::outcome::{Class, Outcome};

/// Compares the three views. `store` is `None` if the order store could not be read; what
/// only it can show is then not judged, and [`Verdict::store_read`] says so.
#[must_use]
pub fn compare(
    clients: ClientView<'_>,
    standings: &[ItemStanding],
    store: Option<&[StoredOrder]>,
    rules: Rules,
) -> Verdict {
    let mut verdict = Verdict::new(store.is_some(), rules.must_sell_out);
    check_standings(standings, &mut verdict);
    let confirmed = Confirmed {
        owners: owners(clients.confirmations, &mut verdict),
        endings: endings(clients.follow_ups, &mut verdict),
    };
    if let Some(store) = store {
        check_store(&confirmed, store, clients, rules, &mut verdict);
    }
    // Clients were not told which orders expired: without the store, only the counters' own sums
    // count.
    if store.is_some() || !rules.orders_may_expire {
        check_counts(&confirmed, standings, store, clients, &mut verdict);
    }
    if rules.must_sell_out && verdict.sold < verdict.stock {
        let (sold, stock) = (verdict.sold, verdict.stock);
        let what = format!("{sold} of {stock} sold, though enough people asked");
        verdict.find(Invariant::I16, what);
    }
    verdict
}

/// What clients know of the orders that were confirmed to them.
struct Confirmed {
    /// The user and the item of each order.
    owners: HashMap<u64, (u32, u32)>,
    /// How each order ended, if its client was told.
    endings: HashMap<u64, Outcome>,
}

fn check_standings(standings: &[ItemStanding], verdict: &mut Verdict) {
    for standing in standings {
        let place = format!("item {}", standing.item);
        let (allotted, taken) = (standing.allotted, standing.taken());
        verdict.stock += unsigned(allotted);
        verdict.sold += unsigned(taken);
        verdict.judge(Invariant::I1, &place, i1_balance(standing.counts()));
        let available = i2_not_below_zero("available", standing.available);
        if verdict.judge(Invariant::I2, &place, available) {
            verdict.judge(Invariant::I2, &place, not_oversold(allotted, taken));
        }
        verdict.oversold += unsigned(taken - allotted);
    }
}

/// I2 by a view that has no counter of what is available.
fn not_oversold(allotted: i64, taken: i64) -> domain::invariants::Verdict {
    i2_not_below_zero("what is left", allotted - taken)
        .map_err(|detail| format!("{taken} taken of {allotted}, {detail}"))
}

/// Who was told which order; finds one request with two orders and one order told to two.
fn owners(confirmations: &[Confirmation], verdict: &mut Verdict) -> HashMap<u64, (u32, u32)> {
    let mut owners: HashMap<u64, (u32, u32)> = HashMap::with_capacity(confirmations.len());
    let mut requests: HashMap<(u32, u64), u64> = HashMap::with_capacity(confirmations.len());
    for confirmation in confirmations {
        let Confirmation { order, user, item, key, .. } = *confirmation;
        let first = *requests.entry((user, key)).or_insert(order);
        // The same order again is the answer that a repeat should get.
        let other = (first != order).then_some(OrderId(first));
        let granted_once = i7_granted_once(other, OrderId(order));
        if !verdict.judge(Invariant::I7, &format!("user {user}"), granted_once) {
            verdict.doubled += 1;
        }
        let owner = *owners.entry(order).or_insert((user, item));
        if owner != (user, item) {
            verdict.doubled += 1;
            let what = format!("order {order} was told to two buyers or for two items");
            verdict.find(Invariant::I3, what);
        }
    }
    verdict.confirmed = owners.len() as u64;
    owners
}

/// How each order ended by what its client was told.
fn endings(follow_ups: &[FollowUp], verdict: &mut Verdict) -> HashMap<u64, Outcome> {
    let mut endings: HashMap<u64, Outcome> = HashMap::new();
    for follow_up in follow_ups {
        let FollowUp { order, answer } = *follow_up;
        let is_on_record = |_| answer.class() != Class::Unexpected;
        let on_record = i3_confirmed([&OrderId(order)], is_on_record);
        if !verdict.judge(Invariant::I3, &format!("the server said {}", answer.name()), on_record) {
            continue;
        }
        if answer == Outcome::OrderClosed {
            continue;
        }
        let known = *endings.entry(order).or_insert(answer);
        if let (Some(before), Some(after)) = (status(known), status(answer))
            && before != after
        {
            let place = format!("order {order} ended twice");
            verdict.judge(Invariant::I10, &place, i10_ends_once(before, after));
        }
        if status(known).is_none() {
            endings.insert(order, answer);
        }
    }
    endings
}

/// The status of an order whose client got this answer to its follow-up; `None` if the answer
/// leaves it open.
fn status(answer: Outcome) -> Option<OrderStatus> {
    match answer {
        Outcome::Paid => Some(OrderStatus::Paid),
        Outcome::Cancelled => Some(OrderStatus::Cancelled),
        Outcome::RefundDue => Some(OrderStatus::RefundDue),
        _ => None,
    }
}

fn check_store(
    confirmed: &Confirmed,
    store: &[StoredOrder],
    clients: ClientView<'_>,
    rules: Rules,
    verdict: &mut Verdict,
) {
    let mut stored: HashMap<u64, &StoredOrder> = HashMap::with_capacity(store.len());
    for row in store {
        if stored.insert(row.order, row).is_some() {
            verdict.doubled += 1;
            let what = format!("order {} is in the order store twice", row.order);
            verdict.find(Invariant::I4, what);
        }
    }
    for (order, (user, item)) in &confirmed.owners {
        let row = stored.get(order);
        let has_same_content =
            row.map(|row| row.user == Some(*user) && row.item == Some(*item) && row.quantity == 1);
        let is_stored = i4_stored(OrderId(*order), has_same_content);
        verdict.judge(Invariant::I4, "confirmed", is_stored);
        let Some(row) = row else {
            verdict.lost += 1;
            continue;
        };
        let told = confirmed.endings.get(order).copied().and_then(status);
        if let Some(told) = told.filter(|told| *told != row.status) {
            let (told, stored) = (told.name(), row.status.name());
            verdict.find(Invariant::I10, format!("order {order}: told {told}, stored {stored}"));
        }
    }
    let unknown = store.iter().filter(|row| !confirmed.owners.contains_key(&row.order)).count();
    let open = clients.unresolved.len();
    if unknown > open {
        let what = format!("{unknown} stored orders that no client was told of; {open} are open");
        verdict.find(Invariant::I3, what);
    }
    check_limit(store, rules, verdict);
}

fn check_limit(store: &[StoredOrder], rules: Rules, verdict: &mut Verdict) {
    let mut live: HashMap<(u32, u32), u32> = HashMap::with_capacity(store.len());
    for row in store.iter().filter(|row| row.status.is_live()) {
        if let (Some(user), Some(item)) = (row.user, row.item) {
            let count = live.entry((user, item)).or_default();
            *count += 1;
            let within_limit = i6_limit(rules.limit_per_user, *count);
            let place = format!("user {user}, item {item}");
            if !verdict.judge(Invariant::I6, &place, within_limit) {
                verdict.doubled += 1;
            }
        }
    }
}

/// Live orders by the clients' view (corrected by the store where it was read), against
/// the counters, item by item.
fn check_counts(
    confirmed: &Confirmed,
    standings: &[ItemStanding],
    store: Option<&[StoredOrder]>,
    clients: ClientView<'_>,
    verdict: &mut Verdict,
) {
    let dead: HashSet<u64> = store
        .into_iter()
        .flatten()
        .filter(|row| !row.status.is_live())
        .map(|row| row.order)
        .collect();
    let mut live: HashMap<u32, i64> = HashMap::new();
    let mut slack: HashMap<u32, i64> = HashMap::new();
    for (order, (_, item)) in &confirmed.owners {
        let ending = confirmed.endings.get(order);
        if ending != Some(&Outcome::Cancelled) && !dead.contains(order) {
            *live.entry(*item).or_default() += 1;
        }
        if ending.is_some_and(|ending| ending.class() == Class::Unknown) {
            *slack.entry(*item).or_default() += 1;
        }
    }
    let mut open: HashMap<u32, i64> = HashMap::new();
    for unresolved in clients.unresolved {
        *open.entry(unresolved.item).or_default() += 1;
    }
    for standing in standings {
        let of = |counts: &HashMap<u32, i64>| counts.get(&standing.item).copied().unwrap_or(0);
        let (live, slack, open) = (of(&live), of(&slack), of(&open));
        let place = format!("item {}", standing.item);
        let (allotted, taken) = (standing.allotted, standing.taken());
        let confirmed_least = live - slack;
        if !verdict.judge(Invariant::I2, &place, not_oversold(allotted, confirmed_least)) {
            // What the counters admit was counted with them.
            let admitted = (taken - allotted).max(0);
            verdict.oversold += unsigned(confirmed_least - allotted - admitted);
        }
        if confirmed_least > taken {
            if store.is_none() {
                verdict.lost += unsigned(confirmed_least - taken);
            }
            let what = format!("{place}: {live} confirmed, the counters have {taken}");
            verdict.find(Invariant::I3, what);
        }
        if taken > live + slack + open {
            let what = format!("{place}: the counters have {taken}, {live} confirmed, {open} open");
            verdict.find(Invariant::I3, what);
        }
    }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
