//! Where drills are carried out: which program, how much of each, from which seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// What is the same for all drills of a run.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The engine's program.
    pub binary: PathBuf,
    /// A build of it that has failpoints, for the drills that need one.
    pub failpoints: Option<PathBuf>,
    /// Little load, for a build that is not made for speed.
    pub quick: bool,
    /// Seed of everything random.
    pub seed: u64,
    /// Settings of the engine, beside those of each drill.
    pub environment: BTreeMap<String, String>,
}

impl Setting {
    /// The build with failpoints.
    ///
    /// # Errors
    /// Returns [`Error::Missing`] where there is none.
    pub fn failpoints(&self) -> Result<&Path> {
        self.failpoints.as_deref().ok_or_else(|| Error::Missing {
            what: "a build with failpoints".to_owned(),
            remedy: "--failpoint-bin names one, made by `cargo build --features fail/failpoints`"
                .to_owned(),
        })
    }

    /// How much of something: the first in a quick run, the second in a whole one.
    #[must_use]
    pub fn of<T>(&self, quick: T, whole: T) -> T {
        if self.quick { quick } else { whole }
    }
}
