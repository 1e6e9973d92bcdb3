//! What operators may do to an item, when, and what a repeat of their request gets.

use crate::shard::{OPENING, Shard, guarded, operate, requested, terms};
use domain::operation::OPERATIONS_REMEMBERED;
use domain::sale::SPARE_ATTEMPTS;
use domain::{
    Admission, Command, ItemAction, ItemCounters, ItemId, ItemTerms, Outcome, Refusal, Stock,
    Timestamp,
};

const ITEM: ItemId = ItemId(1);

fn shop() -> Shard {
    Shard::with([terms(1, 10, 2, 1_000)])
}

fn counters(shop: &Shard) -> ItemCounters {
    shop.stock.item(ITEM).expect("an item").counters
}

#[test]
fn a_repeated_operation_is_done_once() {
    let mut shop = shop();
    let restock = Command::Operate(requested(1, ItemAction::Restock(5), 7));
    assert!(matches!(shop.ask(restock.clone()), Outcome::Item(_)));
    let after = counters(&shop);
    assert_eq!(shop.ask(restock.clone()), Outcome::ItemReplayed(after));
    assert_eq!(after.allotted, 15);

    let other = Command::Operate(requested(1, ItemAction::Restock(6), 7));
    assert_eq!(shop.ask(other), Outcome::Refused(Refusal::IdempotencyKeyReused));
    // A repeat that comes late changes nothing of what was done since.
    let pause = Command::Operate(requested(1, ItemAction::Pause, 8));
    shop.ask(pause.clone());
    shop.ask(Command::Operate(requested(1, ItemAction::Resume, 9)));
    assert_eq!(shop.ask(pause), Outcome::ItemReplayed(after));
    assert!(shop.place(1, 1, 1).is_some(), "it sells");
    // Nor one that comes after the end.
    shop.ask(operate(ITEM, ItemAction::End));
    let after = counters(&shop);
    assert_eq!(shop.ask(restock.clone()), Outcome::ItemReplayed(after));

    let restored = Stock::restore(shop.stock.shard(), shop.stock.snapshot()).expect("restored");
    assert_eq!(restored.decide(shop.now, &restock).outcome, Outcome::ItemReplayed(after));
}

#[test]
fn the_oldest_operations_are_forgotten() {
    let mut shop = shop();
    for request in 0..=OPERATIONS_REMEMBERED as u64 {
        shop.ask(Command::Operate(requested(1, ItemAction::Restock(1), request)));
    }
    assert_eq!(shop.stock.item(ITEM).expect("an item").operations.len(), OPERATIONS_REMEMBERED);
    let newest = OPERATIONS_REMEMBERED as u64;
    for (request, is_known) in [(newest, true), (1, true), (0, false)] {
        let outcome = shop.ask(Command::Operate(requested(1, ItemAction::Restock(1), request)));
        assert_eq!(matches!(outcome, Outcome::ItemReplayed(_)), is_known, "{request}");
    }
}

#[test]
fn units_are_taken_back_as_far_as_they_are_available() {
    let mut shop = shop();
    let order = shop.place(1, 1, 1).expect("an order");
    shop.pay(&order);
    shop.place(1, 2, 2).expect("an order");
    let refused = shop.ask(operate(ITEM, ItemAction::Reduce(9)));
    assert_eq!(refused, Outcome::Refused(Refusal::FewerAvailable { available: 8 }));
    let refused = shop.ask(operate(ITEM, ItemAction::Reduce(0)));
    assert_eq!(refused, Outcome::Refused(Refusal::OutOfRange));
    let none_left = ItemCounters { allotted: 2, available: 0, reserved: 1, sold: 1 };
    assert_eq!(shop.ask(operate(ITEM, ItemAction::Reduce(8))), Outcome::Item(none_left));
    assert!(shop.place(1, 3, 3).is_none(), "sold out");
}

#[test]
fn nothing_but_the_end_follows_the_end() {
    let (started, ends_at) = (shop().now, shop().now.plus_milliseconds(10));
    let actions = [
        ItemAction::Restock(1),
        ItemAction::Reduce(1),
        ItemAction::Pause,
        ItemAction::Resume,
        ItemAction::Admit(guarded(1)),
    ];
    let conflict = Outcome::Refused(Refusal::PhaseConflict);
    for by_clock in [true, false] {
        let ends_at = if by_clock { ends_at } else { Timestamp::MAX };
        let mut shop = Shard::with([domain::ItemTerms { ends_at, ..terms(1, 10, 2, 1_000) }]);
        shop.now = started;
        shop.ask(operate(ITEM, ItemAction::Pause));
        if by_clock {
            shop.now = ends_at;
        } else {
            shop.ask(operate(ITEM, ItemAction::End));
        }
        for action in actions {
            assert_eq!(shop.ask(operate(ITEM, action)), conflict, "{action:?}, clock {by_clock}");
        }
        shop.ask(Command::Settle { item_id: ITEM, stored_seq: shop.stock.seq() });
        assert!(shop.stock.item(ITEM).expect("an item").settled);
        for action in actions {
            assert_eq!(shop.ask(operate(ITEM, action)), conflict, "{action:?}, clock {by_clock}");
        }
        let after = counters(&shop);
        assert_eq!(shop.ask(operate(ITEM, ItemAction::End)), Outcome::Item(after));
    }
}

