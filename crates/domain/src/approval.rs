//! A sale's way from draft to settled, and who may take it which step.
//!
//! Owns the statuses, the steps between them and the rule that no one approves their own sale
//! (maker-checker). Pure: who and when come in as data. Must not know how sales are stored.

use crate::ids::Timestamp;

/// How far a sale has come. Whether an approved sale is *live* is the clock's to say: see
/// [`SaleStage`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum SaleStatus {
    /// Being written; the only status in which it can be edited or deleted.
    Draft = 1,
    /// Waiting for another person's approval.
    Submitted = 2,
    /// Sent back by the other person.
    Rejected = 3,
    /// Approved; its items are not in their shards yet.
    Approved = 4,
    /// Its items are in their shards, which sell them within the sale's window.
    Preheated = 5,
    /// Over: by the clock, or because an operator ended it.
    Ended = 6,
    /// All its orders are closed and stored; its shards released them.
    Settled = 7,
}

/// All statuses, in the order of a sale's life.
pub const SALE_STATUSES: [SaleStatus; 7] = [
    SaleStatus::Draft,
    SaleStatus::Submitted,
    SaleStatus::Rejected,
    SaleStatus::Approved,
    SaleStatus::Preheated,
    SaleStatus::Ended,
    SaleStatus::Settled,
];

/// What a sale shows at an instant: its status, with `Live` where the clock makes it so.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SaleStage {
    /// As its status says.
    Status(SaleStatus),
    /// Preheated and within its window.
    Live,
}

/// A step that someone takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SaleStep {
    /// The maker asks for approval.
    Submit,
    /// A submitted sale goes back to draft on the makers' side.
    Withdraw,
    /// Another person approves.
    Approve,
    /// Another person sends it back.
    Reject,
    /// A rejected sale is taken up again.
    Revise,
    /// The engine has loaded all items into their shards.
    Preheat,
    /// It is over.
    End,
    /// All items are settled.
    Settle,
}

/// All steps that a sale can take.
pub const SALE_STEPS: [SaleStep; 8] = [
    SaleStep::Submit,
    SaleStep::Withdraw,
    SaleStep::Approve,
    SaleStep::Reject,
    SaleStep::Revise,
    SaleStep::Preheat,
    SaleStep::End,
    SaleStep::Settle,
];

/// Who made a sale what it is: none of them may judge it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Makers<'a> {
    /// Who created it.
    pub created_by: &'a str,
    /// Who edited it last.
    pub edited_by: &'a str,
    /// Who submitted it, if it was.
    pub submitted_by: Option<&'a str>,
}

/// Why a step is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StepRefused {
    /// The step does not start from the sale's status.
    #[error("cannot {} a sale that is {}", .step.name(), .status.name())]
    WrongStatus {
        /// The status of the sale.
        status: SaleStatus,
        /// The step that was asked for.
        step: SaleStep,
    },
    /// The people who wrote or submitted a sale neither approve nor reject it.
    #[error("a sale is judged by another person than those who wrote and submitted it")]
    OwnWork,
}

/// The status that `step` by `actor` leads to from `status`. Names are compared without regard to case.
///
/// # Errors
/// Returns [`StepRefused`] if the step does not start there, or is not this person's to take.
pub fn take_step(
    status: SaleStatus,
    step: SaleStep,
    actor: &str,
    makers: Makers<'_>,
) -> Result<SaleStatus, StepRefused> {
    use SaleStatus::{Approved, Draft, Ended, Preheated, Rejected, Settled, Submitted};
    let next = match (status, step) {
        (Draft, SaleStep::Submit) => Submitted,
        (Submitted, SaleStep::Withdraw) | (Rejected, SaleStep::Revise) => Draft,
        (Submitted, SaleStep::Approve) => Approved,
        (Submitted, SaleStep::Reject) => Rejected,
        (Approved, SaleStep::Preheat) => Preheated,
        (Approved | Preheated, SaleStep::End) => Ended,
        (Ended, SaleStep::Settle) => Settled,
        _ => return Err(StepRefused::WrongStatus { status, step }),
    };
    let judges = matches!(step, SaleStep::Approve | SaleStep::Reject);
    if judges && makers.include(actor) {
        return Err(StepRefused::OwnWork);
    }
    Ok(next)
}

