//! What a client was told. One name for every answer the API can give, so that counts
//! are arrays and reports are complete.

use serde::Serialize;

use crate::wire::Failure;

macro_rules! outcomes {
    ($($variant:ident $name:literal $class:ident $doc:literal,)*) => {
        /// The answer to one request, or what came instead of one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Outcome {
            $(#[doc = $doc] $variant,)*
        }

        impl Outcome {
            /// All outcomes, in the order of reports.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in reports: the API's code where it has one.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What kind of outcome this is.
            #[must_use]
            pub fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)* }
            }

            /// The outcome for a problem document's `code`.
            fn of_code(code: &[u8]) -> Option<Self> {
                $(if code == $name.as_bytes() { return Some(Self::$variant); })*
                None
            }
        }
    };
}

/// Coarse classes of outcomes, for charts and criteria.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The request did what it was for.
    Granted,
    /// The rules of the sale said no; the system works.
    Refused,
    /// Said plainly that it cannot now: 503, or a rate limit.
    Unavailable,
    /// No answer, or one that leaves the outcome open.
    Unknown,
    /// An answer that a correct client never earns from a correct server.
    Unexpected,
}

impl Class {
    /// All classes, in the order of charts.
    pub const ALL: [Self; 5] =
        [Self::Granted, Self::Refused, Self::Unavailable, Self::Unknown, Self::Unexpected];

    /// The class as reports call it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused by rule",
            Self::Unavailable => "unavailable",
            Self::Unknown => "outcome unknown",
            Self::Unexpected => "unexpected",
        }
    }
}

outcomes! {
    Reserved "reserved" Granted "201: a new order.",
    Replayed "replayed" Granted "200: the order of an earlier request with this id.",
    Paid "paid" Granted "The order is paid.",
    Cancelled "cancelled" Granted "The order is cancelled.",
    RefundDue "refund_due" Granted "Paid after it expired: the money goes back.",
    Viewed "viewed" Granted "200: a page, a list or a status.",
    NotModified "not_modified" Granted "304: what the reader has is what there is.",
    SoldOut "sold_out" Refused "409: fewer units are left than were asked for.",
    LimitReached "limit_reached" Refused "409: this user has the item.",
    SaleNotStarted "sale_not_started" Refused "409: the sale has not opened.",
    SaleEnded "sale_ended" Refused "409: the sale is over.",
    SalePaused "sale_paused" Refused "409: an operator paused the item.",
    OrderClosed "order_closed" Refused "409: another event ended the order first.",
    BuyTokenRequired "buy_token_required" Refused "403: the item is guarded, and there was no buy token.",
    BuyTokenInvalid "buy_token_invalid" Refused "403: the buy token was not accepted.",
    ItemNotFound "item_not_found" Refused "404: there is no such item.",
    RateLimited "rate_limited" Unavailable "429: too many requests.",
    Overloaded "overloaded" Unavailable "503: no permit; nothing was tried.",
    LogUnavailable "log_unavailable" Unavailable "503: the log of the nodes confirms nothing.",
    OwnerUnavailable "owner_unavailable" Unavailable "503: another node has the item.",
    JournalDamaged "journal_damaged" Unavailable "503: the shop has stopped selling.",
    ItemQuarantined "item_quarantined" Unavailable "503: the item's shard is quarantined.",
    ShuttingDown "shutting_down" Unavailable "503: the server is shutting down.",
    NotDelivered "not_delivered" Unavailable "No connection: the request never left.",
    OutcomeUnknown "outcome_unknown" Unknown "503: repeat with the same request id.",
    ConnectionLost "connection_lost" Unknown "The connection ended before the answer.",
    TimedOut "timed_out" Unknown "No answer in time.",
    OrderNotFound "order_not_found" Unexpected "404 for an order that was confirmed.",
    IdempotencyKeyReused "idempotency_key_reused" Unexpected "409: the request id was used for another purchase.",
    Unauthenticated "unauthenticated" Unexpected "401: the token was not accepted.",
    Forbidden "forbidden" Unexpected "403: the token does not allow it.",
    InvalidField "invalid_field" Unexpected "422: a field is out of range.",
    MalformedJson "malformed_json" Unexpected "400: the body is not JSON.",
    OtherClientError "other_4xx" Unexpected "A 4xx without a known code.",
    OtherServerError "other_5xx" Unexpected "A 5xx without a known code.",
    Malformed "malformed_answer" Unexpected "An answer that cannot be read.",
}

impl Outcome {
    /// Number of outcomes: the length of arrays of counts.
    pub const COUNT: usize = Self::ALL.len();

    /// Position in [`Outcome::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Names what kept an answer away.
    #[must_use]
    pub fn of_failure(failure: Failure) -> Self {
        match failure {
            Failure::NotDelivered => Self::NotDelivered,
            Failure::ConnectionLost => Self::ConnectionLost,
            Failure::TimedOut => Self::TimedOut,
        }
    }

    /// Names a refusal by its problem document's code, else by its status.
    #[must_use]
    pub fn of_refusal(status: u16, body: &[u8]) -> Self {
        if let Some(outcome) = text_field(body, b"\"code\"").and_then(Self::of_code) {
            return outcome;
        }
        match status {
            503 => Self::Overloaded,
            500..=599 => Self::OtherServerError,
            400..=499 => Self::OtherClientError,
            _ => Self::Malformed,
        }
    }
}

/// The string value of a top-level field of a small JSON document, found without
/// parsing the rest: the generator shares the machine with what it measures. The name
/// is given with its quotes. Strings with escapes are not found; codes, ids and states
/// have none.
#[must_use]
pub fn text_field<'a>(body: &'a [u8], quoted_name: &[u8]) -> Option<&'a [u8]> {
    let at = body.windows(quoted_name.len()).position(|window| window == quoted_name)?;
    let rest = body.get(at + quoted_name.len()..)?.trim_ascii_start();
    let rest = rest.strip_prefix(b":")?.trim_ascii_start();
    let rest = rest.strip_prefix(b"\"")?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let value = &rest[..end];
    if value.contains(&b'\\') { None } else { Some(value) }
}

/// A decimal string field as a number, for order ids.
#[must_use]
pub fn number_field(body: &[u8], quoted_name: &[u8]) -> Option<u64> {
    std::str::from_utf8(text_field(body, quoted_name)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_named_by_code_then_by_status() {
        let check = |status, body: &str, expect| {
            assert_eq!(Outcome::of_refusal(status, body.as_bytes()), expect, "{status} {body}");
        };
        check(409, r#"{"type":"x","code":"sold_out"}"#, Outcome::SoldOut);
        check(409, r#"{ "code" : "limit_reached" }"#, Outcome::LimitReached);
        check(503, "", Outcome::Overloaded);
        check(500, r#"{"code":"never_heard"}"#, Outcome::OtherServerError);
        check(418, "", Outcome::OtherClientError);
        check(302, "", Outcome::Malformed);
    }

    #[test]
    fn fields_are_found_without_a_parser() {
        let body = br#"{"order_id":"77","status":"paid","note":"a\"b"}"#;
        assert_eq!(number_field(body, b"\"order_id\""), Some(77));
        assert_eq!(text_field(body, b"\"status\""), Some(&b"paid"[..]));
        assert_eq!(text_field(body, b"\"note\""), None);
        assert_eq!(text_field(body, b"\"absent\""), None);
    }

    #[test]
    fn indexes_are_positions() {
        for (position, outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!(outcome.index(), position);
        }
    }
}
