//! The accounts of operators as the edge asks for them: read anew for each request, and as they were last
//! known while the catalogue is away.
//!
//! So a session ends with the next request after its account was disabled, by whichever process; and a
//! database that is down keeps nobody from pausing a sale. Must not know sessions, tokens or cookies.

use crate::store::catalogue::{Catalogue, CatalogueError};
use domain::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use crate::store::catalogue::{Acceptance, OPERATORS_MAX, OperatorAccount};

/// How long a request waits for an account before the one that is known counts.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// For how long nobody waits again after the catalogue did not answer.
const PAUSE_MILLISECONDS: u64 = 3_000;

/// The accounts that were asked for since the start. Cheap to clone; clones share what they know.
#[derive(Clone, Debug)]
pub(super) struct KnownOperators {
    catalogue: Catalogue,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// By name in lower case; only names that have an account are here, so there are at most
    /// [`OPERATORS_MAX`].
    accounts: HashMap<String, OperatorAccount>,
    /// When the catalogue did not answer, if it has not since.
    silent_since: Option<Timestamp>,
}

/// An account, and how it is known.
#[derive(Clone, Debug)]
pub enum Found {
    /// As the catalogue has it.
    Account(OperatorAccount),
    /// As it was when the catalogue last answered; now it does not.
    LastKnown(OperatorAccount),
    /// The catalogue has no account of this name.
    Nobody,
    /// The catalogue does not answer, and the name was not asked for since the start.
    Unknown,
}

impl KnownOperators {
    pub(super) fn new(catalogue: Catalogue) -> Self {
        Self { catalogue, known: Arc::default() }
    }

    pub(super) async fn find(&self, name: &str, now: Timestamp) -> Found {
        let is_silent = self
            .known
            .lock()
            .silent_since
            .is_some_and(|since| now.0.saturating_sub(since.0) < PAUSE_MILLISECONDS);
        if is_silent {
            return self.last_known(name);
        }
        let (own, name_read) = (self.clone(), name.to_owned());
        // A task of its own: a read that nobody waits for any more must not leave a connection in the
        // midst of an answer.
        let reading = tokio::spawn(async move {
            let read = own.catalogue.operator(&name_read).await;
            own.note(&name_read, &read, now);
            read
        });
        match tokio::time::timeout(READ_TIMEOUT, reading).await {
            Ok(Ok(Ok(Some(account)))) => Found::Account(account),
            Ok(Ok(Ok(None))) => Found::Nobody,
            Ok(_) => self.last_known(name),
            Err(_) => {
                self.known.lock().silent_since = Some(now);
                self.last_known(name)
            }
        }
    }

    pub(super) fn note(
        &self,
        name: &str,
        read: &Result<Option<OperatorAccount>, CatalogueError>,
        now: Timestamp,
    ) {
        let mut known = self.known.lock();
        match read {
            Ok(Some(account)) => {
                known.silent_since = None;
                known.accounts.insert(name.to_lowercase(), account.clone());
            }
            Ok(None) => {
                known.silent_since = None;
                known.accounts.remove(&name.to_lowercase());
            }
            Err(error) => {
                if known.silent_since.replace(now).is_none() {
                    tracing::warn!(%error, "operators' accounts cannot be read: those known count");
                }
            }
        }
    }

    fn last_known(&self, name: &str) -> Found {
        let known = self.known.lock();
        let account = known.accounts.get(&name.to_lowercase()).cloned();
        account.map_or(Found::Unknown, Found::LastKnown)
    }
}
