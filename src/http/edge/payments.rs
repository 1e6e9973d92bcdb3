//! What is counted of payments: plain atomics, as the edge's other counters.
//!
//! Must not know how a payment comes to where it stands.

use crate::telemetry::metrics::{PAYMENT_CALLBACKS_TOTAL, PAYMENTS_TOTAL};
use crate::telemetry::text::header;
use domain::PaymentState;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How a provider's callback was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum CallbackAnswer {
    /// It is noted.
    Noted,
    /// It had been noted before.
    Repeated,
    /// It is not signed with the secret.
    SignatureInvalid,
    /// It says nothing that could be noted.
    Refused,
    /// It may come again: it could not be noted, or it is not known whether it was.
    Unavailable,
}

impl CallbackAnswer {
    const ALL: [Self; 5] =
        [Self::Noted, Self::Repeated, Self::SignatureInvalid, Self::Refused, Self::Unavailable];

    fn name(self) -> &'static str {
        match self {
            Self::Noted => "noted",
            Self::Repeated => "repeated",
            Self::SignatureInvalid => "signature_invalid",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The counters of payments.
#[derive(Debug, Default)]
pub struct PaymentCounters {
    states: [AtomicU64; PaymentState::ALL.len()],
    callbacks: [AtomicU64; CallbackAnswer::ALL.len()],
}

impl PaymentCounters {
    /// Counts a payment that came to this state through this process.
    pub fn came_to(&self, state: PaymentState) {
        let states = PaymentState::ALL.iter().zip(&self.states);
        for (_, counter) in states.filter(|(counted, _)| **counted == state) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Counts a callback by its answer.
    pub fn called_back(&self, answer: CallbackAnswer) {
        self.callbacks[answer as usize].fetch_add(1, Relaxed);
    }

    /// Appends them in Prometheus text form.
    pub fn render(&self, out: &mut String) {
        let name = PAYMENTS_TOTAL;
        header(out, name);
        for (state, counter) in PaymentState::ALL.iter().zip(&self.states) {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name}{{state=\"{}\"}} {}", state.name(), counter.load(Relaxed));
        }
        let name = PAYMENT_CALLBACKS_TOTAL;
        header(out, name);
        for (answer, counter) in CallbackAnswer::ALL.iter().zip(&self.callbacks) {
            let _ =
                writeln!(out, "{name}{{answer=\"{}\"}} {}", answer.name(), counter.load(Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_shown_by_state_and_by_answer() {
        let counters = PaymentCounters::default();
        counters.came_to(PaymentState::RefundDue);
        for answer in CallbackAnswer::ALL {
            counters.called_back(answer);
        }
        counters.called_back(CallbackAnswer::Repeated);
        let mut text = String::new();
        counters.render(&mut text);
        for line in [
            "seckill_payments_total{state=\"refund_due\"} 1",
            "seckill_payments_total{state=\"captured\"} 0",
            "seckill_payment_callbacks_total{answer=\"noted\"} 1",
            "seckill_payment_callbacks_total{answer=\"repeated\"} 2",
            "seckill_payment_callbacks_total{answer=\"unavailable\"} 1",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }
}
