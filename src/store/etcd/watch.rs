//! A watch on a range of keys. It is a hint: who needs to be sure reads again.

use super::error::EtcdError;
use super::proto::event::EventType;
use super::proto::{Event, WatchResponse};
use super::stored::Stored;
use std::collections::VecDeque;
use tonic::{Status, Streaming};

/// What happened to a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// It was set.
    Set(Stored),
    /// It was deleted, by someone or with its lease.
    Deleted(Vec<u8>),
}

/// Changes of a range of keys, each once and in their order, until it ends with an error.
#[derive(Debug)]
pub struct Watch {
    answers: Streaming<WatchResponse>,
    changes: VecDeque<Change>,
}

impl Watch {
    /// Waits until etcd has made the watch.
    pub(super) async fn begin(mut answers: Streaming<WatchResponse>) -> Result<Self, Status> {
        let Some(first) = answers.message().await? else {
            return Err(Status::unavailable("the watch ended before it began"));
        };
        if first.canceled {
            return Err(cancelled(&first));
        }
        let mut watch = Self { answers, changes: VecDeque::new() };
        watch.take(first.events);
        Ok(watch)
    }

    /// The next change. Waits for it.
    ///
    /// # Errors
    /// Returns [`EtcdError`] if the watch ended: the member is gone or has lost its leader, or, with
    /// [`EtcdError::Compacted`], changes were missed. What follows is found by reading and a new watch.
    pub async fn next(&mut self) -> Result<Change, EtcdError> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Ok(change);
            }
            let answer = self.answers.message().await?;
            let answer = answer.ok_or_else(|| EtcdError::Unknown("the watch ended".to_owned()))?;
            if answer.canceled {
                return Err(cancelled(&answer).into());
            }
            self.take(answer.events);
        }
    }

    fn take(&mut self, events: Vec<Event>) {
        self.changes.extend(events.into_iter().filter_map(|event| {
            let kind = event.r#type();
            let found = event.kv?;
            Some(match kind {
                EventType::Put => Change::Set(found.into()),
                EventType::Delete => Change::Deleted(found.key),
            })
        }));
    }
}

fn cancelled(answer: &WatchResponse) -> Status {
    if answer.compact_revision > 0 {
        return Status::out_of_range("the watched revision is compacted");
    }
    Status::unavailable(format!("etcd ended the watch: {}", answer.cancel_reason))
}
