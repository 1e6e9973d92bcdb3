//! What one generator thread measured and was told. Threads share nothing while they
//! run; their records are merged afterwards.

use hdrhistogram::Histogram;

use crate::outcome::{Class, Outcome};

/// Latencies above this many microseconds are recorded as this.
const LATENCY_US_MAX: u64 = 300_000_000;
const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// An order id was told for a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmation {
    /// The order's id.
    pub order: u64,
    /// The user who asked, counted from 0.
    pub user: u32,
    /// The item that they asked for, counted from 0.
    pub item: u32,
    /// Their request id.
    pub key: u64,
    /// When they first asked with it, in nanoseconds since the load began.
    pub asked_ns: u64,
    /// When the answer came, in nanoseconds since the load began.
    pub at_ns: u64,
}

/// What a client was told about an order after its purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowUp {
    /// The order's id.
    pub order: u64,
    /// [`Outcome::Paid`], [`Outcome::Cancelled`], [`Outcome::RefundDue`] or
    /// [`Outcome::OrderClosed`]; anything of [`Class::Unknown`] if the client gave up.
    pub answer: Outcome,
}

/// A purchase whose client gave up without a definite answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unresolved {
    /// The item, counted from 0.
    pub item: u32,
    /// The request id.
    pub key: u64,
}

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To buy.
    Purchase,
    /// To pay or cancel what was bought.
    FollowUp,
    /// To look.
    View,
}

/// One second of a run.
#[derive(Debug, Clone)]
pub struct Second {
    /// Requests meant to start in this second.
    pub offered: u64,
    /// Answers (or their absence) in this second, by [`Outcome::index`].
    pub outcomes: [u64; Outcome::COUNT],
    /// Latencies of those, in microseconds from the intended start, to two digits.
    pub latency: Histogram<u32>,
}

impl Default for Second {
    fn default() -> Self {
        let latency = Histogram::new(2).expect("two digits are supported");
        Self { offered: 0, outcomes: [0; Outcome::COUNT], latency }
    }
}

impl Second {
    /// Answers of one class.
    #[must_use]
    pub fn of_class(&self, class: Class) -> u64 {
        let counted = Outcome::ALL.iter().filter(|outcome| outcome.class() == class);
        counted.map(|outcome| self.outcomes[outcome.index()]).sum()
    }
}

/// Everything one thread, or after merging all of them, measured.
#[derive(Debug, Clone)]
pub struct Record {
    /// Requests that were meant to start.
    pub offered: u64,
    /// Requests that found the generator's own queue full and were never sent.
    pub not_offered: u64,
    /// Of the offered ones, repeats by clients without a definite answer.
    pub repeats: u64,
    /// Clients that ran out of patience without a definite answer.
    pub given_up: u64,
    /// Counts by [`Outcome::index`].
    pub outcomes: [u64; Outcome::COUNT],
    /// All requests: microseconds from the intended start to the end of the answer.
    pub latency: Histogram<u64>,
    /// Purchases that were granted.
    pub latency_granted: Histogram<u64>,
    /// Purchases that were refused by rule.
    pub latency_refused: Histogram<u64>,
    /// What readers looked at.
    pub latency_views: Histogram<u64>,
    /// How late the generator itself noticed that a request was due, in microseconds.
    pub lateness: Histogram<u64>,
    /// Most requests that waited for a free connection at one time.
    pub waiting_max: u64,
    /// One entry a second.
    pub seconds: Vec<Second>,
    /// Every confirmation, repeats included.
    pub confirmations: Vec<Confirmation>,
    /// Every definite or given-up follow-up.
    pub follow_ups: Vec<FollowUp>,
    /// Purchases whose clients gave up.
    pub unresolved: Vec<Unresolved>,
    /// End of the last answer, in nanoseconds since the load began.
    pub last_answer_ns: u64,
}

impl Default for Record {
    fn default() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("these bounds are supported")
        };
        Self {
            offered: 0,
            not_offered: 0,
            repeats: 0,
            given_up: 0,
            outcomes: [0; Outcome::COUNT],
            latency: histogram(),
            latency_granted: histogram(),
            latency_refused: histogram(),
            latency_views: histogram(),
            lateness: histogram(),
            waiting_max: 0,
            seconds: Vec::new(),
            confirmations: Vec::new(),
            follow_ups: Vec::new(),
            unresolved: Vec::new(),
            last_answer_ns: 0,
        }
    }
}

