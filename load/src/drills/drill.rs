//! A drill: its number, what it breaks, when it has passed, and how it is carried out.

use std::pin::Pin;

use super::evidence::Evidence;
use super::setting::Setting;
use crate::Result;

/// Tests as `BINARY MODULES::NAME`, or modules of them, each with a remark that may be empty.
pub type Tests = &'static [(&'static str, &'static str)];

/// What a procedure finds.
pub type Carrying<'a> = Pin<Box<dyn Future<Output = Result<Evidence>> + 'a>>;

/// A drill.
#[derive(Debug)]
pub struct Drill {
    /// Its number, from `1` to `49`, or its name where it has none.
    pub id: &'static str,
    /// What is broken.
    pub name: &'static str,
    /// What has to be seen for it to have passed, beside what holds after every drill.
    pub passes: &'static str,
    /// How it is carried out.
    pub carried: Carried,
    /// The tests that try the same, or, where it is theirs alone, that are the drill.
    pub tests: Tests,
}

/// The drills that need neither long nor a server of their own, and are worth their time on a build that is
/// not made for speed.
const QUICK: [&str; 14] =
    ["kills", "12", "13", "14", "15", "19", "35", "37", "38", "40", "42", "43", "45", "46"];

impl Drill {
    /// Whether it is part of a quick run.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        QUICK.contains(&self.id)
    }
}

/// How a drill is carried out.
#[derive(Clone, Copy)]
pub enum Carried {
    /// By a scenario of the laboratory, as TOML.
    Scenario(&'static str),
    /// By a procedure on any build of the engine.
    Procedure(for<'a> fn(&'a Setting) -> Carrying<'a>),
    /// By a procedure on a build that has failpoints.
    Failpoints(for<'a> fn(&'a Setting) -> Carrying<'a>),
    /// By `cargo test` alone.
    Test,
}

impl std::fmt::Debug for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.words())
    }
}

impl Carried {
    /// In words, for the page and the document.
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Self::Scenario(_) => "scenario",
            Self::Procedure(_) => "procedure",
            Self::Failpoints(_) => "failpoints",
            Self::Test => "cargo test",
        }
    }
}
