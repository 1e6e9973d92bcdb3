//! What to make of each code: whether anything was done, and what comes next. For the pages that a
//! problem's `type` leads to.

use super::code::Code;

/// What to make of a code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// Whether anything was done.
    pub done: &'static str,
    /// What the program that asked does next.
    pub client: &'static str,
    /// What a person does.
    pub person: &'static str,
}

const NOTHING: &str = "Nothing was done.";
const REPAIR: &str = "Do not repeat the request as it is: it would be refused again.";
const SHOW: &str = "Show it to the buyer, and do not repeat the purchase by itself.";
const LATER: &str = "Repeat the request after the seconds in Retry-After, with the same Idempotency-Key \
                     if it has one; wait longer each time.";
const PROGRAMMER: &str = "Correct the program that asks; the detail says what is wrong.";
const WAIT: &str = "Wait a moment.";

impl Code {
    /// Returns what to make of it.
    pub fn explanation(self) -> Explanation {
        let (done, client, person) = match self {
            Self::MalformedJson
            | Self::BadRequest
            | Self::MethodNotAllowed
            | Self::UnsupportedMediaType
            | Self::HeadersTooLarge => (NOTHING, REPAIR, PROGRAMMER),
            Self::InvalidField => (
                NOTHING,
                "Correct the fields that `errors` names, and send the request again.",
                "Correct what was entered: `errors` says of each field what it must be.",
            ),
            Self::BodyTooLarge => (
                NOTHING,
                REPAIR,
                "Send less, such as a sale in two parts, or have the limit raised.",
            ),
            Self::NotFound => {
                (NOTHING, REPAIR, "Look the path up in the API's documentation, at /docs/.")
            }
            Self::Unauthenticated => (
                NOTHING,
                "Get a new token from POST /api/v1/login, then send the request again.",
                "Log in again. Operators have a new token made with `seckill mint`.",
            ),
            Self::Forbidden => (
                NOTHING,
                REPAIR,
                "Use an account that may do this; a sale is approved by another person than its writer.",
            ),
            Self::NotAdmitted => {
                (NOTHING, SHOW, "Ask those who run the shop if you think that this is a mistake.")
            }
            Self::ItemNotFound
            | Self::SaleNotFound
            | Self::OrderNotFound
            | Self::PaymentNotFound => {
                (NOTHING, REPAIR, "Go back to the list, and choose from what is there now.")
            }
            Self::RequestTimeout => (
                NOTHING,
                "Send the request again, its body at once after its head.",
                "See whether the connection is slow.",
            ),
            other => other.explanation_of_payment(),
        };
        Explanation { done, client, person }
    }

