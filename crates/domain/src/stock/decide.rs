//! What a command leads to: an event to journal, if anything changes, and the answer.

use super::state::{ItemState, Stock};
use crate::admission::Admission;
use crate::command::{Buy, Command, Outcome, Refusal};
use crate::event::Event;
use crate::ids::{ItemId, OrderId, Timestamp, UserId};
use crate::operation::{ItemAction, Operation};
use crate::order::{Order, OrderStatus};
use crate::sale::{ALLOTTED_MAX, ItemCounters, ItemPhase, ItemTerms, SPARE_ATTEMPTS};

/// What was decided: the fact, if there is a new one, and what to answer once it is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The fact to journal and apply.
    pub event: Option<Event>,
    /// The answer to the caller.
    pub outcome: Outcome,
}

impl Decision {
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self { event: None, outcome: Outcome::Refused(refusal) }
    }

    pub(super) fn unchanged(order: Order) -> Self {
        Self { event: None, outcome: Outcome::Order(order) }
    }

    pub(super) fn changed(order: Order, status: OrderStatus) -> Self {
        let order = Order { status, ..order };
        Self { event: Some(Event::Order(order)), outcome: Outcome::Order(order) }
    }
}

impl Stock {
    /// Decides `command` at `now`. Changes nothing: the caller journals the event, then applies it.
    ///
    /// Time never goes back within a shard: a `now` before the last record counts as that record's.
    pub fn decide(&self, now: Timestamp, command: &Command) -> Decision {
        let now = now.max(self.at);
        match command {
            Command::Buy(buy) => self.buy(now, buy),
            Command::Pay { order_id, user_id } => self.pay(now, *order_id, *user_id),
            Command::StartPayment(asked) => self.start_payment(now, asked),
            Command::NotePayment(notice) => self.note_payment(now, notice),
            Command::Refund { id, reference } => self.refund(*id, reference),
            Command::Cancel { order_id, user_id } => self.cancel(*order_id, *user_id),
            Command::Expire { order_id } => self.expire(now, *order_id),
            Command::Open(terms) if !is_possible(terms.admission, terms) => {
                Decision::refused(Refusal::OutOfRange)
            }
            Command::Open(terms) => match self.item(terms.item_id) {
                None => match terms.counters_in(self.shard) {
                    Some(counters) => Decision {
                        event: Some(Event::ItemOpened(terms.clone())),
                        outcome: Outcome::Item(counters),
                    },
                    None => Decision::refused(Refusal::PhaseConflict),
                },
                Some(item) if item.terms == *terms => item_unchanged(item),
                Some(_) => Decision::refused(Refusal::PhaseConflict),
            },
            Command::Operate(operation) => self.operate(now, operation),
            Command::SendUnits(wanted) => self.send_units(now, *wanted),
            Command::ReceiveUnits(transfer) => self.receive_units(transfer),
            Command::SettleTransfer(transfer) => self.settle_transfer(transfer),
            Command::Settle { item_id, stored_seq } => self.settle(now, *item_id, *stored_seq),
        }
    }

    fn buy(&self, now: Timestamp, buy: &Buy) -> Decision {
        let Some(position) = self.position(buy.item_id) else {
            return Decision::refused(Refusal::ItemNotFound);
        };
        let item = &self.items[position as usize];
        if !self.has_bucket_of(item, buy.user_id) {
            return Decision::refused(Refusal::ItemNotFound);
        }
        let newest = self.buyers.find(&self.orders, position, buy.user_id);
        let mut live_units = 0;
        let mut attempts = 0;
        if let Some(newest) = newest {
            // A repeat gets its order whatever became of the sale since.
            let earlier = self.orders.of_request(newest, buy.request_id);
            if let Some(order) = earlier.and_then(|entry| self.view(entry)) {
                return if order.quantity == buy.quantity {
                    Decision { event: None, outcome: Outcome::Replayed(order) }
                } else {
                    Decision::refused(Refusal::IdempotencyKeyReused)
                };
            }
            if let Some(entry) = self.orders.get(newest) {
                live_units = entry.live_units;
                attempts = entry.attempt;
            }
        }
        if let Some(refusal) = not_selling(item, now) {
            return Decision::refused(refusal);
        }
        let limit = item.terms.limit_per_user;
        let units = u32::from(live_units) + u32::from(buy.quantity);
        if units > u32::from(limit) {
            return Decision::refused(Refusal::LimitReached);
        }
        if attempts >= limit.saturating_add(SPARE_ATTEMPTS) {
            return Decision::refused(Refusal::AttemptsExhausted);
        }
        if item.counters.available < u32::from(buy.quantity) {
            return Decision::refused(Refusal::SoldOut);
        }
        let order_id = OrderId::next(self.last_order_id, self.shard, now);
        let order = Order {
            order_id,
            item_id: buy.item_id,
            sale_id: item.terms.sale_id,
            user_id: buy.user_id,
            request_id: buy.request_id,
            attempt: attempts + 1,
            quantity: buy.quantity,
            amount: item.terms.price * u64::from(buy.quantity),
            currency: item.terms.currency,
            status: OrderStatus::Reserved,
            expires_at: order_id
                .created_at()
                .plus_milliseconds(item.terms.payment_window_milliseconds),
        };
        Decision { event: Some(Event::Order(order)), outcome: Outcome::Placed(order) }
    }

