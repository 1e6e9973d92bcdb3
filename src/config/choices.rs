//! The settings that are one of a few words. Must not know what follows from each.

use super::declare::OneOf;
use serde::{Deserialize, Serialize};

/// The words of [`RiskMode`].
pub(super) const RISK_MODES: OneOf = OneOf(&["off", "shadow", "enforce"]);
/// The words of [`RiskAction`].
pub(super) const RISK_ACTIONS: OneOf = OneOf(&["observe", "harder", "last", "deny"]);

/// What happens to new purchases while the backlog is longer than allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenExceeded {
    /// They go on, with an alarm in log, metrics and readiness.
    Alarm,
    /// They are refused with 503 and Retry-After until the backlog has drained.
    Refuse,
}

/// How different visitors of pages are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisitId {
    /// By a random number that their browser keeps.
    Random,
    /// By a hash that is another one each day.
    DailyHash,
    /// Not at all: only views are counted.
    Off,
}

/// Where a client's address is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddress {
    /// The connection's other end.
    Peer,
    /// The header `X-Forwarded-For`.
    XForwardedFor,
    /// The PROXY protocol.
    ProxyProtocol,
}

/// Whether a risk rule is looked at, and whether anything follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RiskMode {
    /// It is not looked at.
    Off,
    /// What it finds is counted and nothing follows.
    Shadow,
    /// What it finds has its consequence.
    Enforce,
}

/// What follows if a risk rule has found something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RiskAction {
    /// Nothing but that it is counted.
    Observe,
    /// A challenge costs more.
    Harder,
    /// The opening slot is the last one.
    Last,
    /// The caller is not admitted.
    Deny,
}

/// Who shows and judges challenges.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChallengeProvider {
    /// Nobody but the shop.
    None,
    /// Turnstile, by Cloudflare.
    Turnstile,
    /// hCaptcha, by Intuition Machines.
    Hcaptcha,
    /// GeeTest's fourth version.
    Geetest,
}

/// What is done when the provider of challenges gives no verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnChallengeError {
    /// A proof of work is asked for.
    Proof,
    /// No token is given out.
    Refuse,
    /// Tokens are given out without a challenge.
    Allow,
}

/// What becomes of an order that a client of the older order service places.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompatSettle {
    /// It is paid in the sandbox at once.
    Paid,
    /// It stays reserved, and expires unless it is paid in another way.
    Reserved,
}
