//! The auditor is audited: each planted lie must be found, and the truth must pass.

use domain::OrderStatus;
use domain::invariants::Invariant::{self, I1, I2, I3, I4, I6, I7, I10, I16};
use load::audit::{ClientView, ItemStanding, Rules, StoredOrder, Verdict, compare};
use load::drive::{Confirmation, FollowUp, Unresolved};
use load::outcome::Outcome;

/// A sale of 3 units of one item: three buyers, three orders, all views agree.
struct Case {
    confirmations: Vec<Confirmation>,
    follow_ups: Vec<FollowUp>,
    unresolved: Vec<Unresolved>,
    standings: Vec<ItemStanding>,
    store: Option<Vec<StoredOrder>>,
    rules: Rules,
}

fn confirmation(order: u64, user: u32) -> Confirmation {
    Confirmation { order, user, item: 0, key: u64::from(user) << 1, asked_ns: order, at_ns: order }
}

fn stored(order: u64, user: u32, status: OrderStatus) -> StoredOrder {
    StoredOrder { order, user: Some(user), item: Some(0), quantity: 1, status }
}

fn sold_out() -> Case {
    Case {
        confirmations: (1..=3).map(|n| confirmation(100 + n, n as u32)).collect(),
        follow_ups: Vec::new(),
        unresolved: Vec::new(),
        standings: vec![ItemStanding { item: 0, allotted: 3, available: 0, reserved: 3, sold: 0 }],
        store: Some((1..=3).map(|n| stored(100 + n, n as u32, OrderStatus::Reserved)).collect()),
        rules: Rules { limit_per_user: 1, orders_may_expire: false, must_sell_out: true },
    }
}

impl Case {
    fn verdict(&self) -> Verdict {
        let clients = ClientView {
            confirmations: &self.confirmations,
            follow_ups: &self.follow_ups,
            unresolved: &self.unresolved,
        };
        compare(clients, &self.standings, self.store.as_deref(), self.rules)
    }

    fn store(&mut self) -> &mut Vec<StoredOrder> {
        self.store.as_mut().expect("the case has a store")
    }
}

#[track_caller]
fn check(case: &Case, headline: &str, invariants: &[Invariant]) {
    let verdict = case.verdict();
    assert!(verdict.headline().starts_with(headline), "{}", verdict.headline());
    let found: Vec<_> = verdict.findings.iter().map(|finding| finding.invariant).collect();
    for invariant in invariants {
        assert!(found.contains(invariant), "{invariant} not in {:#?}", verdict.findings);
    }
    assert_eq!(verdict.is_clean(), invariants.is_empty(), "{verdict:#?}");
}

const CLEAN: &str = "sold = stock, oversold 0, lost 0, doubled 0";

#[test]
fn the_truth_passes() {
    let case = sold_out();
    check(&case, CLEAN, &[]);
    assert_eq!(case.verdict().headline(), CLEAN);
}

#[test]
fn a_planted_oversell_is_caught_even_if_the_counters_hide_it() {
    let mut case = sold_out();
    case.confirmations.push(confirmation(104, 4));
    case.store().push(stored(104, 4, OrderStatus::Reserved));
    check(&case, "sold = stock, oversold 1, lost 0, doubled 0", &[I2, I3]);
}

#[test]
fn a_planted_oversell_is_caught_in_the_counters_alone() {
    let mut case = sold_out();
    case.standings[0].available = -1;
    case.standings[0].reserved = 4;
    check(&case, "sold 4 of 3, oversold 1", &[I2]);
}

#[test]
fn a_planted_lost_order_is_caught_in_the_order_store() {
    let mut case = sold_out();
    case.store().remove(1);
    check(&case, "sold = stock, oversold 0, lost 1, doubled 0", &[I4]);
}

#[test]
fn a_planted_lost_order_is_caught_without_the_order_store() {
    let mut case = sold_out();
    case.store = None;
    case.standings[0] = ItemStanding { item: 0, allotted: 3, available: 1, reserved: 2, sold: 0 };
    check(&case, "sold 2 of 3, oversold 0, lost 1, doubled 0", &[I3, I16]);
}

