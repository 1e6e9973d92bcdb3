//! The rounds: an engine under callgrind, a sale that warms it, a sale that is counted.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::profile::{Counts, read};
use super::stages::{STAGES, Stage, stage_of};
use crate::drive::{self, Crowd, Entrances, Record, Work};
use crate::outcome::Outcome;
use crate::report::terminal::{grouped, table};
use crate::scenario::{Generator, LoopKind, People, Sale};
use crate::schedule::{Phase, Schedule};
use crate::spread::Spread;
use crate::stage::{Api, Engine, EngineOptions, Machine, find_binary};
use crate::{Error, Result};

/// From a sale's approval to its opening: everything takes its time in a simulated processor.
const OPENS_IN: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);
/// How long the engine is counted while nobody buys: what it does then it does beside the purchases, too.
const IDLE: Duration = Duration::from_secs(5);
/// How long a purchase may take there.
const TIMEOUT_MS: u64 = 60_000;
/// The longest that buyers are waited for.
const SECONDS_MAX: f64 = 600.0;
/// How much more than the recorded figure is no other figure yet.
const TOLERANCE: f64 = 0.05;
/// What is counted goes here, below the data directory of its round.
const COUNTED: &str = "callgrind.out";

/// Arguments of `load instructions`.
#[derive(Debug, Clone, Args)]
pub struct InstructionArguments {
    /// Rounds, each with an engine of its own.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub rounds: u32,
    /// Purchases of a round that are counted, after as many that are not.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub purchases: u32,
    /// Connections, each with one request under way.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub connections: u32,
    /// Threads that the engine works with; by default as many as there are processors. With one thread and one
    /// connection nobody waits for another, and rounds differ least.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: Option<u32>,
    /// The engine's program; by default the workspace's release build, made if need be.
    #[arg(long, value_name = "PATH")]
    pub server_bin: Option<PathBuf>,
    /// Fail if the stages that are of a purchase alone take over 5 % more than this file says, which --record has
    /// written, in the round in which they took least. Nothing is compared if that was another compiler's program, or on more or fewer processors.
    #[arg(long, value_name = "FILE")]
    pub recorded: Option<PathBuf>,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Keep what callgrind wrote in this directory.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// What is kept of a count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Recorded {
    /// Instructions for one purchase, in the stages that are of the purchase alone.
    instructions: f64,
    /// What compiled the engine, as far as is known here.
    compiler: String,
    /// The machine's processors: with fewer, more purchases meet in one batch.
    processors: usize,
    /// The machine and the commit, for people.
    of: String,
}

/// Counts and prints; false if a purchase takes more than was recorded.
///
/// # Errors
/// Returns what kept the engine from being counted.
pub async fn instructions(arguments: InstructionArguments) -> Result<bool> {
    require("valgrind").await?;
    require("callgrind_control").await?;
    let binary = find_binary(arguments.server_bin.as_deref()).await?;
    let mut rounds = Vec::new();
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}: {} purchases", arguments.rounds, arguments.purchases);
        rounds.push(count(&arguments, &binary, round).await?);
    }
    let found = Figures::of(&rounds);
    crate::output::print(&found.render(&arguments))?;
    if let Some(path) = &arguments.record {
        let recorded = Recorded {
            instructions: found.alone.least.round(),
            compiler: compiler().await,
            processors: processors(),
            of: Machine::here().line(),
        };
        let text = serde_json::to_string_pretty(&recorded).expect("figures have a JSON form");
        std::fs::write(path, text + "\n").map_err(Error::io("writing the figures"))?;
    }
    match &arguments.recorded {
        Some(path) => judge(path, found.alone.least, (&compiler().await, processors())),
        None => Ok(true),
    }
}

/// Compares with what was recorded. What disturbs a round adds to it, so the least is nearest to the truth.
fn judge(path: &Path, least: f64, here: (&str, usize)) -> Result<bool> {
    let text = std::fs::read_to_string(path).map_err(Error::io("reading the recorded figures"))?;
    let recorded: Recorded = serde_json::from_str(&text)
        .map_err(|error| Error::Server(format!("{}: {error}", path.display())))?;
    let (holds, words) = verdict(&recorded, least, here);
    crate::output::print(&format!("{words}\n"))?;
    Ok(holds)
}

