//! `load simulate`: the journal and the cluster under seeds, as many as there is time for.
//!
//! One number decides everything that happens in a run. A seed with a finding is printed with the command that
//! runs it again.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::ops::Range;
use std::time::Instant;

use clap::{Args, ValueEnum};
use domain::invariants::Rule;
use simulation::{Failure, Finding, cluster, first_failure, journal, search};

use crate::Result;
use crate::output::print;

/// Seeds between two lines of progress.
const ROUND: u64 = 2_000;
/// Threads that run seeds, for each processor.
const THREADS_A_PROCESSOR: usize = 4;
/// Within how many seeds a planted bug has to be found.
const PLANTED_SEEDS_MAX: u64 = 10_000;

/// Arguments of `load simulate`.
#[derive(Debug, Args)]
pub struct SimulateArguments {
    /// How many seeds each simulation runs.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=u64::MAX / 2))]
    pub from: u64,
    /// One simulation alone.
    #[arg(long)]
    pub only: Option<Part>,
    /// How many threads run seeds; by default four for each processor, because a journal's runs wait for its threads.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub threads: Option<u16>,
    /// Plant each known bug instead, and say after how many seeds it is found.
    #[arg(long)]
    pub planted: bool,
}

/// What is simulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Part {
    /// The journal's files on a disk that forgets what was not synced when the power goes.
    Journal,
    /// Three nodes and their fenced log, with all that a network, clocks and stores do.
    Cluster,
}

impl Part {
    const ALL: [Self; 2] = [Self::Journal, Self::Cluster];

    fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Cluster => "cluster",
        }
    }

    fn run(self, seed: u64) -> std::result::Result<(), Finding> {
        match self {
            Self::Journal => journal::run(seed, None),
            Self::Cluster => cluster::run(seed, None).map(drop),
        }
    }
}

/// Runs the seeds; false if one has a finding, or a planted bug is not found.
///
/// # Errors
/// Returns an error if the output cannot be written.
pub fn simulate(arguments: &SimulateArguments) -> Result<bool> {
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.map_or_else(|| THREADS_A_PROCESSOR * processors(), usize::from);
    let parts =
        Part::ALL.into_iter().filter(|part| arguments.only.is_none_or(|only| only == *part));
    let mut is_clean = true;
    for part in parts {
        is_clean &= if arguments.planted {
            plant(part, threads)?
        } else {
            run_seeds(part, arguments.from..arguments.from + arguments.seeds, threads)?
        };
    }
    Ok(is_clean)
}

fn run_seeds(part: Part, seeds: Range<u64>, threads: usize) -> Result<bool> {
    let (began, shows_progress) = (Instant::now(), std::io::stderr().is_terminal());
    let mut failures = 0;
    let mut next = seeds.start;
    while next < seeds.end {
        let round = next..seeds.end.min(next + ROUND);
        next = round.end;
        for failure in search(round, threads, |seed| part.run(seed)) {
            failures += 1;
            print(&told(part, &failure))?;
        }
        if shows_progress {
            eprint!(
                "\r{}: {} of {} seeds",
                part.name(),
                next - seeds.start,
                seeds.end - seeds.start
            );
        }
    }
    if shows_progress {
        eprintln!();
    }
    let seconds = began.elapsed().as_secs_f64();
    let (name, count) = (part.name(), seeds.end - seeds.start);
    print(&format!(
        "{name}: seeds {} to {}, {failures} with a finding; {count} runs in {seconds:.0} s\n",
        seeds.start,
        seeds.end - 1
    ))?;
    Ok(failures == 0)
}

fn told(part: Part, Failure { seed, finding }: &Failure) -> String {
    let name = part.name();
    format!(
        "{name}, seed {seed}: {finding}\n  again: load simulate --only {name} --from {seed} --seeds 1\n"
    )
}

/// Plants each bug of a part, and prints a line of a table for each.
fn plant(part: Part, threads: usize) -> Result<bool> {
    let mut lines = String::new();
    let mut are_found = true;
    let mut line = |title: &str, found: Option<Failure>| {
        are_found &= found.is_some();
        let (rule, seed) = match &found {
            Some(Failure { seed, finding }) => (
                finding.rule.map_or_else(|| "–".to_owned(), |rule: Rule| rule.to_string()),
                seed.to_string(),
            ),
            None => ("–".to_owned(), "not found".to_owned()),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{rule:<9} {title:<44} {seed:>9}");
    };
    let seeds = 1..1 + PLANTED_SEEDS_MAX;
    match part {
        Part::Journal => {
            for fault in journal::Fault::ALL {
                let run = |seed| journal::run(seed, Some(fault));
                line(fault.title(), first_failure(seeds.clone(), threads, run));
            }
        }
        Part::Cluster => {
            for plant in cluster::Plant::ALL {
                let run = |seed| cluster::run(seed, Some(plant));
                line(plant.title(), first_failure(seeds.clone(), threads, run));
            }
        }
    }
    print(&format!(
        "{:<9} {:<44} {:>9}\n{lines}",
        "invariant",
        format!("bug planted in the {}", part.name()),
        "seeds"
    ))?;
    Ok(are_found)
}