#[test]
fn one_request_with_two_orders_is_doubled() {
    let mut case = sold_out();
    let first = case.confirmations[0];
    case.confirmations.push(Confirmation { order: 104, ..first });
    check(&case, "sold = stock, oversold 1, lost 1, doubled 1", &[I7]);
}

#[test]
fn a_repeat_with_the_same_answer_is_not() {
    let mut case = sold_out();
    case.confirmations.push(case.confirmations[0]);
    check(&case, CLEAN, &[]);
}

#[test]
fn one_order_told_to_two_buyers_is_doubled() {
    let mut case = sold_out();
    case.confirmations.push(confirmation(101, 9));
    check(&case, "sold = stock, oversold 0, lost 0, doubled 1", &[I3]);
}

#[test]
fn a_user_beyond_the_limit_is_doubled() {
    let mut case = sold_out();
    case.confirmations[2] = Confirmation { key: 99, ..confirmation(103, 1) };
    case.store()[2] = stored(103, 1, OrderStatus::Reserved);
    check(&case, "sold = stock, oversold 0, lost 0, doubled 1", &[I6]);
}

#[test]
fn a_row_twice_in_the_order_store_is_doubled() {
    let mut case = sold_out();
    let row = case.store()[0].clone();
    case.rules.limit_per_user = 5;
    case.store().push(row);
    check(&case, "sold = stock, oversold 0, lost 0, doubled 1", &[I4]);
}

#[test]
fn other_content_in_the_order_store_is_found() {
    let mut case = sold_out();
    case.store()[0].user = Some(77);
    check(&case, CLEAN, &[I4]);
}

#[test]
fn a_grant_that_no_client_was_told_of_needs_an_open_request() {
    let mut case = sold_out();
    case.confirmations.pop();
    check(&case, CLEAN, &[I3]);
    case.unresolved.push(Unresolved { item: 0, key: 6 });
    check(&case, CLEAN, &[]);
}

#[test]
fn stock_of_cancelled_orders_is_sold_again_and_counted_once() {
    let mut case = sold_out();
    case.follow_ups.push(FollowUp { order: 101, answer: Outcome::Cancelled });
    case.store()[0].status = OrderStatus::Cancelled;
    case.confirmations.push(confirmation(104, 4));
    case.store().push(stored(104, 4, OrderStatus::Paid));
    case.follow_ups.push(FollowUp { order: 104, answer: Outcome::Paid });
    case.standings[0] = ItemStanding { item: 0, allotted: 3, available: 0, reserved: 2, sold: 1 };
    check(&case, CLEAN, &[]);
    // The same order told paid as well has ended twice.
    case.follow_ups.push(FollowUp { order: 101, answer: Outcome::Paid });
    check(&case, CLEAN, &[I10]);
}

#[test]
fn a_payment_the_store_does_not_know_is_found() {
    let mut case = sold_out();
    case.follow_ups.push(FollowUp { order: 101, answer: Outcome::Paid });
    check(&case, CLEAN, &[I10]);
}

#[test]
fn counters_that_do_not_add_up_are_found() {
    let mut case = sold_out();
    case.standings[0].available = 1;
    check(&case, CLEAN, &[I1]);
}

#[test]
fn a_system_that_refuses_everything_passes_nothing() {
    let mut case = sold_out();
    case.confirmations.clear();
    case.store().clear();
    case.standings[0] = ItemStanding { item: 0, allotted: 3, available: 3, reserved: 0, sold: 0 };
    check(&case, "sold 0 of 3, oversold 0, lost 0, doubled 0", &[I16]);
}

#[test]
fn what_is_on_record_and_not_yet_stored_is_late_and_still_a_failure() {
    let mut case = sold_out();
    case.store().remove(1);
    let mut verdict = case.verdict();
    verdict.all_are_on_record();
    let late = "sold = stock, oversold 0, lost 0, doubled 0, late 1 (broken: I4)";
    assert_eq!(verdict.headline(), late);
    assert!(!verdict.is_clean());
}
