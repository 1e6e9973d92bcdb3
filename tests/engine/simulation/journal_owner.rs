//! A journal has one writer: another one's traces stop it before it writes (I15). What it has written is
//! read again, and damage is told while it runs.

use domain::ShardId;
use futures_util::FutureExt;
use seckill::store::journal::file::disk::{Disk, RealDisk};
use seckill::store::journal::file::{FileLog, ReadError, segment_name};
use seckill::store::journal::{OpenedLog, Trouble};
use simulation::disk::SimulatedDisk;
use simulation::journal::book::{Book, read, small};
use std::sync::Arc;

const SEGMENT_BYTES: u64 = 4_096;

/// A journal with a few batches, and the end of the last one.
fn written(disk: &SimulatedDisk) -> (Book, usize) {
    let mut book = Book::open(disk, small(SEGMENT_BYTES));
    for _ in 0..3 {
        assert!(book.write(0, 1));
    }
    let end = read(disk).expect("readable").scan.end;
    assert_eq!(end.segment, 1);
    (book, end.offset as usize)
}

/// The next batch is not confirmed, for this reason.
fn must_stop(mut book: Book, why: &str) {
    let durable = book.journal.durable_seq(ShardId(0));
    assert!(!book.write(0, 1), "confirmed although {why}");
    let failures = book.told.failures();
    assert!(failures[0].contains("not this process's any more"), "{failures:?}");
    assert!(failures[0].contains(why), "{why} is not in {failures:?}");
    assert_eq!(book.journal.durable_seq(ShardId(0)), durable);
    book.journal.close();
}

#[test]
fn a_frame_that_another_writer_has_left_stops_the_journal() {
    let disk = SimulatedDisk::default();
    let (book, end) = written(&disk);
    // Another process goes on where this one is.
    let mut other = Book::open(&disk.copy(), small(SEGMENT_BYTES));
    assert!(other.write(1, 1));
    other.journal.close();
    let file = disk.open(&segment_name(1)).expect("a segment");
    file.write_at(end as u64, &[0x53]).expect("written");
    let found = disk.bytes(&segment_name(1));
    must_stop(book, &format!("another process has written at byte {end}"));
    assert_eq!(disk.bytes(&segment_name(1)), found, "nothing was written over it");
}

#[test]
fn an_older_copy_put_back_beneath_it_stops_the_journal() {
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(SEGMENT_BYTES));
    assert!(book.write(0, 1));
    let older = disk.bytes(&segment_name(1));
    assert!(book.write(0, 1));
    disk.open(&segment_name(1)).expect("a segment").write_at(0, &older).expect("written");
    must_stop(book, "frame 2 is not before byte");
}

#[test]
fn a_segment_that_is_another_file_or_gone_stops_the_journal() {
    let disk = SimulatedDisk::default();
    let (book, _) = written(&disk);
    let bytes = disk.bytes(&segment_name(1));
    disk.remove(&segment_name(1)).expect("removed");
    disk.create(&segment_name(1)).expect("created").write_at(0, &bytes).expect("written");
    must_stop(book, "it was replaced by another file");

    let disk = SimulatedDisk::default();
    let (book, _) = written(&disk);
    disk.rename(&segment_name(1), "elsewhere").expect("renamed");
    must_stop(book, "it is not in its directory any more");
}

#[test]
fn a_journal_that_is_written_is_not_opened_by_another_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = || {
        let disk = RealDisk::open(directory.path()).expect("a disk");
        FileLog::open(Arc::new(disk), small(2_048))
    };
    let mut book = Book::start(open());
    assert!(book.write(0, 1));
    let Err(error) = open().replay(&[0; 3], |_| Ok(())) else { panic!("opened twice") };
    let error = error.0.downcast::<ReadError>().expect("an error of reading");
    assert!(matches!(*error, ReadError::InUse { .. }), "{error}");
    assert!(book.write(0, 1));
    book.journal.close();
    Book::start(open()).journal.close();
}

#[test]
fn without_another_descriptor_the_journal_goes_on_in_the_segment_that_is_ready() {
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(1_024));
    assert!(book.write(0, 1));
    super::journal_faults::wait_until(|| disk.has(&segment_name(2)));
    disk.refuse_opening(true);
    while read_end(&disk) == 1 {
        assert!(book.write(0, 1), "{:?}", book.told.failures());
    }
    super::journal_faults::wait_until(|| book.journal.trouble().is_some());
    assert!(matches!(book.journal.trouble(), Some(Trouble::Full(_) | Trouble::NearlyFull(_))));
    disk.refuse_opening(false);
    super::journal_faults::wait_until(|| book.journal.trouble().is_none());
    assert!(book.write(0, 1));
    book.journal.close();
}

/// The segment that is written, without a descriptor: the last one that holds anything; 0 if none does.
fn read_end(disk: &SimulatedDisk) -> u64 {
    let is_used = |number: &u64| {
        let name = segment_name(*number);
        disk.has(&name) && disk.bytes(&name).iter().any(|byte| *byte != 0)
    };
    (1..10).rfind(is_used).unwrap_or(0)
}

