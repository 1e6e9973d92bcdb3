//! The one map from refusals and errors to problems: which code each of them is, and what it tells
//! the caller.

use super::code::Code;
use super::value::{FieldError, Problem};
use crate::actors::{NotDelivered, WebhookError, WebhookRefused};
use crate::http::limits::{Saturated, Standing};
use crate::sales::preheat::PreheatError;
use crate::sales::{CatalogueError, ReadError, RecordsUnavailable};
use domain::payment::PAYMENTS_STARTED_MAX;
use domain::{Refusal, StepRefused};
use std::num::NonZeroU32;

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ItemNotFound => Self::item_not_found(),
            Refusal::OrderNotFound => Self::order_not_found(),
            Refusal::SaleNotStarted { starts_at } => Self {
                starts_at: Some(starts_at),
                ..Self::new(Code::SaleNotStarted, "wait until starts_at")
            },
            Refusal::SaleEnded => Self::new(Code::SaleEnded, "the sale of this item is over"),
            Refusal::SalePaused => {
                Self::new(Code::SalePaused, "an operator has paused the sale of this item")
            }
            Refusal::SoldOut => {
                Self::new(Code::SoldOut, "fewer units are available than were asked for")
            }
            Refusal::LimitReached => {
                Self::new(Code::LimitReached, "with these you would hold more than one buyer may")
            }
            Refusal::AttemptsExhausted => Self::new(
                Code::AttemptsExhausted,
                "you have ordered this item and given it up as often as one buyer may",
            ),
            Refusal::IdempotencyKeyReused => Self::new(
                Code::IdempotencyKeyReused,
                "this Idempotency-Key was used for another request: use a new one",
            ),
            Refusal::OrderClosed(order) => Self::order_closed(&order),
            Refusal::PaymentNotFound => {
                Self::new(Code::PaymentNotFound, "there is no such payment")
            }
            Refusal::PaymentClosed(state) => Self::new(
                Code::PaymentClosed,
                format!(
                    "the payment is {}: only one that is refund_due is given back",
                    state.name()
                ),
            ),
            Refusal::TooManyPayments => Self::new(
                Code::TooManyPayments,
                format!(
                    "{PAYMENTS_STARTED_MAX} payments of this order were begun: there is no other"
                ),
            ),
            Refusal::PhaseConflict => {
                Self::new(Code::StateConflict, "the item is in a state that does not allow this")
            }
            Refusal::FewerAvailable { available } => Self::new(
                Code::StateConflict,
                format!("only {available} units are available, the others are reserved or sold"),
            ),
            Refusal::OutOfRange => {
                Self::field("/units", "would take the item's allotment beyond its bound")
            }
        }
    }
}

impl From<Standing> for Problem {
    fn from(standing: Standing) -> Self {
        let seconds = standing.wait_seconds();
        let detail = format!("nothing was done: you ask too often; try again in {seconds} s");
        Self {
            standing: Some(Box::new(standing)),
            retry_after_seconds: NonZeroU32::new(seconds),
            ..Self::new(Code::RateLimited, detail)
        }
    }
}

impl From<Saturated> for Problem {
    fn from(saturated: Saturated) -> Self {
        Self {
            retry_after_seconds: NonZeroU32::new(saturated.wait_seconds),
            ..Self::new(
                Code::Overloaded,
                "nothing was done: more buyers ask than are let in at once",
            )
        }
    }
}

impl From<NotDelivered> for Problem {
    fn from(reason: NotDelivered) -> Self {
        match reason {
            NotDelivered::Overloaded => {
                Self::new(Code::Overloaded, "nothing was done: try again in a moment")
            }
            NotDelivered::StorageFull => {
                Self::new(Code::Overloaded, "nothing was done: the journal has no room")
            }
            NotDelivered::LogUnavailable => {
                let detail =
                    "nothing was done: the log of the nodes confirms nothing at the moment";
                Self::new(Code::LogUnavailable, detail)
            }
            NotDelivered::StorageDamaged => {
                let detail = "nothing was done: the shop has stopped selling, because its journal is \
                              damaged; what was confirmed before is kept";
                Self::new(Code::JournalDamaged, detail)
            }
            NotDelivered::BacklogFull => {
                Self::new(Code::Overloaded, "nothing was done: the order store is behind")
            }
            NotDelivered::Quarantined => Self::new(
                Code::ItemQuarantined,
                "nothing was done: handling the item keeps failing, and it is not sold for now",
            ),
            NotDelivered::Moved => {
                let detail = "nothing was done: another node has it, or it is moving to one; try again in a \
                              moment";
                Self::new(Code::OwnerUnavailable, detail)
            }
            NotDelivered::NeedsToken => Self::new(
                Code::BuyTokenRequired,
                "this item is sold at the buy_url that POST to its buy-token path answers with",
            ),
            NotDelivered::ShuttingDown => {
                Self::new(Code::ShuttingDown, "nothing was done: the server is stopping")
            }
        }
    }
}

