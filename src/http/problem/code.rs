//! The codes that a problem of this API can carry: each declared once, with its status, title and
//! meaning.
//!
//! Must not know which refusal leads to which code: `refusals.rs` maps them.

use hyper::StatusCode;

/// Declares the codes: name in the program, status, name in JSON, title, meaning.
macro_rules! codes {
    ($(#[doc = $meaning:literal] $variant:ident $status:literal $name:literal $title:literal;)*) => {
        /// Every code that a problem of this API can carry.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Code { $(#[doc = $meaning] $variant,)* }

        impl Code {
            /// All codes, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the status code of the response that carries it.
            pub fn status(self) -> StatusCode {
                let number = match self { $(Self::$variant => $status,)* };
                StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            /// Returns its name in JSON and in metrics.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns its title: what it says to a person, in short.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// Returns what it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning.trim_ascii_start(),)* }
            }
        }
    };
}

codes! {
    /// The body is not JSON, or not one JSON object without repeated keys.
    MalformedJson 400 "malformed_json" "The body is not valid JSON";
    /// The request line or a header is not HTTP as this server speaks it.
    BadRequest 400 "bad_request" "The request is not valid";
    /// A field, parameter or header has a value that is not allowed.
    InvalidField 422 "invalid_field" "A field is not valid";
    /// No token or one that is not accepted, or a wrong user name or password.
    Unauthenticated 401 "unauthenticated" "The caller is not authenticated";
    /// The request is not signed with the secret that both sides share, or was too long ago.
    SignatureInvalid 401 "signature_invalid" "The signature is not valid";
    /// The caller is known and may not do this.
    Forbidden 403 "forbidden" "Not allowed";
    /// A risk rule does not admit the caller. Which, and why, is not said.
    NotAdmitted 403 "not_admitted" "Not admitted";
    /// The item is guarded, and the purchase has no buy token.
    BuyTokenRequired 403 "buy_token_required" "A buy token is needed";
    /// The buy token was made for another buyer or item, is too old, or was made by nobody.
    BuyTokenInvalid 403 "buy_token_invalid" "The buy token is not good";
    /// A buy token of this item is given out for a solved challenge only.
    ChallengeRequired 403 "challenge_required" "Solve the challenge first";
    /// What was sent does not solve the challenge, or it has expired.
    ChallengeFailed 403 "challenge_failed" "The challenge was not solved";
    /// The payment failed, or the sandbox was told to let it fail.
    PaymentFailed 402 "payment_failed" "The payment failed";
    /// No such path.
    NotFound 404 "not_found" "No such resource";
    /// No such item, or none that is on sale.
    ItemNotFound 404 "item_not_found" "No such item";
    /// No such order of this buyer.
    OrderNotFound 404 "order_not_found" "No such order";
    /// No such payment.
    PaymentNotFound 404 "payment_not_found" "No such payment";
    /// No such sale, or none that the caller may see.
    SaleNotFound 404 "sale_not_found" "No such sale";
    /// The path is known, the method is not one of its methods.
    MethodNotAllowed 405 "method_not_allowed" "This method is not available here";
    /// The client took too long to send its request.
    RequestTimeout 408 "request_timeout" "The request took too long to arrive";
    /// Fewer units are available than were asked for.
    SoldOut 409 "sold_out" "Sold out";
    /// The buyer would hold more of the item than allowed.
    LimitReached 409 "limit_reached" "The limit per buyer is reached";
    /// The buyer has placed and given up as many orders of the item as one buyer may.
    AttemptsExhausted 409 "attempts_exhausted" "Too many attempts";
    /// The sale has not begun.
    SaleNotStarted 409 "sale_not_started" "The sale has not started";
    /// Buy tokens of this item are not given out yet.
    BuyTokenNotOpen 409 "buy_token_not_open" "Too early for a buy token";
    /// The sale is over.
    SaleEnded 409 "sale_ended" "The sale has ended";
    /// An operator has paused the item.
    SalePaused 409 "sale_paused" "The sale is paused";
    /// The order has ended.
    OrderClosed 409 "order_closed" "The order is closed";
    /// The payment stands where this cannot be done to it.
    PaymentClosed 409 "payment_closed" "The payment is closed";
    /// As many payments of the order were begun as may be.
    TooManyPayments 409 "too_many_payments" "Too many payments";
    /// The receiver of a webhook did not take the ping that it was sent.
    WebhookPingFailed 409 "webhook_ping_failed" "The receiver did not take the ping";
    /// There are as many endpoints of webhooks as there may be.
    TooManyWebhooks 409 "too_many_webhooks" "Too many endpoints";
    /// The key was used for another purchase.
    IdempotencyKeyReused 409 "idempotency_key_reused" "The Idempotency-Key was used before";
    /// The sale or item is in a state that does not allow this.
    StateConflict 409 "state_conflict" "Not possible in this state";
    /// Another user has this user name.
    UserNameTaken 409 "user_name_taken" "The user name is taken";
    /// The sale, or what else was to be changed, was changed since the revision that the request names.
    RevisionConflict 412 "revision_conflict" "It was changed meanwhile";
    /// The body is larger than allowed.
    BodyTooLarge 413 "body_too_large" "The body is too large";
    /// The body's type or encoding is not accepted.
    UnsupportedMediaType 415 "unsupported_media_type" "The body's type is not supported";
    /// It was edited, and the request does not say which revision it means.
    RevisionRequired 428 "revision_required" "Say which revision you mean";
    /// The buyer follows as many orders as one buyer may at the same time.
    TooManyEventStreams 429 "too_many_event_streams" "Too many event streams are open";
    /// The caller asks more often than it may: the policies that it would violate are named.
    RateLimited 429 "rate_limited" "Too many requests";
    /// The head of the request is larger than allowed.
    HeadersTooLarge 431 "headers_too_large" "Too many headers";
    /// The server has more to do than it can take at once.
    Overloaded 503 "overloaded" "Too busy at the moment";
    /// Where orders, sales and users are stored does not answer.
    RecordsUnavailable 503 "records_unavailable" "The records cannot be reached at the moment";
    /// The log that several nodes share confirms nothing at the moment.
    LogUnavailable 503 "log_unavailable" "Nothing can be confirmed at the moment";
    /// Another node has the item or the order, or it is on its way to one.
    OwnerUnavailable 503 "owner_unavailable" "Its node cannot be reached at the moment";
    /// The keys of the issuer who made the token are not known.
    IssuerUnavailable 503 "issuer_unavailable" "The token's issuer cannot be reached at the moment";
    /// The server cannot tell whether it was done.
    OutcomeUnknown 503 "outcome_unknown" "The outcome is not known";
    /// What judges the challenges does not answer.
    ChallengeUnavailable 503 "challenge_unavailable" "Challenges cannot be judged at the moment";
    /// Who takes the buyers' money does not answer.
    PaymentUnavailable 503 "payment_unavailable" "Payments cannot begin at the moment";
    /// The shop has stopped selling, because its journal or the disk beneath it is damaged.
    JournalDamaged 503 "journal_damaged" "The shop has stopped selling";
    /// The item is not sold for now, because handling it keeps failing.
    ItemQuarantined 503 "item_quarantined" "The item is out of order";
    /// The server is stopping.
    ShuttingDown 503 "shutting_down" "The server is shutting down";
}

impl Code {
    /// Returns after how many seconds to try again, for the codes that ask for it.
    pub fn retry_after_seconds(self) -> Option<u32> {
        match self {
            Self::Overloaded
            | Self::RecordsUnavailable
            | Self::LogUnavailable
            | Self::OwnerUnavailable
            | Self::OutcomeUnknown
            | Self::ChallengeUnavailable
            | Self::PaymentUnavailable => Some(1),
            Self::ShuttingDown | Self::ItemQuarantined | Self::IssuerUnavailable => Some(5),
            // Somebody has to mend it first.
            Self::JournalDamaged => Some(60),
            _ => None,
        }
    }

    /// Returns the code of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_503_says_when_to_try_again_and_every_name_is_found() {
        for code in Code::ALL {
            let unavailable = code.status() == StatusCode::SERVICE_UNAVAILABLE;
            assert_eq!(code.retry_after_seconds().is_some(), unavailable, "{}", code.name());
            assert_eq!(Code::from_name(code.name()), Some(*code));
        }
    }
}