impl Record {
    /// A request became due at `intended_ns` and was noticed at `now_ns`.
    pub fn due(&mut self, intended_ns: u64, now_ns: u64) {
        self.offered += 1;
        self.second(intended_ns).offered += 1;
        self.lateness.saturating_record(now_ns.saturating_sub(intended_ns) / 1_000);
    }

    /// A request ended, however it did.
    pub fn ended(&mut self, outcome: Outcome, purpose: Purpose, intended_ns: u64, now_ns: u64) {
        let latency_us = (now_ns.saturating_sub(intended_ns) / 1_000).min(LATENCY_US_MAX);
        self.outcomes[outcome.index()] += 1;
        self.latency.saturating_record(latency_us);
        match (purpose, outcome.class()) {
            (Purpose::Purchase, Class::Granted) => {
                self.latency_granted.saturating_record(latency_us)
            }
            (Purpose::Purchase, Class::Refused) => {
                self.latency_refused.saturating_record(latency_us)
            }
            (Purpose::View, Class::Granted) => self.latency_views.saturating_record(latency_us),
            _ => {}
        }
        self.last_answer_ns = self.last_answer_ns.max(now_ns);
        let second = self.second(now_ns);
        second.outcomes[outcome.index()] += 1;
        second.latency.record(latency_us).expect("this histogram grows");
    }

    fn second(&mut self, at_ns: u64) -> &mut Second {
        let index = usize::try_from(at_ns / NANOSECONDS_PER_SECOND).unwrap_or(0);
        if self.seconds.len() <= index {
            self.seconds.resize_with(index + 1, Second::default);
        }
        &mut self.seconds[index]
    }

    /// Adds another thread's record to this one.
    pub fn merge(&mut self, other: Self) {
        self.offered += other.offered;
        self.not_offered += other.not_offered;
        self.repeats += other.repeats;
        self.given_up += other.given_up;
        add(&mut self.outcomes, &other.outcomes);
        for (mine, theirs) in [
            (&mut self.latency, &other.latency),
            (&mut self.latency_granted, &other.latency_granted),
            (&mut self.latency_refused, &other.latency_refused),
            (&mut self.latency_views, &other.latency_views),
            (&mut self.lateness, &other.lateness),
        ] {
            mine.add(theirs).expect("all threads use the same bounds");
        }
        self.waiting_max += other.waiting_max;
        for (index, theirs) in other.seconds.into_iter().enumerate() {
            let mine = self.second(index as u64 * NANOSECONDS_PER_SECOND);
            mine.offered += theirs.offered;
            add(&mut mine.outcomes, &theirs.outcomes);
            mine.latency.add(&theirs.latency).expect("these histograms grow");
        }
        self.confirmations.extend(other.confirmations);
        self.follow_ups.extend(other.follow_ups);
        self.unresolved.extend(other.unresolved);
        self.last_answer_ns = self.last_answer_ns.max(other.last_answer_ns);
    }

    /// How many ended so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.index()]
    }

    /// How many ended in this class.
    #[must_use]
    pub fn of_class(&self, class: Class) -> u64 {
        let counted = Outcome::ALL.iter().filter(|outcome| outcome.class() == class);
        counted.map(|outcome| self.count(*outcome)).sum()
    }

    /// Answers of the server: all ends but missing answers.
    #[must_use]
    pub fn answered(&self) -> u64 {
        let missing = [Outcome::NotDelivered, Outcome::ConnectionLost, Outcome::TimedOut];
        let all: u64 = self.outcomes.iter().sum();
        all - missing.iter().map(|outcome| self.count(*outcome)).sum::<u64>()
    }
}

fn add(mine: &mut [u64; Outcome::COUNT], theirs: &[u64; Outcome::COUNT]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine += theirs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_loses_nothing() {
        let one = |outcome, at: u64| {
            let mut record = Record::default();
            record.due(at, at + 5_000);
            record.ended(outcome, Purpose::Purchase, at, at + 3_000_000);
            record
        };
        let mut whole = one(Outcome::Reserved, 0);
        whole.merge(one(Outcome::TimedOut, 2 * NANOSECONDS_PER_SECOND));
        assert_eq!((whole.offered, whole.answered()), (2, 1));
        assert_eq!(whole.latency.len(), 2);
        assert_eq!(whole.seconds.len(), 3);
        assert_eq!(whole.seconds[2].of_class(Class::Unknown), 1);
        assert!((2_998..=3_002).contains(&whole.latency_granted.value_at_quantile(0.5)));
    }
}
