//! A node as a member of its cluster: it keeps its lease, and serves what is its to serve.
//!
//! Two tasks. One renews the session, and counts on it from before the call that renewed it; where no
//! answer comes for so long that the session may have ended, it stops renewing it and begins another, so
//! that a node which is heard and hears nothing does not stay for ever. The other looks at the registry,
//! again and again, because watches are hints: it lets go what is another node's, puts itself down again
//! as the owner of what nobody has claimed, claims what is its own by the [`plan`](super::plan), and hands
//! over what it is to give away, one shard after the other, so that no two of them wait for their next owners. The engine's lease lasts only while every shard that it serves is put
//! down under the session. Must not know how a shard is moved.

use super::plan::plan;
use super::takeover::{Takeover, TakeoverError};
use crate::actors::directory::Directory;
use crate::actors::engine::Engine;
use crate::actors::settings::SettingsStanding;
use crate::store::journal::fenced::{ClaimError, FencedLog, LogError, OwnerRecord, Session};
use crate::store::registry::{NodeRecord, Registry, RegistryError, View};
use domain::{ItemId, ItemPhase, ShardId, Timestamp};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The time between two looks of a node that gives everything away.
const DRAIN_PAUSE: Duration = Duration::from_millis(20);

/// How a node takes part.
#[derive(Clone, Debug)]
pub struct MemberOptions {
    /// The node's name.
    pub node: String,
    /// How long a session lasts without being renewed.
    pub lease: Duration,
    /// How much earlier than it ends a session that gets no answer is given up.
    pub lease_margin: Duration,
    /// The time between two looks at the registry that nothing asked for.
    pub look: Duration,
    /// How long a shard is left alone that could not be taken over, where no other node can take it either.
    pub retry: Duration,
    /// How long a shard that could not be taken over is left to the others.
    pub unable: Duration,
}

/// A member of the cluster.
pub struct Member<L, R> {
    shared: Arc<Shared<L, R>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What a node remembers from one look at the registry to the next.
#[derive(Default)]
struct Tending {
    /// When each shard could not be taken over.
    failed: HashMap<ShardId, Instant>,
    /// The shard that was given away last, and when.
    given: Option<(ShardId, Instant)>,
}

struct Shared<L, R> {
    takeover: Takeover<L>,
    registry: R,
    options: MemberOptions,
    record: Mutex<NodeRecord>,
    /// What the others were told last.
    told: Mutex<NodeRecord>,
    directory: Directory,
    standing: Mutex<Standing>,
    /// A session has begun, or the node wants something else than before.
    turned: Notify,
    /// The session seems to have ended.
    doubted: Notify,
    /// The registry was looked at, and all that it asked for was done.
    looked: Notify,
}

/// How the node stands with the registry.
struct Standing {
    session: Session,
    /// From when on the session was renewed last: before the call.
    renewed_at: Timestamp,
    /// Whether everything that the node serves is put down under this session.
    is_whole: bool,
}

impl<L: FencedLog, R: Registry> Member<L, R> {
    /// Joins the cluster, and serves from now on what comes to this node.
    ///
    /// # Errors
    /// Returns [`RegistryError`] if the node does not become one: another process may have its name.
    pub async fn join(
        takeover: Takeover<L>,
        registry: R,
        record: NodeRecord,
        options: MemberOptions,
        settings: watch::Receiver<SettingsStanding>,
    ) -> Result<Self, RegistryError> {
        let renewed_at = takeover.engine.now();
        let session = registry.join(&options.node, &record).await?;
        let standing = Standing { session, renewed_at, is_whole: false };
        let engine = &takeover.engine;
        let directory = Directory::new(&options.node, engine.shards(), engine.clock());
        engine.set_directory(directory.clone());
        let shared = Arc::new(Shared {
            takeover,
            registry,
            options,
            told: Mutex::new(record.clone()),
            record: Mutex::new(record),
            directory,
            standing: Mutex::new(standing),
            turned: Notify::new(),
            doubted: Notify::new(),
            looked: Notify::new(),
        });
        let (renewing, tending) = (Arc::clone(&shared), Arc::clone(&shared));
        let (noting, reading) = (Arc::clone(&shared), Arc::clone(&shared));
        let applying = Arc::clone(&shared);
        let tasks = shared.takeover.engine.tasks();
        let tasks = vec![
            tasks.keep_running("cluster session", move || {
                let shared = Arc::clone(&renewing);
                async move { shared.keep_session().await }
            }),
            tasks.keep_running("cluster shards", move || {
                let shared = Arc::clone(&tending);
                async move { shared.tend().await }
            }),
            tasks.keep_running("cluster items", move || {
                let shared = Arc::clone(&noting);
                async move { shared.note_items().await }
            }),
            tasks.keep_running("cluster directory", move || {
                let shared = Arc::clone(&reading);
                async move { shared.read_items().await }
            }),
            tasks.keep_running("cluster settings", move || {
                let (shared, settings) = (Arc::clone(&applying), settings.clone());
                async move { shared.follow_settings(settings).await }
            }),
        ];
        Ok(Self { shared, tasks })
    }

