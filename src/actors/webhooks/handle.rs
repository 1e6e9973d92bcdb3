//! What operators may do with webhooks: the one way to change an endpoint.

use super::follower::follow;
use super::receiver::Receiver;
use super::shared::{Shared, Unusable, WebhookOptions, reader_name};
use crate::actors::engine::Engine;
use crate::actors::events::{Begin, EventReaders, EventType};
use crate::store::journal::JournalError;
use crate::store::outbound::signature::secret_text;
use crate::store::outbound::{GuardedOutbound, NotAllowed};
use crate::store::webhooks::{
    Changed, Delivery, Endpoint, EndpointState, ListedDelivery, NewEndpoint, Previous, SealKey,
    SealedSecret, Standing, WebhookError, WebhookStore,
};
use domain::{ShardId, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// How long the secret of before signs beside the present one.
const ROTATION: u64 = 24 * 3_600_000;
/// How long a start waits for the first look at the endpoints.
const BEGIN: Duration = Duration::from_secs(10);
/// How long the journal is looked through for one event.
const SEARCH: Duration = Duration::from_secs(5);

/// A handle to the webhooks. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Arc<Shared>);

/// An endpoint, with how much waits for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedWebhook {
    /// The endpoint itself.
    pub endpoint: Endpoint,
    /// How much waits.
    pub standing: Standing,
}

/// An endpoint whose secret was made, which is told this once.
#[derive(Debug)]
pub struct WrittenSecret {
    /// The endpoint itself.
    pub endpoint: Endpoint,
    /// The secret's text, `whsec_` and base64.
    pub secret: SecretString,
}

/// Why an operator's request about a webhook was not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WebhookRefused {
    /// No request may go to its URL.
    #[error("the URL {0}")]
    Url(NotAllowed),
    /// There is no event of this type.
    #[error("there is no event of type {0}")]
    Type(String),
    /// A ping was not taken.
    #[error("the ping was not taken: {0}")]
    Ping(String),
    /// It stands where this cannot be done.
    #[error("{0}")]
    State(&'static str),
    /// Nothing waits under this event's identity, and the journal does not have it here.
    #[error(
        "no event of this identity waits, and the journal does not have it any more, or not at this node"
    )]
    NoEvent,
    /// It is to be told again from a time on that has not come: nothing would be told until then.
    #[error("is a time to come: nothing has happened since")]
    NotYet,
    /// The operating system gave no random bytes.
    #[error("no secret can be made at the moment")]
    NoSecret,
    /// The table refused it, or does not answer.
    #[error(transparent)]
    Store(#[from] WebhookError),
}

impl From<Unusable> for WebhookRefused {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Url(refused) => Self::Url(refused),
            Unusable::Secret => {
                Self::State("its secret does not open under this shop's tokens.secret: rotate it")
            }
        }
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Webhooks")
    }
}

impl Webhooks {
    /// Makes a handle. Nothing is told before [`Self::follow`].
    pub fn new(
        engine: &Engine,
        store: WebhookStore,
        (seal, outbound): (SealKey, GuardedOutbound),
        readers: EventReaders,
        options: WebhookOptions,
    ) -> Self {
        let (engine, clock) = (engine.clone(), engine.clock());
        let (changed, begun) = (Notify::new(), watch::Sender::new(false));
        Self(Arc::new(Shared {
            engine,
            store,
            seal,
            outbound,
            readers,
            options,
            clock,
            changed,
            begun,
        }))
    }

    /// Has the endpoints told, on the current runtime, until the task is aborted.
    pub fn follow(&self) -> JoinHandle<()> {
        let shared = Arc::clone(&self.0);
        self.0.engine.tasks().keep_running("webhooks", move || follow(Arc::clone(&shared)))
    }

    /// Waits until those that are live have their readers, which keep the journal for them; not for ever.
    pub async fn begun(&self) {
        let mut begun = self.0.begun.subscribe();
        // The sender lives as long as this does.
        let _ = tokio::time::timeout(BEGIN, begun.wait_for(|begun| *begun)).await;
    }

