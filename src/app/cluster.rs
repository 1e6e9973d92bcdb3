//! A node of a cluster: what its log, its engine and its membership are made of.
//!
//! Must not know how a shard is taken over, nor who should have it.

use super::clocks::{self, ClockApart};
use super::options;
use super::peers::{self, CannotListen, Listening};
use super::stores::Stores;
use crate::actors::cluster::{Member, MemberOptions, Steering, Takeover};
use crate::actors::{Directory, Engine, Meaning, SeenPeer, SettingsStanding, StartError};
use crate::config::{self, Config};
use crate::opening::{self, EtcdOpenError, Identity, OpenError};
use crate::store::data_dir::DataDir;
use crate::store::database::StoreError;
use crate::store::etcd::Etcd;
use crate::store::journal::fenced::{Committer, CommitterOptions, EtcdLog, OwnedShards};
use crate::store::journal::file::disk::RealDisk;
use crate::store::journal::{JournalId, file};
use crate::store::registry::{Cluster, EtcdRegistry, FORMAT, NodeRecord, Registry, RegistryError};
use crate::store::settings::{Centre, Judge};
use crate::telemetry::metrics::{ETCD_FILE_BYTES, ETCD_USED_BYTES, SHARDS_UNOWNED};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The name under which readiness shows it.
const NAME: &str = "cluster";
const KIND: &str = "etcd";
/// The time between two looks at how the cluster is, at least.
const LOOK: Duration = Duration::from_secs(1);
/// The time between two questions of how large etcd's database is.
const MEASURE: Duration = Duration::from_secs(10);
/// How old what is known of the cluster may be before that is told.
const AGE_MAX: Duration = Duration::from_secs(6);

