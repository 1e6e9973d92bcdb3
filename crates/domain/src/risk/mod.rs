//! Risk rules: who is let in, as verdicts.
//!
//! A rule has found something or not; what follows is said by its mode and its action. A rule in shadow
//! finds and does nothing, so that an operator sees whom it would hit before it hits anybody. Owns the
//! lists of those who are denied, too. Must not know how a rule counts, nor what a caller is told.

mod lists;
mod networks;

pub use lists::{EntryKind, Lists, NotAnEntry};

/// A rule: what it looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Rule {
    /// The user is on the list of those who are denied.
    DenyUser,
    /// The address is in a network on the list of those that are denied.
    DenyAddress,
    /// More accounts than so many were used from the address.
    AccountsPerAddress,
    /// The user asked for more buy tokens than so many.
    TokensPerUser,
    /// More challenges than so many were failed by the user.
    FailedChallenges,
    /// The account is younger than so long.
    AccountAge,
}

impl Rule {
    /// How many there are.
    pub const COUNT: usize = 6;

    /// All rules, in the order of their declaration.
    pub const ALL: [Self; Self::COUNT] = [
        Self::DenyUser,
        Self::DenyAddress,
        Self::AccountsPerAddress,
        Self::TokensPerUser,
        Self::FailedChallenges,
        Self::AccountAge,
    ];

    /// Returns its name in settings, metrics and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::DenyUser => "deny_user",
            Self::DenyAddress => "deny_address",
            Self::AccountsPerAddress => "accounts_per_address",
            Self::TokensPerUser => "tokens_per_user",
            Self::FailedChallenges => "failed_challenges",
            Self::AccountAge => "account_age",
        }
    }

    /// Whether it looks at the address alone, so that an allowed address is spared.
    fn is_of_address(self) -> bool {
        matches!(self, Self::DenyAddress | Self::AccountsPerAddress)
    }
}

/// Whether a rule is looked at, and whether anything follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// It is not looked at.
    Off,
    /// What it finds is counted and nothing follows.
    Shadow,
    /// What it finds has its consequence.
    Enforce,
}

impl Mode {
    /// Returns its name in settings, metrics and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Enforce => "enforce",
        }
    }
}

/// What follows if a rule has found something. A later one is stricter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Action {
    /// Nothing but that it is counted.
    Observe,
    /// A challenge costs more.
    Harder,
    /// The opening slot is the last one.
    Last,
    /// The caller is not admitted.
    Deny,
}

impl Action {
    /// Returns its name in settings and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Harder => "harder",
            Self::Last => "last",
            Self::Deny => "deny",
        }
    }
}

/// How one rule is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Whether it is looked at, and whether anything follows.
    pub mode: Mode,
    /// What follows then.
    pub action: Action,
}

/// How each rule is set, in the order of [`Rule::ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings(pub [Setting; Rule::COUNT]);

impl Settings {
    /// How this rule is set.
    pub fn of(&self, rule: Rule) -> Setting {
        self.0[rule as usize]
    }
}

/// What the rules say of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What follows: the strictest of what the enforced rules that found something say.
    pub action: Action,
    /// Which rules found something, in shadow or not.
    pub found: [bool; Rule::COUNT],
}

impl Verdict {
    /// No rule found anything.
    pub const NOTHING: Self = Self { action: Action::Observe, found: [false; Rule::COUNT] };
}

/// Judges a request by what the rules found; `is_allowed` says whether its address is one that no rule
/// about addresses may hit.
pub fn judge(settings: &Settings, is_allowed: bool, found: [bool; Rule::COUNT]) -> Verdict {
    let mut verdict = Verdict::NOTHING;
    for rule in Rule::ALL {
        let Setting { mode, action } = settings.of(rule);
        let is_spared = is_allowed && rule.is_of_address();
        if !found[rule as usize] || mode == Mode::Off || is_spared {
            continue;
        }
        verdict.found[rule as usize] = true;
        if mode == Mode::Enforce {
            verdict.action = verdict.action.max(action);
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(mode: Mode, action: Action) -> Settings {
        Settings([Setting { mode, action }; Rule::COUNT])
    }

    #[test]
    fn the_strictest_enforced_rule_counts_and_a_shadow_does_nothing() {
        let found = |rules: &[Rule]| {
            let mut found = [false; Rule::COUNT];
            rules.iter().for_each(|rule| found[*rule as usize] = true);
            found
        };
        let all = found(&Rule::ALL);
        let shadow = judge(&settings(Mode::Shadow, Action::Deny), false, all);
        assert_eq!(shadow, Verdict { action: Action::Observe, found: all });
        let off = judge(&settings(Mode::Off, Action::Deny), false, all);
        assert_eq!(off, Verdict::NOTHING);
        let mut some = settings(Mode::Enforce, Action::Harder);
        some.0[Rule::AccountAge as usize].action = Action::Last;
        some.0[Rule::DenyUser as usize] = Setting { mode: Mode::Shadow, action: Action::Deny };
        assert_eq!(judge(&some, false, all).action, Action::Last);
        assert_eq!(judge(&some, false, found(&[Rule::TokensPerUser])).action, Action::Harder);
        assert_eq!(judge(&some, false, found(&[])), Verdict::NOTHING);
        // An allowed address is spared by the rules about addresses, and by no other.
        let denied =
            judge(&settings(Mode::Enforce, Action::Deny), true, found(&[Rule::DenyAddress]));
        assert_eq!(denied, Verdict::NOTHING);
        let user = judge(&settings(Mode::Enforce, Action::Deny), true, found(&[Rule::DenyUser]));
        assert_eq!(user.action, Action::Deny);
        for (place, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!(rule as usize, place);
        }
    }
}