fn verdict(recorded: &Recorded, least: f64, here: (&str, usize)) -> (bool, String) {
    if (recorded.compiler.as_str(), recorded.processors) != here {
        let words = format!(
            "NOT compared: recorded with {} on {} processors, and this is {} on {}; --record it anew",
            recorded.compiler, recorded.processors, here.0, here.1,
        );
        return (true, words);
    }
    let change = least / recorded.instructions - 1.0;
    let holds = change <= TOLERANCE;
    let words = format!(
        "{}: {:+.1} % to the recorded {} ({})",
        if holds { "passed" } else { "FAILED" },
        change * 100.0,
        grouped(recorded.instructions as u64),
        recorded.of,
    );
    (holds, words)
}

/// The compiler that is installed here, which will have made the engine's program.
async fn compiler() -> String {
    let said = Command::new("rustc").arg("--version").output().await;
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.ok().filter(|said| !said.is_empty()).unwrap_or_else(|| "an unknown compiler".to_owned())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

async fn require(program: &str) -> Result<()> {
    let found = Command::new(program).arg("--version").output().await;
    found.map(drop).map_err(|_| Error::Missing {
        what: program.to_owned(),
        remedy: "install valgrind, such as with `apt-get install valgrind`".to_owned(),
    })
}

/// The instructions of one round, for each purchase, by stage.
async fn count(
    arguments: &InstructionArguments,
    binary: &Path,
    round: u32,
) -> Result<BTreeMap<Stage, f64>> {
    let scratch = tempfile::Builder::new()
        .prefix("seckill-instructions-")
        .tempdir()
        .map_err(Error::io("making a temporary directory"))?;
    let home = scratch.path();
    let counted = home.join(COUNTED);
    let options = EngineOptions {
        binary: under_callgrind(home, binary, &counted)?,
        data: home.join("data"),
        environment: environment(arguments),
        log: home.join("server.log"),
    };
    std::fs::create_dir_all(&options.data).map_err(Error::io("making the data directory"))?;
    let mut engine = Engine::start(options).await?;
    let shop = Shop::open(&engine, arguments).await?;
    shop.open_sale(&engine, arguments).await?.buy().await?;
    let rush = shop.open_sale(&engine, arguments).await?;
    let counting = Counting { process: engine.process().load(Ordering::Relaxed), home, round };
    let ((), idle) = counting.count(arguments, tokio::time::sleep(IDLE)).await?;
    let (sold, counted) = counting.count(arguments, rush.buy()).await?;
    let sold = sold?;
    engine.kill().await?;

    let idles = counted.seconds / idle.seconds;
    let mut stages: BTreeMap<Stage, f64> = STAGES.into_iter().map(|stage| (stage, 0.0)).collect();
    for (counts, share) in [(&counted.counts, 1.0), (&idle.counts, -idles)] {
        for (place, instructions) in counts {
            *stages.entry(stage_of(place)).or_default() +=
                *instructions as f64 * share / sold as f64;
        }
    }
    Ok(stages)
}

/// What an engine under callgrind executed in a time.
struct Counted {
    counts: Counts,
    seconds: f64,
}

/// An engine under callgrind.
struct Counting<'a> {
    process: u32,
    home: &'a Path,
    round: u32,
}

impl Counting<'_> {
    /// Counts while this goes on.
    async fn count<T>(
        &self,
        arguments: &InstructionArguments,
        during: impl Future<Output = T>,
    ) -> Result<(T, Counted)> {
        control(self.process, &["-i", "on"]).await?;
        let begun = Instant::now();
        let came_to = during.await;
        let seconds = begun.elapsed().as_secs_f64();
        control(self.process, &["-i", "off"]).await?;
        control(self.process, &["-d"]).await?;
        let mut counts = Counts::new();
        for written in written(self.home)? {
            let text = std::fs::read_to_string(&written).map_err(Error::io("reading the count"))?;
            if text.is_empty() {
                continue;
            }
            read(&text, &mut counts).map_err(|error| Error::Server(error.to_string()))?;
            if let Some(keep) = &arguments.keep {
                std::fs::create_dir_all(keep).map_err(Error::io("making the directory to keep"))?;
                let name = written.file_name().map_or_else(String::new, |name| {
                    format!("round-{}-{}", self.round, name.to_string_lossy())
                });
                std::fs::write(keep.join(name), text).map_err(Error::io("keeping the count"))?;
            }
            // Callgrind goes on with another one.
            std::fs::write(&written, "").map_err(Error::io("clearing the count"))?;
        }
        Ok((came_to, Counted { counts, seconds }))
    }
}