impl From<RecordsUnavailable> for Problem {
    fn from(error: RecordsUnavailable) -> Self {
        Self::new(Code::RecordsUnavailable, error.to_string())
    }
}

impl From<CatalogueError> for Problem {
    fn from(error: CatalogueError) -> Self {
        match error {
            CatalogueError::SaleNotFound => Self::sale_not_found(),
            CatalogueError::Refused(refused @ StepRefused::OwnWork) => {
                Self::new(Code::Forbidden, refused.to_string())
            }
            CatalogueError::Refused(_)
            | CatalogueError::Frozen
            | CatalogueError::ChangedMeanwhile => Self::new(Code::StateConflict, error.to_string()),
            CatalogueError::OtherRevision { present } => Self {
                revision: Some(present),
                ..Self::new(Code::RevisionConflict, error.to_string())
            },
            CatalogueError::RevisionUnsaid { present } => Self {
                revision: Some(present),
                ..Self::new(Code::RevisionRequired, error.to_string())
            },
            CatalogueError::KeyReused => Self::new(Code::IdempotencyKeyReused, error.to_string()),
            CatalogueError::TooManyPictures => Self::new(Code::StateConflict, error.to_string()),
            CatalogueError::NameTaken => Self::new(Code::UserNameTaken, "choose another user name"),
            CatalogueError::LinkUsed
            | CatalogueError::TooManyOperators
            | CatalogueError::OwnAccount => Self::new(Code::StateConflict, error.to_string()),
            CatalogueError::OperatorDisabled => Self::new(Code::Forbidden, error.to_string()),
            CatalogueError::OperatorNotFound => Self::new(Code::NotFound, error.to_string()),
            CatalogueError::Invalid(problems) => Self::fields(
                problems
                    .into_iter()
                    .map(|problem| FieldError::new(pointer_of(&problem.field), problem.detail))
                    .collect(),
            ),
            CatalogueError::Store(error) => {
                tracing::warn!(%error, "the catalogue did not answer");
                RecordsUnavailable.into()
            }
        }
    }
}

impl From<WebhookRefused> for Problem {
    fn from(error: WebhookRefused) -> Self {
        match error {
            WebhookRefused::Url(why) => Self::field("/url", why.to_string()),
            WebhookRefused::Type(_) => Self::field("/types", error.to_string()),
            WebhookRefused::Ping(_) => Self::new(Code::WebhookPingFailed, error.to_string()),
            WebhookRefused::State(_) | WebhookRefused::Store(WebhookError::ChangedMeanwhile) => {
                Self::new(Code::StateConflict, error.to_string())
            }
            WebhookRefused::NotYet => Self::field("/from", error.to_string()),
            WebhookRefused::NoEvent => Self::new(Code::NotFound, error.to_string()),
            WebhookRefused::NoSecret => Self::new(Code::Overloaded, error.to_string()),
            WebhookRefused::Store(WebhookError::NotFound) => Self::not_found(),
            WebhookRefused::Store(WebhookError::TooMany { .. }) => {
                Self::new(Code::TooManyWebhooks, error.to_string())
            }
            WebhookRefused::Store(WebhookError::Store(error)) => {
                tracing::warn!(%error, "the webhooks' tables did not answer");
                RecordsUnavailable.into()
            }
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Load(error) => error.into(),
            ReadError::Overloaded => Self::new(Code::Overloaded, error.to_string()),
        }
    }
}

