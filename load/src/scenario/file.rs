//! A scenario from its file: parsed, then validated.

use std::path::Path;

use super::faults::Fault;
use super::model::Scenario;
use super::validate::{faults_are_few, validate};
use crate::schedule::Phase;
use crate::{Error, Result};

impl Scenario {
    /// Reads and validates a scenario file.
    ///
    /// # Errors
    /// Returns [`Error::Scenario`] names the file and what is wrong with it; [`Error::Io`] if it
    /// cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(Error::io(format!("reading scenario {}", path.display())))?;
        Self::parse(&text, path)
    }

    /// Parses and validates; `path` is for messages and to find recorded files.
    ///
    /// # Errors
    /// Returns an error if [`Scenario::read`] does.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::Scenario { path: path.to_owned(), reason };
        let mut scenario: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for phase in &mut scenario.load {
            if let Phase::Recorded { file } = phase {
                *file = folder.join(&*file);
            }
        }
        faults_are_few(&scenario.fault).map_err(wrong)?;
        scenario.fault = scenario.fault.iter().flat_map(Fault::each_time).collect();
        validate(&scenario).map_err(wrong)?;
        Ok(scenario)
    }
}