fn environment(arguments: &InstructionArguments) -> BTreeMap<String, String> {
    let workers = arguments.workers.map(|workers| workers.to_string());
    workers
        .map(|workers| ("SECKILL__ENGINE__WORKER_THREADS".to_owned(), workers))
        .into_iter()
        .collect()
}

/// A program that serves under callgrind, and does all else as it is.
fn under_callgrind(home: &Path, binary: &Path, counted: &Path) -> Result<PathBuf> {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
    let text = format!(
        "#!/bin/sh\n\
         [ \"$1\" = serve ] || exec {binary} \"$@\"\n\
         exec valgrind --quiet --tool=callgrind --instr-atstart=no --callgrind-out-file={counted} \
         --fair-sched=yes {binary} \"$@\"\n",
        binary = quoted(binary),
        counted = quoted(counted),
    );
    let script = home.join("seckill");
    std::fs::write(&script, text).map_err(Error::io("writing the program's wrapper"))?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700))
        .map_err(Error::io("making the wrapper a program"))?;
    Ok(script)
}

/// The files that callgrind wrote.
fn written(home: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(home).map_err(Error::io("reading the counts"))?;
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let is_count = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(COUNTED)
    };
    Ok(paths.filter(is_count).collect())
}

/// Tells callgrind in the process what to do.
async fn control(process: u32, what: &[&str]) -> Result<()> {
    let output = Command::new("callgrind_control").args(what).arg(process.to_string()).output();
    let output = output.await.map_err(Error::io("running callgrind_control"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Server(format!("callgrind_control {}: {said}", what.join(" "))))
}

/// Those who sell and buy in a round.
struct Shop {
    minted: String,
    operator: String,
    approver: String,
}

impl Shop {
    async fn open(engine: &Engine, arguments: &InstructionArguments) -> Result<Self> {
        let options = engine.options();
        let users = arguments.purchases.to_string();
        Ok(Self {
            minted: options.call_well(&["mint", "--users", &users]).await?,
            operator: options.token("--operator", "load-operator").await?,
            approver: options.token("--approver", "load-approver").await?,
        })
    }

    /// Opens a sale in which each user can buy one unit, and waits until it has begun.
    async fn open_sale(&self, engine: &Engine, arguments: &InstructionArguments) -> Result<Rush> {
        let sale = Sale {
            items: 1,
            allotted: arguments.purchases.into(),
            buckets: 1,
            limit_per_user: 1,
            payment_window_seconds: 3_600,
            opens_after_ms: 0,
            guard: None,
        };
        let opens_at = jiff::Timestamp::now() + OPENS_IN;
        let mut api = Api::with_timeout(engine.address(), Duration::from_millis(TIMEOUT_MS));
        let opened =
            api.open_sale("Counted", &sale, opens_at, &self.operator, &self.approver).await?;
        let left = opens_at.duration_since(jiff::Timestamp::now());
        tokio::time::sleep(left.max(jiff::SignedDuration::ZERO).unsigned_abs()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let run = jiff::Timestamp::now().as_millisecond().cast_unsigned();
        let host = engine.address().to_string();
        let crowd = Arc::new(Crowd::new(&self.minted, &opened.items, &host, run)?);
        Ok(Rush { work: work(engine, &crowd, arguments)?, purchases: arguments.purchases })
    }
}

/// Users, each of whom is about to buy one unit.
struct Rush {
    work: Work,
    purchases: u32,
}

impl Rush {
    /// They buy. Returns how many units were sold.
    async fn buy(self) -> Result<u64> {
        let running = drive::start(self.work, Instant::now())?;
        let record = tokio::task::spawn_blocking(move || running.finish())
            .await
            .map_err(|error| Error::Server(format!("the generator failed: {error}")))??;
        sold(&record, self.purchases)
    }
}

fn work(engine: &Engine, crowd: &Arc<Crowd>, arguments: &InstructionArguments) -> Result<Work> {
    let phase = Phase::Constant { rate: 1.0, seconds: SECONDS_MAX };
    Ok(Work {
        entrances: Entrances::at(vec![engine.address()]),
        deciders: None,
        crowd: Arc::clone(crowd),
        people: People::who_buy(crowd.users()),
        generator: Generator {
            kind: LoopKind::Closed,
            connections: arguments.connections,
            timeout_ms: TIMEOUT_MS,
            ..Generator::default()
        },
        schedule: Schedule::new(&[phase]).map_err(Error::Server)?,
        seed: 1,
        distinct_only: true,
        payment_window: Duration::from_secs(3_600),
        threads: 1,
    })
}

/// How many were sold; other answers would be counted with them.
fn sold(record: &Record, purchases: u32) -> Result<u64> {
    let (ended, sold) = (record.outcomes.iter().sum::<u64>(), record.count(Outcome::Reserved));
    if sold != ended || sold != u64::from(purchases) {
        let reason = format!("{sold} of {ended} requests bought, not {purchases}");
        return Err(Error::Server(reason));
    }
    Ok(sold)
}

/// All rounds together.
struct Figures {
    stages: Vec<(Stage, Spread)>,
    on_the_way: Spread,
    alone: Spread,
}

impl Figures {
    fn of(rounds: &[BTreeMap<Stage, f64>]) -> Self {
        let spread = |value: &dyn Fn(&BTreeMap<Stage, f64>) -> f64| {
            Spread::of(rounds.iter().map(value)).expect("there is a round")
        };
        let stages = STAGES
            .into_iter()
            .map(|stage| (stage, spread(&|round| round.get(&stage).copied().unwrap_or(0.0))));
        let sum = |counts: fn(Stage) -> bool| {
            spread(&|round| round.iter().filter(|(stage, _)| counts(**stage)).map(|(_, n)| n).sum())
        };
        Self {
            stages: stages.collect(),
            on_the_way: sum(Stage::is_on_the_way),
            alone: sum(Stage::is_of_the_purchase_alone),
        }
    }

    fn render(&self, arguments: &InstructionArguments) -> String {
        let mut text = table(&["stage", "instructions a purchase", "least – most", "share"]);
        let mut add = |name: &str, spread: Spread, share: Option<f64>| {
            text.add_row([
                name.to_owned(),
                grouped(spread.median.round() as u64),
                format!(
                    "{} – {}",
                    grouped(spread.least.round() as u64),
                    grouped(spread.most.round() as u64)
                ),
                share.map_or_else(String::new, |share| format!("{:.1} %", share * 100.0)),
            ]);
        };
        for (stage, spread) in &self.stages {
            let share = stage.is_on_the_way().then(|| spread.median / self.on_the_way.median);
            add(stage.words(), *spread, share);
        }
        add("of the purchase alone: the first six", self.alone, None);
        add("all but behind the sale", self.on_the_way, None);
        format!(
            "{} rounds of {} purchases, {} connections, counted by callgrind; median\n{text}\n\n{}\n",
            arguments.rounds,
            arguments.purchases,
            arguments.connections,
            Machine::here().line(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_five_percent_more_than_recorded_fails_and_what_was_made_otherwise_is_not_compared() {
        let recorded = Recorded {
            instructions: 1_000.0,
            compiler: "rustc 1".to_owned(),
            processors: 2,
            of: "a machine".to_owned(),
        };
        for (least, holds) in [(500.0, true), (1_049.0, true), (1_051.0, false)] {
            assert_eq!(verdict(&recorded, least, ("rustc 1", 2)).0, holds, "{least}");
        }
        for other in [("rustc 2", 2), ("rustc 1", 4)] {
            let (holds, words) = verdict(&recorded, 2_000.0, other);
            assert!(holds && words.contains("NOT compared"), "{words}");
        }
    }
}
