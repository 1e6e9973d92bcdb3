//! The cluster's simulation: no seed has a finding, whatever happens in it, and every bug that is planted
//! is found.

use domain::invariants::{Invariant, Rule};
use simulation::cluster::{self, Plant, Seen};
use simulation::{Failure, first_failure, search, seed_given};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// How many seeds a run of the tests tries; `SECKILL_SCHEDULES` may say another number.
const SEEDS: u64 = 300;
/// Within how many seeds each planted bug has to be found.
const PLANT_SEEDS_MAX: u64 = 10_000;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The findings in words, with what runs each again.
fn told(failures: &[Failure]) -> String {
    let line = |Failure { seed, finding }: &Failure| {
        format!(
            "{finding}\n  SECKILL_SEED={seed} cargo test -p tests --test engine no_seed_breaks\n"
        )
    };
    failures.iter().map(line).collect()
}

#[test]
fn no_seed_breaks_a_promise_of_the_cluster() {
    let count = std::env::var("SECKILL_SCHEDULES").ok();
    let count = count.map_or(SEEDS, |text| text.parse().expect("SECKILL_SCHEDULES is a number"));
    let seeds = seed_given().map_or(1..1 + count, |seed| seed..seed + 1);
    let is_whole = seeds.end - seeds.start >= SEEDS;
    let all = Mutex::new(Seen::default());
    let failures = search(seeds, threads(), |seed| {
        let seen = cluster::run(seed, None)?;
        all.lock().expect("no panic here").add(&seen);
        Ok(())
    });
    assert!(failures.is_empty(), "seeds with a finding:\n{}", told(&failures));
    let all = all.into_inner().expect("no panic here");
    for what in Seen::ALL {
        println!("{:>9} {what}", all.times(what));
        assert!(!is_whole || all.times(what) > 0, "it never happens: {what}");
    }
}

#[test]
fn every_planted_bug_is_found_and_each_invariant_by_one() {
    let mut broken = BTreeSet::new();
    println!("{:<9} {:<36} {:>5}  and what was seen", "invariant", "planted bug", "seeds");
    for plant in Plant::ALL {
        let found = first_failure(1..1 + PLANT_SEEDS_MAX, threads(), |seed| {
            cluster::run(seed, Some(plant))
        });
        let title = plant.title();
        let Failure { seed, finding } =
            found.unwrap_or_else(|| panic!("{title}: not found in {PLANT_SEEDS_MAX} seeds"));
        let is_expected = finding.rule.is_some_and(|rule| plant.breaks().contains(&rule));
        assert!(is_expected, "{title}: {finding}");
        broken.extend(finding.rule);
        let rule = finding.rule.map_or_else(String::new, |rule| rule.to_string());
        let text: String = finding.text.chars().take(80).collect();
        println!("{rule:<9} {title:<36} {seed:>5}  {text}");
    }
    for invariant in Invariant::ALL {
        assert!(broken.contains(&Rule::from(invariant)), "nothing was found by {invariant}");
    }
}

#[test]
fn a_run_is_what_its_seed_says() {
    for seed in 1..6 {
        assert_eq!(cluster::run(seed, None), cluster::run(seed, None), "seed {seed}");
    }
}
