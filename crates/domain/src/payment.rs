//! A payment and its life: started, then captured or failed; money that must go back is due for a refund until an
//! operator says that it was refunded.
//!
//! ```text
//! started ──▶ captured                  the order is paid by it
//!    │  ╲                               (a failed one may still be captured: the money came after all)
//!    ▼   ╲──▶ refund due ──▶ refunded   the order could not be paid by it any more
//!  failed ───────▲
//! ```
//!
//! What a provider tells arrives late, twice and out of order, so every fact is judged by what is there, and
//! nothing that was captured is ever taken back or counted again. Must not know any provider.

use crate::ids::{InvalidId, OrderId, RequestId, UserId};
use crate::order::{Order, OrderStatus};
use crate::sale::Currency;
use std::fmt;
use std::str::FromStr;

/// Payments of one order that buyers may start: a bound on what one order can hold. Money that comes is recorded
/// beyond it.
pub const PAYMENTS_STARTED_MAX: usize = 32;

/// A payment's identity: its order's, and which of that order's payments it is, from 1. As text both with a hyphen
/// between them, such as `385085134191251456-1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PaymentId {
    /// The order that it is for.
    pub order_id: OrderId,
    /// Its number among the order's payments, from 1.
    pub number: u16,
}

impl fmt::Display for PaymentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.order_id, self.number)
    }
}

impl FromStr for PaymentId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (order_id, number) = text.split_once('-').ok_or(InvalidId)?;
        let canonical =
            !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().ok().filter(|_| canonical).ok_or(InvalidId)?;
        Ok(Self { order_id: order_id.parse()?, number })
    }
}

/// Where a payment stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum PaymentState {
    /// The buyer was sent to the provider; no money has come.
    Started = 1,
    /// The money has come, and the order is paid by it.
    Captured = 2,
    /// The provider said that it will not come. It may have been wrong.
    Failed = 3,
    /// The money has come and must go back: the order had ended, or was paid already, or it was not its price.
    RefundDue = 4,
    /// The money went back.
    Refunded = 5,
}

impl PaymentState {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Started, Self::Captured, Self::Failed, Self::RefundDue, Self::Refunded];

    /// The name used in JSON, SQL and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Captured => "captured",
            Self::Failed => "failed",
            Self::RefundDue => "refund_due",
            Self::Refunded => "refunded",
        }
    }

    /// The state of this number, which is how journal and order store keep it.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u8 == number)
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether its money has come, wherever it is now.
    pub fn has_money(self) -> bool {
        matches!(self, Self::Captured | Self::RefundDue | Self::Refunded)
    }

    /// Whether a payment may go from `before`, if it was there, to `self`.
    pub fn may_follow(self, before: Option<Self>) -> bool {
        match (before, self) {
            (None, Self::Started | Self::Captured | Self::RefundDue)
            | (Some(Self::Started), Self::Captured | Self::Failed | Self::RefundDue)
            | (Some(Self::Failed), Self::Captured | Self::RefundDue)
            | (Some(Self::RefundDue), Self::Refunded) => true,
            (None | Some(_), _) => false,
        }
    }
}

/// Declares a short text that can only be made of what is allowed in it.
macro_rules! short_text {
    ($(#[$doc:meta])* $name:ident, $length_max:literal, $is_allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(Box<str>);

        impl $name {
            /// As many bytes as it may have.
            pub const LENGTH_MAX: usize = $length_max;

            /// The text, if it is one.
            pub fn parse(text: &str) -> Option<Self> {
                let is_allowed: fn(u8) -> bool = $is_allowed;
                let fits = (1..=Self::LENGTH_MAX).contains(&text.len());
                (fits && text.bytes().all(is_allowed)).then(|| Self(text.into()))
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }
    };
}

short_text!(
    /// A payment provider's name in the configuration: 1 to 16 of `a` to `z`, `0` to `9`, `_` and `-`.
    ProviderName,
    16,
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
);
short_text!(
    /// A provider's own name for a payment or a refund: 1 to 64 visible characters of ASCII.
    PaymentReference,
    64,
    |byte| byte.is_ascii_graphic()
);

impl ProviderName {
    /// The provider in this process, for trying the shop out: no money moves.
    pub fn sandbox() -> Self {
        Self("sandbox".into())
    }
}

/// A payment, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    /// The payment's identity.
    pub id: PaymentId,
    /// By which request it was started; repeats of the request get this payment. Money that nobody had asked for
    /// has the number 0.
    pub request_id: RequestId,
    /// Who takes the money.
    pub provider: ProviderName,
    /// What was asked for, or what came once it has, in minor units of `currency`.
    pub amount: u64,
    /// ISO 4217 code of what was asked for, or of what came.
    pub currency: Currency,
    /// Where it stands.
    pub state: PaymentState,
    /// The provider's name for it, once it has told.
    pub reference: Option<PaymentReference>,
    /// By what the refund can be found again, once an operator has said that it was made.
    pub refund_reference: Option<PaymentReference>,
}

/// What a buyer asks for when he begins to pay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PaymentAsked {
    /// The order to be paid.
    pub order_id: OrderId,
    /// The buyer who asks.
    pub user_id: UserId,
    /// The request's id, by which a repeat is recognised.
    pub request_id: RequestId,
    /// Who is to take the money.
    pub provider: ProviderName,
}

