//! The course of a run: backends and engine are started, users and a sale made, the load driven
//! beside the faults, and all of it settled.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::findings::Findings;
use super::observed::Observed;
use super::options::{Remote, RunOptions};
use super::progress::ProgressLine;
use super::{faults, settle};
use crate::drive::{self, Crowd, Deciders, Entrances, Record, Running, Work, tokens};
use crate::plan::Plan;
use crate::scenario::{Entry, LoopKind, Scenario};
use crate::schedule::Schedule;
use crate::stage::{
    Api, Backends, Backlog, BacklogReader, Machine, Nodes, OpenSale, Sample, Sampler, find_binary,
};
use crate::{Error, Result};

/// From the sale's creation to the first request: it is submitted, approved and preheated,
/// and connections open.
const LEAD: Duration = Duration::from_millis(2_500);
const LEAD_PER_ITEM: Duration = Duration::from_millis(3);
/// For each buyer who gets a token, and for one who solves a challenge for it.
const LEAD_PER_TOKEN: Duration = Duration::from_micros(300);
const LEAD_PER_PROOF: Duration = Duration::from_millis(2);
/// Tokens are good for so much longer than the load lasts: those who pay late come after it.
const TOKENS_OUTLAST: Duration = Duration::from_secs(3_600);
/// A sale that is to be open at the first request opens this much earlier.
const EARLY: Duration = Duration::from_millis(500);

/// Runs a scenario against an engine of its own.
///
/// # Errors
/// Returns what kept the run from being carried out; what it found is no error.
pub async fn run(mut scenario: Scenario, options: &RunOptions) -> Result<Findings> {
    override_loop(&mut scenario, options);
    let machine = Machine::here();
    if let Some(keep) = &options.keep {
        check_unused(keep)?;
    }
    let binary = find_binary(options.binary.as_deref()).await?;
    let scratch = tempfile::Builder::new()
        .prefix("seckill-load-")
        .tempdir()
        .map_err(Error::io("making a temporary directory"))?;
    let home = options.keep.clone().unwrap_or_else(|| scratch.path().to_owned());
    let line = ProgressLine::new(options.progress);
    line.step("starting backends and engine");
    let backends = {
        let scenario = scenario.clone();
        tokio::task::spawn_blocking(move || Backends::start(&scenario))
            .await
            .map_err(|error| Error::Server(format!("starting backends failed: {error}")))??
    };
    let backends = Arc::new(backends);
    let environment = environment(&scenario, &backends)?;
    let mut nodes = Nodes::start(&binary, &home, scenario.server.nodes, &environment).await?;
    nodes.expect(scenario.joins()).await?;
    nodes.announce();

    line.step("minting users and opening the sale");
    let users = scenario.people.users.to_string();
    let call = nodes.options();
    let minted = call.call_well(&["mint", "--users", &users]).await?;
    let operator = call.token("--operator", "load-operator").await?;
    let approver = call.token("--approver", "load-approver").await?;
    let (addresses, operations) = (nodes.addresses(), nodes.operations());
    let remote = Remote { addresses, operations, minted, operator, approver };
    let start = Instant::now() + lead(&scenario) + options.patience;
    let (sale, crowd) = open(&scenario, &remote, start).await?;

    let owners = if nodes.are_several() { nodes.owners().await? } else { Vec::new() };
    let mut work = work(&scenario, options, &remote, &crowd)?;
    if scenario.generator.entry == Entry::WrongNode {
        work.deciders = Some(deciders(&nodes, &sale, &owners).await?);
    }
    let entrances = work.entrances.clone();
    let running = drive::start(work, start)?;
    let watching = watch(&scenario, &running, Some(Sampler::new(nodes.processes())), &line);
    let breaking = faults::apply(&scenario.fault, start, &mut nodes, &backends, &entrances);
    let behind = follow_backlog(&running, &remote.operations);
    let ((server, generator), backlog, marks) = tokio::join!(watching, behind, async {
        let marks = breaking.await;
        if marks.is_err() {
            running.stop();
        }
        marks
    });
    let record = finish(running).await?;
    let observed = Observed { record, server, generator, backlog, owners, marks: marks? };

    line.step("waiting for the order store and auditing");
    let settled = settle::settle(&scenario, &sale, &crowd, &observed, nodes, &backends).await?;
    line.done();
    Ok(Findings { scenario, machine, threads: options.threads, observed, settled })
}

