//! What was released before the power went is on record after it, with random batches and crashes.

use super::book::{Book, SHARDS, number_of, read, small};
use crate::disk::SimulatedDisk;
use crate::finding::Finding;
use domain::invariants::Invariant;
use harness::Random;
use std::collections::HashSet;

/// A lie of the disk, which stands for a journal that leaves a sync out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Data is said to be synced and is not.
    SkipsDataSyncs,
    /// Names are said to be synced and are not.
    SkipsDirectorySyncs,
}

impl Fault {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::SkipsDataSyncs, Self::SkipsDirectorySyncs];

    /// What it is, in words.
    pub fn title(self) -> &'static str {
        match self {
            Self::SkipsDataSyncs => "the journal's data is not synced",
            Self::SkipsDirectorySyncs => "the journal's directory is not synced",
        }
    }

    fn plant(self, disk: &SimulatedDisk) {
        match self {
            Self::SkipsDataSyncs => disk.skip_data_syncs(),
            Self::SkipsDirectorySyncs => disk.skip_directory_syncs(),
        }
    }
}

/// Lets a journal run into one to four crashes, one after the other, on a disk with this fault.
///
/// # Errors
/// Returns what was released and is not on record (I3), or what cannot be read.
pub fn run(seed: u64, fault: Option<Fault>) -> Result<(), Finding> {
    let mut dice = Random::new(seed);
    let crashes = 1 + dice.below(4);
    let mut disk = SimulatedDisk::default();
    let mut seen: HashSet<u64> = HashSet::new();
    for _ in 0..crashes {
        let segment_bytes = [600, 1_024, 4_096, 16_384][dice.below(4) as usize];
        if let Some(fault) = fault {
            fault.plant(&disk);
        }
        let mut book = Book::open(&disk, small(segment_bytes));
        for _ in 0..dice.below(30) {
            let effect = book.append(dice.below(u64::from(SHARDS)) as u16, 1 + dice.below(20));
            if dice.once_in(3) && !book.told.wait_for(effect) {
                return Err(Finding { rule: None, text: "the journal failed".to_owned() });
            }
        }
        let after = disk.crash(&mut dice);
        book.journal.close();
        seen.extend(book.told.effects());
        disk = after;
        let content = read(&disk).map_err(|error| Finding::of(Invariant::I5, error.to_string()))?;
        let on_record: HashSet<u64> = content.records.iter().map(number_of).collect();
        if let Some(lost) = seen.iter().find(|effect| !on_record.contains(effect)) {
            let text = format!("effect {lost} was released and is not on record");
            return Err(Finding::of(Invariant::I3, text));
        }
    }
    Ok(())
}
