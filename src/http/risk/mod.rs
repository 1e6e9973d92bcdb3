//! Risk rules at the edge: what they count, whom they hit, and what is remembered of it.
//!
//! The lists of those who are denied are looked into by every purchase. Everything else is asked where
//! it is dear anyway: when somebody registers, logs in, or gets a buy token. Like the limits, what is
//! counted is counted by this process alone. Must not know what a client is told, nor how a verdict
//! follows from a rule: `domain::risk` does.

mod distinct;
mod options;

pub use options::{RiskOptions, Threshold};

use super::limits::{RateTable, TICKS_PER_SECOND, ticks};
use crate::telemetry::metrics::RISK_MATCHES_TOTAL;
use crate::telemetry::text::header;
use arc_swap::ArcSwap;
use distinct::DistinctTable;
use domain::rate::Quota;
use domain::risk::{Action, Lists, Mode, Rule, Verdict, judge};
use domain::{Address, Timestamp, UserId};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How many matches are remembered.
pub const MATCHES_MAX: usize = 1_000;

/// When a rule looked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// At a purchase, which looks into the lists alone.
    Purchase,
    /// When a challenge was asked for, to get a buy token for its solution.
    Challenge,
    /// When a buy token was asked for.
    Token,
    /// At a log-in.
    LogIn,
    /// At a registration.
    Registration,
}

impl Moment {
    /// Returns its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Purchase => "purchase",
            Self::Challenge => "challenge",
            Self::Token => "token",
            Self::LogIn => "log_in",
            Self::Registration => "registration",
        }
    }
}

/// The one who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Person {
    /// The user, if that is known.
    pub user_id: Option<UserId>,
    /// The client's address.
    pub address: Address,
}

/// What a rule has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Match {
    /// When it was found.
    pub at: Timestamp,
    /// Which rule it was.
    pub rule: Rule,
    /// Whether it was in shadow.
    pub mode: Mode,
    /// What follows if it is enforced.
    pub action: Action,
    /// At which moment.
    pub moment: Moment,
    /// Of whom it was.
    pub person: Person,
}

/// The rules and all that is counted for them.
#[derive(Debug)]
pub struct Risk {
    options: ArcSwap<RiskOptions>,
    accounts: DistinctTable,
    counts: RateTable,
    matches: Mutex<VecDeque<Match>>,
    /// By rule, in shadow and enforced.
    found: [[AtomicU64; 2]; Rule::COUNT],
}

impl Risk {
    /// Makes rules that have seen nobody, with two tables of `table_bytes` each.
    pub fn new(options: &RiskOptions, table_bytes: usize) -> Self {
        Self {
            options: ArcSwap::from_pointee(*options),
            accounts: DistinctTable::of_bytes(table_bytes),
            counts: RateTable::of_bytes(table_bytes),
            matches: Mutex::new(VecDeque::with_capacity(MATCHES_MAX)),
            found: std::array::from_fn(|_| Default::default()),
        }
    }

    /// Changes the rules. What was counted stays.
    pub fn set(&self, options: &RiskOptions) {
        self.options.store(Arc::new(*options));
    }

    /// Returns what was found last, newest first.
    pub fn matches(&self) -> Vec<Match> {
        self.matches.lock().iter().rev().copied().collect()
    }

    /// Notes an account that was registered just now, from this address.
    pub fn registered(&self, person: Person, now: Duration) {
        let options = self.options.load();
        let Some(user_id) = person.user_id else { return };
        self.accounts.add(person.address.subscriber(), user_id, options.accounts.window(now));
        let age = u64::from(options.account_age_seconds) * TICKS_PER_SECOND;
        if let Some(youth) = Quota::new(1, age, 1) {
            self.counts.take((Rule::AccountAge as u8, user_id), youth, ticks(now));
        }
    }

    /// Notes that the user failed a challenge.
    pub fn failed_challenge(&self, user_id: UserId, now: Duration) {
        let options = self.options.load();
        if let Some(quota) = options.failed_challenges.quota_with_one_more() {
            self.counts.take((Rule::FailedChallenges as u8, user_id), quota, ticks(now));
        }
    }

    /// Judges who asks, and remembers what was found.
    pub fn judge(
        &self,
        lists: &Lists,
        moment: Moment,
        person: Person,
        (now, at): (Duration, Timestamp),
    ) -> Verdict {
        let options = self.options.load();
        let found = match moment {
            Moment::Purchase => Self::listed(lists, person),
            _ => self.counted(&options, moment, person, now, Self::listed(lists, person)),
        };
        let verdict = judge(&options.rules, lists.allows_address(person.address), found);
        self.remember(&options, &verdict, |rule, mode, action| Match {
            at,
            rule,
            mode,
            action,
            moment,
            person,
        });
        verdict
    }