    /// The engine that serves the node's shards.
    pub fn engine(&self) -> &Engine {
        &self.shared.takeover.engine
    }

    /// Where everything of the shop is, as this node knows it.
    pub fn directory(&self) -> &Directory {
        &self.shared.directory
    }

    /// Gives everything away, but waits no longer than `limit`, and takes nothing more. Returns whether
    /// nothing is left: the last node finds nobody to take what it has.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.shared.record.lock().is_draining = true;
        let given = async {
            loop {
                let looked = self.shared.looked.notified();
                if self.engine().served_shards().is_empty() {
                    return;
                }
                self.shared.turned.notify_one();
                looked.await;
                // The next owner takes its time, too.
                tokio::time::sleep(DRAIN_PAUSE).await;
            }
        };
        tokio::time::timeout(limit, given).await.is_ok()
    }

    /// Leaves the cluster, once its engine is drained: what the node still owns is free at once.
    pub async fn leave(self) {
        self.stop();
        let session = self.shared.standing.lock().session.clone();
        self.engine().lease().end();
        if let Err(error) = self.shared.registry.leave(&session).await {
            tracing::info!(%error, "the node's session was not ended; its lease ends by itself");
        }
    }

    /// Stops taking part without a word, as a node does that dies.
    pub fn stop(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl<L: FencedLog, R: Registry> Shared<L, R> {
    /// Renews the session for ever, and begins another one when it has ended or may have.
    async fn keep_session(&self) {
        let (lease, margin) = (self.options.lease, self.options.lease_margin);
        let given_up_after = milliseconds(lease.saturating_sub(margin));
        loop {
            // Either is a reason to ask.
            let _ = tokio::time::timeout(lease / 3, self.doubted.notified()).await;
            let engine = &self.takeover.engine;
            let (called_at, session) = (engine.now(), self.standing.lock().session.clone());
            // An engine that keeps no time answers nobody: others may have what it serves.
            let renewed = if engine.has_ticked(lease / 3) {
                tokio::time::timeout(lease / 3, self.registry.renew(&session)).await
            } else {
                Ok(Err(RegistryError::Unavailable("the engine keeps no time".to_owned())))
            };
            match renewed {
                Ok(Ok(())) => self.note_renewal(&session, called_at),
                Ok(Err(RegistryError::SessionEnded)) => self.begin_again().await,
                _ => {
                    let renewed_at = self.standing.lock().renewed_at;
                    if engine.now().0 >= renewed_at.0 + given_up_after {
                        self.begin_again().await;
                    }
                }
            }
        }
    }

    /// Notes that the session lasts, counted from before the call.
    fn note_renewal(&self, session: &Session, called_at: Timestamp) {
        let mut standing = self.standing.lock();
        if standing.session != *session {
            return;
        }
        standing.renewed_at = called_at;
        self.extend(&standing);
    }

    /// Lets the engine's lease last as long as the session, if everything is put down under it.
    fn extend(&self, standing: &Standing) {
        if standing.is_whole {
            let until = standing.renewed_at.plus_milliseconds(milliseconds(self.options.lease));
            self.takeover.engine.lease().extend(until);
        }
    }

    /// Begins another session, however long that takes. Until all is put down under it, the engine answers
    /// only what is on record.
    async fn begin_again(&self) {
        self.takeover.engine.lease().end();
        self.standing.lock().is_whole = false;
        tracing::warn!("the node's session has ended, or may have: it begins another one");
        loop {
            let (called_at, record) = (self.takeover.engine.now(), self.record.lock().clone());
            let joined = self.registry.join(&self.options.node, &record);
            match tokio::time::timeout(self.options.lease, joined).await {
                Ok(Ok(session)) => {
                    let standing = Standing { session, renewed_at: called_at, is_whole: false };
                    *self.standing.lock() = standing;
                    *self.told.lock() = record;
                    self.turned.notify_one();
                    return;
                }
                Ok(Err(error)) => tracing::debug!(%error, "no session yet"),
                Err(_) => tracing::debug!("no session yet: the registry does not answer"),
            }
            tokio::time::sleep(self.options.lease / 10).await;
        }
    }

    /// Does, for ever, what the registry asks for.
    async fn tend(&self) {
        let mut tending = Tending::default();
        loop {
            let revision = match self.look(&mut tending).await {
                Ok(revision) => revision,
                Err(error) => {
                    tracing::debug!(%error, "the cluster cannot be looked at");
                    0
                }
            };
            self.looked.notify_waiters();
            let hint = async {
                // One that cannot be given any more leaves it to the time.
                if self.registry.changed(revision).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                lost = self.takeover.engine.next_lost_shard() => self.takeover.let_go(lost).await,
                () = tokio::time::sleep(self.options.look) => {}
                () = hint => {}
                () = self.turned.notified() => {}
            }
        }
    }

    /// Looks at the registry once. Returns the revision that was read.
    async fn look(&self, tending: &mut Tending) -> Result<i64, RegistryError> {
        tending.failed.retain(|_, at| at.elapsed() < self.options.unable);
        let mut unable: Vec<u16> = tending.failed.keys().map(|shard| shard.0).collect();
        unable.sort_unstable();
        self.record.lock().unable = unable;
        self.publish().await?;
        let view = self.registry.view().await?;
        self.directory.update(view.clone());
        let session = self.standing.lock().session.clone();
        let own = view.nodes.get(&session.node);
        if own.is_none_or(|own| own.incarnation != session.incarnation) {
            self.doubted.notify_one();
            return Err(RegistryError::SessionEnded);
        }
        self.keep_owned(&view, &session).await?;
        self.make_whole(&session);
        let engine = &self.takeover.engine;
        let plan = plan(&view, &self.options.node, engine.shards(), |shard| self.has_sale(shard));
        let served = engine.served_shards();
        for shard in plan.over {
            if let Some(wish) = view.wishes.moves.get(&shard) {
                self.registry.end_move(shard, wish).await?;
            }
        }
        let mut given = plan.hand_over.into_iter().filter(|(shard, _)| served.contains(shard));
        if self.may_give(tending, &view)
            && let Some((shard, to)) = given.next()
        {
            tracing::info!(%shard, to, "the shard is given away");
            self.takeover.hand_over(shard).await.map_err(away)?;
            tending.given = Some((shard, Instant::now()));
        }
        let forgotten = view.owners.iter().filter(|(_, owner)| is_own(owner, &session));
        let forgotten = forgotten.map(|(shard, _)| *shard);
        let wanted = plan.claim.into_iter().chain(forgotten);
        for shard in wanted.filter(|shard| !served.contains(shard)) {
            if tending.failed.get(&shard).is_none_or(|at| at.elapsed() >= self.options.retry) {
                self.take(&session, shard, &view, &mut tending.failed).await;
            }
        }
        Ok(view.revision)
    }

    /// Whether another shard may be given away: the last one has an owner, or waits for it too long.
    fn may_give(&self, tending: &Tending, view: &View) -> bool {
        tending.given.is_none_or(|(shard, at)| {
            view.owners.contains_key(&shard) || at.elapsed() >= self.options.look
        })
    }

    /// Whether a sale of some item of the shard is on.
    fn has_sale(&self, shard: ShardId) -> bool {
        let engine = &self.takeover.engine;
        let now = engine.now();
        engine.gates().iter().any(|gate| {
            let terms = gate.terms();
            gate.shards().contains(&shard)
                && gate.phase() != ItemPhase::Ended
                && (terms.starts_at..terms.ends_at).contains(&now)
        })
    }

    /// Tells the others what has changed of this node.
    async fn publish(&self) -> Result<(), RegistryError> {
        let (session, record) = (self.standing.lock().session.clone(), self.record.lock().clone());
        if record.is_draining || record != *self.told.lock() {
            self.registry.publish(&session, &record).await?;
            *self.told.lock() = record;
        }
        Ok(())
    }

    /// Tells the others, for ever, which version of the settings this node has applied.
    async fn follow_settings(&self, mut settings: watch::Receiver<SettingsStanding>) {
        loop {
            let applied = settings.borrow_and_update().applied;
            let before = std::mem::replace(&mut self.record.lock().config_version, applied);
            if before != applied {
                self.turned.notify_one();
            }
            if settings.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Notes, for ever, which shards have the items that are served here, for the others to find them.
    async fn note_items(&self) {
        let engine = &self.takeover.engine;
        let mut noted = HashSet::new();
        loop {
            let gates = engine.gates();
            let new = gates.iter().map(|gate| (gate.terms().item_id, gate.shard()));
            let new: Vec<(ItemId, ShardId)> =
                new.filter(|(item, _)| !noted.contains(item)).collect();
            if !new.is_empty() {
                match self.registry.note_items(&new).await {
                    Ok(()) => noted.extend(new.iter().map(|(item, _)| *item)),
                    Err(error) => tracing::debug!(%error, "the others do not find new items yet"),
                }
            }
            // The time covers what could not be noted.
            let _ = tokio::time::timeout(self.options.look, engine.gate_opened()).await;
        }
    }

    /// Keeps what the registry says of items, and reads it anew whenever one was noted.
    async fn read_items(&self) {
        let kept = self.directory.kept_items();
        let (revision, mut revisions) = watch::channel(0);
        let read = || async {
            let noted = self.registry.items().await.map_err(|error| error.to_string())?;
            revision.send_replace(noted.revision);
            Ok(noted.items.into_iter().collect())
        };
        let watched = async {
            while revisions.changed().await.is_ok() {
                let behind = *revisions.borrow_and_update();
                if let Err(error) = self.registry.item_noted(behind).await {
                    tracing::debug!(%error, "new items are not told of");
                    tokio::time::sleep(self.options.retry).await;
                }
                kept.outdate();
            }
        };
        tokio::join!(kept.clone().keep(read), watched);
    }

    /// Lets go what is another node's, and puts this node down again as the owner of what nobody claimed,
    /// or what is put down under an earlier session.
    async fn keep_owned(&self, view: &View, session: &Session) -> Result<(), RegistryError> {
        for shard in self.takeover.engine.served_shards() {
            let claim = self.takeover.owned.claim(shard);
            let claim = match (claim, view.owners.get(&shard)) {
                (Some(claim), None) => claim,
                (Some(claim), Some(owner)) if is_own(owner, session) => claim,
                _ => {
                    self.takeover.let_go(shard).await;
                    continue;
                }
            };
            if claim.session == *session && view.owners.contains_key(&shard) {
                continue;
            }
            match self.takeover.log.renew(session, &claim).await {
                Ok(()) => self.takeover.owned.renew(shard, session),
                Err(LogError::NotOwner(_)) => self.takeover.let_go(shard).await,
                Err(error) => return Err(away(error)),
            }
        }
        Ok(())
    }

    /// Everything that is served is put down under this session now.
    fn make_whole(&self, session: &Session) {
        let mut standing = self.standing.lock();
        if standing.session == *session {
            standing.is_whole = true;
            self.extend(&standing);
        }
    }

    async fn take(
        &self,
        session: &Session,
        shard: ShardId,
        view: &View,
        failed: &mut HashMap<ShardId, Instant>,
    ) {
        match self.takeover.take(session, shard).await {
            Ok(()) => drop(failed.remove(&shard)),
            // Somebody else is as good, and a session that has ended is another task's to begin again.
            Err(TakeoverError::Claim(
                ClaimError::Owned { .. } | ClaimError::Raced(_) | ClaimError::SessionEnded,
            )) => {}
            Err(error) => {
                if failed.insert(shard, Instant::now()).is_none() {
                    tracing::error!(%shard, %error, "the shard is not served: it cannot be taken over");
                }
                // The others are told of it, and it is theirs.
                self.turned.notify_one();
                // Another node may be able to, which waits for this one while the wish lasts.
                if let Some(wish) = view.wishes.moves.get(&shard)
                    && let Err(error) = self.registry.end_move(shard, wish).await
                {
                    tracing::debug!(%error, "the wish stays until it ends by itself");
                }
            }
        }
    }
}

fn is_own(owner: &OwnerRecord, session: &Session) -> bool {
    owner.node == session.node && owner.incarnation == session.incarnation
}

fn away(error: LogError) -> RegistryError {
    RegistryError::Unavailable(error.to_string())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