/// Runs a scenario's load against a server that runs already. Faults need an engine of
/// one's own, and are refused.
///
/// # Errors
/// Returns an error if [`run`] does.
pub async fn run_remote(
    mut scenario: Scenario,
    options: &RunOptions,
    remote: &Remote,
) -> Result<Findings> {
    override_loop(&mut scenario, options);
    let is_plain = scenario.server.backends.is_empty() && scenario.server.nodes == 1;
    if !scenario.fault.is_empty() || !is_plain {
        let reason =
            "a scenario with faults, backends or nodes cannot be run against --url".to_owned();
        return Err(Error::Server(reason));
    }
    let machine = Machine::here();
    let line = ProgressLine::new(options.progress);
    let start = Instant::now() + lead(&scenario) + options.patience;
    let (sale, crowd) = open(&scenario, remote, start).await?;
    let running = drive::start(work(&scenario, options, remote, &crowd)?, start)?;
    let watching = watch(&scenario, &running, None, &line);
    let ((server, generator), backlog) =
        tokio::join!(watching, follow_backlog(&running, &remote.operations));
    let record = finish(running).await?;
    let (owners, marks) = (Vec::new(), Vec::new());
    let observed = Observed { record, server, generator, backlog, owners, marks };
    let settled = settle::settle_remote(&scenario, &sale, &crowd, &observed, remote).await?;
    line.done();
    Ok(Findings { scenario, machine, threads: options.threads, observed, settled })
}

/// The engine's settings for this run; the scenario's own are above the laboratory's.
fn environment(scenario: &Scenario, backends: &Backends) -> Result<BTreeMap<String, String>> {
    let mut environment = backends.environment();
    if let Some(shards) = scenario.server.shards {
        environment.insert("SECKILL__ENGINE__SHARDS".to_owned(), shards.to_string());
    }
    let schedule = Schedule::new(&scenario.load).map_err(Error::Server)?;
    let tokens_last = (schedule.duration() + TOKENS_OUTLAST).as_secs();
    environment.insert("SECKILL__TOKENS__TTL_SECONDS".to_owned(), tokens_last.to_string());
    if scenario.sale.guard.is_some() {
        environment.insert("SECKILL__BUY_TOKEN__TTL_SECONDS".to_owned(), tokens_last.to_string());
    }
    environment.extend(scenario.server.environment.clone());
    Ok(environment)
}

/// Refuses a directory that has anything in it: two shops' orders in one place would be judged as one's.
fn check_unused(keep: &Path) -> Result<()> {
    match std::fs::read_dir(keep) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(Error::NotEmpty { directory: keep.to_owned() }),
            None => Ok(()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::Io { what: format!("reading {}", keep.display()), source }),
    }
}

fn override_loop(scenario: &mut Scenario, options: &RunOptions) {
    if let Some(connections) = options.closed_loop {
        scenario.generator.kind = LoopKind::Closed;
        scenario.generator.connections = connections;
    }
}

fn lead(scenario: &Scenario) -> Duration {
    let per_token = match &scenario.sale.guard {
        None => Duration::ZERO,
        Some(guard) if guard.proof => LEAD_PER_PROOF,
        Some(_) => LEAD_PER_TOKEN,
    };
    let tokens = u32::try_from(wishes(scenario).len()).unwrap_or(u32::MAX);
    LEAD + LEAD_PER_ITEM * scenario.sale.items + per_token * tokens
}

/// Who comes for what, if a token is needed for it.
fn wishes(scenario: &Scenario) -> Vec<(u32, u32)> {
    if scenario.sale.guard.is_none() {
        return Vec::new();
    }
    let arrivals = Schedule::new(&scenario.load).map_or(0, |schedule| schedule.arrivals());
    Plan::new(&scenario.people, scenario.sale.items, scenario.seed, 0, 1).wishes(arrivals).collect()
}

