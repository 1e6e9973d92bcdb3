//! The rounds: each way to ask in turn, in the closed loop, and then at half of what it can take.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::arguments::ScaleArguments;
use super::entry::Entry;
use super::figures::{Figure, Scale};
use super::shop::Shop;
use crate::drive::{self, Entrances, Record, Work};
use crate::outcome::Outcome;
use crate::scenario::{Generator, LoopKind, People};
use crate::schedule::{Phase, Schedule};
use crate::stage::{Machine, find_binary, own_processor_seconds, until_quiet};
use crate::{Error, Result};

/// Connections open before a measurement's clock starts.
const LEAD: Duration = Duration::from_millis(300);
/// A shop is quiet when it uses less than this share of a processor.
const QUIET_PROCESSORS: f64 = 0.1;
/// The open loop runs at this share of what the closed one has found.
const OPEN_LOOP_SHARE: f64 = 0.5;

/// The two shops.
struct Shops {
    single: Shop,
    several: Shop,
}

/// How requests come.
struct Load {
    kind: LoopKind,
    /// Requests a second in all, in the open loop.
    rate: f64,
}

/// Measures and prints; false if a purchase was not granted that should have been, or an audit finds something.
///
/// # Errors
/// Returns what kept it from being measured.
pub async fn scale(arguments: ScaleArguments) -> Result<bool> {
    let mut scale = Scale::new(Machine::here(), &arguments);
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid");
    bar.set_style(style);
    let say = |words: String| {
        bar.set_message(words);
        bar.tick();
    };
    say("starting two shops".to_owned());
    let scratch = tempfile::Builder::new()
        .prefix("seckill-scale-")
        .tempdir()
        .map_err(Error::io("making a temporary directory"))?;
    let mut shops = Shops::start(scratch.path(), &arguments).await?;
    for round in 1..=arguments.rounds {
        let mut entries = Entry::ALL;
        // None always comes behind the same.
        entries.rotate_left(round as usize % Entry::ALL.len());
        for entry in entries {
            say(format!("round {round}: buyers ask {}", entry.text()));
            let load = Load { kind: LoopKind::Closed, rate: 1.0 };
            scale.closed(entry, shops.measure(entry, &load, &arguments).await?);
        }
    }
    for round in 1..=arguments.rounds {
        for entry in Entry::ALL {
            let Some(capacity) = scale.median_rate(entry) else { continue };
            say(format!("at half load, round {round}: buyers ask {}", entry.text()));
            let load = Load { kind: LoopKind::Open, rate: capacity * OPEN_LOOP_SHARE };
            scale.open(entry, shops.measure(entry, &load, &arguments).await?);
        }
    }
    say("the audits".to_owned());
    scale.are_whole = shops.single.audit().await? & shops.several.audit().await?;
    bar.finish_and_clear();
    crate::output::print(&scale.render())?;
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&scale).expect("figures have a JSON form");
        std::fs::write(path, text).map_err(Error::io(format!("writing {}", path.display())))?;
    }
    Ok(scale.is_valid())
}

impl Shops {
    async fn start(home: &Path, arguments: &ScaleArguments) -> Result<Self> {
        let binary = find_binary(arguments.server_bin.as_deref()).await?;
        let parts = arguments.nodes;
        let homes = (home.join("single"), home.join("several"));
        let single = Shop::start((&binary, &homes.0), (1, parts), arguments).await?;
        let several = Shop::start((&binary, &homes.1), (arguments.nodes, parts), arguments).await?;
        Ok(Self { single, several })
    }

    /// Waits until neither has anything left to do.
    async fn settle(&self) {
        let used = || self.single.processor_seconds().0 + self.several.processor_seconds().0;
        until_quiet(used, QUIET_PROCESSORS).await;
    }

    async fn measure(
        &mut self,
        entry: Entry,
        load: &Load,
        arguments: &ScaleArguments,
    ) -> Result<Figure> {
        self.settle().await;
        let shop = if entry == Entry::Single { &mut self.single } else { &mut self.several };
        let shares = shop.new_sale(arguments).await?;
        let errands = entry.errands(&shares, shop.crowds().len());
        let run = jiff::Timestamp::now().as_millisecond().cast_unsigned();
        let mut works = Vec::with_capacity(errands.len());
        let share = load.rate / errands.len() as f64;
        let phase = Phase::Constant { rate: share, seconds: arguments.seconds.into() };
        for ((crowd, errand), part) in shop.crowds().iter_mut().zip(errands).zip(0..) {
            let host = errand.address.to_string();
            let turned = Arc::get_mut(crowd).expect("no generator is running");
            turned.turn_to(&errand.items, &host, run + part)?;
            let generator = Generator {
                kind: load.kind,
                connections: arguments.connections,
                drain_ms_max: 5_000,
                ..Generator::default()
            };
            works.push(Work {
                entrances: Entrances::at(vec![errand.address]),
                deciders: None,
                crowd: Arc::clone(crowd),
                people: People::who_buy(crowd.users()),
                generator,
                schedule: Schedule::new(std::slice::from_ref(&phase)).map_err(Error::Server)?,
                seed: part,
                distinct_only: true,
                payment_window: Duration::from_secs(600),
                threads: 1,
            });
        }
        let (before, own_before) = (shop.processor_seconds(), own_processor_seconds());
        let record = drive_all(works).await?;
        let (after, own) = (shop.processor_seconds(), own_processor_seconds() - own_before);
        let seconds = f64::from(arguments.seconds);
        let granted = record.count(Outcome::Reserved);
        Ok(Figure {
            rate: granted as f64 / (record.last_answer_ns as f64 / 1e9).max(1e-9),
            granted_share: granted as f64 / record.outcomes.iter().sum::<u64>().max(1) as f64,
            node_us: (after.0 - before.0) * 1e6 / granted.max(1) as f64,
            behind_processors: (after.1 - before.1) / seconds,
            generator_processors: own / seconds,
            p50_ms: record.latency.value_at_quantile(0.5) as f64 / 1e3,
            p99_ms: record.latency.value_at_quantile(0.99) as f64 / 1e3,
        })
    }
}

/// All generators at once, to the end of the last.
async fn drive_all(works: Vec<Work>) -> Result<Record> {
    let began = Instant::now() + LEAD;
    let running = works.into_iter().map(|work| drive::start(work, began));
    let running = running.collect::<Result<Vec<_>>>()?;
    let finish = move || {
        let mut whole = Record::default();
        for running in running {
            whole.merge(running.finish()?);
        }
        Ok(whole)
    };
    let finished = tokio::task::spawn_blocking(finish).await;
    finished.map_err(|error| Error::Server(format!("the generator failed: {error}")))?
}
