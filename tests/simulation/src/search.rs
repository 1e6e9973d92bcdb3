//! Runs many seeds on several threads and returns those with a finding.

use crate::finding::Finding;
use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A seed with what its run has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The number to run it again with.
    pub seed: u64,
    /// What was found.
    pub finding: Finding,
}

/// The seed in `SECKILL_SEED`, if one is to be run again.
///
/// # Panics
/// If it is no number.
pub fn seed_given() -> Option<u64> {
    let text = std::env::var("SECKILL_SEED").ok()?;
    Some(text.parse().expect("SECKILL_SEED is a number"))
}

/// Runs every seed on `threads` threads. Returns those with a finding, in their order.
pub fn search<S>(
    seeds: Range<u64>,
    threads: usize,
    run: impl Fn(u64) -> Result<S, Finding> + Sync,
) -> Vec<Failure> {
    run_all(seeds, threads, false, run)
}

/// Runs seeds in their order until one has a finding. Returns the smallest seed that has, however many
/// threads ran.
pub fn first_failure<S>(
    seeds: Range<u64>,
    threads: usize,
    run: impl Fn(u64) -> Result<S, Finding> + Sync,
) -> Option<Failure> {
    run_all(seeds, threads, true, run).into_iter().next()
}

fn run_all<S>(
    seeds: Range<u64>,
    threads: usize,
    stops_at_first: bool,
    run: impl Fn(u64) -> Result<S, Finding> + Sync,
) -> Vec<Failure> {
    let (next, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let failures = Mutex::new(Vec::new());
    let work = || {
        while !is_over.load(Ordering::Acquire) {
            // Every seed below one that was taken is taken, and is run to its end.
            let seed = next.fetch_add(1, Ordering::AcqRel);
            if seed >= seeds.end {
                break;
            }
            let ran = catch_unwind(AssertUnwindSafe(|| run(seed)));
            let ran = ran.unwrap_or_else(|panic| {
                Err(Finding { rule: None, text: words_of(panic.as_ref()) })
            });
            if let Err(finding) = ran {
                failures.lock().expect("no panic here").push(Failure { seed, finding });
                is_over.fetch_or(stops_at_first, Ordering::AcqRel);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let mut failures = failures.into_inner().expect("no panic here");
    failures.sort_by_key(|failure: &Failure| failure.seed);
    failures
}

/// What a panic said.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
