//! The command line: `load run`, `load cluster`, `load drills`, `load check`, `load compare`,
//! `load scale`, `load instructions`, `load simulate` and `load peer`.

use std::io::IsTerminal;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::output::print;
use crate::report::Report;
use crate::run::{Findings, Remote, RunOptions, run, run_remote};
use crate::scenario::{NODES_MAX, Scenario};
use crate::{Error, Result, compare, drills, drive, instructions, peers, scale};

/// The load laboratory of the flash-sale engine.
#[derive(Debug, Parser)]
#[command(name = "load", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario, audit it, and report; exit code 1 if anything fails.
    Run(RunArguments),
    /// A shop of several nodes for anyone to try: private etcd, Redis and MariaDB on this machine, a sale, the
    /// owner of most of it killed in its midst, and the verdict.
    Cluster(ClusterArguments),
    /// Break something on purpose, again and again, and ask whether every confirmation is on record, nothing is
    /// doubled, and the shop sells again; exit code 1 if a drill fails.
    Drills(drills::DrillArguments),
    /// Read and validate scenarios without starting anything.
    Check {
        /// The scenario files.
        #[arg(required = true)]
        scenarios: Vec<PathBuf>,
    },
    /// Measure the engine beside its peers on this machine.
    Compare(compare::CompareArguments),
    /// Measure how much more several nodes sell than one, each capped at a share of a processor, and what it costs to
    /// ask the wrong one.
    Scale(scale::ScaleArguments),
    /// Count the instructions of one purchase, stage by stage; exit code 1 if they are over 5 % more than recorded.
    Instructions(instructions::InstructionArguments),
    /// Run the simulations of the journal and of a cluster under many seeds; exit code 1 if one has a finding.
    #[cfg(feature = "in-process")]
    Simulate(crate::simulate::SimulateArguments),
    /// Serve as one of the peers (what `compare` starts; useful by itself too).
    Peer(peers::PeerArguments),
}

/// Arguments of `load run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The scenario file.
    pub scenario: PathBuf,
    /// Use a server that runs already, such as `http://127.0.0.1:8080`; needs the tokens.
    #[arg(long, value_name = "URL", requires_all = ["tokens", "operator_token", "approver_token"])]
    pub url: Option<String>,
    /// Where that server shows its figures.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    pub operations_url: String,
    /// A file of `seckill mint --users N`, for --url.
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// A token of `seckill mint --operator NAME`, for --url.
    #[arg(long, value_name = "TOKEN")]
    pub operator_token: Option<String>,
    /// A token of `seckill mint --approver NAME`, for --url.
    #[arg(long, value_name = "TOKEN")]
    pub approver_token: Option<String>,
    /// Allow --url to name another machine. Load only what is yours.
    #[arg(long)]
    pub allow_remote: bool,
    /// Closed loop with this many connections instead of the scenario's schedule.
    #[arg(long, value_name = "CONNECTIONS", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub closed_loop: Option<u32>,
    /// How many threads the generator has.
    #[arg(long, default_value_t = drive::default_threads(), value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// The program, and where what was found goes.
    #[command(flatten)]
    pub common: CommonArguments,
}

/// Arguments of `load cluster`.
#[derive(Debug, Args)]
pub struct ClusterArguments {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=i64::from(NODES_MAX)))]
    pub nodes: u32,
    /// The program, and where what was found goes.
    #[command(flatten)]
    pub common: CommonArguments,
}

/// What every run is told.
#[derive(Debug, Args)]
pub struct CommonArguments {
    /// The engine's program; by default the workspace's release build, made if need be.
    #[arg(long, value_name = "PATH")]
    pub server_bin: Option<PathBuf>,
    /// How many seconds longer than usual the sale may take to get ready, for a program that is not a
    /// release build.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=3_600))]
    pub patience: u64,
    /// Keep data and logs in this directory, which is to be new or empty.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report as one HTML page.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Runs the command; false if it ran and failed its criteria.
///
/// # Errors
/// Returns what kept it from running.
pub fn dispatch(cli: Cli) -> Result<bool> {
    match cli.command {
        Command::Run(arguments) => until_interrupted(run_scenario(arguments)),
        Command::Cluster(arguments) => until_interrupted(run_cluster(arguments)),
        Command::Drills(arguments) => until_interrupted(drills::drills(arguments)),
        Command::Check { scenarios } => check(&scenarios),
        Command::Compare(arguments) => until_interrupted(compare::compare(arguments)),
        Command::Scale(arguments) => until_interrupted(scale::scale(arguments)),
        Command::Instructions(arguments) => {
            until_interrupted(instructions::instructions(arguments))
        }
        #[cfg(feature = "in-process")]
        Command::Simulate(arguments) => crate::simulate::simulate(&arguments),
        Command::Peer(arguments) => {
            // As the engine: a worker for each processor.
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            runtime(processors)?.block_on(peers::serve(arguments)).map(|()| true)
        }
    }
}

fn runtime(workers: usize) -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(Error::io("starting the runtime"))
}

