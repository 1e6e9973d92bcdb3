//! What was released before the power went is on record after it; and the bugs that these drills are there to
//! find, planted.

use simulation::journal::{self, Fault};
use simulation::{first_failure, search, seed_given};

#[test]
fn nothing_that_was_let_go_is_lost() {
    let seeds = seed_given().map_or(1..201, |seed| seed..seed + 1);
    let failures = search(seeds, 2, |seed| journal::run(seed, None));
    assert!(failures.is_empty(), "run again with SECKILL_SEED=seed: {failures:?}");
}

#[test]
fn a_journal_that_leaves_a_sync_out_is_found() {
    for fault in Fault::ALL {
        let found = first_failure(1..21, 2, |seed| journal::run(seed, Some(fault)));
        assert!(found.is_some(), "{}: nothing was lost", fault.title());
    }
}