#[test]
fn damage_is_told_by_whoever_reads_it_and_with_its_place() {
    for (what, change) in [("a flipped bit", 1_u8), ("a frame that never arrived", 0)] {
        let disk = SimulatedDisk::default();
        let mut book = Book::open(&disk, small(SEGMENT_BYTES));
        for _ in 0..3 {
            assert!(book.write(0, 1));
        }
        let place = read(&disk).expect("readable").frames[1].offset as usize;
        let mut follower = book.journal.follow(&[0; 3]);
        let mut records = Vec::new();
        while follower.next(&mut records).now_or_never().expect("at once").expect("readable") {}
        assert_eq!((records.len(), book.journal.is_damaged()), (3, false));

        let mut bytes = disk.bytes(&segment_name(1));
        match change {
            1 => bytes[place + 50] ^= change,
            _ => bytes[place..place + 64].fill(0),
        }
        let file = disk.open(&segment_name(1)).expect("a segment");
        file.write_at(0, &bytes).expect("written");
        let mut reader = book.journal.read_again();
        let mut next =
            || reader.next().now_or_never().expect("at once").map(|batch| batch.is_some());
        assert!(next().expect("the first frame is whole"), "{what}");
        assert!(next().is_err(), "{what} was not noticed");
        let Some(Trouble::Damaged(told)) = book.journal.trouble() else {
            panic!("{what}: not told")
        };
        let expected = format!("{} is damaged at byte {place}", segment_name(1));
        assert!(told.contains(&expected), "{what}: {told}");
        book.journal.damaged().now_or_never().expect("it is known");
        book.journal.close();
    }
}

#[test]
fn a_whole_frame_without_records_is_damage_with_its_place() {
    let disk = SimulatedDisk::default();
    let (book, end) = written(&disk);
    let mut follower = book.journal.follow(&[0; 3]);
    let mut records = Vec::new();
    while follower.next(&mut records).now_or_never().expect("at once").expect("readable") {}
    // Of no kind that there is.
    let mut bytes = vec![20, 0, 99];
    bytes.resize(22, 0);
    book.journal.append(ShardId(0), 4, 1, &mut bytes, &mut vec![1_000]);
    assert!(book.told.wait_for(1_000));
    let expected = format!(
        "{} is damaged at byte {end}: a frame is whole, but its records cannot be decoded: \
         malformed record: unknown kind",
        segment_name(1)
    );
    assert_eq!(book.journal.trouble(), None);
    let told = follower.next(&mut records).now_or_never().expect("at once").expect_err("refused");
    assert!(told.to_string().contains(&expected), "{told}");
    let Some(Trouble::Damaged(told)) = book.journal.trouble() else { panic!("not told") };
    assert!(told.contains(&expected), "{told}");
    book.journal.close();
    // At a start and in an audit, which read files that nobody writes.
    let told = read(&disk).map(drop).expect_err("refused").to_string();
    assert!(told.contains(&expected), "{told}");
}

#[test]
fn a_frame_missing_at_a_sealed_segments_end_is_damage() {
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(512));
    while read_end(&disk) < 3 {
        assert!(book.write(0, 1));
    }
    let mut frames = read(&disk).expect("readable").frames.into_iter();
    let last_of_first = frames.rfind(|place| place.segment == 1).expect("a frame").offset;
    let file = disk.open(&segment_name(1)).expect("a segment");
    file.write_at(last_of_first, &vec![0; 512 - last_of_first as usize]).expect("written");
    let mut reader = book.journal.read_again();
    loop {
        match reader.next().now_or_never().expect("at once") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a frame is missing, and nobody notices"),
            Err(_) => break,
        }
    }
    assert!(book.journal.is_damaged());
    book.journal.close();
}

#[test]
fn a_newer_versions_segment_is_neither_read_nor_cut() {
    let disk = SimulatedDisk::default();
    let (book, _) = written(&disk);
    book.journal.close();
    let whole = disk.bytes(&segment_name(1));
    let frames = read(&disk).expect("readable").frames[0].offset as usize;
    for (what, behind) in [("frames of this version", false), ("frames of its own", true)] {
        let mut bytes = whole.clone();
        bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
        bytes[60..64].fill(0x33);
        if behind {
            bytes[frames..].fill(0x77);
        }
        disk.set_bytes(&segment_name(1), bytes.clone());
        let found = read(&disk).err();
        assert!(matches!(found, Some(ReadError::Newer { version: 2, .. })), "{what}: {found:?}");
        let opened = FileLog::open(Arc::new(disk.clone()), small(SEGMENT_BYTES));
        assert!(opened.replay(&[0; 3], |_| Ok(())).is_err(), "{what}");
        assert_eq!(disk.bytes(&segment_name(1)), bytes, "{what}: it was changed");
    }
    // A version that a flipped bit has made is damage.
    let mut bytes = whole;
    bytes[8] ^= 2;
    disk.set_bytes(&segment_name(1), bytes);
    assert!(matches!(read(&disk), Err(ReadError::Corrupt { .. })));
}
