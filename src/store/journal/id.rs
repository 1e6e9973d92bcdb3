//! The identity of a journal: what tells a shop's own checkpoints and orders from another shop's.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// The identity of a data directory's journal, drawn at its first start. As text 16 hexadecimal
/// digits, in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct JournalId(pub NonZeroU64);

/// A text that is not what a [`JournalId`] is written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not 16 hexadecimal digits")]
pub struct NoJournalId;

impl JournalId {
    /// A new identity, drawn at random, that no other journal has.
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for JournalId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl FromStr for JournalId {
    type Err = NoJournalId;

    fn from_str(text: &str) -> Result<Self, NoJournalId> {
        let number = u64::from_str_radix(text, 16).ok().and_then(NonZeroU64::new);
        // Only the form that is written: no sign, no capitals.
        number.map(Self).filter(|id| id.to_string() == text).ok_or(NoJournalId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for id in [JournalId::random(), JournalId(NonZeroU64::MIN), JournalId(NonZeroU64::MAX)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in ["", "1", "0000000000000000", "+000000000000001", "00000000000000AB"] {
            assert_eq!(text.parse::<JournalId>(), Err(NoJournalId), "{text:?}");
        }
        assert_eq!("00000000000000ab\n".parse::<JournalId>(), Err(NoJournalId));
    }
}