#[test]
fn an_item_is_guarded_as_its_last_operator_says() {
    let mut shop = shop();
    let admission = |shop: &Shard| shop.stock.item(ITEM).expect("an item").admission;
    assert_eq!(admission(&shop), Admission::OPEN);
    let guard = Command::Operate(requested(1, ItemAction::Admit(guarded(500)), 7));
    let after = counters(&shop);
    assert_eq!(shop.ask(guard.clone()), Outcome::Item(after));
    assert_eq!(admission(&shop), guarded(500));
    let seq = shop.stock.seq();
    assert_eq!(shop.ask(operate(ITEM, ItemAction::Admit(guarded(500)))), Outcome::Item(after));
    assert_eq!(shop.stock.seq(), seq, "nothing changed, and nothing was written");

    // A repeat that comes late changes nothing of what was done since; another one has a key of its own.
    shop.ask(Command::Operate(requested(1, ItemAction::Admit(Admission::OPEN), 8)));
    assert_eq!(shop.ask(guard.clone()), Outcome::ItemReplayed(after));
    assert_eq!(admission(&shop), Admission::OPEN);
    let other = Command::Operate(requested(1, ItemAction::Admit(guarded(501)), 7));
    assert_eq!(shop.ask(other), Outcome::Refused(Refusal::IdempotencyKeyReused));

    let restored = Stock::restore(shop.stock.shard(), shop.stock.snapshot()).expect("restored");
    assert_eq!(restored.decide(shop.now, &guard).outcome, Outcome::ItemReplayed(after));
    assert!(shop.place(1, 1, 1).is_some(), "who may buy is settled before a purchase gets here");
}

#[test]
fn an_item_is_opened_guarded_and_with_bounds() {
    let mut shop = Shard::new();
    let ends_at = shop.now.plus_milliseconds(600);
    let with = |spread| ItemTerms {
        starts_at: OPENING,
        ends_at,
        admission: guarded(spread),
        ..terms(1, 10, 2, 1_000)
    };
    let refused = Outcome::Refused(Refusal::OutOfRange);
    assert_eq!(shop.ask(Command::Open(with(600))), refused, "the last buyers could not start");
    let opened = shop.ask(Command::Open(with(599)));
    assert!(matches!(opened, Outcome::Item(_)), "{opened:?}");
    assert_eq!(shop.stock.item(ITEM).expect("an item").admission, guarded(599));
    assert_eq!(shop.ask(operate(ITEM, ItemAction::Admit(guarded(600)))), refused);
    // A preheat that is repeated after an operator has changed the guard leaves it as it is.
    shop.ask(operate(ITEM, ItemAction::Admit(guarded(5))));
    assert!(matches!(shop.ask(Command::Open(with(599))), Outcome::Item(_)));
    assert_eq!(shop.stock.item(ITEM).expect("an item").admission, guarded(5));
}

#[test]
fn a_buyer_who_gave_up_too_often_hears_so() {
    let mut shop = shop();
    for request in 0..u64::from(2 + SPARE_ATTEMPTS) {
        let order = shop.place(1, 1, request).expect("an order");
        shop.cancel(&order);
    }
    let refused = shop.ask(crate::shard::buying(1, 1, 999, 1));
    assert_eq!(refused, Outcome::Refused(Refusal::AttemptsExhausted));
    assert!(shop.place(1, 2, 999).is_some(), "another buyer may");
}

#[test]
fn a_request_without_a_key_stands_for_itself() {
    let mut shop = shop();
    let mut restock = requested(1, ItemAction::Restock(5), 7);
    if let Some(request) = &mut restock.request {
        request.request_id = None;
    }
    for allotted in [15, 20] {
        assert!(matches!(shop.ask(Command::Operate(restock.clone())), Outcome::Item(_)));
        assert_eq!(counters(&shop).allotted, allotted);
    }
    assert_eq!(shop.stock.item(ITEM).expect("an item").operations, []);
}
