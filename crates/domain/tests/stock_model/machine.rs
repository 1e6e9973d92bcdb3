//! Random commands, step by step against the ledger (I1, I2, I5, I6, I7, I10, I14, I17).

use crate::payments::{PaymentStep, payment_step};
use crate::shard::{OPENING, Shard, buying, guarded, operate, requested, terms};
use domain::{
    Command, ItemAction, ItemId, ItemTerms, Order, OrderId, OrderStatus, Outcome, Refusal, UserId,
};
use proptest::prelude::*;
use std::collections::HashSet;

/// What a buyer or an operator does; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Buy { item: u64, user: u64, request: u64, quantity: u16 },
    Repeat { order: usize, other_quantity: bool },
    Pay { order: usize, by_owner: bool },
    Payment { order: usize, step: PaymentStep },
    Cancel { order: usize, by_owner: bool },
    Expire { limit: usize },
    ExpireOne { order: usize },
    Wait { milliseconds: u64 },
    Restock { item: u64, units: u32, request: u64 },
    Reduce { item: u64, units: u32, request: u64 },
    Phase { item: u64, phase: u8 },
    Admit { item: u64, spread: u32, request: u64 },
    Settle { item: u64, stored: bool },
    Open { item: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let item = 0..5_u64;
    let order = any::<usize>();
    let step = prop_oneof![
        12 => (item.clone(), 0..8_u64, 0..40_u64, 1..4_u16)
            .prop_map(|(item, user, request, quantity)| Step::Buy { item, user, request, quantity }),
        3 => (order, any::<bool>())
            .prop_map(|(order, other_quantity)| Step::Repeat { order, other_quantity }),
        4 => (order, 0..8_u8).prop_map(|(order, by)| Step::Pay { order, by_owner: by > 0 }),
        8 => (order, payment_step()).prop_map(|(order, step)| Step::Payment { order, step }),
        4 => (order, 0..8_u8)
            .prop_map(|(order, by)| Step::Cancel { order, by_owner: by > 0 }),
        3 => (1..6_usize).prop_map(|limit| Step::Expire { limit }),
        1 => order.prop_map(|order| Step::ExpireOne { order }),
        4 => (0..400_u64).prop_map(|milliseconds| Step::Wait { milliseconds }),
        1 => (item.clone(), 0..20_u32, 0..9_u64)
            .prop_map(|(item, units, request)| Step::Restock { item, units, request }),
        1 => (item.clone(), 0..9_u32, 0..9_u64)
            .prop_map(|(item, units, request)| Step::Reduce { item, units, request }),
        2 => (item.clone(), 0..9_u8).prop_map(|(item, phase)| Step::Phase { item, phase }),
        1 => (item.clone(), 0..3_u32, 0..9_u64)
            .prop_map(|(item, spread, request)| Step::Admit { item, spread, request }),
        1 => (item.clone(), any::<bool>()).prop_map(|(item, stored)| Step::Settle { item, stored }),
        1 => item.prop_map(|item| Step::Open { item }),
    ];
    proptest::collection::vec(step, 1..120)
}

/// Three items with payment windows of their own, two opened at first.
fn shop() -> Shard {
    Shard::with([terms(0, 9, 3, 500), terms(1, 30, 5, 1_000)])
}