/// Returns `items[2].price` as the JSON Pointer `/items/2/price`.
fn pointer_of(field: &str) -> String {
    let mut pointer = String::with_capacity(field.len() + 1);
    pointer.push('/');
    for character in field.chars() {
        match character {
            '[' | '.' => pointer.push('/'),
            ']' => {}
            character => pointer.push(character),
        }
    }
    pointer
}

impl From<PreheatError> for Problem {
    fn from(error: PreheatError) -> Self {
        let detail = format!("approved, but not yet preheated; approve again to go on: {error}");
        match error {
            PreheatError::NotLoaded { reason: Some(reason), .. } => {
                Self { detail: detail.into(), ..Self::from(reason) }
            }
            PreheatError::NotLoaded { reason: None, .. } => Self::new(Code::OutcomeUnknown, detail),
            PreheatError::Refused(_) | PreheatError::NotOurs(_) => {
                Self::new(Code::StateConflict, detail)
            }
            PreheatError::Catalogue(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        Currency, ItemId, Order, OrderId, OrderStatus, PaymentState, RequestId, SaleId, Timestamp,
        UserId,
    };
    use hyper::StatusCode;

    fn order() -> Order {
        Order {
            order_id: OrderId(1),
            item_id: ItemId(2),
            sale_id: SaleId(3),
            user_id: UserId(4),
            request_id: RequestId(5),
            attempt: 1,
            quantity: 1,
            amount: 1,
            currency: Currency::parse("EUR").unwrap(),
            status: OrderStatus::Expired,
            expires_at: Timestamp(0),
        }
    }

    #[test]
    fn every_refusal_has_its_code() {
        let starts_at = Timestamp(0);
        for (refusal, status, code) in [
            (Refusal::ItemNotFound, 404, "item_not_found"),
            (Refusal::OrderNotFound, 404, "order_not_found"),
            (Refusal::SaleNotStarted { starts_at }, 409, "sale_not_started"),
            (Refusal::SaleEnded, 409, "sale_ended"),
            (Refusal::SalePaused, 409, "sale_paused"),
            (Refusal::SoldOut, 409, "sold_out"),
            (Refusal::LimitReached, 409, "limit_reached"),
            (Refusal::AttemptsExhausted, 409, "attempts_exhausted"),
            (Refusal::FewerAvailable { available: 3 }, 409, "state_conflict"),
            (Refusal::IdempotencyKeyReused, 409, "idempotency_key_reused"),
            (Refusal::OrderClosed(order()), 409, "order_closed"),
            (Refusal::PaymentNotFound, 404, "payment_not_found"),
            (Refusal::PaymentClosed(PaymentState::Refunded), 409, "payment_closed"),
            (Refusal::TooManyPayments, 409, "too_many_payments"),
            (Refusal::PhaseConflict, 409, "state_conflict"),
            (Refusal::OutOfRange, 422, "invalid_field"),
        ] {
            let problem = Problem::from(refusal);
            assert_eq!(problem.code.status().as_u16(), status, "{refusal:?}");
            assert_eq!(problem.code.name(), code, "{refusal:?}");
        }
    }

    #[test]
    fn records_that_are_away_are_not_called_a_crowd() {
        assert_eq!(Problem::from(RecordsUnavailable).code, Code::RecordsUnavailable);
        let error = CatalogueError::Refused(StepRefused::OwnWork);
        assert_eq!(Problem::from(error).code, Code::Forbidden);
    }

    #[test]
    fn what_was_not_delivered_is_503_and_says_when_to_come_back() {
        for (reason, code) in [
            (NotDelivered::Overloaded, "overloaded"),
            (NotDelivered::StorageFull, "overloaded"),
            (NotDelivered::LogUnavailable, "log_unavailable"),
            (NotDelivered::StorageDamaged, "journal_damaged"),
            (NotDelivered::BacklogFull, "overloaded"),
            (NotDelivered::Quarantined, "item_quarantined"),
            (NotDelivered::Moved, "owner_unavailable"),
            (NotDelivered::ShuttingDown, "shutting_down"),
        ] {
            let problem = Problem::from(reason);
            assert_eq!(problem.code.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(problem.code.name(), code);
            assert!(problem.code.retry_after_seconds().is_some(), "{code}");
        }
    }
}