/// What a provider told of a payment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PaymentNotice {
    /// The payment, by the id that the provider was given.
    pub id: PaymentId,
    /// The provider that told.
    pub provider: ProviderName,
    /// The provider's name for it.
    pub reference: PaymentReference,
    /// What became of it.
    pub result: PaymentResult,
    /// The order and its payments as the order store has them, if the shard has released the order.
    pub stored: Option<Box<OrderPayments>>,
}

/// What became of a payment at its provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PaymentResult {
    /// So much money has come. An amount of 0 is none, and is noted as [`Self::Failed`].
    Captured {
        /// In minor units of `currency`.
        amount: u64,
        /// ISO 4217 code.
        currency: Currency,
    },
    /// No money will come.
    Failed,
}

impl PaymentResult {
    /// What is to be noted of it: a capture of nothing took no money, so there is nothing to give back, and it is a
    /// payment that failed. Records of older versions that have such a capture as due for a refund are still read.
    pub(crate) fn noted(self) -> Self {
        match self {
            Self::Captured { amount: 0, .. } => Self::Failed,
            told => told,
        }
    }
}

/// An order with its payments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderPayments {
    /// The order itself.
    pub order: Order,
    /// Its payments, by ascending number.
    pub payments: Vec<Payment>,
}

impl OrderPayments {
    /// Whether money of one of them is to be given back.
    pub fn has_refund_due(&self) -> bool {
        self.payments.iter().any(|payment| payment.state == PaymentState::RefundDue)
    }

    /// Puts a payment in its place, instead of what was there.
    pub fn set(&mut self, payment: Payment) {
        match self.payments.binary_search_by_key(&payment.id.number, |known| known.id.number) {
            Ok(place) => self.payments[place] = payment,
            Err(place) => self.payments.insert(place, payment),
        }
    }

    /// The payment by which a provider has this money, if it was recorded.
    pub fn captured_as(
        &self,
        provider: &ProviderName,
        reference: &PaymentReference,
    ) -> Option<&Payment> {
        self.payments.iter().find(|payment| {
            payment.state.has_money()
                && payment.provider == *provider
                && payment.reference.as_ref() == Some(reference)
        })
    }

    /// The payment of this identity.
    pub(crate) fn get(&self, id: PaymentId) -> Option<&Payment> {
        self.payments.iter().find(|payment| payment.id == id)
    }

    /// The identity of the next one; none if there can be no more.
    pub(crate) fn next_id(&self) -> Option<PaymentId> {
        let last = self.payments.last().map_or(0, |payment| payment.id.number);
        Some(PaymentId { order_id: self.order.order_id, number: last.checked_add(1)? })
    }
}

/// A payment as of a record, and what it did to its order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PaymentRecord {
    /// The payment from now on.
    pub payment: Payment,
    /// The order from now on, whole, so that a reader needs no other record.
    pub order: Order,
    /// The order's status until now: another one if it was changed by the payment.
    pub status_before: OrderStatus,
}

/// What a command came to for a payment: as much as an answer needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PaymentOutcome {
    /// The payment's identity.
    pub id: PaymentId,
    /// Where it stands now.
    pub state: PaymentState,
    /// Its order now.
    pub order: Order,
    /// Whether there was nothing left to do, because it had been done before.
    pub is_repeat: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_is_named_by_its_order_and_a_number() {
        let id = PaymentId { order_id: OrderId(385_085_134_191_251_456), number: 12 };
        assert_eq!(id.to_string(), "385085134191251456-12");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "1", "-1", "1-", "1-0", "1-01", "1-+1", "01-1", "1-65536", "1-1-1", "1 -1"]
        {
            assert_eq!(text.parse::<PaymentId>(), Err(InvalidId), "{text:?}");
        }
    }

    #[test]
    fn texts_have_a_length_and_an_alphabet() {
        assert!(ProviderName::parse("stripe-2_b").is_some());
        assert_eq!(ProviderName::parse("sandbox"), Some(ProviderName::sandbox()));
        for text in ["", "Stripe", "a b", "支付宝", "seventeen-letters"] {
            assert_eq!(ProviderName::parse(text), None, "{text:?}");
        }
        assert!(PaymentReference::parse(&"x".repeat(64)).is_some());
        for text in ["", " ", "a\n", &"x".repeat(65), "é"] {
            assert_eq!(PaymentReference::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn money_that_has_come_stays_or_goes_back_once() {
        for (before, may) in [
            (None, &[PaymentState::Started, PaymentState::Captured, PaymentState::RefundDue][..]),
            (
                Some(PaymentState::Started),
                &[PaymentState::Captured, PaymentState::Failed, PaymentState::RefundDue],
            ),
            (Some(PaymentState::Failed), &[PaymentState::Captured, PaymentState::RefundDue]),
            (Some(PaymentState::RefundDue), &[PaymentState::Refunded]),
            (Some(PaymentState::Captured), &[]),
            (Some(PaymentState::Refunded), &[]),
        ] {
            for state in PaymentState::ALL {
                assert_eq!(state.may_follow(before), may.contains(&state), "{before:?} {state:?}");
            }
        }
        for state in PaymentState::ALL {
            assert_eq!(PaymentState::from_number(state as u8), Some(state));
            assert_eq!(PaymentState::from_name(state.name()), Some(state));
        }
    }
}
