//! A sync that fails, a disk that is full, a sync that
//! does not come back.

use super::dice::Dice;
use domain::ShardId;
use futures_util::FutureExt;
use seckill::store::journal::file::{FileLog, Options, SEGMENT_BYTES_MIN, segment_name};
use seckill::store::journal::{Journal, OpenedLog, Trouble};
use simulation::disk::SimulatedDisk;
use simulation::journal::book::{Book, block_on, end, read, small};

#[test]
fn after_a_failed_sync_nothing_is_let_go_any_more() {
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(1 << 16));
    assert!(book.write(0, 1));
    // The next segment is ready, so the next sync is a batch's.
    wait_until(|| disk.has(&segment_name(2)));
    disk.fail_sync(1);
    assert!(!book.write(0, 1), "released although its sync failed");
    assert_eq!(book.told.failures().len(), 1);
    assert!(book.journal.has_failed());
    assert_eq!(book.journal.trouble(), Some(Trouble::Failed));
    // The disk works again, but what it holds is unknown.
    let durable = book.journal.durable_seq(ShardId(0));
    for _ in 0..10 {
        book.append(0, 1);
    }
    book.journal.close();
    assert_eq!(book.told.effects(), [1]);
    assert_eq!(book.told.failures().len(), 1, "told once");
    assert_eq!(book.journal.durable_seq(ShardId(0)), durable);
    // A restart takes up what is there.
    let mut book = Book::open(&disk.crash(&mut Dice::new(1)), small(1 << 16));
    assert!(book.write(0, 1));
    book.journal.close();
}

#[test]
fn a_full_disk_is_told_before_the_segment_is_full() {
    let disk = SimulatedDisk::default();
    let segment_bytes = SEGMENT_BYTES_MIN + (1 << 21);
    let options = Options { segment_bytes, ..small(segment_bytes) };
    disk.set_capacity(Some(segment_bytes + 1_000));
    let mut book = Book::open(&disk, options);
    assert!(book.write(0, 1));
    wait_until(|| book.journal.trouble().is_some());
    assert!(matches!(book.journal.trouble(), Some(Trouble::NearlyFull(_))));
    assert!(book.journal.has_room(), "this segment still has room");
    while book.journal.has_room() {
        assert!(book.write(0, 2_000), "what was admitted is written");
    }
    assert!(matches!(book.journal.trouble(), Some(Trouble::Full(_))));
    let end_of_first = end(&disk);
    assert_eq!(end_of_first.segment, 1);
    let room = segment_bytes - end_of_first.offset;
    assert!(room > SEGMENT_BYTES_MIN / 2, "only {room} bytes left for what is under way");
    // What was admitted before is still written, up to the segment's end.
    for _ in 0..10 {
        assert!(book.write(1, 2_000));
    }
    assert!(!book.journal.has_room());
    assert_eq!(book.told.failures(), Vec::<String>::new());
    // A restart on the full disk works, and so does one after a crash.
    book.journal.close();
    let crashed = disk.crash(&mut Dice::new(7));
    crashed.set_capacity(Some(segment_bytes + 1_000));
    let mut book = Book::open(&crashed, options);
    assert!(book.write(2, 1));
    wait_until(|| !book.journal.has_room());
    crashed.set_capacity(None);
    wait_until(|| book.journal.has_room());
    assert_eq!(book.journal.trouble(), None);
    let before = end(&crashed).segment;
    while end(&crashed).segment == before {
        assert!(book.write(2, 10_000));
    }
    let seqs = book.seqs.clone();
    book.journal.close();
    assert_eq!(read(&crashed).expect("readable").seqs, seqs);
}

#[test]
fn a_held_sync_lets_nothing_go_and_can_be_looked_through() {
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(1 << 16));
    assert!(book.write(0, 1));
    disk.hold_syncs();
    let held = book.append(0, 1);
    disk.wait_until_held();
    let waiting = book.append(1, 1);
    let mut visited = Vec::new();
    wait_until(|| {
        visited.clear();
        book.journal.visit_waiting(|effect| visited.push(*effect));
        visited.len() == 2
    });
    assert_eq!(visited, [held, waiting]);
    assert_eq!(book.told.effects(), [1]);
    assert_eq!(book.journal.durable_seqs(), [1, 0, 0]);
    disk.release_syncs();
    assert!(book.told.wait_for(waiting));
    assert_eq!(book.told.effects(), [1, held, waiting]);
    book.journal.close();
}

#[test]
fn a_shard_is_shut_only_when_all_of_it_is_released() {
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(1 << 16));
    assert!(book.write(0, 1));
    // The next segment is ready, so the next sync is a batch's.
    wait_until(|| disk.has(&segment_name(2)));
    disk.hold_syncs();
    let held = book.append(0, 1);
    disk.wait_until_held();
    let mut shut = std::pin::pin!(book.journal.shut(ShardId(0)));
    assert_eq!(shut.as_mut().now_or_never(), None);
    assert_eq!(book.told.effects(), [1]);
    disk.release_syncs();
    block_on(shut);
    assert_eq!(book.told.effects(), [1, held]);
    // One that fails lets nobody wait for ever.
    assert!(book.write(1, 1));
    disk.fail_sync(1);
    let lost = book.append(1, 1);
    assert!(!book.told.wait_for(lost));
    block_on(book.journal.shut(ShardId(1)));
    book.journal.close();
}

#[test]
fn a_first_segment_that_finds_no_room_is_an_error_of_the_start() {
    let disk = SimulatedDisk::default();
    disk.set_capacity(Some(1_000));
    let opened = FileLog::open(std::sync::Arc::new(disk), small(1 << 16));
    let replayed = opened.replay(&[0], |_| Ok(())).expect("an empty disk");
    let started = Journal::<u64>::start(replayed, |_| {}, |_| {});
    assert!(started.is_err());
}

/// Looks until it is so, letting others work between two looks: for what does not announce itself.
pub fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}
