//! A publisher's link from one use to the next: opened when it is needed, and again after each failure, with growing
//! pauses. Must not know what is published, nor where to.

use super::address::BrokerAddress;
use super::error::BrokerError;
use super::link::{Backoff, Link, Outgoing};
use super::state::BrokerState;
use super::verdict::Verdict;
use tokio::sync::watch;

/// A connection to one broker, while there is one.
#[derive(Debug)]
pub(super) struct Session {
    address: BrokerAddress,
    name: &'static str,
    link: Option<Link>,
    backoff: Backoff,
    state: watch::Sender<BrokerState>,
}

impl Session {
    /// A session that has not connected yet. `name` is what the broker's own tools show.
    pub(super) fn new(address: BrokerAddress, name: &'static str) -> Self {
        let state = watch::Sender::new(BrokerState::Idle);
        Self { address, name, link: None, backoff: Backoff::default(), state }
    }

    /// The connection's state, and each change of it.
    pub(super) fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.subscribe()
    }

    /// Takes the link that is open, if one is. It stays out while in use: a call that is dropped leaves confirms
    /// behind that must not meet a later batch.
    pub(super) fn take(&mut self) -> Option<Link> {
        let link = self.link.take()?;
        let is_open = link.connection.status().connected() && link.channel.status().connected();
        is_open.then_some(link)
    }

    /// Puts a link back that may be used again.
    pub(super) fn keep(&mut self, link: Link) {
        self.link = Some(link);
    }

    /// Opens a link, after a pause if something has failed before. It counts as connected once [`Self::connected`]
    /// says so: what it needs has to be declared.
    ///
    /// # Errors
    /// Returns [`BrokerError`] if the broker does not answer or refuses.
    pub(super) async fn connect(&mut self) -> Result<Link, BrokerError> {
        tokio::time::sleep(self.backoff.pause()).await;
        let link = Link::connect(&self.address, self.name).await;
        link.map_err(|error| self.note(error))
    }

    /// Waits for an answer of the broker as long as for a confirm.
    ///
    /// # Errors
    /// Returns the answer's [`BrokerError`], or that there was none in time.
    pub(super) async fn ask<Answer>(
        &mut self,
        asked: impl Future<Output = Result<Answer, BrokerError>>,
    ) -> Result<Answer, BrokerError> {
        let answer = tokio::time::timeout(self.address.confirm_timeout, asked).await;
        let silent = || Err(BrokerError::Unavailable("no answer in time".to_owned()));
        answer.unwrap_or_else(|_| silent()).map_err(|error| self.note(error))
    }

    /// Publishes messages over a link that was taken, and returns a verdict for each, in their order.
    ///
    /// # Errors
    /// Returns [`BrokerError`] if nothing is known of any message. The link must be dropped then.
    pub(super) async fn publish(
        &mut self,
        link: &mut Link,
        messages: &[Outgoing<'_>],
    ) -> Result<Vec<Verdict>, BrokerError> {
        let published = link.publish(messages, self.address.confirm_timeout, &self.state).await;
        published.map_err(|error| self.note(error))
    }

    /// Notes that the broker is there and has what is needed.
    pub(super) fn connected(&self) {
        self.state.send_replace(BrokerState::Connected);
    }

    /// Notes that messages arrived: the next failure is the first one.
    pub(super) fn succeeded(&mut self) {
        self.backoff.succeeded();
    }

    /// Notes a failure, after which the next link comes later.
    pub(super) fn note(&mut self, error: BrokerError) -> BrokerError {
        self.backoff.failed();
        self.state.send_replace(match &error {
            BrokerError::Blocked(reason) => BrokerState::Blocked(reason.clone()),
            error => BrokerState::Failed(error.to_string()),
        });
        error
    }
}
