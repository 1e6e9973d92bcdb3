//! How the risk rules are set. Must not know where a setting comes from, nor check it: the configuration
//! does both.

use crate::http::limits::TICKS_PER_SECOND;
use domain::rate::Quota;
use domain::risk::{Action, Mode, Rule, Setting, Settings};
use std::time::Duration;

/// How often something may happen in a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Threshold {
    /// How often; 0 for as often as it likes.
    pub max: u32,
    /// The while, in seconds.
    pub window_seconds: u32,
}

/// How the rules are set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RiskOptions {
    /// The mode and the action of each.
    pub rules: Settings,
    /// Accounts that one address may use in a while.
    pub accounts: Threshold,
    /// Buy tokens that one user may ask for in a while.
    pub tokens: Threshold,
    /// Challenges that one user may fail in a while.
    pub failed_challenges: Threshold,
    /// How long an account is young, in seconds; 0 for not at all.
    pub account_age_seconds: u32,
}

impl RiskOptions {
    /// The lists are obeyed, and nothing is counted.
    pub const LISTS_ALONE: Self = {
        let off = Setting { mode: Mode::Off, action: Action::Observe };
        let deny = Setting { mode: Mode::Enforce, action: Action::Deny };
        let mut rules = [off; Rule::COUNT];
        rules[Rule::DenyUser as usize] = deny;
        rules[Rule::DenyAddress as usize] = deny;
        let none = Threshold { max: 0, window_seconds: 3_600 };
        Self {
            rules: Settings(rules),
            accounts: none,
            tokens: none,
            failed_challenges: none,
            account_age_seconds: 0,
        }
    };
}

impl Threshold {
    /// Returns the number of the while that `now` is in.
    pub(super) fn window(self, now: Duration) -> u32 {
        // From 1, because a table that has seen nobody is full of the while of 0.
        let number = now.as_secs() / u64::from(self.window_seconds.max(1)) + 1;
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// Returns it as a quota for what is refused once it is too often: so often at once, and as often again in
    /// a while.
    pub(super) fn quota(self) -> Option<Quota> {
        self.quota_of(self.max)
    }

    /// Returns it as a quota for what is counted whatever it is: used up once it was more often than that.
    pub(super) fn quota_with_one_more(self) -> Option<Quota> {
        self.quota_of(self.max.saturating_add(1))
    }

    fn quota_of(self, burst: u32) -> Option<Quota> {
        Quota::new(self.max, u64::from(self.window_seconds) * TICKS_PER_SECOND, burst)
    }
}