fn take(shop: &mut Shard, step: &Step, orders: &mut Vec<Order>) {
    let pick = |orders: &Vec<Order>, number: usize| {
        (!orders.is_empty()).then(|| orders[number % orders.len().max(1)])
    };
    let stranger = UserId(999);
    match *step {
        Step::Buy { item, user, request, quantity } => {
            // Requests are a buyer's own for one item, as the edge sees to.
            let request = request * 10 + item;
            let before = orders
                .iter()
                .find(|order| (order.user_id.0, order.request_id.0) == (user, request))
                .copied();
            match (shop.ask(buying(item, user, request, quantity)), before) {
                (Outcome::Placed(order), None) => orders.push(order),
                (Outcome::Replayed(order), Some(before)) => {
                    assert!(order.same_purchase(&before), "a repeat gets the same order");
                }
                (Outcome::Refused(Refusal::IdempotencyKeyReused), Some(before)) => {
                    assert_ne!(before.quantity, quantity);
                }
                (Outcome::Refused(Refusal::SaleEnded), Some(_)) => {
                    assert!(shop.stock.item(ItemId(item)).is_some_and(|item| item.settled));
                }
                (Outcome::Refused(_), None) => {}
                other => panic!("{other:?}"),
            }
        }
        Step::Repeat { order, other_quantity } => {
            let Some(order) = pick(orders, order) else { return };
            let quantity = order.quantity + u16::from(other_quantity);
            let command = buying(order.item_id.0, order.user_id.0, order.request_id.0, quantity);
            let seq = shop.stock.seq();
            match shop.ask(command) {
                Outcome::Replayed(found) => {
                    assert!(!other_quantity && found.same_purchase(&order));
                }
                Outcome::Refused(Refusal::IdempotencyKeyReused) => assert!(other_quantity),
                Outcome::Refused(Refusal::SaleEnded) => {
                    assert!(shop.stock.item(order.item_id).is_some_and(|item| item.settled));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(shop.stock.seq(), seq, "a repeat is no fact");
        }
        Step::Pay { order, by_owner } => {
            let Some(order) = pick(orders, order) else { return };
            let before = shop.stock.order(order.order_id);
            let user_id = if by_owner { order.user_id } else { stranger };
            let outcome = shop.ask(Command::Pay { order_id: order.order_id, user_id });
            match before.filter(|_| by_owner).map(|before| before.status) {
                None => assert_eq!(outcome, Outcome::Refused(Refusal::OrderNotFound)),
                Some(OrderStatus::Reserved) if shop.now < order.expires_at => {
                    assert_eq!(status_of(outcome), OrderStatus::Paid);
                }
                Some(OrderStatus::Paid) => assert_eq!(status_of(outcome), OrderStatus::Paid),
                Some(_) => assert_eq!(status_of(outcome), OrderStatus::RefundDue),
            }
        }
        Step::Payment { order, ref step } => {
            if let Some(order) = pick(orders, order) {
                step.take(shop, &order);
            }
        }
        Step::Cancel { order, by_owner } => {
            let Some(order) = pick(orders, order) else { return };
            let before = shop.stock.order(order.order_id);
            let user_id = if by_owner { order.user_id } else { stranger };
            let outcome = shop.ask(Command::Cancel { order_id: order.order_id, user_id });
            match before.filter(|_| by_owner) {
                None => assert_eq!(outcome, Outcome::Refused(Refusal::OrderNotFound)),
                Some(before) if before.status == OrderStatus::Reserved => {
                    assert_eq!(status_of(outcome), OrderStatus::Cancelled);
                }
                Some(before) if before.status == OrderStatus::Cancelled => {
                    assert_eq!(outcome, Outcome::Order(before));
                }
                Some(before) => {
                    assert_eq!(outcome, Outcome::Refused(Refusal::OrderClosed(before)));
                }
            }
        }
        Step::Expire { limit } => expire(shop, limit),
        Step::ExpireOne { order } => {
            let Some(order) = pick(orders, order) else { return };
            let before = shop.stock.order(order.order_id);
            let outcome = shop.ask(Command::Expire { order_id: order.order_id });
            match before {
                None => assert_eq!(outcome, Outcome::Refused(Refusal::OrderNotFound)),
                Some(before) => {
                    let over = shop.now >= before.expires_at;
                    let expires = before.status == OrderStatus::Reserved && over;
                    let after = if expires { OrderStatus::Expired } else { before.status };
                    assert_eq!(status_of(outcome), after);
                }
            }
        }
        Step::Wait { milliseconds } => shop.now = shop.now.plus_milliseconds(milliseconds),
        Step::Restock { item, units, request } => {
            shop.ask(Command::Operate(requested(item, ItemAction::Restock(units), request)));
        }
        Step::Reduce { item, units, request } => {
            shop.ask(Command::Operate(requested(item, ItemAction::Reduce(units), request)));
        }
        Step::Phase { item, phase } => {
            let item = ItemId(item);
            shop.ask(match phase {
                0 => operate(item, ItemAction::End),
                1..=3 => operate(item, ItemAction::Pause),
                _ => operate(item, ItemAction::Resume),
            });
        }
        Step::Admit { item, spread, request } => {
            let admission = guarded(spread);
            let action = ItemAction::Admit(admission);
            match shop.ask(Command::Operate(requested(item, action, request))) {
                Outcome::Item(_) => {
                    let item = shop.stock.item(ItemId(item)).expect("an item");
                    assert_eq!(item.admission, admission);
                }
                Outcome::ItemReplayed(_) | Outcome::Refused(_) => {}
                other => panic!("{other:?}"),
            }
        }
        Step::Settle { item, stored } => {
            let stored_seq = if stored { shop.stock.seq() } else { 0 };
            shop.ask(Command::Settle { item_id: ItemId(item), stored_seq });
        }
        Step::Open { item } => {
            let admission = guarded(item as u32 % 2);
            let terms = ItemTerms { admission, ..terms(item, 5, 2, 250 * (item + 1)) };
            shop.ask(Command::Open(terms));
        }
    }
}

/// Expires, and checks that exactly what is due came, oldest of each payment window first.
fn expire(shop: &mut Shard, limit: usize) {
    let due: HashSet<OrderId> = shop
        .ledger
        .orders()
        .values()
        .filter(|order| order.status == OrderStatus::Reserved && order.expires_at <= shop.now)
        .map(|order| order.order_id)
        .collect();
    let expired = shop.expire(limit);
    let distinct: HashSet<OrderId> = expired.iter().copied().collect();
    assert_eq!(distinct.len(), expired.len(), "each once");
    assert!(distinct.is_subset(&due), "only what is due");
    assert_eq!(distinct.len(), due.len().min(limit), "all that is due, up to the limit");
}

fn status_of(outcome: Outcome) -> OrderStatus {
    match outcome {
        Outcome::Order(order) => order.status,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_state_machine_agrees_with_the_ledger(steps in steps()) {
        let mut shop = shop();
        let mut orders = Vec::new();
        for step in &steps {
            take(&mut shop, step, &mut orders);
        }
        shop.check_orders();
        shop.check_money();
        crate::round_trips::check(&mut shop);
        // In the end everything expires, once, and nothing is reserved.
        shop.now = OPENING.plus_milliseconds(1 << 40);
        while !shop.stock.due(shop.now, 3).is_empty() {
            expire(&mut shop, 3);
        }
        prop_assert!(shop.stock.items().iter().all(|item| item.counters.reserved == 0));
        shop.check_orders();
        shop.check_money();
    }
}
