//! How an item is guarded, as buyers and operators see it.

use super::example;
use crate::http::timestamp;
use domain::{Admission, Challenge, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// How an item is guarded: what a buyer needs before a purchase is taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = ItemAdmission)]
pub struct AdmissionView {
    /// Whether a purchase needs a buy token: get one, and buy where it says.
    pub buy_token: bool,
    /// What is to be solved for a token.
    pub challenge: ChallengeKind,
    /// From when tokens are given out.
    #[schema(format = DateTime)]
    pub tokens_from: String,
    /// How long before the start that is, in seconds.
    pub lead_seconds: u32,
    /// Over how many milliseconds the start is spread: each buyer has a slot of its own within them.
    pub spread_milliseconds: u32,
}

/// What is to be solved for a buy token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChallengeKind {
    /// Nothing is to be solved.
    None,
    /// A proof of work, in the format of the ALTCHA widget.
    Proof,
    /// What the provider shows that the challenge names.
    External,
}

impl AdmissionView {
    /// Returns how an item that starts at `starts_at` is guarded, if it is.
    pub fn of(admission: Admission, starts_at: Timestamp) -> Option<Self> {
        (admission != Admission::OPEN).then(|| Self {
            buy_token: admission.buy_token,
            challenge: admission.challenge.into(),
            tokens_from: timestamp::to_string(admission.opens_at(starts_at)),
            lead_seconds: admission.lead_seconds,
            spread_milliseconds: admission.spread_milliseconds,
        })
    }

    /// Returns how the example's item is guarded.
    pub fn example() -> Self {
        Self {
            buy_token: true,
            challenge: ChallengeKind::Proof,
            tokens_from: example::TOKENS_FROM.to_owned(),
            lead_seconds: 60,
            spread_milliseconds: 2_000,
        }
    }
}

impl From<Challenge> for ChallengeKind {
    fn from(challenge: Challenge) -> Self {
        match challenge {
            Challenge::None => Self::None,
            Challenge::Proof => Self::Proof,
            Challenge::External => Self::External,
        }
    }
}
