//! Where drills are carried out: which program, how much of each, from which seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Error, Result};

/// What is the same for all drills of a run.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The engine's program.
    pub binary: PathBuf,
    /// What it says of itself.
    pub program: String,
    /// Where the drills' directories are kept, if they are.
    pub keep: Option<PathBuf>,
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

    /// The same for this drill, which keeps what it keeps in a directory of its name.
    #[must_use]
    pub fn of_drill(&self, id: &str) -> Self {
        Self { keep: self.keep.as_ref().map(|kept| kept.join(id)), ..self.clone() }
    }

    /// A directory for what a shop leaves behind.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if it cannot be made.
    pub fn home(&self) -> Result<TempDir> {
        let mut naming = tempfile::Builder::new();
        let made = match &self.keep {
            Some(kept) => std::fs::create_dir_all(kept)
                .and_then(|()| naming.prefix("shop-").disable_cleanup(true).tempdir_in(kept)),
            None => naming.prefix("seckill-drill-").tempdir(),
        };
        made.map_err(Error::io("making a directory"))
    }

    /// How much of something: the first in a quick run, the second in a whole one.
    #[must_use]
    pub fn of<T>(&self, quick: T, whole: T) -> T {
        if self.quick { quick } else { whole }
    }
}