    /// Returns what to make of a code that payments lead to.
    fn explanation_of_payment(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::PaymentFailed => (
                "No money was taken, and the order is as it was.",
                "Offer to pay again, with a new Idempotency-Key, until the order's `expires_at`.",
                "Pay again, or in another way.",
            ),
            Self::PaymentClosed => (
                NOTHING,
                "Read the refunds again, and show how the payment stands now.",
                "See whether it was given back already: the reference says by what.",
            ),
            Self::TooManyPayments => (
                NOTHING,
                "Repeat an earlier request with its Idempotency-Key, which gets its payment.",
                "Finish a payment that you have begun, or cancel the order and buy again.",
            ),
            Self::PaymentUnavailable => (
                "No money was taken. The payment may have begun, and is the same one when it is asked for again.",
                LATER,
                "Wait a moment, then press the button again; the order is kept for you until its time is over.",
            ),
            Self::SignatureInvalid => (
                NOTHING,
                "Sign the bytes that are sent with the shared secret and the present time, then send them again.",
                "Compare the secret of both sides, and their clocks.",
            ),
            other => other.explanation_of_purchase(),
        }
    }

    /// Returns what to make of a code that purchases and orders lead to.
    fn explanation_of_purchase(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::SoldOut => (
                "Nothing was bought.",
                "Show it. Units come back when orders are cancelled or expire: look at the item again.",
                "Try again later, or take fewer.",
            ),
            Self::LimitReached => (
                "Nothing was bought.",
                SHOW,
                "Take fewer, or cancel an order that is not paid: the detail says how many are allowed.",
            ),
            Self::AttemptsExhausted => (
                "Nothing was bought.",
                SHOW,
                "Keep the next order: this item can be ordered and given up so many times and no more.",
            ),
            Self::BuyTokenRequired => (
                "Nothing was bought.",
                "Get a token from the item's buy-token path, and send the purchase to its `buy_url`.",
                "Buy on the shop's page: this item is not sold to programs that skip it.",
            ),
            Self::BuyTokenInvalid => (
                "Nothing was bought.",
                "Get a new token from the item's buy-token path; each is for one buyer, item and order.",
                "Load the shop's page again, then press the button.",
            ),
            Self::ChallengeRequired | Self::ChallengeFailed => (
                "No token was given out.",
                "Get a new challenge from the item's challenge path, solve it, and ask for a token with it.",
                "Load the page again and let it finish its check.",
            ),
            Self::ChallengeUnavailable => (
                "No token was given out.",
                LATER,
                "Wait. Those who run the shop see at the operations listener what is away.",
            ),
            Self::BuyTokenNotOpen => (
                "No token was given out.",
                "Wait until `opens_at`, by the clock of GET /api/v1/time.",
                "Come back shortly before the sale starts.",
            ),
            Self::SaleNotStarted => (
                "Nothing was bought.",
                "Wait until `starts_at`, by the clock of GET /api/v1/time.",
                "Come back when the sale starts.",
            ),
            Self::SaleEnded => ("Nothing was bought.", SHOW, "Look for another sale."),
            Self::SalePaused => (
                "Nothing was bought.",
                "Look at the item now and then: it is on sale again when its state is `live`.",
                "Wait: an operator has paused the sale.",
            ),
            Self::IdempotencyKeyReused => (
                NOTHING,
                "Use a new Idempotency-Key for each purchase, and the same one to repeat it only.",
                PROGRAMMER,
            ),
            Self::OrderClosed => (
                NOTHING,
                "Read the order again, and show how it has ended.",
                "Buy again, if the item is still on sale.",
            ),
            other => other.explanation_of_state(),
        }
    }

    /// Returns what to make of a code that the state of a sale, or of the server, leads to.
    fn explanation_of_state(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::RevisionConflict => (
                NOTHING,
                "Read it again, show what has changed, and name its `revision` in If-Match.",
                "Look at it as it is now, then decide again.",
            ),
            Self::RevisionRequired => (
                NOTHING,
                "Name the revision that was shown, in If-Match, as the ETag has it.",
                PROGRAMMER,
            ),
            Self::StateConflict => (
                NOTHING,
                "Read the sale or item again, and show what can be done with it now.",
                "See what others have done to it meanwhile; the audit log says who.",
            ),
            Self::WebhookPingFailed => (
                "A ping was sent, and the endpoint is as it was.",
                "Have the receiver verify with the secret and answer 2xx, then enable the endpoint again.",
                "See in the endpoint's deliveries what the receiver answered.",
            ),
            Self::TooManyWebhooks => (
                NOTHING,
                "Delete an endpoint that is not needed any more.",
                "Delete one, or have webhooks.endpoints_max raised.",
            ),
            Self::UserNameTaken => (NOTHING, "Ask for another name.", "Choose another name."),
            Self::TooManyEventStreams => (
                NOTHING,
                "Close streams that are not shown any more, or read the order now and then instead.",
                "Close other windows that show orders.",
            ),
            Self::RateLimited => (
                NOTHING,
                "Wait for the seconds in Retry-After. RateLimit-Policy says how often you may ask.",
                "Press once, and wait for the answer.",
            ),
            Self::OutcomeUnknown => (
                "It may or may not have been done.",
                "Repeat the request with the Idempotency-Key that it had. If it had none, read first what it was to \
                 change; `detail` says where a repeat is harmless.",
                "Do not order again; look at your orders.",
            ),
            Self::RecordsUnavailable => (
                "Nothing was read. A change of a sale or an account may have been done, if its answer was \
                 lost. Purchases go on.",
                LATER,
                "Wait. Those who run the shop see at the operations listener what is away.",
            ),
            Self::JournalDamaged => (
                "Nothing was bought, paid or cancelled. What was confirmed before is kept.",
                LATER,
                "Come back later. Those who run the shop see at the operations listener which place of \
                 the journal is damaged, and find what to do in docs/operations.md.",
            ),
            Self::ItemQuarantined => (
                "Nothing was bought.",
                LATER,
                "Wait. Those who run the shop find the reason in the log.",
            ),
            _ => (NOTHING, LATER, WAIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_in_sentences() {
        for code in Code::ALL {
            let Explanation { done, client, person } = code.explanation();
            for text in [done, client, person] {
                assert!(text.ends_with('.') && !text.contains("  "), "{}: {text}", code.name());
            }
            let may_wait = code.retry_after_seconds().is_some();
            assert!(person != WAIT || may_wait, "{} has no words of its own", code.name());
        }
    }
}