    fn cancel(&self, order_id: OrderId, user_id: UserId) -> Decision {
        match self.order_of(order_id, user_id) {
            None => Decision::refused(Refusal::OrderNotFound),
            Some(order) if order.status == OrderStatus::Reserved => {
                Decision::changed(order, OrderStatus::Cancelled)
            }
            Some(order) if order.status == OrderStatus::Cancelled => Decision::unchanged(order),
            Some(order) => Decision::refused(Refusal::OrderClosed(order)),
        }
    }

    fn expire(&self, now: Timestamp, order_id: OrderId) -> Decision {
        match self.order(order_id) {
            None => Decision::refused(Refusal::OrderNotFound),
            Some(order) if order.status == OrderStatus::Reserved && now >= order.expires_at => {
                Decision::changed(order, OrderStatus::Expired)
            }
            Some(order) => Decision::unchanged(order),
        }
    }

    fn operate(&self, now: Timestamp, operation: &Operation) -> Decision {
        let Some(item) = self.item(operation.item_id) else {
            return Decision::refused(Refusal::ItemNotFound);
        };
        if let Some(asked) = operation.remembered()
            && let Some(done) = item.operation_of(asked.request_id)
        {
            return if done.action == asked.action {
                Decision { event: None, outcome: Outcome::ItemReplayed(item.counters) }
            } else {
                Decision::refused(Refusal::IdempotencyKeyReused)
            };
        }
        let is_over = item.phase == ItemPhase::Ended || item.settled || now >= item.terms.ends_at;
        match operation.action {
            ItemAction::End if item.settled => return item_unchanged(item),
            // What is over by the clock may still be ended by hand.
            ItemAction::End => {}
            _ if is_over => return Decision::refused(Refusal::PhaseConflict),
            _ => {}
        }
        match operation.action {
            ItemAction::Admit(admission) if admission == item.admission => {
                return item_unchanged(item);
            }
            ItemAction::Admit(admission) if !is_possible(admission, &item.terms) => {
                return Decision::refused(Refusal::OutOfRange);
            }
            action if action.phase() == Some(item.phase) => return item_unchanged(item),
            _ => {}
        }
        // What is allotted or taken away is the whole item's: one bucket alone keeps that.
        let is_of_another_bucket = item.exchange.as_ref().is_some_and(|own| own.bucket != 0);
        if is_of_another_bucket && operation.action.units() > 0 {
            return Decision::refused(Refusal::PhaseConflict);
        }
        let elsewhere = match &item.exchange {
            Some(exchange) => exchange.allotted.saturating_sub(item.counters.allotted),
            None => 0,
        };
        match counters_after(item.counters, elsewhere, operation.action) {
            Ok(counters) => Decision {
                event: Some(Event::ItemOperated(operation.clone())),
                outcome: Outcome::Item(counters),
            },
            Err(refusal) => Decision::refused(refusal),
        }
    }

    fn settle(&self, now: Timestamp, item_id: ItemId, stored_seq: u64) -> Decision {
        let Some(item) = self.item(item_id) else {
            return Decision::refused(Refusal::ItemNotFound);
        };
        if item.settled {
            return item_unchanged(item);
        }
        let ended = item.phase == ItemPhase::Ended || now >= item.terms.ends_at;
        let gives = item.exchange.as_ref().is_some_and(|exchange| exchange.has_open());
        if !ended || gives || item.counters.reserved > 0 || item.last_seq > stored_seq {
            return Decision::refused(Refusal::PhaseConflict);
        }
        Decision { event: Some(Event::ItemSettled(item_id)), outcome: Outcome::Item(item.counters) }
    }

    pub(super) fn order_of(&self, order_id: OrderId, user_id: UserId) -> Option<Order> {
        self.order(order_id).filter(|order| order.user_id == user_id)
    }
}

/// An item's counters after an operator's action; `elsewhere` units of it are in other buckets.
fn counters_after(
    counters: ItemCounters,
    elsewhere: u32,
    action: ItemAction,
) -> Result<ItemCounters, Refusal> {
    let ItemCounters { allotted, available, .. } = counters;
    match action {
        ItemAction::Restock(units) => {
            let whole = allotted.checked_add(elsewhere).and_then(|whole| whole.checked_add(units));
            if units == 0 || whole.is_none_or(|whole| whole > ALLOTTED_MAX) {
                return Err(Refusal::OutOfRange);
            }
            let (allotted, available) = (allotted + units, available + units);
            Ok(ItemCounters { allotted, available, ..counters })
        }
        ItemAction::Reduce(0) => Err(Refusal::OutOfRange),
        ItemAction::Reduce(units) => match available.checked_sub(units) {
            // What is available is part of what is allotted (I1).
            Some(available) => {
                Ok(ItemCounters { allotted: allotted - units, available, ..counters })
            }
            None => Err(Refusal::FewerAvailable { available }),
        },
        ItemAction::Pause | ItemAction::Resume | ItemAction::End | ItemAction::Admit(_) => {
            Ok(counters)
        }
    }
}

fn is_possible(admission: Admission, terms: &ItemTerms) -> bool {
    admission.problems(terms.window_milliseconds()).is_empty()
}

fn item_unchanged(item: &ItemState) -> Decision {
    Decision { event: None, outcome: Outcome::Item(item.counters) }
}

fn not_selling(item: &ItemState, now: Timestamp) -> Option<Refusal> {
    let terms = &item.terms;
    if item.phase == ItemPhase::Ended || item.settled || now >= terms.ends_at {
        Some(Refusal::SaleEnded)
    } else if now < terms.starts_at {
        Some(Refusal::SaleNotStarted { starts_at: terms.starts_at })
    } else if item.phase == ItemPhase::Paused {
        Some(Refusal::SalePaused)
    } else {
        None
    }
}
