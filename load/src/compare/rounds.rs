//! The rounds of a comparison: each contender in turn, measured and noted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::arguments::{CompareArguments, Name};
use super::beside::Found;
use super::contender::{Contender, Stage};
use super::figures::{Comparison, Figure};
use super::{grpc, table};
use crate::drive::{self, Crowd, Entrances, Record, Work};
use crate::inprocess;
use crate::scenario::{Generator, LoopKind, People};
use crate::schedule::{Phase, Schedule};
use crate::stage::{Machine, own_processor_seconds};
use crate::{Error, Result};

/// Connections open and the sale is live before a round's clock starts.
const LEAD: Duration = Duration::from_millis(300);
/// The open loop runs at this share of the engine's closed-loop capacity.
const OPEN_LOOP_SHARE: f64 = 0.5;

/// Measures and prints; false if a contender answered other than it should.
///
/// # Errors
/// Returns what kept a contender that is installed from running.
pub async fn compare(arguments: CompareArguments) -> Result<bool> {
    if !(0.1..=600.0).contains(&arguments.seconds) {
        return Err(Error::Server("--seconds must be 0.1 to 600".to_owned()));
    }
    let is_rate = |rate: f64| (1.0..=1_000_000.0).contains(&rate);
    if !is_rate(arguments.views) || !arguments.open_rate.is_none_or(is_rate) {
        return Err(Error::Server("--open-rate and --views must be 1 to 1000000".to_owned()));
    }
    let machine = Machine::here();
    let names: Vec<Name> = Name::value_variants()
        .iter()
        .copied()
        .filter(|name| match name {
            Name::Floor => true,
            Name::EngineAgainst => arguments.against.is_some(),
            name => arguments.only.is_empty() || arguments.only.contains(name),
        })
        .collect();
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid");
    bar.set_style(style);
    bar.set_message("starting contenders");
    let (stage, mut contenders, minted) = Stage::set(&arguments, &names).await?;
    let mut crowd = Arc::new(Crowd::new(&minted, &["1".to_owned()], "localhost", 0)?);
    drop(minted);

    let of = |connections: &u32| {
        Comparison::new(machine.clone(), &arguments, *connections, stage.missing().to_vec())
    };
    let mut comparisons: Vec<Comparison> = arguments.connections.iter().map(of).collect();
    closed_loop(&mut comparisons, &mut contenders, &mut crowd, &arguments, &bar).await?;
    if !arguments.closed_only {
        for comparison in &mut comparisons {
            open_loop(comparison, &mut contenders, &mut crowd, &arguments, &bar).await?;
        }
    }
    for contender in &contenders {
        if !contender.audit().await?
            && let Some(first) = comparisons.first_mut()
        {
            first.note_broken(contender.name);
        }
    }
    drop(contenders);
    drop(stage);
    if names.contains(&Name::InProcess)
        && let Some(last) = comparisons.last_mut()
    {
        bar.set_message("the engine in the process");
        bar.tick();
        in_process(last, &arguments).await?;
    }
    bar.finish_and_clear();
    crate::output::print(&table::render(&comparisons))?;
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&comparisons).expect("figures have a JSON form");
        std::fs::write(path, text).map_err(Error::io(format!("writing {}", path.display())))?;
    }
    Ok(comparisons.iter().all(Comparison::is_valid))
}

/// Each contender in each round, with each number of connections, as fast as it answers.
async fn closed_loop(
    comparisons: &mut [Comparison],
    contenders: &mut [Contender],
    crowd: &mut Arc<Crowd>,
    arguments: &CompareArguments,
    bar: &ProgressBar,
) -> Result<()> {
    for round in 1..=arguments.rounds {
        // Each round begins with another contender, so that none always follows the same.
        let first = round as usize % contenders.len();
        contenders.rotate_left(first);
        for comparison in &mut *comparisons {
            for contender in &mut *contenders {
                bar.set_message(format!("round {round}: {}", contender.name.text()));
                bar.tick();
                let load = Load {
                    kind: LoopKind::Closed,
                    connections: comparison.connections,
                    phase: Phase::Constant { rate: 1.0, seconds: arguments.seconds },
                };
                let figure = measure(contender, crowd, arguments, load).await?;
                comparison.closed(contender.name, round, figure);
            }
        }
    }
    Ok(())
}

