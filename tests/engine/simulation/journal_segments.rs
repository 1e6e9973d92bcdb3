//! Segments: rolled, prepared, retired once they are covered (I13), and followed.

use super::dice::{Dice, seeds, with_seed};
use domain::ShardId;
use futures_util::FutureExt;
use seckill::store::journal::Follower;
use seckill::store::journal::file::disk::Disk;
use seckill::store::journal::file::{SEGMENT_BYTES_MIN, segment_name};
use simulation::disk::SimulatedDisk;
use simulation::journal::book::{Book, Content, end, number_of, read, small};

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
    let segments = || content(&disk).scan.segments;
    assert_eq!(segments()[0], 1);
    for (covered, name) in [
        (vec![], "nothing"),
        (vec![0, 0, 0], "zeros"),
        (vec![0, u64::MAX, u64::MAX], "one shard behind"),
    ] {
        assert_eq!(book.journal.retire(&covered).expect("a disk"), 0, "{name}");
        assert!(!book.journal.can_retire(&covered), "{name}");
        assert_eq!(segments()[0], 1, "{name}");
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
    assert!(book.journal.can_retire(&first));
    assert_eq!(book.journal.retire(&first).expect("a disk"), 1);
    assert!(!book.journal.can_retire(&first));
    assert_eq!(segments()[0], 2);
    let base: Vec<u64> = (0..3).map(|shard| book.journal.base_seq(ShardId(shard))).collect();
    assert_eq!(base, first);
    assert!(!disk.list().expect("names").contains(&segment_name(1)));
    // The segment that is written stays whatever is covered.
    book.journal.retire(&[u64::MAX; 3]).expect("a disk");
    assert_eq!(segments(), [end(&disk).segment]);
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
                epoch = book.journal.durable_epoch(ShardId(0));
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
fn a_spare_that_goes_is_made_anew_when_the_present_segment_is_full() {
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(512));
    let mut written = 0;
    while end(&disk).segment < 6 {
        let spare = segment_name(end(&disk).segment.max(1) + 1);
        if disk.has(&spare) {
            disk.remove(&spare).expect("it is there");
        }
        assert!(book.write(0, 1), "after {written} records");
        written += 1;
    }
    book.journal.close();
    assert_eq!(content(&disk).records.len(), written);
}

#[test]
fn a_spare_behind_a_gap_is_no_reason_to_refuse_unless_the_gap_may_have_held_records() {
    // In segments with room for any batch, what is behind an unfinished one was never written.
    let segment_bytes = SEGMENT_BYTES_MIN + 4_096;
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(segment_bytes));
    assert!(book.write(0, 1));
    book.journal.close();
    let spare = vec![0; segment_bytes as usize];
    let _ = disk.remove(&segment_name(2));
    disk.set_bytes(&segment_name(3), spare.clone());
    let found = content(&disk);
    assert_eq!((found.scan.segments, found.scan.prepared), (vec![1], vec![]));
    let mut book = Book::open(&disk, small(segment_bytes));
    assert!(book.write(0, 1));
    book.journal.close();
    assert_eq!(content(&disk).records.len(), 2);
    // Where a batch may have found no room, the gap may have held it.
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(512));
    for _ in 0..12 {
        assert!(book.write(1, 2));
    }
    book.journal.close();
    let last = *content(&disk).scan.segments.last().expect("segments");
    disk.remove(&segment_name(last)).expect("it is there");
    disk.set_bytes(&segment_name(last + 1), vec![0; 512]);
    assert!(read(&disk).is_err(), "accepted without segment {last}");
}

/// The numbers of all records that the follower gives out now.
fn follow(follower: &mut Follower) -> Vec<u64> {
    let mut records = Vec::new();
    let mut more = || {
        let next = follower.next(&mut records).now_or_never();
        next.expect("a file journal does not wait").expect("a durable frame")
    };
    while more() {}
    records.iter().map(number_of).collect()
}

#[test]
fn a_follower_crosses_segments_and_never_gives_out_what_is_not_durable() {
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(512));
    let mut follower = book.journal.follow(&[0; 3]);
    let mut written = 0;
    let mut late = Vec::new();
    for round in 0..40 {
        let before = written;
        written = book.append(round % 3, u64::from(round % 5) + 1);
        assert!(book.told.wait_for(written));
        assert_eq!(follow(&mut follower), (before + 1..=written).collect::<Vec<_>>());
        late.push((book.journal.durable_seqs(), written));
    }
    assert_eq!(follower.seqs(), book.seqs);
    assert!(end(&disk).segment > 5);
    // Held back by the disk, the next batch is written and not durable: not to be seen.
    disk.hold_syncs();
    book.append(0, 1);
    disk.wait_until_held();
    assert_eq!(follow(&mut follower), [0; 0]);
    disk.release_syncs();
    book.journal.close();
    assert_eq!(follow(&mut follower), [written + 1]);
    // From later sequence numbers, only what is behind them, whichever segment they lie in.
    for (seqs, last) in late {
        let mut late = book.journal.follow(&seqs);
        assert_eq!(follow(&mut late), (last + 1..=written + 1).collect::<Vec<_>>(), "{seqs:?}");
    }
    let mut dice = Dice::new(3);
    assert_eq!(content(&disk.crash(&mut dice)).records.len() as u64, written + 1);
}
