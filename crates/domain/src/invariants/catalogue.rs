//! The catalogue of invariants: numbers and titles, and the rule beside them that a record has to
//! follow from those before it.

use std::fmt;

/// One of the seventeen invariants that the engine keeps, whatever fails.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Invariant {
    /// Per item, the units allotted are those available, reserved and sold.
    I1 = 1,
    /// No more is sold than there is.
    I2,
    /// What a client was told is on record.
    I3,
    /// Journal and order store hold the same orders.
    I4,
    /// A shard's records are numbered without a gap.
    I5,
    /// No buyer holds more units of an item than its limit.
    I6,
    /// A request gets one order.
    I7,
    /// No reply precedes the durability of what it tells.
    I8,
    /// A checkpoint and the records after it lead to the state that all records lead to.
    I9,
    /// An order ends once.
    I10,
    /// No checkpoint is ahead of what is durable.
    I11,
    /// The relay passes over no message.
    I12,
    /// No record is deleted before the order store has it.
    I13,
    /// A buyer pays the price that was agreed.
    I14,
    /// An owner that was replaced changes nothing any more.
    I15,
    /// What can be sold is sold.
    I16,
    /// Money that came is the price of an order, or goes back.
    I17,
}

impl Invariant {
    /// All of them, by their numbers.
    pub const ALL: [Self; 17] = [
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I6,
        Self::I7,
        Self::I8,
        Self::I9,
        Self::I10,
        Self::I11,
        Self::I12,
        Self::I13,
        Self::I14,
        Self::I15,
        Self::I16,
        Self::I17,
    ];

    /// Its number, from 1.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// What it says, in one line.
    pub fn title(self) -> &'static str {
        match self {
            Self::I1 => "allotted = available + reserved + sold, per item, at every seq",
            Self::I2 => "available is never below 0",
            Self::I3 => "each confirmation a client saw has exactly one record",
            Self::I4 => "grants in the journal = orders in the order store, with equal content",
            Self::I5 => "(shard, seq) is dense and the checksum chain holds",
            Self::I6 => "no more live units per user and item than the limit",
            Self::I7 => "one (user, request) has at most one order",
            Self::I8 => "no reply beyond the durable watermark",
            Self::I9 => "replay of checkpoint and tail = replay of all",
            Self::I10 => "an order ends once; its stock returns at most once",
            Self::I11 => "no checkpoint beyond what is durable",
            Self::I12 => "the relay's cursor passes nothing unconfirmed or returned",
            Self::I13 => "no segment is gone while an order in it is missing from the order store",
            Self::I14 => "an order's price is the price in force at its seq",
            Self::I15 => "no record of an older owner takes effect after a newer owner's first",
            Self::I16 => "with stock left and the system healthy, a valid purchase succeeds",
            Self::I17 => "money captured = orders paid + refunds due + refunded, per sale",
        }
    }
}

/// The letter I and the number, such as `I4`.
impl fmt::Display for Invariant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("I{}", self.number()))
    }
}

/// What a record can break: its form, or a numbered invariant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rule {
    /// A record follows from those before it: it names items and orders that its shard has, its
    /// order ids and attempts grow, and an order's content stays. A record that does not is
    /// *malformed*; which invariant it would break cannot be said.
    Form,
    /// The numbered invariant.
    Invariant(Invariant),
}

impl Rule {
    /// What it says, in one line.
    pub fn title(self) -> &'static str {
        match self {
            Self::Form => "each record follows from the records before it",
            Self::Invariant(invariant) => invariant.title(),
        }
    }
}

impl From<Invariant> for Rule {
    fn from(invariant: Invariant) -> Self {
        Self::Invariant(invariant)
    }
}

/// The word `form`, or the invariant as `I4`.
impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => formatter.pad("form"),
            Self::Invariant(invariant) => invariant.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_complete_and_in_order() {
        for (index, invariant) in Invariant::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(invariant.number()), index + 1);
            assert_eq!(format!("{invariant:<4}|"), format!("{:<4}|", format!("I{}", index + 1)));
            assert!(!invariant.title().is_empty());
        }
        assert_eq!(Rule::from(Invariant::I4).to_string(), "I4");
        assert_eq!(format!("{:<5}|", Rule::Form), "form |");
    }
}
