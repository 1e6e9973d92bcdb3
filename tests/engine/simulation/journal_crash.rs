//! What was released before the power went is on record after it, with random
//! batches and crashes; and the bugs that these drills are there to find, planted.

use super::book::{Book, SHARDS, number_of, read, small};
use super::dice::{Dice, seeds, with_seed};
use super::disk::SimulatedDisk;
use std::collections::HashSet;

/// Lets a journal run into `crashes` crashes one after the other. Says which effect was released and
/// is not on record, if there is one.
fn run(dice: &mut Dice, crashes: u64, plant: fn(&SimulatedDisk)) -> Result<(), String> {
    let mut disk = SimulatedDisk::default();
    let mut seen: HashSet<u64> = HashSet::new();
    for _ in 0..crashes {
        let segment_bytes = [600, 1_024, 4_096, 16_384][dice.below(4) as usize];
        plant(&disk);
        let mut book = Book::open(&disk, small(segment_bytes));
        for _ in 0..dice.below(30) {
            let effect = book.append(dice.below(u64::from(SHARDS)) as u16, 1 + dice.below(20));
            if dice.once_in(3) && !book.told.wait_for(effect) {
                return Err("the journal failed".to_owned());
            }
        }
        let after = disk.crash(dice);
        book.journal.close();
        seen.extend(book.told.effects());
        disk = after;
        let content = read(&disk).map_err(|error| error.to_string())?;
        let on_record: HashSet<u64> = content.records.iter().map(number_of).collect();
        if let Some(lost) = seen.iter().find(|effect| !on_record.contains(effect)) {
            return Err(format!("effect {lost} was released and is not on record"));
        }
    }
    Ok(())
}

#[test]
fn nothing_that_was_let_go_is_lost() {
    for seed in seeds(200) {
        with_seed(seed, |mut dice| {
            let crashes = 1 + dice.below(4);
            assert_eq!(run(&mut dice, crashes, |_| {}), Ok(()));
        });
    }
}

#[test]
fn the_drill_finds_a_journal_that_does_not_sync() {
    let found = seeds(20)
        .into_iter()
        .filter(|seed| run(&mut Dice::new(*seed), 3, SimulatedDisk::skip_data_syncs).is_err());
    assert!(found.count() > 0, "a disk that never syncs data lost no confirmation");
}

#[test]
fn the_drill_finds_a_journal_that_does_not_sync_its_directory() {
    let found = seeds(20)
        .into_iter()
        .filter(|seed| run(&mut Dice::new(*seed), 3, SimulatedDisk::skip_directory_syncs).is_err());
    assert!(found.count() > 0, "a disk that never syncs its directory lost no segment");
}