/// The floor and the engine, with what may go on beside it, at a given rate or half the engine's capacity.
async fn open_loop(
    comparison: &mut Comparison,
    contenders: &mut [Contender],
    crowd: &mut Arc<Crowd>,
    arguments: &CompareArguments,
    bar: &ProgressBar,
) -> Result<()> {
    let half = comparison.median_rate(Name::Engine).map(|capacity| capacity * OPEN_LOOP_SHARE);
    let Some(rate) = arguments.open_rate.or(half) else { return Ok(()) };
    let rate = rate.floor().max(1.0);
    for round in 1..=arguments.rounds {
        for contender in &mut *contenders {
            if !contender.name.has_open_loop() {
                continue;
            }
            bar.set_message(format!("open loop {round}: {}", contender.name.text()));
            bar.tick();
            let load = Load {
                kind: LoopKind::Open,
                connections: comparison.connections,
                phase: Phase::Constant { rate, seconds: arguments.seconds },
            };
            let figure = measure(contender, crowd, arguments, load).await?;
            comparison.open(contender.name, round, rate, figure);
        }
    }
    Ok(())
}

/// The engine's actors and journal without HTTP.
async fn in_process(comparison: &mut Comparison, arguments: &CompareArguments) -> Result<()> {
    let (rounds, duration) = (arguments.rounds, Duration::from_secs_f64(arguments.seconds));
    // It has a runtime of its own, with as many workers as the engine's program.
    let measured = tokio::task::spawn_blocking(move || inprocess::measure_engine(rounds, duration))
        .await
        .map_err(|error| Error::Server(format!("measuring in the process: {error}")))??;
    match measured {
        Some(rows) => comparison.in_process(rows),
        None => comparison
            .missing
            .push("in-process (this program was built without the feature in-process)".to_owned()),
    }
    Ok(())
}

/// How requests come to a contender.
struct Load {
    kind: LoopKind,
    connections: u32,
    phase: Phase,
}

async fn measure(
    contender: &mut Contender,
    crowd: &mut Arc<Crowd>,
    arguments: &CompareArguments,
    Load { kind, connections, phase }: Load,
) -> Result<Figure> {
    contender.settle().await;
    let items = contender.new_sale(arguments, crowd).await?;
    let run = jiff::Timestamp::now().as_millisecond().cast_unsigned();
    let host = contender.address.to_string();
    Arc::get_mut(crowd).expect("no generator is running").turn_to(&items, &host, run)?;
    if contender.name == Name::EngineSoldOut {
        contender.buy_the_last_unit(crowd).await?;
    }
    let work = Work {
        entrances: Entrances::at(vec![contender.address]),
        deciders: None,
        crowd: Arc::clone(crowd),
        people: People::who_buy(crowd.users()),
        generator: Generator { kind, connections, drain_ms_max: 5_000, ..Generator::default() },
        schedule: Schedule::new(&[phase]).map_err(Error::Server)?,
        seed: 1,
        distinct_only: true,
        payment_window: Duration::from_secs(600),
        threads: arguments.threads.min(connections),
    };
    let began = Instant::now() + LEAD;
    contender.begin(crowd, began).await?;
    let before = contender.processor_seconds();
    let myself = own_processor_seconds();
    let record = if contender.name == Name::EngineGrpc {
        let lasts = work.schedule.duration();
        grpc::buy(contender.address, crowd, connections, began, lasts).await?
    } else {
        let running = drive::start(work, began)?;
        tokio::task::spawn_blocking(move || running.finish())
            .await
            .map_err(|error| Error::Server(format!("the generator failed: {error}")))??
    };
    let seconds = record.last_answer_ns as f64 / 1e9;
    let (used, by_generator) =
        (contender.processor_seconds() - before, own_processor_seconds() - myself);
    let ended = began + Duration::from_nanos(record.last_answer_ns);
    let Found { told, views } =
        contender.end(record.count(contender.name.expects()), (began, ended)).await?;
    let figure = figure(&record, contender.name);
    Ok(Figure {
        server_us: used * 1e6 / figure.requests.max(1) as f64,
        generator_processors: by_generator / seconds.max(1e-9),
        told,
        views,
        ..figure
    })
}

fn figure(record: &Record, name: Name) -> Figure {
    let seconds = record.last_answer_ns as f64 / 1e9;
    let ended: u64 = record.outcomes.iter().sum();
    let ms = |quantile| record.latency.value_at_quantile(quantile) as f64 / 1e3;
    Figure {
        requests: ended,
        rate: record.answered() as f64 / seconds.max(1e-9),
        as_expected: record.count(name.expects()) as f64 / ended.max(1) as f64,
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        p999_ms: ms(0.999),
        max_ms: record.latency.max() as f64 / 1e3,
        lateness_p99_ms: record.lateness.value_at_quantile(0.99) as f64 / 1e3,
        server_us: 0.0,
        generator_processors: 0.0,
        told: BTreeMap::new(),
        views: None,
    }
}
