//! The small files of the data directory that a start reads: the journal's identity, the number of shards,
//! the secret that signs tokens.
//!
//! The running shop needs none of them. So one that is taken away beneath it would be missed at the next
//! start only, when nobody knows any more what it held. This process does, and puts it back.

use crate::actors::{Engine, Meaning};
use crate::secrets::{self, SigningSecret};
use crate::store::data_dir::{DataDir, DataDirError};
use crate::store::journal::JournalId;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The name under which readiness shows it.
const NAME: &str = "data_directory";
const KIND: &str = "files";
/// The time between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// What the files hold.
#[derive(Debug)]
pub(super) struct KeptFiles {
    /// The data directory, which this process has locked.
    pub data_dir: Arc<DataDir>,
    /// The number of shards.
    pub shards: u16,
    /// The journal's identity.
    pub journal: JournalId,
    /// The data directory's secret; none if the settings have one.
    pub secret: Option<SigningSecret>,
}

/// Why the files cannot be looked after.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Secret(#[from] secrets::Error),
}

impl KeptFiles {
    /// Looks every few seconds whether the files are there, until the task is aborted.
    pub async fn watch(self: Arc<Self>, engine: Engine) {
        loop {
            let files = Arc::clone(&self);
            let Ok(looked) = tokio::task::spawn_blocking(move || files.put_back()).await else {
                return;
            };
            let meaning = match looked {
                Ok(back) => {
                    for path in back {
                        let path = path.display();
                        tracing::warn!(%path, "a file of the data directory was gone and is put back");
                    }
                    Meaning::DirectoryWhole
                }
                Err(error) => Meaning::DirectoryUnusable(error.to_string()),
            };
            engine.report(NAME, KIND, meaning == Meaning::DirectoryWhole, meaning);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Puts back what is gone, and returns the paths.
    fn put_back(&self) -> Result<Vec<PathBuf>, KeepError> {
        let mut back = self.data_dir.put_back(self.shards, self.journal)?;
        if let Some(secret) = &self.secret
            && secrets::put_back(self.data_dir.path(), secret)?
        {
            back.push(self.data_dir.path().join(secrets::SIGNING_SECRET_FILE));
        }
        Ok(back)
    }
}