    /// Returns all endpoints, the oldest first.
    ///
    /// # Errors
    /// Returns [`WebhookRefused::Store`] if the database does not answer.
    pub async fn list(&self) -> Result<Vec<ListedWebhook>, WebhookRefused> {
        let endpoints = self.0.store.endpoints().await?;
        let standings = self.0.store.standings().await?;
        let standing = |endpoint_id| {
            let found = standings.iter().find(|(of, _)| *of == endpoint_id);
            found.map_or_else(Standing::default, |(_, standing)| *standing)
        };
        let listed = endpoints.into_iter().map(|endpoint| {
            let standing = standing(endpoint.endpoint_id);
            ListedWebhook { endpoint, standing }
        });
        Ok(listed.collect())
    }

    /// Returns an endpoint.
    ///
    /// # Errors
    /// Returns [`WebhookRefused::Store`] if there is none, or the database does not answer.
    pub async fn get(&self, endpoint_id: u64) -> Result<ListedWebhook, WebhookRefused> {
        let listed = self.list().await?.into_iter();
        let mut found = listed.filter(|listed| listed.endpoint.endpoint_id == endpoint_id);
        Ok(found.next().ok_or(WebhookError::NotFound)?)
    }

    /// Checks what an operator says of an endpoint.
    ///
    /// # Errors
    /// Returns [`WebhookRefused::Url`] or [`WebhookRefused::Type`] of what is not allowed.
    pub fn check(&self, said: &NewEndpoint) -> Result<(), WebhookRefused> {
        self.0.outbound.target(&said.url).map_err(WebhookRefused::Url)?;
        match said.types.iter().find(|name| EventType::from_name(name).is_none()) {
            Some(unknown) => Err(WebhookRefused::Type(unknown.clone())),
            None => Ok(()),
        }
    }

    /// Makes an endpoint, which is told nothing until it is enabled.
    ///
    /// # Errors
    /// Returns [`WebhookRefused`] if what is said is not allowed, there are too many, or the database does not
    /// answer.
    pub async fn create(
        &self,
        said: &NewEndpoint,
        actor: &str,
    ) -> Result<WrittenSecret, WebhookRefused> {
        self.check(said)?;
        // A number that nobody guesses, and that no table has to give out.
        let endpoint_id = (rand::random::<u64>() >> 1).max(1);
        let (sealed, secret) = self.make_secret(endpoint_id)?;
        let changed = self.changed(actor, "webhook.create");
        let max = self.0.options.endpoints_max;
        self.0.store.create_endpoint(endpoint_id, said, &sealed, max, changed).await?;
        Ok(WrittenSecret { endpoint: self.0.store.endpoint(endpoint_id).await?, secret })
    }

    /// Replaces what is said of an endpoint. With another URL it has to be enabled again.
    ///
    /// # Errors
    /// Returns [`WebhookRefused`] if what is said is not allowed, there is no such endpoint, or the database does
    /// not answer.
    pub async fn replace(
        &self,
        endpoint_id: u64,
        said: NewEndpoint,
        actor: &str,
    ) -> Result<ListedWebhook, WebhookRefused> {
        self.check(&said)?;
        let mut endpoint = self.0.store.endpoint(endpoint_id).await?;
        if endpoint.said.url != said.url {
            endpoint.state = EndpointState::New;
            endpoint.reason = String::new();
            endpoint.failing_since = None;
        }
        let detail = json!({ "url": said.url, "types": said.types });
        endpoint.said = said;
        self.write(&endpoint, detail, actor, "webhook.change").await
    }

    /// Deletes an endpoint with all that waits for it.
    ///
    /// # Errors
    /// Returns [`WebhookRefused::Store`] if there is none, or the database does not answer.
    pub async fn delete(&self, endpoint_id: u64, actor: &str) -> Result<(), WebhookRefused> {
        let changed = self.changed(actor, "webhook.delete");
        self.0.store.delete_endpoint(endpoint_id, changed).await?;
        self.0.changed.notify_one();
        self.0.readers.forget(&reader_name(endpoint_id)).await.map_err(WebhookError::from)?;
        Ok(())
    }

    /// Gives an endpoint another secret. The one of before signs beside it for 24 h.
    ///
    /// # Errors
    /// Returns [`WebhookRefused`] if there is no such endpoint, or the database does not answer.
    pub async fn rotate(
        &self,
        endpoint_id: u64,
        actor: &str,
    ) -> Result<WrittenSecret, WebhookRefused> {
        let mut endpoint = self.0.store.endpoint(endpoint_id).await?;
        let (sealed, secret) = self.make_secret(endpoint_id)?;
        let until = self.0.clock.now().plus_milliseconds(ROTATION);
        let before = std::mem::replace(&mut endpoint.secret, sealed);
        endpoint.previous = Some(Previous { secret: before, until });
        let written = self.write(&endpoint, json!({}), actor, "webhook.rotate").await?;
        Ok(WrittenSecret { endpoint: written.endpoint, secret })
    }

