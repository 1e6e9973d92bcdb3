//! How far a checkpoint reaches, and when a write must be refused. Pure.

use std::fmt;

/// How far a checkpoint reaches. Ordered by epoch first: a later epoch is later, whatever its seq.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mark {
    /// The epoch of the shard's owner that wrote it.
    pub epoch: u64,
    /// The last record that the state includes, 0 for none.
    pub seq: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "epoch {} seq {}", self.epoch, self.seq)
    }
}

/// The outcome of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Written {
    /// The store holds the shard as of this mark, on which the next increment builds.
    Stored(Mark),
    /// The store holds a later mark already, and nothing was changed.
    Stale {
        /// The mark of what it holds.
        stored: Mark,
    },
    /// The store does not hold what the increment builds on, and nothing was changed: everything has
    /// to be written, with no base.
    BaseMissing {
        /// The mark of what it holds, if it holds anything.
        stored: Option<Mark>,
    },
}

/// Why an increment from `base` to `mark` must not be applied to what is stored, if it must not.
/// Anything stored between the two is fine: it was made from the same journal, and the increment
/// holds all that changed since `base`.
pub(super) fn refusal(stored: Option<Mark>, base: Option<Mark>, mark: Mark) -> Option<Written> {
    match (stored, base) {
        (Some(stored), _) if stored > mark => Some(Written::Stale { stored }),
        (_, Some(base)) if stored.is_none_or(|stored| stored < base) => {
            Some(Written::BaseMissing { stored })
        }
        _ => None,
    }
}

/// How many numbered parts a whole checkpoint has: one more than the largest number, 0 if there is
/// none.
pub(super) fn count<T>(numbered: &[(u32, T)]) -> u32 {
    numbered.iter().map(|(number, _)| number + 1).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_never_go_back_and_increments_need_their_base() {
        let mark = |epoch, seq| Mark { epoch, seq };
        let stale = |stored| Some(Written::Stale { stored });
        let missing = |stored| Some(Written::BaseMissing { stored });
        #[rustfmt::skip]
        let table = [
            // stored            base              new           refusal
            (None,               None,             mark(1, 5),   None),
            (None,               Some(mark(1, 5)), mark(1, 9),   missing(None)),
            (Some(mark(1, 4)),   Some(mark(1, 5)), mark(1, 9),   missing(Some(mark(1, 4)))),
            (Some(mark(1, 5)),   Some(mark(1, 5)), mark(1, 9),   None),
            (Some(mark(1, 7)),   Some(mark(1, 5)), mark(1, 9),   None),
            (Some(mark(1, 9)),   Some(mark(1, 5)), mark(1, 9),   None),
            (Some(mark(1, 10)),  Some(mark(1, 5)), mark(1, 9),   stale(mark(1, 10))),
            (Some(mark(1, 10)),  None,             mark(1, 9),   stale(mark(1, 10))),
            (Some(mark(2, 1)),   Some(mark(1, 5)), mark(1, 9),   stale(mark(2, 1))),
            (Some(mark(1, 10)),  None,             mark(2, 9),   None),
            (Some(mark(1, 5)),   Some(mark(1, 5)), mark(2, 5),   None),
        ];
        for (stored, base, new, expected) in table {
            assert_eq!(refusal(stored, base, new), expected, "{stored:?} {base:?} {new:?}");
        }
    }
}
