//! What a simulation finds.

use domain::invariants::{Finding as Judged, Invariant, Ledger, Rule};
use std::fmt;

/// Something that must not be: which rule it breaks, if one has a number, and what was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The rule that is broken; none for a failed assertion of the code that runs.
    pub rule: Option<Rule>,
    /// What was seen, in words.
    pub text: String,
}

impl Finding {
    /// A finding that breaks an invariant.
    pub fn of(invariant: Invariant, text: impl Into<String>) -> Self {
        Self { rule: Some(invariant.into()), text: text.into() }
    }

    /// The first rule that a ledger has found broken.
    ///
    /// # Errors
    /// Returns it, if there is one.
    pub fn first_of(ledger: &Ledger) -> Result<(), Self> {
        let mut findings = ledger.findings().iter();
        let first = |(rule, judged): (&Rule, &Judged)| Some((*rule, judged.first.clone()?));
        match findings.find_map(first) {
            Some((rule, text)) => Err(Self { rule: Some(rule), text }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some(rule) => write!(formatter, "{rule}: {}", self.text),
            None => write!(formatter, "an assertion failed: {}", self.text),
        }
    }
}
