//! How a caller stands with a limit, and the header fields that say it.
//!
//! The fields are those of the IETF's draft on rate limits, whose items are strings with parameters:
//! `RateLimit-Policy` says what is allowed, `RateLimit` what is left of it.

use super::table::TICKS_PER_SECOND;
use domain::rate::{Decision, Quota};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use std::fmt::Write as _;

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A limit by its name, with its quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Its name: of ASCII, without quotes.
    pub name: &'static str,
    /// What it admits.
    pub quota: Quota,
}

/// How a caller stands with a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    policy: Policy,
    remaining: u32,
    wait: u64,
}

impl Policy {
    /// A caller has little left of it below one in so many.
    const LOW: u32 = 5;

    /// Returns how the caller of this decision stands, if the request was admitted: nothing is said as
    /// long as there is plenty left.
    ///
    /// # Errors
    /// Returns how the caller stands if the request was refused.
    pub fn judge(self, decision: Decision) -> Result<Option<Standing>, Standing> {
        let standing = self.standing(decision);
        if !decision.is_admitted() {
            return Err(standing);
        }
        let is_low = decision.remaining < self.quota.burst().div_ceil(Self::LOW);
        Ok(is_low.then_some(standing))
    }

    /// Returns how the caller of this decision stands.
    pub fn standing(self, decision: Decision) -> Standing {
        Standing { policy: self, remaining: decision.remaining, wait: decision.wait }
    }
}

impl Standing {
    /// Returns the limit's name.
    pub fn policy(&self) -> &'static str {
        self.policy.name
    }

    /// Returns how many more are admitted at once.
    pub fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Returns in how many seconds one more is certainly admitted, at least 1.
    pub fn wait_seconds(&self) -> u32 {
        seconds(self.wait)
    }

    /// Of two, the one that leaves less.
    pub fn tighter(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        [one, other].into_iter().flatten().min_by_key(|standing| standing.remaining)
    }

    /// Adds the fields that say it.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let Self { policy: Policy { name, quota }, remaining, .. } = self;
        let (burst, window) = (quota.burst(), seconds(quota.window()));
        let mut text = String::with_capacity(96);
        // Writing to a string cannot fail.
        let _ = write!(text, "\"{name}\";q={burst};w={window}");
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(&RATE_LIMIT_POLICY, value);
        }
        text.clear();
        let _ = write!(text, "\"{name}\";r={remaining};t={}", self.wait_seconds());
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(&RATE_LIMIT, value);
        }
    }
}

fn seconds(ticks: u64) -> u32 {
    u32::try_from(ticks.div_ceil(TICKS_PER_SECOND).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_told_how_it_stands_once_little_is_left() {
        let quota = Quota::new(10, TICKS_PER_SECOND, 20).expect("a quota");
        let policy = Policy { name: "user", quota };
        let (mut full_at, now) = (0, 5);
        let mut told = Vec::new();
        for _ in 0..21 {
            let decision = quota.decide(full_at, now);
            full_at = decision.full_at.unwrap_or(full_at);
            let shown = match policy.judge(decision) {
                Ok(None) => continue,
                Ok(Some(standing)) | Err(standing) => standing,
            };
            let mut headers = HeaderMap::new();
            shown.tell(&mut headers);
            assert_eq!(headers["ratelimit-policy"], "\"user\";q=20;w=2");
            told.push(headers["ratelimit"].to_str().expect("text").to_owned());
        }
        let expected: Vec<String> =
            [3, 2, 1, 0, 0].map(|left| format!("\"user\";r={left};t=1")).into();
        assert_eq!(told, expected);
    }

    #[test]
    fn seconds_are_never_too_few() {
        for (ticks, expected) in [(0, 1), (1, 1), (16_000, 1), (16_001, 2), (u64::MAX, u32::MAX)] {
            assert_eq!(seconds(ticks), expected, "{ticks}");
        }
    }
}