impl Makers<'_> {
    fn include(&self, actor: &str) -> bool {
        [Some(self.created_by), Some(self.edited_by), self.submitted_by]
            .into_iter()
            .flatten()
            .any(|maker| maker.to_lowercase() == actor.to_lowercase())
    }
}

impl SaleStatus {
    /// The name used in JSON and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Submitted => "submitted",
            Self::Rejected => "rejected",
            Self::Approved => "approved",
            Self::Preheated => "preheated",
            Self::Ended => "ended",
            Self::Settled => "settled",
        }
    }

    /// The status of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        SALE_STATUSES.into_iter().find(|status| status.name() == name)
    }

    /// The status of this number, which is how the catalogue keeps it.
    pub fn from_number(number: u8) -> Option<Self> {
        SALE_STATUSES.into_iter().find(|status| *status as u8 == number)
    }

    /// What a sale of this status and window shows at `now`.
    pub fn stage(self, now: Timestamp, starts_at: Timestamp, ends_at: Timestamp) -> SaleStage {
        match self {
            Self::Preheated if now >= ends_at => SaleStage::Status(Self::Ended),
            Self::Preheated if now >= starts_at => SaleStage::Live,
            status => SaleStage::Status(status),
        }
    }
}

impl SaleStage {
    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status(status) => status.name(),
            Self::Live => "live",
        }
    }
}

impl SaleStep {
    /// The name used in paths, the operators' log and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Withdraw => "withdraw",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Revise => "revise",
            Self::Preheat => "preheat",
            Self::End => "end",
            Self::Settle => "settle",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAKERS: Makers<'static> =
        Makers { created_by: "ann", edited_by: "bob", submitted_by: Some("cem") };

    /// Every status with every step, by someone else; what is not in the table is refused.
    const TABLE: &str = "
        draft      submit    submitted
        submitted  withdraw  draft
        submitted  approve   approved
        submitted  reject    rejected
        rejected   revise    draft
        approved   preheat   preheated
        approved   end       ended
        preheated  end       ended
        ended      settle    settled
    ";

    #[test]
    fn a_sale_takes_the_steps_of_the_table_and_no_others() {
        let rows: Vec<Vec<&str>> = TABLE
            .lines()
            .map(|line| line.split_whitespace().collect())
            .filter(|row: &Vec<&str>| !row.is_empty())
            .collect();
        for status in SALE_STATUSES {
            for step in SALE_STEPS {
                let row = rows.iter().find(|row| row[0] == status.name() && row[1] == step.name());
                let expected = row
                    .and_then(|row| SaleStatus::from_name(row[2]))
                    .ok_or(StepRefused::WrongStatus { status, step });
                assert_eq!(take_step(status, step, "dan", MAKERS), expected);
            }
        }
    }

    #[test]
    fn no_one_judges_their_own_work() {
        for (actor, is_refused) in
            [("ann", true), ("BOB", true), ("Cem", true), ("dan", false), ("an", false)]
        {
            for step in [SaleStep::Approve, SaleStep::Reject] {
                let refused = take_step(SaleStatus::Submitted, step, actor, MAKERS)
                    == Err(StepRefused::OwnWork);
                assert_eq!(refused, is_refused, "{actor} {}", step.name());
            }
        }
        assert!(take_step(SaleStatus::Submitted, SaleStep::Withdraw, "ann", MAKERS).is_ok());
    }

    #[test]
    fn a_preheated_sale_is_live_by_the_clock() {
        let (starts_at, ends_at) = (Timestamp(10), Timestamp(20));
        for (now, shown) in [(9, "preheated"), (10, "live"), (19, "live"), (20, "ended")] {
            let stage = SaleStatus::Preheated.stage(Timestamp(now), starts_at, ends_at);
            assert_eq!(stage.name(), shown);
            let stage = SaleStatus::Approved.stage(Timestamp(now), starts_at, ends_at);
            assert_eq!(stage.name(), "approved");
        }
    }

    #[test]
    fn names_and_numbers_are_read_back() {
        for status in SALE_STATUSES {
            assert_eq!(SaleStatus::from_name(status.name()), Some(status));
            assert_eq!(SaleStatus::from_number(status as u8), Some(status));
        }
        assert_eq!(SaleStatus::from_number(0), None);
    }
}
