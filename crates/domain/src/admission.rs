//! How an item is guarded: what a buyer has to have before a purchase is looked at.
//!
//! Must not know what a buy token or a challenge looks like, nor who checks them.

use crate::ids::Timestamp;

/// The most seconds before the start from which tokens are given out: a day.
pub const LEAD_SECONDS_MAX: u32 = 24 * 3600;
/// The most milliseconds over which the opening may be spread: ten minutes.
pub const SPREAD_MILLISECONDS_MAX: u32 = 600_000;

/// What a buyer solves before a token is given out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Challenge {
    /// There is nothing to solve.
    #[default]
    None = 0,
    /// A proof of work, which the buyer's device finds.
    Proof = 1,
    /// Whatever the configured provider shows.
    External = 2,
}

impl Challenge {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::None, Self::Proof, Self::External];

    /// Its name in the API, in logs and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Proof => "proof",
            Self::External => "external",
        }
    }

    /// The challenge of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|challenge| challenge.name() == name)
    }
}

/// How an item is guarded. Without a buy token nothing else is asked for either.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Admission {
    /// Whether a purchase needs a buy token, which is given out beforehand, one for each order.
    pub buy_token: bool,
    /// What a buyer solves to get one.
    pub challenge: Challenge,
    /// How long before the start tokens are given out, in seconds.
    pub lead_seconds: u32,
    /// How far apart buyers may start, in milliseconds: each has a slot of its own within it. 0 lets
    /// all of them start at the start.
    pub spread_milliseconds: u32,
}

/// What is wrong with an admission: the field, and what it must be.
pub type AdmissionProblem = (&'static str, String);

impl Admission {
    /// Everybody may buy: what an item has if its operator says nothing.
    pub const OPEN: Self = Self {
        buy_token: false,
        challenge: Challenge::None,
        lead_seconds: 0,
        spread_milliseconds: 0,
    };

    /// From when tokens are given out for an item that starts at `starts_at`.
    pub fn opens_at(self, starts_at: Timestamp) -> Timestamp {
        Timestamp(starts_at.0.saturating_sub(u64::from(self.lead_seconds) * 1000))
    }

    /// What is wrong with it for an item that sells for `window_milliseconds`; empty if nothing is.
    pub fn problems(self, window_milliseconds: u64) -> Vec<AdmissionProblem> {
        let Self { buy_token, challenge, lead_seconds, spread_milliseconds } = self;
        let mut problems = Vec::new();
        if !buy_token && challenge != Challenge::None {
            let detail = "must be none without buy_token: it is asked when a token is given out";
            problems.push(("challenge", detail.to_owned()));
        }
        if lead_seconds > LEAD_SECONDS_MAX {
            problems.push(("lead_seconds", format!("must be 0 to {LEAD_SECONDS_MAX}")));
        } else if !buy_token && lead_seconds > 0 {
            problems.push(("lead_seconds", "must be 0 without buy_token".to_owned()));
        }
        if spread_milliseconds > SPREAD_MILLISECONDS_MAX {
            let detail = format!("must be 0 to {SPREAD_MILLISECONDS_MAX}");
            problems.push(("spread_milliseconds", detail));
        } else if !buy_token && spread_milliseconds > 0 {
            let detail = "must be 0 without buy_token: the token says when its buyer may start";
            problems.push(("spread_milliseconds", detail.to_owned()));
        } else if u64::from(spread_milliseconds) >= window_milliseconds.max(1) {
            let detail = "must be shorter than the sale: the last buyers could not start";
            problems.push(("spread_milliseconds", detail.to_owned()));
        }
        problems
    }

    /// The number under which records, checkpoints and gates keep it; 0 if everybody may buy.
    ///
    /// ```text
    /// bits  0 to 31  spread, in milliseconds
    /// bits 32 to 55  lead, in seconds
    /// bits 56 to 58  challenge
    /// bit        63  whether a buy token is needed
    /// ```
    pub fn number(self) -> u64 {
        (u64::from(self.buy_token) << 63)
            | (u64::from(self.challenge as u8) << 56)
            | (u64::from(self.lead_seconds) << 32)
            | u64::from(self.spread_milliseconds)
    }

    /// The admission of this number, if it is one within the bounds.
    pub fn from_number(number: u64) -> Option<Self> {
        let challenge = usize::from((number >> 56) as u8 & 0b111);
        let admission = Self {
            buy_token: number >> 63 == 1,
            challenge: *Challenge::ALL.get(challenge)?,
            lead_seconds: (number >> 32) as u32 & 0x00FF_FFFF,
            spread_milliseconds: number as u32,
        };
        (admission.number() == number && admission.problems(u64::MAX).is_empty())
            .then_some(admission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARDED: Admission = Admission {
        buy_token: true,
        challenge: Challenge::External,
        lead_seconds: LEAD_SECONDS_MAX,
        spread_milliseconds: SPREAD_MILLISECONDS_MAX,
    };

    #[test]
    fn a_number_is_one_admission_and_0_is_open() {
        assert_eq!(Admission::OPEN.number(), 0);
        assert_eq!(Admission::default(), Admission::OPEN);
        for admission in [
            Admission::OPEN,
            GUARDED,
            Admission { challenge: Challenge::Proof, lead_seconds: 0, ..GUARDED },
            Admission { challenge: Challenge::None, spread_milliseconds: 1, ..GUARDED },
        ] {
            assert_eq!(Admission::from_number(admission.number()), Some(admission));
        }
        for wrong in [
            1,                     // a spread without a token
            (1 << 63) | (3 << 56), // no such challenge
            (1 << 63) | (1 << 59), // a bit that means nothing
            (1 << 63) | (u64::from(SPREAD_MILLISECONDS_MAX) + 1),
            (1 << 63) | ((u64::from(LEAD_SECONDS_MAX) + 1) << 32),
        ] {
            assert_eq!(Admission::from_number(wrong), None, "{wrong:#x}");
        }
    }

    #[test]
    fn each_field_has_its_range() {
        let check = |admission: Admission, window, expected: &[&str]| {
            let found: Vec<_> =
                admission.problems(window).into_iter().map(|(field, _)| field).collect();
            assert_eq!(found, expected, "{admission:?}");
        };
        check(GUARDED, 600_001, &[]);
        check(GUARDED, 600_000, &["spread_milliseconds"]);
        check(Admission { lead_seconds: 86_401, ..GUARDED }, u64::MAX, &["lead_seconds"]);
        check(
            Admission { spread_milliseconds: 600_001, ..GUARDED },
            u64::MAX,
            &["spread_milliseconds"],
        );
        let fields = ["challenge", "lead_seconds", "spread_milliseconds"];
        check(Admission { buy_token: false, ..GUARDED }, u64::MAX, &fields);
    }

    #[test]
    fn tokens_come_before_the_start_and_never_before_time() {
        assert_eq!(GUARDED.opens_at(Timestamp(90_000_000)), Timestamp(3_600_000));
        assert_eq!(GUARDED.opens_at(Timestamp(5)), Timestamp(0));
    }
}
