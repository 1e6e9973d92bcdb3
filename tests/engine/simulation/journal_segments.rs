//! Segments: rolled, prepared, retired by rule 13, and followed.

use super::book::{Book, Content, number_of, read, small};
use super::dice::{Dice, seeds, with_seed};
use super::disk::SimulatedDisk;
use seckill::store::journal::disk::Disk;
use seckill::store::journal::{Position, record, segment_name};

fn content(disk: &SimulatedDisk) -> Content {
    read(disk).expect("readable")
}

#[test]
fn a_sealed_segment_retires_only_when_all_its_records_are_covered() {
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(512));
    for round in 0..9 {
        assert!(book.write(round % 3, 2));
    }
    let seqs = book.seqs.clone();
    let oldest = book.journal.oldest_segment();
    assert_eq!(oldest, 1);
    for (covered, name) in [
        (vec![], "nothing"),
        (vec![0, 0, 0], "zeros"),
        (vec![0, u64::MAX, u64::MAX], "one shard behind"),
    ] {
        assert_eq!(book.journal.retire(&covered).expect("a disk"), 0, "{name}");
        assert_eq!(book.journal.first_segment_beyond(&covered), 1, "{name}");
    }
    // Exactly what the first segment holds.
    let first: Vec<u64> = {
        let mut seqs = vec![0; 3];
        let all = content(&disk);
        for (frame, _) in all.frames.iter().enumerate().filter(|(_, place)| place.segment == 1) {
            for found in &all.records[frame * 2..frame * 2 + 2] {
                seqs[found.shard.index()] = found.seq;
            }
        }
        seqs
    };
    assert_eq!(book.journal.first_segment_beyond(&first), 2);
    assert_eq!(book.journal.retire(&first).expect("a disk"), 1);
    assert_eq!(book.journal.oldest_segment(), 2);
    assert!(!disk.list().expect("names").contains(&segment_name(1)));
    // The segment that is written stays whatever is covered.
    book.journal.retire(&[u64::MAX; 3]).expect("a disk");
    let end = book.journal.durable_end();
    assert_eq!(book.journal.oldest_segment(), end.segment);
    book.journal.close();
    let left = content(&disk);
    assert_eq!(left.seqs, seqs, "the header's marks say what was before");
    let mut book = Book::open(&disk, small(512));
    assert!(book.write(0, 1));
    book.journal.close();
    assert_eq!(content(&disk).seqs, [seqs[0] + 1, seqs[1], seqs[2]]);
}

#[test]
fn retiring_and_crashing_at_any_moment_keeps_numbers_and_owner() {
    for seed in seeds(150) {
        with_seed(seed, |mut dice| {
            let mut disk = SimulatedDisk::default();
            let mut durable = vec![0; 3];
            let mut epoch = 0;
            for _ in 0..6 {
                let mut book = Book::open(&disk, small(512));
                assert!(book.journal.epoch() > epoch, "an owner of its own");
                for _ in 0..dice.below(8) {
                    let effect = book.append(dice.below(3) as u16, 1 + dice.below(4));
                    if dice.once_in(2) {
                        assert!(book.told.wait_for(effect));
                    }
                    if dice.once_in(2) {
                        let covered = book.journal.durable_seqs();
                        book.journal.retire(&covered).expect("a disk");
                    }
                }
                durable = book.journal.durable_seqs();
                epoch = book.journal.durable_epoch();
                let after = disk.crash(&mut dice);
                book.journal.close();
                disk = after;
                let found = content(&disk);
                let kept = found.seqs.iter().zip(&durable).all(|(found, durable)| found >= durable);
                assert!(kept, "{:?} of {durable:?}", found.seqs);
                assert!(found.scan.last.epoch >= epoch);
            }
        });
    }
}

#[test]
fn a_prepared_segment_is_used_after_a_restart() {
    let disk = SimulatedDisk::default();
    for _ in 0..5 {
        let mut book = Book::open(&disk, small(16_384));
        assert!(book.write(0, 1));
        book.journal.close();
    }
    let found = content(&disk);
    assert_eq!((found.scan.segments, found.scan.prepared), (vec![1], vec![2]));
    let mut book = Book::open(&disk, small(512));
    for _ in 0..5 {
        assert!(book.write(0, 3));
    }
    book.journal.close();
    let found = content(&disk);
    assert_eq!(found.scan.segments[..2], [1, 2]);
    assert_eq!(found.records.len(), 20);
}

#[test]
fn a_journal_goes_on_with_another_segment_size() {
    let disk = SimulatedDisk::default();
    let mut records = 0;
    for segment_bytes in [8_192, 512, 16_384, 300, 4_096] {
        let mut book = Book::open(&disk, small(segment_bytes));
        for _ in 0..8 {
            assert!(book.write(2, 3), "segments of {segment_bytes}");
            records += 3;
        }
        book.journal.close();
        assert_eq!(content(&disk).records.len(), records, "segments of {segment_bytes}");
    }
}

#[test]
fn a_tail_follows_across_segments_and_never_past_what_is_durable() {
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(512));
    let mut tail = book.journal.follow(Position { segment: 1, offset: 0 });
    let mut followed = Vec::new();
    let mut end = book.journal.durable_end();
    let mut follow = |end: Position, followed: &mut Vec<u64>| {
        while let Some(mut payload) = tail.next(end).expect("a durable frame") {
            while !payload.is_empty() {
                followed.push(number_of(&record::decode(&mut payload).expect("a record")));
            }
        }
        tail.position()
    };
    let mut written = 0;
    for round in 0..40 {
        written = book.append(round % 3, u64::from(round % 5) + 1);
        assert!(book.told.wait_for(written));
        // With the end of the round before, nothing of this one is seen.
        let place = follow(end, &mut followed);
        assert!(place <= end.max(Position { segment: 1, offset: 0 }), "{place:?} past {end:?}");
        end = book.journal.durable_end();
    }
    follow(end, &mut followed);
    assert_eq!(followed, (1..=written).collect::<Vec<_>>());
    assert!(end.segment > 5);
    // Held back by the disk, the next batch is written and not durable: not to be seen.
    disk.hold_syncs();
    book.append(0, 1);
    disk.wait_until_held();
    follow(book.journal.durable_end(), &mut followed);
    assert_eq!(followed.len() as u64, written);
    disk.release_syncs();
    book.journal.close();
    follow(book.journal.durable_end(), &mut followed);
    assert_eq!(followed.len() as u64, written + 1);
    // From a later place, only what is behind it.
    let mut late = book.journal.follow(Position { segment: end.segment, offset: 0 });
    assert!(late.next(book.journal.durable_end()).expect("readable").is_some());
    let mut dice = Dice::new(3);
    assert_eq!(content(&disk.crash(&mut dice)).records.len() as u64, written + 1);
}