    fn listed(lists: &Lists, person: Person) -> [bool; Rule::COUNT] {
        let mut found = [false; Rule::COUNT];
        found[Rule::DenyUser as usize] =
            person.user_id.is_some_and(|user_id| lists.denies_user(user_id));
        found[Rule::DenyAddress as usize] = lists.denies_address(person.address);
        found
    }

    /// Adds what is counted to what was found.
    fn counted(
        &self,
        options: &RiskOptions,
        moment: Moment,
        person: Person,
        now: Duration,
        mut found: [bool; Rule::COUNT],
    ) -> [bool; Rule::COUNT] {
        let (subscriber, window) = (person.address.subscriber(), options.accounts.window(now));
        let accounts = match person.user_id {
            Some(user_id) => self.accounts.add(subscriber, user_id, window),
            // One that is to be registered would be one more.
            None if moment == Moment::Registration => self.accounts.of(subscriber, window) + 1,
            None => self.accounts.of(subscriber, window),
        };
        found[Rule::AccountsPerAddress as usize] =
            options.accounts.max > 0 && accounts > options.accounts.max;
        let Some(user_id) = person.user_id else { return found };
        let key = |rule: Rule| (rule as u8, user_id);
        let is_used_up = |rule, quota: Option<Quota>| {
            let left = quota.map(|quota| self.counts.look(key(rule), quota, ticks(now)));
            left.is_some_and(|left| !left.is_admitted())
        };
        found[Rule::TokensPerUser as usize] = match moment {
            Moment::Token => options.tokens.quota().is_some_and(|quota| {
                !self.counts.take(key(Rule::TokensPerUser), quota, ticks(now)).is_admitted()
            }),
            Moment::Challenge => is_used_up(Rule::TokensPerUser, options.tokens.quota()),
            _ => false,
        };
        found[Rule::FailedChallenges as usize] =
            is_used_up(Rule::FailedChallenges, options.failed_challenges.quota_with_one_more());
        let age = u64::from(options.account_age_seconds) * TICKS_PER_SECOND;
        found[Rule::AccountAge as usize] = is_used_up(Rule::AccountAge, Quota::new(1, age, 1));
        found
    }

    fn remember(
        &self,
        options: &RiskOptions,
        verdict: &Verdict,
        of: impl Fn(Rule, Mode, Action) -> Match,
    ) {
        for rule in Rule::ALL.into_iter().filter(|rule| verdict.found[*rule as usize]) {
            let setting = options.rules.of(rule);
            let is_enforced = setting.mode == Mode::Enforce;
            self.found[rule as usize][usize::from(is_enforced)].fetch_add(1, Relaxed);
            let mut matches = self.matches.lock();
            if matches.len() == MATCHES_MAX {
                matches.pop_front();
            }
            matches.push_back(of(rule, setting.mode, setting.action));
        }
    }