async fn open(
    scenario: &Scenario,
    remote: &Remote,
    start: Instant,
) -> Result<(OpenSale, Arc<Crowd>)> {
    let until_start = start.saturating_duration_since(Instant::now());
    let opens_in = match scenario.sale.opens_after_ms {
        0 => until_start.saturating_sub(EARLY),
        after => until_start + Duration::from_millis(after),
    };
    let opens_at = jiff::Timestamp::now() + opens_in;
    let entry = remote.addresses[0];
    let mut api = Api::new(entry);
    let (operator, approver) = (&remote.operator, &remote.approver);
    let sale = api.open_sale(&scenario.title, &scenario.sale, opens_at, operator, approver).await?;
    // Request ids are scoped to their user, but a server that runs already has seen others.
    let run = jiff::Timestamp::now().as_millisecond().cast_unsigned();
    let mut crowd = Crowd::new(&remote.minted, &sale.items, &entry.to_string(), run)?;
    if let Some(guard) = scenario.sale.guard {
        let pages = Arc::new(crowd.clone());
        let wishes = wishes(scenario);
        let urls = tokens::fetch(&pages, entry, &wishes, guard.proof).await?;
        crowd.set_buy_urls(urls);
    }
    if Instant::now() + EARLY > start {
        let reason = "the sale was not ready in time; is the machine overloaded?".to_owned();
        return Err(Error::Server(reason));
    }
    Ok((sale, Arc::new(crowd)))
}

fn work(
    scenario: &Scenario,
    options: &RunOptions,
    remote: &Remote,
    crowd: &Arc<Crowd>,
) -> Result<Work> {
    let schedule = Schedule::new(&scenario.load).map_err(Error::Server)?;
    let mut people = scenario.people.clone();
    people.users = crowd.users();
    Ok(Work {
        entrances: Entrances::at(remote.addresses.clone()),
        deciders: None,
        crowd: Arc::clone(crowd),
        people,
        generator: scenario.generator.clone(),
        schedule,
        seed: scenario.seed,
        distinct_only: false,
        payment_window: Duration::from_secs(scenario.sale.payment_window_seconds.into()),
        threads: options.threads.min(scenario.generator.connections).max(1),
    })
}

/// Who decides what, by the owners of shards and items; no shard moves from here on.
async fn deciders(nodes: &Nodes, sale: &OpenSale, owners: &[Option<usize>]) -> Result<Deciders> {
    let addresses = nodes.addresses();
    let items = nodes.owners_of(&sale.items).await?;
    Ok(Deciders {
        items: items.into_iter().map(|place| addresses[place]).collect(),
        shards: owners.iter().map(|owner| owner.map(|place| addresses[place])).collect(),
    })
}

/// Samples server and generator each second, and shows progress, until the load is over.
async fn watch(
    scenario: &Scenario,
    running: &Running,
    server: Option<Sampler>,
    line: &ProgressLine,
) -> (Vec<Sample>, Vec<Sample>) {
    let mut server = server;
    let mut myself = Sampler::of_this_process();
    let (mut of_server, mut of_generator) = (Vec::new(), Vec::new());
    let expected = Schedule::new(&scenario.load).map_or(0, |schedule| schedule.arrivals());
    line.load(expected);
    let mut next_sample = running.start();
    while !running.is_finished() {
        let now = Instant::now();
        if now >= next_sample {
            let at_seconds = now.saturating_duration_since(running.start()).as_secs_f64();
            of_server.extend(server.as_mut().map(|sampler| sampler.sample(at_seconds)));
            of_generator.push(myself.sample(at_seconds));
            next_sample += Duration::from_secs(1);
        }
        line.progress(running.progress());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    (of_server, of_generator)
}

/// Asks the server each second how far its order store is behind, until the load is over.
async fn follow_backlog(running: &Running, addresses: &[SocketAddr]) -> Vec<Backlog> {
    let mut reader = BacklogReader::new(addresses);
    let mut looks = Vec::new();
    let mut next = running.start();
    while !running.is_finished() {
        tokio::time::sleep_until(next.into()).await;
        next += Duration::from_secs(1);
        let at_seconds = running.start().elapsed().as_secs_f64();
        looks.extend(reader.look(at_seconds).await);
    }
    looks
}

async fn finish(running: Running) -> Result<Record> {
    tokio::task::spawn_blocking(move || running.finish())
        .await
        .map_err(|error| Error::Server(format!("the generator failed: {error}")))?
}
