//! The three views of a report: the table for a terminal, the JSON file and the HTML page.

use std::path::Path;

use super::data::Report;
use super::{html, terminal};
use crate::{Error, Result};

impl Report {
    /// The report for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        terminal::render(self)
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("a report has a JSON form");
        write(path, &text)
    }

    /// Writes the report as one self-contained HTML page.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the file cannot be written.
    pub fn write_html(&self, path: &Path) -> Result<()> {
        write(path, &html::render(self))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(Error::io(format!("writing {}", path.display())))
}