    /// Pings an endpoint and, if it has taken that, tells it what happens from now on, or from where it was.
    ///
    /// # Errors
    /// Returns [`WebhookRefused::Ping`] if it has not, and other refusals if there is no such endpoint or the database
    /// does not answer.
    pub async fn enable(
        &self,
        endpoint_id: u64,
        actor: &str,
    ) -> Result<ListedWebhook, WebhookRefused> {
        let mut endpoint = self.0.store.endpoint(endpoint_id).await?;
        if endpoint.state == EndpointState::Live {
            return self.get(endpoint_id).await;
        }
        let receiver = Receiver::new(&endpoint, Arc::clone(&self.0))?;
        let (has_arrived, delivery) = receiver.ping().await;
        self.log(endpoint_id, &delivery).await?;
        if !has_arrived {
            return Err(WebhookRefused::Ping(delivery.error));
        }
        endpoint.state = EndpointState::Live;
        endpoint.reason = String::new();
        endpoint.failing_since = None;
        let written = self.write(&endpoint, json!({}), actor, "webhook.enable").await?;
        // It was away, and what waits for it may wait for many hours more.
        self.0.store.hasten(endpoint_id, self.0.clock.now()).await?;
        Ok(written)
    }

    /// Tells an endpoint nothing more. What happens meanwhile is kept for it only as far as the journal is kept.
    ///
    /// # Errors
    /// Returns [`WebhookRefused`] if there is no such endpoint, or the database does not answer.
    pub async fn disable(
        &self,
        endpoint_id: u64,
        actor: &str,
    ) -> Result<ListedWebhook, WebhookRefused> {
        let mut endpoint = self.0.store.endpoint(endpoint_id).await?;
        endpoint.state = EndpointState::Disabled;
        endpoint.reason = String::new();
        self.write(&endpoint, json!({}), actor, "webhook.disable").await
    }

    /// Pings an endpoint, whatever its state, and returns what became of that. If it has arrived, all that waits for the
    /// endpoint is tried at once, but for what is parked.
    ///
    /// # Errors
    /// Returns [`WebhookRefused`] if there is no such endpoint, nothing can be sent to it, or the database does not
    /// answer.
    pub async fn test(&self, endpoint_id: u64) -> Result<Delivery, WebhookRefused> {
        let endpoint = self.0.store.endpoint(endpoint_id).await?;
        let (has_arrived, delivery) = Receiver::new(&endpoint, Arc::clone(&self.0))?.ping().await;
        self.log(endpoint_id, &delivery).await?;
        if has_arrived {
            self.0.store.hasten(endpoint_id, self.0.clock.now()).await?;
            self.try_at_once(endpoint_id).await?;
        }
        Ok(delivery)
    }

