//! The documents in etcd, where all nodes of a cluster find them. Below the cluster's prefix:
//!
//! ```text
//! config/current      all documents with their versions, as JSON, and the version of them together
//! config/entries/{v}  what the operators' log has yet to be told of version v, as JSON
//! config/history/{v}  all documents as version v left them: the last hundred
//! ```
//!
//! A change is one transaction: only if `current` is what was seen, it is replaced, the history gets the new
//! version, and the log's entry is put down. What is not as it may be, because somebody wrote it by hand, does not
//! count: the last good documents do, which the node knows or the history has, and the next change is made from
//! them. Must not know what a document says; who does is handed in.

use super::documents::{Documents, Due, Found, HISTORY_MAX, Refused, SettingChange, StoredSetting};
use super::error::SettingsError;
use super::written;
use crate::store::etcd::{Condition, Etcd, EtcdError, Operation, Stored, Transaction, Watch};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Versions that the history keeps.
const HISTORY_KEPT: u64 = 100;
/// Versions of the history that are read at once.
const PAGE: u32 = 25;
/// Entries that the log has yet to be told, of one look.
const DUE_MAX: u32 = 64;
/// How often a change is tried while others change other documents.
const ATTEMPTS_MAX: usize = 8;
/// The longest that all documents together may be, in bytes of JSON.
const BYTES_MAX: usize = 256 << 10;

/// Says what is wrong with a document, if anything is.
pub type Judge = Arc<dyn Fn(&StoredSetting) -> Result<(), String> + Send + Sync>;

/// The documents in etcd. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct Centre(Arc<Inner>);

struct Inner {
    etcd: Etcd,
    prefix: String,
    judge: Judge,
    known: Mutex<Known>,
}

/// What was found last.
#[derive(Default)]
struct Known {
    /// The value that was judged, and what came of it.
    judged: Option<(Option<Vec<u8>>, Judged)>,
    /// The last good documents.
    good: Documents,
}

/// How the documents in etcd stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CentreStanding {
    /// The version that is there, good or not: 0 if there never was one, none if it is gone or cannot be read.
    pub version: Option<u64>,
    /// The version that counts.
    pub good: u64,
    /// What is there in its place and does not count.
    pub refused: Option<Refused>,
}

/// What counts, and what is there in its place.
#[derive(Clone)]
struct Judged {
    documents: Documents,
    refused: Option<Refused>,
}

impl fmt::Debug for Centre {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Centre").field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}

impl Centre {
    /// The documents below `prefix`, which ends with a slash, as far as `judge` finds nothing wrong with them.
    pub fn new(etcd: Etcd, prefix: impl Into<String>, judge: Judge) -> Self {
        let prefix = prefix.into();
        Self(Arc::new(Inner { etcd, prefix, judge, known: Mutex::default() }))
    }

    /// Lets these count as the last good ones until others are found.
    pub(super) fn hold(&self, documents: &Documents) {
        if self.judge(documents).is_ok() {
            self.0.known.lock().good = documents.clone();
        }
    }

    /// Reads what is there now.
    pub(super) async fn current(&self) -> Result<Found, SettingsError> {
        // The entries stand between the two keys.
        let (start, end) = (self.current_key(), self.key("config/history/"));
        let page = self.0.etcd.range(&start, &end, DUE_MAX + 1, 0).await?;
        let mut due = Vec::new();
        let mut current = None;
        for stored in page.keys {
            if stored.key == start {
                current = Some(stored.value);
            } else {
                due.extend(self.due(&stored));
            }
        }
        let Judged { documents, refused } = self.judged(current).await?;
        Ok(Found { documents, refused, due, revision: page.revision })
    }

    /// How the documents stand in etcd.
    ///
    /// # Errors
    /// Returns [`EtcdError`] if etcd does not answer.
    pub async fn standing(&self) -> Result<CentreStanding, EtcdError> {
        let current = self.0.etcd.get(&self.current_key()).await?.map(|stored| stored.value);
        let there = current.as_deref().map(written::version_of);
        let Judged { documents, refused } = self.judged(current).await?;
        // None was ever made where nothing is missed.
        let version = there.unwrap_or_else(|| refused.is_none().then_some(0));
        Ok(CentreStanding { version, good: documents.version, refused })
    }