    /// Appends what was found in Prometheus text form.
    pub fn render(&self, out: &mut String) {
        header(out, RISK_MATCHES_TOTAL);
        for (rule, counters) in Rule::ALL.into_iter().zip(&self.found) {
            for (mode, counter) in [Mode::Shadow, Mode::Enforce].into_iter().zip(counters) {
                let (rule, mode, count) = (rule.name(), mode.name(), counter.load(Relaxed));
                // Writing to a string cannot fail.
                let _ = writeln!(
                    out,
                    "{RISK_MATCHES_TOTAL}{{rule=\"{rule}\",mode=\"{mode}\"}} {count}"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::risk::{EntryKind, Setting, Settings};
    use std::net::IpAddr;

    const NOW: (Duration, Timestamp) = (Duration::from_secs(5_000), Timestamp(5_000_000));

    fn person(user: u64, address: &str) -> Person {
        let address = address.parse::<IpAddr>().expect("an address").into();
        Person { user_id: Some(UserId(user)), address }
    }

    fn options(mode: Mode, action: Action) -> RiskOptions {
        let of = |max| Threshold { max, window_seconds: 3_600 };
        RiskOptions {
            rules: Settings([Setting { mode, action }; Rule::COUNT]),
            accounts: of(3),
            tokens: of(2),
            failed_challenges: of(2),
            account_age_seconds: 600,
        }
    }

    fn found(risk: &Risk, lists: &Lists, moment: Moment, person: Person) -> Vec<&'static str> {
        let verdict = risk.judge(lists, moment, person, NOW);
        let rules = Rule::ALL.into_iter().filter(|rule| verdict.found[*rule as usize]);
        rules.map(Rule::name).collect()
    }

    #[test]
    fn each_rule_finds_what_it_looks_for() {
        let risk = Risk::new(&options(Mode::Enforce, Action::Deny), 1 << 16);
        let entries = [("deny_user", "7"), ("deny_address", "192.0.2.0/24")];
        let entries =
            entries.map(|(list, value)| (EntryKind::read(list, value).expect("an entry"), None));
        let lists = Lists::new(entries.into_iter(), Timestamp(0));
        let none = Lists::default();

        let found = |lists: &Lists, moment, person| found(&risk, lists, moment, person);
        assert_eq!(found(&lists, Moment::Purchase, person(7, "198.51.100.1")), ["deny_user"]);
        assert_eq!(found(&lists, Moment::Purchase, person(8, "192.0.2.9")), ["deny_address"]);
        // Three accounts of an address are allowed, a fourth is one too many.
        for user in 1..=3 {
            let nothing: [&str; 0] = [];
            assert_eq!(found(&none, Moment::LogIn, person(user, "203.0.113.1")), nothing);
        }
        for user in 4..12 {
            found(&none, Moment::LogIn, person(user, "203.0.113.1"));
        }
        let last = found(&none, Moment::LogIn, person(12, "203.0.113.1"));
        assert_eq!(last, ["accounts_per_address"]);
        // The fourth account of an address is not registered.
        let newcomer = Person { user_id: None, ..person(0, "203.0.113.7") };
        for user in 31..=33 {
            let nothing: [&str; 0] = [];
            assert_eq!(found(&none, Moment::Registration, newcomer), nothing);
            risk.registered(person(user, "203.0.113.7"), NOW.0);
        }
        assert_eq!(found(&none, Moment::Registration, newcomer), ["accounts_per_address"]);
        // Two tokens are allowed, however often challenges are asked for.
        for _ in 0..5 {
            let nothing: [&str; 0] = [];
            assert_eq!(found(&none, Moment::Challenge, person(20, "203.0.113.2")), nothing);
        }
        let tokens: Vec<_> =
            (0..3).map(|_| found(&none, Moment::Token, person(20, "203.0.113.2"))).collect();
        assert_eq!(tokens, [vec![], vec![], vec!["tokens_per_user"]]);
        let then = found(&none, Moment::Challenge, person(20, "203.0.113.2"));
        assert_eq!(then, ["tokens_per_user"]);
        // Two failed challenges are allowed, a third is one too many.
        for _ in 0..3 {
            let nothing: [&str; 0] = [];
            assert_eq!(found(&none, Moment::LogIn, person(21, "203.0.113.3")), nothing);
            risk.failed_challenge(UserId(21), NOW.0);
        }
        assert_eq!(found(&none, Moment::LogIn, person(21, "203.0.113.3")), ["failed_challenges"]);
        // An account is young for ten minutes.
        risk.registered(person(22, "203.0.113.4"), NOW.0);
        assert_eq!(found(&none, Moment::LogIn, person(22, "203.0.113.4")), ["account_age"]);
        let later = (NOW.0 + Duration::from_secs(600), NOW.1);
        let verdict = risk.judge(&none, Moment::LogIn, person(22, "203.0.113.4"), later);
        assert_eq!(verdict, Verdict::NOTHING);

        let mut out = String::new();
        risk.render(&mut out);
        for line in [
            "seckill_risk_matches_total{rule=\"deny_user\",mode=\"enforce\"} 1",
            "seckill_risk_matches_total{rule=\"account_age\",mode=\"enforce\"} 1",
            "seckill_risk_matches_total{rule=\"account_age\",mode=\"shadow\"} 0",
        ] {
            assert!(out.lines().any(|shown| shown == line), "{line} is not in\n{out}");
        }
    }

    #[test]
    fn a_shadow_denies_nobody_and_is_remembered_up_to_a_bound() {
        let risk = Risk::new(&options(Mode::Shadow, Action::Deny), 1 << 10);
        let denied = (EntryKind::DenyUser(UserId(7)), None);
        let lists = Lists::new([denied].into_iter(), Timestamp(0));
        for _ in 0..MATCHES_MAX + 5 {
            let verdict = risk.judge(&lists, Moment::Purchase, person(7, "192.0.2.1"), NOW);
            assert_eq!(verdict.action, Action::Observe);
        }
        let matches = risk.matches();
        assert_eq!(matches.len(), MATCHES_MAX);
        let Match { rule, mode, action, moment, .. } = matches[0];
        let expected = (Rule::DenyUser, Mode::Shadow, Action::Deny, Moment::Purchase);
        assert_eq!((rule, mode, action, moment), expected);
        risk.set(&options(Mode::Enforce, Action::Deny));
        let verdict = risk.judge(&lists, Moment::Purchase, person(7, "192.0.2.1"), NOW);
        assert_eq!(verdict.action, Action::Deny);
    }
}
