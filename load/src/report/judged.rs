//! A criterion and what became of it.

use serde::Serialize;

/// One criterion, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// What was asked.
    pub what: &'static str,
    /// What would pass.
    pub wanted: String,
    /// What was found.
    pub found: String,
    /// Whether it passes.
    pub holds: bool,
}