/// Carries the work out. SIGINT and SIGTERM end it and all that it has started.
fn until_interrupted(work: impl Future<Output = Result<bool>>) -> Result<bool> {
    let runtime = runtime(1)?;
    let ended = runtime.block_on(async {
        let terminate = signal(SignalKind::terminate()).map_err(Error::io("hearing signals"));
        let mut terminate = terminate?;
        let mut interrupt =
            signal(SignalKind::interrupt()).map_err(Error::io("hearing signals"))?;
        tokio::select! {
            ended = work => ended,
            _ = terminate.recv() => Err(Error::Interrupted),
            _ = interrupt.recv() => Err(Error::Interrupted),
        }
    });
    // What blocks a thread of it ends with the process.
    runtime.shutdown_background();
    ended
}

async fn run_scenario(arguments: RunArguments) -> Result<bool> {
    let scenario = Scenario::read(&arguments.scenario)?;
    let options = options(&arguments.common, arguments.threads, arguments.closed_loop);
    let findings = match &arguments.url {
        None => run(scenario, &options).await?,
        Some(url) => {
            let remote = remote(url, &arguments)?;
            run_remote(scenario, &options, &remote).await?
        }
    };
    tell(findings, &arguments.common)
}

/// The scenario of `load cluster`, whose file need not be there.
const CLUSTER: &str = include_str!("../scenarios/cluster-owner-killed.toml");

async fn run_cluster(arguments: ClusterArguments) -> Result<bool> {
    let mut scenario = Scenario::parse(CLUSTER, Path::new("cluster-owner-killed.toml"))?;
    scenario.server.nodes = arguments.nodes;
    let options = options(&arguments.common, drive::default_threads(), None);
    tell(run(scenario, &options).await?, &arguments.common)
}

fn options(common: &CommonArguments, threads: u32, closed_loop: Option<u32>) -> RunOptions {
    RunOptions {
        binary: common.server_bin.clone(),
        threads,
        closed_loop,
        patience: Duration::from_secs(common.patience),
        keep: common.keep.clone(),
        progress: std::io::stderr().is_terminal(),
    }
}

/// Prints and writes the report; true if all holds.
fn tell(findings: Findings, common: &CommonArguments) -> Result<bool> {
    let report = Report::new(findings);
    print(&report.table())?;
    if let Some(path) = &common.json {
        report.write_json(path)?;
    }
    if let Some(path) = &common.html {
        report.write_html(path)?;
    }
    Ok(report.passed)
}

fn check(scenarios: &[PathBuf]) -> Result<bool> {
    for path in scenarios {
        let scenario = Scenario::read(path)?;
        print(&format!("{}: {}\n", scenario.name, scenario.title))?;
    }
    Ok(true)
}

fn remote(url: &str, arguments: &RunArguments) -> Result<Remote> {
    let addresses = vec![resolve(url, arguments.allow_remote)?];
    let operations = vec![resolve(&arguments.operations_url, arguments.allow_remote)?];
    let path = arguments.tokens.clone().unwrap_or_default();
    let minted =
        std::fs::read_to_string(&path).map_err(Error::io(format!("reading {}", path.display())))?;
    let token = |token: &Option<String>| token.clone().unwrap_or_default();
    let (operator, approver) = (token(&arguments.operator_token), token(&arguments.approver_token));
    Ok(Remote { addresses, operations, minted, operator, approver })
}

fn resolve(url: &str, may_be_remote: bool) -> Result<SocketAddr> {
    let host = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let mut addresses = host
        .to_socket_addrs()
        .map_err(Error::io(format!("{url} (only http://HOST:PORT is understood)")))?;
    let address = addresses.next().ok_or_else(|| Error::Server(format!("{url} has no address")))?;
    if !address.ip().is_loopback() && !may_be_remote {
        return Err(Error::NotLoopback(url.to_owned()));
    }
    Ok(address)
}
