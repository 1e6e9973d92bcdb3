//! The shop of one drill: an engine in a directory of its own on loopback, the private servers behind it, an
//! open sale, its buyers, and everything that these were told.
//!
//! The last item of its sale is nobody's but the drill's: a purchase of it shows that the shop sells again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::SmallDisk;
use hyper::{Method, Uri};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::evidence::Evidence;
use super::load::Load;
use super::opening::{self, Opening, PAYMENT_WINDOW_SECONDS};
use super::purchase::{ANSWER_WAIT_MAX, Heard, Purchase};
use super::setting::Setting;
use crate::audit::ItemStanding;
use crate::drive::{
    self, Confirmation, Crowd, Entrances, Record, Running, Unresolved, Work, tokens,
};
use crate::outcome::Class;
use crate::report::Judged;
use crate::run::{Observed, settle};
use crate::scenario::{Afterwards, Generator, LoopKind, Retry, Scenario};
use crate::schedule::{Phase, Schedule};
use crate::stage::{Api, Backends, BacklogReader, Engine, Nodes, OpenSale, figure};
use crate::wire::Link;
use crate::{Error, Result};

/// Users who buy for the drill itself, the last of all.
const OWN_USERS: u32 = 128;
/// Request ids of the drill's own purchases begin here; a batch's have its number above this.
const OWN_KEYS: u64 = 1 << 60;
const BATCH_KEYS: u32 = 44;
/// For what is awaited.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a shop that is to sell again in a quick run.
const QUICK_PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The generator begins this much after it was started: its connections open before.
const LEAD: Duration = Duration::from_millis(100);

/// Buyers under way.
#[derive(Debug)]
pub struct Batch {
    running: Running,
    number: u64,
}

impl Batch {
    /// True when all of them have what they came for.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.running.is_finished()
    }
}

/// The shop of one drill.
pub struct Shop {
    scenario: Scenario,
    nodes: Nodes,
    backends: Arc<Backends>,
    sale: OpenSale,
    crowd: Arc<Crowd>,
    operator: String,
    record: Record,
    quick: bool,
    seed: u64,
    batches: u64,
    keys: u64,
    /// When what was broken was repaired.
    repaired: Instant,
    /// Panics that the drill causes.
    expects_panics: bool,
    disk: Option<SmallDisk>,
    /// Last, so that it goes when all that uses it has gone.
    home: TempDir,
}

impl Shop {
    /// Starts the servers and the engine, and opens the sale.
    ///
    /// # Errors
    /// Returns [`Error::Missing`] if a server or a right is not there, and what [`Nodes::start`] and
    /// [`Api::open_sale`] return.
    pub async fn open(setting: &Setting, opening: Opening<'_>) -> Result<Self> {
        let home = setting.home()?;
        let disk = opening::mount(home.path(), opening.disk)?;
        let (wanted, lines) = (opening.backends.to_vec(), opening.broker_settings.to_owned());
        let started = move || Backends::start_behind_proxies(&wanted, &lines);
        let backends = tokio::task::spawn_blocking(started)
            .await
            .map_err(|error| Error::Server(format!("starting backends failed: {error}")))??;
        let environment = opening::environment(setting, &opening, &backends);
        let binary = opening.binary.unwrap_or(&setting.binary);
        let nodes = Nodes::start(binary, home.path(), 1, &environment).await?;
        let call = nodes.options();
        let users = opening.users + OWN_USERS;
        let minted = call.call_well(&["mint", "--users", &users.to_string()]).await?;
        let operator = call.token("--operator", "drill-operator").await?;
        let approver = call.token("--approver", "drill-approver").await?;
        let scenario = opening::scenario(setting, &opening, users);
        let address = nodes.addresses()[0];
        let opens_at = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(60);
        let mut api = Api::new(address);
        let sale = api.open_sale("A drill", &scenario.sale, opens_at, &operator, &approver).await?;
        let crowd = Crowd::new(&minted, &sale.items, &address.to_string(), 0)?;
        Ok(Self {
            scenario,
            nodes,
            backends: Arc::new(backends),
            sale,
            crowd: Arc::new(crowd),
            operator,
            record: Record::default(),
            quick: setting.quick,
            seed: setting.seed,
            batches: 0,
            keys: OWN_KEYS,
            repaired: Instant::now(),
            expects_panics: false,
            disk,
            home,
        })
    }

    /// The engine.
    pub fn engine(&mut self) -> &mut Engine {
        self.nodes.first()
    }

    /// The private servers.
    #[must_use]
    pub fn backends(&self) -> &Arc<Backends> {
        &self.backends
    }

    /// The small disk below the data directory.
    #[must_use]
    pub fn disk(&self) -> Option<&SmallDisk> {
        self.disk.as_ref()
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.nodes.options().data.clone()
    }

    /// The drill's own directory.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The sale's items; the last is the drill's own.
    #[must_use]
    pub fn items(&self) -> &[String] {
        &self.sale.items
    }

    /// The users, and what they send.
    #[must_use]
    pub fn crowd(&self) -> &Arc<Crowd> {
        &self.crowd
    }