/// Why the process cannot be a node.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The endpoints or certificates cannot be used.
    #[error(transparent)]
    Etcd(#[from] EtcdOpenError),
    /// The data directory cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// What cannot be read.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The address for peers cannot be listened on.
    #[error(transparent)]
    Listen(#[from] CannotListen),
    /// etcd does not answer, or holds what it should not.
    #[error("etcd: {0}")]
    Registry(#[from] RegistryError),
    /// The data directory holds the journal of a shop of its own.
    #[error("{path} holds the journal of a shop of its own", path = .0.display())]
    OwnJournal(PathBuf),
    /// The data directory was a node of another cluster.
    #[error("the data directory belongs to shop {own}, and the cluster in etcd is shop {cluster}")]
    OtherShop {
        /// The identity that is recorded in the data directory.
        own: JournalId,
        /// The cluster's identity.
        cluster: JournalId,
    },
    /// etcd holds no cluster, and the order store was filled by one.
    #[error("etcd holds no shop under this prefix, and the order store was filled by shop {0}")]
    Emptied(JournalId),
    /// Whether the order store is a new one cannot be told.
    #[error("a new cluster is founded only beside an order store that answers: {0}")]
    Unasked(#[source] StoreError),
    /// The cluster has another number of shards.
    #[error("the cluster has {cluster} shards, and engine.shards is {own}")]
    Shards {
        /// The cluster's number.
        cluster: u16,
        /// The configured one.
        own: u16,
    },
    /// The cluster is kept in a way that this version does not know.
    #[error("the cluster is kept in format {0}, which this version does not know")]
    Format(u32),
    /// Another node signs with another secret.
    #[error("node {0} signs tokens with another tokens.secret")]
    Secret(String),
    /// Most of the other nodes have another time.
    #[error(transparent)]
    Clock(#[from] ClockApart),
}

impl ClusterError {
    /// What a person is to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Etcd(_) | Self::File { .. } => {
                "correct cluster.endpoints, or the certificates that [cluster] names"
            }
            Self::Listen(_) => {
                "free the address, or set cluster.listen to another one that the other nodes reach"
            }
            Self::Registry(RegistryError::NameTaken(_)) => {
                "give each node a cluster.node of its own, or wait until the other process has stopped"
            }
            Self::Registry(_) => "make etcd reachable (cluster.endpoints) and start again",
            Self::OwnJournal(_) => {
                "give the node a data directory of its own (data.dir); a shop that has sold alone becomes a \
                 cluster by `seckill cluster init --from`"
            }
            Self::OtherShop { .. } => {
                "give the node a data directory of its own (data.dir), or correct cluster.prefix"
            }
            Self::Emptied(_) => {
                "correct cluster.endpoints or cluster.prefix; if etcd was lost for good, bring its data back \
                 from a snapshot, or go on with `seckill cluster restore`: a new cluster beside these orders would \
                 sell their units again"
            }
            Self::Unasked(_) => "make the order store reachable (orders.mysql_url) and start again",
            Self::Shards { .. } => {
                "correct cluster.prefix, if what lies there is another shop's; if it is this shop's, set \
                 engine.shards to the cluster's number, which never changes"
            }
            Self::Format(_) => "start the version of seckill that the other nodes run",
            Self::Secret(_) => "give all nodes the same tokens.secret",
            Self::Clock(_) => {
                "set this machine's clock right, or the others' if theirs is wrong, and start again; \
                 `seckill serve --accept-clock` joins all the same, and begins sales by the clock that it has"
            }
        }
    }

    /// Whether the configuration is what is wrong.
    pub fn is_of_configuration(&self) -> bool {
        matches!(
            self,
            Self::Etcd(_)
                | Self::File { .. }
                | Self::Shards { .. }
                | Self::Secret(_)
                | Self::Clock(_)
        )
    }
}

impl From<OpenError> for ClusterError {
    fn from(error: OpenError) -> Self {
        Self::Unasked(StoreError::Unavailable(error.to_string()))
    }
}

/// How a node's settings stand, and how it judges those in etcd.
pub(super) type NodeSettings = (watch::Receiver<SettingsStanding>, Judge);

/// The cluster's log and registry, before this node has joined.
pub(super) struct SharedLog {
    etcd: Etcd,
    log: EtcdLog,
    registry: EtcdRegistry,
    owned: Arc<OwnedShards>,
    /// The shop's identity, and whether the data directory has it already.
    pub(super) identity: Identity,
}

impl SharedLog {
    /// Finds the cluster in etcd, or founds it.
    ///
    /// # Errors
    /// Returns [`ClusterError`] if etcd does not answer, or the cluster is not this data directory's.
    pub(super) async fn open(
        config: &Config,
        data_dir: &DataDir,
        identity: Identity,
    ) -> Result<Self, ClusterError> {
        refuse_own_journal(&data_dir.journal())?;
        let settings = &config.cluster;
        let etcd = opening::etcd(config, append_timeout(settings))?;
        let registry = EtcdRegistry::new(etcd.clone(), settings.prefix.as_str(), lease(settings));
        let cluster = match registry.cluster().await? {
            Some(cluster) => cluster,
            None => found(config, data_dir, &registry, identity.journal()).await?,
        };
        let identity = agree(&cluster, config.engine.shards, identity)?;
        let log = EtcdLog::new(etcd.clone(), settings.prefix.as_str());
        Ok(Self { etcd, log, registry, owned: Arc::default(), identity })
    }

    /// Starts the engine, which serves no shard yet. `on_failure` is called once if the log fails.
    ///
    /// # Errors
    /// Returns [`StartError`] if a part cannot start.
    pub(super) async fn start_engine(
        &self,
        config: &Config,
        stores: &Stores,
        clock_ahead_max: Duration,
        on_failure: impl FnOnce(io::Error) + Send + 'static,
    ) -> Result<Engine, StartError> {
        let committer = Committer::new(
            Arc::new(self.log.clone()),
            Arc::clone(&self.owned),
            Handle::current(),
            CommitterOptions::default(),
        );
        let options = options::engine(config, clock_ahead_max);
        let (journal, checkpoints) = (self.identity.journal(), stores.checkpoints.clone());
        Engine::start_without_shards(options, journal, committer, checkpoints, on_failure).await
    }

    /// Where the settings are that operators change while the shop runs.
    pub(super) fn centre(&self, config: &Config, judge: Judge) -> Centre {
        Centre::new(self.etcd.clone(), config.cluster.prefix.as_str(), judge)
    }

    /// Joins the cluster: the engine serves from now on what comes to this node. A run of this node that
    /// has just died is waited for.
    ///
    /// # Errors
    /// Returns [`ClusterError`] if etcd does not answer, another process has the node's name, or another
    /// node signs with another secret.
    pub(super) async fn join(
        self,
        config: &Config,
        (engine, stores, (settings, judge)): (&Engine, &Stores, NodeSettings),
        clock_ahead_max: Duration,
        http_address: SocketAddr,
    ) -> Result<ClusterNode, ClusterError> {
        let cluster = &config.cluster;
        let listening = Listening::begin(config).await?;
        let advertised = listening.as_ref().map(Listening::advertised);
        let record = record(config, http_address, advertised.unwrap_or_default());
        let nodes = self.registry.view().await?.nodes;
        let other = nodes.iter().find(|(name, node)| {
            **name != cluster.node && node.secret_fingerprint != record.secret_fingerprint
        });
        if let Some((name, _)) = other {
            return Err(ClusterError::Secret(name.clone()));
        }
        let links = peers::links(config, engine);
        let clock_ahead_max = match clock_ahead_max {
            Duration::MAX => Duration::MAX,
            _ => {
                clocks::check(&links, &engine.clock(), &nodes, &cluster.node).await?;
                clocks::APART_MAX
            }
        };
        let until = Instant::now() + lease(cluster) * 2;
        let member = loop {
            let takeover = Takeover {
                engine: engine.clone(),
                log: Arc::new(self.log.clone()),
                owned: Arc::clone(&self.owned),
                checkpoints: stores.checkpoints.clone(),
                orders: stores.orders.clone(),
                clock_ahead_max,
            };
            let (registry, record) = (self.registry.clone(), record.clone());
            let options = member_options(cluster);
            match Member::join(takeover, registry, record, options, settings.clone()).await {
                Err(RegistryError::NameTaken(_)) if Instant::now() < until => {
                    tokio::time::sleep(LOOK / 2).await;
                }
                joined => break joined?,
            }
        };
        engine.reach_peers(links);
        let serving = listening.map(|listening| listening.answer(config, engine));
        engine.set_steering(Steering::new(self.etcd.clone(), &cluster.prefix, judge));
        engine.expect(NAME, KIND);
        let (watched, directory) = (engine.clone(), member.directory().clone());
        let etcd = self.etcd;
        let watch = move || watch_cluster(watched.clone(), directory.clone(), etcd.clone());
        let watch = engine.tasks().keep_running("cluster watch", watch);
        Ok(ClusterNode { member, watch, serving })
    }
}

/// This node, as a member of its cluster.
pub(super) struct ClusterNode {
    member: Member<EtcdLog, EtcdRegistry>,
    watch: JoinHandle<()>,
    /// Answers peers, if they reach this node.
    serving: Option<JoinHandle<()>>,
}

impl ClusterNode {
    /// Gives every shard to other nodes, if there are any that take them, within this time.
    pub(super) async fn hand_over(&self, limit: Duration) {
        let directory = self.member.directory();
        let (others, wishes) = (directory.nodes(), directory.view().wishes);
        let has_heir = others
            .iter()
            .any(|node| !node.is_self && !node.record.is_draining && !wishes.drain(&node.name));
        if has_heir && !self.member.drain(limit).await {
            tracing::warn!("not every shard was handed over in time; others claim the rest");
        }
    }

    /// Leaves the cluster, once the engine is drained.
    pub(super) async fn leave(self) {
        self.watch.abort();
        self.member.leave().await;
        if let Some(serving) = self.serving {
            serving.abort();
        }
    }
}

/// Reports how the cluster is, for as long as the engine runs.
async fn watch_cluster(engine: Engine, directory: Directory, etcd: Etcd) {
    let mut changes = directory.changes();
    let mut measured: Option<Instant> = None;
    let begun = Instant::now();
    let mut has_taken_part = false;
    loop {
        if measured.is_none_or(|at| at.elapsed() >= MEASURE) {
            measured = Some(Instant::now());
            measure(&etcd).await;
        }
        // A node that has just joined has no lease until it has looked at the registry, and others take nothing over.
        has_taken_part |= engine.lease().is_live() || begun.elapsed() > AGE_MAX;
        if has_taken_part {
            let peers = engine.look_at_peers().await;
            let meaning = look(&engine, &directory, peers);
            let is_well = matches!(meaning, Meaning::ClusterWhole { .. });
            engine.report(NAME, KIND, is_well, meaning);
        }
        metrics::gauge!(SHARDS_UNOWNED).set(directory.unowned().len() as f64);
        // The time covers what changes without a change of the directory.
        let _ = tokio::time::timeout(LOOK, changes.changed()).await;
    }
}

/// Notes how large etcd's database is, if it says so.
async fn measure(etcd: &Etcd) {
    if let Ok(status) = etcd.status().await {
        metrics::gauge!(ETCD_FILE_BYTES).set(status.file_bytes as f64);
        metrics::gauge!(ETCD_USED_BYTES).set(status.used_bytes as f64);
    }
}

fn look(engine: &Engine, directory: &Directory, peers: Vec<SeenPeer>) -> Meaning {
    let (age, unowned) = (directory.age(), directory.unowned().len());
    let shards = directory.shards();
    if age > AGE_MAX || !engine.lease().is_live() {
        return Meaning::ClusterAway(age.as_secs());
    }
    if unowned > 0 {
        return Meaning::ClusterLacksOwners { unowned, shards };
    }
    let silent = peers.iter().filter(|peer| peer.is_owner && !peer.answers);
    let silent: Vec<String> = silent.map(|peer| peer.name.clone()).collect();
    if !silent.is_empty() {
        return Meaning::ClusterOwnersSilent(silent);
    }
    let away = engine.buckets_away();
    if away > 0 {
        return Meaning::ClusterLacksBuckets(away);
    }
    for SeenPeer { name: node, clock_ahead, .. } in peers {
        if let Some(ahead) = clock_ahead.filter(|ahead| clocks::is_apart(*ahead)) {
            return Meaning::ClusterClocksApart { node, ahead };
        }
    }
    let (served, nodes) = (engine.served_shards().len(), directory.nodes().len());
    Meaning::ClusterWhole { served, shards, nodes }
}

/// Founds a cluster, unless the order store is full of another one's orders.
async fn found(
    config: &Config,
    data_dir: &DataDir,
    registry: &EtcdRegistry,
    identity: JournalId,
) -> Result<Cluster, ClusterError> {
    let orders = opening::orders(config, data_dir).await?;
    let owner = async {
        orders.migrate().await?;
        orders.owner().await
    };
    let owner = owner.await;
    orders.close().await;
    if let Some(owner) = owner.map_err(ClusterError::Unasked)? {
        // Another node may have founded it meanwhile.
        return registry.cluster().await?.ok_or(ClusterError::Emptied(owner));
    }
    let shards = config.engine.shards;
    let cluster = Cluster { identity: identity.to_string(), shards, format: FORMAT };
    Ok(registry.found(&cluster).await?)
}

/// The identity of the shop, if this data directory may be one of its nodes.
fn agree(cluster: &Cluster, shards: u16, identity: Identity) -> Result<Identity, ClusterError> {
    if cluster.format != FORMAT {
        return Err(ClusterError::Format(cluster.format));
    }
    if cluster.shards != shards {
        return Err(ClusterError::Shards { cluster: cluster.shards, own: shards });
    }
    let found = cluster.journal_id();
    let found = found.ok_or_else(|| RegistryError::Damaged("cluster".to_owned()))?;
    match identity {
        Identity::Recorded(own) if own != found => {
            Err(ClusterError::OtherShop { own, cluster: found })
        }
        Identity::Recorded(own) => Ok(Identity::Recorded(own)),
        Identity::Drawn(_) => Ok(Identity::Drawn(found)),
    }
}

/// A journal beside the cluster's log would be a second truth.
fn refuse_own_journal(path: &Path) -> Result<(), ClusterError> {
    let unreadable = |source| ClusterError::File { path: path.to_owned(), source };
    let disk = RealDisk::open(path).map_err(unreadable)?;
    if file::has_segments(&disk).map_err(unreadable)? {
        return Err(ClusterError::OwnJournal(path.to_owned()));
    }
    Ok(())
}

/// Where clients reach a node that listens for them there: on all its addresses, by the name that its peers know.
fn reached_by_clients(listen: SocketAddr, peer_address: &str) -> String {
    match peer_address.rsplit_once(':') {
        Some((host, _)) if listen.ip().is_unspecified() && !host.is_empty() => {
            format!("{host}:{}", listen.port())
        }
        _ => listen.to_string(),
    }
}

fn record(config: &Config, http_address: SocketAddr, peer_address: &str) -> NodeRecord {
    NodeRecord {
        incarnation: rand::random(),
        peer_address: peer_address.to_owned(),
        http_address: reached_by_clients(http_address, peer_address),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        secret_fingerprint: config
            .tokens
            .secret
            .as_ref()
            .map_or_else(String::new, |secret| fingerprint(secret.secret().expose_secret())),
        config_version: 0,
        is_draining: false,
        unable: Vec::new(),
    }
}

/// What tells one secret from another, and nothing of either.
fn fingerprint(secret: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(b"seckill: which secret is this?");
    digest.update(secret.to_ascii_lowercase());
    let mut text = String::with_capacity(16);
    for byte in digest.finalize().iter().take(8) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn member_options(settings: &config::Cluster) -> MemberOptions {
    let lease = lease(settings);
    MemberOptions {
        node: settings.node.clone(),
        lease,
        lease_margin: lease / 5,
        look: Duration::from_secs(2).min(lease / 2),
        retry: lease,
        unable: lease * 6,
    }
}

fn lease(settings: &config::Cluster) -> Duration {
    Duration::from_millis(settings.lease_ttl_ms)
}

fn append_timeout(settings: &config::Cluster) -> Duration {
    Duration::from_millis(settings.append_timeout_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_joins_its_own_shop_alone() {
        let (own, other) = (JournalId::random(), JournalId::random());
        let cluster = Cluster { identity: own.to_string(), shards: 4, format: FORMAT };
        let agreed = |shards, identity| agree(&cluster, shards, identity).ok();
        assert_eq!(agreed(4, Identity::Recorded(own)), Some(Identity::Recorded(own)));
        assert_eq!(agreed(4, Identity::Drawn(other)), Some(Identity::Drawn(own)), "a new node");
        assert_eq!(agreed(4, Identity::Recorded(other)), None);
        assert_eq!(agreed(8, Identity::Drawn(other)), None);
        let later = Cluster { format: FORMAT + 1, ..cluster };
        assert!(agree(&later, 4, Identity::Drawn(other)).is_err());
    }

    #[test]
    fn a_node_that_listens_on_all_addresses_is_reached_by_its_peers_name() {
        let reached = |listen: &str, peer| reached_by_clients(listen.parse().unwrap(), peer);
        assert_eq!(reached("10.0.0.7:8080", "a.mall:7080"), "10.0.0.7:8080");
        assert_eq!(reached("0.0.0.0:8080", "a.mall:7080"), "a.mall:8080");
        assert_eq!(reached("[::]:8080", "[fd00::7]:7080"), "[fd00::7]:8080");
        assert_eq!(reached("0.0.0.0:8080", ""), "0.0.0.0:8080");
    }

    #[test]
    fn a_fingerprint_tells_secrets_apart_and_shows_none() {
        let (one, same) = ("0a".repeat(32), "0A".repeat(32));
        assert_eq!(fingerprint(&one), fingerprint(&same), "the same digits");
        assert_ne!(fingerprint(&one), fingerprint(&"0b".repeat(32)));
        assert_eq!(fingerprint(&one).len(), 16);
    }
}