    /// Returns the latest attempts of an endpoint, newest first, beginning before `before` if given.
    ///
    /// # Errors
    /// Returns [`WebhookRefused::Store`] if there is no such endpoint, or the database does not answer.
    pub async fn deliveries(
        &self,
        endpoint_id: u64,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ListedDelivery>, WebhookRefused> {
        self.0.store.endpoint(endpoint_id).await?;
        Ok(self.0.store.deliveries(endpoint_id, before, limit).await?)
    }

    /// Tells an endpoint again what has happened since then, as far as the journal has it, and has all that waits for
    /// it tried now, also what is parked.
    ///
    /// # Errors
    /// Returns [`WebhookRefused::Store`] if there is no such endpoint, or the database does not answer.
    pub async fn replay_from(
        &self,
        endpoint_id: u64,
        from: Timestamp,
        actor: &str,
    ) -> Result<(), WebhookRefused> {
        let now = self.0.clock.now();
        if from > now {
            return Err(WebhookRefused::NotYet);
        }
        self.0.store.endpoint(endpoint_id).await?;
        self.0.store.resume(endpoint_id, None, now).await?;
        self.begin_again(endpoint_id, from).await?;
        self.try_at_once(endpoint_id).await?;
        let changed = self.changed(actor, "webhook.replay");
        let from = domain::rfc3339::to_string(from);
        Ok(self.0.store.note_action(endpoint_id, json!({ "from": from }), changed).await?)
    }

    /// Has an event that waits tried again now, with the later ones of its order, also if they are parked; one that
    /// does not wait is told again with all that has happened since.
    ///
    /// # Errors
    /// Returns [`WebhookRefused`] if there is no such endpoint or event, or the database does not answer.
    pub async fn replay_event(
        &self,
        endpoint_id: u64,
        event_id: &str,
        actor: &str,
    ) -> Result<(), WebhookRefused> {
        self.0.store.endpoint(endpoint_id).await?;
        let now = self.0.clock.now();
        if self.0.store.resume(endpoint_id, Some(event_id), now).await? == 0 {
            let at = self.time_of(event_id).await.ok_or(WebhookRefused::NoEvent)?;
            self.begin_again(endpoint_id, at).await?;
        }
        self.try_at_once(endpoint_id).await?;
        let changed = self.changed(actor, "webhook.replay");
        let detail = json!({ "event_id": event_id });
        Ok(self.0.store.note_action(endpoint_id, detail, changed).await?)
    }

    /// Has an endpoint that is left alone because it has failed tried all the same, at every node within a second.
    async fn try_at_once(&self, endpoint_id: u64) -> Result<(), WebhookRefused> {
        self.0.store.begin_anew(endpoint_id).await?;
        self.0.changed.notify_one();
        Ok(())
    }

    async fn begin_again(&self, endpoint_id: u64, from: Timestamp) -> Result<(), WebhookRefused> {
        let begun = self.0.readers.replay(&reader_name(endpoint_id), Begin::At(from)).await;
        Ok(begun.map_err(WebhookError::from)?)
    }

    /// When an event of this shop's journal happened, if the journal has it here.
    async fn time_of(&self, event_id: &str) -> Option<Timestamp> {
        let (rest, seq) = event_id.rsplit_once('-')?;
        let (journal, shard) = rest.rsplit_once('-')?;
        let (shard, seq) = (ShardId(shard.parse().ok()?), seq.parse::<u64>().ok()?);
        let engine = &self.0.engine;
        if journal != engine.journal_id().to_string() || shard.index() >= engine.shards().into() {
            return None;
        }
        let found = tokio::time::timeout(SEARCH, self.find(shard, seq)).await;
        found
            .ok()?
            .inspect_err(|error| tracing::warn!(%error, "the journal cannot be read"))
            .ok()?
    }

    async fn find(&self, shard: ShardId, seq: u64) -> Result<Option<Timestamp>, JournalError> {
        let journal = &self.0.engine.context().journal;
        let mut after = vec![u64::MAX; self.0.engine.shards().into()];
        let Some(own) = after.get_mut(shard.index()) else { return Ok(None) };
        *own = seq.saturating_sub(1);
        let mut follower = journal.follow(&after);
        let mut records = Vec::new();
        while follower.next(&mut records).await? {
            if let Some(record) = records.first() {
                return Ok((record.seq == seq).then_some(record.at));
            }
            tokio::task::yield_now().await;
        }
        Ok(None)
    }

    /// Writes a changed endpoint, and has it followed at once here.
    async fn write(
        &self,
        endpoint: &Endpoint,
        detail: serde_json::Value,
        actor: &str,
        action: &'static str,
    ) -> Result<ListedWebhook, WebhookRefused> {
        let changed = self.changed(actor, action);
        self.0.store.replace_endpoint(endpoint, detail, changed).await?;
        self.0.changed.notify_one();
        self.get(endpoint.endpoint_id).await
    }

    async fn log(&self, endpoint_id: u64, delivery: &Delivery) -> Result<(), WebhookRefused> {
        Ok(self.0.store.log_delivery(endpoint_id, delivery).await?)
    }

    fn changed<'a>(&self, actor: &'a str, action: &'static str) -> Changed<'a> {
        Changed { actor, at: self.0.clock.now(), action }
    }

    fn make_secret(
        &self,
        endpoint_id: u64,
    ) -> Result<(SealedSecret, SecretString), WebhookRefused> {
        let made = self.0.seal.make_secret();
        let secret = made.map_err(|_| WebhookRefused::NoSecret)?;
        let sealed =
            self.0.seal.seal(endpoint_id, &secret).map_err(|_| WebhookRefused::NoSecret)?;
        Ok((sealed, secret_text(secret.expose_secret()).into()))
    }
}