    /// Makes the next version, and puts down with it what the operators' log has to be told.
    pub(super) async fn change(
        &self,
        change: &SettingChange<'_>,
    ) -> Result<(StoredSetting, Due), SettingsError> {
        let name = format!("{:032x}", rand::random::<u128>());
        let stored = change.made();
        let mut failed = EtcdError::Unexpected("others change the settings all the time");
        for _ in 0..ATTEMPTS_MAX {
            let seen = self.0.etcd.get(&self.current_key()).await?.map(|stored| stored.value);
            if let Some(value) = seen.as_deref().filter(|value| written::is_of(value, &name)) {
                // An attempt whose outcome was not known has made it.
                let version = written::version_of(value).unwrap_or_default();
                return Ok((stored, Due { version, entry: change.entry() }));
            }
            let good = self.judged(seen.clone()).await?.documents;
            let present = good.version_of(change.name);
            if present != change.base {
                return Err(SettingsError::OtherVersion { present });
            }
            let there = seen.as_deref().and_then(written::version_of).unwrap_or_default();
            let mut next = Documents { version: good.version.max(there) + 1, ..good };
            next.by_name.insert(change.name.to_owned(), stored.clone());
            match self.0.etcd.commit(self.transaction(seen, &next, change, &name)?).await {
                Ok(answer) if answer.held => {
                    return Ok((stored, Due { version: next.version, entry: change.entry() }));
                }
                // Somebody was faster; perhaps with another document.
                Ok(_) => {}
                Err(error) if error.may_have_happened() => failed = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(failed.into())
    }

    /// Returns the versions of a document that the history has, newest first, beginning before the version
    /// `before` if given; at most `limit`, and 100.
    pub(super) async fn history(
        &self,
        name: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredSetting>, SettingsError> {
        let mut versions = BTreeMap::new();
        for value in self.kept().await? {
            // What cannot be read was never one of them.
            let documents = written::read(&value).unwrap_or_default();
            if let Some(stored) = documents.by_name.get(name) {
                versions.insert(stored.version, stored.clone());
            }
        }
        let earlier = versions.into_iter().rev();
        let earlier = earlier.filter(|(version, _)| before.is_none_or(|before| *version < before));
        Ok(earlier.map(|(_, stored)| stored).take(limit.min(HISTORY_MAX)).collect())
    }

    /// Forgets an entry that the operators' log has been told.
    pub(super) async fn told(&self, due: &Due) -> Result<(), SettingsError> {
        let then = vec![Operation::Delete(self.entry_key(due.version))];
        self.0.etcd.commit(Transaction { then, ..Transaction::default() }).await?;
        Ok(())
    }

    /// Waits until something has changed behind this revision; for ever if that cannot be told any more, so
    /// that the time leads to reading again. The watch is kept from one call to the next, and made anew if it
    /// has ended.
    pub(super) async fn hint(&self, watch: &mut Option<Watch>, behind: i64) {
        if watch.is_none() {
            let (start, end) = (self.current_key(), self.key("config/history/"));
            match self.0.etcd.watch(&start, &end, behind + 1).await {
                Ok(begun) => *watch = Some(begun),
                Err(error) => {
                    tracing::debug!(%error, "the settings are not watched; they are read again");
                    return std::future::pending().await;
                }
            }
        }
        let Some(begun) = watch else { return };
        if let Err(error) = begun.next().await {
            tracing::debug!(%error, "the watch of the settings has ended; they are read again");
            *watch = None;
            // Not at once: a member without a leader would be asked without end.
            std::future::pending().await
        }
    }

    fn transaction(
        &self,
        seen: Option<Vec<u8>>,
        next: &Documents,
        change: &SettingChange<'_>,
        name: &str,
    ) -> Result<Transaction, SettingsError> {
        let value = written::write(next, name);
        if value.len() > BYTES_MAX {
            return Err(SettingsError::TooLarge { bytes_max: BYTES_MAX });
        }
        let key = self.current_key();
        let condition = match seen {
            Some(seen) => Condition::Is(key.clone(), seen),
            None => Condition::Absent(key.clone()),
        };
        let oldest = next.version.saturating_sub(HISTORY_KEPT - 1);
        Ok(Transaction {
            conditions: vec![condition],
            then: vec![
                Operation::put(key, value.clone()),
                Operation::put(self.history_key(next.version), value),
                Operation::put(self.entry_key(next.version), written::write_entry(change.entry())),
                Operation::DeleteRange(self.key("config/history/"), self.history_key(oldest)),
            ],
            otherwise: Vec::new(),
        })
    }

    /// What this value of `current` comes to. The same value is judged once.
    async fn judged(&self, current: Option<Vec<u8>>) -> Result<Judged, EtcdError> {
        if let Some((value, judged)) = &self.0.known.lock().judged
            && *value == current
        {
            return Ok(judged.clone());
        }
        let read = match &current {
            Some(value) => written::read(value).and_then(|documents| {
                self.judge(&documents)?;
                Ok(documents)
            }),
            None if !self.is_begun().await? => Ok(Documents::default()),
            None => Err(Refused {
                what: "config/current".to_owned(),
                why: "it is gone from etcd".to_owned(),
            }),
        };
        let judged = match read {
            Ok(documents) => Judged { documents, refused: None },
            Err(refused) => Judged { documents: self.last_good().await?, refused: Some(refused) },
        };
        let mut known = self.0.known.lock();
        known.good = judged.documents.clone();
        known.judged = Some((current, judged.clone()));
        Ok(judged)
    }

    /// Whether any version was ever made, as far as this node knows.
    async fn is_begun(&self) -> Result<bool, EtcdError> {
        if self.0.known.lock().good.version > 0 {
            return Ok(true);
        }
        Ok(!self.history_page(Vec::new()).await?.is_empty())
    }

    /// The last good documents: those that this node knows, or newer ones of the history.
    async fn last_good(&self) -> Result<Documents, EtcdError> {
        let known = self.0.known.lock().good.clone();
        let kept = self.kept().await?;
        let mut readable = kept.iter().rev().filter_map(|value| written::read(value).ok());
        let newest = readable.find(|documents| self.judge(documents).is_ok());
        Ok(newest.filter(|newest| newest.version > known.version).unwrap_or(known))
    }

    fn judge(&self, documents: &Documents) -> Result<(), Refused> {
        for stored in documents.by_name.values() {
            (self.0.judge)(stored).map_err(|why| Refused {
                what: format!("{}, version {}", stored.name, stored.version),
                why,
            })?;
        }
        Ok(())
    }

    /// Every value of the history, oldest first.
    async fn kept(&self) -> Result<Vec<Vec<u8>>, EtcdError> {
        let mut kept: Vec<Stored> = Vec::new();
        loop {
            let after = kept.last().map(|last| [&last.key[..], &[0]].concat());
            let page = self.history_page(after.unwrap_or_default()).await?;
            let is_last = page.len() < PAGE as usize;
            kept.extend(page);
            // What was put there by hand is not followed without end.
            if is_last || kept.len() as u64 > 2 * HISTORY_KEPT {
                return Ok(kept.into_iter().map(|stored| stored.value).collect());
            }
        }
    }

    async fn history_page(&self, from: Vec<u8>) -> Result<Vec<Stored>, EtcdError> {
        let start = self.key("config/history/");
        let end = self.key("config/history0");
        let from = if from.is_empty() { start } else { from };
        Ok(self.0.etcd.range(&from, &end, PAGE, 0).await?.keys)
    }

    fn due(&self, stored: &Stored) -> Option<Due> {
        let version = stored.key.strip_prefix(&self.key("config/entries/")[..])?;
        let version = u64::from_str_radix(str::from_utf8(version).ok()?, 16).ok()?;
        Some(Due { version, entry: written::read_entry(&stored.value)? })
    }

    fn key(&self, rest: &str) -> Vec<u8> {
        format!("{}{rest}", self.0.prefix).into_bytes()
    }

    fn current_key(&self) -> Vec<u8> {
        self.key("config/current")
    }

    fn entry_key(&self, version: u64) -> Vec<u8> {
        self.key(&format!("config/entries/{version:016x}"))
    }

    fn history_key(&self, version: u64) -> Vec<u8> {
        self.key(&format!("config/history/{version:016x}"))
    }
}
