//! The three views of a page: the table for a terminal, JSON and the HTML document.

use std::path::Path;

use super::page::Page;
use super::{html, terminal};
use crate::{Error, Result};

impl Page {
    /// The page for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        terminal::render(self)
    }

    /// The page as JSON.
    ///
    /// # Panics
    /// Never: a page has a JSON form.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a page has a JSON form") + "\n"
    }

    /// The page as one self-contained HTML document.
    #[must_use]
    pub fn html(&self) -> String {
        html::render(self)
    }

    /// Writes that document.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the file cannot be written.
    pub fn write_html(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.html()).map_err(Error::io(format!("writing {}", path.display())))
    }
}