    /// An operator's token.
    #[must_use]
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// The number of a user who buys for the drill itself, counted from 0.
    #[must_use]
    pub fn own_user(&self, number: u32) -> u32 {
        self.crowd.users() - 1 - number % OWN_USERS
    }

    /// The counters of the sale's items.
    ///
    /// # Errors
    /// Returns an error if [`Api::standings`] does.
    pub async fn standings(&self) -> Result<Vec<ItemStanding>> {
        Api::standings(&self.nodes.addresses(), &self.sale.items).await
    }

    /// A number of the engine's own.
    pub async fn figure(&mut self, name: &str) -> Option<u64> {
        let mut api = Api::with_timeout(self.engine().operations(), ANSWER_WAIT_MAX);
        api.order(Method::GET, "/metrics", None, None).await.ok()?;
        figure(&String::from_utf8_lossy(api.body()), name)
    }

    /// Waits until a figure is above this; false if it is not in a minute.
    pub async fn figure_above(&mut self, name: &str, least: u64) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.figure(name).await.is_some_and(|now| now > least) {
                return true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        false
    }

    /// Waits until nothing waits for the order store; false if something does after a minute.
    pub async fn caught_up(&mut self) -> bool {
        let begun = Instant::now();
        let mut reader = BacklogReader::new(&self.nodes.operations());
        while begun.elapsed() < PATIENCE {
            if reader.look(0.0).await.is_some_and(|look| look.waiting == 0) {
                return true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        false
    }

    /// A while of ordinary trade, until all of it is answered.
    ///
    /// # Errors
    /// Returns an error if [`Shop::leave`] does.
    pub async fn trade(&mut self) -> Result<Record> {
        let load = if self.quick { Load::of(60.0, 1.0) } else { Load::of(400.0, 2.0) };
        self.carry(load).await
    }

    /// This load, until all of it is answered.
    ///
    /// # Errors
    /// Returns an error if [`Shop::leave`] does.
    pub async fn carry(&mut self, load: Load) -> Result<Record> {
        let batch = self.enter(load)?;
        self.leave(batch).await
    }

    /// Sends buyers in.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the generator cannot be started.
    pub fn enter(&mut self, load: Load) -> Result<Batch> {
        self.batches += 1;
        let number = self.batches;
        let wanted = &self.sale.items[..self.sale.items.len() - 1];
        let host = self.nodes.addresses()[0].to_string();
        let mut crowd = Crowd::clone(&self.crowd);
        crowd.turn_to(wanted, &host, number)?;
        let mut people = self.scenario.people.clone();
        people.users = self.crowd.users() - OWN_USERS;
        people.retry = Retry { times: load.repeats, ..Retry::default() };
        if load.keep {
            people.afterwards = Afterwards::default();
        }
        let rate = load.rate.unwrap_or(1.0);
        let phases = [Phase::Constant { rate, seconds: load.seconds }];
        let work = Work {
            entrances: Entrances::at(self.nodes.addresses()),
            deciders: None,
            crowd: Arc::new(crowd),
            people,
            generator: Generator {
                kind: if load.rate.is_some() { LoopKind::Open } else { LoopKind::Closed },
                connections: load.connections,
                timeout_ms: u64::try_from(load.timeout.as_millis()).unwrap_or(u64::MAX),
                ..Generator::default()
            },
            schedule: Schedule::new(&phases).map_err(Error::Server)?,
            seed: self.seed.wrapping_add(number),
            distinct_only: load.distinct,
            payment_window: Duration::from_secs(PAYMENT_WINDOW_SECONDS.into()),
            threads: drive::default_threads().min(load.connections),
        };
        Ok(Batch { running: drive::start(work, Instant::now() + LEAD)?, number })
    }

    /// Waits until buyers have what they came for, and keeps what they were told.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if the generator fails.
    pub async fn leave(&mut self, batch: Batch) -> Result<Record> {
        let Batch { running, number } = batch;
        let mut record = tokio::task::spawn_blocking(move || running.finish())
            .await
            .map_err(|error| Error::Server(format!("the generator failed: {error}")))??;
        // Another batch's request of the same number is another request.
        let mark = number << BATCH_KEYS;
        record.confirmations.iter_mut().for_each(|confirmation| confirmation.key |= mark);
        record.unresolved.iter_mut().for_each(|unresolved| unresolved.key |= mark);
        self.record.merge(record.clone());
        Ok(record)
    }

    /// A request id that no purchase had yet.
    pub fn new_key(&mut self) -> u64 {
        self.keys += 1;
        self.keys
    }

    /// One purchase by a user, under a new request id.
    pub async fn buy(&mut self, user: u32, item: u32) -> Heard {
        let key = self.new_key();
        self.buy_as(user, item, key, None).await
    }

    /// One purchase under this request id, at this address if it is a guarded one.
    pub async fn buy_as(&mut self, user: u32, item: u32, key: u64, url: Option<&Uri>) -> Heard {
        let purchase = Purchase { user, item, key, url: url.cloned() };
        let heard = purchase.send(&self.crowd, self.nodes.addresses()[0]).await;
        self.note(user, item, key, &heard);
        heard
    }

    /// So many purchases of an item at the same time, each by a user of the drill's own.
    pub async fn rush(&mut self, count: u32, item: u32) -> Vec<Heard> {
        let wanted: Vec<_> =
            (0..count).map(|number| (self.own_user(number), self.new_key())).collect();
        let mut under_way = JoinSet::new();
        for (user, key) in wanted {
            let (crowd, address) = (Arc::clone(&self.crowd), self.nodes.addresses()[0]);
            let purchase = Purchase { user, item, key, url: None };
            under_way.spawn(async move {
                let heard = purchase.send(&crowd, address).await;
                (user, key, heard)
            });
        }
        let mut all = Vec::new();
        for (user, key, heard) in under_way.join_all().await {
            self.note(user, item, key, &heard);
            all.push(heard);
        }
        all
    }

    /// One request again and again over so many connections; what each try heard.
    pub async fn repeat(&mut self, times: u32, connections: u32) -> Vec<Heard> {
        let (user, key) = (self.own_user(0), self.new_key());
        let mut under_way = JoinSet::new();
        for _ in 0..connections {
            let (crowd, address) = (Arc::clone(&self.crowd), self.nodes.addresses()[0]);
            under_way.spawn(async move {
                let mut link = Link::new(address, ANSWER_WAIT_MAX);
                let mut all = Vec::new();
                for _ in 0..times.div_ceil(connections) {
                    let answer = link.send(crowd.buy(user, 0, key)).await;
                    all.push(Heard::of(answer, link.body()));
                }
                all
            });
        }
        let all = under_way.join_all().await.concat();
        all.iter().for_each(|heard| self.note(user, 0, key, heard));
        all
    }

    fn note(&mut self, user: u32, item: u32, key: u64, heard: &Heard) {
        self.record.outcomes[heard.outcome.index()] += 1;
        match (heard.order, heard.outcome.class()) {
            (Some(order), _) => {
                let at_ns = self.record.last_answer_ns;
                self.record.confirmations.push(Confirmation {
                    order,
                    user,
                    item,
                    key,
                    asked_ns: at_ns,
                    at_ns,
                });
            }
            (None, Class::Unknown) => self.record.unresolved.push(Unresolved { item, key }),
            (None, _) => {}
        }
    }

    /// What was broken is repaired from now on.
    pub fn repaired(&mut self) {
        self.repaired = Instant::now();
    }

    /// Panics in the log are the drill's own.
    pub fn expects_panics(&mut self) {
        self.expects_panics = true;
    }

    /// A purchase of the drill's own item, repeated until it succeeds; how long after the repair it did.
    async fn sells_again(&mut self) -> Option<Duration> {
        let item = u32::try_from(self.sale.items.len() - 1).unwrap_or(0);
        let (user, key) = (self.own_user(OWN_USERS - 1), self.new_key());
        let begun = Instant::now();
        let patience = if self.quick { QUICK_PATIENCE } else { PATIENCE };
        while begun.elapsed() < patience {
            let url = self.buy_url(user, item).await.ok().flatten();
            let heard = self.buy_as(user, item, key, url.as_ref()).await;
            if heard.order.is_some() {
                return Some(self.repaired.elapsed());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        None
    }

    /// Where a user buys an item that is guarded: the address has a new token. Nothing if it is not.
    ///
    /// # Errors
    /// Returns an error if [`tokens::fetch`] does.
    pub async fn buy_url(&self, user: u32, item: u32) -> Result<Option<Uri>> {
        if self.scenario.sale.guard.is_none() {
            return Ok(None);
        }
        let address = self.nodes.addresses()[0];
        let mut urls = tokens::fetch(&self.crowd, address, &[(user, item)], false).await?;
        Ok(urls.remove(&(user, item)))
    }

    /// Asks the three questions, and stops the shop.
    ///
    /// # Errors
    /// Returns an error if the shop cannot be asked: [`settle`] says why.
    pub async fn close(mut self, own: Vec<Judged>) -> Result<Evidence> {
        let sells_again = self.sells_again().await;
        let log = self.engine().log();
        // Who never got an answer at first and one later is not in the dark any more.
        let known = &self.record.confirmations;
        let known: HashSet<u64> = known.iter().map(|known| known.key).collect();
        self.record.unresolved.retain(|unresolved| !known.contains(&unresolved.key));
        let unexpected = self.record.of_class(Class::Unexpected);
        let panics = if self.expects_panics { 0 } else { log.matches("panicked at").count() };
        let (server, generator, backlog, owners, marks) = Default::default();
        let record = self.record;
        let observed = Observed { record, server, generator, backlog, owners, marks };
        let Self { scenario, sale, crowd, nodes, backends, home, disk, .. } = self;
        let settled = settle(&scenario, &sale, &crowd, &observed, nodes, &backends).await?;
        drop((disk, home));
        Ok(Evidence {
            own,
            verdict: settled.verdict,
            engine_audit: settled.engine_audit,
            sells_again,
            unexpected,
            panics: panics as u64,
        })
    }
}
